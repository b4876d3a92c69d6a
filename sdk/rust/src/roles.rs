//! The roles beside actions and source: lifecycle, destination, webhook, subscriptions, migration.

use crate::{Config, Error, Result, StreamDescriptor};

/// What every connector has. `impl Lifecycle for T {}` = the check always passes.
pub trait Lifecycle {
    /// Whether this config and the bound credentials work: at best one cheap, safe request.
    fn check(config: Config) -> Result<()> {
        let _ = config;
        Ok(())
    }
}

/// Takes records in batches.
pub trait Destination {
    /// Writes; refused lines come back. A batch may come again with the same id and the same bytes.
    fn write(config: Config, batch: Batch) -> Result<Vec<Rejected>>;

    /// A complete read has ended: removes what is older than `generation` and says how much, or fails with `Conflict` and
    /// removes nothing where that were more than `removed_max`.
    fn complete(config: Config, stream_name: &str, generation: u64, removed_max: Option<u64>) -> Result<u64>;
}

/// How a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each record is added.
    Append,
    /// By primary key.
    Upsert,
    /// By primary key; [`Destination::complete`] removes the rest.
    Replace,
}

/// Records of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Same id = same bytes.
    pub id: String,
    /// The stream.
    pub stream: StreamDescriptor,
    /// How to write.
    pub mode: Mode,
    /// Grows with each complete read.
    pub generation: u64,
    /// NDJSON.
    pub records: Vec<u8>,
}

impl Batch {
    /// Lines with their numbers, from 0; a line that is not UTF-8 is left out (the host sends none).
    pub fn lines(&self) -> impl Iterator<Item = (u32, &str)> {
        let lines = self.records.split(|byte| *byte == b'\n');
        (0u32..)
            .zip(lines)
            .filter(|(_, line)| !line.is_empty())
            .filter_map(|(at, line)| Some((at, str::from_utf8(line).ok()?)))
    }
}

/// A line that was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// From 0.
    pub line: u32,
    /// Why.
    pub error: Error,
}

/// Reads what a vendor delivers; the host has verified the signature.
pub trait Webhook {
    /// The events of a delivery.
    fn handle(config: Config, delivery: Delivery) -> Result<Handled>;
}

/// One accepted delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The host's id of it.
    pub id: String,
    /// As sent.
    pub method: String,
    /// As sent.
    pub path: String,
    /// As sent.
    pub query: String,
    /// Lower-case names.
    pub headers: Vec<(String, Vec<u8>)>,
    /// As sent.
    pub body: Vec<u8>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub name: String,
    /// The vendor's id, by which duplicates are suppressed.
    pub id: Option<String>,
    /// JSON text.
    pub payload: String,
}

/// An answer for vendors that want a certain one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body.
    pub body: Vec<u8>,
}

/// What a delivery held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// In order.
    pub events: Vec<Event>,
    /// None = the host's own.
    pub reply: Option<Reply>,
}

/// Vendor subscriptions that must be made and renewed.
pub trait Subscriptions {
    /// Creates one, renews `existing`, or makes a new one where the vendor forgot it.
    fn ensure(config: Config, callback_url: &str, existing: Option<Subscription>) -> Result<Subscription>;

    /// Ends it; one that the vendor no longer knows is no error.
    fn remove(config: Config, existing: Subscription) -> Result<()>;
}

/// What the vendor promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The vendor's id.
    pub id: String,
    /// JSON text: what the connector needs to renew it.
    pub state: String,
    /// When that is due.
    pub renew_after_ms: Option<u64>,
}

/// From an older version's values to this one's, once; the older ones are kept. Pure: every import is denied. An error ends the
/// run before it begins.
pub trait Migration {
    /// A position of an older `position-version`.
    fn position(stream_name: &str, from_version: u32, position: &str) -> Result<String>;

    /// A config of an older `config-version`: what comes of it is shown to the operator, who pastes it or not.
    fn config(from_version: u32, config: &str) -> Result<String>;

    /// One value of the state; none = it is dropped.
    fn state(key: &str, from_version: u32, value: Vec<u8>) -> Result<Option<Vec<u8>>>;
}
