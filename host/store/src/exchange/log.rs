//! The writing side: a bounded queue and a thread that commits what is in it, at most 50 ms after it came.
//!
//! A log must not fail or stall what it is a log of, until it has to: where the queue is long, bodies are dropped
//! and the row says so; where it is full, the next request waits. A database that fails loses rows, loudly.

use super::{
    AnnouncementRow, EXCHANGES_FILE, ExchangeRow, announced,
    kept::{Amount, Caps, Kept},
    rows,
};
use crate::{
    DataLock, Retention, StoreError,
    limits::{
        EXCHANGE_GROUP_ROWS_MAX, EXCHANGE_GROUP_WAIT, EXCHANGE_QUEUE_BODIES_MAX, EXCHANGE_QUEUE_ROWS_MAX,
        EXPIRE_EVERY,
    },
    migrations, open,
};
use portcullis_clock::Clock;
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicI32},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};

/// The writing side of `exchanges.db`; dropping it commits what is queued.
pub struct ExchangeLog {
    queue: Option<mpsc::Sender<Entry>>,
    /// Ends the writer's wait for more rows: a group is full, somebody waits for a flush, or the log is dropped.
    hurry: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
    _lock: Arc<DataLock>,
}

enum Entry {
    Row(Box<ExchangeRow>),
    Announced(Box<AnnouncementRow>),
    Flush(oneshot::Sender<()>),
}

impl ExchangeLog {
    /// Opens or makes `exchanges.db` and starts its writer thread, which removes first what may not be kept.
    pub fn open(
        lock: Arc<DataLock>,
        clock: Arc<dyn Clock>,
        retention: Retention,
    ) -> Result<Self, StoreError> {
        let path = lock.data().join(EXCHANGES_FILE);
        let mut conn = open::writer(&path, open::Durability::Normal)?;
        migrations::EXCHANGES.migrate(&mut conn, &path)?;
        let kept = Kept::load(&conn)?;
        let pages = open::count_wal_pages(&mut conn)?;
        let (queue, entries) = mpsc::channel(EXCHANGE_QUEUE_ROWS_MAX);
        let hurry = Arc::new(Notify::new());
        let hurried = hurry.clone();
        // A runtime of its own for one timer: the thread must not depend on the program's.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|source| StoreError::File { path: path.clone(), source })?;
        let thread = std::thread::Builder::new()
            .name("exchange-writer".to_owned())
            .spawn(move || {
                let writer = Writer { conn, kept, pages, clock, retention, expired: None };
                runtime.block_on(writer.work(entries, &hurried));
            })
            .map_err(|source| StoreError::File { path, source })?;
        Ok(Self { queue: Some(queue), hurry, thread: Some(thread), _lock: lock })
    }

    /// Queues one. Drops its bodies where the queue is long, waits where it is full. A log that fails loses rows
    /// and says so in a trace line; it never fails the request.
    pub async fn record(&self, mut row: ExchangeRow) {
        let Some(queue) = &self.queue else { return };
        let waiting = EXCHANGE_QUEUE_ROWS_MAX - queue.capacity();
        if waiting > EXCHANGE_QUEUE_BODIES_MAX {
            let bodies = [row.request_body.take(), row.response_body.take()];
            row.bodies_dropped = bodies.iter().any(Option::is_some);
        }
        if queue.send(Entry::Row(Box::new(row))).await.is_err() {
            tracing::error!("an exchange was lost: the writer of `exchanges.db` is gone");
        }
        if waiting + 1 >= EXCHANGE_GROUP_ROWS_MAX {
            self.hurry.notify_one();
        }
    }

    /// Queues what an answer announced; waits where the queue is full.
    pub async fn announce(&self, row: AnnouncementRow) {
        let Some(queue) = &self.queue else { return };
        if queue.send(Entry::Announced(Box::new(row))).await.is_err() {
            tracing::error!("an announcement was lost: the writer of `exchanges.db` is gone");
        }
    }

    /// Returns when everything queued before is committed.
    pub async fn flush(&self) {
        let Some(queue) = &self.queue else { return };
        let (done, flushed) = oneshot::channel();
        if queue.send(Entry::Flush(done)).await.is_ok() {
            self.hurry.notify_one();
            let _ = flushed.await;
        }
    }
}

