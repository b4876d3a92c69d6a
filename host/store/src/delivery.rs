//! What vendors delivered: stored before it is acknowledged, handed over in runs, and done, or dead, in the transaction that
//! ends its run. Verifies nothing and decides nothing.

pub(crate) mod kept;
pub(crate) mod rows;

use crate::{
    NewAttempt, NewFlowRun, NewRun, StoreError, flow,
    limits::{EVENT_PAYLOAD_BYTES_MAX, EVENTS_MAX, INTERRUPTED_RUNS_MAX},
    open::{int, unsigned},
    run,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// A delivery whose signature fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// `dlv_…`
    pub delivery_id: String,
    /// The route that it came by.
    pub route: String,
    /// The connection that it is for.
    pub connection: String,
    /// When.
    pub received_at: Timestamp,
    /// Who sent it: the peer's address, or what a trusted proxy says of it.
    pub peer: String,
    /// As sent.
    pub method: String,
    /// As sent.
    pub path: String,
    /// As sent, without its `?`.
    pub query: String,
    /// Lower-case names; no secret among them.
    pub headers: Vec<(String, Vec<u8>)>,
    /// As sent.
    pub body: Vec<u8>,
}

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries.
    pub deliveries_max: u64,
    /// Their bytes.
    pub bytes_max: u64,
}

/// What became of a new delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored.
    Stored,
    /// As much waits as may: it is not.
    Full,
}

/// Where a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// It waits for a run.
    Queued,
    /// A run has it.
    Running,
    /// The connector read it.
    Done,
    /// No run of it ended well, and there will be no other one by itself.
    Dead,
    /// A person gave it up.
    Discarded,
}

/// What the connector read in a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Its name.
    pub name: String,
    /// The vendor's id of it.
    pub event_id: Option<String>,
    /// JSON text.
    pub payload: String,
    /// Runs of flows that it begins, unless it came before.
    pub starts: Vec<NewFlowRun>,
}

/// How a run of a delivery left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryEnd {
    /// Which.
    pub delivery_id: String,
    /// What it is now.
    pub fate: Fate,
}

/// What a delivery is after a run of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The connector read it. Of events that the route has seen, and whose time to be forgotten has not come, only that they
    /// came is kept.
    Done {
        /// In order.
        events: Vec<NewEvent>,
        /// Until when the same event is a duplicate.
        forget_at: Timestamp,
    },
    /// It is tried again.
    Again {
        /// Not before.
        due_at: Timestamp,
    },
    /// A person decides.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Dead, Self::Discarded];

    /// Lower-case word, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }

    /// The word's state.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Stores it, where there is room among those that wait.
pub(crate) fn accept(
    conn: &Connection,
    delivery: &NewDelivery,
    room: Backlog,
) -> Result<Accepted, StoreError> {
    let headers = rows::headers_text(&delivery.headers);
    let texts = [
        &delivery.delivery_id,
        &delivery.route,
        &delivery.connection,
        &delivery.peer,
        &delivery.method,
        &delivery.path,
        &delivery.query,
        &headers,
    ];
    let bytes = texts.iter().map(|text| text.len()).sum::<usize>() + delivery.body.len() + 512;
    let bytes = bytes as u64;
    let (waiting, waiting_bytes) = kept::waiting(conn)?;
    if waiting >= room.deliveries_max || waiting_bytes.saturating_add(bytes) > room.bytes_max {
        return Ok(Accepted::Full);
    }
    let sql = "INSERT INTO deliveries (delivery_id, route, connection, received_at, peer, method, path, query, headers,
                                       body, bytes, state, due_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'queued', ?4)";
    conn.prepare_cached(sql)?.execute(params![
        delivery.delivery_id,
        delivery.route,
        delivery.connection,
        delivery.received_at.as_millis(),
        delivery.peer,
        delivery.method,
        delivery.path,
        delivery.query,
        headers,
        delivery.body,
        int(bytes)
    ])?;
    kept::more(conn, bytes)?;
    Ok(Accepted::Stored)
}

/// Begins a run of a delivery that waits and is due; one that another run has, or that is over, has none.
pub(crate) fn begin(
    conn: &Connection,
    delivery_id: &str,
    new: &NewRun,
    first: &NewAttempt,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE deliveries SET state = 'running', runs = runs + 1, run_id = ?2, reason = NULL, detail = NULL
               WHERE delivery_id = ?1 AND state = 'queued' AND due_at <= ?3";
    let values = params![delivery_id, new.run_id, new.started_at.as_millis()];
    match conn.prepare_cached(sql)?.execute(values)? {
        1 => run::begin(conn, new, first),
        _ => Err(StoreError::Conflict { what: "delivery", id: delivery_id.to_owned() }),
    }
}

