//! The listener: a bounded number of connections, TLS where there is a certificate, HTTP/1.1, and an end that lets requests under
//! way be answered. RFC 9112.

use crate::{
    Routes, accept,
    idle::{Idle, Turn},
    limits::{
        CONNECTIONS_MAX, HANDSHAKE_TIME, HEADERS_BYTES_MAX, HEADERS_MAX, HEADERS_TIME, RECOVERY_TIME,
        STOP_TIME,
    },
    room::Room,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_clock::{Clock, Random};
use portcullis_store::{Backlog, Store};
use rustls::ServerConfig;
use std::{
    collections::BTreeSet,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What every request needs.
pub struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) room: Backlog,
    /// Told when a delivery was stored.
    pub(crate) stored: Arc<Notify>,
    pub(crate) bodies: Arc<Room>,
    /// When a delivery could not be stored, since the last one that could.
    failed_at: Mutex<Option<Duration>>,
    routes: RwLock<Arc<Routes>>,
}

impl Shared {
    /// `room` = how much may wait in the store; `stored` is told when a delivery was stored.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        room: Backlog,
        stored: Arc<Notify>,
        routes: Routes,
    ) -> Self {
        let (bodies, routes) = (Arc::default(), RwLock::new(Arc::new(routes)));
        Self { store, clock, random, room, stored, bodies, failed_at: Mutex::default(), routes }
    }

    /// Whether the last delivery could not be stored.
    pub fn fails(&self) -> bool {
        self.failed_at().is_some()
    }

    /// Somebody else stored something. What is small may find room where a delivery does not: it counts where no delivery failed
    /// lately.
    pub fn recovers(&self) {
        let now = self.clock.monotonic();
        let mut failed_at = self.failed_at();
        *failed_at = failed_at.filter(|at| now.saturating_sub(*at) < RECOVERY_TIME);
    }

    pub(crate) fn could_store(&self, could: bool) {
        let now = self.clock.monotonic();
        *self.failed_at() = (!could).then_some(now);
    }

    fn failed_at(&self) -> MutexGuard<'_, Option<Duration>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these, but for those of `kept`, which stay what they are; a request under way keeps what it began with.
    pub fn replace(&self, mut routes: Routes, kept: &BTreeSet<String>) {
        let mut current = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.go_on(&current, kept);
        *current = Arc::new(routes);
    }

    pub(crate) fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A listener that is bound and does not accept yet.
pub struct Ingress {
    listener: TcpListener,
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    shared: Arc<Shared>,
}

impl Ingress {
    /// `tls`: what new connections are shaken hands with; none = plain, behind a proxy.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "webhooks come in here")]
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, tls, shared })
    }

    /// Where it listens: the port, where any was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until `stop` turns true; requests under way are answered, within `STOP_TIME`.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        let (mut connections, mut idle) = (JoinSet::new(), Idle::default());
        let stopped = stop.clone();
        let mut told = std::pin::pin!(async move { drop(stop.wait_for(|stop| *stop).await) });
        loop {
            tokio::select! {
                () = &mut told => break,
                Some(_ended) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    // Dropped, and so closed: who comes beyond the bound may come again.
                    Ok(_) if connections.len() >= CONNECTIONS_MAX && !idle.close_one() => {}
                    Ok((stream, peer)) => {
                        let tls = self.tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
                        let (shared, turn) = (Arc::clone(&self.shared), Turn::default());
                        let connection = connection(stream, peer.ip(), tls, shared, turn.clone(), stopped.clone());
                        idle.add(connections.spawn(connection), turn);
                    }
                    Err(error) => {
                        // Out of descriptors, as a rule: they come back with time.
                        tracing::warn!(%error, "a connection could not be accepted");
                        self.shared.clock.sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop(self.listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        tokio::select! {
            () = ended => {}
            () = self.shared.clock.sleep(STOP_TIME) => {}
        }
    }
}

/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn connection(
    stream: TcpStream,
    peer: IpAddr,
    tls: Option<Arc<ServerConfig>>,
    shared: Arc<Shared>,
    turn: Turn,
    stop: watch::Receiver<bool>,
) {
    // An answer is one small segment: it does not wait for more.
    let _ = stream.set_nodelay(true);
    match tls {
        None => requests(stream, peer, &shared, &turn, stop).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            let shaken = tokio::select! {
                shaken = handshake => shaken,
                () = shared.clock.sleep(HANDSHAKE_TIME) => return,
            };
            // A peer that fails the handshake asked for nothing.
            if let Ok(stream) = shaken {
                requests(stream, peer, &shared, &turn, stop).await;
            }
        }
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: IpAddr,
    shared: &Shared,
    turn: &Turn,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(|request| async move {
        Ok::<_, Infallible>(accept::answer(shared, peer, turn, request).await)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADERS_BYTES_MAX)
        // Who says no more may still listen.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    tokio::select! {
        // How the peer left is its own affair.
        _ended = served.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ended = served.await;
}
