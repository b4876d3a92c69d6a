//! The vendor double of the demo: a small stateful Stripe over TLS (HTTP/1.1 and h2) on loopback, with scripted faults and an
//! append-only log of what arrived on the wire, against which each step of the demo is checked. It decides nothing about the
//! product and prints nothing; it refuses every request without the key that it was started with. RFC 9110, 9112, 9113.

mod form;
pub mod identity;
mod limits;
mod log;
mod server;
mod stripe;

pub use log::{Counters, Received};

pub use identity::Identity;

use self::{log::Log, server::Shared, stripe::Model};
use portcullis_clock::Clock;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// How a double is started.
pub struct Settings {
    /// Names that its certificate carries: `api.stripe.com`.
    pub names: Vec<String>,
    /// The key that requests have to bring: `Authorization: Bearer KEY`.
    pub key: String,
    /// How many customers it knows from the beginning.
    pub customers: usize,
    /// Time of the log and of what is created.
    pub clock: Arc<dyn Clock>,
}

/// Why a double did not start.
#[derive(Debug, thiserror::Error)]
pub enum DoubleError {
    /// No listener on loopback.
    #[error("the vendor double can't listen on loopback")]
    Listen(#[source] std::io::Error),
    /// No certificate authority or leaf.
    #[error("the vendor double can't make its certificates")]
    Certificate(#[source] rcgen::Error),
    /// rustls refused the leaf or its key.
    #[error("the vendor double can't set up TLS")]
    Tls(#[source] rustls::Error),
}

/// A fault that the next fitting request meets, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next read (`GET`) is answered 429 with `Retry-After: 1`.
    RateLimit,
    /// The next write (`POST`) has its effect; then the connection closes without an answer.
    LoseAnswer,
    /// The next request is answered 500.
    Fail,
}

/// A running double.
pub struct Double {
    address: SocketAddr,
    trap_address: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
}

impl Double {
    /// Makes a certificate authority of its own, listens on `127.0.0.1` on a free port, and answers until stopped.
    #[expect(
        clippy::disallowed_methods,
        reason = "the demo's vendor: a listener on loopback, for as long as the demo runs"
    )]
    pub async fn start(settings: Settings) -> Result<Self, DoubleError> {
        let identity = Identity::new(&settings.names)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(DoubleError::Listen)?;
        let trap = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(DoubleError::Listen)?;
        let address = listener.local_addr().map_err(DoubleError::Listen)?;
        let trap_address = trap.local_addr().map_err(DoubleError::Listen)?;
        let now = settings.clock.now();
        let shared = Arc::new(Shared {
            key: settings.key,
            trap_address,
            clock: settings.clock,
            model: Mutex::new(Model::new(settings.customers, now)),
            script: Mutex::new(Vec::new()),
            log: Log::default(),
            trap_connects: AtomicU64::new(0),
        });
        let (stop, stopped) = watch::channel(false);
        let servers = vec![
            tokio::spawn(server::serve(listener, identity.acceptor, Arc::clone(&shared), stopped.clone())),
            tokio::spawn(server::trap(trap, Arc::clone(&shared), stopped)),
        ];
        Ok(Self { address, trap_address, ca_pem: identity.ca_pem, shared, stop, servers })
    }

    /// Where it listens with TLS: the target of `connect-to`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A plain listener that answers nothing and counts who came: where `/v1/redirect-loopback` points to.
    pub fn trap_address(&self) -> SocketAddr {
        self.trap_address
    }

    /// The certificate of its authority: the content of `ca-file`.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What arrived so far, in order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.shared.log.received()
    }

    /// Sums of what it did so far.
    pub fn counters(&self) -> Counters {
        let mut counters = self.shared.log.counters();
        counters.trap_connects = self.shared.trap_connects.load(Ordering::SeqCst);
        counters
    }

    /// Adds a fault, met once, behind those that wait already.
    pub fn script(&self, fault: Fault) {
        let mut script = locked(&self.shared.script);
        if script.len() < limits::FAULTS_MAX {
            script.push(fault);
        }
    }

    /// Drops every fault that waits.
    pub fn clear_script(&self) {
        locked(&self.shared.script).clear();
    }

    /// The customer as the double holds it, without a request on the wire.
    pub fn customer(&self, id: &str) -> Option<serde_json::Value> {
        locked(&self.shared.model).customer(id).cloned()
    }

    /// How many customers it holds.
    pub fn customers(&self) -> usize {
        locked(&self.shared.model).customers()
    }

    /// Closes the listeners and every connection.
    pub async fn stop(mut self) {
        // No receiver left means that both servers ended already.
        let _ended = self.stop.send(true);
        for server in std::mem::take(&mut self.servers) {
            // A server that panicked has nothing left to close.
            let _joined = server.await;
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ended = self.stop.send(true);
        for server in &self.servers {
            server.abort();
        }
    }
}

/// A mutex whose holder panicked still guards plain data: each change of the double is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
