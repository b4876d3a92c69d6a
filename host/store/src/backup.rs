//! Both databases as a copy elsewhere: made beside whoever writes, judged, and put in place again. What a copy does not know may
//! have happened since: nothing of what waited in it goes on by itself.

use crate::{
    DataLock, Outcome, RunEnd, StoreError, audit,
    exchange::EXCHANGES_FILE,
    limits::FAULTS_SHOWN_MAX,
    migrations::{EXCHANGES, STATE, Schema},
    open::{self, Durability},
    reader::STATE_FILE,
    run,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, params};
use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

const DATABASES: [(&str, &Schema); 2] = [(STATE_FILE, &STATE), (EXCHANGES_FILE, &EXCHANGES)];

/// What was found of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Name of its file.
    pub name: &'static str,
    /// Bytes; none = it is not there.
    pub bytes: Option<u64>,
    /// What is wrong with it; empty = nothing.
    pub faults: Vec<String>,
}

/// What a restore did to what waited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Where the databases lie now that were there before; none = there were none.
    pub before: Option<PathBuf>,
    /// Deliveries that a person decides on now.
    pub deliveries: u64,
    /// Runs of flows that a person decides on now.
    pub flow_runs: u64,
}

/// Looks through both databases of a folder, page by page. Needs no lock. Blocking.
pub fn check(folder: &Path) -> Result<Vec<Checked>, StoreError> {
    let mut found = Vec::new();
    for (name, schema) in DATABASES {
        let path = folder.join(name);
        let bytes = path.metadata().ok().map(|metadata| metadata.len());
        let faults = match open::reader(&path) {
            Ok(Some(conn)) => match schema.check(&conn, &path) {
                Ok(_) => faults(&conn).unwrap_or_else(|error| vec![error.to_string()]),
                Err(error) => vec![in_full(&error)],
            },
            Ok(None) => Vec::new(),
            Err(error) => vec![in_full(&error)],
        };
        found.push(Checked { name, bytes, faults });
    }
    Ok(found)
}

fn faults(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pages = conn.prepare(&format!("PRAGMA integrity_check({FAULTS_SHOWN_MAX})"))?;
    for line in pages.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            found.push(line);
        }
    }
    let mut rows = conn.prepare("PRAGMA foreign_key_check")?;
    let missing = rows.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(2)?)))?;
    for missing in missing.take(FAULTS_SHOWN_MAX) {
        let (table, parent) = missing?;
        found.push(format!("a row of `{table}` names one of `{parent}` that is not there"));
    }
    Ok(found)
}

fn in_full(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Copies both databases, each as of one moment, into a folder that this makes. Needs no lock: whoever writes goes on. Blocking.
pub fn backup(data: &Path, into: &Path) -> Result<Vec<Checked>, StoreError> {
    let at = |source| StoreError::File { path: into.to_owned(), source };
    DirBuilder::new().mode(0o700).create(into).map_err(at)?;
    let mut copied = Vec::new();
    for (name, schema) in DATABASES {
        let path = data.join(name);
        if let Some(conn) = open::reader(&path)? {
            schema.check(&conn, &path)?;
            copy(&conn, &into.join(name))?;
        }
    }
    sync(into)?;
    for checked in check(into)? {
        match checked.faults.first() {
            Some(fault) => {
                return Err(StoreError::Damaged { path: into.join(checked.name), fault: fault.clone() });
            }
            None => copied.push(checked),
        }
    }
    Ok(copied)
}

/// The database as it is now, whole and on the disk, for its owner alone.
pub(crate) fn copy(conn: &Connection, into: &Path) -> Result<(), StoreError> {
    let at = |source| StoreError::File { path: into.to_owned(), source };
    let shown = into.to_str().ok_or_else(|| at(io::Error::from(io::ErrorKind::InvalidFilename)))?;
    // Made by hand: SQLite takes an empty file, and would give its own the mode of the umask.
    let file = open::new_private_file(into).map_err(at)?;
    // The copy is another database; this one is opened for reading, and stays as it is.
    conn.pragma_update(None, "query_only", false)?;
    conn.execute("VACUUM INTO ?1", [shown])?;
    file.sync_all().map_err(at)
}

/// Where the last copies lie that were made before a migration.
const BEFORE_MIGRATION: &str = "before-migration";
/// How the names begin of what lies in a data folder and is a copy of something in it.
const COPIES: &str = "before-";

/// `before-migration/VERSION-state.db`: the database as the former version of this program left it. Earlier ones go.
pub(crate) fn before_migration(conn: &Connection, path: &Path, version: u32) -> Result<(), StoreError> {
    let folder = path.with_file_name(BEFORE_MIGRATION);
    remove(&folder)?;
    let at = |source| StoreError::File { path: folder.clone(), source };
    DirBuilder::new().mode(0o700).create(&folder).map_err(at)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    copy(conn, &folder.join(format!("{version}-{name}")))?;
    sync(&folder)
}

/// Removes what was copied within a data folder: what is forgotten is in none of them either.
pub(crate) fn remove_copies(data: &Path) -> Result<(), StoreError> {
    let at = |source| StoreError::File { path: data.to_owned(), source };
    for entry in fs::read_dir(data).map_err(at)? {
        let entry = entry.map_err(at)?;
        if entry.file_name().to_string_lossy().starts_with(COPIES) {
            remove(&entry.path())?;
        }
    }
    sync(data)
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::File { path: folder.to_owned(), source })
}

