//! How a database file is made and opened: mode, flags and every pragma that matters, defaults written out.

use crate::{
    StoreError,
    limits::{BUSY_WAIT, UNUSED_BYTES_MAX, WAL_PAGES_MAX},
};
use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig, hooks::Wal};
use std::{
    ffi::{OsStr, c_int},
    fs::OpenOptions,
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

/// How much of a commit is on the disk when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// All of it: `synchronous=FULL`.
    Full,
    /// The last commits may be lost with the power, never torn: `synchronous=NORMAL`.
    Normal,
}

/// Opens for writing; makes the file, readable by its owner alone, where it is missing.
pub(crate) fn writer(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    private_file(path).map_err(|source| StoreError::File { path: path.to_owned(), source })?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).and_then(|conn| {
        harden(&conn)?;
        let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(rusqlite::Error::InvalidParameterName(format!("journal_mode {mode}")));
        }
        let synchronous = if durability == Durability::Full { "FULL" } else { "NORMAL" };
        conn.pragma_update(None, "synchronous", synchronous)?;
        // SQLite would swallow the error of a checkpoint of its own; the writers make theirs, and look at it.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        // A reader that stays open must not let the log grow for ever unseen: back to 64 MiB after a checkpoint.
        conn.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        Ok(conn)
    });
    opened.map_err(|source| StoreError::Open { path: path.to_owned(), source })
}

/// Opens for reading, without a lock, beside a writer or without one; none where there is no such file.
pub(crate) fn reader(path: &Path) -> Result<Option<Connection>, StoreError> {
    match path.metadata() {
        Ok(metadata) if metadata.len() == 0 && !wal_has_bytes(path) => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::File { path: path.to_owned(), source }),
    }
    let opened = match read_only(path.as_os_str(), OpenFlags::empty()) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && !wal_has_bytes(path) => {
            let fixed = immutable(path).map(|uri| read_only(uri.as_ref(), OpenFlags::SQLITE_OPEN_URI));
            fixed.unwrap_or(Err(error))
        }
        opened => opened,
    };
    opened.map(Some).map_err(|source| StoreError::Open { path: path.to_owned(), source })
}

fn read_only(name: &OsStr, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let conn = Connection::open_with_flags(name, flags)?;
    harden(&conn)?;
    conn.pragma_update(None, "query_only", true)?;
    // Opening touches no file of the log; the first query does.
    conn.pragma_query_value(None, "user_version", |_| Ok(()))?;
    Ok(conn)
}

/// For a folder in which a reader can't make the files of the log, and a database whose log is closed: it is read as it lies
/// there. Whoever wrote it would have left the files in place.
fn immutable(path: &Path) -> Option<String> {
    let path = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{path}?immutable=1"))
}

/// Counts the pages of the log, so that its writer knows when to make a checkpoint.
pub(crate) fn count_wal_pages(conn: &mut Connection) -> rusqlite::Result<Arc<AtomicI32>> {
    let counter = Arc::new(AtomicI32::new(0));
    let pages = Arc::clone(&counter);
    conn.wal_hook(Some(move |_: &mut Wal, now: c_int| {
        pages.store(now, Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(counter)
}

/// Moves the log into the database where it has grown to `WAL_PAGES_MAX`. Readers are not waited for.
pub(crate) fn checkpoint(conn: &Connection, pages: &AtomicI32) -> rusqlite::Result<()> {
    if pages.load(Ordering::Relaxed) < WAL_PAGES_MAX {
        return Ok(());
    }
    pages.store(0, Ordering::Relaxed);
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Writes the database anew where more of its pages are unused than used, and they are many: a smaller bound makes a smaller
/// file.
pub(crate) fn compact(conn: &Connection) -> rusqlite::Result<()> {
    let number =
        |pragma: &str| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map(unsigned);
    let (all, unused, size) = (number("page_count")?, number("freelist_count")?, number("page_size")?);
    if unused <= all / 2 || unused.saturating_mul(size) < UNUSED_BYTES_MAX {
        return Ok(());
    }
    vacuum(conn).map(drop)
}

/// Writes the database anew, without what was removed from it, and empties its log. False where a reader still looks at what was: then
/// the old pages stay where they are.
pub(crate) fn vacuum(conn: &Connection) -> rusqlite::Result<bool> {
    conn.execute_batch("VACUUM")?;
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

/// As SQLite stores it; what does not fit is cut to the largest value.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// As we count it; what is negative, which no statement here writes, is zero.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A stored word that this version does not know, as an error of the query that met it.
pub(crate) fn corrupt(column: &'static str, value: &str) -> rusqlite::Error {
    let value = value.chars().take(40).collect();
    let corrupt = Box::new(StoreError::Corrupt { column, value });
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, corrupt)
}

fn harden(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_WAIT)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    // Values may be a person's: they leave no copy in a temporary file.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn wal_has_bytes(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    Path::new(&wal).metadata().is_ok_and(|metadata| metadata.len() > 0)
}

/// An empty file, readable by its owner alone, where there was none.
pub(crate) fn new_private_file(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// SQLite gives its own files beside it the mode of the database.
fn private_file(path: &Path) -> io::Result<()> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}
