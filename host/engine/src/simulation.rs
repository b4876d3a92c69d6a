//! The engine in a seeded world: scripted faults, a clock that jumps, a store that dies between any two operations.
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod flows;
pub(crate) mod programs;
pub(crate) mod syncs;
pub(crate) mod world;

use crate::{
    CallOptions, Delivery, Engine, EngineError, FileMark, Mode, Outcome, PageSink, ReadOptions,
    ResumableFileSink, RunReport, WriteOptions,
};
use portcullis_clock::{SeededClock, SeededRandom};
use portcullis_store::{RunFilter, Store};
use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicI64},
};
use world::{Abandoned, CONNECTION, Creator, FOR_EVER, Mortal, One, RECORDS, Vendor};

struct Setting {
    data: tempfile::TempDir,
    clock: SeededClock,
    random: SeededRandom,
}

impl Setting {
    fn new(seed: u64) -> Self {
        let (data, clock) = (tempfile::tempdir().unwrap(), SeededClock::default());
        Self { data, clock, random: SeededRandom::new(seed) }
    }

    fn engine(&self, store: Arc<dyn Store>, caller: Arc<dyn crate::Caller>, connection_id: &str) -> Engine {
        let facts = world::facts(connection_id.to_owned(), true);
        let (clock, random) = (Arc::new(self.clock.clone()), Arc::new(self.random.clone()));
        Engine::new(store, caller, Arc::new(One(facts)), clock, random)
    }

    /// The store as a process finds it that starts now, and what it makes of what was left.
    async fn start(&self) -> (Arc<dyn Store>, String) {
        let store = world::store(self.data.path(), &self.clock).await;
        let id = store.connection_id(CONNECTION, "acme/stripe").await.unwrap();
        (store, id)
    }
}

fn resume() -> ReadOptions {
    ReadOptions { resume: Some("nightly".to_owned()), ..ReadOptions::default() }
}

/// A delivery, handed over.
async fn deliver(engine: &Engine) -> Result<RunReport, EngineError> {
    let text = |text: &str| text.to_owned();
    let delivery = Delivery {
        id: text("d1"),
        method: text("POST"),
        path: text("/"),
        query: text(""),
        headers: Vec::new(),
        body: Vec::new(),
    };
    engine.deliver(CONNECTION, delivery, false, CallOptions::default()).await
}

/// A batch, written, and what is not in it removed.
async fn write(engine: &Engine) -> Result<RunReport, EngineError> {
    let options = WriteOptions {
        mode: Mode::Replace,
        primary_key: Vec::new(),
        schema: None,
        generation: 1,
        complete: Some(None),
        dry_run: false,
    };
    engine.write(CONNECTION, "customers", b"{\"id\":1}\n".to_vec(), options, CallOptions::default()).await
}

fn ids(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let id = |line: &str| line.strip_prefix("{\"id\":").unwrap().strip_suffix('}').unwrap().parse().unwrap();
    text.lines().map(id).collect()
}

