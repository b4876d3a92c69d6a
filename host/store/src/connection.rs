//! Ids of connections: made on first use, never reused, independent of the name.

use crate::StoreError;
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

pub(crate) fn find(conn: &Connection, name: &str, connector: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT connection_id FROM connections WHERE name = ?1 AND connector = ?2";
    Ok(conn.prepare_cached(sql)?.query_row([name, connector], |row| row.get(0)).optional()?)
}

/// The id of `name`, or `fresh`. The same name with another connector is another connection: state and positions
/// that one connector's author wrote are none of another's business.
pub(crate) fn id(
    conn: &Connection,
    name: &str,
    connector: &str,
    fresh: &str,
    at: Timestamp,
) -> Result<String, StoreError> {
    if let Some(id) = find(conn, name, connector)? {
        return Ok(id);
    }
    let sql = "UPDATE connections SET name = NULL, former_name = name WHERE name = ?1";
    conn.prepare_cached(sql)?.execute([name])?;
    let sql = "INSERT INTO connections (connection_id, name, connector, created_at) VALUES (?1, ?2, ?3, ?4)";
    conn.prepare_cached(sql)?.execute(params![fresh, name, connector, at.as_millis()])?;
    Ok(fresh.to_owned())
}
