//! A stream into a destination: what stands beside its run, its generation, and the records that did not get there. Decides nothing:
//! what is written, retried and removed, the engine says.

pub(crate) mod rows;

use crate::{
    AttemptEnd, NewAttempt, NewRun, PageCommit, PositionKey, StoreError, flow,
    limits::{REJECTED_MESSAGE_BYTES_MAX, REJECTED_RECORD_BYTES_MAX},
    open::int,
    position, run,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// A stream's sync that begins.
#[derive(Clone, Debug)]
pub struct NewSync {
    /// Its run; of the connection that is read.
    pub run: NewRun,
    /// With it.
    pub first: NewAttempt,
    /// Whose position is moved.
    pub key: PositionKey,
    /// It reads from the start, whatever was read before.
    pub anew: bool,
    /// It reads from the start.
    pub from_start: bool,
    /// The destination's name.
    pub destination: String,
    /// `conn_…`
    pub destination_id: String,
    /// The stream's name there.
    pub target: String,
    /// `append`, `upsert` or `replace`.
    pub mode: &'static str,
}

/// What a page of a sync left.
#[derive(Clone, Debug)]
pub struct SyncPage {
    /// Batches that were committed before: another figure is somebody else's sync.
    pub batches_before: u64,
    /// The attempts that wrote its batches, one each.
    pub written_by: Vec<AttemptEnd>,
    /// Calls, by step, whose unsafe requests the run is not judged by any more.
    pub settled: Vec<(String, String)>,
    /// Lines that the destination has.
    pub written: u64,
    /// Those of them that are no deletions.
    pub living: u64,
    /// Records that were not to be written.
    pub dropped: u64,
    /// Records that were refused.
    pub rejected: Vec<NewRejected>,
}

/// A record that did not reach its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRejected {
    /// Who refused it: `schema`, `map`, `deletion`, `size`, `destination`.
    pub by: &'static str,
    /// The batch, and the line in it, from 1 on.
    pub line: Option<(String, u64)>,
    /// Kind of the error.
    pub kind: String,
    /// For people.
    pub message: String,
    /// All of it: what is kept is shortened.
    pub record: String,
}

/// Opens it, unless another one reads the stream for this reader.
pub(crate) fn begin(conn: &Connection, new: &NewSync) -> Result<(), StoreError> {
    let NewSync { key, run, .. } = new;
    let sql = "SELECT 1 FROM syncs WHERE source_id = ?1 AND reader = ?2 AND stream = ?3 AND is_open = 1";
    if conn.prepare_cached(sql)?.exists([&key.connection_id, &key.reader, &key.stream])? {
        return Err(StoreError::Conflict { what: "sync", id: format!("{}/{}", key.reader, key.stream) });
    }
    run::begin(conn, run, &new.first)?;
    if new.anew {
        position::reset(conn, key)?;
    }
    let sql = "INSERT INTO generations (connection_id, stream, generation) VALUES (?1, ?2, ?3)
               ON CONFLICT (connection_id, stream) DO UPDATE SET generation = generation + excluded.generation
               RETURNING generation";
    let grows = i64::from(new.from_start);
    let generation: i64 = conn
        .prepare_cached(sql)?
        .query_row(params![new.destination_id, new.target, grows], |row| row.get(0))?;
    let sql = "INSERT INTO syncs (run_id, source_id, reader, stream, destination, destination_id, target, mode, generation,
                                  from_start)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    conn.prepare_cached(sql)?.execute(params![
        run.run_id,
        key.connection_id,
        key.reader,
        key.stream,
        new.destination,
        new.destination_id,
        new.target,
        new.mode,
        generation,
        new.from_start
    ])?;
    Ok(())
}

