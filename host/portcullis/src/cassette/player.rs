//! Plays a cassette: a vendor over TLS on loopback that has its answers and no others, and tells what it was asked for.
use super::{Recorded, refusal::Refusal};
use crate::{
    demo::double::{DoubleError, Identity},
    exit::{Failure, Result},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

/// How the secrets begin that a test makes up.
pub const MADE_UP: &str = "made-up-for-";
/// A request is read up to here.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long a refusal takes that is held.
const HELD: Duration = Duration::from_millis(500);

/// Headers that may be others each time: they name a request, and no vendor takes it for another one by them.
pub const FRESH: [&str; 4] = ["traceparent", "tracestate", "x-correlation-id", "x-request-id"];

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// Method.
    pub method: String,
    /// Whole URL.
    pub url: String,
    /// Body.
    pub body: Vec<u8>,
    /// Sorted, but for what names the request itself in somebody's trace.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Which exchange answered; none = there is no such one.
    pub answered_by: Option<usize>,
    /// It was refused, where its cassette has an answer, or none.
    pub refused: bool,
}

impl Asked {
    /// The same once more.
    fn is_again(&self, before: &Self) -> bool {
        (&self.method, &self.url, &self.body) == (&before.method, &before.url, &before.body)
    }
}

/// What is played now.
#[derive(Default)]
struct Pass {
    exchanges: Vec<Recorded>,
    /// A read that begins at a checkpoint: what is `resumed` answers first, and else never.
    resumed: bool,
    /// The request that this exchange would answer is refused, however often it comes.
    refused: Option<(usize, Refusal)>,
    asked: Vec<Asked>,
    /// A refusal takes its time: what is sent meanwhile does not follow it.
    hold: bool,
    held: usize,
    held_at_once: usize,
}

/// A vendor under the names of its exchanges.
pub struct Player {
    address: SocketAddr,
    authority: String,
    pass: Arc<Mutex<Pass>>,
    hold: AtomicBool,
    server: JoinHandle<()>,
}

impl Player {
    /// Listens on loopback for these names.
    #[expect(
        clippy::disallowed_methods,
        reason = "the vendor of a test: a listener on loopback while it runs"
    )]
    pub async fn start(names: &[String]) -> Result<Self> {
        let failed = |error: DoubleError| Failure::fault("no cassette can be played").because(&error);
        let identity = Identity::new(names).map_err(failed)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(|error| failed(DoubleError::Listen(error)))?;
        let address = listener.local_addr().map_err(|error| failed(DoubleError::Listen(error)))?;
        let pass = Arc::new(Mutex::new(Pass::default()));
        let server = tokio::spawn(serve(listener, identity.acceptor, Arc::clone(&pass)));
        Ok(Self { address, authority: identity.ca_pem, pass, hold: AtomicBool::new(false), server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate of its authority.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Forgets what it was asked for, and plays these from the beginning; `refused` = what comes instead of one answer, and for
    /// what the cassette does not have; `resumed` = to a read that begins at a checkpoint.
    pub fn play(&self, exchanges: &[Recorded], refused: Option<(usize, Refusal)>, resumed: bool) {
        let hold = self.hold.load(Ordering::Relaxed);
        *locked(&self.pass) =
            Pass { exchanges: exchanges.to_vec(), resumed, refused, hold, ..Pass::default() };
    }

    /// Whether refusals take their time, from the next play on.
    pub fn hold(&self, hold: bool) {
        self.hold.store(hold, Ordering::Relaxed);
    }

    /// The most requests that waited for a refusal at the same time.
    pub fn held_at_once(&self) -> usize {
        locked(&self.pass).held_at_once
    }

    /// What it was asked for since then.
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.pass).asked.clone()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, pass: Arc<Mutex<Pass>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                // Else an answer waits 40 ms for the acknowledgement of what the handshake ended with.
                let _ = stream.set_nodelay(true);
                let (acceptor, pass) = (acceptor.clone(), Arc::clone(&pass));
                connections.spawn(async move {
                    // A peer that fails the handshake asked for nothing.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let pass = Arc::clone(&pass);
                        async move { answer(&pass, request).await }
                    });
                    let builder = auto::Builder::new(TokioExecutor::new());
                    // How the peer left is its own affair.
                    let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }
    }
}

/// Ends the connection of HTTP/1.1, or the stream of HTTP/2, of this request alone.
#[derive(Debug, thiserror::Error)]
#[error("the connection is lost")]
struct Lost;

