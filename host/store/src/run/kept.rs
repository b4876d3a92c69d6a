//! How much runs that are over take, and the removal of the oldest. Open runs are never counted and never removed.

use crate::{
    StoreError, flow,
    limits::PRUNE_RUNS,
    open::{int, unsigned},
    sync,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, params};

/// The bytes of a run: its texts, and 512 for each row.
const BYTES: &str = "512 * (1
        + (SELECT count(*) FROM steps WHERE steps.run_id = runs.run_id)
        + (SELECT count(*) FROM attempts WHERE attempts.run_id = runs.run_id)
        + (SELECT count(*) FROM intents WHERE intents.run_id = runs.run_id))
    + (SELECT coalesce(sum(256 + octet_length(message) + coalesce(octet_length(record), 0)), 0) FROM rejected
       WHERE rejected.run_id = runs.run_id)
    + coalesce(octet_length(input), 0) + coalesce(octet_length(output), 0) + coalesce(octet_length(detail), 0)
    + (SELECT coalesce(sum(octet_length(attempts.detail)), 0) FROM attempts WHERE attempts.run_id = runs.run_id)
    + (SELECT coalesce(sum(octet_length(intents.url)), 0) FROM intents WHERE intents.run_id = runs.run_id)
    + (SELECT coalesce(sum(128 + octet_length(flow_outputs.output)), 0) FROM flow_outputs
       WHERE flow_outputs.run_id = runs.run_id)
    + coalesce((SELECT octet_length(about) FROM flow_runs WHERE flow_runs.run_id = runs.run_id), 0)";

/// Counts a run that has just ended.
pub(super) fn count(conn: &Connection, run_id: &str) -> Result<(), StoreError> {
    let sql = format!("UPDATE runs SET bytes = {BYTES} WHERE run_id = ?1 RETURNING bytes");
    let bytes: i64 = conn.prepare_cached(&sql)?.query_row([run_id], |row| row.get(0))?;
    conn.prepare_cached("UPDATE runs_kept SET bytes = bytes + ?1")?.execute([bytes])?;
    Ok(())
}

/// The run goes on: it counts no more until it ends again.
pub(super) fn uncount(conn: &Connection, run_id: &str) -> Result<(), StoreError> {
    let sql = "UPDATE runs_kept SET bytes = max(bytes - (SELECT bytes FROM runs WHERE run_id = ?1), 0)";
    conn.prepare_cached(sql)?.execute([run_id])?;
    conn.prepare_cached("UPDATE runs SET bytes = 0 WHERE run_id = ?1")?.execute([run_id])?;
    Ok(())
}

/// Leaves of a connection's runs, and of the runs of flows that they were a part of, that they were, and how they ended: no input,
/// output or words of anybody.
pub(crate) fn strip(conn: &Connection, connection_id: &str) -> Result<(), StoreError> {
    // What is one affair has one correlation id.
    let doomed = "CREATE TEMP TABLE stripped AS
                  WITH its AS (SELECT run_id, correlation_id FROM runs WHERE connection_id = ?1
                      UNION SELECT run_id, correlation_id FROM syncs JOIN runs USING (run_id) WHERE destination_id = ?1)
                  SELECT run_id FROM runs WHERE outcome IS NOT NULL AND (run_id IN (SELECT run_id FROM its)
                      OR kind = 'flow' AND correlation_id IN (SELECT correlation_id FROM its))";
    conn.execute(doomed, [connection_id])?;
    let of_it = "run_id IN (SELECT run_id FROM stripped)";
    let sum = format!("SELECT coalesce(sum(bytes), 0) FROM runs WHERE {of_it}");
    let bytes = || conn.query_row(&sum, [], |row| row.get::<_, i64>(0));
    let before = bytes()?;
    sync::strip(conn, connection_id)?;
    for statement in [
        format!("UPDATE attempts SET detail = NULL WHERE {of_it}"),
        format!("UPDATE intents SET url = '', idempotency_key = NULL WHERE {of_it}"),
        format!("UPDATE flow_outputs SET output = 'null' WHERE {of_it}"),
        format!("UPDATE flow_runs SET about = 'null', order_key = NULL WHERE {of_it}"),
        format!("UPDATE runs SET input = NULL, output = NULL, detail = NULL WHERE {of_it}"),
        format!("UPDATE runs SET bytes = {BYTES} WHERE {of_it}"),
    ] {
        conn.execute(&statement, [])?;
    }
    conn.execute("UPDATE runs_kept SET bytes = max(bytes - ?1, 0)", [before - bytes()?])?;
    conn.execute("DROP TABLE stripped", [])?;
    Ok(())
}

/// Removes at most `PRUNE_RUNS` of the oldest runs: those that began before `before`, and those beyond `bytes`. How many. What a person
/// decides about stays, and so does all of a flow's run that is not over.
pub(crate) fn prune(conn: &Connection, before: Timestamp, bytes: u64) -> Result<u32, StoreError> {
    let kept = "SELECT bytes FROM runs_kept";
    let mut kept = unsigned(conn.prepare_cached(kept)?.query_row([], |row| row.get(0))?);
    let (mut freed, mut doomed) = (0_u64, Vec::new());
    {
        let sql = "SELECT seq, started_at, bytes FROM runs
                   WHERE outcome IS NOT NULL AND NOT EXISTS (
                       SELECT 1 FROM flow_runs WHERE state <> 'over' AND flow_runs.run_id IN (runs.run_id, runs.parent))
                     AND NOT EXISTS (SELECT 1 FROM rejected WHERE rejected.run_id = runs.run_id AND discarded = 0)
                     AND NOT EXISTS (SELECT 1 FROM runs AS of_it JOIN rejected USING (run_id)
                                     WHERE of_it.parent = runs.run_id AND discarded = 0)
                   ORDER BY seq LIMIT ?1";
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query([PRUNE_RUNS])?;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(1)? >= before.as_millis() && kept <= bytes {
                break;
            }
            let size = unsigned(row.get(2)?);
            kept = kept.saturating_sub(size);
            freed = freed.saturating_add(size);
            doomed.push(row.get::<_, i64>(0)?);
        }
    }
    // Steps, attempts and intents go with their run.
    for seq in &doomed {
        conn.prepare_cached("DELETE FROM runs WHERE seq = ?1")?.execute([seq])?;
    }
    if !doomed.is_empty() {
        flow::prune(conn)?;
        conn.prepare_cached("UPDATE runs_kept SET bytes = max(bytes - ?1, 0)")?
            .execute(params![int(freed)])?;
    }
    Ok(u32::try_from(doomed.len()).unwrap_or(PRUNE_RUNS))
}

#[cfg(test)]
mod tests;
