//! What happens next, durably: calls, reads, deliveries, writes and flows as runs. Decides over four ports (`Caller`, `Connections`,
//! `Transform`, `Store`), a clock and randomness; refuses to know wasmtime, HTTP and SQL.

mod caller;
mod connections;
mod delivery;
mod dispatch;
mod engine;
mod error;
mod flow;
mod flows;
pub mod limits;
mod read;
mod report;
mod retry;
mod run;
mod sink;
mod transform;

#[cfg(test)]
mod simulation;

pub use caller::{
    Answer, Batch, CallReport, CallRequest, Caller, Delivery, Denied, Event, Failure, Handled, Mode,
    Operation, Page, Position, Rejected, Reply, StreamDescriptor, Withheld, WithheldRequest,
};
pub use connections::{
    ANY_NAME, ActionFacts, ConnectionFacts, Connections, Deletes, Refused, SchemaWork, StreamFacts,
    is_operation,
};
pub use dispatch::Dispatcher;
pub use engine::{Engine, Flowed};
pub use error::EngineError;
pub use flow::{
    AfterTrigger, CatchUp, Flow, FlowStep, Flows, Overlap, Schedule, SyncStep, Timing, Triggers,
    WebhookTrigger, Work,
};
pub use flows::FlowDispatcher;
pub use report::{CallOptions, Progress, ReadOptions, RunReport, WriteOptions, Written};
pub use sink::{FileSink, PageSink, ResumableFileSink};
pub use transform::{Program, Transform};

pub use portcullis_contract::{Fault, Schema, SchemaError};
pub use portcullis_store::{Cause, ClosedRun, FileMark, Outcome, RunKind};
