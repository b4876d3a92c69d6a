//! What a guest asks for and what it gets.
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
    /// Total time, at most the connection's.
    pub timeout: Option<Duration>,
    /// Largest decoded body that is wanted, at most the connection's.
    pub response_bytes_max: Option<u64>,
    /// Slot name.
    pub credential: Option<String>,
    /// The guest's key.
    pub idempotency_key: Option<String>,
}

/// Decoded, bounded, scanned.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Headers, lower-case names.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Decoded body.
    pub body: Bytes,
    /// The rule says that the host follows where this leads.
    pub(crate) follow: bool,
}
