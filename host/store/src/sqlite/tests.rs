//! The conformance suite over SQLite, and what is its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    FlowOverview, StateReader,
    limits::{
        PRUNE_PAGES, RUN_ATTEMPTS_MAX, RUN_INTENTS_KEPT_MAX, RUN_INTENTS_MAX, STATE_KEYS_MAX,
        STATE_VALUE_BYTES_MAX, WAL_PAGES_MAX,
    },
    suite::{at, attempt_end, conformance, intent_end, key, new_attempt, new_intent, new_run, run_end},
};
use crate::{Outcome, RunKind};
use portcullis_clock::{SeededClock, SeededRandom};
use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tempfile::TempDir;

/// A store and the folder that goes with it.
struct Kept {
    store: SqliteStore,
    _folder: TempDir,
}

async fn open(data: &Path) -> SqliteStore {
    let clock = SeededClock::default();
    let lock = DataLock::acquire(data, Duration::ZERO, &clock).await.unwrap();
    let random = SeededRandom::new(1);
    SqliteStore::open(Arc::new(lock), Arc::new(clock), Arc::new(random)).unwrap()
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait::async_trait]
        impl Store for Kept {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
                self.store.$name($($arg),*).await
            })*
        }
    };
}

forward! {
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

#[tokio::test(flavor = "multi_thread")]
async fn keeps_what_every_store_promises() {
    conformance(|| async {
        let folder = tempfile::tempdir().unwrap();
        Kept { store: open(folder.path()).await, _folder: folder }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_there_again_after_a_restart_under_a_higher_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).await;
    let id = first.connection_id("billing", "acme/stripe").await.unwrap();
    let epoch = first.epoch();
    first.begin_run(new_run("run_1", RunKind::Call), new_attempt("run_1", "0", 1)).await.unwrap();
    drop(first);
    let second = open(folder.path()).await;
    assert_eq!(second.epoch(), epoch + 1);
    assert_eq!(second.connection_id("billing", "acme/stripe").await.unwrap(), id);
    assert_eq!(second.close_interrupted(at(9)).await.unwrap()[0].outcome, Outcome::Failed);
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let checked: String = second
        .readers
        .read(|conn| Ok(conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))?))
        .await
        .unwrap();
    assert_eq!(checked, "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_panics_or_fails_takes_no_other_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let write = |name: &'static str, then: fn() -> Result<(), StoreError>| {
        store.writer.write(move |conn| {
            audit::insert(conn, "test", name, "{}", None, at(1))?;
            then()
        })
    };
    let (good, panicked, failed, last) = tokio::join!(
        write("good", || Ok(())),
        write("panicked", || panic!("as a fault of ours would")),
        write("failed", || Err(StoreError::Stopped("on purpose"))),
        write("last", || Ok(())),
    );
    good.unwrap();
    last.unwrap();
    assert!(matches!(panicked, Err(StoreError::Stopped(_))) && failed.is_err());
    let rows = store.audit_rows(AuditFilter::default()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.subject.as_str()).collect::<Vec<_>>(), ["last", "good"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_whose_folder_was_taken_over_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    // As a second process would that got hold of the lock.
    let other = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
    other.execute("UPDATE meta SET epoch = epoch + 1", []).unwrap();
    let refused = store.audit("test", "late", "{}", at(1)).await;
    assert!(matches!(refused, Err(StoreError::Fenced { found, ours }) if found == ours + 1), "{refused:?}");
    assert!(store.audit_rows(AuditFilter::default()).await.unwrap().is_empty());
}

fn flow_run(id: &str) -> NewFlowRun {
    NewFlowRun {
        run_id: id.to_owned(),
        flow: "orders".to_owned(),
        steps: "[]".into(),
        cause: crate::Cause::Schedule,
        about: "null".to_owned(),
        order_key: None,
        correlation_id: "corr".to_owned(),
        input: "1".to_owned(),
        at: at(1),
    }
}

/// Each word is one's whose process does not know yet that another has its folder.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_goes_on_with_a_flow_whose_folder_was_taken_over() {
    for word in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        for id in ["run_1", "run_2"] {
            store.begin_flow_run(flow_run(id)).await.unwrap();
        }
        store.set_schedule("orders", "s", at(5)).await.unwrap();
        store.take_flow_run("run_1", at(1)).await.unwrap();
        let other = rusqlite::Connection::open(folder.path().join("state.db")).unwrap();
        other.execute("UPDATE meta SET epoch = epoch + 1", []).unwrap();
        let end = FlowEnd { run: run_end(Outcome::Succeeded), is_dead: false, starts: vec![] };
        let fired =
            Fired { flow: "orders".to_owned(), at: at(5), next_at: at(6), starts: vec![], alone: false };
        let refused = match word {
            0 => store.advance_flow_run("run_1", 0, "1").await,
            1 => store.put_flow_run_back("run_1", at(9), None).await,
            2 => store.end_flow_run("run_1", end).await,
            3 => store.take_flow_run("run_2", at(1)).await.map(drop),
            4 => store.begin_flow_run(flow_run("run_3")).await,
            5 => store.fire(fired).await.map(drop),
            6 => store.decide_flow_run("run_1", None, at(1)).await.map(drop),
            _ => store.set_schedule("orders", "t", at(6)).await,
        };
        assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{word}: {refused:?}");
        let found = store.flow_run("run_1").await.unwrap().unwrap();
        assert_eq!((found.state, found.outputs.len()), (crate::FlowState::Running, 0), "{word}");
        assert_eq!(store.schedule("orders").await.unwrap(), Some(("s".to_owned(), at(5))), "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_at_a_glance() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for (number, id) in ["run_1", "run_2", "run_3", "run_4"].into_iter().enumerate() {
        let new = NewFlowRun { at: at(number as i64), ..flow_run(id) };
        store.begin_flow_run(new).await.unwrap();
    }
    store.begin_flow_run(NewFlowRun { flow: "other".to_owned(), ..flow_run("run_5") }).await.unwrap();
    for id in ["run_1", "run_2"] {
        store.take_flow_run(id, at(9)).await.unwrap();
    }
    let run = run_end(Outcome::DeadLettered);
    store.end_flow_run("run_2", FlowEnd { run, is_dead: true, starts: vec![] }).await.unwrap();
    store.set_schedule("orders", "s", at(5)).await.unwrap();
    let reader = StateReader::open(folder.path()).unwrap().unwrap();
    let expected = FlowOverview {
        queued: 2,
        queued_since: Some(at(2)),
        running: 1,
        dead: 1,
        dead_since: Some(at(1)),
        next_at: Some(at(5)),
    };
    assert_eq!(reader.flow_overview("orders").unwrap(), expected);
    assert_eq!(reader.flow_overview("none").unwrap(), FlowOverview::default());
    assert_eq!(reader.flow_run("run_1").unwrap().unwrap().flow, "orders");
}

