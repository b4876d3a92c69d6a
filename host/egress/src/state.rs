//! State by lifetime: of a connection and of a call. The process's own is `Egress`.
use crate::{
    CallContext, ConnectionSettings, Egress, Exchange, Withheld,
    breaker::Breakers,
    budget::{RunBudget, Runs},
    credential::Attachments,
    dial::Routes,
    error::DenialDetail,
    exchange_log::refusals::{self, Unlisted},
    headers::HeaderPolicy,
    limits::{DENIALS_MAX, ROWS_LEFT_MAX, WITHHELD_MAX},
    mask::Masker,
    rate_limit::Share,
    service::Failure,
};
use portcullis_secrets::Credential;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// One connection's rules, caches and pools. Shared with no other connection but for a credential's bucket.
pub(crate) struct ConnectionState {
    pub egress: Arc<Egress>,
    pub settings: ConnectionSettings,
    pub headers: HeaderPolicy,
    pub masker: Masker,
    pub routes: Routes,
    pub attachments: Attachments,
    pub buckets: BTreeMap<String, Share>,
    pub breakers: Breakers,
    pub runs: Runs,
    /// Who may search for long; see `SEARCHES_MAX`.
    pub searches: Arc<Semaphore>,
}

impl ConnectionState {
    /// Position of a slot among the connection's: part of a client's key.
    pub fn slot_index(&self, slot: &str) -> Option<usize> {
        self.settings.credentials.keys().position(|name| name == slot)
    }

    /// The credential of a slot.
    pub fn bound(&self, slot: &str) -> Result<&Credential, Failure> {
        self.settings.credentials.get(slot).ok_or_else(|| {
            let name = &self.settings.name;
            let remedy = format!("[connections.{name}]\ncredentials = {{ {slot} = \"CREDENTIAL\" }}");
            Failure::denied(format!("slot `{slot}` is bound to no credential"), Some(remedy))
        })
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        // Its pools would otherwise stay until the next sweep, with sockets that nobody can use.
        self.egress.clients.forget(self.routes.serial);
    }
}

/// One call of one run.
pub(crate) struct CallState {
    pub connection: Arc<ConnectionState>,
    pub context: CallContext,
    pub budget: Arc<RunBudget>,
    /// Requests asked for, refused ones included.
    pub requests: AtomicU64,
    /// The next unsafe request's ordinal.
    pub ordinal: AtomicU32,
    /// Unsafe requests that left, or may have, and have no proven answer.
    pub unproven: AtomicU64,
    pub denials: Mutex<Vec<(String, DenialDetail)>>,
    pub withheld: Mutex<HeldBack>,
    /// Bodies that are read in pieces now.
    pub open: AtomicU32,
    /// Rows of bodies that were dropped before their end.
    pub rows_left: Mutex<Vec<Exchange>>,
    /// Refusals that have no row of their own.
    pub unlisted: Unlisted,
}

/// What a dry run held back of one call.
#[derive(Default)]
pub(crate) struct HeldBack {
    /// The first.
    pub list: Vec<Withheld>,
    /// All.
    pub count: u64,
    /// The guest was told of one.
    pub told: bool,
}

impl CallState {
    pub fn new(connection: Arc<ConnectionState>, context: CallContext) -> Self {
        let budget = connection.runs.of(&context.run_id);
        Self {
            connection,
            context,
            budget,
            requests: AtomicU64::new(0),
            ordinal: AtomicU32::new(0),
            unproven: AtomicU64::new(0),
            denials: Mutex::default(),
            withheld: Mutex::default(),
            open: AtomicU32::new(0),
            rows_left: Mutex::default(),
            unlisted: Unlisted::default(),
        }
    }

    pub fn egress(&self) -> &Egress {
        &self.connection.egress
    }

    /// Monotonic now.
    pub fn now(&self) -> Duration {
        self.egress().clock.monotonic()
    }

    /// Keeps a denial for the operator, up to a bound.
    pub fn keep_denial(&self, exchange: &str, denial: &DenialDetail) {
        let mut denials = lock(&self.denials);
        if denials.len() < DENIALS_MAX {
            denials.push((exchange.to_owned(), denial.clone()));
        }
    }

    /// Keeps what a dry run held back, up to a bound.
    pub fn keep_withheld(&self, shown: impl FnOnce(bool) -> Withheld) {
        let mut held = lock(&self.withheld);
        held.count += 1;
        if held.list.len() < WITHHELD_MAX {
            let shown = shown(held.told);
            held.list.push(shown);
        }
    }

    /// A row that is written as soon as somebody can wait for it.
    pub fn leave_row(self: &Arc<Self>, row: Exchange) {
        let mut rows = lock(&self.rows_left);
        if rows.len() < ROWS_LEFT_MAX {
            rows.push(row);
            return;
        }
        drop(rows);
        let (Ok(runtime), call) = (tokio::runtime::Handle::try_current(), Arc::clone(self)) else { return };
        runtime.spawn(async move { call.egress().sink.record(row).await });
    }

    /// Writes the rows that were left.
    pub async fn write_rows(&self) {
        let rows = std::mem::take(&mut *lock(&self.rows_left));
        for row in rows {
            self.egress().sink.record(row).await;
        }
    }

    /// Ends when the call is cancelled; never where nobody can cancel it any more.
    pub async fn cancelled(&self) {
        let mut cancelled = self.context.cancelled.clone();
        if cancelled.wait_for(|is| *is).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for CallState {
    fn drop(&mut self) {
        refusals::dropped(self);
        let rows = std::mem::take(&mut *lock(&self.rows_left));
        if let (false, Ok(runtime)) = (rows.is_empty(), tokio::runtime::Handle::try_current()) {
            let sink = Arc::clone(&self.egress().sink);
            runtime.spawn(async move {
                for row in rows {
                    sink.record(row).await;
                }
            });
        }
    }
}

/// Locks. Every update under these locks is whole, so a thread that panicked elsewhere left nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