/// Ends what a run had of a delivery, as a part of the run's end.
pub(crate) fn settle(
    conn: &Connection,
    run_id: &str,
    end: &DeliveryEnd,
    why: (Option<&str>, Option<&str>),
    at: Timestamp,
) -> Result<(), StoreError> {
    let (state, due_at, over) = match &end.fate {
        Fate::Done { .. } => (DeliveryState::Done, None, true),
        Fate::Again { due_at } => (DeliveryState::Queued, Some(due_at.as_millis()), false),
        Fate::Dead => (DeliveryState::Dead, None, true),
    };
    let sql = "UPDATE deliveries SET state = ?3, due_at = coalesce(?4, due_at), ended_at = ?5, reason = ?6, detail = ?7
               WHERE delivery_id = ?1 AND run_id = ?2 AND state = 'running' RETURNING bytes, route";
    let values = params![
        end.delivery_id,
        run_id,
        state.as_str(),
        due_at,
        over.then_some(at.as_millis()),
        why.0,
        why.1
    ];
    let found = conn
        .prepare_cached(sql)?
        .query_row(values, |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    let Some((bytes, route)) = found else {
        return Err(StoreError::Conflict { what: "delivery", id: end.delivery_id.clone() });
    };
    if over {
        kept::over(conn, unsigned(bytes))?;
    }
    match &end.fate {
        Fate::Done { events, forget_at } => {
            store_events(conn, &end.delivery_id, &route, events, *forget_at, at)
        }
        Fate::Again { .. } | Fate::Dead => Ok(()),
    }
}

fn store_events(
    conn: &Connection,
    delivery_id: &str,
    route: &str,
    events: &[NewEvent],
    forget_at: Timestamp,
    at: Timestamp,
) -> Result<(), StoreError> {
    if events.len() > EVENTS_MAX {
        return Err(StoreError::TooLarge { what: "the events of a delivery", bound: EVENTS_MAX as u64 });
    }
    let mut bytes = 0;
    for (ordinal, event) in (0_u32..).zip(events) {
        if event.payload.len() > EVENT_PAYLOAD_BYTES_MAX {
            let bound = EVENT_PAYLOAD_BYTES_MAX as u64;
            return Err(StoreError::TooLarge { what: "the payload of an event", bound });
        }
        let first = match &event.event_id {
            Some(id) => first_to_bring(conn, route, id, delivery_id, forget_at, at)?,
            None => None,
        };
        if first.is_none() {
            event.starts.iter().try_for_each(|start| flow::begin(conn, start))?;
        }
        let payload = if first.is_some() { "null" } else { &event.payload };
        let sql = "INSERT INTO events (delivery_id, ordinal, name, event_id, payload, duplicate_of)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        conn.prepare_cached(sql)?.execute(params![
            delivery_id,
            ordinal,
            event.name,
            event.event_id,
            payload,
            first
        ])?;
        bytes += 256 + payload.len() + event.name.len();
    }
    kept::grow(conn, delivery_id, bytes as u64)
}

/// The delivery that brought this event before; none where this one is the first, which is remembered.
fn first_to_bring(
    conn: &Connection,
    route: &str,
    event_id: &str,
    delivery_id: &str,
    forget_at: Timestamp,
    at: Timestamp,
) -> Result<Option<String>, StoreError> {
    let sql = "INSERT INTO event_ids (route, event_id, delivery_id, forget_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (route, event_id) DO UPDATE SET delivery_id = excluded.delivery_id,
                   forget_at = excluded.forget_at WHERE event_ids.forget_at <= ?5";
    let values = params![route, event_id, delivery_id, forget_at.as_millis(), at.as_millis()];
    if conn.prepare_cached(sql)?.execute(values)? == 1 {
        return Ok(None);
    }
    let sql = "SELECT delivery_id FROM event_ids WHERE route = ?1 AND event_id = ?2";
    Ok(Some(conn.prepare_cached(sql)?.query_row([route, event_id], |row| row.get(0))?))
}

/// What was left with a run that nobody has any more: it waits again where the run can't have done anything, and is dead where it
/// may have, or where so many runs ended like that that the delivery is likely why.
pub(crate) fn release(
    conn: &Connection,
    run_id: &str,
    doubt: Option<&str>,
    because: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "SELECT delivery_id, runs FROM deliveries WHERE run_id = ?1 AND state = 'running'";
    let found: Option<(String, u32)> =
        conn.prepare_cached(sql)?.query_row([run_id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((delivery_id, runs)) = found else { return Ok(()) };
    let is_dead = doubt.is_some() || runs >= INTERRUPTED_RUNS_MAX;
    let fate = if is_dead { Fate::Dead } else { Fate::Again { due_at: now } };
    let reason = doubt.unwrap_or("interrupted");
    settle(conn, run_id, &DeliveryEnd { delivery_id, fate }, (Some(reason), Some(because)), now)
}

/// A person's word on a dead delivery: once more, or never. False where it is not dead.
pub(crate) fn decide(
    conn: &Connection,
    delivery_id: &str,
    replay: bool,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let (state, ended_at) = match replay {
        true => (DeliveryState::Queued, None),
        false => (DeliveryState::Discarded, Some(at.as_millis())),
    };
    let sql = "UPDATE deliveries SET state = ?2, ended_at = ?3, due_at = ?4, runs = 0
               WHERE delivery_id = ?1 AND state = 'dead' RETURNING bytes";
    let values = params![delivery_id, state.as_str(), ended_at, at.as_millis()];
    let bytes: Option<i64> = conn.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
    let Some(bytes) = bytes else { return Ok(false) };
    if replay {
        kept::waits_again(conn, unsigned(bytes))?;
    }
    Ok(true)
}
