//! How much each connection has in the log, and what it loses when that is too much.
//!
//! Caps are on rows and on bytes, for each connection and for all together: one that floods the log pushes out its
//! own history and nobody else's. The counts are a table of the same database, written by the same transactions, so
//! that no row is ever counted by looking at it.

use super::ExchangeRow;
use crate::{
    StoreError,
    limits::{
        EXCHANGE_CONNECTION_ROWS_MAX, EXCHANGE_CONNECTION_SHARE, EXCHANGE_PRUNE_ROWS, EXCHANGE_ROOM_SHARE,
        EXCHANGE_ROWS_MAX,
    },
    open::{self, int, unsigned},
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, params};
use std::{collections::BTreeMap, sync::atomic::AtomicI32};

/// What a row takes beside its texts: numbers, and its entries in the indexes.
const ROW_BYTES: u64 = 256;

/// The bytes of a stored row, as `bytes_of` counts them before it is stored.
const BYTES: &str = "256
    + octet_length(exchange_id) + octet_length(run_id) + octet_length(step) + octet_length(call)
    + octet_length(correlation_id) + octet_length(connection) + octet_length(connection_id) + octet_length(method)
    + octet_length(url) + octet_length(manifest_place) + octet_length(operator_place)
    + coalesce(octet_length(credential), 0) + coalesce(octet_length(peer), 0) + coalesce(octet_length(protocol), 0)
    + coalesce(octet_length(idempotency_key), 0) + octet_length(request_headers)
    + coalesce(octet_length(request_body), 0) + octet_length(response_headers)
    + coalesce(octet_length(response_body), 0) + octet_length(outcome) + coalesce(octet_length(reason), 0)
    + coalesce(octet_length(detail), 0) + coalesce(octet_length(remedy), 0)";

/// The bytes of a row; `headers` are those of both headers' texts.
pub(super) fn bytes_of(row: &ExchangeRow, headers: usize) -> u64 {
    let always = [
        &row.exchange_id,
        &row.run_id,
        &row.step,
        &row.call,
        &row.correlation_id,
        &row.connection,
        &row.connection_id,
        &row.method,
        &row.url,
        &row.manifest_place,
        &row.operator_place,
        &row.outcome,
    ];
    let some = [
        &row.credential,
        &row.peer,
        &row.protocol,
        &row.idempotency_key,
        &row.request_body,
        &row.response_body,
        &row.reason,
        &row.detail,
        &row.remedy,
    ];
    let texts = always.iter().map(|text| text.len()).sum::<usize>()
        + some.iter().filter_map(|text| text.as_ref()).map(String::len).sum::<usize>();
    ROW_BYTES + (texts + headers) as u64
}

/// Rows and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn less(self, other: Self) -> Self {
        Self { rows: self.rows.saturating_sub(other.rows), bytes: self.bytes.saturating_sub(other.bytes) }
    }

    fn is_none(self) -> bool {
        self == Self::default()
    }

    fn covers(self, other: Self) -> bool {
        self.rows >= other.rows && self.bytes >= other.bytes
    }

    /// What is pruned down to: with room, so that not each further row has to remove one.
    fn with_room(self) -> Self {
        self.less(Self { rows: self.rows / EXCHANGE_ROOM_SHARE, bytes: self.bytes / EXCHANGE_ROOM_SHARE })
    }
}

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    pub(super) each: Amount,
    pub(super) all: Amount,
}

impl Caps {
    /// So many bytes of all, and the rows of `limits.rs`.
    pub(super) fn of(bytes: u64) -> Self {
        Self {
            each: Amount { rows: EXCHANGE_CONNECTION_ROWS_MAX, bytes: bytes / EXCHANGE_CONNECTION_SHARE },
            all: Amount { rows: EXCHANGE_ROWS_MAX, bytes },
        }
    }
}

/// How far the oldest rows of a connection go.
#[derive(Clone, Copy)]
enum Until {
    /// So much is freed.
    Freed(Amount),
    /// The first that began at this moment or after.
    Begun(Timestamp),
}

/// The counts, in memory as in the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept(BTreeMap<String, Amount>);

