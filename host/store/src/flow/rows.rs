//! Runs of flows and of their steps as rows: every statement that reads or lists them.

use super::{Cause, FlowState};
use crate::{
    Outcome, StoreError,
    limits::LIST_ROWS_MAX,
    open::{corrupt, unsigned},
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// One of a key waits while one that came before it waits or runs.
pub(super) const FIRST_OF_ITS_KEY: &str = "(order_key IS NULL OR NOT EXISTS (
    SELECT 1 FROM flow_runs AS before
    WHERE before.flow = flow_runs.flow AND before.order_key = flow_runs.order_key
      AND before.state IN ('queued', 'running') AND before.seq < flow_runs.seq))";

/// A run of a flow, with all that is needed to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRun {
    /// `run_…`
    pub run_id: String,
    /// Grows from one run to the next.
    pub number: u64,
    /// The flow's name.
    pub flow: String,
    /// What it does, in the words of the engine.
    pub steps: String,
    /// What began it.
    pub cause: Cause,
    /// The same in full, as JSON text.
    pub about: String,
    /// Where it is.
    pub state: FlowState,
    /// When it may go on, where it waits.
    pub due_at: Timestamp,
    /// JSON text; none where it was forgotten.
    pub input: Option<String>,
    /// What each step that is done left, in order.
    pub outputs: Vec<String>,
    /// Correlation id.
    pub correlation_id: String,
    /// When it was begun.
    pub started_at: Timestamp,
}

/// The run of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRun {
    /// `run_…`
    pub run_id: String,
    /// Whose connector was called.
    pub connection: String,
    /// What of it.
    pub subject: String,
    /// How it ended; none = it goes on.
    pub outcome: Option<Outcome>,
    /// Short word.
    pub reason: Option<String>,
    /// Kind of the error.
    pub error_kind: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// JSON text.
    pub output: Option<String>,
    /// It is not gone on with before then.
    pub retry_at: Option<Timestamp>,
    /// Pages committed.
    pub pages: u64,
    /// Of its attempts.
    pub attempts: u64,
}

/// A flow at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowOverview {
    /// Runs that wait.
    pub queued: u64,
    /// The first of those was begun.
    pub queued_since: Option<Timestamp>,
    /// Runs that the process has.
    pub running: u64,
    /// Runs that a person decides about.
    pub dead: u64,
    /// The first of those was begun.
    pub dead_since: Option<Timestamp>,
    /// When its schedule comes due.
    pub next_at: Option<Timestamp>,
}

