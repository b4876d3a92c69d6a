//! The one writer of `state.db`: groups units into transactions and answers each caller after the COMMIT.
//!
//! A unit runs in a SAVEPOINT inside `catch_unwind`: it fails or panics alone. A COMMIT that fails fails the whole
//! group. A failed fsync ends the process, since what the kernel then holds in its cache is not what is on the
//! disk, and no later fsync will tell. Every group first reads the epoch under SQLite's write lock: a writer whose
//! data folder was taken over writes nothing.

use crate::{
    StoreError,
    limits::{GROUP_UNITS_MAX, WRITER_QUEUE_UNITS_MAX},
    open,
};
use rusqlite::{Connection, ffi};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::AtomicI32},
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};

/// What to do when the disk can't be trusted any more.
pub(crate) type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// A handle to the writer's thread; dropping it ends the thread after the units that wait.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Unit>>>,
    thread: Option<JoinHandle<()>>,
}

/// One caller's statements.
trait Unit: Send {
    /// True = keep what it wrote.
    fn run(&mut self, conn: &Connection) -> bool;
    /// Its fate is decided by something else than its own result.
    fn fail(&mut self, error: StoreError);
    fn answer(self: Box<Self>);
}

struct Typed<T, F> {
    statements: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Unit for Typed<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, conn: &Connection) -> bool {
        let Some(statements) = self.statements.take() else { return false };
        let result = catch_unwind(AssertUnwindSafe(|| statements(conn)))
            .unwrap_or(Err(StoreError::Stopped("this unit panicked and was rolled back")));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error));
    }

    fn answer(self: Box<Self>) {
        let result = self.result.unwrap_or(Err(StoreError::Stopped("it gave no answer")));
        // A caller that went away needs none.
        let _ = self.reply.send(result);
    }
}

impl Writer {
    /// Starts the thread. `epoch` is the one that this process raised.
    pub(crate) fn start(mut conn: Connection, epoch: i64, on_fatal: OnFatal) -> Result<Self, StoreError> {
        let pages = open::count_wal_pages(&mut conn)?;
        let (queue, units) = mpsc::channel(WRITER_QUEUE_UNITS_MAX);
        let thread = std::thread::Builder::new()
            .name("state-writer".to_owned())
            .spawn(move || work(&conn, epoch, units, &pages, &on_fatal))
            .map_err(|_| StoreError::Stopped("its thread could not be started"))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `statements` in the next group; returns when that group is committed.
    pub(crate) async fn write<T, F>(&self, statements: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let unit = Box::new(Typed { statements: Some(statements), result: None, reply });
        let queue = self.queue.as_ref().ok_or(StoreError::Stopped("it was closed"))?;
        queue.send(unit).await.map_err(|_| StoreError::Stopped("its thread ended"))?;
        answer.await.unwrap_or(Err(StoreError::Stopped("its thread ended")))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It ends with the last unit; a panic in it was answered to the callers already.
            let _ = thread.join();
        }
    }
}

fn work(
    conn: &Connection,
    epoch: i64,
    mut units: mpsc::Receiver<Box<dyn Unit>>,
    pages: &AtomicI32,
    on_fatal: &OnFatal,
) {
    while let Some(first) = units.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_UNITS_MAX
            && let Ok(unit) = units.try_recv()
        {
            group.push(unit);
        }
        let committed = commit(conn, epoch, &mut group);
        if let Err(fault) = &committed {
            // Whatever is left of the transaction must not meet the next group.
            if !conn.is_autocommit() {
                let _ = conn.execute_batch("ROLLBACK");
            }
            if let Fault::Fatal(message) = fault {
                on_fatal(message);
            }
            for unit in &mut group {
                unit.fail(fault.error());
            }
        }
        group.into_iter().for_each(|unit| unit.answer());
        match open::checkpoint(conn, pages) {
            Err(error) if is_fatal(&error) => on_fatal(&error.to_string()),
            // Its pages stay in the log, which is just as durable, until the next try.
            Err(error) => tracing::warn!(%error, "`state.db` could not be brought up to its log"),
            Ok(()) => {}
        }
        if matches!(committed, Err(Fault::Fatal(_))) {
            // Reached only where the hook returns: nothing is written any more.
            return;
        }
    }
}

enum Fault {
    Fenced { found: i64, ours: i64 },
    Failed(String),
    Fatal(String),
}

impl Fault {
    fn error(&self) -> StoreError {
        match self {
            Self::Fenced { found, ours } => StoreError::Fenced { found: *found, ours: *ours },
            Self::Failed(message) | Self::Fatal(message) => StoreError::Commit(message.clone()),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        if is_fatal(&error) { Self::Fatal(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

fn commit(conn: &Connection, epoch: i64, group: &mut [Box<dyn Unit>]) -> Result<(), Fault> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let found: i64 =
        conn.prepare_cached("SELECT epoch FROM meta WHERE id = 1")?.query_row([], |row| row.get(0))?;
    if found != epoch {
        return Err(Fault::Fenced { found, ours: epoch });
    }
    for unit in group.iter_mut() {
        conn.execute_batch("SAVEPOINT unit")?;
        let keep = unit.run(conn);
        if conn.is_autocommit() {
            // Disk full, I/O or memory errors make SQLite roll back everything, not this unit alone.
            return Err(Fault::Failed("the transaction was rolled back by the database".to_owned()));
        }
        conn.execute_batch(if keep { "RELEASE unit" } else { "ROLLBACK TO unit; RELEASE unit" })?;
    }
    conn.execute_batch("COMMIT")?;
    assert!(conn.is_autocommit(), "a committed transaction is over");
    Ok(())
}

/// After a failed fsync nothing can be said about the disk (fsyncgate).
fn is_fatal(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return false };
    matches!(failure.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
}

#[cfg(test)]
mod tests;
