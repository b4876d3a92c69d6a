//! What a caller of the engine brings and gets.

use crate::{Denied, Failure, Fault, Handled, Mode, Rejected, Schema, StreamDescriptor, Withheld};
use portcullis_clock::Timestamp;
use portcullis_store::Outcome;
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::watch;

/// What every run may be given.
#[derive(Clone, Debug, Default)]
pub struct CallOptions {
    /// Made up where absent.
    pub correlation_id: Option<String>,
    /// Stops the run when it turns true.
    pub cancelled: Option<watch::Receiver<bool>>,
}

/// What a read may be given.
#[derive(Clone, Default)]
pub struct ReadOptions {
    /// Made up where absent.
    pub correlation_id: Option<String>,
    /// Stops the read when it turns true; the page under way is discarded.
    pub cancelled: Option<watch::Receiver<bool>>,
    /// `--resume NAME`: the reader whose position is kept.
    pub resume: Option<String>,
    /// Handed to the connector with each page as the number of records wanted in it.
    pub max_records: Option<u32>,
    /// `--validate`: a record that its stream's schema refuses ends the read before its page is written.
    pub validate: bool,
    /// Instead of `READ_TIME_MAX`.
    pub time_max: Option<Duration>,
    /// Told after each committed page and before each wait.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
}

/// How a batch is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// How.
    pub mode: Mode,
    /// Properties that name a record; empty = the manifest's, where it has a stream of this name.
    pub primary_key: Vec<String>,
    /// What the records are; none = the manifest's, where it has a stream of this name, else anything.
    pub schema: Option<Schema>,
    /// Grows with each complete read of the stream.
    pub generation: u64,
    /// `complete` is called once every line is written, with this as its `removed-max`.
    pub complete: Option<Option<u64>>,
    /// Nothing that may have an effect leaves.
    pub dry_run: bool,
}

/// What came of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Its id.
    pub batch_id: String,
    /// Lines that it had.
    pub lines: u64,
    /// Those that were not written, each once and in order.
    pub rejected: Vec<Rejected>,
    /// What `complete` removed; none where it was not called, or failed.
    pub removed: Option<u64>,
}

/// How far a read has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Run.
    pub run_id: String,
    /// Pages committed in this run.
    pub pages: u64,
    /// Records committed in this run.
    pub records: u64,
    /// About to wait this long.
    pub waiting: Option<Duration>,
}

/// How a run ended. It is in the store in the same words.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// `run_…`
    pub run_id: String,
    /// Correlation id.
    pub correlation_id: String,
    /// Outcome.
    pub outcome: Outcome,
    /// Short word: the kind of the failure, `contract-drift`, `cancelled`, `unproven-effect`, `possible-effect`, …
    pub reason: Option<String>,
    /// Where it did not end well.
    pub failure: Option<Failure>,
    /// Requests that were refused, for the operator.
    pub denials: Vec<Denied>,
    /// What a dry run held back.
    pub withheld: Withheld,
    /// An action's output, JSON text.
    pub output: Option<String>,
    /// `discover`: the streams there are.
    pub streams: Vec<StreamDescriptor>,
    /// What a delivery held.
    pub handled: Option<Handled>,
    /// What came of a batch, where the connector said so.
    pub written: Option<Written>,
    /// Where an action's output does not fit its schema.
    pub drift: Vec<Fault>,
    /// Requests that left.
    pub requests: u64,
    /// Pages committed.
    pub pages: u64,
    /// Records committed.
    pub records: u64,
    /// CPU of the guest.
    pub cpu: Duration,
    /// The vendor asked for a pause until then.
    pub retry_at: Option<Timestamp>,
}

impl fmt::Debug for ReadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOptions")
            .field("correlation_id", &self.correlation_id)
            .field("resume", &self.resume)
            .field("max_records", &self.max_records)
            .field("validate", &self.validate)
            .field("time_max", &self.time_max)
            .finish_non_exhaustive()
    }
}
