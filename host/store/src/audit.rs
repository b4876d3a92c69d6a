//! Audit rows: who used which secret where, who approved and revoked what.

use crate::{
    StoreError,
    limits::LIST_ROWS_MAX,
    open::{int, unsigned},
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, Row, params};

/// One audit row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Grows.
    pub audit_id: i64,
    /// `secret-use`, `approve`, `revoke`, …
    pub kind: String,
    /// What it is about: a run, a connection, a digest.
    pub subject: String,
    /// JSON.
    pub detail: String,
    /// `secret-use`: how many requests used it, known when the run ended.
    pub requests: Option<u64>,
    /// When.
    pub at: Timestamp,
}

/// Which audit rows.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Kind.
    pub kind: Option<String>,
    /// Subject.
    pub subject: Option<String>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// At most; 0 = `LIST_ROWS_MAX`.
    pub limit: u32,
}

/// Writes one row; of those with the same `once` only the first.
pub(crate) fn insert(
    conn: &Connection,
    kind: &str,
    subject: &str,
    detail: &str,
    once: Option<&str>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit (kind, subject, detail, once, at) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (once) DO NOTHING";
    conn.prepare_cached(sql)?.execute(params![kind, subject, detail, once, at.as_millis()])?;
    Ok(())
}

/// How many requests used the secret of the row `once`.
pub(crate) fn count(conn: &Connection, once: &str, requests: u64) -> Result<(), StoreError> {
    let sql = "UPDATE audit SET requests = ?2 WHERE once = ?1";
    conn.prepare_cached(sql)?.execute(params![once, int(requests)])?;
    Ok(())
}

pub(crate) fn list(conn: &Connection, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
    let limit = if filter.limit == 0 { LIST_ROWS_MAX } else { filter.limit.min(LIST_ROWS_MAX) };
    let sql = "SELECT audit_id, kind, subject, detail, requests, at FROM audit
               WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR subject = ?2) AND (?3 IS NULL OR at >= ?3)
               ORDER BY audit_id DESC LIMIT ?4";
    let since = filter.since.map(Timestamp::as_millis);
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![filter.kind, filter.subject, since, limit], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        audit_id: row.get(0)?,
        kind: row.get(1)?,
        subject: row.get(2)?,
        detail: row.get(3)?,
        requests: row.get::<_, Option<i64>>(4)?.map(unsigned),
        at: Timestamp::from_millis(row.get(5)?),
    })
}
