//! Syncs in a seeded world: whatever dies, and wherever, every record is at the destination or told as refused, and no position is
//! ahead of what was written.

use super::{
    flows::{Setting, are_over},
    programs::{copy, flow},
    world::{FOR_EVER, Mortal, failure, report},
};
use crate::*;
use portcullis_clock::{Clock, Random, SeededRandom, Timestamp};
use portcullis_store::{IntentEnd, IntentKey, NewIntent, PositionKey, RejectedRow, RunFilter, RunRow, Store};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

/// A batch as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) id: String,
    pub(crate) run_id: String,
    pub(crate) mode: Mode,
    pub(crate) generation: u64,
    pub(crate) deleted_field: Option<String>,
    pub(crate) records: String,
}

/// A vendor with records that may be added to, and a destination that keeps all that arrives. No request is sent: what is written is
/// written when the call is made, whether its answer arrives or not.
pub(crate) struct Ends {
    pub(crate) records: Mutex<Vec<String>>,
    pub(crate) arrived: Mutex<Vec<Arrived>>,
    /// Generation and `removed-max` of each `complete`.
    pub(crate) completed: Mutex<Vec<(u64, Option<u64>)>>,
    /// From where each page was asked for.
    pub(crate) asked: Mutex<Vec<Position>>,
    pub(crate) complete_reads: bool,
    /// What `complete` finds.
    pub(crate) gone: Mutex<u64>,
    pub(crate) page: usize,
    /// Failures to come, of `read`, `write` or `complete`; each is taken by the first call of its name.
    pub(crate) script: Mutex<VecDeque<(&'static str, Failure)>>,
    /// How long after a page the next one is to be asked for.
    pub(crate) again_after_ms: Mutex<Option<u64>>,
    /// Each batch is an unsafe request: stored there, and whether it may be sent again.
    pub(crate) intents: Mutex<Option<(Arc<dyn Store>, bool)>>,
    /// How both ends fail by themselves, and how large pages are.
    faults: Option<SeededRandom>,
}

impl Ends {
    pub(crate) fn new(records: impl IntoIterator<Item = String>) -> Self {
        Self {
            records: Mutex::new(records.into_iter().collect()),
            arrived: Mutex::default(),
            completed: Mutex::default(),
            asked: Mutex::default(),
            complete_reads: true,
            gone: Mutex::default(),
            page: 2,
            script: Mutex::default(),
            again_after_ms: Mutex::default(),
            intents: Mutex::default(),
            faults: None,
        }
    }

    fn draw(&self, below: u64) -> u64 {
        let Some(random) = &self.faults else { return 0 };
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    }

    fn scripted(&self, name: &str) -> Option<Failure> {
        let mut script = self.script.lock().unwrap();
        let at = script.iter().position(|(of, _)| *of == name)?;
        script.remove(at).map(|(_, failure)| failure)
    }

    /// A failure that the seed says.
    fn fault(&self) -> Option<Failure> {
        self.faults.as_ref()?;
        let limited = |ms| Failure { retry_after_ms: Some(ms), ..failure("rate-limited") };
        match self.draw(24) {
            0 => Some(failure("unavailable")),
            1 => Some(failure("timeout")),
            2 => Some(limited(self.draw(9_000))),
            3 => Some(limited(11_000 + self.draw(100_000))),
            4 => Some(failure("internal")),
            5 => Some(failure("panicked")),
            _ => None,
        }
    }