pub(crate) fn one(conn: &Connection, run_id: &str) -> Result<Option<FlowRun>, StoreError> {
    let sql = "SELECT flow_runs.seq, flow_runs.flow, steps, cause, state, due_at, input, correlation_id, started_at, about
               FROM flow_runs JOIN runs USING (run_id) JOIN flow_definitions ON flow_definitions.digest = definition
               WHERE run_id = ?1";
    let found = conn.prepare_cached(sql)?.query_row([run_id], |row| {
        Ok(FlowRun {
            run_id: run_id.to_owned(),
            number: unsigned(row.get(0)?),
            flow: row.get(1)?,
            steps: row.get(2)?,
            cause: word(row, 3, "flow_runs.cause", Cause::parse)?,
            about: row.get(9)?,
            state: word(row, 4, "flow_runs.state", FlowState::parse)?,
            due_at: Timestamp::from_millis(row.get(5)?),
            input: row.get(6)?,
            outputs: Vec::new(),
            correlation_id: row.get(7)?,
            started_at: Timestamp::from_millis(row.get(8)?),
        })
    });
    let Some(mut found) = found.optional()? else { return Ok(None) };
    let sql = "SELECT output FROM flow_outputs WHERE run_id = ?1 ORDER BY step";
    let mut statement = conn.prepare_cached(sql)?;
    found.outputs = statement.query_map([run_id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(Some(found))
}

/// The ids of a flow's runs that wait, are due, and have no one of their key before them: who waits for longest comes first.
pub(crate) fn due(
    conn: &Connection,
    flow: &str,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let sql = format!(
        "SELECT run_id FROM flow_runs WHERE flow = ?1 AND state = 'queued' AND due_at <= ?2 AND {FIRST_OF_ITS_KEY}
         ORDER BY due_at, seq LIMIT ?3"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows =
        statement.query_map(params![flow, now.as_millis(), limit.min(LIST_ROWS_MAX)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When a flow's next waiting run comes due that is not due now.
pub(crate) fn next_due(
    conn: &Connection,
    flow: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(due_at) FROM flow_runs WHERE flow = ?1 AND state = 'queued' AND due_at > ?2";
    let due: Option<i64> =
        conn.prepare_cached(sql)?.query_row(params![flow, now.as_millis()], |row| row.get(0))?;
    Ok(due.map(Timestamp::from_millis))
}

/// What was called at a place of a flow's run.
pub(crate) fn step(conn: &Connection, parent: &str, place: &str) -> Result<Option<StepRun>, StoreError> {
    let sql = "SELECT run_id, outcome, reason, error_kind, detail, output, retry_at,
                   (SELECT coalesce(sum(pages), 0) FROM steps WHERE steps.run_id = runs.run_id),
                   (SELECT coalesce(sum(attempts), 0) FROM steps WHERE steps.run_id = runs.run_id), connection, subject
               FROM runs WHERE parent = ?1 AND place = ?2";
    let found = conn.prepare_cached(sql)?.query_row([parent, place], |row| {
        let outcome: Option<String> = row.get(1)?;
        let outcome = match outcome {
            Some(found) => Some(Outcome::parse(&found).ok_or_else(|| corrupt("outcome", &found))?),
            None => None,
        };
        Ok(StepRun {
            run_id: row.get(0)?,
            connection: row.get(9)?,
            subject: row.get(10)?,
            outcome,
            reason: row.get(2)?,
            error_kind: row.get(3)?,
            detail: row.get(4)?,
            output: row.get(5)?,
            retry_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
            pages: unsigned(row.get(7)?),
            attempts: unsigned(row.get(8)?),
        })
    });
    Ok(found.optional()?)
}

/// The runs of a flow's run's steps that are not over.
pub(super) fn open_steps(conn: &Connection, parent: &str) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT run_id FROM runs WHERE parent = ?1 AND outcome IS NULL ORDER BY seq";
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_map([parent], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// A flow at a glance.
pub(crate) fn overview(conn: &Connection, flow: &str) -> Result<FlowOverview, StoreError> {
    let (queued, queued_since) = pile(conn, flow, "queued", "due_at, flow_runs.seq")?;
    let (running, _) = pile(conn, flow, "running", "flow_runs.seq")?;
    let (dead, dead_since) = pile(conn, flow, "dead", "flow_runs.seq")?;
    let next_at = super::schedule::of(conn, flow)?.map(|(_, next_at)| next_at);
    Ok(FlowOverview { queued, queued_since, running, dead, dead_since, next_at })
}

/// `state` and `order` are words of ours, of a partial index each.
fn pile(
    conn: &Connection,
    flow: &str,
    state: &str,
    order: &str,
) -> Result<(u64, Option<Timestamp>), StoreError> {
    let sql = format!("SELECT count(*) FROM flow_runs WHERE state = '{state}' AND flow = ?1");
    let count: i64 = conn.prepare_cached(&sql)?.query_row([flow], |row| row.get(0))?;
    let sql = format!(
        "SELECT started_at FROM flow_runs JOIN runs USING (run_id)
         WHERE state = '{state}' AND flow_runs.flow = ?1 ORDER BY {order} LIMIT 1"
    );
    let since: Option<i64> = conn.prepare_cached(&sql)?.query_row([flow], |row| row.get(0)).optional()?;
    Ok((unsigned(count), since.map(Timestamp::from_millis)))
}

fn word<T>(
    row: &Row<'_>,
    column: usize,
    name: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let word: String = row.get(column)?;
    parse(&word).ok_or_else(|| corrupt(name, &word))
}
