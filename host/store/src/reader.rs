//! The reading side of `state.db`: read-only connections, a few at a time, without a lock.

use crate::{
    AuditFilter, AuditRow, DeliveryFilter, DeliveryRow, DeliverySummary, FlowOverview, FlowRun, Overview,
    Place, PositionKey, PositionRow, RejectedOverview, RejectedRow, RunFilter, RunRow, RunSummary,
    StoreError, SyncRow, audit, delivery, flow, limits::READERS_MAX, migrations, open, overview, position,
    run, sync,
};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// The name of the database in the data folder.
pub(crate) const STATE_FILE: &str = "state.db";

/// Reads `state.db` without a lock, beside a writer or without one. Blocking: not for an async worker thread.
pub struct StateReader {
    conn: Connection,
}

impl StateReader {
    /// None where there is no such database yet.
    pub fn open(data: &Path) -> Result<Option<Self>, StoreError> {
        let path = data.join(STATE_FILE);
        let Some(conn) = open::reader(&path)? else { return Ok(None) };
        // An older schema than ours can't be migrated from here: no writer of this version was ever here.
        let found = migrations::STATE.check(&conn, &path)?;
        if found < migrations::STATE.version() {
            return if found == 0 {
                Ok(None)
            } else {
                Err(StoreError::Older { path, found, needed: migrations::STATE.version() })
            };
        }
        Ok(Some(Self { conn }))
    }
    /// One run with steps, attempts and intents.
    pub fn run(&self, run_id: &str) -> Result<Option<RunRow>, StoreError> {
        run::rows::one(&self.conn, run_id)
    }
    /// Runs, newest first.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        run::rows::list(&self.conn, filter)
    }
    /// One delivery with its events.
    pub fn delivery(&self, delivery_id: &str) -> Result<Option<DeliveryRow>, StoreError> {
        delivery::rows::one(&self.conn, delivery_id)
    }
    /// Deliveries, newest first.
    pub fn deliveries(&self, filter: &DeliveryFilter) -> Result<Vec<DeliverySummary>, StoreError> {
        delivery::rows::list(&self.conn, filter)
    }
    /// A run of a flow, as far as it has come.
    pub fn flow_run(&self, run_id: &str) -> Result<Option<FlowRun>, StoreError> {
        flow::rows::one(&self.conn, run_id)
    }
    /// One flow at a glance.
    pub fn flow_overview(&self, flow: &str) -> Result<FlowOverview, StoreError> {
        flow::rows::overview(&self.conn, flow)
    }
    /// One connection at a glance.
    pub fn overview(&self, connection: &str) -> Result<Overview, StoreError> {
        overview::of(&self.conn, connection)
    }
    /// Audit rows, newest first.
    pub fn audit_rows(&self, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        audit::list(&self.conn, filter)
    }
    /// A stream's sync, as far as it has come.
    pub fn sync(&self, run_id: &str) -> Result<Option<SyncRow>, StoreError> {
        sync::rows::one(&self.conn, run_id)
    }
    /// What a run could not write, in order.
    pub fn rejected(&self, run_id: &str, limit: u32) -> Result<Vec<RejectedRow>, StoreError> {
        sync::rows::rejected(&self.conn, run_id, limit)
    }
    /// What the runs of a flow could not write, and nobody has seen to.
    pub fn rejected_overview(&self, flow: &str) -> Result<RejectedOverview, StoreError> {
        sync::rows::overview(&self.conn, flow)
    }
    /// How far readers have come, of all connections or of one.
    pub fn positions(&self, connection: Option<&str>) -> Result<Vec<PositionRow>, StoreError> {
        position::list(&self.conn, connection)
    }
    /// How far a reader has come.
    pub fn place(&self, key: &PositionKey) -> Result<Place, StoreError> {
        position::place(&self.conn, key)
    }
}

/// Read-only connections for the store's own queries, made when first needed, on blocking threads.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default(), turns: Arc::new(Semaphore::new(READERS_MAX)) }
    }

    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| StoreError::Stopped("its readers were closed"))?;
        let (path, idle) = (self.path.clone(), Arc::clone(&self.idle));
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let conn = match taken {
                Some(conn) => conn,
                None => open::reader(&path)?.ok_or(StoreError::Stopped("the database is gone"))?,
            };
            let result = query(&conn);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            result
        });
        done.await.unwrap_or(Err(StoreError::Stopped("a query panicked")))
    }
}