async fn answer(
    pass: &Mutex<Pass>,
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Lost> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_or_else(|_| Vec::new(), |body| body.to_bytes().to_vec());
    let host = head.uri.authority().map(|authority| authority.as_str().to_owned());
    let header = || Some(head.headers.get(http::header::HOST)?.to_str().ok()?.to_owned());
    let host = host.or_else(header).unwrap_or_default();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("https://{host}{}", without_credential(path));
    let (method, headers) = (head.method.to_string(), told_apart(&head.headers));
    let asked = Asked { method, url, body, headers, answered_by: None, refused: false };
    let (response, is_held) = {
        let mut pass = locked(pass);
        let response = respond(&mut pass, asked);
        let is_held = pass.hold && pass.asked.last().is_some_and(|asked| asked.refused);
        if is_held {
            pass.held += 1;
            pass.held_at_once = pass.held_at_once.max(pass.held);
        }
        (response, is_held)
    };
    if is_held {
        tokio::time::sleep(HELD).await;
        let mut pass = locked(pass);
        pass.held = pass.held.saturating_sub(1);
    }
    response.ok_or(Lost)
}

fn told_apart(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    let told = headers.iter().filter(|(name, _)| !FRESH.contains(&name.as_str()));
    let mut told: Vec<_> =
        told.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    told.sort();
    told
}

/// What a credential adds to a query is in no cassette.
fn without_credential(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let made_up = |pair: &&str| pair.split_once('=').is_some_and(|(_, value)| value.starts_with(MADE_UP));
    let (added, own): (Vec<&str>, Vec<&str>) = query.split('&').partition(made_up);
    // A query that was there and empty stays one.
    if own.is_empty() && !added.is_empty() { path.to_owned() } else { format!("{path}?{}", own.join("&")) }
}

/// The first exchange that fits and has not answered yet, or else the last that fits: a request may be repeated. None = the
/// connection is lost.
fn respond(pass: &mut Pass, mut asked: Asked) -> Option<Response<Full<Bytes>>> {
    let fits = |recorded: &Recorded| {
        recorded.method == asked.method
            && recorded.url == asked.url
            && recorded.request_body.as_ref().is_none_or(|body| *body == asked.body)
    };
    let is_played = |recorded: &Recorded| pass.resumed || !recorded.resumed;
    let mut fitting: Vec<usize> = (0..pass.exchanges.len())
        .filter(|at| is_played(&pass.exchanges[*at]) && fits(&pass.exchanges[*at]))
        .collect();
    fitting.sort_by_key(|at| !pass.exchanges[*at].resumed);
    let refused_before = pass.asked.iter().find(|before| before.refused && asked.is_again(before));
    let used = |at: &usize| pass.asked.iter().any(|asked| asked.answered_by == Some(*at));
    let found = match refused_before {
        Some(before) => before.answered_by,
        None => fitting.iter().find(|at| !used(at)).or(fitting.last()).copied(),
    };
    let refusal = pass.refused.filter(|(at, _)| found.is_none_or(|found| found == *at));
    asked.answered_by = found;
    asked.refused = refusal.is_some();
    pass.asked.push(asked);
    match (refusal, found.and_then(|at| pass.exchanges.get(at))) {
        (Some((_, Refusal::ConnectionLost)), _) => None,
        (Some((_, Refusal::Status(status))), _) => {
            let error = r#"{"error":{"message":"an answer of no cassette"}}"#;
            let headers = [("content-type".to_owned(), "application/json".to_owned())];
            Some(response(status, &headers, error.as_bytes()))
        }
        (None, Some(recorded)) => Some(response(recorded.status, &recorded.headers, &recorded.body)),
        (None, None) => Some(response(501, &[], b"the cassette has no such exchange")),
    }
}

fn response(status: u16, headers: &[(String, String)], body: &[u8]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        // Framing is the server's.
        let framing = |name: &HeaderName| {
            matches!(
                name.as_str(),
                "content-length" | "transfer-encoding" | "connection" | "content-encoding"
            )
        };
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value))
            && !framing(&name)
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Each change is one assignment: a holder that panicked left nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_credential_adds_is_in_no_cassette() {
        let added = format!("api_key={MADE_UP}key-0123456789");
        for (asked, recorded) in [
            (format!("/a?{added}"), "/a"),
            (format!("/a?b=1&{added}"), "/a?b=1"),
            ("/a".to_owned(), "/a"),
            ("/a?".to_owned(), "/a?"),
            ("/a?b=1&c".to_owned(), "/a?b=1&c"),
        ] {
            assert_eq!(without_credential(&asked), recorded);
        }
    }
}
