//! Small durable values of a connection, behind `state` of the WIT.

use crate::{
    StoreError,
    limits::{
        STATE_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_KEYS_MAX, STATE_LIST_KEYS_MAX, STATE_VALUE_BYTES_MAX,
    },
    open::{int, unsigned},
};
use rusqlite::{Connection, OptionalExtension, params, types::Value};

/// Whose values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSpace {
    /// `conn_…`
    pub connection_id: String,
    /// `position-version` of the connector: another number's values mean something else, and are kept.
    pub position_version: u32,
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// Bytes.
    pub value: Vec<u8>,
    /// Grows with each write; a key that was deleted and made again begins above its old one.
    pub version: u64,
}

/// The values of an older version, as this one keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedState {
    /// Whose they become.
    pub space: StateSpace,
    /// Where they came from.
    pub from_version: u32,
    /// Keys and values.
    pub values: Vec<(String, Vec<u8>)>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateWrite {
    /// Stored, with this version.
    Stored(u64),
    /// The version there is now (0 = none); nothing was written.
    Conflict(u64),
    /// The value is larger than this bound.
    TooLarge(u64),
    /// The connection holds as much as it may; the bound that was hit.
    Quota(u64),
    /// The key is no key.
    Invalid(&'static str),
}

#[derive(Clone, Copy, Default)]
struct Totals {
    keys: u64,
    bytes: u64,
    version_last: u64,
}

pub(crate) fn read(
    conn: &Connection,
    space: &StateSpace,
    key: &str,
) -> Result<Option<StateEntry>, StoreError> {
    let sql = "SELECT value, version FROM state_values
               WHERE connection_id = ?1 AND position_version = ?2 AND key = ?3";
    let place = params![space.connection_id, space.position_version, key];
    let entry = conn
        .prepare_cached(sql)?
        .query_row(place, |row| Ok(StateEntry { value: row.get(0)?, version: unsigned(row.get(1)?) }));
    Ok(entry.optional()?)
}

pub(crate) fn set(
    conn: &Connection,
    space: &StateSpace,
    key: &str,
    value: &[u8],
    expected: Option<u64>,
) -> Result<StateWrite, StoreError> {
    if let Some(fault) = key_fault(key) {
        return Ok(StateWrite::Invalid(fault));
    }
    if value.len() > STATE_VALUE_BYTES_MAX {
        return Ok(StateWrite::TooLarge(STATE_VALUE_BYTES_MAX as u64));
    }
    let stored = stored(conn, space, key)?;
    let version = stored.map_or(0, |(version, _)| version);
    if expected.is_some_and(|expected| expected != version) {
        return Ok(StateWrite::Conflict(version));
    }
    let mut totals = totals(conn, &space.connection_id)?;
    let bytes_before = stored.map_or(0, |(_, bytes)| bytes);
    totals.keys += u64::from(stored.is_none());
    totals.bytes = totals.bytes.saturating_sub(bytes_before) + (key.len() + value.len()) as u64;
    totals.version_last += 1;
    if totals.keys > STATE_KEYS_MAX {
        return Ok(StateWrite::Quota(STATE_KEYS_MAX));
    }
    if totals.bytes > STATE_BYTES_MAX {
        return Ok(StateWrite::Quota(STATE_BYTES_MAX));
    }
    let sql =
        "INSERT INTO state_values (connection_id, position_version, key, value, version) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (connection_id, position_version, key) DO UPDATE SET value = excluded.value,
                                                                                version = excluded.version";
    let StateSpace { connection_id, position_version } = space;
    let last = int(totals.version_last);
    conn.prepare_cached(sql)?.execute(params![connection_id, position_version, key, value, last])?;
    set_totals(conn, connection_id, totals)?;
    Ok(StateWrite::Stored(totals.version_last))
}

pub(crate) fn delete(conn: &Connection, space: &StateSpace, key: &str) -> Result<bool, StoreError> {
    let Some((_, bytes)) = stored(conn, space, key)? else { return Ok(false) };
    let StateSpace { connection_id, position_version } = space;
    let sql = "DELETE FROM state_values WHERE connection_id = ?1 AND position_version = ?2 AND key = ?3";
    conn.prepare_cached(sql)?.execute(params![connection_id, position_version, key])?;
    let mut totals = totals(conn, connection_id)?;
    totals.keys = totals.keys.saturating_sub(1);
    totals.bytes = totals.bytes.saturating_sub(bytes);
    set_totals(conn, connection_id, totals)?;
    Ok(true)
}

/// All of them or none, and not twice: where this version has values, or took over others before, everything stays as it is.
pub(crate) fn take_over(conn: &Connection, moved: &MovedState) -> Result<(), StoreError> {
    let MovedState { space, from_version, values } = moved;
    if versions(conn, &space.connection_id)?.contains(&space.position_version) {
        return Ok(());
    }
    let sql = "INSERT INTO state_moves (connection_id, position_version, from_version) VALUES (?1, ?2, ?3)";
    let mark = params![space.connection_id, space.position_version, from_version];
    conn.prepare_cached(sql)?.execute(mark)?;
    for (key, value) in values {
        match set(conn, space, key, value, Some(0))? {
            StateWrite::Stored(_) => {}
            StateWrite::TooLarge(bound) => return Err(StoreError::TooLarge { what: "a value", bound }),
            StateWrite::Quota(bound) => {
                let what = "the state together with the older values, which are kept for a rollback,";
                return Err(StoreError::TooLarge { what, bound });
            }
            StateWrite::Conflict(_) | StateWrite::Invalid(_) => {
                return Err(StoreError::Conflict { what: "state of", id: space.connection_id.clone() });
            }
        }
    }
    Ok(())
}

/// The versions that a connection has values of or took values over for, ascending.
pub(crate) fn versions(conn: &Connection, connection_id: &str) -> Result<Vec<u32>, StoreError> {
    let sql = "SELECT position_version FROM state_values WHERE connection_id = ?1
               UNION SELECT position_version FROM state_moves WHERE connection_id = ?1
               ORDER BY position_version";
    let mut statement = conn.prepare_cached(sql)?;
    let versions = statement.query_map([connection_id], |row| row.get(0))?;
    Ok(versions.collect::<Result<_, _>>()?)
}

// TEXT compares as its bytes do (BINARY), so the keys of a prefix lie side by side, and only they are looked at.
const LIST: &str = "SELECT key FROM state_values
    WHERE connection_id = ?1 AND position_version = ?2 AND key >= ?3 AND key < ?4 ORDER BY key LIMIT ?5";

pub(crate) fn list(
    conn: &Connection,
    space: &StateSpace,
    prefix: &str,
    after: Option<&str>,
    max: u32,
) -> Result<Vec<String>, StoreError> {
    let from = match after {
        // The least text behind `after`.
        Some(after) if after >= prefix => format!("{after}\0"),
        _ => prefix.to_owned(),
    };
    // Every BLOB is behind every TEXT.
    let to = successor(prefix).map_or(Value::Blob(Vec::new()), Value::Text);
    let limit = max.min(STATE_LIST_KEYS_MAX);
    let StateSpace { connection_id, position_version } = space;
    let mut statement = conn.prepare_cached(LIST)?;
    let keys =
        statement.query_map(params![connection_id, position_version, from, to, limit], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

/// The least text behind every one that begins with `prefix`; none where nothing is behind them. Bytes of UTF-8 are in
/// the order of their characters, so it is found among those.
fn successor(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The range leaves out what is no character.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// Why a key is none.
pub fn key_fault(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        Some("the key is empty")
    } else if key.len() > STATE_KEY_BYTES_MAX {
        Some("the key is longer than 512 bytes")
    } else if key.contains('\0') {
        Some("the key holds a NUL character")
    } else {
        None
    }
}

/// Version and bytes (key and value) of a stored value.
fn stored(conn: &Connection, space: &StateSpace, key: &str) -> Result<Option<(u64, u64)>, StoreError> {
    let sql = "SELECT version, length(value) + length(CAST(key AS BLOB)) FROM state_values
               WHERE connection_id = ?1 AND position_version = ?2 AND key = ?3";
    let found = conn
        .prepare_cached(sql)?
        .query_row(params![space.connection_id, space.position_version, key], |row| {
            Ok((unsigned(row.get(0)?), unsigned(row.get(1)?)))
        });
    Ok(found.optional()?)
}

/// Over all versions: what is kept for a rollback takes its room.
fn totals(conn: &Connection, connection_id: &str) -> Result<Totals, StoreError> {
    let sql = "SELECT keys, bytes, version_last FROM state_totals WHERE connection_id = ?1";
    let found = conn.prepare_cached(sql)?.query_row([connection_id], |row| {
        let (keys, bytes, last): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Totals { keys: unsigned(keys), bytes: unsigned(bytes), version_last: unsigned(last) })
    });
    Ok(found.optional()?.unwrap_or_default())
}

fn set_totals(conn: &Connection, connection_id: &str, totals: Totals) -> Result<(), StoreError> {
    let sql = "INSERT INTO state_totals (connection_id, keys, bytes, version_last) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (connection_id) DO UPDATE SET keys = excluded.keys, bytes = excluded.bytes,
                                                         version_last = excluded.version_last";
    let Totals { keys, bytes, version_last } = totals;
    conn.prepare_cached(sql)?.execute(params![connection_id, int(keys), int(bytes), int(version_last)])?;
    Ok(())
}

#[cfg(test)]
mod tests;
