//! The store on SQLite: statements go to the one writer, queries to readers on blocking threads.

use crate::{
    Accepted, AttemptEnd, AuditFilter, AuditRow, Backlog, ClosedRun, DataLock, DeliveryFilter, DeliveryRow,
    DeliverySummary, Effects, Fired, FlowEnd, FlowRun, IntentEnd, IntentKey, MovedState, NewAttempt,
    NewDelivery, NewFlowRun, NewIntent, NewPosition, NewRun, NewSync, PageCommit, Place, PositionKey,
    PriorIntent, RejectedRow, Resumed, RunEnd, RunFilter, RunRow, RunSummary, StateEntry, StateSpace,
    StateWrite, StepRun, Store, StoreError, SyncRow, audit, connection, delivery, flow, intent,
    limits::SECRET_USES_MAX,
    migrations, open, position,
    reader::{Readers, STATE_FILE},
    run, state, sync,
    writer::{OnFatal, Writer},
};
use portcullis_clock::{Clock, Random, Timestamp, new_id};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// `state.db` of a data folder whose lock is held.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Uses of secrets whose audit row is durable, by run and then by what makes the row one.
    secret_uses: Mutex<HashMap<String, Vec<SecretUse>>>,
    epoch: i64,
    /// Held as long as anything may be written.
    _lock: Arc<DataLock>,
}

/// A use of a secret whose audit row is durable.
struct SecretUse {
    step: String,
    credential: String,
    rule: String,
    requests: u64,
}

impl SecretUse {
    /// What makes the audit row one.
    fn key(&self, run_id: &str) -> String {
        serde_json::json!([run_id, self.step, self.credential, self.rule]).to_string()
    }
}

