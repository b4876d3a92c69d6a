//! The port through which the engine has a connector called. The wiring implements it over the runtime.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::watch;

/// Calls a connector once, in a fresh instance.
#[async_trait::async_trait]
pub trait Caller: Send + Sync {
    /// One attempt. Comes back soon after `cancelled` turned true, with the kind `cancelled`.
    async fn call(&self, request: CallRequest) -> CallReport;

    /// The run is over: what was kept for its calls may go.
    fn ended(&self, _run_id: &str) {}
}

/// One attempt of one call.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// Connection's name.
    pub connection: String,
    /// `conn_…`
    pub connection_id: String,
    /// `run_…`
    pub run_id: String,
    /// Step.
    pub step: String,
    /// The durable place of the call in its step: the same for every attempt, so that idempotency keys hold.
    pub call: String,
    /// 1 = first.
    pub attempt: u32,
    /// Correlation id.
    pub correlation_id: String,
    /// What is called.
    pub operation: Operation,
    /// Nothing that may have an effect leaves, and nothing is kept.
    pub dry_run: bool,
    /// Turns true when the run is to stop.
    pub cancelled: watch::Receiver<bool>,
}

/// Which function of the connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `lifecycle.check`
    Check,
    /// `source.discover`
    Discover,
    /// `actions.invoke`
    Invoke {
        /// Action.
        action: String,
        /// JSON text, valid by the action's schema.
        input: String,
        /// What an earlier `pending` gave back.
        resume: Option<String>,
    },
    /// `source.read`
    Read {
        /// Stream.
        stream: String,
        /// From where.
        position: Position,
        /// Records wanted in a page.
        max_records: Option<u32>,
    },
    /// `webhook.handle`
    Handle(Delivery),
    /// `destination.write`
    Write(Batch),
    /// `destination.complete`
    Complete {
        /// Stream.
        stream: String,
        /// What is older is gone at the source.
        generation: u64,
        /// Where more than that would go, nothing does.
        removed_max: Option<u64>,
    },
    /// `migration.position`
    MovePosition {
        /// Stream.
        stream: String,
        /// The older `position-version`.
        from_version: u32,
        /// JSON text.
        position: String,
    },
    /// `migration.state`
    MoveState {
        /// Key.
        key: String,
        /// The older `position-version`.
        from_version: u32,
        /// As it was stored.
        value: Vec<u8>,
    },
}

/// `delivery` of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Under which it is stored.
    pub id: String,
    /// As sent.
    pub method: String,
    /// As sent.
    pub path: String,
    /// As sent, without its `?`.
    pub query: String,
    /// Lower-case names.
    pub headers: Vec<(String, Vec<u8>)>,
    /// As sent.
    pub body: Vec<u8>,
}

/// `batch` of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The same one = the same bytes of the same run.
    pub id: String,
    /// What its records are.
    pub stream: StreamDescriptor,
    /// How they are written.
    pub mode: Mode,
    /// Grows with each complete read of the stream.
    pub generation: u64,
    /// NDJSON.
    pub records: Vec<u8>,
}

/// `mode` of the WIT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Each record is added.
    #[default]
    Append,
    /// By primary key.
    Upsert,
    /// By primary key, and `complete` removes the rest.
    Replace,
}

impl Mode {
    /// As the WIT writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Upsert => "upsert",
            Self::Replace => "replace",
        }
    }
}

/// `position` of the WIT.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// From the beginning.
    Start,
    /// From where an earlier read may be resumed.
    Checkpoint(String),
    /// Where this read goes on.
    Next(String),
}

