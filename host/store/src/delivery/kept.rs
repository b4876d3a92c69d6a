//! How many deliveries wait, how much all of them take, and the removal of the oldest that are over. One that waits, or is dead
//! and undecided, is never removed by size.

use crate::{
    StoreError,
    limits::PRUNE_DELIVERIES,
    open::{int, unsigned},
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, params};

/// How many wait or run, and their bytes.
pub(crate) fn waiting(conn: &Connection) -> Result<(u64, u64), StoreError> {
    let sql = "SELECT waiting, waiting_bytes FROM deliveries_kept";
    let (waiting, bytes) = conn.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((unsigned(waiting), unsigned(bytes)))
}

/// One more is stored, and waits.
pub(super) fn more(conn: &Connection, bytes: u64) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries_kept SET waiting = waiting + 1, waiting_bytes = waiting_bytes + ?1,
                   bytes = bytes + ?1";
    conn.prepare_cached(sql)?.execute([int(bytes)])?;
    Ok(())
}

/// One that waited is over.
pub(super) fn over(conn: &Connection, bytes: u64) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries_kept SET waiting = max(waiting - 1, 0), waiting_bytes = max(waiting_bytes - ?1, 0)";
    conn.prepare_cached(sql)?.execute([int(bytes)])?;
    Ok(())
}

/// One that was over waits again.
pub(super) fn waits_again(conn: &Connection, bytes: u64) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries_kept SET waiting = waiting + 1, waiting_bytes = waiting_bytes + ?1";
    conn.prepare_cached(sql)?.execute([int(bytes)])?;
    Ok(())
}

/// Its events take so much.
pub(super) fn grow(conn: &Connection, delivery_id: &str, bytes: u64) -> Result<(), StoreError> {
    let sql = "UPDATE deliveries SET bytes = bytes + ?2 WHERE delivery_id = ?1";
    conn.prepare_cached(sql)?.execute(params![delivery_id, int(bytes)])?;
    conn.prepare_cached("UPDATE deliveries_kept SET bytes = bytes + ?1")?.execute([int(bytes)])?;
    Ok(())
}

/// Removes at most `PRUNE_DELIVERIES` of the oldest that are done or discarded: those received before `before`, and those
/// beyond `bytes` of all together; and as many event ids whose time is over. How many deliveries.
pub(crate) fn prune(
    conn: &Connection,
    before: Timestamp,
    bytes: u64,
    now: Timestamp,
) -> Result<u32, StoreError> {
    let sql = "DELETE FROM event_ids WHERE (route, event_id) IN
                   (SELECT route, event_id FROM event_ids WHERE forget_at <= ?1 LIMIT ?2)";
    conn.prepare_cached(sql)?.execute(params![now.as_millis(), PRUNE_DELIVERIES])?;
    let sql = "SELECT bytes FROM deliveries_kept";
    let mut kept = unsigned(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?);
    let (mut freed, mut doomed) = (0_u64, Vec::new());
    {
        let sql = "SELECT seq, received_at, bytes FROM deliveries WHERE state IN ('done', 'discarded')
                   ORDER BY seq LIMIT ?1";
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query([PRUNE_DELIVERIES])?;
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
    // Events go with their delivery.
    for seq in &doomed {
        conn.prepare_cached("DELETE FROM deliveries WHERE seq = ?1")?.execute([seq])?;
    }
    if !doomed.is_empty() {
        conn.prepare_cached("UPDATE deliveries_kept SET bytes = max(bytes - ?1, 0)")?
            .execute([int(freed)])?;
    }
    Ok(u32::try_from(doomed.len()).unwrap_or(PRUNE_DELIVERIES))
}

/// How many were delivered for a connection.
pub(crate) fn of(conn: &Connection, connection: &str) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM deliveries WHERE connection = ?1";
    Ok(unsigned(conn.prepare_cached(sql)?.query_row([connection], |row| row.get(0))?))
}

/// Removes what was delivered for a connection, with its events and their ids. No run of it is open.
pub(crate) fn forget(conn: &Connection, connection: &str) -> Result<(), StoreError> {
    let of_it = "SELECT delivery_id FROM deliveries WHERE connection = ?1";
    conn.execute(&format!("DELETE FROM event_ids WHERE delivery_id IN ({of_it})"), [connection])?;
    let sql = "UPDATE deliveries_kept SET
                   waiting = (SELECT count(*) FROM deliveries WHERE connection <> ?1 AND ended_at IS NULL),
                   waiting_bytes = (SELECT coalesce(sum(bytes), 0) FROM deliveries
                                    WHERE connection <> ?1 AND ended_at IS NULL),
                   bytes = (SELECT coalesce(sum(bytes), 0) FROM deliveries WHERE connection <> ?1)";
    conn.execute(sql, [connection])?;
    conn.execute("DELETE FROM deliveries WHERE connection = ?1", [connection])?;
    Ok(())
}
