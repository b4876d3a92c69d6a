//! The port: what the engine and the wiring need of a durable store. SQLite implements it; `suite` holds every
//! implementation to the same promises.

use crate::{
    Accepted, AttemptEnd, AuditFilter, AuditRow, Backlog, ClosedRun, DeliveryFilter, DeliveryRow,
    DeliverySummary, Effects, Fired, FlowEnd, FlowRun, IntentEnd, IntentKey, MovedState, NewAttempt,
    NewDelivery, NewFlowRun, NewIntent, NewPosition, NewRun, NewSync, PageCommit, Place, PositionKey,
    PriorIntent, RejectedRow, Resumed, RunEnd, RunFilter, RunRow, RunSummary, StateEntry, StateSpace,
    StateWrite, StepRun, StoreError, SyncRow,
};
use portcullis_clock::Timestamp;

/// A durable store. What a method wrote is durable when it returned `Ok`.
#[async_trait::async_trait]
pub trait Store: Send + Sync {
    /// The id of the connection `name`, made on first use. `connector` is `PUBLISHER/NAME` without version: the
    /// same name with another connector is another connection, and gets an id of its own (state and positions
    /// of the former stay with its id, unreachable by name).
    async fn connection_id(&self, name: &str, connector: &str) -> Result<String, StoreError>;

    /// Opens a run together with its first step and attempt.
    async fn begin_run(&self, run: NewRun, first: NewAttempt) -> Result<(), StoreError>;
    /// Opens an attempt of an open run; makes its step where that is not there yet.
    async fn begin_attempt(&self, attempt: NewAttempt) -> Result<(), StoreError>;
    /// Closes an attempt.
    async fn end_attempt(&self, end: AttemptEnd) -> Result<(), StoreError>;
    /// Closes a run with whatever steps and attempts of it are open, and writes the counts of its secret uses.
    async fn end_run(&self, run_id: &str, end: RunEnd) -> Result<(), StoreError>;
    /// One run with steps, attempts and intents.
    async fn run(&self, run_id: &str) -> Result<Option<RunRow>, StoreError>;
    /// Runs, newest first.
    async fn runs(&self, filter: RunFilter) -> Result<Vec<RunSummary>, StoreError>;
    /// Removes some of the oldest runs that are over: those that began before `before`, and those beyond `bytes` of all
    /// together. How many; 0 = there is nothing to remove.
    async fn prune_runs(&self, before: Timestamp, bytes: u64) -> Result<u32, StoreError>;
    /// Closes every run that a crash left open: `unknown` where an unsafe request of it may have had an effect,
    /// with the reason of [`Effects::reason`], else `failed` with reason `interrupted`; kind `interrupted` in both. The delivery
    /// of the former is dead, that of the latter waits again, unless `INTERRUPTED_RUNS_MAX` runs of it are behind it.
    async fn close_interrupted(&self, now: Timestamp) -> Result<Vec<ClosedRun>, StoreError>;
    /// The same for the one run that has this delivery and broke off, while the process goes on. None where no run has it.
    async fn close_broken_off(
        &self,
        delivery_id: &str,
        now: Timestamp,
    ) -> Result<Option<ClosedRun>, StoreError>;

