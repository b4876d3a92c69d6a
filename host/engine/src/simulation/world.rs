//! The world around an engine under test: a vendor with a log of its own, connections, a store that can be killed.

use crate::*;
use portcullis_clock::{Random, SeededClock, SeededRandom, Timestamp};
use portcullis_store::{
    Accepted, AttemptEnd, AuditFilter, AuditRow, Backlog, DataLock, DeliveryFilter, DeliveryRow,
    DeliverySummary, Effects, Fired, FlowEnd, FlowRun, IntentEnd, IntentKey, MovedState, NewAttempt,
    NewDelivery, NewFlowRun, NewIntent, NewPosition, NewRun, NewSync, PageCommit, Place, PositionKey,
    PriorIntent, RejectedRow, Resumed, RunEnd, RunFilter, RunRow, RunSummary, SqliteStore, StateEntry,
    StateSpace, StateWrite, StepRun, Store, StoreError, SyncRow,
};
use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

pub(crate) const CONNECTION: &str = "billing";
/// One that is written to.
pub(crate) const WAREHOUSE: &str = "warehouse";

/// Some connections, approved.
pub(crate) struct Several(pub(crate) Vec<Arc<ConnectionFacts>>);

#[async_trait::async_trait]
impl Connections for Several {
    async fn ready(&self, name: &str) -> Result<Arc<ConnectionFacts>, Refused> {
        let found = self.0.iter().find(|facts| facts.name == name);
        found
            .cloned()
            .ok_or_else(|| Refused { message: format!("there is no connection `{name}`"), help: None })
    }
}

/// One connection, approved.
pub(crate) struct One(pub(crate) Arc<ConnectionFacts>);

#[async_trait::async_trait]
impl Connections for One {
    async fn ready(&self, name: &str) -> Result<Arc<ConnectionFacts>, Refused> {
        if name == CONNECTION {
            return Ok(Arc::clone(&self.0));
        }
        Err(Refused { message: format!("there is no connection `{name}`"), help: None })
    }
}

