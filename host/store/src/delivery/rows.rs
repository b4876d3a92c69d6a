//! Deliveries as rows: every statement that reads or lists them.

use super::{DeliveryState, NewDelivery};
use crate::{
    StoreError,
    limits::LIST_ROWS_MAX,
    open::{corrupt, unsigned},
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

/// One delivery in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySummary {
    /// `dlv_…`
    pub delivery_id: String,
    /// Its route.
    pub route: String,
    /// Its connection.
    pub connection: String,
    /// When it came.
    pub received_at: Timestamp,
    /// Who sent it.
    pub peer: String,
    /// Where it is.
    pub state: DeliveryState,
    /// When it may be handed over again, where it waits.
    pub due_at: Option<Timestamp>,
    /// Runs of it since it was accepted, or replayed.
    pub runs: u32,
    /// The last one.
    pub run_id: Option<String>,
    /// Short word of the last one.
    pub reason: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// What it takes in the store.
    pub bytes: u64,
    /// Events that the connector read in it.
    pub events: u64,
}

/// One delivery, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Where it is.
    pub summary: DeliverySummary,
    /// As it came.
    pub delivery: NewDelivery,
    /// In order.
    pub events: Vec<EventRow>,
}

/// An event of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its name.
    pub name: String,
    /// The vendor's id.
    pub event_id: Option<String>,
    /// JSON text; `null` for a duplicate.
    pub payload: String,
    /// The delivery that brought it before.
    pub duplicate_of: Option<String>,
}

/// Which deliveries.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Route.
    pub route: Option<String>,
    /// Connection.
    pub connection: Option<String>,
    /// State.
    pub state: Option<DeliveryState>,
    /// Received at or after.
    pub since: Option<Timestamp>,
    /// Received before.
    pub until: Option<Timestamp>,
    /// At most; 0 = `LIST_ROWS_MAX`.
    pub limit: u32,
}

/// Those of a connection that wait and are due: who waits for longest comes first.
pub(crate) fn due(
    conn: &Connection,
    connection: &str,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT delivery_id FROM deliveries
               WHERE state = 'queued' AND connection = ?1 AND due_at <= ?2 ORDER BY due_at, seq LIMIT ?3";
    let mut statement = conn.prepare_cached(sql)?;
    let values = params![connection, now.as_millis(), limit.min(LIST_ROWS_MAX)];
    let rows = statement.query_map(values, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When a connection's next one is due.
pub(crate) fn next_due(conn: &Connection, connection: &str) -> Result<Option<Timestamp>, StoreError> {
    let sql =
        "SELECT due_at FROM deliveries WHERE state = 'queued' AND connection = ?1 ORDER BY due_at LIMIT 1";
    let found: Option<i64> =
        conn.prepare_cached(sql)?.query_row([connection], |row| row.get(0)).optional()?;
    Ok(found.map(Timestamp::from_millis))
}

const SUMMARY: &str =
    "delivery_id, route, connection, received_at, peer, state, due_at, runs, run_id, reason, detail,
    ended_at, bytes, (SELECT count(*) FROM events WHERE events.delivery_id = deliveries.delivery_id)";

/// Newest first.
pub(crate) fn list(conn: &Connection, filter: &DeliveryFilter) -> Result<Vec<DeliverySummary>, StoreError> {
    let limit = if filter.limit == 0 { LIST_ROWS_MAX } else { filter.limit.min(LIST_ROWS_MAX) };
    let sql = format!(
        "SELECT {SUMMARY} FROM deliveries
         WHERE (?1 IS NULL OR route = ?1) AND (?2 IS NULL OR connection = ?2) AND (?3 IS NULL OR state = ?3)
           AND (?4 IS NULL OR received_at >= ?4) AND (?5 IS NULL OR received_at < ?5)
         ORDER BY seq DESC LIMIT ?6"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let values = params![
        filter.route,
        filter.connection,
        filter.state.map(DeliveryState::as_str),
        filter.since.map(Timestamp::as_millis),
        filter.until.map(Timestamp::as_millis),
        limit
    ];
    let rows = statement.query_map(values, summary)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One, whole.
pub(crate) fn one(conn: &Connection, delivery_id: &str) -> Result<Option<DeliveryRow>, StoreError> {
    let snapshot = conn.unchecked_transaction()?;
    let sql = format!(
        "SELECT {SUMMARY}, method, path, query, headers, body FROM deliveries WHERE delivery_id = ?1"
    );
    let found = snapshot
        .prepare_cached(&sql)?
        .query_row([delivery_id], |row| {
            let summary = summary(row)?;
            let delivery = NewDelivery {
                delivery_id: summary.delivery_id.clone(),
                route: summary.route.clone(),
                connection: summary.connection.clone(),
                received_at: summary.received_at,
                peer: summary.peer.clone(),
                method: row.get(14)?,
                path: row.get(15)?,
                query: row.get(16)?,
                headers: headers(&row.get::<_, String>(17)?)?,
                body: row.get(18)?,
            };
            Ok((summary, delivery))
        })
        .optional()?;
    let Some((summary, delivery)) = found else { return Ok(None) };
    let sql =
        "SELECT name, event_id, payload, duplicate_of FROM events WHERE delivery_id = ?1 ORDER BY ordinal";
    let mut statement = snapshot.prepare_cached(sql)?;
    let events = statement.query_map([delivery_id], |row| {
        Ok(EventRow {
            name: row.get(0)?,
            event_id: row.get(1)?,
            payload: row.get(2)?,
            duplicate_of: row.get(3)?,
        })
    })?;
    let events = events.collect::<Result<_, _>>()?;
    Ok(Some(DeliveryRow { summary, delivery, events }))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<DeliverySummary> {
    let word: String = row.get(5)?;
    let state = DeliveryState::parse(&word).ok_or_else(|| corrupt("deliveries.state", &word))?;
    let due_at = Timestamp::from_millis(row.get(6)?);
    Ok(DeliverySummary {
        delivery_id: row.get(0)?,
        route: row.get(1)?,
        connection: row.get(2)?,
        received_at: Timestamp::from_millis(row.get(3)?),
        peer: row.get(4)?,
        state,
        due_at: (state == DeliveryState::Queued).then_some(due_at),
        runs: row.get(7)?,
        run_id: row.get(8)?,
        reason: row.get(9)?,
        detail: row.get(10)?,
        ended_at: row.get::<_, Option<i64>>(11)?.map(Timestamp::from_millis),
        bytes: unsigned(row.get(12)?),
        events: unsigned(row.get(13)?),
    })
}

/// As they are stored: a value that is no text as numbers.
pub(super) fn headers_text(headers: &[(String, Vec<u8>)]) -> String {
    let header = |(name, value): &(String, Vec<u8>)| match std::str::from_utf8(value) {
        Ok(text) => json!([name, text]),
        Err(_) => json!([name, value]),
    };
    Value::Array(headers.iter().map(header).collect()).to_string()
}

fn headers(text: &str) -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Text(String),
        Bytes(Vec<u8>),
    }
    let read: Result<Vec<(String, Stored)>, _> = serde_json::from_str(text);
    let bytes = |stored| match stored {
        Stored::Text(text) => String::into_bytes(text),
        Stored::Bytes(bytes) => bytes,
    };
    let headers = read.map_err(|_| corrupt("deliveries.headers", text))?;
    Ok(headers.into_iter().map(|(name, value)| (name, bytes(value))).collect())
}
