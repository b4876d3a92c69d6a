//! Bounded decode: headers are counted, then the body is collected within size, ratio, silence and coding limits.
//!
//! Why here: directly around the transport, so that nothing behind it on the way back ever holds an unbounded
//! answer, and before the echo scan, which must see what the guest would see: decoded bytes.
use crate::{
    Error, Response,
    decode::{self, DecodeLimits, PieceDecoder},
    dial::{Chunks, Raw},
    limits::BODY_IDLE_MAX,
    named,
    pieces::{Pieces, Piecewise},
    prepared::Attempt,
    request::Wanted,
    service::{Answering, Failure, Inner},
    state::lock,
};
use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderMap;
use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
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
            let kept = headers.clone();
            let answer =
                Response { status, headers, body: Bytes::new(), pieces: None, safe: false, follow: false };
            let empty = prepared.authorized.method().as_str() == "HEAD" || matches!(status, 204 | 304);
            let body_bytes_max = prepared.response_bytes_max;
            let in_pieces = prepared.wanted != Wanted::Whole && (200..300).contains(&status) && !empty;
            // What names URLs arrives before anybody can ask for them.
            let taken = if in_pieces && !named::reads_body(&prepared, &raw.headers) {
                begin(raw, body_bytes_max).map(|pieces| Response { pieces: Some(pieces), ..answer })
            } else {
                // What is no success may be repeated or followed: it arrives before anybody judges it.
                let body_bytes_max = body_bytes_max.min(prepared.call.connection.settings.response_bytes_max);
                collect(raw, empty, body_bytes_max).await.map(|body| Response { body, ..answer })
            };
            match taken {
                Ok(response) => Ok(response),
                Err(failure) => {
                    // The row shows the headers of an answer whose body could not be taken.
                    trace.note(|noted| noted.response_headers = kept);
                    Err(failure)
                }
            }
        })
    }
}

async fn collect(raw: Raw, empty: bool, body_bytes_max: u64) -> Result<Bytes, Failure> {
    let status = raw.status;
    let broken = |error| Failure { status: Some(status), ..Failure::sent(error) };
    decode::check_headers(&raw.headers).map_err(broken)?;
    if empty {
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

fn begin(raw: Raw, body_bytes_max: u64) -> Result<Piecewise, Failure> {
    let status = Some(raw.status);
    let broken = |error| Failure { status, ..Failure::sent(error) };
    decode::check_headers(&raw.headers).map_err(broken)?;
    let decoder = PieceDecoder::new(&raw.headers, body_bytes_max).map_err(broken)?;
    Ok(Piecewise::new(Arriving { body: raw.body, decoder, status, idle: BODY_IDLE_MAX }))
}

/// A body on its way, decoded as it comes.
struct Arriving {
    body: Chunks,
    decoder: PieceDecoder,
    status: Option<u16>,
    idle: Duration,
}

#[async_trait::async_trait]
impl Pieces for Arriving {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let status = self.status;
        let broken = |error| Failure { status, ..Failure::sent(error) };
        loop {
            if let Some(piece) = self.decoder.take().map_err(broken)? {
                return Ok(Some(piece));
            }
            if self.decoder.is_over() {
                return Ok(None);
            }
            let next = tokio::time::timeout(self.idle, self.body.next()).await;
            // Silence may pass, as a lost connection may.
            match next.map_err(|_| broken(Error::Timeout).passing().detail("the peer fell silent"))? {
                Some(Ok(chunk)) => self.decoder.push(chunk).map_err(broken)?,
                Some(Err(failure)) => return Err(Failure { status, ..failure }),
                None => self.decoder.end().map_err(broken)?,
            }
        }
    }
}

/// Stands in the stream for a failure that was put aside.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
struct Lost;

fn listed(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::service::Again;
    use futures_util::stream;
    use tokio::time::Instant;

    /// One piece, and then nothing for ever.
    fn silent() -> Raw {
        let first = stream::iter([Ok(Bytes::from_static(b"x"))]);
        Raw::for_tests(Box::pin(first.chain(stream::pending())))
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_body_after_its_time_whole_or_in_pieces() {
        let begun = Instant::now();
        let failure = collect(silent(), false, 1 << 20).await.unwrap_err();
        assert!(matches!(failure.error, Error::Timeout), "{failure:?}");
        assert_eq!(begun.elapsed(), BODY_IDLE_MAX);
        let mut pieces = begin(silent(), 1 << 20).unwrap().into_inner();
        assert_eq!(pieces.next().await.unwrap().unwrap(), "x");
        let begun = Instant::now();
        let failure = pieces.next().await.unwrap_err();
        assert!(matches!(failure.error, Error::Timeout) && failure.again == Again::Passing, "{failure:?}");
        assert_eq!(begun.elapsed(), BODY_IDLE_MAX);
    }
}
