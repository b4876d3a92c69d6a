//! What is removed, in which order, and that the counts are true.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    DataLock, Outcome, RunEnd, RunFilter, RunKind, SqliteStore, Store,
    limits::PRUNE_RUNS,
    migrations::STATE,
    reader::STATE_FILE,
    suite::{at, new_attempt, new_run},
};
use portcullis_clock::{SeededClock, SeededRandom};
use std::{path::Path, sync::Arc, time::Duration};

async fn open(data: &Path) -> SqliteStore {
    let clock = SeededClock::default();
    let lock = DataLock::acquire(data, Duration::ZERO, &clock).await.unwrap();
    SqliteStore::open(Arc::new(lock), Arc::new(clock), Arc::new(SeededRandom::new(1))).unwrap()
}

async fn begin(store: &SqliteStore, n: u32) -> String {
    let id = format!("run_{n:04}");
    let run = crate::NewRun { started_at: at(i64::from(n)), ..new_run(&id, RunKind::Call) };
    store.begin_run(run, new_attempt(&id, "0", 1)).await.unwrap();
    id
}

async fn end(store: &SqliteStore, id: &str, output: usize) {
    let end = RunEnd {
        outcome: Outcome::Succeeded,
        suspicious: false,
        reason: None,
        error_kind: None,
        detail: Some("why".to_owned()),
        output: Some("x".repeat(output)),
        retry_at: None,
        requests: 0,
        delivery: None,
        ended_at: at(5_000),
    };
    store.end_run(id, end).await.unwrap();
}

async fn left(store: &SqliteStore) -> Vec<String> {
    let mut runs: Vec<_> =
        store.runs(RunFilter::default()).await.unwrap().into_iter().map(|run| run.run_id).collect();
    runs.reverse();
    runs
}

/// The count, and what the rows say.
fn counts(data: &Path) -> (i64, i64) {
    let conn = Connection::open(data.join(STATE_FILE)).unwrap();
    let kept = conn.query_row("SELECT bytes FROM runs_kept", [], |row| row.get(0)).unwrap();
    let sql = format!("SELECT coalesce(sum({BYTES}), 0) FROM runs WHERE outcome IS NOT NULL");
    (kept, conn.query_row(&sql, [], |row| row.get(0)).unwrap())
}

const NEVER: Timestamp = Timestamp::from_millis(i64::MIN);

#[tokio::test(flavor = "multi_thread")]
async fn old_runs_go_with_all_that_is_theirs_and_open_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for n in 0..PRUNE_RUNS + 20 {
        let id = begin(&store, n).await;
        if n != 3 {
            end(&store, &id, 10).await;
        }
    }
    let (kept, counted) = counts(folder.path());
    assert_eq!(kept, counted);
    assert!(kept > i64::from(PRUNE_RUNS) * 1_500, "{kept}");
    assert_eq!(store.prune_runs(NEVER, u64::MAX).await.unwrap(), 0);
    assert_eq!(store.prune_runs(at(5), u64::MAX).await.unwrap(), 4);
    assert_eq!(left(&store).await[..2], ["run_0003", "run_0005"]);
    let all = store.prune_runs(at(1_000_000), u64::MAX).await.unwrap();
    assert_eq!((all, left(&store).await.len()), (PRUNE_RUNS, 16), "in bites");
    assert_eq!(store.prune_runs(at(1_000_000), u64::MAX).await.unwrap(), 15);
    assert_eq!((left(&store).await, counts(folder.path())), (vec!["run_0003".to_owned()], (0, 0)));
    let conn = Connection::open(folder.path().join(STATE_FILE)).unwrap();
    for table in ["steps", "attempts"] {
        let rows: i64 =
            conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_size_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for n in 0..10 {
        let id = begin(&store, n).await;
        end(&store, &id, 100_000).await;
    }
    assert_eq!(store.prune_runs(NEVER, 450_000).await.unwrap(), 6);
    assert_eq!(left(&store).await[0], "run_0006");
    let (kept, counted) = counts(folder.path());
    assert_eq!(kept, counted);
    assert!((400_000..450_000).contains(&kept), "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_version_3_is_counted_when_it_is_brought_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    for n in 0..5 {
        let id = begin(&store, n).await;
        if n > 0 {
            end(&store, &id, n as usize * 100).await;
        }
    }
    drop(store);
    let path = folder.path().join(STATE_FILE);
    let before = counts(folder.path());
    let mut conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "DROP TABLE rejected; DROP TABLE generations; DROP TABLE syncs; ALTER TABLE intents DROP COLUMN settled; \
         DROP TABLE flow_outputs; DROP TABLE flow_runs; DROP TABLE flow_definitions; DROP TABLE schedules; \
         DROP INDEX runs_place; DROP INDEX runs_flow; DROP INDEX runs_open; ALTER TABLE runs DROP COLUMN flow; \
         ALTER TABLE runs DROP COLUMN parent; ALTER TABLE runs DROP COLUMN place; \
         CREATE INDEX runs_open ON runs (seq) WHERE outcome IS NULL; \
         DROP TABLE event_ids; DROP TABLE events; DROP TABLE deliveries; DROP TABLE deliveries_kept; \
         DROP TABLE state_moves; DROP TABLE runs_kept; ALTER TABLE runs DROP COLUMN bytes; PRAGMA user_version = 3",
    )
    .unwrap();
    STATE.migrate(&mut conn, &path).unwrap();
    assert_eq!(counts(folder.path()), before);
    assert!(before.0 > 4 * 1_536);
}
