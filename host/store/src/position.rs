//! Positions: how far a reader has come in a stream of a connection.

use crate::{
    AttemptEnd, NewAttempt, StoreError,
    limits::POSITION_BYTES_MAX,
    open::{int, unsigned},
    run,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Whose position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionKey {
    /// `conn_…`
    pub connection_id: String,
    /// The name given to `read --resume` (later: a flow).
    pub reader: String,
    /// Stream.
    pub stream: String,
}

/// Where a reader's file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMark {
    /// Absolute path.
    pub path: String,
    /// Bytes that are durable and belong to the position.
    pub length: u64,
    /// Hash of the last bytes before `length`: tells another file of the same name from this one.
    pub tail: String,
}

/// How far a reader has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where the read goes on that has not ended; none = the last read ended.
    pub next: Option<String>,
    /// Where a later read begins.
    pub checkpoint: Option<String>,
    /// Its file, where it writes one.
    pub file: Option<FileMark>,
    /// Records since the beginning.
    pub records: u64,
    /// Last written.
    pub updated_at: Timestamp,
}

/// A reader's first position.
#[derive(Clone, Debug)]
pub struct NewPosition {
    /// Whose.
    pub key: PositionKey,
    /// Its file, where it writes one.
    pub file: Option<FileMark>,
    /// When.
    pub at: Timestamp,
}

/// A page whose records are durable where they went.
#[derive(Clone, Debug)]
pub struct PageCommit {
    /// The attempt that brought it.
    pub attempt: AttemptEnd,
    /// The page after it, which is asked for next.
    pub next_attempt: Option<NewAttempt>,
    /// Records in it.
    pub records: u64,
    /// Where a reader's position moves to; none = a read without a name.
    pub position: Option<(PositionKey, NewMark)>,
}

/// A position as a page leaves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMark {
    /// Where this read goes on; none = it ended.
    pub next: Option<String>,
    /// Where a later read begins; none = as it was.
    pub checkpoint: Option<String>,
    /// Its file, where it writes one.
    pub file: Option<FileMark>,
}

pub(crate) fn read(conn: &Connection, key: &PositionKey) -> Result<Option<Position>, StoreError> {
    let sql = "SELECT next, checkpoint, file_path, file_length, file_tail, records, updated_at FROM positions
               WHERE connection_id = ?1 AND reader = ?2 AND stream = ?3";
    let key = params![key.connection_id, key.reader, key.stream];
    Ok(conn.prepare_cached(sql)?.query_row(key, row).optional()?)
}

pub(crate) fn begin(conn: &Connection, position: &NewPosition) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO positions (connection_id, reader, stream, file_path, file_length, file_tail, updated_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
    let NewPosition { key, file, at } = position;
    let (path, length, tail) = columns(file.as_ref());
    let values = params![key.connection_id, key.reader, key.stream, path, length, tail, at.as_millis()];
    match conn.prepare_cached(sql)?.execute(values)? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict { what: "position", id: name(key) }),
    }
}

pub(crate) fn commit(conn: &Connection, commit: &PageCommit) -> Result<(), StoreError> {
    let attempt = &commit.attempt;
    run::end_attempt(conn, attempt)?;
    let sql = "UPDATE steps SET pages = pages + 1, records = records + ?3
               WHERE run_id = ?1 AND step = ?2 AND outcome IS NULL";
    let values = params![attempt.run_id, attempt.step, int(commit.records)];
    if conn.prepare_cached(sql)?.execute(values)? != 1 {
        return Err(StoreError::Conflict { what: "run", id: attempt.run_id.clone() });
    }
    if let Some((key, mark)) = &commit.position {
        advance(conn, key, mark, commit)?;
    }
    match &commit.next_attempt {
        Some(next) => run::begin_attempt(conn, next),
        None => Ok(()),
    }
}

/// A mark moves; its length never goes back behind what an earlier page made durable.
fn advance(
    conn: &Connection,
    key: &PositionKey,
    mark: &NewMark,
    commit: &PageCommit,
) -> Result<(), StoreError> {
    for text in [&mark.next, &mark.checkpoint].into_iter().flatten() {
        if text.len() > POSITION_BYTES_MAX {
            return Err(StoreError::TooLarge { what: "a position", bound: POSITION_BYTES_MAX as u64 });
        }
    }
    let sql =
        "INSERT INTO positions (connection_id, reader, stream, next, checkpoint, file_path, file_length,
                                      file_tail, records, run_id, updated_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
               ON CONFLICT (connection_id, reader, stream) DO UPDATE SET
                   next = excluded.next, checkpoint = coalesce(excluded.checkpoint, checkpoint),
                   file_path = excluded.file_path, file_length = excluded.file_length,
                   file_tail = excluded.file_tail, records = records + excluded.records,
                   run_id = excluded.run_id, updated_at = excluded.updated_at
               WHERE file_length IS NULL OR excluded.file_length IS NULL
                  OR excluded.file_length >= file_length";
    let (path, length, tail) = columns(mark.file.as_ref());
    let written = conn.prepare_cached(sql)?.execute(params![
        key.connection_id,
        key.reader,
        key.stream,
        mark.next,
        mark.checkpoint,
        path,
        length,
        tail,
        int(commit.records),
        commit.attempt.run_id,
        commit.attempt.ended_at.as_millis()
    ])?;
    match written {
        1 => Ok(()),
        _ => Err(StoreError::Conflict { what: "position", id: name(key) }),
    }
}

fn columns(file: Option<&FileMark>) -> (Option<&str>, Option<i64>, Option<&str>) {
    match file {
        Some(mark) => (Some(&mark.path), Some(int(mark.length)), Some(&mark.tail)),
        None => (None, None, None),
    }
}

fn name(key: &PositionKey) -> String {
    format!("{}/{}/{}", key.connection_id, key.reader, key.stream)
}

fn row(row: &Row<'_>) -> rusqlite::Result<Position> {
    let file = match (row.get(2)?, row.get::<_, Option<i64>>(3)?, row.get(4)?) {
        (Some(path), Some(length), Some(tail)) => Some(FileMark { path, length: unsigned(length), tail }),
        _ => None,
    };
    Ok(Position {
        next: row.get(0)?,
        checkpoint: row.get(1)?,
        file,
        records: unsigned(row.get(5)?),
        updated_at: Timestamp::from_millis(row.get(6)?),
    })
}