impl SqliteStore {
    /// Opens or makes `state.db`, migrates it, raises the epoch and starts the writer. A failed fsync ends the
    /// process.
    pub fn open(
        lock: Arc<DataLock>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, StoreError> {
        let abort = |message: &str| {
            tracing::error!(message, "the disk failed under `state.db`; what it holds now can't be known");
            std::process::abort()
        };
        Self::open_with(lock, clock, random, Arc::new(abort))
    }

    pub(crate) fn open_with(
        lock: Arc<DataLock>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        on_fatal: OnFatal,
    ) -> Result<Self, StoreError> {
        let path = lock.data().join(STATE_FILE);
        let mut conn = open::writer(&path, open::Durability::Full)?;
        migrations::STATE.migrate(&mut conn, &path)?;
        let raise = "UPDATE meta SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch";
        // Not by itself: the error of a commit that a query ends with is lost.
        let transaction = conn.transaction()?;
        let epoch: i64 = transaction.query_row(raise, [], |row| row.get(0))?;
        transaction.commit().map_err(|error| StoreError::Commit(error.to_string()))?;
        let writer = Writer::start(conn, epoch, on_fatal)?;
        let (readers, secret_uses) = (Readers::new(path), Mutex::default());
        Ok(Self { writer, readers, clock, random, secret_uses, epoch, _lock: lock })
    }

    /// The epoch under which this store writes: one more than any before.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<String, Vec<SecretUse>>> {
        self.secret_uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Store for SqliteStore {
    async fn connection_id(&self, name: &str, connector: &str) -> Result<String, StoreError> {
        let (name, connector) = (name.to_owned(), connector.to_owned());
        let found = {
            let (name, connector) = (name.clone(), connector.clone());
            self.readers.read(move |conn| connection::find(conn, &name, &connector)).await?
        };
        if let Some(id) = found {
            return Ok(id);
        }
        let fresh = new_id("conn", &*self.clock, &*self.random);
        let now = self.clock.now();
        self.writer.write(move |conn| connection::id(conn, &name, &connector, &fresh, now)).await
    }

    async fn begin_run(&self, run: NewRun, first: NewAttempt) -> Result<(), StoreError> {
        self.writer.write(move |conn| run::begin(conn, &run, &first)).await
    }

    async fn begin_attempt(&self, attempt: NewAttempt) -> Result<(), StoreError> {
        self.writer.write(move |conn| run::begin_attempt(conn, &attempt)).await
    }

    async fn end_attempt(&self, end: AttemptEnd) -> Result<(), StoreError> {
        self.writer.write(move |conn| run::end_attempt(conn, &end)).await
    }

    async fn end_run(&self, run_id: &str, end: RunEnd) -> Result<(), StoreError> {
        let uses = self.uses().remove(run_id).unwrap_or_default();
        let run_id = run_id.to_owned();
        let statements = move |conn: &rusqlite::Connection| {
            run::end(conn, &run_id, &end)?;
            uses.iter().try_for_each(|used| audit::count(conn, &used.key(&run_id), used.requests))
        };
        self.writer.write(statements).await
    }

    async fn run(&self, run_id: &str) -> Result<Option<RunRow>, StoreError> {
        let run_id = run_id.to_owned();
        self.readers.read(move |conn| run::rows::one(conn, &run_id)).await
    }

    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError> {
        self.readers.read(move |conn| run::rows::list(conn, &filter)).await
    }

    async fn prune_runs(&self, before: Timestamp, bytes: u64) -> Result<u32, StoreError> {
        self.writer.write(move |conn| run::kept::prune(conn, before, bytes)).await
    }

    async fn close_interrupted(&self, now: Timestamp) -> Result<Vec<ClosedRun>, StoreError> {
        self.writer.write(move |conn| run::close_interrupted(conn, now)).await
    }

    async fn close_broken_off(
        &self,
        delivery_id: &str,
        now: Timestamp,
    ) -> Result<Option<ClosedRun>, StoreError> {
        let delivery_id = delivery_id.to_owned();
        let closed = self.writer.write(move |conn| run::close_broken_off(conn, &delivery_id, now)).await?;
        let Some(run) = &closed else { return Ok(None) };
        let uses = self.uses().remove(&run.run_id).unwrap_or_default();
        let run_id = run.run_id.clone();
        let count = move |conn: &rusqlite::Connection| {
            uses.iter().try_for_each(|used| audit::count(conn, &used.key(&run_id), used.requests))
        };
        self.writer.write(count).await?;
        Ok(closed)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let write = |conn: &rusqlite::Connection| {
            Ok(conn.execute("UPDATE meta SET epoch = epoch WHERE id = 1", []).map(drop)?)
        };
        self.writer.write(write).await
    }

    async fn accept_delivery(&self, delivery: NewDelivery, room: Backlog) -> Result<Accepted, StoreError> {
        self.writer.write(move |conn| delivery::accept(conn, &delivery, room)).await
    }

    async fn due_deliveries(
        &self,
        connection: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let connection = connection.to_owned();
        self.readers.read(move |conn| delivery::rows::due(conn, &connection, now, limit)).await
    }

    async fn next_delivery_due(&self, connection: &str) -> Result<Option<Timestamp>, StoreError> {
        let connection = connection.to_owned();
        self.readers.read(move |conn| delivery::rows::next_due(conn, &connection)).await
    }

    async fn begin_delivery(
        &self,
        delivery_id: &str,
        run: NewRun,
        first: NewAttempt,
    ) -> Result<(), StoreError> {
        let delivery_id = delivery_id.to_owned();
        self.writer.write(move |conn| delivery::begin(conn, &delivery_id, &run, &first)).await
    }

    async fn decide_delivery(
        &self,
        delivery_id: &str,
        replay: bool,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let delivery_id = delivery_id.to_owned();
        self.writer.write(move |conn| delivery::decide(conn, &delivery_id, replay, at)).await
    }

    async fn delivery(&self, delivery_id: &str) -> Result<Option<DeliveryRow>, StoreError> {
        let delivery_id = delivery_id.to_owned();
        self.readers.read(move |conn| delivery::rows::one(conn, &delivery_id)).await
    }

    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliverySummary>, StoreError> {
        self.readers.read(move |conn| delivery::rows::list(conn, &filter)).await
    }

    async fn prune_deliveries(
        &self,
        before: Timestamp,
        bytes: u64,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        self.writer.write(move |conn| delivery::kept::prune(conn, before, bytes, now)).await
    }

    async fn begin_flow_run(&self, run: NewFlowRun) -> Result<(), StoreError> {
        self.writer.write(move |conn| flow::begin(conn, &run)).await
    }

    async fn due_flow_runs(&self, flow: &str, now: Timestamp, limit: u32) -> Result<Vec<String>, StoreError> {
        let flow = flow.to_owned();
        self.readers.read(move |conn| flow::rows::due(conn, &flow, now, limit)).await
    }

    async fn next_flow_run_due(&self, flow: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let flow = flow.to_owned();
        self.readers.read(move |conn| flow::rows::next_due(conn, &flow, now)).await
    }

    async fn take_flow_run(&self, run_id: &str, now: Timestamp) -> Result<FlowRun, StoreError> {
        let run_id = run_id.to_owned();
        self.writer.write(move |conn| flow::take(conn, &run_id, now)).await
    }

    async fn flow_run(&self, run_id: &str) -> Result<Option<FlowRun>, StoreError> {
        let run_id = run_id.to_owned();
        self.readers.read(move |conn| flow::rows::one(conn, &run_id)).await
    }

    async fn advance_flow_run(&self, run_id: &str, step: u32, output: &str) -> Result<(), StoreError> {
        let (run_id, output) = (run_id.to_owned(), output.to_owned());
        self.writer.write(move |conn| flow::advance(conn, &run_id, step, &output)).await
    }

    async fn put_flow_run_back(
        &self,
        run_id: &str,
        due_at: Timestamp,
        why: Option<&str>,
    ) -> Result<(), StoreError> {
        let (run_id, why) = (run_id.to_owned(), why.map(str::to_owned));
        self.writer.write(move |conn| flow::put_back(conn, &run_id, due_at, why.as_deref())).await
    }

    async fn end_flow_run(&self, run_id: &str, end: FlowEnd) -> Result<(), StoreError> {
        let run_id = run_id.to_owned();
        self.writer.write(move |conn| flow::end(conn, &run_id, &end)).await
    }

    async fn decide_flow_run(
        &self,
        run_id: &str,
        replay: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let (run_id, replay) = (run_id.to_owned(), replay.map(str::to_owned));
        self.writer.write(move |conn| flow::decide(conn, &run_id, replay.as_deref(), at)).await
    }

    async fn decide_position(
        &self,
        connection: &str,
        reader: &str,
        stream: &str,
        checkpoint: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let [connection, reader, stream] = [connection, reader, stream].map(str::to_owned);
        let checkpoint = checkpoint.map(str::to_owned);
        self.writer
            .write(move |conn| {
                position::decide(conn, &connection, (&reader, &stream), checkpoint.as_deref(), at)
            })
            .await
    }

    async fn step_run(&self, parent: &str, place: &str) -> Result<Option<StepRun>, StoreError> {
        let (parent, place) = (parent.to_owned(), place.to_owned());
        self.readers.read(move |conn| flow::rows::step(conn, &parent, &place)).await
    }

    async fn park_run(&self, run_id: &str, retry_at: Timestamp) -> Result<(), StoreError> {
        let run_id = run_id.to_owned();
        self.writer.write(move |conn| flow::park(conn, &run_id, retry_at)).await
    }

    async fn resume_run(
        &self,
        run_id: &str,
        step: &str,
        call: &str,
        now: Timestamp,
    ) -> Result<Resumed, StoreError> {
        let (run_id, step, call) = (run_id.to_owned(), step.to_owned(), call.to_owned());
        self.writer.write(move |conn| flow::resume(conn, &run_id, &step, &call, now)).await
    }

    async fn begin_sync(&self, sync: NewSync) -> Result<(), StoreError> {
        self.writer.write(move |conn| sync::begin(conn, &sync)).await
    }

    async fn sync(&self, run_id: &str) -> Result<Option<SyncRow>, StoreError> {
        let run_id = run_id.to_owned();
        self.readers.read(move |conn| sync::rows::one(conn, &run_id)).await
    }

    async fn park_sync(&self, run_id: &str, retry_at: Timestamp, rounds: u32) -> Result<(), StoreError> {
        let run_id = run_id.to_owned();
        self.writer.write(move |conn| sync::park(conn, &run_id, retry_at, rounds)).await
    }

    async fn complete_sync(
        &self,
        run_id: &str,
        removed: u64,
        step: &str,
        call: &str,
    ) -> Result<(), StoreError> {
        let (run_id, step, call) = (run_id.to_owned(), step.to_owned(), call.to_owned());
        self.writer.write(move |conn| sync::complete(conn, &run_id, removed, (&step, &call))).await
    }

    async fn tried(&self, run_id: &str, step: &str, call: &str) -> Result<u32, StoreError> {
        let (run_id, step, call) = (run_id.to_owned(), step.to_owned(), call.to_owned());
        self.readers.read(move |conn| sync::rows::tried(conn, &run_id, &step, &call)).await
    }

    async fn rejected(&self, run_id: &str, limit: u32) -> Result<Vec<RejectedRow>, StoreError> {
        let run_id = run_id.to_owned();
        self.readers.read(move |conn| sync::rows::rejected(conn, &run_id, limit)).await
    }

    async fn schedule(&self, flow: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        let flow = flow.to_owned();
        self.readers.read(move |conn| flow::schedule::of(conn, &flow)).await
    }

    async fn set_schedule(&self, flow: &str, schedule: &str, next_at: Timestamp) -> Result<(), StoreError> {
        let (flow, schedule) = (flow.to_owned(), schedule.to_owned());
        self.writer.write(move |conn| flow::schedule::set(conn, &flow, &schedule, next_at)).await
    }

    async fn retain_schedules(&self, flows: &[String]) -> Result<(), StoreError> {
        let flows = flows.to_vec();
        self.writer.write(move |conn| flow::schedule::retain(conn, &flows)).await
    }

    async fn fire(&self, fired: Fired) -> Result<u32, StoreError> {
        self.writer.write(move |conn| flow::schedule::fire(conn, &fired)).await
    }

    async fn begin_intent(&self, intent: NewIntent) -> Result<PriorIntent, StoreError> {
        self.writer.write(move |conn| intent::begin(conn, &intent)).await
    }

    async fn end_intent(&self, key: IntentKey, end: IntentEnd, at: Timestamp) -> Result<(), StoreError> {
        self.writer.write(move |conn| intent::end(conn, &key, &end, at)).await
    }

    async fn effects(&self, run_id: &str) -> Result<Effects, StoreError> {
        let run_id = run_id.to_owned();
        // Asked in the writer's turn: an intent whose caller went away while it waited there counts too.
        self.writer.write(move |conn| intent::effects(conn, &run_id)).await
    }

    async fn record_secret_use(
        &self,
        run_id: &str,
        step: &str,
        credential: &str,
        rule: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let same =
            |used: &&mut SecretUse| used.step == step && used.credential == credential && used.rule == rule;
        if let Some(used) = self.uses().get_mut(run_id).and_then(|uses| uses.iter_mut().find(same)) {
            used.requests += 1;
            return Ok(());
        }
        let used = SecretUse {
            step: step.to_owned(),
            credential: credential.to_owned(),
            rule: rule.to_owned(),
            requests: 1,
        };
        let detail = serde_json::json!({ "step": step, "credential": credential, "rule": rule }).to_string();
        let (subject, key) = (run_id.to_owned(), used.key(run_id));
        let write = move |conn: &rusqlite::Connection| {
            audit::insert(conn, "secret-use", &subject, &detail, Some(&key), at)
        };
        self.writer.write(write).await?;
        let mut uses = self.uses();
        if uses.values().map(Vec::len).sum::<usize>() < SECRET_USES_MAX {
            uses.entry(run_id.to_owned()).or_default().push(used);
        }
        Ok(())
    }

    async fn audit(&self, kind: &str, subject: &str, detail: &str, at: Timestamp) -> Result<(), StoreError> {
        let (kind, subject, detail) = (kind.to_owned(), subject.to_owned(), detail.to_owned());
        self.writer.write(move |conn| audit::insert(conn, &kind, &subject, &detail, None, at)).await
    }

    async fn audit_rows(&self, filter: AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
        self.readers.read(move |conn| audit::list(conn, &filter)).await
    }

    async fn place(&self, key: &PositionKey) -> Result<Place, StoreError> {
        let key = key.clone();
        self.readers.read(move |conn| position::place(conn, &key)).await
    }

    async fn begin_position(&self, new: NewPosition) -> Result<(), StoreError> {
        self.writer.write(move |conn| position::begin(conn, &new)).await
    }

    async fn reset_position(&self, key: &PositionKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.writer.write(move |conn| position::reset(conn, &key)).await
    }

    async fn commit_page(&self, commit: PageCommit) -> Result<(), StoreError> {
        self.writer.write(move |conn| position::commit(conn, &commit)).await
    }

    async fn state_get(&self, space: &StateSpace, key: &str) -> Result<Option<StateEntry>, StoreError> {
        let (space, key) = (space.clone(), key.to_owned());
        self.readers.read(move |conn| state::read(conn, &space, &key)).await
    }

    async fn state_set(
        &self,
        space: &StateSpace,
        key: &str,
        value: Vec<u8>,
        expected: Option<u64>,
    ) -> Result<StateWrite, StoreError> {
        let (space, key) = (space.clone(), key.to_owned());
        self.writer.write(move |conn| state::set(conn, &space, &key, &value, expected)).await
    }

    async fn state_delete(&self, space: &StateSpace, key: &str) -> Result<bool, StoreError> {
        let (space, key) = (space.clone(), key.to_owned());
        self.writer.write(move |conn| state::delete(conn, &space, &key)).await
    }

    async fn state_list(
        &self,
        space: &StateSpace,
        prefix: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, StoreError> {
        let (space, prefix, after) = (space.clone(), prefix.to_owned(), after.map(str::to_owned));
        self.readers.read(move |conn| state::list(conn, &space, &prefix, after.as_deref(), max)).await
    }

    async fn take_state_over(&self, moved: MovedState) -> Result<(), StoreError> {
        self.writer.write(move |conn| state::take_over(conn, &moved)).await
    }

    async fn state_versions(&self, connection_id: &str) -> Result<Vec<u32>, StoreError> {
        let connection_id = connection_id.to_owned();
        self.readers.read(move |conn| state::versions(conn, &connection_id)).await
    }
}

#[cfg(test)]
mod tests;
