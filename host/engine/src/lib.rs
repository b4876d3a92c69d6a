//! What happens next, durably: calls, reads, deliveries and writes as runs. Decides over three ports (`Caller`, `Connections`,
//! `Store`), a clock and randomness; refuses to know wasmtime, HTTP and SQL.

mod caller;
mod connections;
mod delivery;
mod dispatch;
mod engine;
mod error;
pub mod limits;
mod read;
mod report;
mod retry;
mod run;
mod sink;

#[cfg(test)]
mod simulation;

pub use caller::{
    Answer, Batch, CallReport, CallRequest, Caller, Delivery, Denied, Event, Failure, Handled, Mode,
    Operation, Page, Position, Rejected, Reply, StreamDescriptor, Withheld, WithheldRequest,
};
pub use connections::{
    ANY_NAME, ActionFacts, ConnectionFacts, Connections, Refused, SchemaWork, StreamFacts,
};
pub use dispatch::Dispatcher;
pub use engine::Engine;
pub use error::EngineError;
pub use report::{CallOptions, Progress, ReadOptions, RunReport, WriteOptions, Written};
pub use sink::{FileSink, PageSink, ResumableFileSink};

pub use portcullis_contract::{Fault, Schema, SchemaError};
pub use portcullis_store::{ClosedRun, FileMark, Outcome, RunKind};
