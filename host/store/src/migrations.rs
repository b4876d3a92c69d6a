//! The schema of both databases, step by step, forward only. A step that was released is never edited.

use crate::{StoreError, backup};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// A database of ours: its mark, and the statements that take it from one version to the next.
pub(crate) struct Schema {
    /// `application_id`: tells our file from another program's.
    application: i32,
    /// Whether it is copied before it is changed: what nothing else remembers.
    copied: bool,
    steps: &'static [&'static str],
}

/// `state.db`
pub(crate) const STATE: Schema = Schema {
    application: 0x5043_5331,
    copied: true,
    steps: &[
        include_str!("migrations/state_1.sql"),
        include_str!("migrations/state_2.sql"),
        include_str!("migrations/state_3.sql"),
        include_str!("migrations/state_4.sql"),
        include_str!("migrations/state_5.sql"),
        include_str!("migrations/state_6.sql"),
        include_str!("migrations/state_7.sql"),
        include_str!("migrations/state_8.sql"),
        include_str!("migrations/state_9.sql"),
    ],
};
/// `exchanges.db`
pub(crate) const EXCHANGES: Schema = Schema {
    application: 0x5043_4531,
    copied: false,
    steps: &[
        include_str!("migrations/exchanges_1.sql"),
        include_str!("migrations/exchanges_2.sql"),
        include_str!("migrations/exchanges_3.sql"),
        include_str!("migrations/exchanges_4.sql"),
    ],
};

impl Schema {
    /// The version that this program writes.
    pub(crate) fn version(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// Brings the database to our version, each step in a transaction of its own, or refuses it.
    pub(crate) fn migrate(&self, conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
        let found = self.check(conn, path)?;
        if self.copied && found > 0 && found < self.version() {
            backup::before_migration(conn, path, found)?;
        }
        for (version, step) in (1_u32..).zip(self.steps).skip(found as usize) {
            let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "application_id", self.application)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit().map_err(|error| StoreError::Commit(error.to_string()))?;
        }
        Ok(())
    }

    /// The version found; an error where it is newer than ours or not of this program.
    pub(crate) fn check(&self, conn: &Connection, path: &Path) -> Result<u32, StoreError> {
        let open = |source| StoreError::Open { path: path.to_owned(), source };
        let application: i32 =
            conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(open)?;
        let found: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(open)?;
        let tables: i64 =
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(open)?;
        if application != self.application && (application != 0 || found != 0 || tables != 0) {
            return Err(StoreError::Foreign { path: path.to_owned() });
        }
        if found > self.version() {
            return Err(StoreError::Newer { path: path.to_owned(), found, known: self.version() });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
