//! What a call is made of and what comes back: plain types that mirror the WIT, JSON values as texts.

use crate::{Debt, Folder, Logs, State};
pub use crate::{
    compile::compile_child_main,
    runtime::{Prepared, Runtime},
};
use portcullis_clock::Clock;
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

/// Process-wide settings.
#[derive(Clone, Debug)]
pub struct RuntimeSettings {
    /// 0700 folder of compiled code (`data/cache`).
    pub cache: PathBuf,
    /// Live instances at most.
    pub instances_max: u32,
    /// How to start the compile child: program and leading arguments (`/proc/self/exe compile-child`).
    pub compile_child: (PathBuf, Vec<String>),
}

/// `[connections.X.limits]`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory.
    pub memory_bytes_max: u64,
    /// Wall time of the call.
    pub timeout: Duration,
    /// CPU time of the guest.
    pub cpu: Duration,
    /// Log bytes a call.
    pub log_bytes_max: u64,
}

/// What one call brings along.
pub struct CallSettings {
    /// Bounds.
    pub limits: Limits,
    /// The way out; `None` = every `http` function is denied (empty grants).
    pub egress: Option<Arc<portcullis_egress::Call>>,
    /// State of the connection.
    pub state: Arc<dyn State>,
    /// Blobs of the run.
    pub spool: Arc<crate::Spool>,
    /// Log lines.
    pub logs: Arc<dyn Logs>,
    /// Assets of the component.
    pub assets: Arc<BTreeMap<String, Vec<u8>>>,
    /// Granted folders by the names of the manifest.
    pub folders: Arc<BTreeMap<String, Arc<Folder>>>,
    /// Seed of `wasi:random`: the same for a repeated attempt.
    pub seed: [u8; 32],
    /// What the guest's clocks show. Its limits are held by real time.
    pub clock: Arc<dyn Clock>,
    /// What the connection's guests computed lately: the same for all of its calls.
    pub debt: Arc<Debt>,
    /// Cancels when it turns true.
    pub cancelled: tokio::sync::watch::Receiver<bool>,
}

/// Which export is called. JSON values are texts.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Operation {
    Check { config: String },
    Invoke { config: String, action: String, input: String, resume: Option<String> },
    Discover { config: String },
    Read { config: String, stream_name: String, position: Position, max_records: Option<u32> },
    Write { config: String, batch: Batch },
    Complete { config: String, stream_name: String, generation: u64, removed_max: Option<u64> },
    Handle { config: String, delivery: Delivery },
    Ensure { config: String, callback_url: String, existing: Option<Subscription> },
    Remove { config: String, existing: Subscription },
    MigratePosition { stream_name: String, from_version: u32, position: String },
    MigrateConfig { from_version: u32, config: String },
    MigrateState { key: String, from_version: u32, value: Vec<u8> },
}

/// `position` of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Position {
    Start,
    Checkpoint(String),
    Next(String),
}

/// `batch` of the WIT.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Batch {
    pub id: String,
    pub stream_descriptor: StreamDescriptor,
    pub mode: &'static str,
    pub generation: u64,
    pub records: Vec<u8>,
}

/// `stream-descriptor` of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct StreamDescriptor {
    pub name: String,
    pub schema: String,
    pub primary_key: Vec<String>,
    pub cursor_field: Option<String>,
    pub deleted_field: Option<String>,
    pub complete_reads: bool,
}

/// `delivery` of the WIT.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Delivery {
    pub id: String,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// `subscription` of the WIT.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Subscription {
    pub id: String,
    pub state: String,
    pub renew_after_ms: Option<u64>,
}

/// `page` of the WIT; `records` is NDJSON that the host checked line by line (each an object, UTF-8, count below).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Page {
    pub records: Vec<u8>,
    pub count: u64,
    pub next: Option<String>,
    pub checkpoint: Option<String>,
    pub again_after_ms: Option<u64>,
}

/// What came back.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Output {
    Unit,
    Done(String),
    Pending { resume: String, after_ms: u64 },
    Streams(Vec<StreamDescriptor>),
    Page(Page),
    Rejected(Vec<(u32, crate::ConnectorError)>),
    Removed(u64),
    Events { events: Vec<Event>, reply: Option<Reply> },
    Subscription(Subscription),
    Json(String),
    State(Option<Vec<u8>>),
}

/// `event` of the WIT: name, id, payload.
pub type Event = (String, Option<String>, String);

/// `reply` of the WIT: status, headers, body.
pub type Reply = (u16, Vec<(String, Vec<u8>)>, Vec<u8>);

/// What a call used, beside its result.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Guest CPU.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
    /// Host calls.
    pub host_calls: u64,
}
