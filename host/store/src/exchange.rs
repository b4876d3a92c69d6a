//! `exchanges.db`: the record of what left and what was refused. What an exchange is, and who may ask for which.

mod announced;
mod kept;
pub(crate) mod log;
mod rows;

pub use announced::AnnouncementRow;
pub use log::ExchangeLog;

use crate::{StoreError, migrations, open};
use portcullis_clock::Timestamp;
use rusqlite::Connection;
use std::path::Path;

/// One exchange, masked already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRow {
    /// `exch_…`
    pub exchange_id: String,
    /// Run.
    pub run_id: String,
    /// Step.
    pub step: String,
    /// Call.
    pub call: String,
    /// Correlation id.
    pub correlation_id: String,
    /// Connection name.
    pub connection: String,
    /// Connection id.
    pub connection_id: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Microseconds until its end.
    pub duration_us: u64,
    /// 1 = first.
    pub attempt: u32,
    /// As it went out.
    pub method: String,
    /// Masked.
    pub url: String,
    /// `http[0].allow[1]` or empty.
    pub manifest_place: String,
    /// Operator rule's place or empty.
    pub operator_place: String,
    /// Name of the credential that was attached.
    pub credential: Option<String>,
    /// Address dialled.
    pub peer: Option<String>,
    /// `HTTP/1.1`, `HTTP/2`.
    pub protocol: Option<String>,
    /// Idempotency key that was sent.
    pub idempotency_key: Option<String>,
    /// Masked.
    pub request_headers: Vec<(String, String)>,
    /// Captured, masked, shortened.
    pub request_body: Option<String>,
    /// Bytes sent in the body.
    pub request_bytes: u64,
    /// Status where one arrived.
    pub status: Option<u16>,
    /// Masked.
    pub response_headers: Vec<(String, String)>,
    /// Captured, masked, shortened.
    pub response_body: Option<String>,
    /// Decoded bytes received.
    pub response_bytes: u64,
    /// `answered`, `denied`, `failed` or `withheld`.
    pub outcome: String,
    /// Reason of a denial, or the kind of a failure (`timeout`, `connect`, …).
    pub reason: Option<String>,
    /// Detail for the operator.
    pub detail: Option<String>,
    /// TOML to paste, for a denial.
    pub remedy: Option<String>,
    /// Secrets found in the answer and masked.
    pub echoes: u32,
    /// Bodies were captured and thrown away because the log could not keep up. Set by the log alone.
    pub bodies_dropped: bool,
}

/// Which exchanges.
#[derive(Clone, Debug, Default)]
pub struct ExchangeFilter {
    /// One exchange.
    pub exchange_id: Option<String>,
    /// Run.
    pub run_id: Option<String>,
    /// Connection's name.
    pub connection: Option<String>,
    /// Inclusive range of statuses; an exact one is a range of one.
    pub status: Option<(u16, u16)>,
    /// Correlation id.
    pub correlation_id: Option<String>,
    /// `answered`, `denied`, `failed` or `withheld`.
    pub outcome: Option<String>,
    /// Begun at or after.
    pub since: Option<Timestamp>,
    /// Begun before.
    pub until: Option<Timestamp>,
    /// The newest so many, oldest first; 0 = `LIST_ROWS_MAX`.
    pub limit: u32,
}

/// A place in the log: how far a reader that follows it has come. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(i64);

/// The reading side, without a lock, beside a writer or without one. Blocking.
pub struct ExchangeReader {
    conn: Connection,
}

impl ExchangeReader {
    /// None where there is no such database yet.
    pub fn open(data: &Path) -> Result<Option<Self>, StoreError> {
        let path = data.join(EXCHANGES_FILE);
        let Some(conn) = open::reader(&path)? else { return Ok(None) };
        let schema = &migrations::EXCHANGES;
        match schema.check(&conn, &path)? {
            0 => Ok(None),
            found if found < schema.version() => {
                Err(StoreError::Older { path, found, needed: schema.version() })
            }
            _ => Ok(Some(Self { conn })),
        }
    }

    /// In the order in which they ended.
    pub fn exchanges(&self, filter: &ExchangeFilter) -> Result<Vec<ExchangeRow>, StoreError> {
        rows::list(&self.conn, filter)
    }

    /// The same, and the end of the log at that moment.
    pub fn exchanges_and_mark(
        &self,
        filter: &ExchangeFilter,
    ) -> Result<(Vec<ExchangeRow>, Mark), StoreError> {
        let snapshot = self.conn.unchecked_transaction()?;
        Ok((rows::list(&snapshot, filter)?, Mark(rows::newest(&snapshot)?)))
    }

    /// The oldest so many of those that were stored after `after`, in the order in which they ended.
    pub fn exchanges_after(
        &self,
        filter: &ExchangeFilter,
        after: Mark,
    ) -> Result<(Vec<ExchangeRow>, Mark), StoreError> {
        let (rows, mark) = rows::list_after(&self.conn, filter, after.0)?;
        Ok((rows, Mark(mark)))
    }

    /// What was announced to a connection of the end of endpoints; what ends first comes first.
    pub fn announcements(&self, connection_id: &str) -> Result<Vec<AnnouncementRow>, StoreError> {
        announced::of(&self.conn, connection_id)
    }
}

/// The name of the database in the data folder.
pub(crate) const EXCHANGES_FILE: &str = "exchanges.db";
