//! Clients: one pool per (connection, slot, scheme, mapping), made on first use and dropped when idle.
//!
//! The only place where an HTTP client is built. Everything reqwest could do by itself is off: proxies from the
//! environment, redirects, retries, Referer, decompression, its own choice of TLS.
use super::{
    resolve::{CheckedResolver, Lookup},
    tls,
};
use crate::{
    limits::{
        CLIENT_IDLE_MAX, CLIENT_SWEEP_EVERY, CLIENTS_MAX, CONNECT_TIME_MAX, HTTP2_HEADER_LIST_BYTES_MAX,
        POOL_IDLE_PER_HOST_MAX, RESPONSE_HEADERS_MAX,
    },
    state::lock,
};
use reqwest::{Client, redirect, retry};
use rustls::RootCertStore;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What must not share a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey {
    /// Serial number of the connection's settings: a reload makes a new one.
    pub connection: u64,
    /// Position of the slot; None = no credential.
    pub slot: Option<usize>,
    /// `http`.
    pub plain: bool,
    /// Position of the `connect-to` entry that applies.
    pub mapping: Option<usize>,
}

/// The process's clients.
#[derive(Default)]
pub(crate) struct Clients {
    pub lookup: Lookup,
    pools: Mutex<Pools>,
}

#[derive(Default)]
struct Pools {
    clients: HashMap<ClientKey, Pool>,
    swept: Duration,
}

struct Pool {
    client: Client,
    used: Duration,
}

/// A client could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
    #[error("the HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
}

impl Clients {
    /// The client of `key`, made by `make` where there is none.
    pub fn of(
        &self,
        key: ClientKey,
        now: Duration,
        make: impl FnOnce() -> Result<Client, ClientError>,
    ) -> Result<Client, ClientError> {
        let mut pools = lock(&self.pools);
        if now.saturating_sub(pools.swept) >= CLIENT_SWEEP_EVERY {
            pools.swept = now;
            pools.clients.retain(|_, pool| now.saturating_sub(pool.used) < CLIENT_IDLE_MAX);
        }
        if let Some(pool) = pools.clients.get_mut(&key) {
            pool.used = now;
            return Ok(pool.client.clone());
        }
        if pools.clients.len() >= CLIENTS_MAX
            && let Some(oldest) = pools.clients.iter().min_by_key(|(_, pool)| pool.used).map(|(key, _)| *key)
        {
            // Requests that run on it keep it alive until they end.
            pools.clients.remove(&oldest);
        }
        let client = make()?;
        pools.clients.insert(key, Pool { client: client.clone(), used: now });
        Ok(client)
    }

    /// Drops the clients of a connection that is gone.
    pub fn forget(&self, connection: u64) {
        lock(&self.pools).clients.retain(|key, _| key.connection != connection);
    }
}

/// Every option that matters, the defaults too.
#[expect(clippy::disallowed_methods, reason = "the one home of the HTTP client")]
pub(crate) fn client(resolver: CheckedResolver, roots: Arc<RootCertStore>) -> Result<Client, ClientError> {
    let https_only = !resolver.guard.plain;
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .https_only(https_only)
        .tls_backend_preconfigured(tls::client_config(roots)?)
        .dns_resolver(resolver)
        .connect_timeout(CONNECT_TIME_MAX)
        .pool_idle_timeout(CLIENT_IDLE_MAX)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST_MAX)
        .tcp_nodelay(true)
        .http1_max_headers(RESPONSE_HEADERS_MAX)
        .http1_allow_obsolete_multiline_headers_in_responses(false)
        .http1_ignore_invalid_headers_in_responses(false)
        .http1_allow_spaces_after_header_name_in_responses(false)
        .http2_max_header_list_size(HTTP2_HEADER_LIST_BYTES_MAX)
        .connection_verbose(false)
        .build()
        .map_err(|error| ClientError::Client(error.without_url()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn key(connection: u64) -> ClientKey {
        ClientKey { connection, slot: None, plain: false, mapping: None }
    }

    fn made(clients: &Clients, key: ClientKey, now: Duration) -> bool {
        let mut made = false;
        clients
            .of(key, now, || {
                made = true;
                let resolver = CheckedResolver {
                    lookup: Lookup::default(),
                    guard: super::super::resolve::Guard { policy: Default::default(), plain: true },
                    target: None,
                };
                client(resolver, Arc::new(RootCertStore::empty()))
            })
            .unwrap();
        made
    }

    #[test]
    fn a_client_is_made_once_and_goes_when_idle() {
        let clients = Clients::default();
        assert!(made(&clients, key(1), Duration::ZERO));
        assert!(!made(&clients, key(1), Duration::from_secs(80)));
        assert!(made(&clients, ClientKey { slot: Some(0), ..key(1) }, Duration::from_secs(80)));
        assert!(made(&clients, ClientKey { mapping: Some(0), ..key(1) }, Duration::from_secs(80)));
        assert!(made(&clients, key(2), Duration::from_secs(80)));
        assert!(!made(&clients, key(1), Duration::from_secs(169)));
        assert!(made(&clients, key(1), Duration::from_secs(400)));
        clients.forget(1);
        assert!(made(&clients, key(1), Duration::from_secs(401)));
    }
}
