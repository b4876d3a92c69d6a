//! Exchanges as rows.

use super::{ExchangeFilter, ExchangeRow, kept};
use crate::{
    StoreError,
    limits::LIST_ROWS_MAX,
    open::{corrupt, int, unsigned},
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, Row, ToSql, params};
use std::sync::LazyLock;

type Headers = Vec<(String, String)>;

const COLUMNS: &str = "exchange_id, run_id, step, call, correlation_id, connection, connection_id, started_at,
    duration_us, attempt, method, url, manifest_place, operator_place, credential, peer, protocol, idempotency_key,
    request_headers, request_body, request_bytes, status, response_headers, response_body, response_bytes, outcome,
    reason, detail, remedy, echoes, bodies_dropped";

static INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO exchanges (seq, {COLUMNS}) VALUES (
         1 + max((SELECT seq FROM last_row), (SELECT coalesce(max(seq), 0) FROM exchanges)), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
         ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31)"
    )
});

/// Stores one and says how many bytes it takes.
pub(super) fn insert(conn: &Connection, row: &ExchangeRow) -> Result<u64, StoreError> {
    let (request_headers, response_headers) = (json(&row.request_headers)?, json(&row.response_headers)?);
    conn.prepare_cached(&INSERT)?.execute(params![
        row.exchange_id,
        row.run_id,
        row.step,
        row.call,
        row.correlation_id,
        row.connection,
        row.connection_id,
        row.started_at.as_millis(),
        int(row.duration_us),
        row.attempt,
        row.method,
        row.url,
        row.manifest_place,
        row.operator_place,
        row.credential,
        row.peer,
        row.protocol,
        row.idempotency_key,
        request_headers,
        row.request_body,
        int(row.request_bytes),
        row.status,
        response_headers,
        row.response_body,
        int(row.response_bytes),
        row.outcome,
        row.reason,
        row.detail,
        row.remedy,
        row.echoes,
        row.bodies_dropped
    ])?;
    Ok(kept::bytes_of(row, request_headers.len() + response_headers.len()))
}

/// The newest, oldest first.
pub(super) fn list(conn: &Connection, filter: &ExchangeFilter) -> Result<Vec<ExchangeRow>, StoreError> {
    let mut rows = select(conn, filter, None)?;
    rows.reverse();
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The oldest of those after `after`, and the place up to which the log was searched.
pub(super) fn list_after(
    conn: &Connection,
    filter: &ExchangeFilter,
    after: i64,
) -> Result<(Vec<ExchangeRow>, i64), StoreError> {
    // One moment for both statements, beside a writer that goes on.
    let snapshot = conn.unchecked_transaction()?;
    let newest = newest(&snapshot)?;
    // Where all that was seen has been removed, numbers begin again below it.
    let rows = select(&snapshot, filter, Some(after.min(newest)))?;
    let whole = rows.len() < limit(filter) as usize;
    let mark = if whole { newest } else { rows.last().map_or(newest, |(seq, _)| *seq) };
    Ok((rows.into_iter().map(|(_, row)| row).collect(), mark))
}

/// The number of the newest row; 0 where there is none.
pub(super) fn newest(conn: &Connection) -> Result<i64, StoreError> {
    Ok(conn.prepare_cached("SELECT coalesce(max(seq), 0) FROM exchanges")?.query_row([], |row| row.get(0))?)
}

fn limit(filter: &ExchangeFilter) -> u32 {
    if filter.limit == 0 { LIST_ROWS_MAX } else { filter.limit.min(LIST_ROWS_MAX) }
}

/// The newest first; those after `after` in their order.
fn select(
    conn: &Connection,
    filter: &ExchangeFilter,
    after: Option<i64>,
) -> Result<Vec<(i64, ExchangeRow)>, StoreError> {
    let limit = limit(filter);
    let (from, to) = filter.status.unzip();
    let (since, until) = (filter.since.map(Timestamp::as_millis), filter.until.map(Timestamp::as_millis));
    // Only what was asked for is in the statement: an index serves no condition that may be absent.
    let conditions: [(&str, &dyn ToSql, bool); 10] = [
        ("seq > ?", &after, after.is_some()),
        ("exchange_id = ?", &filter.exchange_id, filter.exchange_id.is_some()),
        ("run_id = ?", &filter.run_id, filter.run_id.is_some()),
        ("correlation_id = ?", &filter.correlation_id, filter.correlation_id.is_some()),
        ("connection = ?", &filter.connection, filter.connection.is_some()),
        ("status >= ?", &from, from.is_some()),
        ("status <= ?", &to, to.is_some()),
        ("outcome = ?", &filter.outcome, filter.outcome.is_some()),
        ("started_at >= ?", &since, since.is_some()),
        ("started_at < ?", &until, until.is_some()),
    ];
    let mut sql = format!("SELECT {COLUMNS}, seq FROM exchanges WHERE 1");
    let mut values: Vec<&dyn ToSql> = Vec::new();
    for (condition, value, _) in conditions.into_iter().filter(|(_, _, asked)| *asked) {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    }
    sql.push_str(if after.is_some() { " ORDER BY seq LIMIT ?" } else { " ORDER BY seq DESC LIMIT ?" });
    values.push(&limit);
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(values.as_slice(), |found| Ok((found.get(31)?, row(found)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn row(row: &Row<'_>) -> rusqlite::Result<ExchangeRow> {
    Ok(ExchangeRow {
        exchange_id: row.get(0)?,
        run_id: row.get(1)?,
        step: row.get(2)?,
        call: row.get(3)?,
        correlation_id: row.get(4)?,
        connection: row.get(5)?,
        connection_id: row.get(6)?,
        started_at: Timestamp::from_millis(row.get(7)?),
        duration_us: unsigned(row.get(8)?),
        attempt: row.get(9)?,
        method: row.get(10)?,
        url: row.get(11)?,
        manifest_place: row.get(12)?,
        operator_place: row.get(13)?,
        credential: row.get(14)?,
        peer: row.get(15)?,
        protocol: row.get(16)?,
        idempotency_key: row.get(17)?,
        request_headers: headers(row, 18)?,
        request_body: row.get(19)?,
        request_bytes: unsigned(row.get(20)?),
        status: row.get(21)?,
        response_headers: headers(row, 22)?,
        response_body: row.get(23)?,
        response_bytes: unsigned(row.get(24)?),
        outcome: row.get(25)?,
        reason: row.get(26)?,
        detail: row.get(27)?,
        remedy: row.get(28)?,
        echoes: row.get(29)?,
        bodies_dropped: row.get(30)?,
    })
}

fn json(headers: &Headers) -> Result<String, StoreError> {
    serde_json::to_string(headers).map_err(|_| StoreError::Commit("headers can't be written".to_owned()))
}

fn headers(row: &Row<'_>, column: usize) -> rusqlite::Result<Headers> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| corrupt("headers", &text))
}
