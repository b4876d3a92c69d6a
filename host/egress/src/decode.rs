//! Bounded decode: turns the wire's chunks into one body, or stops at the first bound.
//!
//! Owns content codings (RFC 9110 §8.4; gzip is RFC 1952), the caps on headers, decoded bytes, members and
//! ratio, the idle time between chunks and the comparison with `Content-Length`. Refuses every coding but a
//! single gzip, stacked ones too. Before the echo scan, because a secret inside a compressed body has to be
//! found; every bound is held while the bytes arrive, never after.

use crate::{Error, limits};
use bytes::{Bytes, BytesMut};
use flate2::write::GzDecoder;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
use std::{
    io::{self, Write},
    pin::pin,
    time::Duration,
};

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
        Coding::Identity => Body::Plain(Plain::new(limits.body_bytes_max)),
        Coding::Gzip => Body::Gzip(Box::new(Gzip::new(limits.body_bytes_max))),
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

enum Coding {
    Identity,
    Gzip,
}

fn coding(headers: &HeaderMap) -> Result<Coding, Error> {
    let mut found: Option<String> = None;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let value = value.to_str().map_err(|_| malformed("`content-encoding` is not ASCII"))?;
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if found.replace(name.to_ascii_lowercase()).is_some() {
                return Err(malformed("more than one content coding"));
            }
        }
    }
    match found.as_deref() {
        None | Some("identity") => Ok(Coding::Identity),
        Some("gzip" | "x-gzip") => Ok(Coding::Gzip),
        Some(other) => {
            let shown: String = other.chars().filter(char::is_ascii_graphic).take(32).collect();
            Err(malformed(format!("content coding `{shown}` is not supported")))
        }
    }
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
    Gzip(Box<Gzip>),
}

impl Body {
    fn push(&mut self, chunk: Bytes) -> Result<(), Error> {
        match self {
            Body::Plain(plain) => plain.push(chunk),
            Body::Gzip(gzip) => gzip.push(&chunk),
        }
    }

    fn finish(self, wire_bytes: u64) -> Result<Bytes, Error> {
        match self {
            Body::Plain(plain) => Ok(plain.finish()),
            Body::Gzip(_) if wire_bytes == 0 => Ok(Bytes::new()),
            Body::Gzip(gzip) => gzip.finish(),
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

/// Members one after the other (RFC 1952 §2.2), all under one cap.
struct Gzip {
    /// None only after an error or between two members.
    member: Option<GzDecoder<Sink>>,
    between: Option<Sink>,
    members: u32,
}

impl Gzip {
    fn new(body_bytes_max: u64) -> Self {
        let sink = Sink { body_bytes_max, wire_bytes: 0, body: Vec::new(), stopped: None };
        Self { member: None, between: Some(sink), members: 0 }
    }

    fn push(&mut self, mut wire: &[u8]) -> Result<(), Error> {
        let mut counted = false;
        while !wire.is_empty() {
            let mut member = match self.member.take() {
                Some(member) => member,
                None => self.next_member()?,
            };
            if !counted {
                counted = true;
                let sink = member.get_mut();
                sink.wire_bytes = sink.wire_bytes.saturating_add(wire.len() as u64);
            }
            match member.write(wire) {
                // The member has ended and something follows it.
                Ok(0) => self.between = Some(member.finish().map_err(|_| corrupt())?),
                Ok(read) => {
                    wire = &wire[read..];
                    self.member = Some(member);
                }
                Err(_) => return Err(member.get_mut().stopped.take().unwrap_or_else(corrupt)),
            }
        }
        Ok(())
    }

    fn next_member(&mut self) -> Result<GzDecoder<Sink>, Error> {
        self.members += 1;
        if self.members > limits::GZIP_MEMBERS_MAX {
            return Err(malformed(format!("more than {} gzip members", limits::GZIP_MEMBERS_MAX)));
        }
        self.between.take().map(GzDecoder::new).ok_or_else(corrupt)
    }

    fn finish(self) -> Result<Bytes, Error> {
        let Some(mut member) = self.member else { return Err(corrupt()) };
        if let Err(_error) = member.try_finish() {
            return Err(member.get_mut().stopped.take().unwrap_or_else(corrupt));
        }
        Ok(std::mem::take(&mut member.get_mut().body).into())
    }
}

/// Takes decoded bytes, at most 32 KiB at a time, and refuses the first that is too much.
struct Sink {
    body_bytes_max: u64,
    wire_bytes: u64,
    body: Vec<u8>,
    stopped: Option<Error>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let decoded = (self.body.len() as u64).saturating_add(bytes.len() as u64);
        if decoded > self.body_bytes_max {
            self.stopped = Some(Error::TooLarge(self.body_bytes_max));
        } else if decoded > limits::RATIO_FREE_BYTES && decoded / limits::RATIO_MAX > self.wire_bytes {
            self.stopped = Some(malformed(format!("compressed more than {} to 1", limits::RATIO_MAX)));
        } else {
            self.body.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        Err(io::Error::other("stopped"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

fn corrupt() -> Error {
    malformed("the gzip body is cut short or corrupt")
}

fn malformed(text: impl Into<String>) -> Error {
    Error::Malformed(text.into())
}

#[cfg(test)]
mod tests;
