//! When flows come due by their schedules: each time is taken once, in the transaction that begins its run.

use super::{NewFlowRun, begin};
use crate::StoreError;
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// Times of a schedule that have come.
#[derive(Clone, Debug)]
pub struct Fired {
    /// The flow's name.
    pub flow: String,
    /// What was stored as its next time.
    pub at: Timestamp,
    /// Its next time from now on.
    pub next_at: Timestamp,
    /// What is begun.
    pub starts: Vec<NewFlowRun>,
    /// Only while no run of the flow waits or runs.
    pub alone: bool,
}

/// The schedule that is stored for a flow, and its next time.
pub(crate) fn of(conn: &Connection, flow: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
    let sql = "SELECT schedule, next_at FROM schedules WHERE flow = ?1";
    let found = conn
        .prepare_cached(sql)?
        .query_row([flow], |row| Ok((row.get(0)?, Timestamp::from_millis(row.get(1)?))));
    Ok(found.optional()?)
}

/// A schedule that is new, or another one than before.
pub(crate) fn set(
    conn: &Connection,
    flow: &str,
    schedule: &str,
    next_at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO schedules (flow, schedule, next_at) VALUES (?1, ?2, ?3)
               ON CONFLICT (flow) DO UPDATE SET schedule = excluded.schedule, next_at = excluded.next_at";
    conn.prepare_cached(sql)?.execute(params![flow, schedule, next_at.as_millis()])?;
    Ok(())
}

/// Schedules of flows that have none any more.
pub(crate) fn retain(conn: &Connection, flows: &[String]) -> Result<(), StoreError> {
    let sql = "DELETE FROM schedules WHERE flow NOT IN (SELECT value FROM json_each(?1))";
    conn.prepare_cached(sql)?.execute([serde_json::json!(flows).to_string()])?;
    Ok(())
}

/// Begins what has come due, and sets the next time. How many runs were begun; refused where another time is stored.
pub(crate) fn fire(conn: &Connection, fired: &Fired) -> Result<u32, StoreError> {
    let Fired { flow, at, next_at, starts, alone } = fired;
    let sql = "UPDATE schedules SET next_at = ?3 WHERE flow = ?1 AND next_at = ?2";
    if conn.prepare_cached(sql)?.execute(params![flow, at.as_millis(), next_at.as_millis()])? != 1 {
        return Err(StoreError::Conflict { what: "schedule", id: flow.clone() });
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM flow_runs WHERE flow = ?1 AND state = 'queued')
                   OR EXISTS (SELECT 1 FROM flow_runs WHERE flow = ?1 AND state = 'running')";
    let mut begun = 0;
    for start in starts {
        if *alone && conn.prepare_cached(sql)?.query_row([flow], |row| row.get(0))? {
            break;
        }
        begin(conn, start)?;
        begun += 1;
    }
    Ok(begun)
}
