//! What can go wrong in the store, as far as a caller treats it differently.

use std::path::PathBuf;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database was written by a newer version of this program.
    #[error("`{}` has schema version {found}, this program knows up to {known}", path.display())]
    Newer {
        /// Which database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The database was written by an older version of this program, and only a writer may migrate it.
    #[error("`{}` has schema version {found}, this program needs {needed}; a `check` or `call` brings it up to date", path.display())]
    Older {
        /// Which database.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        needed: u32,
    },
    /// A database, but not one of ours.
    #[error("`{}` is a database of another program", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// It is not what its pages should hold.
    #[error("`{}` is damaged: {fault}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// The first thing that is wrong.
        fault: String,
    },
    /// Can't be opened as a database.
    #[error("`{}` can't be opened as a database", path.display())]
    Open {
        /// Which database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A file or folder could not be made ready.
    #[error("`{}` can't be prepared", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was to be removed is removed, and lies in the log of the file while somebody reads what was.
    #[error("`{}` is being read: what was removed still lies in its log until the same is said again", path.display())]
    Read {
        /// Which database.
        path: PathBuf,
    },
    /// What was to be removed is removed, and may still lie in unused pages of the file.
    #[error("`{}` can't be written anew; what was removed may still lie in unused pages of it", path.display())]
    Compact {
        /// Which database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A statement failed; its unit was rolled back.
    #[error("the database refused a statement")]
    Sql(#[from] rusqlite::Error),
    /// The group's COMMIT failed: nothing of it is stored.
    #[error("the database could not commit: {0}")]
    Commit(String),
    /// Someone took the data folder over: nothing may be written any more.
    #[error("the data folder was taken over by another process (epoch {found}, ours is {ours})")]
    Fenced {
        /// Epoch in the database.
        found: i64,
        /// The one this writer was given.
        ours: i64,
    },
    /// The writer is gone, or gave this unit up because it panicked.
    #[error("the writer of the database stopped: {0}")]
    Stopped(&'static str),
    /// No such row.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// `run`, `attempt`, …
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The row is there in another state than the caller believes.
    #[error("{what} `{id}` is not in the state that this write needs")]
    Conflict {
        /// `run`, `position`, …
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// A bound of `limits.rs`.
    #[error("{what} is over its bound of {bound}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The bound.
        bound: u64,
    },
    /// A stored value that this program can't read.
    #[error("`{column}` holds the unknown value `{value}`")]
    Corrupt {
        /// Column.
        column: &'static str,
        /// Value, shortened.
        value: String,
    },
}
