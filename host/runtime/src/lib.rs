//! One call in one bounded instance. Knows wasmtime; knows no HTTP, no policy, no SQL.

mod answer;
mod background;
mod budget;
mod cache;
pub mod call;
mod compile;
mod component;
mod engine;
mod epoch;
pub mod error;
mod exports;
mod failure;
mod folder;
mod host;
mod instance;
pub mod limits;
pub mod ports;
mod runtime;
mod spool;
mod text;

pub use background::Debt;
pub use call::{
    Batch, CallSettings, Delivery, Limits, Operation, Output, Page, Position, Reply, RuntimeSettings,
    StreamDescriptor, Subscription, Usage,
};
pub use compile::{
    ChildLimits, check_child_main, check_component, compile_child_main, compile_child_main_within,
};
pub use engine::{harden_process, instances_bound, pagemap_scan_available};
pub use error::{CallError, CompileError, ConnectorError, ErrorKind};
pub use folder::Folder;
pub use ports::{Entry, LogLevel, Logs, State, StorageError};
pub use runtime::{Prepared, Runtime};
pub use spool::{Spool, spool_folder, sweep};
