//! All that is stored under a connection's name: counted, and removed from both databases.

use crate::{
    DataLock, StoreError, backup, delivery,
    exchange::EXCHANGES_FILE,
    migrations::{EXCHANGES, STATE, Schema},
    open::{self, Durability, unsigned},
    reader::STATE_FILE,
    run::kept,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, params};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// What is stored under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The connectors that ran under it, `PUBLISHER/NAME`; each had a `connection-id` of its own.
    pub connectors: Vec<String>,
    /// Values of `state`.
    pub values: u64,
    /// Positions of readers.
    pub positions: u64,
    /// Rows of the exchange log.
    pub exchanges: u64,
    /// What vendors announced of the end of endpoints.
    pub announcements: u64,
    /// Runs, with input and output.
    pub runs: u64,
    /// What was delivered for it, with its events.
    pub deliveries: u64,
}

impl Holdings {
    /// Counts. Opens the databases read-only and needs no lock. Blocking.
    pub fn of(data: &Path, name: &str) -> Result<Self, StoreError> {
        let (state, exchanges) = (data.join(STATE_FILE), data.join(EXCHANGES_FILE));
        let Some(conn) = current(&state, &STATE)? else { return Ok(Self::default()) };
        let mut found = Self { deliveries: delivery::kept::of(&conn, name)?, ..Self::default() };
        for (id, connector) in ids(&conn, name)? {
            found.connectors.push(connector);
            found.count_state(&conn, &id)?;
            if let Some(conn) = current(&exchanges, &EXCHANGES)? {
                found.count_exchanges(&conn, &id)?;
            }
        }
        Ok(found)
    }

    /// Removes all of it, and says what it was. Of runs there stays that they were, and how they ended. The rows of the exchange log go first: where this is interrupted, the name still
    /// leads to what is left. The files are written anew, so that nothing of it stays in an unused page. Blocking.
    pub fn forget(lock: &DataLock, name: &str, at: Timestamp) -> Result<Self, StoreError> {
        let found = Self::remove(lock, name, at)?;
        Self::finish(lock)?;
        Ok(found)
    }

