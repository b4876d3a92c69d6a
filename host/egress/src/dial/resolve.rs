//! Names to checked addresses: the guard sits inside the resolver, so that what was judged is what is dialled.
//!
//! Refuses the whole answer where the guard refuses one address of it, an answer that is too long to judge, and
//! every name but a fully qualified one (RFC 1034 section 3.1): search domains are never tried.
use crate::limits::{ADDRESSES_MAX, LOOKUP_AGE_MAX, LOOKUP_TIME_MAX, LOOKUPS_CACHED_MAX};
use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolveHosts},
};
use portcullis_grants::{AddressDenied, AddressPolicy};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

/// The guard refused an address. Travels through the transport's error chain as its own type.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` may not be dialled: {denied}")]
pub(crate) struct GuardDenied {
    /// Name or literal that led to the address.
    pub host: String,
    /// The guard's word.
    pub denied: AddressDenied,
}

/// A name led to no address.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("`{host}` does not exist")]
    Nonexistent { host: String },
    #[error("looking up `{host}` took longer than {} s", LOOKUP_TIME_MAX.as_secs())]
    Slow { host: String },
    #[error("`{host}` has more than {ADDRESSES_MAX} addresses")]
    TooMany { host: String },
    #[error("looking up `{host}` failed: {reason}")]
    Failed { host: String, reason: String },
}

/// The guard as one scheme sees it.
#[derive(Clone)]
pub(crate) struct Guard {
    pub policy: AddressPolicy,
    /// `http`: loopback alone.
    pub plain: bool,
}

impl Guard {
    /// Judges one address.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), GuardDenied> {
        let judged = if self.plain { self.policy.check_plain(address) } else { self.policy.check(address) };
        judged.map_err(|denied| GuardDenied { host: host.to_owned(), denied })
    }

    /// Judges an answer: all of it, or none.
    pub fn check_all(&self, host: &str, addresses: &[IpAddr]) -> Result<(), GuardDenied> {
        addresses.iter().try_for_each(|address| self.check(host, *address))
    }
}

/// The process's one resolver, made at the first lookup from `/etc/resolv.conf` and `/etc/hosts`.
#[derive(Clone, Default)]
pub(crate) struct Lookup(Arc<Mutex<Option<TokioResolver>>>);

impl Lookup {
    /// The addresses of a name, unjudged, bounded in number and time.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, LookupError> {
        let resolver = self.resolver().map_err(|error| failed(host, &error))?;
        // The final dot makes it fully qualified.
        let name = format!("{}.", host.trim_end_matches('.'));
        let found = tokio::time::timeout(LOOKUP_TIME_MAX, resolver.lookup_ip(name)).await;
        let found = found.map_err(|_| LookupError::Slow { host: host.to_owned() })?;
        let found = found.map_err(|error| {
            if error.is_nx_domain() {
                return LookupError::Nonexistent { host: host.to_owned() };
            }
            failed(host, &error)
        })?;
        let addresses: Vec<IpAddr> = found.iter().take(ADDRESSES_MAX + 1).collect();
        if addresses.len() > ADDRESSES_MAX {
            return Err(LookupError::TooMany { host: host.to_owned() });
        }
        Ok(addresses)
    }

    /// A machine whose resolver configuration can't be read fails here, lookup by lookup, and works once it can.
    fn resolver(&self) -> Result<TokioResolver, hickory_resolver::net::NetError> {
        let mut made = crate::state::lock(&self.0);
        if let Some(resolver) = &*made {
            return Ok(resolver.clone());
        }
        let mut builder = TokioResolver::builder_tokio()?;
        let options = builder.options_mut();
        options.ndots = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        options.cache_size = LOOKUPS_CACHED_MAX;
        options.positive_max_ttl = Some(LOOKUP_AGE_MAX);
        options.negative_max_ttl = Some(LOOKUP_AGE_MAX);
        options.timeout = LOOKUP_TIME_MAX / 2;
        options.attempts = 2;
        let resolver = builder.build()?;
        *made = Some(resolver.clone());
        Ok(resolver)
    }
}

fn failed(host: &str, error: &hickory_resolver::net::NetError) -> LookupError {
    LookupError::Failed { host: host.to_owned(), reason: error.to_string() }
}

/// Where a mapped URL is dialled instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name or literal.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What one client's connector asks.
pub(crate) struct CheckedResolver {
    pub lookup: Lookup,
    pub guard: Guard,
    /// `connect-to` of this client's URLs.
    pub target: Option<Target>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, guard) = (self.lookup.clone(), self.guard.clone());
        // Port 0: the connector takes the URL's own.
        let target =
            self.target.clone().unwrap_or_else(|| Target { host: name.as_str().to_owned(), port: 0 });
        Box::pin(async move {
            let addresses = match target.host.parse::<IpAddr>() {
                Ok(literal) => vec![literal],
                Err(_) => lookup.addresses(&target.host).await?,
            };
            guard.check_all(&target.host, &addresses)?;
            let port = target.port;
            let addrs: Addrs =
                Box::new(addresses.into_iter().map(move |address| SocketAddr::new(address, port)));
            Ok(addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn guard(plain: bool, listed: &[&str]) -> Guard {
        let listed = listed.iter().map(|range| range.parse().unwrap()).collect();
        Guard { policy: AddressPolicy::new(listed).unwrap(), plain }
    }

    fn check(guard: &Guard, addresses: &[&str], allowed: bool) {
        let parsed: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        assert_eq!(guard.check_all("api.vendor.test", &parsed).is_ok(), allowed, "{addresses:?}");
    }

    #[test]
    fn one_denied_address_refuses_the_whole_answer() {
        let https = guard(false, &[]);
        check(&https, &["93.184.216.34"], true);
        check(&https, &["93.184.216.34", "2606:2800:220:1::1"], true);
        check(&https, &["93.184.216.34", "127.0.0.1"], false);
        check(&https, &["93.184.216.34", "::1"], false);
        check(&https, &["169.254.169.254", "93.184.216.34"], false);
        check(&https, &["::ffff:10.0.0.1", "93.184.216.34"], false);
        check(&guard(false, &["10.0.0.0/8"]), &["93.184.216.34", "10.1.2.3"], true);
        check(&guard(false, &["10.0.0.0/8"]), &["10.1.2.3", "192.168.0.1"], false);
    }

    #[test]
    fn plain_http_dials_listed_loopback_alone() {
        check(&guard(true, &[]), &["127.0.0.1"], false);
        check(&guard(true, &["127.0.0.1/32"]), &["127.0.0.1"], true);
        check(&guard(true, &["127.0.0.1/32", "10.0.0.0/8"]), &["10.0.0.1"], false);
        check(&guard(true, &["127.0.0.1/32"]), &["93.184.216.34"], false);
    }

    #[tokio::test]
    async fn a_mapped_client_judges_its_target() {
        let resolver = |listed| CheckedResolver {
            lookup: Lookup::default(),
            guard: guard(false, listed),
            target: Some(Target { host: "127.0.0.1".to_owned(), port: 8443 }),
        };
        let denied = resolver(&[]).resolve("api.vendor.test".parse().unwrap()).await.err().unwrap();
        assert!(denied.downcast_ref::<GuardDenied>().is_some(), "{denied}");
        let passed =
            resolver(&["127.0.0.1/32"]).resolve("api.vendor.test".parse().unwrap()).await.ok().unwrap();
        assert_eq!(passed.collect::<Vec<_>>(), ["127.0.0.1:8443".parse().unwrap()]);
    }
}
