//! What is forgotten is in no file any more, and the rest is as it was.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Cause, ExchangeLog, ExchangeRow, FlowEnd, MovedState, NewFlowRun, NewPosition, NewRun, Outcome, Parent,
    PositionKey, RunEnd, RunFilter, RunKind, SqliteStore, StateSpace, Store,
    exchange::log::tests::{ALL, row},
    suite::{at, new_attempt, new_run, run_end},
};
use portcullis_clock::{SeededClock, SeededRandom};
use std::{sync::Arc, time::Duration};

const WORD: &str = "canary-7f3a91c2";

async fn lock(data: &Path) -> Arc<DataLock> {
    Arc::new(DataLock::acquire(data, Duration::ZERO, &SeededClock::default()).await.unwrap())
}

/// Everything that can be stored for a connection, with its word in each place.
async fn fill(data: &Path, name: &str, connector: &str, word: &str, run: &str) -> String {
    let store = SqliteStore::open(
        lock(data).await,
        Arc::new(SeededClock::default()),
        Arc::new(SeededRandom::new(run.len() as u64)),
    )
    .unwrap();
    let connection_id = store.connection_id(name, connector).await.unwrap();
    let space = StateSpace { connection_id: connection_id.clone(), position_version: 1 };
    store.state_set(&space, word, word.as_bytes().to_vec(), None).await.unwrap();
    let space = StateSpace { connection_id: connection_id.clone(), position_version: 2 };
    let values = vec![(word.to_owned(), word.as_bytes().to_vec())];
    store.take_state_over(MovedState { space, from_version: 1, values }).await.unwrap();
    let key = PositionKey {
        connection_id: connection_id.clone(),
        reader: word.to_owned(),
        stream: "s".to_owned(),
        position_version: 1,
    };
    store.begin_position(NewPosition { key, file: None, moved: None, at: at(1) }).await.unwrap();
    let new = NewRun {
        connection: name.to_owned(),
        connection_id: connection_id.clone(),
        input: Some(format!("\"{word}\"")),
        ..new_run(run, RunKind::Call)
    };
    store.begin_run(new, new_attempt(run, "0", 1)).await.unwrap();
    let end = RunEnd {
        outcome: Outcome::Failed,
        suspicious: false,
        reason: None,
        error_kind: Some("invalid-input".to_owned()),
        detail: Some(word.to_owned()),
        output: Some(format!("\"{word}\"")),
        retry_at: None,
        requests: 0,
        delivery: None,
        ended_at: at(2_000),
    };
    store.end_run(run, end).await.unwrap();
    drop(store);
    let log = ExchangeLog::open(lock(data).await, Arc::new(SeededClock::default()), ALL).unwrap();
    for n in 0..50 {
        log.record(ExchangeRow {
            connection: name.to_owned(),
            connection_id: connection_id.clone(),
            request_body: Some(word.repeat(200)),
            ..row(n)
        })
        .await;
    }
    connection_id
}

