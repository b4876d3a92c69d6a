//! What would become of a request, without sending it: what the pipeline decides, by the functions that decide there.
//!
//! What only a run or an exchange shows is no part of it: budget, breaker, rate limit, revocation, the URLs that answers named,
//! the headers of the guest.
use crate::{Connection, Error, dial, error::DenialDetail, parse::check_url, service::Failure};
use portcullis_grants::{AuthorizedRequest, CanonicalUrl, Rule};
use std::net::IpAddr;

/// A request to explain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'q> {
    /// Method.
    pub method: &'q str,
    /// URL.
    pub url: &'q str,
    /// The `http` list of the action or stream, where it has one.
    pub operation: Option<&'q [Rule]>,
    /// The slot that the guest would name.
    pub slot: Option<&'q str>,
    /// Whether a name is looked up, which asks the machine's resolver.
    pub look_up: bool,
}

/// An allowed request.
#[derive(Debug)]
pub struct Explained {
    /// By which two rules, and with which slot's credential.
    pub authorized: AuthorizedRequest,
    /// The name or literal that is dialled, and its port.
    pub dialled: (String, u16),
    /// Whether `connect-to` leads there.
    pub mapped: bool,
    /// What the name means now, all of it allowed; none where nothing was looked up.
    pub addresses: Vec<IpAddr>,
}

/// A host as it was dialled.
#[derive(Debug)]
pub struct Found {
    /// The name or literal that is dialled, and its port.
    pub dialled: (String, u16),
    /// Whether `connect-to` leads there.
    pub mapped: bool,
    /// What the name means now, all of it allowed.
    pub addresses: Vec<IpAddr>,
    /// `TLS 1.3`; none where the scheme is `http`.
    pub protocol: Option<&'static str>,
}

impl Connection {
    /// What would become of it. A refusal has the words and the remedy that the exchange log would have.
    pub async fn explain(&self, question: Question<'_>) -> Result<Explained, DenialDetail> {
        self.decide(question).await.map_err(detail)
    }

    /// Whether a host can be reached now, whatever the rules say of paths: looked up and judged as it is before a request is sent
    /// there, connected to and shaken hands with. No request is sent.
    pub async fn reach(&self, scheme: &str, host: &str, port: u16) -> Result<Found, DenialDetail> {
        let url = CanonicalUrl::parse(&format!("{scheme}://{host}:{port}/"))
            .map_err(|error| DenialDetail { reason: error.to_string(), remedy: None })?;
        let mapping = dial::route(&self.state, &url).map_err(detail)?;
        let (dialled, addresses) = dial::lead(&self.state, &url, mapping, true).await.map_err(detail)?;
        let protocol = dial::reach(&self.state, &url, &dialled, &addresses).await.map_err(|error| {
            let (to, to_port) = &dialled;
            DenialDetail { reason: format!("{to}:{to_port} can't be connected to: {error}"), remedy: None }
        })?;
        Ok(Found { dialled, mapped: mapping.is_some(), addresses, protocol })
    }

    async fn decide(&self, question: Question<'_>) -> Result<Explained, Failure> {
        let Question { method, url, operation, slot, look_up } = question;
        let (state, settings) = (&*self.state, &self.state.settings);
        check_url(url)?;
        let authorized = settings.grants.authorize(&settings.name, method, url, operation, slot);
        let authorized = authorized.map_err(|denial| Failure::denied(denial.to_string(), denial.remedy))?;
        if let Some(query) = authorized.url().query() {
            state.headers.check_query(query)?;
        }
        if let Some(slot) = authorized.credential() {
            state.bound(slot)?;
        }
        let mapping = dial::route(state, authorized.url())?;
        let (dialled, addresses) = dial::lead(state, authorized.url(), mapping, look_up).await?;
        Ok(Explained { authorized, dialled, mapped: mapping.is_some(), addresses })
    }
}

/// The words for the operator.
fn detail(failure: Failure) -> DenialDetail {
    match failure.error {
        Error::Denied { denial, .. } => *denial,
        error => DenialDetail { reason: failure.detail.unwrap_or_else(|| error.to_string()), remedy: None },
    }
}

#[cfg(test)]
mod tests;
