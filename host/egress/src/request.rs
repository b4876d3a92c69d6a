//! What a guest asks for and what it gets.
use crate::payload::Payload;
use crate::pieces::{Body, Open, Piecewise};
use bytes::Bytes;
use std::time::Duration;

/// As handed over by the guest: hostile until the pipeline parsed it.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Method as written.
    pub method: String,
    /// URL as written.
    pub url: String,
    /// Headers as written.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body.
    pub body: Option<Bytes>,
    /// In its stead: a body that lies outside memory.
    pub payload: Option<Payload>,
    /// Total time, at most the connection's.
    pub timeout: Option<Duration>,
    /// Largest decoded body that is wanted, at most the connection's.
    pub response_bytes_max: Option<u64>,
    /// Slot name.
    pub credential: Option<String>,
    /// The guest's key.
    pub idempotency_key: Option<String>,
}

/// How the body of an answer is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// At once.
    #[default]
    Whole,
    /// As it arrives.
    Pieces,
    /// As it arrives, and so that a broken one can go on: without a coding.
    Parts,
}

/// An answer without its body.
#[derive(Clone, Debug)]
pub struct Head {
    /// Status.
    pub status: u16,
    /// Headers, lower-case names.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Decoded, bounded, scanned.
#[derive(Debug)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Headers, lower-case names.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Decoded body.
    pub body: Bytes,
    /// In its stead, where pieces were asked for and the answer is a success.
    pub(crate) pieces: Option<Piecewise>,
    /// The request may be sent again, whatever came of it.
    pub(crate) safe: bool,
    /// The rule says that the host follows where this leads.
    pub(crate) follow: bool,
}

impl Response {
    pub(crate) fn opened(self, open: Open) -> (Head, Body) {
        let head = Head { status: self.status, headers: self.headers };
        match self.pieces {
            Some(pieces) => (head, Body::of(pieces, open)),
            None => (head, Body::whole(self.body)),
        }
    }
}
