//! Syncs and the records that they could not write, as rows.

use crate::{
    StoreError,
    limits::LIST_ROWS_MAX,
    open::{corrupt, unsigned},
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A stream's sync, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRow {
    /// `run_…`
    pub run_id: String,
    /// `conn_…` of the connection that is read.
    pub source_id: String,
    /// Whose position is moved.
    pub reader: String,
    /// Stream.
    pub stream: String,
    /// The destination's name at that time.
    pub destination: String,
    /// `conn_…`
    pub destination_id: String,
    /// The stream's name there.
    pub target: String,
    /// `append`, `upsert` or `replace`.
    pub mode: String,
    /// Grows with each read from the start.
    pub generation: u64,
    /// It read from the start.
    pub from_start: bool,
    /// Its last page is committed.
    pub is_read: bool,
    /// How often it was put off since something of it went well.
    pub rounds: u32,
    /// Pages committed.
    pub pages: u64,
    /// Records of those.
    pub records: u64,
    /// Batches of those.
    pub batches: u64,
    /// Lines that the destination has.
    pub written: u64,
    /// Those of them that are no deletions.
    pub living: u64,
    /// Records that were refused.
    pub rejected: u64,
    /// Those of them that a person has not seen to.
    pub waiting: u64,
    /// Records that were not to be written.
    pub dropped: u64,
    /// What `complete` removed; none = it was not called, or not to a good end.
    pub removed: Option<u64>,
    /// Living records of the last read that was completed, of whichever run; none = there was none.
    pub completed_records: Option<u64>,
    /// When its run began.
    pub started_at: Timestamp,
}

/// A record that did not reach its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Who refused it.
    pub by: String,
    /// The batch, and the line in it, from 1 on; none = it never came into one.
    pub line: Option<(String, u64)>,
    /// Kind of the error.
    pub kind: String,
    /// For people.
    pub message: String,
    /// Shortened; none = it was forgotten.
    pub record: Option<String>,
    /// Of all of it.
    pub record_bytes: u64,
    /// When.
    pub at: Timestamp,
    /// A person has seen to it.
    pub discarded: bool,
}

/// Records of a flow's syncs that a person has not seen to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RejectedOverview {
    /// How many.
    pub count: u64,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The newest run that has some.
    pub run_id: Option<String>,
}

pub(crate) fn one(conn: &Connection, run_id: &str) -> Result<Option<SyncRow>, StoreError> {
    let sql = "SELECT source_id, reader, syncs.stream, destination, destination_id, target, mode, syncs.generation, from_start,
                   is_read, rounds, batches, written, living, rejected, dropped, removed, generations.records, started_at,
                   (SELECT coalesce(sum(pages), 0) FROM steps WHERE steps.run_id = syncs.run_id),
                   (SELECT coalesce(sum(records), 0) FROM steps WHERE steps.run_id = syncs.run_id),
                   (SELECT count(*) FROM rejected AS waiting WHERE waiting.run_id = syncs.run_id AND discarded = 0)
               FROM syncs JOIN runs USING (run_id)
               LEFT JOIN generations ON generations.connection_id = destination_id AND generations.stream = target
               WHERE syncs.run_id = ?1";
    let found = conn.prepare_cached(sql)?.query_row([run_id], |row| {
        Ok(SyncRow {
            run_id: run_id.to_owned(),
            source_id: row.get(0)?,
            reader: row.get(1)?,
            stream: row.get(2)?,
            destination: row.get(3)?,
            destination_id: row.get(4)?,
            target: row.get(5)?,
            mode: row.get(6)?,
            generation: unsigned(row.get(7)?),
            from_start: row.get(8)?,
            is_read: row.get(9)?,
            rounds: row.get(10)?,
            pages: unsigned(row.get(19)?),
            records: unsigned(row.get(20)?),
            batches: unsigned(row.get(11)?),
            written: unsigned(row.get(12)?),
            living: unsigned(row.get(13)?),
            rejected: unsigned(row.get(14)?),
            waiting: unsigned(row.get(21)?),
            dropped: unsigned(row.get(15)?),
            removed: row.get::<_, Option<i64>>(16)?.map(unsigned),
            completed_records: row.get::<_, Option<i64>>(17)?.map(unsigned),
            started_at: Timestamp::from_millis(row.get(18)?),
        })
    });
    Ok(found.optional()?)
}

/// What a run could not write, in order; at most `LIST_ROWS_MAX`.
pub(crate) fn rejected(conn: &Connection, run_id: &str, limit: u32) -> Result<Vec<RejectedRow>, StoreError> {
    let sql =
        "SELECT refused_by, batch, line, kind, message, record, record_bytes, at, discarded FROM rejected
               WHERE run_id = ?1 ORDER BY seq LIMIT ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![run_id, limit.min(LIST_ROWS_MAX)], rejected_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn rejected_row(row: &Row<'_>) -> rusqlite::Result<RejectedRow> {
    let (batch, line): (Option<String>, Option<i64>) = (row.get(1)?, row.get(2)?);
    let line = match (batch, line) {
        (Some(batch), Some(line)) => Some((batch, unsigned(line))),
        (None, None) => None,
        (batch, _) => return Err(corrupt("rejected.batch", &batch.unwrap_or_default())),
    };
    Ok(RejectedRow {
        by: row.get(0)?,
        line,
        kind: row.get(3)?,
        message: row.get(4)?,
        record: row.get(5)?,
        record_bytes: unsigned(row.get(6)?),
        at: Timestamp::from_millis(row.get(7)?),
        discarded: row.get(8)?,
    })
}

/// Of a flow: what its runs could not write, and nobody has seen to.
pub(crate) fn overview(conn: &Connection, flow: &str) -> Result<RejectedOverview, StoreError> {
    // From what waits, which is little, to whose it is.
    let sql = "SELECT count(*), min(rejected.at),
                   (SELECT runs.run_id FROM rejected JOIN runs USING (run_id)
                    WHERE discarded = 0 AND flow = ?1 ORDER BY runs.seq DESC LIMIT 1)
               FROM rejected JOIN runs USING (run_id) WHERE discarded = 0 AND flow = ?1";
    let found = conn.prepare_cached(sql)?.query_row([flow], |row| {
        Ok(RejectedOverview {
            count: unsigned(row.get(0)?),
            since: row.get::<_, Option<i64>>(1)?.map(Timestamp::from_millis),
            run_id: row.get(2)?,
        })
    })?;
    Ok(found)
}

/// How often a call was tried before.
pub(crate) fn tried(conn: &Connection, run_id: &str, step: &str, call: &str) -> Result<u32, StoreError> {
    let sql = "SELECT max(attempt) FROM attempts WHERE run_id = ?1 AND step = ?2 AND call = ?3";
    let tried: Option<u32> =
        conn.prepare_cached(sql)?.query_row([run_id, step, call], |row| row.get(0)).optional()?.flatten();
    Ok(tried.unwrap_or_default())
}
