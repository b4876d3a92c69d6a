//! Where a vendor delivers to: a path, whose connection it is for, and how a delivery shows who sent it.

use crate::{Handshake, bucket::Rate, limits::BODY_BYTES_MAX};
use ipnet::IpNet;
use portcullis_secrets::webhook::Verifier;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// How a delivery shows who sent it.
pub enum Check {
    /// By a signature.
    Signed {
        /// Looks at it.
        verifier: Box<Verifier>,
        /// The header that holds the secret itself, where one does: it is stored nowhere.
        secret_header: Option<String>,
    },
    /// It does not: the operator says that this is meant.
    Unsigned,
    /// Nobody can say yet, since the connection can't run: the sender is told to come again.
    NotReady,
}

/// One route.
pub struct Route {
    pub(crate) name: String,
    pub(crate) connection: String,
    pub(crate) check: Check,
    pub(crate) handshake: Option<Handshake>,
    pub(crate) body_bytes_max: u64,
    pub(crate) rate: Option<Arc<Rate>>,
}

/// All routes of a moment, with what is said of the way to them.
#[derive(Default)]
pub struct Routes {
    /// `https://hooks.example.com`, as vendors know it.
    public_url: String,
    pub(crate) trusted_proxies: Vec<IpNet>,
    by_path: HashMap<String, Arc<Route>>,
}

/// Routes that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Two of them.
    #[error("the routes `{0}` and `{1}` have the same path")]
    SamePath(String, String),
}

impl Check {
    pub(crate) fn verifier(&self) -> Option<&Verifier> {
        match self {
            Self::Signed { verifier, .. } => Some(verifier),
            Self::Unsigned | Self::NotReady => None,
        }
    }
}

impl Route {
    /// `body_bytes_max` is cut to what a connector is handed at most.
    pub fn new(
        name: &str,
        connection: &str,
        check: Check,
        body_bytes_max: u64,
        per_second: Option<f64>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            connection: connection.to_owned(),
            check,
            handshake: None,
            body_bytes_max: body_bytes_max.min(BODY_BYTES_MAX),
            rate: per_second.map(|rate| Arc::new(Rate::new(rate))),
        }
    }

    /// One whose vendor asks something first.
    #[must_use]
    pub fn with_handshake(self, handshake: Option<Handshake>) -> Self {
        Self { handshake, ..self }
    }
}

impl Routes {
    /// `public_url` is an origin without a slash at its end; routes with their paths.
    pub fn new(
        public_url: &str,
        trusted_proxies: Vec<IpNet>,
        routes: impl IntoIterator<Item = (String, Route)>,
    ) -> Result<Self, RouteError> {
        let mut by_path: HashMap<String, Arc<Route>> = HashMap::new();
        for (path, route) in routes {
            let name = route.name.clone();
            if let Some(other) = by_path.insert(path, Arc::new(route)) {
                return Err(RouteError::SamePath(other.name.clone(), name));
            }
        }
        Ok(Self { public_url: public_url.to_owned(), trusted_proxies, by_path })
    }

    /// What a route took before, it took, where it has the rate that it had. Those of `kept` are what they were.
    pub(crate) fn go_on(&mut self, before: &Self, kept: &BTreeSet<String>) {
        let former: HashMap<&str, &Arc<Route>> =
            before.by_path.values().map(|route| (route.name.as_str(), route)).collect();
        for route in self.by_path.values_mut() {
            let Some(former) = former.get(route.name.as_str()) else { continue };
            if kept.contains(&route.name) {
                *route = Arc::clone(former);
            } else if let Some(route) = Arc::get_mut(route)
                && let (Some(rate), Some(former)) = (&mut route.rate, &former.rate)
                && rate.is_like(former)
            {
                *rate = Arc::clone(former);
            }
        }
    }

    /// By the path as it was sent: nothing is decoded, and no other spelling is the same.
    pub(crate) fn at(&self, path: &str) -> Option<&Arc<Route>> {
        self.by_path.get(path)
    }

    /// The URL that the vendor signed, if it signs one: never of the request's own `Host`.
    pub(crate) fn public(&self, path: &str, query: &str) -> String {
        let question = if query.is_empty() { "" } else { "?" };
        format!("{}{path}{question}{query}", self.public_url)
    }
}