/// How an attempt ended, and what it did on the way.
#[derive(Clone, Debug)]
pub struct CallReport {
    /// What the connector answered.
    pub result: Result<Answer, Failure>,
    /// An unsafe request left without a proven answer.
    pub unproven_effect: bool,
    /// Requests that left.
    pub requests: u64,
    /// Requests that were refused, for the operator.
    pub denials: Vec<Denied>,
    /// What a dry run held back.
    pub withheld: Withheld,
    /// CPU of the guest.
    pub cpu: Duration,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The configuration works.
    Checked,
    /// The streams there are.
    Streams(Vec<StreamDescriptor>),
    /// An action's output, JSON text.
    Done(String),
    /// The action takes longer.
    Pending {
        /// For the next `invoke`.
        resume: String,
        /// Not before.
        after_ms: u64,
    },
    /// A page of a stream.
    Page(Page),
    /// What a delivery held.
    Handled(Handled),
    /// Lines of a batch that were not written, each once and in order.
    Rejected(Vec<Rejected>),
    /// Records that `complete` removed.
    Removed(u64),
    /// A position of this version, JSON text.
    Position(String),
    /// A value of this version; none = it is dropped.
    Value(Option<Vec<u8>>),
}

/// `outcome` of the WIT's `webhook`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// In order.
    pub events: Vec<Event>,
    /// The connector's own answer to whoever delivered.
    pub reply: Option<Reply>,
}

/// `event` of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub name: String,
    /// The vendor's.
    pub id: Option<String>,
    /// JSON text.
    pub payload: String,
}

/// `reply` of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body.
    pub body: Vec<u8>,
}

/// `rejected` of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// From 0.
    pub line: u32,
    /// Why.
    pub error: Failure,
}

/// `page` of the WIT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// NDJSON, checked line by line.
    pub records: Vec<u8>,
    /// How many.
    pub count: u64,
    /// Where this read goes on; none = it is complete.
    pub next: Option<String>,
    /// Where a later read may begin.
    pub checkpoint: Option<String>,
    /// `next` only after this time.
    pub again_after_ms: Option<u64>,
}

/// `stream-descriptor` of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescriptor {
    /// Name.
    pub name: String,
    /// JSON Schema.
    pub schema: String,
    /// Properties that name a record.
    pub primary_key: Vec<String>,
    /// Property that grows.
    pub cursor_field: Option<String>,
    /// Property that marks a deleted record.
    pub deleted_field: Option<String>,
    /// A read from the start yields every living record.
    pub complete_reads: bool,
}

/// Why a call did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the WIT's `error-kind`, or one of the host's: `panicked`, `cpu-budget`, `memory`, `limit`,
    /// `at-capacity`, …; the engine adds `loop`, `sink` and `output`.
    pub kind: String,
    /// For people.
    pub message: String,
    /// The vendor asked for a pause.
    pub retry_after_ms: Option<u64>,
    /// JSON text.
    pub details: Option<String>,
}

/// What a dry run held back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    /// The first, in order.
    pub requests: Vec<WithheldRequest>,
    /// All.
    pub count: u64,
}

/// A request as it would have left, masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithheldRequest {
    /// `exch_…`
    pub exchange: String,
    /// Method.
    pub method: String,
    /// URL.
    pub url: String,
    /// Headers, the credential's too.
    pub headers: Vec<(String, String)>,
    /// Shortened; none where there is none, or it may not be shown.
    pub body: Option<String>,
    /// Bytes of the whole body.
    pub body_bytes: u64,
    /// The manifest rule that matched.
    pub rule: String,
    /// Where that stands.
    pub manifest_place: String,
    /// Where the operator rule stands that matched.
    pub operator_place: String,
    /// Credential slot.
    pub slot: Option<String>,
    /// The credential that is bound to it.
    pub credential: Option<String>,
    /// Where that is put: `header authorization`.
    pub place: Option<String>,
    /// Idempotency key.
    pub idempotency_key: Option<String>,
    /// The connector asked for it after it had been told that another one was held back.
    pub after_withheld: bool,
}

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// `exch_…`
    pub exchange: String,
    /// For the operator.
    pub reason: String,
    /// TOML to paste.
    pub remedy: Option<String>,
}
