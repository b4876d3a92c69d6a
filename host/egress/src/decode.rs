//! Bounded decode: turns the wire's chunks into one body, or stops at the first bound.
//!
//! Owns the caps on headers, decoded bytes, members and ratio, the idle time between chunks and the comparison
//! with `Content-Length`; the content codings (RFC 9110 §8.4) are `coded`'s. Refuses stacked ones, and those that
//! were not asked for. Before the echo scan, because a secret inside a compressed body has to be
//! found; every bound is held while the bytes arrive, never after.

mod coded;
mod piecewise;

use crate::{Error, limits};
use bytes::{Bytes, BytesMut};
use coded::{Coded, Coding};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
pub(crate) use piecewise::PieceDecoder;
use std::{io, pin::pin, time::Duration};

/// What one answer may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DecodeLimits {
    /// Largest decoded body.
    pub body_bytes_max: u64,
    /// Longest silence between two chunks.
    pub idle: Duration,
}

/// Holds an answer's headers to their caps. Errors are fit for guests.
pub(crate) fn check_headers(headers: &HeaderMap) -> Result<(), Error> {
    if headers.len() > limits::RESPONSE_HEADERS_MAX {
        return Err(malformed(format!("the answer has more than {} headers", limits::RESPONSE_HEADERS_MAX)));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > limits::RESPONSE_HEADER_BYTES_MAX {
        return Err(Error::TooLarge(limits::RESPONSE_HEADER_BYTES_MAX as u64));
    }
    Ok(())
}

/// Reads `stream` to its end and returns the decoded body.
pub(crate) async fn collect<S, E>(
    headers: &HeaderMap,
    stream: S,
    limits: &DecodeLimits,
) -> Result<Bytes, Error>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut body = match coding(headers)? {
        None => Body::Plain(Plain::new(limits.body_bytes_max)),
        Some(coding) => Body::Coded(Coded::new(coding, limits.body_bytes_max)),
    };
    let announced = content_length(headers)?;
    let mut wire_bytes = 0u64;
    let mut stream = pin!(stream);
    loop {
        let next = tokio::time::timeout(limits.idle, stream.next()).await.map_err(|_| Error::Timeout)?;
        let Some(chunk) = next else { break };
        let chunk = chunk.map_err(|error| broken(&error))?;
        if chunk.is_empty() {
            continue;
        }
        wire_bytes = wire_bytes.saturating_add(chunk.len() as u64);
        if announced.is_some_and(|bytes| wire_bytes > bytes) {
            return Err(malformed("the body is longer than its `content-length`"));
        }
        body.push(chunk)?;
    }
    // Zero bytes are an answer to HEAD, 204 or 304, where the length and the coding describe another body.
    if wire_bytes > 0 && announced.is_some_and(|bytes| wire_bytes != bytes) {
        return Err(malformed("the body is shorter than its `content-length`"));
    }
    body.finish(wire_bytes)
}

/// At most one; none = the body as it is.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Error> {
    let mut found: Option<String> = None;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| malformed("`content-encoding` is not ASCII"))?;
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if found.replace(name.to_ascii_lowercase()).is_some() {
                return Err(malformed("more than one content coding"));
            }
        }
    }
    let Some(name) = found.filter(|name| name != "identity") else { return Ok(None) };
    Coding::named(&name).map(Some).ok_or_else(|| {
        let shown: String = name.chars().filter(char::is_ascii_graphic).take(32).collect();
        malformed(format!("content coding `{shown}` is not supported"))
    })
}

/// All `Content-Length` values must agree (RFC 9112 §6.3).
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let mut found = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let length = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let length = length.and_then(|text| text.parse::<u64>().ok());
        match (length, found) {
            (None, _) => return Err(malformed("`content-length` is not a number")),
            (Some(one), Some(other)) if one != other => {
                return Err(malformed("two `content-length` headers disagree"));
            }
            (one, _) => found = one,
        }
    }
    Ok(found)
}

enum Body {
    Plain(Plain),
    Coded(Coded),
}

impl Body {
    fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        match self {
            Body::Plain(plain) => plain.push(chunk),
            Body::Coded(coded) => coded.push(&chunk),
        }
    }

    fn finish(self, wire_bytes: u64) -> Result<Bytes, Error> {
        match self {
            Body::Plain(plain) => Ok(plain.finish()),
            Body::Coded(_) if wire_bytes == 0 => Ok(Bytes::new()),
            Body::Coded(coded) => coded.finish(),
        }
    }
}

/// An answer that came in one chunk is handed on without a copy: most do.
struct Plain {
    body_bytes_max: u64,
    first: Bytes,
    rest: BytesMut,
}

impl Plain {
    fn new(body_bytes_max: u64) -> Self {
        Self { body_bytes_max, first: Bytes::new(), rest: BytesMut::new() }
    }

    fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        let so_far = self.first.len() + self.rest.len();
        if (so_far as u64).saturating_add(chunk.len() as u64) > self.body_bytes_max {
            return Err(Error::TooLarge(self.body_bytes_max));
        }
        if so_far == 0 {
            self.first = chunk;
            return Ok(());
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&chunk);
        Ok(())
    }

    fn finish(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

/// A body that broke off: a lost connection is told apart from an answer that is not HTTP. The text of the
/// cause may hold a URL or an address, so it goes no further.
fn broken(error: &(dyn std::error::Error + 'static)) -> Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::UnexpectedEof) => return malformed("the body broke off"),
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                return malformed("the body's framing is broken");
            }
            Some(io::ErrorKind::TimedOut) => return Error::Timeout,
            Some(
                io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe,
            ) => return Error::Connect("the connection was lost while the answer arrived".into()),
            _ => cause = error.source(),
        }
    }
    malformed("the body broke off")
}

fn malformed(text: impl Into<String>) -> Error {
    Error::Malformed(text.into())
}

#[cfg(test)]
mod tests;
