//! Positions: how far a reader has come in a stream of a connection.

use crate::{
    AttemptEnd, NewAttempt, StoreError, SyncPage,
    limits::{POSITION_BYTES_MAX, PRUNE_PAGES},
    open::{int, unsigned},
    run, sync,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Whose position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionKey {
    /// `conn_…`
    pub connection_id: String,
    /// The name given to `read --resume`, or `flow:NAME`.
    pub reader: String,
    /// Stream.
    pub stream: String,
    /// `position-version` of the connector that reads: another number's positions mean something else.
    pub position_version: u32,
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

/// All that is known of a reader in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its position, of the version asked for.
    pub position: Option<Position>,
    /// Its file, where it writes one: one for all versions, and it only grows.
    pub file: Option<FileMark>,
    /// The other versions that it has a position of, ascending.
    pub other_versions: Vec<u32>,
}

/// How far a reader has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where the read goes on that has not ended; none = the last read ended.
    pub next: Option<String>,
    /// Where a later read begins.
    pub checkpoint: Option<String>,
    /// Records since the beginning.
    pub records: u64,
    /// A page was read with it: it is what its version wrote, and not only what it began with.
    pub read: bool,
    /// Last written.
    pub updated_at: Timestamp,
}

/// A position as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionRow {
    /// The connection's name.
    pub connection: String,
    /// `PUBLISHER/NAME`
    pub connector: String,
    /// Whose.
    pub key: PositionKey,
    /// Where it is.
    pub position: Position,
    /// Its file, where it writes one.
    pub file: Option<String>,
}