    fn page(&self, position: Position) -> Result<Answer, Failure> {
        self.asked.lock().unwrap().push(position.clone());
        if let Some(failure) = self.scripted("read").or_else(|| self.fault()) {
            return Err(failure);
        }
        if matches!(position, Position::Next(_)) && self.faults.is_some() && self.draw(20) == 0 {
            return Err(failure("position-expired"));
        }
        let from: usize = match &position {
            Position::Start => 0,
            Position::Checkpoint(text) | Position::Next(text) => text.parse().unwrap(),
        };
        let records = self.records.lock().unwrap();
        // What comes again need not be cut as it was.
        let size = if self.faults.is_some() { 1 + self.draw(4) as usize } else { self.page };
        let to = (from + size).min(records.len());
        let lines: String = records[from..to].iter().map(|record| format!("{record}\n")).collect();
        let is_last = to == records.len();
        Ok(Answer::Page(Page {
            records: lines.into_bytes(),
            count: (to - from) as u64,
            next: (!is_last).then(|| to.to_string()),
            checkpoint: (is_last || to.is_multiple_of(4)).then(|| to.to_string()),
            again_after_ms: self.again_after_ms.lock().unwrap().take(),
        }))
    }

    /// As egress does: an intent, the request, its end, which is not proven where no answer came.
    async fn sent(
        &self,
        (run_id, step, call): (String, String, String),
        batch: Batch,
    ) -> Result<Answer, Failure> {
        let Some((store, repeatable)) = self.intents.lock().unwrap().clone() else {
            return self.write(run_id, batch);
        };
        let key = IntentKey { run_id: run_id.clone(), step, call, ordinal: 0 };
        let (at, url) = (Timestamp::from_millis(0), "https://api.example/".to_owned());
        let (method, request_hash) = ("POST".to_owned(), batch.id.clone());
        let idempotency_key = repeatable.then(|| batch.id.clone());
        let intent = NewIntent {
            key: key.clone(),
            method,
            url,
            request_hash,
            idempotency_key,
            repeatable,
            started_at: at,
        };
        let stored = store.begin_intent(intent).await;
        stored.map_err(|_| failure("denied"))?;
        let result = self.write(run_id, batch);
        let proven = !matches!(&result, Err(failure) if failure.kind == "timeout");
        let refused = proven && result.is_err();
        let end = IntentEnd { proven, refused, outcome: String::new() };
        store.end_intent(key, end, at).await.map_err(|_| failure("denied"))?;
        result
    }

    fn write(&self, run_id: String, batch: Batch) -> Result<Answer, Failure> {
        if let Some(failure) = self.scripted("write") {
            return Err(failure);
        }
        let fault = self.fault();
        let fault = match fault {
            Some(failure) if self.draw(2) == 0 => return Err(failure),
            other => other,
        };
        let records = String::from_utf8(batch.records).unwrap();
        let refused = records.lines().zip(0..).filter(|(line, _)| line.contains("\"reject\""));
        let refused: Vec<_> =
            refused.map(|(_, line)| Rejected { line, error: failure("invalid-input") }).collect();
        self.arrived.lock().unwrap().push(Arrived {
            id: batch.id,
            run_id,
            mode: batch.mode,
            generation: batch.generation,
            deleted_field: batch.stream.deleted_field,
            records,
        });
        // It was written, and its answer is lost.
        fault.map_or(Ok(Answer::Rejected(refused)), Err)
    }

