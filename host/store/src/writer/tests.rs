//! Groups, panics and failed commits.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

fn failure(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}

#[test]
fn only_a_failed_fsync_is_fatal() {
    assert!(is_fatal(&failure(ffi::SQLITE_IOERR_FSYNC)));
    assert!(is_fatal(&failure(ffi::SQLITE_IOERR_DIR_FSYNC)));
    assert!(!is_fatal(&failure(ffi::SQLITE_IOERR_WRITE)));
    assert!(!is_fatal(&failure(ffi::SQLITE_FULL)));
    assert!(!is_fatal(&rusqlite::Error::QueryReturnedNoRows));
}

#[tokio::test]
async fn a_commit_that_fails_fails_its_whole_group_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let conn = open::writer(&folder.path().join("a.db"), open::Durability::Full).unwrap();
    conn.execute_batch(
        "CREATE TABLE meta (id INTEGER PRIMARY KEY, epoch INTEGER); INSERT INTO meta VALUES (1, 5);
         CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);",
    )
    .unwrap();
    let fatal = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&fatal);
    let writer =
        Writer::start(conn, 5, Arc::new(move |_: &str| seen.store(true, Ordering::Relaxed))).unwrap();
    let (started, wait) = std::sync::mpsc::channel::<()>();
    // The first unit holds the writer until the other two wait behind it, so that those share a group.
    let hold = writer.write(move |_| Ok(wait.recv().is_ok()));
    let good = writer.write(|conn| Ok(conn.execute("INSERT INTO parent VALUES (1)", [])?));
    // A deferred constraint is looked at by COMMIT.
    let bad = writer.write(|conn| Ok(conn.execute("INSERT INTO child VALUES (7)", [])?));
    let release = async {
        tokio::task::yield_now().await;
        drop(started);
    };
    let (_, good, bad, ()) = tokio::join!(hold, good, bad, release);
    assert!(matches!(good, Err(StoreError::Commit(_))), "{good:?}");
    assert!(matches!(bad, Err(StoreError::Commit(_))), "{bad:?}");
    let rows = writer
        .write(|conn| Ok(conn.query_row("SELECT count(*) FROM parent", [], |row| row.get::<_, i64>(0))?));
    assert_eq!(rows.await.unwrap(), 0);
    assert!(!fatal.load(Ordering::Relaxed));
}