/// With the rest of its page's commit: what was written, and what was not.
pub(crate) fn commit(conn: &Connection, page: &SyncPage, commit: &PageCommit) -> Result<(), StoreError> {
    let (run_id, at) = (&commit.attempt.run_id, commit.attempt.ended_at);
    page.written_by.iter().try_for_each(|end| run::end_attempt(conn, end))?;
    let is_last = commit.position.as_ref().is_some_and(|(_, mark)| mark.next.is_none());
    let sql = "UPDATE syncs SET batches = batches + ?3, written = written + ?4, living = living + ?5, dropped = dropped + ?6,
                   rejected = rejected + ?7, is_read = ?8, rounds = 0
               WHERE run_id = ?1 AND batches = ?2 AND is_open = 1 AND is_read = 0";
    let written = conn.prepare_cached(sql)?.execute(params![
        run_id,
        int(page.batches_before),
        int(page.written_by.len() as u64),
        int(page.written),
        int(page.living),
        int(page.dropped),
        int(page.rejected.len() as u64),
        is_last
    ])?;
    if written != 1 {
        return Err(StoreError::Conflict { what: "sync", id: run_id.clone() });
    }
    let sql = "UPDATE intents SET settled = 1 WHERE run_id = ?1 AND step = ?2 AND call = ?3";
    for (step, call) in &page.settled {
        conn.prepare_cached(sql)?.execute([run_id, step, call])?;
    }
    page.rejected.iter().try_for_each(|rejected| reject(conn, run_id, rejected, at))
}

fn reject(conn: &Connection, run_id: &str, rejected: &NewRejected, at: Timestamp) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO rejected (run_id, refused_by, batch, line, kind, message, record, record_bytes, at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let (batch, line) = rejected.line.as_ref().map(|(batch, line)| (batch, int(*line))).unzip();
    conn.prepare_cached(sql)?.execute(params![
        run_id,
        rejected.by,
        batch,
        line,
        rejected.kind,
        shortened(&rejected.message, REJECTED_MESSAGE_BYTES_MAX),
        shortened(&rejected.record, REJECTED_RECORD_BYTES_MAX),
        int(rejected.record.len() as u64),
        at.as_millis()
    ])?;
    Ok(())
}

fn shortened(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// It is left open until then, for the so-manieth time since something of it went well.
pub(crate) fn park(
    conn: &Connection,
    run_id: &str,
    retry_at: Timestamp,
    rounds: u32,
) -> Result<(), StoreError> {
    flow::park(conn, run_id, retry_at)?;
    conn.prepare_cached("UPDATE syncs SET rounds = ?2 WHERE run_id = ?1")?
        .execute(params![run_id, rounds])?;
    Ok(())
}

/// The destination removed what was gone at the source: its living records are what the next share is of.
pub(crate) fn complete(
    conn: &Connection,
    run_id: &str,
    removed: u64,
    settled: (&str, &str),
) -> Result<(), StoreError> {
    let sql = "UPDATE syncs SET removed = ?2 WHERE run_id = ?1 AND is_open = 1 AND is_read = 1
               RETURNING destination_id, target, living, generation";
    let row = conn.prepare_cached(sql)?.query_row(params![run_id, int(removed)], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
    });
    let Some((destination_id, target, living, generation)) = row.optional()? else {
        return Err(StoreError::Conflict { what: "sync", id: run_id.to_owned() });
    };
    let sql =
        "UPDATE generations SET records = ?3 WHERE connection_id = ?1 AND stream = ?2 AND generation = ?4";
    conn.prepare_cached(sql)?.execute(params![destination_id, target, living, generation])?;
    let sql = "UPDATE intents SET settled = 1 WHERE run_id = ?1 AND step = ?2 AND call = ?3";
    conn.prepare_cached(sql)?.execute([run_id, settled.0, settled.1])?;
    Ok(())
}

/// Its run is over: another one may read the stream.
pub(crate) fn close(conn: &Connection, run_id: &str) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE syncs SET is_open = 0 WHERE run_id = ?1")?.execute([run_id])?;
    Ok(())
}

/// A person has seen to the records that a run, or a step of it, could not write. False where there are none.
pub(crate) fn discard(conn: &Connection, run_id: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE rejected SET discarded = 1 WHERE discarded = 0
               AND (run_id = ?1 OR run_id IN (SELECT run_id FROM runs WHERE parent = ?1))";
    Ok(conn.prepare_cached(sql)?.execute([run_id])? > 0)
}

/// No record of a connection that is forgotten stays, whichever end of a sync it was: also of runs that go on.
pub(crate) fn strip(conn: &Connection, connection_id: &str) -> Result<(), StoreError> {
    let sql = "UPDATE rejected SET record = NULL, message = '', discarded = 1
               WHERE run_id IN (SELECT run_id FROM syncs WHERE source_id = ?1 OR destination_id = ?1)";
    conn.execute(sql, [connection_id])?;
    conn.execute("DELETE FROM generations WHERE connection_id = ?1", [connection_id])?;
    Ok(())
}
