//! Answers whose body is not here yet: read piece by piece, or left with the host as a blob.

use super::{Response, wit};
use crate::{Error, Result, blobs::Blob, sse::Events};
use std::io;

#[cfg(not(target_arch = "wasm32"))]
use crate::harness::BodyStream as Body;
#[cfg(target_arch = "wasm32")]
use wit::BodyStream as Body;

/// What is asked for at least, where bytes are read as [`io::Read`].
const CHUNK_BYTES: u32 = 16 << 10;

/// The body's pieces; dropping it ends the exchange. Also an [`io::Read`].
#[derive(Debug)]
pub struct BodyStream {
    body: Body,
    what: String,
    held: Vec<u8>,
    at: usize,
}

impl BodyStream {
    pub(super) fn new(body: Body, what: String) -> Self {
        Self { body, what, held: Vec::new(), at: 0 }
    }

    /// At most `max` bytes, at least one; none = the body has ended.
    pub fn read_chunk(&mut self, max: u32) -> Result<Option<Vec<u8>>> {
        if self.at < self.held.len() {
            let end = self.held.len().min(self.at.saturating_add(max as usize));
            let chunk = self.held[self.at..end].to_vec();
            self.at = end;
            return Ok(Some(chunk));
        }
        self.body.read(max.max(1)).map_err(|error| super::unanswered(&self.what, error))
    }
}

impl io::Read for BodyStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.at == self.held.len() {
            // However little is wanted at a time: each call of the host has its price.
            let wanted = u32::try_from(into.len()).unwrap_or(u32::MAX).max(CHUNK_BYTES);
            let Some(chunk) = self.read_chunk(wanted).map_err(io::Error::other)? else { return Ok(0) };
            (self.held, self.at) = (chunk, 0);
        }
        let size = into.len().min(self.held.len() - self.at);
        into[..size].copy_from_slice(&self.held[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}

/// An answer that has begun.
#[derive(Debug)]
pub struct Opened {
    head: Response,
    body: BodyStream,
}

impl Opened {
    pub(super) fn new(head: wit::ResponseHead, body: BodyStream) -> Self {
        Self { head: head.into(), body }
    }

    /// Status and headers; its body is empty.
    pub fn head(&self) -> &Response {
        &self.head
    }

    /// The answer where its status is 2xx; else the error that it means. Then the body is read, for the vendor's words.
    pub fn error_for_status(mut self) -> Result<Self> {
        /// More is no error message.
        const ERROR_BYTES_MAX: usize = 256 << 10;
        if self.head.is_success() {
            return Ok(self);
        }
        let mut body = Vec::new();
        while body.len() <= ERROR_BYTES_MAX {
            // What broke off says as much as arrived.
            let Ok(Some(chunk)) = self.body.read_chunk(16 << 10) else { break };
            body.extend(chunk);
        }
        match self.head.with_body(body).error_for_status() {
            Err(error) => Err(error),
            Ok(_) => Err(Error::internal("an answer that is an error and is none")),
        }
    }

    /// Its body.
    pub fn into_body(self) -> BodyStream {
        self.body
    }

    /// Its body as server-sent events.
    pub fn events(self) -> Events {
        Events::new(self.body)
    }
}

/// An answer whose body the host keeps.
#[derive(Clone, Debug)]
pub struct Downloaded {
    head: Response,
    blob: Blob,
}

impl Downloaded {
    pub(super) fn new(head: wit::ResponseHead, blob: String) -> Self {
        Self { head: head.into(), blob: Blob::of(blob) }
    }

    /// Status and headers; its body is empty.
    pub fn head(&self) -> &Response {
        &self.head
    }

    /// The body.
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The blob where the status is 2xx; else the error that it means, with the vendor's words out of the body.
    pub fn error_for_status(self) -> Result<Self> {
        const ERROR_BYTES_MAX: u32 = 256 << 10;
        if self.head.is_success() {
            return Ok(self);
        }
        let body = self.blob.read_at(0, ERROR_BYTES_MAX).unwrap_or_default();
        match self.head.with_body(body).error_for_status() {
            Err(error) => Err(error),
            Ok(_) => Err(Error::internal("an answer that is an error and is none")),
        }
    }
}