#[tokio::test(flavor = "multi_thread")]
async fn is_read_without_a_lock_beside_a_writer_and_without_one() {
    let folder = tempfile::tempdir().unwrap();
    assert!(StateReader::open(folder.path()).unwrap().is_none(), "nothing there yet");
    let store = open(folder.path()).await;
    store.begin_run(new_run("run_1", RunKind::Call), new_attempt("run_1", "0", 1)).await.unwrap();
    let reader = StateReader::open(folder.path()).unwrap().unwrap();
    assert_eq!(reader.runs(&RunFilter::default()).unwrap()[0].outcome, None);
    store.end_run("run_1", run_end(Outcome::Succeeded)).await.unwrap();
    assert_eq!(reader.run("run_1").unwrap().unwrap().summary.outcome, Some(Outcome::Succeeded));
    assert!(reader.audit_rows(&AuditFilter::default()).unwrap().is_empty());
    drop((store, reader));
    let alone = StateReader::open(folder.path()).unwrap().unwrap();
    assert_eq!(alone.runs(&RunFilter::default()).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let id = store.connection_id("a", "acme/stripe").await.unwrap();
    let full = format!("INSERT INTO state_totals VALUES ('{id}', {STATE_KEYS_MAX}, 0, 1)");
    store.writer.write(move |conn| Ok(conn.execute_batch(&full)?)).await.unwrap();
    let space = StateSpace { connection_id: id, position_version: 1 };
    assert_eq!(store.state_set(&space, "k", vec![], None).await.unwrap(), StateWrite::Quota(STATE_KEYS_MAX));
}

/// How many rows of this table there are of a run.
async fn rows(store: &SqliteStore, table: &str, run: &str) -> u32 {
    let (sql, run) = (format!("SELECT count(*) FROM {table} WHERE run_id = ?1"), run.to_owned());
    store.readers.read(move |conn| Ok(conn.query_row(&sql, [run], |row| row.get(0))?)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_any_length_keeps_its_newest_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for run in ["run_1", "run_2"] {
        store.begin_run(new_run(run, RunKind::Read), new_attempt(run, "0", 1)).await.unwrap();
    }
    let pages = 2 * RUN_ATTEMPTS_MAX;
    let read = move |conn: &rusqlite::Connection| {
        (0..pages).try_for_each(|page| {
            let (call, next) = (page.to_string(), (page + 1).to_string());
            let (attempt, next_attempt) =
                (attempt_end("run_1", &call, 1), Some(new_attempt("run_1", &next, 1)));
            position::commit(
                conn,
                &PageCommit { attempt, next_attempt, records: 0, position: None, sync: None },
            )
        })
    };
    store.writer.write(read).await.unwrap();
    let kept = rows(&store, "attempts", "run_1").await;
    assert!((RUN_ATTEMPTS_MAX..RUN_ATTEMPTS_MAX + PRUNE_PAGES as u32).contains(&kept), "{kept}");
    let open = store.run("run_1").await.unwrap().unwrap();
    let last = open.attempts.last().unwrap();
    assert_eq!((last.call.clone(), last.outcome), (pages.to_string(), None), "the page that is being read");

    store.close_interrupted(at(9)).await.unwrap();
    assert_eq!(rows(&store, "attempts", "run_1").await, RUN_ATTEMPTS_MAX);
    assert_eq!(rows(&store, "attempts", "run_2").await, 1, "another run's stay");
    let over = store.run("run_1").await.unwrap().unwrap();
    assert_eq!(over.attempts[0].call, (pages + 1 - RUN_ATTEMPTS_MAX).to_string());
    // What is gone is counted still.
    assert_eq!((over.steps[0].attempts, over.summary.counts.requests), (pages as u64 + 1, pages as u64 * 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_over_keeps_its_newest_intents_and_those_without_proof() {
    const KEPT: u32 = RUN_INTENTS_KEPT_MAX;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for run in ["run_1", "run_2", "run_3"] {
        store.begin_run(new_run(run, RunKind::Call), new_attempt(run, "0", 1)).await.unwrap();
    }
    // The first ones have no proof: 10 of run 1, and more than are kept of run 2.
    let send = |conn: &rusqlite::Connection| {
        for (run, unproven, all) in [("run_1", 10, 2 * KEPT), ("run_2", KEPT + 5, 3 * KEPT), ("run_3", 0, 1)]
        {
            for ordinal in 0..all {
                intent::begin(conn, &new_intent(run, ordinal, "h", None))?;
                if ordinal >= unproven {
                    intent::end(conn, &key(run, ordinal), &intent_end(true, true), at(1004))?;
                }
            }
        }
        Ok(())
    };
    store.writer.write(send).await.unwrap();
    let before = [store.effects("run_1").await.unwrap(), store.effects("run_2").await.unwrap()];
    assert_eq!(rows(&store, "intents", "run_1").await, 2 * KEPT, "none is removed before the end");
    let ordinals = async |run: &str| {
        let run = store.run(run).await.unwrap().unwrap();
        (run.steps[0].intents, run.intents.iter().map(|intent| intent.ordinal).collect::<Vec<_>>())
    };
    let shown = (ordinals("run_1").await, ordinals("run_2").await);
    assert_eq!(shown.0, (u64::from(2 * KEPT), (0..10).chain(KEPT..2 * KEPT).collect()));
    assert_eq!(shown.1, (u64::from(3 * KEPT), (5..KEPT + 5).chain(2 * KEPT..3 * KEPT).collect()));

    store.end_run("run_1", run_end(Outcome::Unknown)).await.unwrap();
    assert_eq!(store.close_interrupted(at(9)).await.unwrap()[0].outcome, Outcome::Unknown);
    assert_eq!(rows(&store, "intents", "run_1").await, KEPT + 10);
    assert_eq!(rows(&store, "intents", "run_2").await, 2 * KEPT);
    assert_eq!(rows(&store, "intents", "run_3").await, 1);
    assert_eq!((ordinals("run_1").await, ordinals("run_2").await), shown, "what was shown before");
    assert_eq!([store.effects("run_1").await.unwrap(), store.effects("run_2").await.unwrap()], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_an_end_to_its_unsafe_requests() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for run in ["run_1", "run_2"] {
        store.begin_run(new_run(run, RunKind::Read), new_attempt(run, "0", 1)).await.unwrap();
    }
    let nearly = format!("UPDATE steps SET intents = {} WHERE run_id = 'run_1'", RUN_INTENTS_MAX - 1);
    store.writer.write(move |conn| Ok(conn.execute_batch(&nearly)?)).await.unwrap();
    store.begin_intent(new_intent("run_1", 0, "h", None)).await.unwrap();
    let refused = store.begin_intent(new_intent("run_1", 1, "h", None)).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { bound: RUN_INTENTS_MAX, .. })), "{refused:?}");
    assert_eq!(rows(&store, "intents", "run_1").await, 1);
    // What is stored already may be repeated, and another run is another matter.
    store.begin_intent(new_intent("run_1", 0, "h", None)).await.unwrap();
    store.begin_intent(new_intent("run_2", 0, "h", None)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_again_and_again_takes_its_room_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let connection_id = store.connection_id("a", "acme/stripe").await.unwrap();
    let space = StateSpace { connection_id, position_version: 1 };
    let bytes = |file: &str| std::fs::metadata(folder.path().join(file)).unwrap().len();
    // A page of the log has a header of 24 bytes; the log holds one commit more than the bound.
    let wal_max = u64::from(WAL_PAGES_MAX.unsigned_abs()) * (4096 + 24) + 2 * STATE_VALUE_BYTES_MAX as u64;
    for n in 0..100_u8 {
        store.state_set(&space, "k", vec![n; STATE_VALUE_BYTES_MAX], None).await.unwrap();
        assert!(bytes("state.db-wal") < wal_max, "{n}: {}", bytes("state.db-wal"));
    }
    assert!(bytes("state.db") < 4 * STATE_VALUE_BYTES_MAX as u64, "{}", bytes("state.db"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_whose_caller_went_away_is_seen_by_the_end_of_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for n in 0..40 {
        let run = format!("run_{n}");
        store.begin_run(new_run(&run, RunKind::Call), new_attempt(&run, "0", 1)).await.unwrap();
        // Polled until it waits for its turn, and dropped there.
        let mut begun = store.begin_intent(new_intent(&run, 0, "h", None));
        std::future::poll_fn(|context| {
            assert!(begun.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(begun);
        assert!(store.effects(&run).await.unwrap().unproven, "{run}");
    }
}