/// A reader's first position of a version.
#[derive(Clone, Debug)]
pub struct NewPosition {
    /// Whose.
    pub key: PositionKey,
    /// Its file, where it writes one.
    pub file: Option<FileMark>,
    /// What it goes on from: an older version's position, moved. None = it begins at the start.
    pub moved: Option<Position>,
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
    /// What became of its records, where a sync read it.
    pub sync: Option<SyncPage>,
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

pub(crate) fn place(conn: &Connection, key: &PositionKey) -> Result<Place, StoreError> {
    // One moment for all statements, beside a writer that goes on.
    let snapshot = conn.unchecked_transaction()?;
    let reader = params![key.connection_id, key.reader, key.stream];
    let sql = "SELECT next, checkpoint, records, run_id IS NOT NULL, updated_at FROM positions
               WHERE connection_id = ?1 AND reader = ?2 AND stream = ?3 AND position_version = ?4";
    let one = params![key.connection_id, key.reader, key.stream, key.position_version];
    let position = snapshot.prepare_cached(sql)?.query_row(one, row).optional()?;
    let sql = "SELECT path, length, tail FROM reader_files
               WHERE connection_id = ?1 AND reader = ?2 AND stream = ?3";
    let file = snapshot.prepare_cached(sql)?.query_row(reader, |row| {
        Ok(FileMark { path: row.get(0)?, length: unsigned(row.get(1)?), tail: row.get(2)? })
    });
    let file = file.optional()?;
    let sql = "SELECT position_version FROM positions
               WHERE connection_id = ?1 AND reader = ?2 AND stream = ?3 AND position_version <> ?4
               ORDER BY position_version";
    let mut statement = snapshot.prepare_cached(sql)?;
    let other_versions = statement.query_map(one, |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Place { position, file, other_versions })
}

pub(crate) fn begin(conn: &Connection, position: &NewPosition) -> Result<(), StoreError> {
    let sql = "INSERT INTO positions (connection_id, reader, stream, position_version, next, checkpoint, records, updated_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (connection_id, reader, stream, position_version) DO UPDATE SET
                   next = excluded.next, checkpoint = excluded.checkpoint, records = excluded.records,
                   updated_at = excluded.updated_at WHERE run_id IS NULL";
    let NewPosition { key, file, moved, at } = position;
    let (next, checkpoint, records) = match moved {
        Some(moved) => (&moved.next, &moved.checkpoint, moved.records),
        None => (&None, &None, 0),
    };
    bounded(next, checkpoint)?;
    let PositionKey { connection_id, reader, stream, position_version } = key;
    let (records, at) = (int(records), at.as_millis());
    let values = params![connection_id, reader, stream, position_version, next, checkpoint, records, at];
    match conn.prepare_cached(sql)?.execute(values)? {
        1 => mark(conn, key, file.as_ref()),
        _ => Err(StoreError::Conflict { what: "position", id: name(key) }),
    }
}

/// Positions of the connections that there are, or of one.
pub(crate) fn list(conn: &Connection, connection: Option<&str>) -> Result<Vec<PositionRow>, StoreError> {
    let sql = "SELECT p.next, p.checkpoint, p.records, p.run_id IS NOT NULL, p.updated_at, c.name, c.connector, p.connection_id,
                      p.reader, p.stream, p.position_version, f.path
               FROM positions p JOIN connections c USING (connection_id)
               LEFT JOIN reader_files f USING (connection_id, reader, stream)
               WHERE c.name IS NOT NULL AND (?1 IS NULL OR c.name = ?1)
               ORDER BY c.name, p.reader, p.stream, p.position_version";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([connection], |found| {
        Ok(PositionRow {
            position: row(found)?,
            connection: found.get(5)?,
            connector: found.get(6)?,
            key: PositionKey {
                connection_id: found.get(7)?,
                reader: found.get(8)?,
                stream: found.get(9)?,
                position_version: found.get(10)?,
            },
            file: found.get(11)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A person's word on where a reader goes on: at this checkpoint of the newest version that it has a position of, or, without one, at the
/// start; what it has of other versions is forgotten. False where it has no position; refused while a sync of it is open.
pub(crate) fn decide(
    conn: &Connection,
    connection: &str,
    (reader, stream): (&str, &str),
    checkpoint: Option<&str>,
    at: Timestamp,
) -> Result<bool, StoreError> {
    bounded(&None, &checkpoint.map(str::to_owned))?;
    let sql = "SELECT 1 FROM syncs JOIN connections ON connection_id = source_id
               WHERE name = ?1 AND reader = ?2 AND stream = ?3 AND is_open = 1";
    if conn.prepare_cached(sql)?.exists([connection, reader, stream])? {
        let id = format!("{connection}/{reader}/{stream}");
        return Err(StoreError::Conflict { what: "position", id });
    }
    let sql = "UPDATE positions SET next = NULL, checkpoint = NULL, updated_at = ?4
               WHERE connection_id = (SELECT connection_id FROM connections WHERE name = ?1) AND reader = ?2 AND stream = ?3";
    let known = conn.prepare_cached(sql)?.execute(params![connection, reader, stream, at.as_millis()])? > 0;
    if let Some(checkpoint) = checkpoint.filter(|_| known) {
        let sql = "UPDATE positions SET checkpoint = ?4
                   WHERE connection_id = (SELECT connection_id FROM connections WHERE name = ?1) AND reader = ?2 AND stream = ?3
                     AND position_version = (SELECT max(position_version) FROM positions JOIN connections USING (connection_id)
                                             WHERE name = ?1 AND reader = ?2 AND stream = ?3)";
        conn.prepare_cached(sql)?.execute([connection, reader, stream, checkpoint])?;
    }
    Ok(known)
}

/// A reader begins anew: what it had read of this version's is forgotten.
pub(crate) fn reset(conn: &Connection, key: &PositionKey) -> Result<(), StoreError> {
    let sql = "UPDATE positions SET next = NULL, checkpoint = NULL
               WHERE connection_id = ?1 AND reader = ?2 AND stream = ?3 AND position_version = ?4";
    let PositionKey { connection_id, reader, stream, position_version } = key;
    conn.prepare_cached(sql)?.execute(params![connection_id, reader, stream, position_version])?;
    Ok(())
}

pub(crate) fn commit(conn: &Connection, commit: &PageCommit) -> Result<(), StoreError> {
    let attempt = &commit.attempt;
    run::end_attempt(conn, attempt)?;
    let sql = "UPDATE steps SET pages = pages + 1, records = records + ?3
               WHERE run_id = ?1 AND step = ?2 AND outcome IS NULL RETURNING pages";
    let values = params![attempt.run_id, attempt.step, int(commit.records)];
    let pages: Option<i64> = conn.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
    let Some(pages) = pages.map(unsigned) else {
        return Err(StoreError::Conflict { what: "run", id: attempt.run_id.clone() });
    };
    if let Some((key, mark)) = &commit.position {
        advance(conn, key, mark, commit)?;
    }
    if let Some(page) = &commit.sync {
        sync::commit(conn, page, commit)?;
    }
    if let Some(next) = &commit.next_attempt {
        run::begin_attempt(conn, next)?;
    }
    // A read of any length has about as many attempts as it shows. The page that comes has the newest ones.
    if pages.is_multiple_of(PRUNE_PAGES) { run::prune_attempts(conn, &attempt.run_id) } else { Ok(()) }
}

fn advance(
    conn: &Connection,
    key: &PositionKey,
    new: &NewMark,
    commit: &PageCommit,
) -> Result<(), StoreError> {
    bounded(&new.next, &new.checkpoint)?;
    let sql =
        "INSERT INTO positions (connection_id, reader, stream, position_version, next, checkpoint, records, run_id,
                                      updated_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT (connection_id, reader, stream, position_version) DO UPDATE SET
                   next = excluded.next, checkpoint = coalesce(excluded.checkpoint, checkpoint),
                   records = records + excluded.records, run_id = excluded.run_id,
                   updated_at = excluded.updated_at";
    conn.prepare_cached(sql)?.execute(params![
        key.connection_id,
        key.reader,
        key.stream,
        key.position_version,
        new.next,
        new.checkpoint,
        int(commit.records),
        commit.attempt.run_id,
        commit.attempt.ended_at.as_millis()
    ])?;
    mark(conn, key, new.file.as_ref())
}

fn bounded(next: &Option<String>, checkpoint: &Option<String>) -> Result<(), StoreError> {
    match [next, checkpoint].into_iter().flatten().any(|text| text.len() > POSITION_BYTES_MAX) {
        true => Err(StoreError::TooLarge { what: "a position", bound: POSITION_BYTES_MAX as u64 }),
        false => Ok(()),
    }
}

/// A reader's mark moves; it never goes back behind what an earlier page made durable, of whatever version, and a
/// reader that has a file keeps it.
fn mark(conn: &Connection, key: &PositionKey, file: Option<&FileMark>) -> Result<(), StoreError> {
    let written = match file {
        Some(mark) => {
            let sql = "INSERT INTO reader_files (connection_id, reader, stream, path, length, tail)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                       ON CONFLICT (connection_id, reader, stream) DO UPDATE SET
                           path = excluded.path, length = excluded.length, tail = excluded.tail
                       WHERE excluded.length >= length";
            let (length, tail) = (int(mark.length), &mark.tail);
            let values = params![key.connection_id, key.reader, key.stream, mark.path, length, tail];
            conn.prepare_cached(sql)?.execute(values)? == 1
        }
        None => {
            let sql = "SELECT 1 FROM reader_files WHERE connection_id = ?1 AND reader = ?2 AND stream = ?3";
            !conn.prepare_cached(sql)?.exists([&key.connection_id, &key.reader, &key.stream])?
        }
    };
    if written { Ok(()) } else { Err(StoreError::Conflict { what: "position", id: name(key) }) }
}

fn name(key: &PositionKey) -> String {
    format!("{}/{}/{}", key.connection_id, key.reader, key.stream)
}

fn row(row: &Row<'_>) -> rusqlite::Result<Position> {
    Ok(Position {
        next: row.get(0)?,
        checkpoint: row.get(1)?,
        records: unsigned(row.get(2)?),
        read: row.get(3)?,
        updated_at: Timestamp::from_millis(row.get(4)?),
    })
}
