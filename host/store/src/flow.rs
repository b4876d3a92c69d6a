//! Runs of flows: each a row of `runs`, with where it stands beside it. What its steps call are runs of their own, which know it as
//! their parent. Decides nothing: what a step does, and when a run comes due again, the engine says.

pub(crate) mod rows;
pub(crate) mod schedule;

use crate::{
    Outcome, RunEnd, StoreError, intent,
    limits::{FLOW_JSON_BYTES_MAX, INTERRUPTED_RUNS_MAX, ORDER_KEY_BYTES_MAX},
    run, sync,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, sync::Arc};

/// A run of a flow that is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFlowRun {
    /// `run_…`
    pub run_id: String,
    /// The flow's name.
    pub flow: String,
    /// What it does, in the words of the engine.
    pub steps: Arc<str>,
    /// What began it.
    pub cause: Cause,
    /// The same in full, as JSON text.
    pub about: String,
    /// Those of one flow and one key go one behind the other.
    pub order_key: Option<String>,
    /// Correlation id.
    pub correlation_id: String,
    /// JSON text, at most `FLOW_JSON_BYTES_MAX`; so is `about`.
    pub input: String,
    /// When.
    pub at: Timestamp,
}

/// What begins a run of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Somebody.
    Manual,
    /// Its schedule.
    Schedule,
    /// An event of a webhook.
    Webhook,
    /// The end of another flow.
    Flow,
}

impl Cause {
    /// Lower-case word, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
            Self::Webhook => "webhook",
            Self::Flow => "flow",
        }
    }

    /// The word's cause.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Manual, Self::Schedule, Self::Webhook, Self::Flow];
        all.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// Where a run of a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowState {
    /// It waits for its turn, or for a time.
    Queued,
    /// The process has it.
    Running,
    /// It can't go on by itself: a person decides.
    Dead,
    /// It is over.
    Over,
}

impl FlowState {
    /// Lower-case word, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Dead => "dead",
            Self::Over => "over",
        }
    }

    /// The word's state.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Queued, Self::Running, Self::Dead, Self::Over];
        all.into_iter().find(|state| state.as_str() == word)
    }
}

/// Whose run a step's run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The flow's run.
    pub run_id: String,
    /// The flow's name.
    pub flow: String,
    /// Where in it: the same one for whatever is tried there, until a person has it tried anew.
    pub place: String,
}

/// How a run of a flow ends.
#[derive(Clone, Debug)]
pub struct FlowEnd {
    /// The run's end.
    pub run: RunEnd,
    /// A person decides what becomes of it.
    pub is_dead: bool,
    /// Runs of other flows that its end begins.
    pub starts: Vec<NewFlowRun>,
}

/// Stores it: it waits from now on.
pub(crate) fn begin(conn: &Connection, new: &NewFlowRun) -> Result<(), StoreError> {
    within_bound("the input of a flow", &new.input)?;
    within_bound("what began a run of a flow", &new.about)?;
    let digest = define(conn, &new.steps)?;
    let sql = "INSERT INTO runs (run_id, kind, connection, connection_id, connector, version, digest, correlation_id,
                                 subject, input, started_at, flow)
               VALUES (?1, 'flow', '', '', '', '', ?2, ?3, ?4, ?5, ?6, ?4)";
    let at = new.at.as_millis();
    conn.prepare_cached(sql)?.execute(params![
        new.run_id,
        digest,
        new.correlation_id,
        new.flow,
        new.input,
        at
    ])?;
    let sql = "INSERT INTO flow_runs (run_id, flow, definition, cause, about, order_key, state, due_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', ?7)";
    let (cause, order_key) = (new.cause.as_str(), new.order_key.as_deref().map(kept));
    let values = params![new.run_id, new.flow, digest, cause, new.about, order_key, at];
    conn.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Keys are compared and never shown: of a long one its digest does.
fn kept(order_key: &str) -> Cow<'_, str> {
    match order_key.len() <= ORDER_KEY_BYTES_MAX {
        true => Cow::Borrowed(order_key),
        false => Cow::Owned(digest(order_key)),
    }
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold("sha256:".to_owned(), |hex, b| hex + &format!("{b:02x}"))
}

fn define(conn: &Connection, steps: &str) -> Result<String, StoreError> {
    let digest = digest(steps);
    let sql = "INSERT INTO flow_definitions (digest, steps) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING";
    conn.prepare_cached(sql)?.execute([&digest, steps])?;
    Ok(digest)
}