    /// Writes what is there already: whether anything can be stored.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Stores a delivery, which waits from now on, unless as much waits as may.
    async fn accept_delivery(&self, delivery: NewDelivery, room: Backlog) -> Result<Accepted, StoreError>;
    /// The ids of a connection's deliveries that wait and are due: who waits for longest comes first.
    async fn due_deliveries(
        &self,
        connection: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<String>, StoreError>;
    /// When a connection's next delivery is due; none where none waits.
    async fn next_delivery_due(&self, connection: &str) -> Result<Option<Timestamp>, StoreError>;
    /// Opens a run of a delivery that waits and is due, with its first step and attempt; refused where another run has it. What
    /// becomes of it stands in the run's end.
    async fn begin_delivery(
        &self,
        delivery_id: &str,
        run: NewRun,
        first: NewAttempt,
    ) -> Result<(), StoreError>;
    /// Lets a dead delivery wait again, or gives it up. False where it is not dead.
    async fn decide_delivery(
        &self,
        delivery_id: &str,
        replay: bool,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// One delivery with its events.
    async fn delivery(&self, delivery_id: &str) -> Result<Option<DeliveryRow>, StoreError>;
    /// Deliveries, newest first.
    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<DeliverySummary>, StoreError>;
    /// Removes some of the oldest deliveries that are done or discarded: those received before `before`, and those beyond
    /// `bytes` of all together; and some event ids whose time is over. How many deliveries.
    async fn prune_deliveries(
        &self,
        before: Timestamp,
        bytes: u64,
        now: Timestamp,
    ) -> Result<u32, StoreError>;

    /// Stores a run of a flow, which waits from now on.
    async fn begin_flow_run(&self, run: NewFlowRun) -> Result<(), StoreError>;
    /// The ids of a flow's runs that wait, are due, and have no one of their key before them: who waits for longest comes first.
    async fn due_flow_runs(&self, flow: &str, now: Timestamp, limit: u32) -> Result<Vec<String>, StoreError>;
    /// When the next of a flow's waiting runs comes due that is not due now.
    async fn next_flow_run_due(&self, flow: &str, now: Timestamp) -> Result<Option<Timestamp>, StoreError>;
    /// Takes a run of a flow that waits and is due; refused where it does not, or one of its key is before it.
    async fn take_flow_run(&self, run_id: &str, now: Timestamp) -> Result<FlowRun, StoreError>;
    /// A run of a flow, with all that is needed to go on with it.
    async fn flow_run(&self, run_id: &str) -> Result<Option<FlowRun>, StoreError>;
    /// A step of a run that the process has is done; `step` counts from 0.
    async fn advance_flow_run(&self, run_id: &str, step: u32, output: &str) -> Result<(), StoreError>;
    /// A run that the process has waits until then. `why`: for people.
    async fn put_flow_run_back(
        &self,
        run_id: &str,
        due_at: Timestamp,
        why: Option<&str>,
    ) -> Result<(), StoreError>;
    /// A run that the process has is over, or a person's to decide about; what its end begins is begun with it.
    async fn end_flow_run(&self, run_id: &str, end: FlowEnd) -> Result<(), StoreError>;
    /// Has a dead run tried once more from the step that failed, by these steps, or gives it up, with the records that it, or a step
    /// of it, could not write. False where there is nothing to decide.
    async fn decide_flow_run(
        &self,
        run_id: &str,
        replay: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// A person's word on where a reader of a connection goes on: at a checkpoint, or without one at the start. False where it has no
    /// position; a conflict while a sync of it is open.
    async fn decide_position(
        &self,
        connection: &str,
        reader: &str,
        stream: &str,
        checkpoint: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// What was called at a place of a flow's run.
    async fn step_run(&self, parent: &str, place: &str) -> Result<Option<StepRun>, StoreError>;
    /// Leaves a step's run open until then.
    async fn park_run(&self, run_id: &str, retry_at: Timestamp) -> Result<(), StoreError>;
    /// Goes on with a step's run: its open attempts end as interrupted. What was tried of it.
    async fn resume_run(
        &self,
        run_id: &str,
        step: &str,
        call: &str,
        now: Timestamp,
    ) -> Result<Resumed, StoreError>;
    /// Opens the run of a stream's sync, with its first step and attempt, and its generation; refused where another one reads the
    /// stream for the same reader.
    async fn begin_sync(&self, sync: NewSync) -> Result<(), StoreError>;
    /// A stream's sync, as far as it has come.
    async fn sync(&self, run_id: &str) -> Result<Option<SyncRow>, StoreError>;
    /// Leaves a stream's sync open until then; `rounds`: how often that was since something of it went well.
    async fn park_sync(&self, run_id: &str, retry_at: Timestamp, rounds: u32) -> Result<(), StoreError>;
    /// The destination has removed what was gone; `step` and `call` say by which call.
    async fn complete_sync(
        &self,
        run_id: &str,
        removed: u64,
        step: &str,
        call: &str,
    ) -> Result<(), StoreError>;
    /// How often the call at this place of a run was tried.
    async fn tried(&self, run_id: &str, step: &str, call: &str) -> Result<u32, StoreError>;
    /// What a run could not write, in order.
    async fn rejected(&self, run_id: &str, limit: u32) -> Result<Vec<RejectedRow>, StoreError>;
    /// The schedule that is stored for a flow, and when it comes due.
    async fn schedule(&self, flow: &str) -> Result<Option<(String, Timestamp)>, StoreError>;
    /// Stores a schedule that is new, or another one than before.
    async fn set_schedule(&self, flow: &str, schedule: &str, next_at: Timestamp) -> Result<(), StoreError>;
    /// Removes the schedules of all other flows.
    async fn retain_schedules(&self, flows: &[String]) -> Result<(), StoreError>;
    /// Begins what has come due. How many runs; refused where another time is stored than the one that has come.
    async fn fire(&self, fired: Fired) -> Result<u32, StoreError>;

    /// Stores that an unsafe request is about to leave, or says what was stored for this place before.
    async fn begin_intent(&self, intent: NewIntent) -> Result<PriorIntent, StoreError>;
    /// How it ended.
    async fn end_intent(&self, key: IntentKey, end: IntentEnd, at: Timestamp) -> Result<(), StoreError>;
    /// What the unsafe requests of a run may have done so far.
    async fn effects(&self, run_id: &str) -> Result<Effects, StoreError>;
    /// An audit row per (run, step, credential, rule): durable before the first use, then counted in memory;
    /// the count is written when the run ends.
    async fn record_secret_use(
        &self,
        run_id: &str,
        step: &str,
        credential: &str,
        rule: &str,
        at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Any other audit row. `detail` is JSON and holds no secret.
    async fn audit(&self, kind: &str, subject: &str, detail: &str, at: Timestamp) -> Result<(), StoreError>;
    /// Audit rows, newest first.
    async fn audit_rows(&self, filter: AuditFilter) -> Result<Vec<AuditRow>, StoreError>;

    /// How far a reader has come.
    async fn place(&self, key: &PositionKey) -> Result<Place, StoreError>;
    /// A reader's first position of a version, before that has read anything; refused where it has read a page, and where
    /// its file would forget what is in it.
    async fn begin_position(&self, position: NewPosition) -> Result<(), StoreError>;
    /// A reader begins anew: nothing of what it has read of this version counts.
    async fn reset_position(&self, key: &PositionKey) -> Result<(), StoreError>;
    /// Position, counts, what a sync wrote and what was refused, the attempts' ends and the next one's beginning, in one transaction.
    async fn commit_page(&self, commit: PageCommit) -> Result<(), StoreError>;

    /// `state.get` of a connection.
    async fn state_get(&self, space: &StateSpace, key: &str) -> Result<Option<StateEntry>, StoreError>;
    /// `state.set`: `expected` 0 = must not exist. The quota counts all versions together.
    async fn state_set(
        &self,
        space: &StateSpace,
        key: &str,
        value: Vec<u8>,
        expected: Option<u64>,
    ) -> Result<StateWrite, StoreError>;
    /// `state.delete`; false where there was none.
    async fn state_delete(&self, space: &StateSpace, key: &str) -> Result<bool, StoreError>;
    /// `state.list-keys`, in byte order.
    async fn state_list(
        &self,
        space: &StateSpace,
        prefix: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, StoreError>;
    /// An older version's values become this one's, all or none. Nothing happens where this one has values, or took some over
    /// before.
    async fn take_state_over(&self, moved: MovedState) -> Result<(), StoreError>;
    /// The versions that a connection has values of, or took values over for, ascending.
    async fn state_versions(&self, connection_id: &str) -> Result<Vec<u32>, StoreError>;
}
