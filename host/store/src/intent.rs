//! Intents: what was going to be sent is durable before it is sent.

use crate::{
    StoreError,
    limits::{RUN_INTENTS_KEPT_MAX, RUN_INTENTS_MAX},
    open::unsigned,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The place of an unsafe request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentKey {
    /// Run.
    pub run_id: String,
    /// Step.
    pub step: String,
    /// Call.
    pub call: String,
    /// Ordinal of the unsafe request in the call, from 0.
    pub ordinal: u32,
}

/// An unsafe request that is about to leave.
#[derive(Clone, Debug)]
pub struct NewIntent {
    /// Its place.
    pub key: IntentKey,
    /// Method.
    pub method: String,
    /// Masked URL, for people.
    pub url: String,
    /// Hash of the exact URL and body.
    pub request_hash: String,
    /// Idempotency key that is sent.
    pub idempotency_key: Option<String>,
    /// May it be sent again without an answer?
    pub repeatable: bool,
    /// When.
    pub started_at: Timestamp,
}

/// What was stored for this place before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriorIntent {
    /// Nothing: this one was stored.
    New,
    /// The same request.
    Same {
        /// The stored idempotency key, which holds.
        idempotency_key: Option<String>,
        /// When it was first stored.
        started_at: Timestamp,
        /// What came of it before rules an effect out: its end is proven, and a refusal.
        refused: bool,
    },
    /// Another request: other bytes, method or URL.
    Different,
}

/// How an intent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentEnd {
    /// It is known how: an HTTP status arrived, or no byte was written.
    pub proven: bool,
    /// An effect is ruled out. Counts only where it is proven.
    pub refused: bool,
    /// For people.
    pub outcome: String,
}

/// A stored intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentRow {
    /// Step.
    pub step: String,
    /// Call.
    pub call: String,
    /// Ordinal.
    pub ordinal: u32,
    /// Method.
    pub method: String,
    /// Masked URL.
    pub url: String,
    /// Idempotency key.
    pub idempotency_key: Option<String>,
    /// May it be sent again without an answer?
    pub repeatable: bool,
    /// When it was stored.
    pub started_at: Timestamp,
    /// When its end was stored.
    pub ended_at: Option<Timestamp>,
    /// Is its end proven?
    pub proven: bool,
    /// How it ended.
    pub outcome: Option<String>,
}

/// What the unsafe requests of a run may have done; of a sync, those that no committed page tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// One of them has no proven end.
    pub unproven: bool,
    /// One of them may have had an effect: its end is not proven, or proven and no refusal.
    pub possible: bool,
    /// One of those that may have had an effect may not be sent again.
    pub unrepeatable: bool,
}

impl Effects {
    /// Why a run that did not succeed ends as `unknown`; none where nothing that it sent can have had an effect.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self { unproven: true, .. } => Some("unproven-effect"),
            Self { possible: true, .. } => Some("possible-effect"),
            _ => None,
        }
    }
}

pub(crate) fn begin(conn: &Connection, intent: &NewIntent) -> Result<PriorIntent, StoreError> {
    let key = &intent.key;
    let sql = "SELECT method, request_hash, idempotency_key, started_at, proven AND NOT effect FROM intents
               WHERE run_id = ?1 AND step = ?2 AND call = ?3 AND ordinal = ?4";
    let place = params![key.run_id, key.step, key.call, key.ordinal];
    let stored = conn.prepare_cached(sql)?.query_row(place, |row| {
        let same = PriorIntent::Same {
            idempotency_key: row.get(2)?,
            started_at: Timestamp::from_millis(row.get(3)?),
            refused: row.get(4)?,
        };
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, same))
    });
    let Some((method, hash, same)) = stored.optional()? else {
        let sql = "INSERT INTO intents (run_id, step, call, ordinal, method, url, request_hash, idempotency_key,
                                        repeatable, started_at)
                   SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10 FROM runs WHERE run_id = ?1 AND outcome IS NULL";
        let inserted = conn.prepare_cached(sql)?.execute(params![
            key.run_id,
            key.step,
            key.call,
            key.ordinal,
            intent.method,
            intent.url,
            intent.request_hash,
            intent.idempotency_key,
            intent.repeatable,
            intent.started_at.as_millis()
        ])?;
        return match inserted {
            1 => count(conn, key).map(|()| PriorIntent::New),
            // The run is over: what a straggler of it still wants to send must not leave.
            _ => Err(StoreError::Conflict { what: "run", id: key.run_id.clone() }),
        };
    };
    if method != intent.method || hash != intent.request_hash {
        return Ok(PriorIntent::Different);
    }
    // It leaves once more: until its answer is there, nothing about it is proven.
    let sql = "UPDATE intents SET proven = 0, effect = 1, ended_at = NULL, outcome = NULL, settled = 0
               WHERE run_id = ?1 AND step = ?2 AND call = ?3 AND ordinal = ?4
                 AND EXISTS (SELECT 1 FROM runs WHERE run_id = ?1 AND outcome IS NULL)";
    match conn.prepare_cached(sql)?.execute(place)? {
        1 => Ok(same),
        _ => Err(StoreError::Conflict { what: "run", id: key.run_id.clone() }),
    }
}

