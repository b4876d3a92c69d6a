//! The double's wire: accepts TLS, reads each request whole, writes it to the log, plays the scripted faults, answers. RFC 9110.

use super::{
    Fault,
    limits::BODY_BYTES_MAX,
    locked,
    log::{Log, Received},
    stripe::{Answer, Call, Model},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use portcullis_clock::Clock;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What every connection of one double shares.
pub(super) struct Shared {
    pub(super) key: String,
    pub(super) trap_address: SocketAddr,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) model: Mutex<Model>,
    pub(super) script: Mutex<Vec<Fault>>,
    pub(super) log: Log,
    pub(super) trap_connects: AtomicU64,
}

/// Accepts until stopped; connections end with it.
pub(super) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut count = 0_u64;
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let _ = stream.set_nodelay(true);
                count += 1;
                connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&shared), count));
            }
        }
    }
}

/// Counts who came to the listener that nobody may reach, and closes on them.
pub(super) async fn trap(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = listener.accept() => if accepted.is_ok() {
                shared.trap_connects.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>, count: u64) {
    // A peer that fails the handshake asked for nothing.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let sni = stream.get_ref().1.server_name().map(str::to_owned);
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request| {
        let (shared, sni, cut) = (Arc::clone(&shared), sni.clone(), Arc::clone(&cut));
        async move {
            match answer(&shared, request, sni, count).await {
                Some(response) => Ok::<_, Infallible>(response),
                None => {
                    cut.notify_one();
                    std::future::pending().await
                }
            }
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // How the peer left is its own affair.
        _ended = served => {}
        // Dropping the connection closes it without an answer.
        () = cut.notified() => {}
    }
}

/// One request; none = close without an answer.
async fn answer(
    shared: &Shared,
    request: Request<Incoming>,
    sni: Option<String>,
    connection: u64,
) -> Option<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let at = shared.clock.now();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            return Some(response(&Answer::error(
                413,
                "invalid_request_error",
                None,
                "Request body too large",
            )));
        }
    };
    let mut received = received(&head, &body, at, sni, connection);
    let response = play(shared, &head, &body, at, &mut received);
    received.status = response.as_ref().map(|response| response.status().as_u16());
    shared.log.push(received);
    response
}

fn received(
    head: &http::request::Parts,
    body: &Bytes,
    at: portcullis_clock::Timestamp,
    sni: Option<String>,
    connection: u64,
) -> Received {
    let host = head.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = host.or_else(|| text(&head.headers, &header::HOST)).unwrap_or_default();
    Received {
        at,
        connection,
        protocol: format!("{:?}", head.version),
        sni,
        host,
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect(),
        body: body.to_vec(),
        status: None,
        effect: false,
    }
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Key, scripted faults, the two paths of a hostile vendor, then the model.
fn play(
    shared: &Shared,
    head: &http::request::Parts,
    body: &Bytes,
    at: portcullis_clock::Timestamp,
    received: &mut Received,
) -> Option<Response<Full<Bytes>>> {
    let authorization = text(&head.headers, &header::AUTHORIZATION).unwrap_or_default();
    if authorization.strip_prefix("Bearer ") != Some(shared.key.as_str()) {
        shared.log.count(|counters| counters.unauthorized += 1);
        return Some(response(&Answer::error(
            401,
            "invalid_request_error",
            None,
            "Invalid API Key provided",
        )));
    }
    let fault = due(shared, &head.method);
    if fault == Some(Fault::RateLimit) {
        shared.log.count(|counters| counters.rate_limited += 1);
        let mut limited =
            response(&Answer::error(429, "invalid_request_error", Some("rate_limit"), "Too many requests"));
        limited.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return Some(limited);
    }
    if fault == Some(Fault::Fail) {
        return Some(response(&Answer::error(500, "api_error", None, "Something went wrong on our end")));
    }
    let path = head.uri.path();
    if path.starts_with("/v1/echo-secret") {
        return Some(echo(&authorization));
    }
    if path.starts_with("/v1/redirect-loopback") {
        return Some(redirect(shared.trap_address));
    }
    let key = head.headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let query = head.uri.query().unwrap_or_default();
    let call = Call { method: head.method.as_str(), path, query, body, idempotency_key: key, now: at };
    let answer = locked(&shared.model).answer(&call);
    received.effect = answer.effect;
    shared.log.count(|counters| {
        counters.effects += u64::from(answer.effect);
        counters.replays += u64::from(answer.replayed);
        counters.lost += u64::from(fault == Some(Fault::LoseAnswer));
    });
    if fault == Some(Fault::LoseAnswer) {
        return None;
    }
    let mut given = response(&answer);
    if answer.replayed {
        given.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    Some(given)
}

/// Takes the first fault that fits this method.
fn due(shared: &Shared, method: &Method) -> Option<Fault> {
    let mut script = locked(&shared.script);
    let fits = |fault: &Fault| match fault {
        Fault::RateLimit => *method == Method::GET,
        Fault::LoseAnswer => *method == Method::POST,
        Fault::Fail => true,
    };
    let place = script.iter().position(fits)?;
    Some(script.remove(place))
}

/// A vendor that gives the key back: in a header and in the body.
fn echo(authorization: &str) -> Response<Full<Bytes>> {
    let secret = authorization.strip_prefix("Bearer ").unwrap_or(authorization);
    let body = serde_json::json!({
        "object": "echo",
        "error": {"type": "invalid_request_error", "message": format!("Invalid request made with key {secret}")},
        "headers": {"authorization": authorization},
    });
    let mut given = response(&Answer { status: 200, body, effect: false, replayed: false });
    if let Ok(value) = HeaderValue::from_str(authorization) {
        given.headers_mut().insert("x-echo-authorization", value);
    }
    given
}

/// A vendor that sends its caller to the caller's own machine.
fn redirect(to: SocketAddr) -> Response<Full<Bytes>> {
    let mut given = response(&Answer::error(302, "invalid_request_error", None, "Found"));
    if let Ok(value) = HeaderValue::from_str(&format!("http://{to}/")) {
        given.headers_mut().insert(header::LOCATION, value);
    }
    given
}

fn response(answer: &Answer) -> Response<Full<Bytes>> {
    let mut given = Response::new(Full::new(Bytes::from(answer.body.to_string())));
    *given.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    given.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    given.headers_mut().insert("stripe-version", HeaderValue::from_static("2022-11-15"));
    given
}