pub(crate) fn facts(connection_id: String, at_least_once: bool) -> Arc<ConnectionFacts> {
    let action = ActionFacts {
        input: Schema::new(r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#),
        output: Schema::new(r#"{"type":"object","required":["id"]}"#),
        at_least_once,
    };
    Arc::new(ConnectionFacts {
        name: CONNECTION.to_owned(),
        connection_id,
        connector: "acme/stripe".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "sha256:00".to_owned(),
        actions: BTreeMap::from([("create".to_owned(), action)]),
        streams: BTreeMap::from([(
            "customers".to_owned(),
            stream(r#"{"properties":{"id":{"type":"integer"}}}"#),
        )]),
        position_version: 1,
        migrates: false,
        has_source: true,
        has_actions: true,
        has_webhook: true,
        has_destination: true,
        deletes: Deletes::Soft,
        removed_share_max: crate::limits::REMOVED_SHARE_MAX,
        restarts: false,
        schema_work: crate::SchemaWork::default(),
    })
}

pub(crate) fn stream(schema: &str) -> StreamFacts {
    let schema = Schema::new(schema);
    StreamFacts { schema, primary_key: vec!["id".to_owned()], cursor_field: None }
}

/// So many of a schema, for an `anyOf` that takes its time.
pub(crate) fn two_thousand(schema: &str) -> String {
    vec![schema; 2_000].join(",")
}

pub(crate) async fn store(data: &Path, clock: &SeededClock) -> Arc<SqliteStore> {
    let lock = DataLock::acquire(data, Duration::ZERO, clock).await.unwrap();
    let random = SeededRandom::new(u64::from(std::process::id()));
    Arc::new(SqliteStore::open(Arc::new(lock), Arc::new(clock.clone()), Arc::new(random)).unwrap())
}

pub(crate) fn failure(kind: &str) -> Failure {
    Failure::new(kind, "as scripted")
}

pub(crate) fn report(result: Result<Answer, Failure>) -> CallReport {
    let cpu = Duration::from_millis(1);
    CallReport {
        result,
        unproven_effect: false,
        requests: 1,
        denials: vec![],
        withheld: Withheld::default(),
        cpu,
    }
}

/// Answers as scripted, and keeps what it was asked.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) answers: Mutex<VecDeque<CallReport>>,
    pub(crate) asked: Mutex<Vec<(String, u32, Operation)>>,
    /// Whose calls those were.
    pub(crate) runs: Mutex<Vec<String>>,
}

impl Scripted {
    pub(crate) fn new(answers: impl IntoIterator<Item = CallReport>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }
}

#[async_trait::async_trait]
impl Caller for Scripted {
    async fn call(&self, request: CallRequest) -> CallReport {
        self.runs.lock().unwrap().push(request.run_id);
        self.asked.lock().unwrap().push((request.call, request.attempt, request.operation));
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(report) => report,
            // The script ends in a call that hangs until it is cancelled.
            None => {
                let mut cancelled = request.cancelled;
                let _ = cancelled.wait_for(|cancelled| *cancelled).await;
                report(Err(Failure::cancelled()))
            }
        }
    }
}

/// A vendor with `RECORDS` records, read through a connector that fails as the seed says.
pub(crate) struct Vendor {
    pub(crate) random: SeededRandom,
    /// Of 100 calls so many fail in some way.
    pub(crate) faults_percent: u64,
}

pub(crate) const RECORDS: u64 = 13;
const PAGE: u64 = 2;

impl Vendor {
    fn draw(&self, below: u64) -> u64 {
        let mut bytes = [0; 8];
        self.random.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    }

    fn fault(&self, position: &Position) -> Option<CallReport> {
        if self.draw(100) >= self.faults_percent {
            return None;
        }
        let limited = |ms| Failure { retry_after_ms: Some(ms), ..failure("rate-limited") };
        let looped = |next: String| Page { next: Some(next), ..Page::default() };
        Some(match self.draw(9) {
            0 => report(Err(failure("unavailable"))),
            1 => report(Err(failure("timeout"))),
            2 => report(Err(limited(self.draw(9_000)))),
            3 => report(Err(limited(11_000 + self.draw(100_000)))),
            4 => report(Err(failure("position-expired"))),
            5 => panic!("a fault of the host"),
            6 => report(Err(failure("panicked"))),
            7 => match position {
                Position::Next(next) => report(Ok(Answer::Page(looped(next.clone())))),
                _ => report(Err(failure("internal"))),
            },
            _ => report(Ok(Answer::Checked)),
        })
    }
}

#[async_trait::async_trait]
impl Caller for Vendor {
    async fn call(&self, request: CallRequest) -> CallReport {
        let Operation::Read { position, .. } = request.operation else { panic!("it only reads") };
        if let Some(fault) = self.fault(&position) {
            return fault;
        }
        let from: u64 = match &position {
            Position::Start => 0,
            Position::Checkpoint(text) | Position::Next(text) => text.parse().unwrap(),
        };
        let to = (from + PAGE).min(RECORDS);
        let records: String = (from..to).map(|n| format!("{{\"id\":{n}}}\n")).collect();
        report(Ok(Answer::Page(Page {
            records: records.into_bytes(),
            count: to - from,
            next: (to < RECORDS).then(|| to.to_string()),
            checkpoint: (to.is_multiple_of(4) || to == RECORDS).then(|| to.to_string()),
            again_after_ms: None,
        })))
    }
}

/// Sends an unsafe request to a vendor that keeps the id of each run that it did something for, the way egress
/// does: intent, send, end. Without faults it is done and said so.
pub(crate) struct Creator {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<Mutex<Vec<String>>>,
    /// How vendor, wire and connector fail.
    pub(crate) faults: Option<SeededRandom>,
}

impl Creator {
    fn draw(&self, below: u64) -> u64 {
        let Some(random) = &self.faults else { return 0 };
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    }

    /// One unsafe request, with or without an answer; true = its effect is not proven.
    async fn create(&self, request: &CallRequest) -> Result<bool, StoreError> {
        let (run_id, step) = (request.run_id.clone(), request.step.clone());
        let key = IntentKey { run_id, step, call: request.call.clone(), ordinal: 0 };
        let at = Timestamp::from_millis(0);
        let intent = NewIntent {
            key: key.clone(),
            method: "POST".to_owned(),
            url: "https://api.example/v1/customers".to_owned(),
            request_hash: "h".to_owned(),
            idempotency_key: Some("k".to_owned()),
            repeatable: true,
            started_at: at,
        };
        let prior = self.store.begin_intent(intent).await?;
        let earlier = matches!(prior, PriorIntent::Same { refused: false, .. });
        let (done, proven, refused) = match self.draw(5) {
            // Done, and answered; done, and answered 5xx or not at all; refused; never sent.
            0 => (true, true, false),
            1 => (true, !earlier, false),
            2 => (true, false, false),
            3 => (false, true, !earlier),
            _ => (false, !earlier, !earlier),
        };
        if done {
            self.log.lock().unwrap().push(request.run_id.clone());
        }
        let end = IntentEnd { proven, refused, outcome: String::new() };
        self.store.end_intent(key, end, at).await?;
        Ok(!proven)
    }
}

#[async_trait::async_trait]
impl Caller for Creator {
    async fn call(&self, request: CallRequest) -> CallReport {
        let unproven = match self.draw(8) {
            7 => Ok(false),
            _ => self.create(&request).await,
        };
        let Ok(unproven_effect) = unproven else { return report(Err(failure("denied"))) };
        let good = match &request.operation {
            Operation::Check => Answer::Checked,
            Operation::Discover => Answer::Streams(Vec::new()),
            Operation::Invoke { .. } => Answer::Done("{\"id\":1}".to_owned()),
            Operation::Read { position, .. } => Answer::Page(Page {
                records: b"{}\n".to_vec(),
                count: 1,
                next: (*position == Position::Start).then(|| "1".to_owned()),
                ..Page::default()
            }),
            Operation::Handle(_) => Answer::Handled(Handled::default()),
            Operation::Write(_) => Answer::Rejected(Vec::new()),
            Operation::Complete { .. } => Answer::Removed(1),
            Operation::MovePosition { position, .. } => Answer::Position(position.clone()),
            Operation::MoveState { value, .. } => Answer::Value(Some(value.clone())),
        };
        let result = match self.draw(9) {
            0 | 1 => Ok(good),
            2 => Err(failure("timeout")),
            3 => Err(failure("trapped")),
            4 => Err(failure("not-found")),
            5 => Err(Failure { retry_after_ms: Some(60_000), ..failure("rate-limited") }),
            6 => Err(Failure::cancelled()),
            7 => Ok(Answer::Pending { resume: String::new(), after_ms: 1 }),
            _ => panic!("a fault of the host"),
        };
        CallReport { unproven_effect, ..report(result) }
    }
}

/// A store that dies at its Nth operation: before that takes effect, or after, when only the answer is lost.
pub(crate) struct Mortal {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) left: AtomicI64,
    pub(crate) effect_of_the_last: bool,
    /// So many operations fail, and then it is well again.
    pub(crate) fails: i64,
}