/// The process has it from now on; refused where it does not wait, is not due, or one of its key is before it.
pub(crate) fn take(conn: &Connection, run_id: &str, now: Timestamp) -> Result<rows::FlowRun, StoreError> {
    let sql = format!(
        "UPDATE flow_runs SET state = 'running'
         WHERE run_id = ?1 AND state = 'queued' AND due_at <= ?2 AND {}",
        rows::FIRST_OF_ITS_KEY
    );
    match conn.prepare_cached(&sql)?.execute(params![run_id, now.as_millis()])? {
        1 => rows::one(conn, run_id)?.ok_or_else(|| gone(run_id)),
        _ => Err(StoreError::Conflict { what: "run of a flow", id: run_id.to_owned() }),
    }
}

/// A step is done, and what it left is the next one's.
pub(crate) fn advance(conn: &Connection, run_id: &str, step: u32, output: &str) -> Result<(), StoreError> {
    within_bound("the output of a flow's step", output)?;
    let sql = "UPDATE flow_runs SET step = step + 1 WHERE run_id = ?1 AND state = 'running' AND step = ?2";
    if conn.prepare_cached(sql)?.execute(params![run_id, step])? != 1 {
        return Err(StoreError::Conflict { what: "run of a flow", id: run_id.to_owned() });
    }
    let sql = "INSERT INTO flow_outputs (run_id, step, output) VALUES (?1, ?2, ?3)";
    conn.prepare_cached(sql)?.execute(params![run_id, step, output])?;
    Ok(())
}

/// It waits until then, and why stands with it.
pub(crate) fn put_back(
    conn: &Connection,
    run_id: &str,
    due_at: Timestamp,
    why: Option<&str>,
) -> Result<(), StoreError> {
    let sql = "UPDATE flow_runs SET state = 'queued', due_at = ?2, interrupted = 0 WHERE run_id = ?1 AND state = 'running'";
    if conn.prepare_cached(sql)?.execute(params![run_id, due_at.as_millis()])? != 1 {
        return Err(StoreError::Conflict { what: "run of a flow", id: run_id.to_owned() });
    }
    let sql = "UPDATE runs SET detail = ?2, retry_at = ?3 WHERE run_id = ?1 AND outcome IS NULL";
    conn.prepare_cached(sql)?.execute(params![run_id, why, due_at.as_millis()])?;
    Ok(())
}

/// It is over, or a person decides.
pub(crate) fn end(conn: &Connection, run_id: &str, end: &FlowEnd) -> Result<(), StoreError> {
    let state = if end.is_dead { FlowState::Dead } else { FlowState::Over };
    let sql = "UPDATE flow_runs SET state = ?2 WHERE run_id = ?1 AND state = 'running'";
    if conn.prepare_cached(sql)?.execute([run_id, state.as_str()])? != 1 {
        return Err(StoreError::Conflict { what: "run of a flow", id: run_id.to_owned() });
    }
    run::end(conn, run_id, &end.run)?;
    if !end.is_dead {
        // A step whose condition has come to say no since it was begun: nobody comes back for what it left open.
        let because = "its flow's run went on without it";
        give_up_steps(conn, run_id, because, end.run.ended_at)?;
    }
    end.starts.iter().try_for_each(|start| begin(conn, start))
}