/// How often a word stands in any file of the folder.
fn found(data: &Path, word: &str) -> usize {
    let files =
        std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let bytes = files.map(|path| std::fs::read(path).unwrap());
    bytes.map(|bytes| bytes.windows(word.len()).filter(|window| *window == word.as_bytes()).count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    // Two connectors ran under the name, one after the other; another connection stays.
    fill(data, "billing", "acme/old", WORD, "run_old").await;
    fill(data, "billing", "acme/stripe", WORD, "run_longer").await;
    fill(data, "other", "acme/stripe", "another-word-22", "run_of_the_other").await;
    assert!(found(data, WORD) > 100);
    let before = Holdings::of(data, "billing").unwrap();
    let expected = Holdings {
        connectors: vec!["acme/old".to_owned(), "acme/stripe".to_owned()],
        values: 4,
        positions: 2,
        exchanges: 100,
        announcements: 0,
        runs: 2,
        deliveries: 0,
    };
    assert_eq!(before, expected);
    let lock = lock(data).await;
    assert_eq!(Holdings::forget(&lock, "billing", at(3_000)).unwrap(), before);
    assert_eq!(found(data, WORD), 0);
    assert!(found(data, "another-word-22") > 50 * 200);
    assert!(Holdings::of(data, "billing").unwrap().is_empty());
    assert_eq!(Holdings::of(data, "other").unwrap().exchanges, 50);
    assert!(!Holdings::finish(&lock).unwrap(), "nothing is left to do");
    // Its runs were, and how they ended; its name begins anew.
    let store =
        SqliteStore::open(lock, Arc::new(SeededClock::default()), Arc::new(SeededRandom::new(9))).unwrap();
    let runs = store
        .runs(RunFilter { connection: Some("billing".to_owned()), ..RunFilter::default() })
        .await
        .unwrap();
    assert_eq!(runs.len(), 2);
    assert!(runs.iter().all(|run| run.outcome == Some(Outcome::Failed) && run.detail.is_none()));
    let fresh = store.connection_id("billing", "acme/stripe").await.unwrap();
    assert!(runs.iter().all(|run| run.connection_id != fresh));
    assert_eq!(
        store.audit_rows(crate::AuditFilter::default()).await.unwrap()[0].kind,
        "connection-forgotten"
    );
}

/// A run of a flow passes on what its steps' connections gave: what it had of one that is forgotten goes too.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_flow_had_of_it_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let store =
        SqliteStore::open(lock(data).await, Arc::new(SeededClock::default()), Arc::new(SeededRandom::new(9)));
    let store = store.unwrap();
    let connection_id = store.connection_id("billing", "acme/stripe").await.unwrap();
    for (run_id, name, connection_id, word) in [
        ("run_1", "billing", connection_id.as_str(), WORD),
        ("run_2", "billing", connection_id.as_str(), WORD),
        ("run_3", "other", "conn_other", "another-word-22"),
    ] {
        let json = format!("\"{word}\"");
        let new = NewFlowRun {
            run_id: run_id.to_owned(),
            flow: "orders".to_owned(),
            steps: "[]".into(),
            cause: Cause::Webhook,
            about: json.clone(),
            order_key: Some(json.clone()),
            correlation_id: format!("corr_{run_id}"),
            input: json.clone(),
            at: at(1_000),
        };
        store.begin_flow_run(new).await.unwrap();
        store.take_flow_run(run_id, at(1_000)).await.unwrap();
        let step = format!("{run_id}_s");
        let parent = Parent { run_id: run_id.to_owned(), flow: "orders".to_owned(), place: "1".to_owned() };
        let new = NewRun {
            connection: name.to_owned(),
            connection_id: connection_id.to_owned(),
            correlation_id: format!("corr_{run_id}"),
            parent: Some(parent),
            ..new_run(&step, RunKind::Call)
        };
        store.begin_run(new, new_attempt(&step, "0", 1)).await.unwrap();
        let end = RunEnd { output: Some(json.clone()), ..run_end(Outcome::Succeeded) };
        store.end_run(&step, end.clone()).await.unwrap();
        store.advance_flow_run(run_id, 0, &json).await.unwrap();
        let is_dead = run_id == "run_2";
        let run = RunEnd { outcome: if is_dead { Outcome::DeadLettered } else { end.outcome }, ..end };
        store.end_flow_run(run_id, FlowEnd { run, is_dead, starts: vec![] }).await.unwrap();
    }
    drop(store);
    let kept = found(data, "another-word-22");
    let lock = lock(data).await;
    Holdings::forget(&lock, "billing", at(3_000)).unwrap();
    assert_eq!(found(data, WORD), 0);
    assert!(found(data, "another-word-22") > 5 && kept > 5);
    let store = SqliteStore::open(lock, Arc::new(SeededClock::default()), Arc::new(SeededRandom::new(9)));
    let store = store.unwrap();
    let left = store.flow_run("run_1").await.unwrap().unwrap();
    assert_eq!((left.input, left.about.as_str(), left.outputs), (None, "null", vec!["null".to_owned()]));
    // Nobody knows any more what it would begin with.
    let again = store.decide_flow_run("run_2", Some("[]"), at(4_000)).await;
    assert!(matches!(again, Err(StoreError::NotFound { .. })), "{again:?}");
    assert!(store.decide_flow_run("run_2", None, at(4_000)).await.unwrap());
}

/// A kill between the removal of rows and that of their bytes is mended by whoever writes next, whatever it is about.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    fill(data, "billing", "acme/stripe", WORD, "run_1").await;
    let lock = lock(data).await;
    Holdings::remove(&lock, "billing", at(3_000)).unwrap();
    assert!(Holdings::of(data, "billing").unwrap().is_empty());
    assert!(found(data, WORD) > 100, "the rows are gone, and not their bytes");
    assert!(Holdings::finish(&lock).unwrap());
    assert_eq!(found(data, WORD), 0);
    assert!(!Holdings::finish(&lock).unwrap());
}

/// Who reads what was keeps its bytes in the log: that is no success.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stays_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    fill(data, "billing", "acme/stripe", WORD, "run_1").await;
    let lock = lock(data).await;
    let reader = Connection::open(data.join(EXCHANGES_FILE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM exchanges").unwrap();
    assert!(matches!(Holdings::forget(&lock, "billing", at(3_000)), Err(StoreError::Read { .. })));
    drop(reader);
    assert!(Holdings::finish(&lock).unwrap(), "it is remembered");
    assert_eq!(found(data, WORD), 0);
}

/// Records that could not be written are of both ends: whichever is forgotten, none of their text stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_sync_could_not_write_goes_with_either_end() {
    for forgotten in ["billing", "warehouse"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        {
            let store = SqliteStore::open(
                lock(data).await,
                Arc::new(SeededClock::default()),
                Arc::new(SeededRandom::new(9)),
            )
            .unwrap();
            crate::suite::syncs::with_rejected(&store, WORD).await;
        }
        assert!(found(data, WORD) > 0);
        let lock = lock(data).await;
        Holdings::forget(&lock, forgotten, at(9_000)).unwrap();
        assert_eq!(found(data, WORD), 0, "{forgotten}");
    }
}
