//! Bounded decode: headers are counted, then the body is collected within size, ratio, silence and coding limits.
//!
//! Why here: directly around the transport, so that nothing behind it on the way back ever holds an unbounded
//! answer, and before the echo scan, which must see what the guest would see: decoded bytes.
use crate::{
    Response,
    decode::{self, DecodeLimits},
    dial::Raw,
    limits::BODY_IDLE_MAX,
    prepared::Attempt,
    service::{Answering, Failure, Inner},
    state::lock,
};
use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tower::Service;

/// The layer.
#[derive(Clone)]
pub(crate) struct Receive<S> {
    inner: S,
}

impl<S> Receive<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Attempt, Raw>> Service<Attempt> for Receive<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let (prepared, trace) = (Arc::clone(&attempt.prepared), Arc::clone(&attempt.trace));
            let raw = inner.call(attempt).await?;
            let (status, headers) = (raw.status, listed(&raw.headers));
            let head = prepared.authorized.method().as_str() == "HEAD";
            match collect(raw, head, prepared.response_bytes_max).await {
                Ok(body) => Ok(Response { status, headers, body, follow: false }),
                Err(failure) => {
                    // The row shows the headers of an answer whose body could not be taken.
                    trace.note(|noted| noted.response_headers = headers);
                    Err(failure)
                }
            }
        })
    }
}

async fn collect(raw: Raw, head: bool, body_bytes_max: u64) -> Result<Bytes, Failure> {
    let status = raw.status;
    let broken = |error| Failure { status: Some(status), ..Failure::sent(error) };
    decode::check_headers(&raw.headers).map_err(broken)?;
    if head || matches!(status, 204 | 304) {
        // RFC 9112 section 6.3: no body, whatever `Content-Length` says.
        return Ok(Bytes::new());
    }
    // What the transport knows of a broken body is kept beside the stream: `collect` takes any error for a loss.
    let lost: Arc<Mutex<Option<Failure>>> = Arc::default();
    let seen = Arc::clone(&lost);
    let stream = raw.body.map(move |chunk| {
        chunk.map_err(|failure| {
            let error = Lost;
            *lock(&seen) = Some(failure);
            error
        })
    });
    let limits = DecodeLimits { body_bytes_max, idle: BODY_IDLE_MAX };
    let collected = decode::collect(&raw.headers, stream, &limits).await;
    collected.map_err(|error| match lock(&lost).take() {
        Some(failure) => Failure { status: Some(status), ..failure },
        None => broken(error),
    })
}

/// Stands in the stream for a failure that was put aside.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
struct Lost;

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