/// It stays dead.
pub(crate) const FOR_EVER: i64 = i64::MAX;

impl Mortal {
    async fn pass<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left > 1 || left <= 1_i64.saturating_sub(self.fails) {
            return work.await;
        }
        if left == 1 && self.effect_of_the_last {
            let _ = work.await;
        }
        Err(StoreError::Stopped("killed"))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.left.load(Ordering::SeqCst) <= 0
    }
}

macro_rules! mortal {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait::async_trait]
        impl Store for Mortal {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
                self.pass(self.inner.$name($($arg),*)).await
            })*
        }
    };
}

mortal! {
    connection_id(name: &str, connector: &str) -> String;
    begin_run(run: NewRun, first: NewAttempt) -> ();
    begin_attempt(attempt: NewAttempt) -> ();
    end_attempt(end: AttemptEnd) -> ();
    end_run(run_id: &str, end: RunEnd) -> ();
    run(run_id: &str) -> Option<RunRow>;
    runs(filter: RunFilter) -> Vec<RunSummary>;
    prune_runs(before: Timestamp, bytes: u64) -> u32;
    close_interrupted(now: Timestamp) -> Vec<ClosedRun>;
    close_broken_off(delivery_id: &str, now: Timestamp) -> Option<ClosedRun>;
    probe() -> ();
    accept_delivery(delivery: NewDelivery, room: Backlog) -> Accepted;
    due_deliveries(connection: &str, now: Timestamp, limit: u32) -> Vec<String>;
    next_delivery_due(connection: &str) -> Option<Timestamp>;
    begin_delivery(delivery_id: &str, run: NewRun, first: NewAttempt) -> ();
    decide_delivery(delivery_id: &str, replay: bool, at: Timestamp) -> bool;
    delivery(delivery_id: &str) -> Option<DeliveryRow>;
    deliveries(filter: DeliveryFilter) -> Vec<DeliverySummary>;
    prune_deliveries(before: Timestamp, bytes: u64, now: Timestamp) -> u32;
    begin_flow_run(run: NewFlowRun) -> ();
    due_flow_runs(flow: &str, now: Timestamp, limit: u32) -> Vec<String>;
    next_flow_run_due(flow: &str, now: Timestamp) -> Option<Timestamp>;
    take_flow_run(run_id: &str, now: Timestamp) -> FlowRun;
    flow_run(run_id: &str) -> Option<FlowRun>;
    advance_flow_run(run_id: &str, step: u32, output: &str) -> ();
    put_flow_run_back(run_id: &str, due_at: Timestamp, why: Option<&str>) -> ();
    end_flow_run(run_id: &str, end: FlowEnd) -> ();
    decide_flow_run(run_id: &str, replay: Option<&str>, at: Timestamp) -> bool;
    decide_position(connection: &str, reader: &str, stream: &str, checkpoint: Option<&str>, at: Timestamp) -> bool;
    step_run(parent: &str, place: &str) -> Option<StepRun>;
    park_run(run_id: &str, retry_at: Timestamp) -> ();
    resume_run(run_id: &str, step: &str, call: &str, now: Timestamp) -> Resumed;
    begin_sync(sync: NewSync) -> ();
    sync(run_id: &str) -> Option<SyncRow>;
    park_sync(run_id: &str, retry_at: Timestamp, rounds: u32) -> ();
    complete_sync(run_id: &str, removed: u64, step: &str, call: &str) -> ();
    tried(run_id: &str, step: &str, call: &str) -> u32;
    rejected(run_id: &str, limit: u32) -> Vec<RejectedRow>;
    schedule(flow: &str) -> Option<(String, Timestamp)>;
    set_schedule(flow: &str, schedule: &str, next_at: Timestamp) -> ();
    retain_schedules(flows: &[String]) -> ();
    fire(fired: Fired) -> u32;
    begin_intent(intent: NewIntent) -> PriorIntent;
    end_intent(key: IntentKey, end: IntentEnd, at: Timestamp) -> ();
    effects(run_id: &str) -> Effects;
    record_secret_use(run_id: &str, step: &str, credential: &str, rule: &str, at: Timestamp) -> ();
    audit(kind: &str, subject: &str, detail: &str, at: Timestamp) -> ();
    audit_rows(filter: AuditFilter) -> Vec<AuditRow>;
    place(key: &PositionKey) -> Place;
    begin_position(position: NewPosition) -> ();
    reset_position(key: &PositionKey) -> ();
    commit_page(commit: PageCommit) -> ();
    state_get(space: &StateSpace, key: &str) -> Option<StateEntry>;
    state_set(space: &StateSpace, key: &str, value: Vec<u8>, expected: Option<u64>) -> StateWrite;
    state_delete(space: &StateSpace, key: &str) -> bool;
    state_list(space: &StateSpace, prefix: &str, after: Option<&str>, max: u32) -> Vec<String>;
    take_state_over(moved: MovedState) -> ();
    state_versions(connection_id: &str) -> Vec<u32>;
}

/// A file that a killed process leaves as it is.
pub(crate) struct Abandoned(pub(crate) ResumableFileSink);

#[async_trait::async_trait]
impl PageSink for Abandoned {
    async fn open(&mut self, mark: Option<&FileMark>) -> std::io::Result<Option<FileMark>> {
        self.0.open(mark).await
    }
    async fn write(&mut self, records: Vec<u8>) -> std::io::Result<Option<FileMark>> {
        self.0.write(records).await
    }
    async fn finish(&mut self) -> std::io::Result<()> {
        self.0.finish().await
    }
    async fn discard(&mut self) {}
}