impl Drop for ExchangeLog {
    fn drop(&mut self) {
        self.queue = None;
        self.hurry.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Writer {
    conn: Connection,
    kept: Kept,
    pages: Arc<AtomicI32>,
    clock: Arc<dyn Clock>,
    retention: Retention,
    /// When it last looked for what is too old.
    expired: Option<Duration>,
}

impl Writer {
    async fn work(mut self, mut entries: mpsc::Receiver<Entry>, hurry: &Notify) {
        self.prune();
        if let Err(error) = open::compact(&self.conn) {
            tracing::warn!(%error, "`exchanges.db` could not be made smaller");
        }
        while let Some(first) = entries.recv().await {
            let Group { rows, announced, flushes } = group(first, &mut entries, hurry).await;
            if let Err(error) = commit(&self.conn, &mut self.kept, &rows, &announced) {
                roll_back(&self.conn);
                tracing::error!(%error, cause = %cause(&error), lost = rows.len(), "exchanges were lost");
            }
            // After each group: what one group brings is all that there can be too much.
            self.prune();
            for flush in flushes {
                let _ = flush.send(());
            }
            if let Err(error) = open::checkpoint(&self.conn, &self.pages) {
                tracing::warn!(%error, "`exchanges.db` could not be brought up to its log");
            }
        }
    }

    fn prune(&mut self) {
        if let Err(error) = self.try_prune() {
            roll_back(&self.conn);
            tracing::warn!(%error, cause = %cause(&error), "old exchanges could not be removed");
        }
    }

    fn try_prune(&mut self) -> Result<(), StoreError> {
        let now = self.clock.monotonic();
        if self.expired.is_none_or(|last| now.saturating_sub(last) >= EXPIRE_EVERY) {
            self.expired = Some(now);
            self.kept.expire(&self.conn, &self.pages, self.clock.now().minus(self.retention.age))?;
        }
        self.kept.prune(&self.conn, &self.pages, Caps::of(self.retention.bytes))
    }
}

fn roll_back(conn: &Connection) {
    if !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
}

/// What is committed together.
#[derive(Default)]
struct Group {
    rows: Vec<ExchangeRow>,
    announced: Vec<AnnouncementRow>,
    flushes: Vec<oneshot::Sender<()>>,
}

/// What comes within `EXCHANGE_GROUP_WAIT` of the first. The thread sleeps meanwhile: to wake it for each row would cost
/// each request more than the row itself.
async fn group(first: Entry, entries: &mut mpsc::Receiver<Entry>, hurry: &Notify) -> Group {
    let mut group = Group::default();
    if !matches!(first, Entry::Flush(_)) {
        // Hurried or not, what is there is taken.
        let _ = timeout(EXCHANGE_GROUP_WAIT, hurry.notified()).await;
    }
    let mut entry = Some(first);
    while let Some(taken) = entry {
        match taken {
            Entry::Row(row) => group.rows.push(*row),
            Entry::Announced(row) => group.announced.push(*row),
            Entry::Flush(done) => group.flushes.push(done),
        }
        if group.rows.len() + group.announced.len() >= EXCHANGE_GROUP_ROWS_MAX {
            break;
        }
        entry = entries.try_recv().ok();
    }
    group
}

fn commit(
    conn: &Connection,
    kept: &mut Kept,
    rows: &[ExchangeRow],
    announced: &[AnnouncementRow],
) -> Result<(), StoreError> {
    if rows.is_empty() && announced.is_empty() {
        return Ok(());
    }
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let mut added: BTreeMap<&str, Amount> = BTreeMap::new();
    for row in rows {
        let bytes = rows::insert(conn, row)?;
        added.entry(&row.connection_id).or_default().add(Amount { rows: 1, bytes });
    }
    Kept::write(conn, &added)?;
    announced.iter().try_for_each(|row| announced::note(conn, row))?;
    conn.execute_batch("COMMIT").map_err(|error| StoreError::Commit(error.to_string()))?;
    kept.committed(added);
    Ok(())
}

fn cause(error: &StoreError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