/// What a process had that is gone waits again; what ended so many of them is a person's.
pub(crate) fn release(conn: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE flow_runs SET state = 'queued', due_at = ?1, interrupted = interrupted + 1
               WHERE state = 'running' RETURNING run_id, interrupted";
    let mut statement = conn.prepare_cached(sql)?;
    let released = statement.query_map([now.as_millis()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let released: Vec<(String, u32)> = released.collect::<Result<_, _>>()?;
    for (run_id, _) in released.iter().filter(|(_, interrupted)| *interrupted >= INTERRUPTED_RUNS_MAX) {
        bury(conn, run_id, now)?;
    }
    Ok(())
}

/// What its steps have open stays so: tried once more by a person's word, a step keeps its key.
fn bury(conn: &Connection, run_id: &str, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE flow_runs SET state = 'dead' WHERE run_id = ?1";
    conn.prepare_cached(sql)?.execute([run_id])?;
    let because = format!("the process ended {INTERRUPTED_RUNS_MAX} times under it");
    let mut doubt = None;
    for step in rows::open_steps(conn, run_id)? {
        doubt = doubt.or(intent::effects(conn, &step)?.reason());
    }
    let run = RunEnd {
        outcome: if doubt.is_some() { Outcome::Unknown } else { Outcome::DeadLettered },
        suspicious: false,
        reason: Some(doubt.unwrap_or("interrupted").to_owned()),
        error_kind: Some("interrupted".to_owned()),
        detail: Some(because),
        output: None,
        retry_at: None,
        requests: 0,
        delivery: None,
        ended_at: now,
    };
    run::end(conn, run_id, &run)
}

/// A person's word on one that is dead: once more from the step that failed, by these steps, or never. To give it up gives up the
/// records that it could not write, also where it is not dead. False where there is nothing to decide;
/// refused where what it began with was forgotten.
pub(crate) fn decide(
    conn: &Connection,
    run_id: &str,
    replay: Option<&str>,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let state = if replay.is_some() { FlowState::Queued } else { FlowState::Over };
    let sql =
        "UPDATE flow_runs SET state = ?2, due_at = ?3, interrupted = 0 WHERE run_id = ?1 AND state = 'dead'";
    let is_dead = conn.prepare_cached(sql)?.execute(params![run_id, state.as_str(), at.as_millis()])? == 1;
    // What it could not write of a stream is given up with it, or alone.
    let has_rejected = replay.is_none() && sync::discard(conn, run_id)?;
    if !is_dead {
        return Ok(has_rejected);
    }
    let Some(steps) = replay else {
        let because = "given up with the flow's run that it was a step of";
        give_up_steps(conn, run_id, because, at)?;
        return Ok(true);
    };
    if rows::one(conn, run_id)?.is_none_or(|run| run.input.is_none()) {
        return Err(StoreError::NotFound { what: "input of the run", id: run_id.to_owned() });
    }
    let digest = define(conn, steps)?;
    conn.prepare_cached("UPDATE flow_runs SET definition = ?2 WHERE run_id = ?1")?
        .execute([run_id, &digest])?;
    run::reopen(conn, run_id)?;
    // What was tried stays, at a place of its own: what failed is tried anew.
    let sql = "UPDATE runs SET place = place || '~' || seq WHERE parent = ?1 AND outcome <> 'succeeded'
               AND place NOT LIKE '%~%'";
    conn.prepare_cached(sql)?.execute([run_id])?;
    Ok(true)
}

fn give_up_steps(conn: &Connection, run_id: &str, because: &str, at: Timestamp) -> Result<(), StoreError> {
    rows::open_steps(conn, run_id)?.iter().try_for_each(|step| run::give_up(conn, step, because, at))
}

/// Definitions that no run has.
pub(crate) fn prune(conn: &Connection) -> Result<(), StoreError> {
    let sql = "DELETE FROM flow_definitions
               WHERE NOT EXISTS (SELECT 1 FROM flow_runs WHERE definition = flow_definitions.digest)";
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}

/// A step's run is left open and is not gone on with before then.
pub(crate) fn park(conn: &Connection, run_id: &str, retry_at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE runs SET retry_at = ?2 WHERE run_id = ?1 AND outcome IS NULL AND parent IS NOT NULL";
    match conn.prepare_cached(sql)?.execute(params![run_id, retry_at.as_millis()])? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict { what: "run", id: run_id.to_owned() }),
    }
}

/// What was tried of a step's run before it is gone on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// Attempts of the call at this place.
    pub tried: u32,
    /// Requests of the run, as far as its attempts came to say so.
    pub requests: u64,
}

/// A step's run is gone on with: the attempts that nobody has any more end.
pub(crate) fn resume(
    conn: &Connection,
    run_id: &str,
    step: &str,
    call: &str,
    now: Timestamp,
) -> Result<Resumed, StoreError> {
    let sql = "UPDATE runs SET retry_at = NULL WHERE run_id = ?1 AND outcome IS NULL AND parent IS NOT NULL";
    if conn.prepare_cached(sql)?.execute([run_id])? != 1 {
        return Err(StoreError::Conflict { what: "run", id: run_id.to_owned() });
    }
    let sql = "UPDATE attempts SET ended_at = ?2, outcome = 'failed', error_kind = 'interrupted',
                   detail = 'the process ended before the attempt did' WHERE run_id = ?1 AND outcome IS NULL";
    conn.prepare_cached(sql)?.execute(params![run_id, now.as_millis()])?;
    let sql = "SELECT max(attempt) FROM attempts WHERE run_id = ?1 AND step = ?2 AND call = ?3";
    let tried: Option<u32> =
        conn.prepare_cached(sql)?.query_row([run_id, step, call], |row| row.get(0)).optional()?.flatten();
    Ok(Resumed { tried: tried.unwrap_or_default(), requests: run::rows::requests(conn, run_id)? })
}

fn within_bound(what: &'static str, text: &str) -> Result<(), StoreError> {
    match text.len() > FLOW_JSON_BYTES_MAX {
        true => Err(StoreError::TooLarge { what, bound: FLOW_JSON_BYTES_MAX as u64 }),
        false => Ok(()),
    }
}

fn gone(run_id: &str) -> StoreError {
    StoreError::NotFound { what: "run of a flow", id: run_id.to_owned() }
}