/// Every run has an outcome, and every report says what its row says.
async fn check_runs(store: &dyn Store, reports: &[RunReport]) {
    assert!(store.runs(RunFilter { open: true, ..RunFilter::default() }).await.unwrap().is_empty());
    for report in reports {
        let row = store.run(&report.run_id).await.unwrap().unwrap();
        assert_eq!(row.summary.outcome, Some(report.outcome));
        assert_eq!(row.summary.reason, report.reason);
        assert_eq!(row.summary.retry_at, report.retry_at);
        assert_eq!((row.summary.counts.pages, row.summary.counts.records), (report.pages, report.records));
        assert!(row.attempts.iter().all(|attempt| attempt.outcome.is_some()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_killed_between_any_two_operations_loses_and_repeats_nothing() {
    let mut kills = 0;
    for effect_of_the_last in [false, true] {
        for left in 1.. {
            let setting = Setting::new(left);
            let path = setting.data.path().join("out.ndjson");
            let vendor = || Arc::new(Vendor { random: setting.random.clone(), faults_percent: 0 });
            let died = {
                let (inner, id) = setting.start().await;
                let left = AtomicI64::new(i64::try_from(left).unwrap());
                let mortal = Arc::new(Mortal { inner, left, effect_of_the_last, fails: FOR_EVER });
                let engine = setting.engine(Arc::clone(&mortal) as Arc<dyn Store>, vendor(), &id);
                let mut sink = Abandoned(ResumableFileSink::new(&path));
                let read = engine.read(CONNECTION, "customers", resume(), &mut sink).await;
                assert_eq!(read.is_err(), mortal.is_dead());
                mortal.is_dead()
            };
            let (store, id) = setting.start().await;
            let engine = setting.engine(Arc::clone(&store), vendor(), &id);
            engine.start().await.unwrap();
            check_runs(&*store, &[]).await;
            let mut sink = ResumableFileSink::new(&path);
            let report = engine.read(CONNECTION, "customers", resume(), &mut sink).await.unwrap();
            assert_eq!(report.outcome, Outcome::Succeeded);
            assert_eq!(
                ids(&path),
                (0..RECORDS).collect::<Vec<_>>(),
                "killed at {left}, {effect_of_the_last}"
            );
            check_runs(&*store, &[report]).await;
            if !died {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 20, "{kills}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_at_the_vendor_is_never_a_failed_run_wherever_it_is_killed() {
    let mut kills = 0;
    for (effect_of_the_last, what) in
        [false, true].into_iter().flat_map(|last| [(last, 0), (last, 1), (last, 2)])
    {
        for left in 1.. {
            let setting = Setting::new(left);
            let log = Arc::new(Mutex::new(Vec::new()));
            let died = {
                let (inner, id) = setting.start().await;
                let left = AtomicI64::new(i64::try_from(left).unwrap());
                let mortal = Arc::new(Mortal { inner, left, effect_of_the_last, fails: FOR_EVER });
                let store = Arc::clone(&mortal) as Arc<dyn Store>;
                let (kept, faults) = (Arc::clone(&log), None);
                let creator = Arc::new(Creator { store: Arc::clone(&store), log: kept, faults });
                let engine = setting.engine(store, creator, &id);
                let _ = match what {
                    0 => engine.call(CONNECTION, "create", "{}", CallOptions::default()).await,
                    1 => deliver(&engine).await,
                    _ => write(&engine).await,
                };
                mortal.is_dead()
            };
            let (store, id) = setting.start().await;
            let idle = world::Scripted::new([]);
            setting.engine(Arc::clone(&store), idle, &id).start().await.unwrap();
            check_runs(&*store, &[]).await;
            let log = log.lock().unwrap().clone();
            assert!(log.len() <= 1 + usize::from(what == 2));
            for run in log {
                let outcome = store.run(&run).await.unwrap().unwrap().summary.outcome.unwrap();
                assert!(
                    matches!(outcome, Outcome::Succeeded | Outcome::Unknown),
                    "{outcome:?}, killed at {left}"
                );
            }
            if !died {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= 24, "{kills}");
}

/// A sink whose last line can't be written.
struct Full(u64);

#[async_trait::async_trait]
impl PageSink for Full {
    async fn open(&mut self, _: Option<&FileMark>) -> io::Result<Option<FileMark>> {
        Ok(None)
    }
    async fn write(&mut self, _: Vec<u8>) -> io::Result<Option<FileMark>> {
        self.0 = self.0.saturating_sub(1);
        if self.0 == 0 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(None) }
    }
    async fn finish(&mut self) -> io::Result<()> {
        if self.0 == 1 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
    async fn discard(&mut self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_at_the_vendor_is_never_a_failed_run_however_it_ends() {
    let setting = Setting::new(0);
    let (store, id) = setting.start().await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut seen = BTreeSet::new();
    for seed in 0..1_200 {
        let (kept, faults) = (Arc::clone(&log), Some(SeededRandom::new(seed)));
        let creator = Creator { store: Arc::clone(&store), log: kept, faults };
        let engine = setting.engine(Arc::clone(&store), Arc::new(creator), &id);
        let options = CallOptions::default;
        let report = match seed % 6 {
            0 => engine.call(CONNECTION, "create", "{}", options()).await,
            1 => engine.check(CONNECTION, options()).await,
            2 => engine.discover(CONNECTION, options()).await,
            3 => deliver(&engine).await,
            4 => write(&engine).await,
            _ => {
                engine
                    .read(CONNECTION, "customers", ReadOptions::default(), &mut Full(1 + seed / 6 % 5))
                    .await
            }
        };
        let report = report.unwrap();
        let row = store.run(&report.run_id).await.unwrap().unwrap();
        let done = log.lock().unwrap().contains(&report.run_id);
        let possible = store.effects(&report.run_id).await.unwrap().possible;
        let (outcome, reason) = (report.outcome, report.reason.clone().unwrap_or_default());
        if done {
            assert!(matches!(outcome, Outcome::Succeeded | Outcome::Unknown), "seed {seed}: {report:?}");
        }
        // Nor is a run in doubt that can have done nothing.
        assert_eq!(outcome == Outcome::Unknown, reason.ends_with("-effect"), "seed {seed}: {report:?}");
        assert!(outcome != Outcome::Unknown || possible, "seed {seed}: {report:?}");
        // What ended it stays to be seen.
        let kind = report.failure.as_ref().map(|failure| failure.kind.clone());
        assert_eq!(row.summary.error_kind, kind);
        assert!(outcome == Outcome::Succeeded || reason == "unproven-effect" || kind.is_some());
        seen.insert(format!(
            "{} {} {reason} {}",
            row.summary.kind.as_str(),
            outcome.as_str(),
            kind.unwrap_or_default()
        ));
        check_runs(&*store, &[report]).await;
    }
    for kind in ["call", "read", "check", "discover", "deliver", "write"] {
        for end in ["timeout", "trapped", "not-found", "rate-limited", "cancelled", "host"] {
            // An action with a key and a batch are called again after a timeout, and hardly end in one.
            let line = format!("{kind} unknown possible-effect {end}");
            let again = ["call", "write"].contains(&kind) && end == "timeout";
            assert!(seen.contains(&line) || again, "{line}: {seen:#?}");
        }
        for end in ["failed not-found not-found", "cancelled cancelled cancelled", "succeeded  "] {
            assert!(seen.contains(&format!("{kind} {end}")), "{kind} {end}: {seen:#?}");
        }
    }
    assert!(seen.contains("read unknown possible-effect sink"), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_seed_every_run_ends_and_the_records_are_all_there() {
    let mut outcomes = BTreeSet::new();
    let setting = Setting::new(0);
    let (store, id) = setting.start().await;
    for seed in 0..100 {
        let path = setting.data.path().join(format!("{seed}.ndjson"));
        let vendor = Vendor { random: SeededRandom::new(seed), faults_percent: 35 };
        let engine = setting.engine(Arc::clone(&store), Arc::new(vendor), &id);
        let mut reports = Vec::new();
        let reader = || ReadOptions { resume: Some(format!("reader-{seed}")), ..ReadOptions::default() };
        while reports.last().is_none_or(|last: &RunReport| last.outcome != Outcome::Succeeded) {
            let mut sink = ResumableFileSink::new(&path);
            reports.push(engine.read(CONNECTION, "customers", reader(), &mut sink).await.unwrap());
            assert!(reports.len() < 200, "seed {seed} does not end");
        }
        // A fall back to the checkpoint reads again: each record is there, and one by key.
        let found: BTreeSet<_> = ids(&path).into_iter().collect();
        assert_eq!(found, (0..RECORDS).collect(), "seed {seed}");
        outcomes.extend(reports.iter().filter_map(|report| report.reason.clone()));
        check_runs(&*store, &reports).await;
    }
    let expected = ["host", "internal", "loop", "panicked", "position-expired", "rate-limited"];
    assert!(expected.iter().all(|reason| outcomes.contains(*reason)), "{outcomes:?}");
}