impl Kept {
    pub(super) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut statement = conn.prepare("SELECT connection_id, row_count, bytes FROM kept")?;
        let amount = |row: &rusqlite::Row<'_>| {
            let amount = Amount { rows: unsigned(row.get(1)?), bytes: unsigned(row.get(2)?) };
            Ok((row.get(0)?, amount))
        };
        Ok(Self(statement.query_map([], amount)?.collect::<Result<_, _>>()?))
    }

    /// Writes what a transaction adds, inside it.
    pub(super) fn write(conn: &Connection, added: &BTreeMap<&str, Amount>) -> Result<(), StoreError> {
        let mut statement = conn.prepare_cached(
            "INSERT INTO kept (connection_id, row_count, bytes) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET row_count = row_count + excluded.row_count, bytes = bytes + excluded.bytes",
        )?;
        for (connection_id, amount) in added {
            statement.execute(params![connection_id, int(amount.rows), int(amount.bytes)])?;
        }
        Ok(())
    }

    /// The same in memory, once it is committed.
    pub(super) fn committed(&mut self, added: BTreeMap<&str, Amount>) {
        for (connection_id, amount) in added {
            match self.0.get_mut(connection_id) {
                Some(known) => known.add(amount),
                None => drop(self.0.insert(connection_id.to_owned(), amount)),
            }
        }
    }

    /// Removes the oldest rows of each connection that has more than its own cap; then, where all together have too
    /// much, the oldest of whichever has most of what there is too much of.
    pub(super) fn prune(
        &mut self,
        conn: &Connection,
        pages: &AtomicI32,
        caps: Caps,
    ) -> Result<(), StoreError> {
        let over = |amount: &Amount| !caps.each.covers(*amount);
        let crowded: Vec<String> =
            self.0.iter().filter(|(_, amount)| over(amount)).map(|(id, _)| id.clone()).collect();
        for id in crowded {
            while let Some(amount) = self.0.get(&id) {
                let excess = amount.less(caps.each.with_room());
                if excess.is_none() {
                    break;
                }
                self.remove_oldest(conn, pages, &id, Until::Freed(excess))?;
            }
        }
        self.trim(conn, pages, caps.all.bytes, |amount| amount.bytes, |bytes| Amount { rows: 0, bytes })?;
        self.trim(conn, pages, caps.all.rows, |amount| amount.rows, |rows| Amount { rows, bytes: 0 })
    }

    /// By one measure: what all have beyond `cap` is taken from the largest, and so on.
    fn trim(
        &mut self,
        conn: &Connection,
        pages: &AtomicI32,
        cap: u64,
        of: fn(&Amount) -> u64,
        excess: fn(u64) -> Amount,
    ) -> Result<(), StoreError> {
        let all = |kept: &Self| kept.0.values().map(of).fold(0, u64::saturating_add);
        if all(self) <= cap {
            return Ok(());
        }
        let goal = cap - cap / EXCHANGE_ROOM_SHARE;
        loop {
            let beyond = all(self).saturating_sub(goal);
            let largest = self.0.iter().max_by_key(|(_, amount)| of(amount)).map(|(id, _)| id.clone());
            match largest.filter(|_| beyond > 0) {
                Some(id) => drop(self.remove_oldest(conn, pages, &id, Until::Freed(excess(beyond)))?),
                None => return Ok(()),
            }
        }
    }

    /// Removes what began before `before`. Rows lie in the order in which they ended: one that took long may go a little
    /// later than its age says.
    pub(super) fn expire(
        &mut self,
        conn: &Connection,
        pages: &AtomicI32,
        before: Timestamp,
    ) -> Result<(), StoreError> {
        let connections: Vec<String> = self.0.keys().cloned().collect();
        for id in connections {
            while self.remove_oldest(conn, pages, &id, Until::Begun(before))? == EXCHANGE_PRUNE_ROWS {}
        }
        Ok(())
    }

    /// At most `EXCHANGE_PRUNE_ROWS` rows of one connection, in a transaction of its own: the log goes on between two.
    /// How many there were.
    fn remove_oldest(
        &mut self,
        conn: &Connection,
        pages: &AtomicI32,
        id: &str,
        until: Until,
    ) -> Result<u64, StoreError> {
        let transaction = conn.unchecked_transaction()?;
        let (mut freed, mut last) = (Amount::default(), None);
        {
            let sql = format!(
                "SELECT seq, {BYTES}, started_at FROM exchanges INDEXED BY exchanges_connection WHERE connection_id = ?1
                 ORDER BY seq LIMIT ?2"
            );
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query(params![id, int(EXCHANGE_PRUNE_ROWS)])?;
            while let Some(row) = rows.next()? {
                if let Until::Begun(before) = until
                    && row.get::<_, i64>(2)? >= before.as_millis()
                {
                    break;
                }
                last = Some(row.get::<_, i64>(0)?);
                freed.add(Amount { rows: 1, bytes: unsigned(row.get(1)?) });
                if matches!(until, Until::Freed(excess) if freed.covers(excess)) {
                    break;
                }
            }
        }
        if last.is_none() && matches!(until, Until::Begun(_)) {
            return Ok(0);
        }
        let sql =
            "DELETE FROM exchanges INDEXED BY exchanges_connection WHERE connection_id = ?1 AND seq <= ?2";
        conn.prepare_cached(sql)?.execute(params![id, last])?;
        let left = self.0.get(id).copied().unwrap_or_default().less(freed);
        // Without rows there is nothing to count, whatever the count said.
        let left = Some(left).filter(|left| last.is_some() && left.rows > 0);
        match left {
            Some(left) => {
                let sql = "UPDATE kept SET row_count = ?2, bytes = ?3 WHERE connection_id = ?1";
                conn.prepare_cached(sql)?.execute(params![id, int(left.rows), int(left.bytes)])?;
            }
            None => {
                conn.prepare_cached("DELETE FROM kept WHERE connection_id = ?1")?.execute([id])?;
            }
        }
        transaction.commit().map_err(|error| StoreError::Commit(error.to_string()))?;
        match left {
            Some(left) => drop(self.0.insert(id.to_owned(), left)),
            None => drop(self.0.remove(id)),
        }
        open::checkpoint(conn, pages)?;
        Ok(freed.rows)
    }
}

#[cfg(test)]
mod tests;