    /// Every line that arrived and was not refused.
    pub(crate) fn there(&self) -> Vec<String> {
        let arrived = self.arrived.lock().unwrap();
        let lines = arrived.iter().flat_map(|batch| batch.records.lines());
        lines.filter(|line| !line.contains("\"reject\"")).map(str::to_owned).collect()
    }
}

#[async_trait::async_trait]
impl Caller for Ends {
    async fn call(&self, request: CallRequest) -> CallReport {
        report(match request.operation {
            Operation::Discover => Ok(Answer::Streams(vec![StreamDescriptor {
                name: "customers".to_owned(),
                schema: "{}".to_owned(),
                primary_key: vec!["id".to_owned()],
                cursor_field: None,
                deleted_field: Some("deleted".to_owned()),
                complete_reads: self.complete_reads,
            }])),
            Operation::Read { position, .. } => self.page(position),
            Operation::Write(batch) => self.sent((request.run_id, request.step, request.call), batch).await,
            Operation::Complete { generation, removed_max, .. } => {
                self.completed.lock().unwrap().push((generation, removed_max));
                let gone = *self.gone.lock().unwrap();
                match (self.scripted("complete"), removed_max) {
                    (Some(failure), _) => Err(failure),
                    (None, Some(max)) if gone > max => Err(failure("conflict")),
                    _ => Ok(Answer::Removed(gone)),
                }
            }
            other => panic!("{other:?}"),
        })
    }
}

pub(crate) fn record(id: u64) -> String {
    // Some are refused wherever they come.
    if id % 5 == 3 { format!("{{\"id\":{id},\"is\":\"reject\"}}") } else { format!("{{\"id\":{id}}}") }
}

fn id(record: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(record).unwrap();
    value["id"].as_u64().unwrap()
}

pub(crate) async fn refused(store: &dyn Store) -> Vec<RejectedRow> {
    let mut found = Vec::new();
    for run in syncs(store).await {
        found.extend(store.rejected(&run.summary.run_id, 1_000).await.unwrap());
    }
    found
}

/// Runs of streams, in the order in which they began.
pub(crate) async fn syncs(store: &dyn Store) -> Vec<RunRow> {
    let filter = RunFilter { kind: Some(RunKind::Sync), ..RunFilter::default() };
    let mut found = Vec::new();
    for run in store.runs(filter).await.unwrap().into_iter().rev() {
        found.push(store.run(&run.run_id).await.unwrap().unwrap());
    }
    found
}

pub(crate) fn key(connection_id: &str, flow: &str) -> PositionKey {
    PositionKey {
        connection_id: connection_id.to_owned(),
        reader: format!("flow:{flow}"),
        stream: "customers".to_owned(),
        position_version: 1,
    }
}

/// Of each record: it is there, or it is told why not; and no position is ahead of that.
async fn check(store: &dyn Store, ends: &Ends, connection_id: &str, whole: bool, why: &str) {
    let mut bytes: BTreeMap<String, String> = BTreeMap::new();
    for batch in ends.arrived.lock().unwrap().iter() {
        let known = bytes.entry(batch.id.clone()).or_insert_with(|| batch.records.clone());
        assert_eq!(*known, batch.records, "{why}: one id has one content");
    }
    let mut told: BTreeSet<u64> = ends.there().iter().map(|line| id(line)).collect();
    let refused = refused(store).await;
    told.extend(refused.iter().map(|row| id(row.record.as_deref().unwrap())));
    let position = store.place(&key(connection_id, "copy")).await.unwrap().position;
    let position = position.and_then(|position| position.next.or(position.checkpoint));
    let up_to: u64 = match whole {
        true => ends.records.lock().unwrap().len() as u64,
        false => position.map_or(0, |position| position.parse().unwrap()),
    };
    for id in 0..up_to {
        assert!(told.contains(&id), "{why}: {id} of {up_to} is neither there nor told: {told:?}");
    }
    for row in refused {
        assert!(row.record.unwrap().contains("reject"), "{why}");
    }
}

fn there() -> [Flow; 1] {
    [flow("copy", vec![copy(Mode::Upsert, None)])]
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_every_record_is_there_or_told() {
    killed_anywhere(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_what_was_sent_under_a_key_is_sent_again() {
    killed_anywhere(true).await;
}

/// `sends`: each batch is a request, under a key.
async fn killed_anywhere(sends: bool) {
    let mut kills = 0;
    for effect_of_the_last in [false, true] {
        for left in 1.. {
            let setting = Setting::new(1, true, there());
            let ends = Arc::new(Ends::new((0..9).map(record)));
            let why = format!("killed at {left}, {effect_of_the_last}");
            let died = {
                let (inner, id) = setting.store().await;
                let engine = setting.engine(&inner, ends.clone(), &id);
                engine.begin_flow("copy", "null", &CallOptions::default()).await.unwrap();
                drop(engine);
                let left = AtomicI64::new(left);
                let mortal =
                    Arc::new(Mortal { inner: Arc::clone(&inner), left, effect_of_the_last, fails: FOR_EVER });
                let store = Arc::clone(&mortal) as Arc<dyn Store>;
                *ends.intents.lock().unwrap() = sends.then(|| (Arc::clone(&store), true));
                let over = async || mortal.is_dead() || are_over(&*inner, 1).await;
                setting.dispatch(&store, ends.clone(), &id, over).await;
                check(&*inner, &ends, &id, false, &why).await;
                *ends.intents.lock().unwrap() = None;
                mortal.is_dead()
            };
            let (store, id) = setting.store().await;
            *ends.intents.lock().unwrap() = sends.then(|| (Arc::clone(&store), true));
            setting.dispatch(&store, ends.clone(), &id, async || are_over(&*store, 1).await).await;
            check(&*store, &ends, &id, true, &why).await;
            let runs = syncs(&*store).await;
            assert_eq!(runs.len(), 1, "{why}: one place has one run");
            let run = &runs[0];
            assert_eq!(run.summary.outcome, Some(Outcome::Succeeded), "{why}: {run:#?}");
            assert!(run.attempts.iter().all(|attempt| attempt.outcome.is_some()), "{why}");
            // What is committed is counted once, however often it was written.
            let row = store.sync(&run.summary.run_id).await.unwrap().unwrap();
            assert_eq!((row.records, row.written, row.rejected, row.pages), (9, 7, 2, 5), "{why}");
            assert_eq!(refused(&*store).await.len(), 2, "{why}");
            if !died {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 60, "{kills}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_seed_every_record_is_there_or_told() {
    let (mut outcomes, mut repeated) = (BTreeSet::new(), 0);
    for seed in 0..60 {
        let setting = Setting::new(seed, true, there());
        let (inner, id) = setting.store().await;
        let mut ends = Ends::new((0..12).map(record));
        ends.faults = Some(SeededRandom::new(seed));
        let ends = Arc::new(ends);
        let engine = setting.engine(&inner, ends.clone(), &id);
        engine.begin_flow("copy", "null", &CallOptions::default()).await.unwrap();
        for turn in 0.. {
            assert!(turn < 200, "seed {seed} does not end");
            // It dies now and then, and the store with it.
            let mortal = Arc::new(Mortal {
                inner: Arc::clone(&inner),
                left: AtomicI64::new(1 + i64::try_from(ends.draw(120)).unwrap()),
                effect_of_the_last: turn % 2 == 0,
                fails: FOR_EVER,
            });
            let store = Arc::clone(&mortal) as Arc<dyn Store>;
            let over = async || mortal.is_dead() || are_over(&*inner, 1).await;
            setting.dispatch(&store, ends.clone(), &id, over).await;
            let why = format!("seed {seed}, turn {turn}");
            check(&*inner, &ends, &id, false, &why).await;
            if mortal.left.load(Ordering::SeqCst) <= 0 {
                continue;
            }
            let filter = RunFilter { kind: Some(RunKind::Flow), ..RunFilter::default() };
            let run = inner.runs(filter).await.unwrap().remove(0);
            outcomes.insert(run.outcome.unwrap().as_str());
            if run.outcome == Some(Outcome::Succeeded) {
                break;
            }
            let steps = there()[0].stored_steps();
            let now = setting.clock.now();
            assert!(inner.decide_flow_run(&run.run_id, Some(&*steps), now).await.unwrap());
        }
        check(&*inner, &ends, &id, true, &format!("seed {seed}")).await;
        let lines = ends.there();
        repeated += lines.len() - lines.iter().collect::<BTreeSet<_>>().len();
        for run in syncs(&*inner).await {
            assert!(run.summary.outcome.is_some(), "seed {seed}: nothing is left open");
        }
    }
    assert!(outcomes.contains("succeeded") && outcomes.contains("dead-lettered"), "{outcomes:?}");
    assert!(repeated > 0, "this world has something come twice");
}
