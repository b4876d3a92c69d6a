//! Why there is no run, or none that could be stored. A run that went badly is a report, not an error.

use crate::{Failure, Fault, SchemaError};
use portcullis_store::StoreError;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The connection may not run.
    #[error("{message}")]
    Refused {
        /// What is wrong.
        message: String,
        /// What to type.
        help: Option<String>,
    },
    /// The connector has no such action.
    #[error("`{connection}` has no action `{action}`")]
    NoSuchAction {
        /// Connection.
        connection: String,
        /// Asked for.
        action: String,
        /// There are these.
        known: Vec<String>,
    },
    /// The connector has no such stream.
    #[error("`{connection}` has no stream `{stream}`")]
    NoSuchStream {
        /// Connection.
        connection: String,
        /// Asked for.
        stream: String,
        /// There are these.
        known: Vec<String>,
    },
    /// There is no such flow.
    #[error("there is no flow `{flow}`")]
    NoSuchFlow {
        /// Asked for.
        flow: String,
        /// There are these.
        known: Vec<String>,
    },
    /// The connector does not play the role.
    #[error("the connector of `{connection}` does not play the role `{role}`")]
    NoSuchRole {
        /// Connection.
        connection: String,
        /// Role.
        role: &'static str,
    },
    /// The input breaks the action's contract. Nothing was run.
    #[error("the input does not fit the action `{action}`")]
    InvalidInput {
        /// Action.
        action: String,
        /// Where and what.
        faults: Vec<Fault>,
    },
    /// The batch can't be written so. Nothing was run.
    #[error("`{mode}` of `{stream}` needs a primary key, and neither the manifest nor the command names one")]
    NoPrimaryKey {
        /// Mode.
        mode: &'static str,
        /// Stream.
        stream: String,
    },
    /// The input is too large. Nothing was run.
    #[error("the input has {bytes} bytes, more than {bytes_max}")]
    InputTooLarge {
        /// Found.
        bytes: usize,
        /// Bound.
        bytes_max: usize,
    },
    /// A schema of the manifest can't be used. Nothing was run.
    #[error("{what}: {source}")]
    Schema {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: SchemaError,
    },
    /// The output of a read can't be opened, or is not the reader's. Nothing was run.
    #[error("the output can't be used")]
    Sink(#[source] std::io::Error),
    /// The reader keeps its position with one kind of output and was given another. Nothing was run.
    #[error("the reader `{reader}` writes to `{path}`")]
    ReaderHasFile {
        /// Reader.
        reader: String,
        /// Its file.
        path: String,
    },
    /// Cancelled before it began. Nothing was run.
    #[error("cancelled while the {0}")]
    Cancelled(String),
    /// The store failed, and there is no run.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A run that had begun could not be brought to an end. The dispatcher closes that of a delivery, the next start any other one: as `unknown`, where something
    /// that it sent may have had an effect.
    #[error("the run `{run_id}` was left open")]
    LeftOpen {
        /// Run.
        run_id: String,
        /// Something that it sent may have had an effect, or nobody can say.
        possible_effect: bool,
        /// What failed.
        #[source]
        source: Box<EngineError>,
    },
    /// A fault of the host, contained.
    #[error("the host failed: {0}")]
    Host(&'static str),
}

impl EngineError {
    /// With what lies behind it, in one line: for a row, where nobody follows sources.
    pub(crate) fn in_full(&self) -> String {
        if let Self::InvalidInput { faults, .. } = self {
            let first = faults.first();
            return first.map_or_else(
                || self.to_string(),
                |fault| format!("{self}: `{}` {}", fault.pointer, fault.message),
            );
        }
        let mut words = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_words = cause.to_string();
            // `Schema` says its source itself.
            if !words.ends_with(&cause_words) {
                words.push_str(": ");
                words.push_str(&cause_words);
            }
            source = cause.source();
        }
        words
    }

    /// Nobody knows whether it fits: the wait for it was cancelled, or took too long. Nothing was run.
    pub(crate) fn not_judged(what: &str, failure: Failure) -> Self {
        if failure.kind == "cancelled" {
            return Self::Cancelled(format!("{what} was judged"));
        }
        let help = "the connector's author decides how long that takes: tell them".to_owned();
        Self::Refused { message: format!("the {what}: {}", failure.message), help: Some(help) }
    }
}