    /// The rows alone: their bytes may lie in unused pages, and a file says so from before the first of them goes.
    fn remove(lock: &DataLock, name: &str, at: Timestamp) -> Result<Self, StoreError> {
        let (state_file, exchanges_file) = (lock.data().join(STATE_FILE), lock.data().join(EXCHANGES_FILE));
        let mut state = open::writer(&state_file, Durability::Full)?;
        STATE.migrate(&mut state, &state_file)?;
        let mut exchanges = open::writer(&exchanges_file, Durability::Full)?;
        EXCHANGES.migrate(&mut exchanges, &exchanges_file)?;
        let ids = ids(&state, name)?;
        let mut found = Self { deliveries: delivery::kept::of(&state, name)?, ..Self::default() };
        for (id, connector) in &ids {
            found.connectors.push(connector.clone());
            found.count_state(&state, id)?;
            found.count_exchanges(&exchanges, id)?;
        }
        Pending::begin(lock.data())?;
        transaction(&exchanges, |conn| {
            ids.iter().try_for_each(|(id, _)| {
                for table in ["exchanges", "announcements", "kept"] {
                    conn.execute(&format!("DELETE FROM {table} WHERE connection_id = ?1"), [id])?;
                }
                Ok(())
            })
        })?;
        transaction(&state, |conn| {
            delivery::kept::forget(conn, name)?;
            for (id, _) in &ids {
                kept::strip(conn, id)?;
                for table in [
                    "positions",
                    "reader_files",
                    "state_values",
                    "state_moves",
                    "state_totals",
                    "connections",
                ] {
                    conn.execute(&format!("DELETE FROM {table} WHERE connection_id = ?1"), [id])?;
                }
            }
            let detail = format!(r#"{{"connection_ids":{}}}"#, ids.len());
            let sql =
                "INSERT INTO audit (kind, subject, detail, at) VALUES ('connection-forgotten', ?1, ?2, ?3)";
            conn.execute(sql, params![name, detail, at.as_millis()])?;
            Ok(())
        })?;
        Ok(found)
    }

    /// Writes both files anew where rows were removed and their bytes may be left, also by a process that was killed in between. False
    /// where there is nothing to do. Blocking.
    pub fn finish(lock: &DataLock) -> Result<bool, StoreError> {
        let Some(pending) = Pending::left(lock.data()) else { return Ok(false) };
        for (name, schema) in [(EXCHANGES_FILE, &EXCHANGES), (STATE_FILE, &STATE)] {
            let path = lock.data().join(name);
            let mut conn = open::writer(&path, Durability::Full)?;
            schema.migrate(&mut conn, &path)?;
            match open::vacuum(&conn) {
                Ok(true) => {}
                Ok(false) => return Err(StoreError::Read { path }),
                Err(source) => return Err(StoreError::Compact { path, source }),
            }
        }
        backup::remove_copies(lock.data())?;
        pending.end()?;
        Ok(true)
    }

    /// Whether a process that removed rows was ended before it had written the files anew: [`Holdings::finish`] does. Takes no lock.
    pub fn is_unfinished(data: &Path) -> bool {
        Pending::left(data).is_some()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn count_state(&mut self, conn: &Connection, id: &str) -> Result<(), StoreError> {
        self.values += count(conn, "state_values", id)?;
        self.positions += count(conn, "positions", id)?;
        self.runs += count(conn, "runs", id)?;
        Ok(())
    }

    fn count_exchanges(&mut self, conn: &Connection, id: &str) -> Result<(), StoreError> {
        self.exchanges += count(conn, "exchanges", id)?;
        self.announcements += count(conn, "announcements", id)?;
        Ok(())
    }
}

/// Rows may be removed whose bytes are still in unused pages: a file says so, from before the first row goes until both databases are
/// written anew.
struct Pending(PathBuf);

impl Pending {
    fn begin(data: &Path) -> Result<(), StoreError> {
        let path = data.join(PENDING_FILE);
        let made = File::create(&path).and_then(|file| file.sync_all()).and_then(|()| sync(data));
        made.map_err(|source| StoreError::File { path, source })
    }

    fn left(data: &Path) -> Option<Self> {
        let path = data.join(PENDING_FILE);
        path.exists().then_some(Self(path))
    }

    fn end(self) -> Result<(), StoreError> {
        fs::remove_file(&self.0).map_err(|source| StoreError::File { path: self.0, source })
    }
}

/// In the data folder.
const PENDING_FILE: &str = "forgetting";

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// None where there is none, or it is of an older version: a command that writes brings it up to date.
fn current(path: &Path, schema: &Schema) -> Result<Option<Connection>, StoreError> {
    let Some(conn) = open::reader(path)? else { return Ok(None) };
    let found = schema.check(&conn, path)?;
    match found {
        0 => Ok(None),
        _ if found < schema.version() => {
            Err(StoreError::Older { path: path.to_owned(), found, needed: schema.version() })
        }
        _ => Ok(Some(conn)),
    }
}

/// Those that have the name, and those that had it until another connector took it.
fn ids(conn: &Connection, name: &str) -> Result<Vec<(String, String)>, StoreError> {
    let sql =
        "SELECT connection_id, connector FROM connections WHERE name = ?1 OR former_name = ?1 ORDER BY rowid";
    let mut statement = conn.prepare(sql)?;
    let rows = statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn count(conn: &Connection, table: &str, id: &str) -> Result<u64, StoreError> {
    let sql = format!("SELECT count(*) FROM {table} WHERE connection_id = ?1");
    Ok(unsigned(conn.prepare(&sql)?.query_row([id], |row| row.get(0))?))
}

fn transaction(
    conn: &Connection,
    statements: impl FnOnce(&Connection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let transaction = conn.unchecked_transaction()?;
    statements(&transaction)?;
    transaction.commit().map_err(|error| StoreError::Commit(error.to_string()))
}

#[cfg(test)]
mod tests;