/// Puts the copies of a folder in place of the databases that there are, which are kept beside them. What waited when they were made
/// may have been done since: it is dead, and a person decides. Blocking.
pub fn restore(lock: &DataLock, from: &Path, at: Timestamp) -> Result<Restored, StoreError> {
    let data = lock.data();
    for checked in check(from)? {
        if let Some(fault) = checked.faults.first() {
            return Err(StoreError::Damaged { path: from.join(checked.name), fault: fault.clone() });
        }
    }
    let state = from.join(STATE_FILE);
    let Some(source) = open::reader(&state)? else {
        return Err(StoreError::NotFound { what: "database", id: state.display().to_string() });
    };
    // Whole, before anything is moved.
    let fresh = data.join("restored");
    remove(&fresh)?;
    DirBuilder::new()
        .mode(0o700)
        .create(&fresh)
        .map_err(|source| StoreError::File { path: fresh.clone(), source })?;
    copy(&source, &fresh.join(STATE_FILE))?;
    if let Some(exchanges) = open::reader(&from.join(EXCHANGES_FILE))? {
        copy(&exchanges, &fresh.join(EXCHANGES_FILE))?;
    }
    let mut restored = Restored::default();
    let path = fresh.join(STATE_FILE);
    let mut conn = open::writer(&path, Durability::Full)?;
    STATE.migrate(&mut conn, &path)?;
    let transaction = conn.transaction()?;
    stop_what_waits(&transaction, &mut restored, at)?;
    transaction.commit().map_err(|error| StoreError::Commit(error.to_string()))?;
    // Its log is in the file: both are moved as one.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    conn.pragma_update(None, "journal_mode", "DELETE")?;
    drop(conn);
    sync(&fresh)?;
    restored.before = keep(data, at)?;
    for (name, _) in DATABASES {
        let (made, place) = (fresh.join(name), data.join(name));
        if made.exists() {
            close_log(&place)?;
            fs::rename(&made, &place).map_err(|source| StoreError::File { path: place, source })?;
        }
    }
    sync(data)?;
    remove(&fresh)?;
    Ok(restored)
}

fn remove(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::File { path: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// A second name for each file that is there, logs too: what is put in their place takes nothing away.
fn keep(data: &Path, at: Timestamp) -> Result<Option<PathBuf>, StoreError> {
    let folder = data.join(format!("{COPIES}restore-{}", at.as_millis()));
    let names = DATABASES.iter().flat_map(|(name, _)| ["", "-wal", "-shm"].map(|end| format!("{name}{end}")));
    let there: Vec<_> = names.filter(|name| data.join(name).exists()).collect();
    if there.is_empty() {
        return Ok(None);
    }
    let at = |source| StoreError::File { path: folder.clone(), source };
    DirBuilder::new().mode(0o700).create(&folder).map_err(at)?;
    for name in there {
        // The log is emptied below: a copy of it is kept.
        match name.ends_with("-wal") {
            true => fs::copy(data.join(&name), folder.join(&name)).map(drop).map_err(at)?,
            false => fs::hard_link(data.join(&name), folder.join(&name)).map_err(at)?,
        }
    }
    sync(&folder)?;
    Ok(Some(folder))
}

/// A log that was left would be read into the next database: it goes into its own, or, where that is damaged, away.
fn close_log(path: &Path) -> Result<(), StoreError> {
    let closed = open::writer(path, Durability::Full).is_ok_and(|conn| {
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).is_ok()
            && conn.pragma_update(None, "journal_mode", "DELETE").is_ok()
    });
    for end in ["-wal", "-shm"] {
        let mut log = path.as_os_str().to_owned();
        log.push(end);
        match fs::remove_file(&log) {
            Err(source) if source.kind() != io::ErrorKind::NotFound && !closed => {
                return Err(StoreError::File { path: PathBuf::from(log), source });
            }
            _ => {}
        }
    }
    Ok(())
}

fn stop_what_waits(conn: &Connection, restored: &mut Restored, at: Timestamp) -> Result<(), StoreError> {
    const WHY: &str = "it waited when the backup was made, and may have been done since";
    let sql = "UPDATE deliveries SET state = 'dead', ended_at = ?1, reason = 'restored', detail = ?2
               WHERE state IN ('queued', 'running')";
    restored.deliveries = conn.execute(sql, params![at.as_millis(), WHY])? as u64;
    conn.execute("UPDATE deliveries_kept SET waiting = 0, waiting_bytes = 0", [])?;
    let mut waiting = conn.prepare("SELECT run_id FROM flow_runs WHERE state IN ('queued', 'running')")?;
    let waiting: Vec<String> = waiting.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for run_id in &waiting {
        conn.execute("UPDATE flow_runs SET state = 'dead' WHERE run_id = ?1", [run_id])?;
        let end = RunEnd {
            outcome: Outcome::Unknown,
            suspicious: false,
            reason: Some("restored".to_owned()),
            error_kind: Some("restored".to_owned()),
            detail: Some(WHY.to_owned()),
            output: None,
            retry_at: None,
            requests: 0,
            delivery: None,
            ended_at: at,
        };
        run::end(conn, run_id, &end)?;
    }
    restored.flow_runs = waiting.len() as u64;
    // Times that came since the backup have come: schedules begin anew.
    conn.execute("DELETE FROM schedules", [])?;
    audit::insert(conn, "store-restored", "state.db", "{}", None, at)
}

#[cfg(test)]
mod tests;
