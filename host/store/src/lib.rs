//! All SQL, and only SQL: what a run was, what it may have done, how far a reader has come. Decides nothing:
//! no retry policy, and no clock inside a statement.
//!
//! Two databases. `state.db` is the truth: full durability, one writer thread, every write fenced by the epoch
//! that came with the lock on the data folder. `exchanges.db` is the record of what left: it may lose its last
//! 100 ms on a kill, and never holds up a request for longer than its queue is full.

mod audit;
mod backup;
mod connection;
mod delivery;
mod error;
mod exchange;
mod flow;
mod forget;
mod intent;
pub mod limits;
mod lock;
mod migrations;
mod open;
mod overview;
mod position;
mod reader;
mod retention;
mod run;
mod sqlite;
mod state;
mod store;
mod sync;
mod writer;

#[cfg(test)]
mod suite;

pub use audit::{AuditFilter, AuditRow};
pub use backup::{Checked, Restored, backup, check, restore};
pub use delivery::{
    Accepted, Backlog, DeliveryEnd, DeliveryState, Fate, NewDelivery, NewEvent,
    rows::{DeliveryFilter, DeliveryRow, DeliverySummary, EventRow},
};
pub use error::StoreError;
pub use exchange::{AnnouncementRow, ExchangeFilter, ExchangeLog, ExchangeReader, ExchangeRow, Mark};
pub use flow::{
    Cause, FlowEnd, FlowState, NewFlowRun, Parent, Resumed,
    rows::{FlowOverview, FlowRun, StepRun},
    schedule::Fired,
};
pub use forget::Holdings;
pub use intent::{Effects, IntentEnd, IntentKey, IntentRow, NewIntent, PriorIntent};
pub use lock::{DataLock, LockError, refuse_shared};
pub use overview::{Failing, Overview, Pile};
pub use position::{FileMark, NewMark, NewPosition, PageCommit, Place, Position, PositionKey, PositionRow};
pub use reader::StateReader;
pub use retention::Retention;
pub use run::{
    AttemptEnd, AttemptRow, ClosedRun, Counts, NewAttempt, NewRun, Outcome, RunEnd, RunFilter, RunKind,
    RunRow, RunSummary, StepRow,
};
pub use sqlite::SqliteStore;
pub use state::{MovedState, StateEntry, StateSpace, StateWrite, key_fault as state_key_fault};
pub use store::Store;
pub use sync::{
    NewRejected, NewSync, SyncPage,
    rows::{RejectedOverview, RejectedRow, SyncRow},
};
