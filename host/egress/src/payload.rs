//! Bodies that lie outside memory: read anew for each attempt, their length known before the first byte. Multipart as in
//! RFC 7578, its names quoted as browsers do (WHATWG HTML, `multipart/form-data` encoding algorithm).
//!
//! Refuses more parts, or longer words about them, than are kept in memory, and a part whose type is no header value.
use crate::{
    Error,
    limits::{PART_HEAD_BYTES_MAX, PARTS_MAX, PAYLOAD_PIECE_BYTES},
    service::Failure,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::HeaderValue;
use sha2::{Digest, Sha256};
use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

/// Bytes that the host holds and that do not change.
#[async_trait::async_trait]
pub trait Held: Send + Sync {
    /// At most `max` bytes from `offset`; fewer only at the end.
    async fn read(&self, offset: u64, max: usize) -> io::Result<Bytes>;
    /// SHA-256 of a part.
    async fn sha256(&self, offset: u64, size: u64) -> io::Result<[u8; 32]>;
}

/// Bytes of a body.
#[derive(Clone)]
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// A part of what the host holds.
    Held {
        /// Where.
        held: Arc<dyn Held>,
        /// From which byte on.
        offset: u64,
        /// How many; all of them are there.
        size: u64,
    },
}

/// One part of a multipart body.
#[derive(Clone, Debug)]
pub struct Part {
    /// Of the field.
    pub name: String,
    /// Of the file.
    pub file_name: Option<String>,
    /// Media type.
    pub content_type: Option<String>,
    /// Its bytes.
    pub content: Content,
}

/// A body that is no plain bytes.
#[derive(Clone, Debug)]
pub enum Payload {
    /// As it is.
    Content(Content),
    /// `multipart/form-data`.
    Multipart(Vec<Part>),
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Content({} bytes)", self.size())
    }
}

impl Content {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Held { size, .. } => *size,
        }
    }

    async fn sha256(&self) -> io::Result<[u8; 32]> {
        match self {
            Self::Bytes(bytes) => Ok(Sha256::digest(bytes).into()),
            Self::Held { held, offset, size } => held.sha256(*offset, *size).await,
        }
    }
}

impl Payload {
    /// The segments that make up the body on the wire, in order.
    pub(crate) fn segments(&self, boundary: &str) -> Result<Segments, Failure> {
        match self {
            Self::Content(content) => Ok(Segments(vec![content.clone()])),
            Self::Multipart(parts) => multipart(parts, boundary),
        }
    }

    /// What a repetition must have in common with the first: all but the boundary.
    pub(crate) async fn fingerprint(&self) -> io::Result<Vec<u8>> {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        match self {
            Self::Content(content) => field(&content.sha256().await?),
            Self::Multipart(parts) => {
                for part in parts {
                    field(part.name.as_bytes());
                    for word in [&part.file_name, &part.content_type] {
                        field(&[u8::from(word.is_some())]);
                        field(word.as_deref().unwrap_or_default().as_bytes());
                    }
                    field(&part.content.sha256().await?);
                }
            }
        }
        Ok(hash.finalize().to_vec())
    }
}

fn multipart(parts: &[Part], boundary: &str) -> Result<Segments, Failure> {
    if parts.len() > PARTS_MAX {
        return Err(Failure::denied(format!("{} parts, which is more than {PARTS_MAX}", parts.len()), None));
    }
    let (mut segments, mut words) = (Vec::with_capacity(parts.len() * 2 + 1), 0);
    let mut before = "";
    for part in parts {
        let mut head = format!("{before}--{boundary}\r\nContent-Disposition: form-data; name=\"");
        head.push_str(&quoted(&part.name));
        head.push('"');
        if let Some(name) = &part.file_name {
            head.push_str("; filename=\"");
            head.push_str(&quoted(name));
            head.push('"');
        }
        if let Some(media_type) = &part.content_type {
            let is_value = HeaderValue::from_str(media_type).is_ok_and(|value| value.to_str().is_ok());
            if !is_value {
                return Err(Failure::denied("the type of a part is no header value", None));
            }
            head.push_str("\r\nContent-Type: ");
            head.push_str(media_type);
        }
        head.push_str("\r\n\r\n");
        words += head.len();
        if words > PART_HEAD_BYTES_MAX {
            return Err(Failure::unsent(Error::TooLarge(PART_HEAD_BYTES_MAX as u64)));
        }
        segments.extend([Content::Bytes(head.into()), part.content.clone()]);
        before = "\r\n";
    }
    segments.push(Content::Bytes(format!("{before}--{boundary}--\r\n").into()));
    Ok(Segments(segments))
}

/// No name ends its quotes or its line.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// A body as it goes out.
#[derive(Clone, Debug)]
pub(crate) struct Segments(Vec<Content>);

impl Segments {
    pub fn bytes(&self) -> u64 {
        self.0.iter().fold(0, |sum, segment| sum.saturating_add(segment.size()))
    }

    /// From its first byte.
    pub fn body(&self) -> Outgoing {
        let pieces = stream::iter(self.0.clone()).flat_map(pieces);
        Outgoing { pieces: Mutex::new(Box::pin(pieces)), left: self.bytes() }
    }
}

fn pieces(content: Content) -> Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>> {
    let (held, offset, size) = match content {
        Content::Bytes(bytes) => return Box::pin(stream::iter([Ok(bytes)])),
        Content::Held { held, offset, size } => (held, offset, size),
    };
    Box::pin(stream::try_unfold((held, offset, size), |(held, offset, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let max = usize::try_from(left).unwrap_or(usize::MAX).min(PAYLOAD_PIECE_BYTES);
        let piece = held.read(offset, max).await?;
        let read = piece.len() as u64;
        if read == 0 {
            return Err(io::Error::other("the host no longer holds these bytes"));
        }
        Ok(Some((piece, (held, offset + read, left.saturating_sub(read)))))
    }))
}

/// A body on its way out, its length told beforehand.
pub(crate) struct Outgoing {
    /// Never contended: the transport wants a body that could be shared.
    pieces: Mutex<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>>,
    left: u64,
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        let pieces = self.pieces.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Poll::Ready(next) = pieces.as_mut().poll_next(context) else { return Poll::Pending };
        if let Some(Ok(piece)) = &next {
            let bytes = piece.len() as u64;
            self.left = self.left.saturating_sub(bytes);
        }
        Poll::Ready(next.map(|piece| piece.map(http_body::Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests;
