//! Runs, steps and attempts as rows: every statement that reads or lists them.

use super::{AttemptRow, Counts, Outcome, RunFilter, RunKind, RunRow, RunSummary, StepRow};
use crate::{
    StoreError, intent,
    limits::{LIST_ROWS_MAX, RUN_ATTEMPTS_MAX},
    open::{corrupt, unsigned},
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

const SUMMARY: &str =
    "run_id, kind, connection, connection_id, connector, version, digest, correlation_id, subject,
    started_at, ended_at, outcome, suspicious, reason, error_kind, detail, retry_at, requests,
    (SELECT coalesce(sum(pages), 0) FROM steps WHERE steps.run_id = runs.run_id),
    (SELECT coalesce(sum(records), 0) FROM steps WHERE steps.run_id = runs.run_id), flow, parent, place";

pub(crate) fn one(conn: &Connection, run_id: &str) -> Result<Option<RunRow>, StoreError> {
    // One moment for all four statements, beside a writer that goes on.
    let snapshot = conn.unchecked_transaction()?;
    let sql = format!("SELECT {SUMMARY}, input, output FROM runs WHERE run_id = ?1");
    let run = snapshot
        .prepare_cached(&sql)?
        .query_row([run_id], |row| Ok((summary(row)?, row.get(23)?, row.get(24)?)))
        .optional()?;
    let Some((summary, input, output)) = run else { return Ok(None) };
    let (steps, attempts) = (steps(&snapshot, run_id)?, attempts(&snapshot, run_id)?);
    let intents = intent::of_run(&snapshot, run_id)?;
    Ok(Some(RunRow { summary, input, output, steps, attempts, intents }))
}

pub(crate) fn list(conn: &Connection, filter: &RunFilter) -> Result<Vec<RunSummary>, StoreError> {
    let limit = if filter.limit == 0 { LIST_ROWS_MAX } else { filter.limit.min(LIST_ROWS_MAX) };
    let sql = format!(
        "SELECT {SUMMARY} FROM runs
         WHERE (?1 IS NULL OR connection = ?1) AND (?2 IS NULL OR outcome = ?2) AND (?3 IS NULL OR kind = ?3)
           AND (?4 IS NULL OR correlation_id = ?4) AND (?5 IS NULL OR started_at >= ?5)
           AND (NOT ?6 OR outcome IS NULL) AND (?7 IS NULL OR started_at < ?7)
           AND (?9 IS NULL OR flow = ?9) AND (?10 IS NULL OR parent = ?10)
         ORDER BY seq DESC LIMIT ?8"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let values = params![
        filter.connection,
        filter.outcome.map(Outcome::as_str),
        filter.kind.map(RunKind::as_str),
        filter.correlation_id,
        filter.since.map(Timestamp::as_millis),
        filter.open,
        filter.until.map(Timestamp::as_millis),
        limit,
        filter.flow,
        filter.parent
    ];
    let rows = statement.query_map(values, summary)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// An open run: id, kind, connection, subject.
pub(crate) type Open = (String, RunKind, String, String);

/// Open runs that are of no flow, in the order in which they began.
pub(crate) fn open(conn: &Connection) -> Result<Vec<Open>, StoreError> {
    let sql = "SELECT run_id, kind, connection, subject FROM runs
               WHERE outcome IS NULL AND parent IS NULL AND kind <> 'flow' ORDER BY seq";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([], one_open)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The open run that has this delivery.
pub(crate) fn open_of(conn: &Connection, delivery_id: &str) -> Result<Option<Open>, StoreError> {
    let sql = "SELECT run_id, kind, runs.connection, subject FROM deliveries JOIN runs USING (run_id)
               WHERE delivery_id = ?1 AND state = 'running' AND outcome IS NULL";
    Ok(conn.prepare_cached(sql)?.query_row([delivery_id], one_open).optional()?)
}

fn one_open(row: &Row<'_>) -> rusqlite::Result<Open> {
    Ok((row.get(0)?, kind(row, 1)?, row.get(2)?, row.get(3)?))
}

/// Requests of the attempts that ended.
pub(crate) fn requests(conn: &Connection, run_id: &str) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(sum(requests), 0) FROM steps WHERE run_id = ?1";
    Ok(unsigned(conn.prepare_cached(sql)?.query_row([run_id], |row| row.get(0))?))
}

fn steps(conn: &Connection, run_id: &str) -> Result<Vec<StepRow>, StoreError> {
    let sql = "SELECT step, started_at, ended_at, outcome, pages, records, attempts, intents FROM steps
               WHERE run_id = ?1 ORDER BY rowid";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map([run_id], |row| {
        Ok(StepRow {
            step: row.get(0)?,
            started_at: Timestamp::from_millis(row.get(1)?),
            ended_at: moment(row, 2)?,
            outcome: outcome(row, 3)?,
            pages: unsigned(row.get(4)?),
            records: unsigned(row.get(5)?),
            attempts: unsigned(row.get(6)?),
            intents: unsigned(row.get(7)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn attempts(conn: &Connection, run_id: &str) -> Result<Vec<AttemptRow>, StoreError> {
    let sql = "SELECT step, call, attempt, started_at, ended_at, outcome, error_kind, detail, requests FROM attempts
               WHERE run_id = ?1 ORDER BY seq DESC LIMIT ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![run_id, RUN_ATTEMPTS_MAX], |row| {
        Ok(AttemptRow {
            step: row.get(0)?,
            call: row.get(1)?,
            attempt: row.get(2)?,
            started_at: Timestamp::from_millis(row.get(3)?),
            ended_at: moment(row, 4)?,
            outcome: outcome(row, 5)?,
            error_kind: row.get(6)?,
            detail: row.get(7)?,
            requests: unsigned(row.get(8)?),
        })
    })?;
    let mut attempts: Vec<_> = rows.collect::<Result<_, _>>()?;
    attempts.reverse();
    Ok(attempts)
}

fn summary(row: &Row<'_>) -> rusqlite::Result<RunSummary> {
    Ok(RunSummary {
        run_id: row.get(0)?,
        kind: kind(row, 1)?,
        connection: row.get(2)?,
        connection_id: row.get(3)?,
        connector: row.get(4)?,
        version: row.get(5)?,
        digest: row.get(6)?,
        correlation_id: row.get(7)?,
        subject: row.get(8)?,
        flow: row.get(20)?,
        parent: row.get(21)?,
        place: row.get(22)?,
        started_at: Timestamp::from_millis(row.get(9)?),
        ended_at: moment(row, 10)?,
        outcome: outcome(row, 11)?,
        suspicious: row.get(12)?,
        reason: row.get(13)?,
        error_kind: row.get(14)?,
        detail: row.get(15)?,
        retry_at: moment(row, 16)?,
        counts: Counts {
            requests: unsigned(row.get(17)?),
            pages: unsigned(row.get(18)?),
            records: unsigned(row.get(19)?),
        },
    })
}

fn kind(row: &Row<'_>, column: usize) -> rusqlite::Result<RunKind> {
    let word: String = row.get(column)?;
    RunKind::parse(&word).ok_or_else(|| corrupt("runs.kind", &word))
}

fn outcome(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Outcome>> {
    let Some(word) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    Outcome::parse(&word).map(Some).ok_or_else(|| corrupt("outcome", &word))
}

fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
}
