//! The conformance suite over SQLite, and what is its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{Outcome, RunKind};
use crate::{
    StateReader,
    limits::STATE_KEYS_MAX,
    suite::{at, conformance, new_attempt, new_run, run_end},
};
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
    close_interrupted(now: Timestamp) -> Vec<ClosedRun>;
    begin_intent(intent: NewIntent) -> PriorIntent;
    end_intent(key: IntentKey, end: IntentEnd, at: Timestamp) -> ();
    effects(run_id: &str) -> Effects;
    record_secret_use(run_id: &str, step: &str, credential: &str, rule: &str, at: Timestamp) -> ();
    audit(kind: &str, subject: &str, detail: &str, at: Timestamp) -> ();
    audit_rows(filter: AuditFilter) -> Vec<AuditRow>;
    place(key: &PositionKey) -> Place;
    begin_position(position: NewPosition) -> ();
    commit_page(commit: PageCommit) -> ();
    state_get(space: &StateSpace, key: &str) -> Option<StateEntry>;
    state_set(space: &StateSpace, key: &str, value: Vec<u8>, expected: Option<u64>) -> StateWrite;
    state_delete(space: &StateSpace, key: &str) -> bool;
    state_list(space: &StateSpace, prefix: &str, after: Option<&str>, max: u32) -> Vec<String>;
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