/// One more intent of its step. While a run goes on none is removed, since its outcome is judged by all of them: so
/// there is an end to how many it may have.
fn count(conn: &Connection, key: &IntentKey) -> Result<(), StoreError> {
    let sql = "UPDATE steps SET intents = intents + 1 WHERE run_id = ?1 AND step = ?2";
    if conn.prepare_cached(sql)?.execute([&key.run_id, &key.step])? != 1 {
        return Err(StoreError::NotFound { what: "step", id: format!("{}/{}", key.run_id, key.step) });
    }
    let sql = "SELECT sum(intents) FROM steps WHERE run_id = ?1";
    let intents = unsigned(conn.prepare_cached(sql)?.query_row([&key.run_id], |row| row.get(0))?);
    if intents > RUN_INTENTS_MAX {
        return Err(StoreError::TooLarge {
            what: "the number of unsafe requests of this run",
            bound: RUN_INTENTS_MAX,
        });
    }
    Ok(())
}

pub(crate) fn end(
    conn: &Connection,
    key: &IntentKey,
    end: &IntentEnd,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE intents SET proven = ?5, effect = ?6, outcome = ?7, ended_at = ?8
               WHERE run_id = ?1 AND step = ?2 AND call = ?3 AND ordinal = ?4";
    let effect = !(end.proven && end.refused);
    let at = at.as_millis();
    let values = params![key.run_id, key.step, key.call, key.ordinal, end.proven, effect, end.outcome, at];
    match conn.prepare_cached(sql)?.execute(values)? {
        1 => Ok(()),
        _ => Err(StoreError::NotFound { what: "intent", id: format!("{}/{}", key.run_id, key.ordinal) }),
    }
}

pub(crate) fn effects(conn: &Connection, run_id: &str) -> Result<Effects, StoreError> {
    let sql = "SELECT coalesce(max(NOT proven), 0), coalesce(max(effect), 0),
                      coalesce(max(effect AND NOT repeatable), 0) FROM intents WHERE run_id = ?1 AND NOT settled";
    let effects = conn.prepare_cached(sql)?.query_row([run_id], |row| {
        Ok(Effects { unproven: row.get(0)?, possible: row.get(1)?, unrepeatable: row.get(2)? })
    })?;
    Ok(effects)
}

/// The intents of a run that stay when it is over, by `rowid`: the newest `?2`, and those without proof. Of the latter
/// too only the newest `?2`: who has more of them knows from the run's outcome, and has to ask the vendor anyway.
const KEPT: &str = "rowid > coalesce(CASE WHEN proven
    THEN (SELECT rowid FROM intents WHERE run_id = ?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2)
    ELSE (SELECT rowid FROM intents WHERE run_id = ?1 AND NOT proven ORDER BY rowid DESC LIMIT 1 OFFSET ?2)
END, 0)";

/// Removes what does not stay of a run that is over. The primary key begins with the run and ends in the `rowid`: only
/// rows of this run are looked at.
pub(crate) fn prune(conn: &Connection, run_id: &str) -> Result<(), StoreError> {
    let sql = format!("DELETE FROM intents WHERE run_id = ?1 AND NOT ({KEPT})");
    conn.prepare_cached(&sql)?.execute(params![run_id, RUN_INTENTS_KEPT_MAX])?;
    Ok(())
}

/// In order; those that stay, or of an open run would stay if it were over.
pub(crate) fn of_run(conn: &Connection, run_id: &str) -> Result<Vec<IntentRow>, StoreError> {
    let sql = format!(
        "SELECT step, call, ordinal, method, url, idempotency_key, repeatable, started_at, ended_at, proven, outcome
         FROM intents WHERE run_id = ?1 AND {KEPT} ORDER BY rowid"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params![run_id, RUN_INTENTS_KEPT_MAX], row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn row(row: &Row<'_>) -> rusqlite::Result<IntentRow> {
    Ok(IntentRow {
        step: row.get(0)?,
        call: row.get(1)?,
        ordinal: row.get(2)?,
        method: row.get(3)?,
        url: row.get(4)?,
        idempotency_key: row.get(5)?,
        repeatable: row.get(6)?,
        started_at: Timestamp::from_millis(row.get(7)?),
        ended_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
        proven: row.get(9)?,
        outcome: row.get(10)?,
    })
}
