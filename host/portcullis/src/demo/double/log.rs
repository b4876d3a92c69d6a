//! The double's own record of what arrived on the wire, kept outside the product: what the demo's steps are checked against.
//! Appends only; refuses more than its bound.

use super::{limits::RECEIVED_MAX, locked};
use portcullis_clock::Timestamp;
use std::{fmt, sync::Mutex};

/// One request as it arrived.
#[derive(Clone, PartialEq, Eq)]
pub struct Received {
    /// When its head was complete.
    pub at: Timestamp,
    /// Which connection brought it, from 1.
    pub connection: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// The name that TLS asked for.
    pub sni: Option<String>,
    /// `Host` or `:authority`.
    pub host: String,
    /// The method.
    pub method: String,
    /// The path, as it came.
    pub path: String,
    /// The query without `?`, as it came.
    pub query: String,
    /// Names in lower case, in order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What the double answered; none where it closed the connection instead.
    pub status: Option<u16>,
    /// Whether it changed something at the vendor.
    pub effect: bool,
}

impl Received {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Received {
    /// Headers and body hold the key of the vendor: neither is printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{} -> {:?}", self.method, self.host, self.path, self.status)
    }
}

/// Sums over the life of a double.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that arrived.
    pub requests: u64,
    /// Objects made or changed.
    pub effects: u64,
    /// Answers given again for a known idempotency key.
    pub replays: u64,
    /// Answers 429.
    pub rate_limited: u64,
    /// Answers withheld after the effect.
    pub lost: u64,
    /// Answers 401.
    pub unauthorized: u64,
    /// Connections at the plain listener that nobody may reach.
    pub trap_connects: u64,
}

#[derive(Default)]
struct Kept {
    received: Vec<Received>,
    counters: Counters,
}

/// The log.
#[derive(Default)]
pub(super) struct Log(Mutex<Kept>);

impl Log {
    pub(super) fn push(&self, received: Received) {
        let mut kept = locked(&self.0);
        kept.counters.requests += 1;
        if kept.received.len() < RECEIVED_MAX {
            kept.received.push(received);
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut locked(&self.0).counters);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        locked(&self.0).received.clone()
    }

    pub(super) fn counters(&self) -> Counters {
        locked(&self.0).counters
    }
}
