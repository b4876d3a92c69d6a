//! `GET /health`: the process lives. `GET /ready`: it accepts deliveries; 503 with the reason while it does not. For load
//! balancers and supervisors: nothing of a connection is told.

use crate::limits::{CONNECTIONS_MAX, HEADERS_BYTES_MAX, HEADERS_MAX, HEADERS_TIME};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{collections::VecDeque, convert::Infallible, io, net::SocketAddr};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// Whether deliveries are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// They are.
    Yes,
    /// It starts.
    Starting,
    /// Nothing can be stored.
    Failing,
    /// It was told to stop.
    Stopping,
}

/// A listener that is bound and does not answer yet.
pub struct Health {
    listener: TcpListener,
    ready: watch::Receiver<Ready>,
}

impl Health {
    /// Binds it.
    pub async fn bind(address: SocketAddr, ready: watch::Receiver<Ready>) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "operators come in here")]
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, ready })
    }

    /// Where it listens: the port, where any was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub async fn serve(self) {
        let (mut connections, mut oldest) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
        loop {
            tokio::select! {
                Some(_ended) = connections.join_next() => oldest.retain(|connection| !connection.is_finished()),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // A question is short: who is there for longest only holds the place.
                        while oldest.len() >= CONNECTIONS_MAX {
                            let _ = oldest.pop_front().map(|connection| connection.abort());
                        }
                        oldest.push_back(connections.spawn(connection(stream, self.ready.clone())));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "an operator's connection could not be accepted");
                        // Out of descriptors, as a rule: others give theirs back meanwhile.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, ready: watch::Receiver<Ready>) {
    let service = service_fn(|request: Request<Incoming>| {
        let answered = answer(request.method(), request.uri().path(), *ready.borrow());
        async move { Ok::<_, Infallible>(answered) }
    });
    let _ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADERS_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer(method: &Method, path: &str, ready: Ready) -> Response<Full<Bytes>> {
    let (status, words) = match (path, ready) {
        _ if !matches!(*method, Method::GET | Method::HEAD) => (StatusCode::METHOD_NOT_ALLOWED, ""),
        ("/health", _) => (StatusCode::OK, "alive\n"),
        ("/ready", Ready::Yes) => (StatusCode::OK, "ready\n"),
        ("/ready", Ready::Starting) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        ("/ready", Ready::Failing) => (StatusCode::SERVICE_UNAVAILABLE, "nothing can be stored\n"),
        ("/ready", Ready::Stopping) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        _ => (StatusCode::NOT_FOUND, ""),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alive_is_not_ready() {
        let check = |method: Method, path, ready, status: u16| {
            assert_eq!(answer(&method, path, ready).status(), status, "{method} {path} {ready:?}");
        };
        for ready in [Ready::Yes, Ready::Starting, Ready::Failing, Ready::Stopping] {
            check(Method::GET, "/health", ready, 200);
            check(Method::GET, "/ready", ready, if ready == Ready::Yes { 200 } else { 503 });
            check(Method::GET, "/", ready, 404);
            check(Method::POST, "/ready", ready, 405);
        }
        check(Method::HEAD, "/ready", Ready::Yes, 200);
    }
}
