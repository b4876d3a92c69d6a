//! Intents: what was going to be sent is durable before it is sent.

use crate::{StoreError, limits::RUN_ATTEMPTS_MAX};
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
    },
    /// Another request: other bytes, method or URL.
    Different,
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

/// What the unsafe requests of a run may have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// One of them has no proven end.
    pub unproven: bool,
    /// One of them may have had an effect: its end is not proven, or proven and no refusal.
    pub possible: bool,
    /// One of those that may have had an effect may not be sent again.
    pub unrepeatable: bool,
}

pub(crate) fn begin(conn: &Connection, intent: &NewIntent) -> Result<PriorIntent, StoreError> {
    let key = &intent.key;
    let sql = "SELECT method, request_hash, idempotency_key FROM intents
               WHERE run_id = ?1 AND step = ?2 AND call = ?3 AND ordinal = ?4";
    let place = params![key.run_id, key.step, key.call, key.ordinal];
    let stored: Option<(String, String, Option<String>)> = conn
        .prepare_cached(sql)?
        .query_row(place, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((method, hash, idempotency_key)) = stored else {
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
            1 => Ok(PriorIntent::New),
            // The run is over: what a straggler of it still wants to send must not leave.
            _ => Err(StoreError::Conflict { what: "run", id: key.run_id.clone() }),
        };
    };
    if method != intent.method || hash != intent.request_hash {
        return Ok(PriorIntent::Different);
    }
    // It leaves once more: until its answer is there, nothing about it is proven.
    let sql = "UPDATE intents SET proven = 0, effect = 1, ended_at = NULL, outcome = NULL
               WHERE run_id = ?1 AND step = ?2 AND call = ?3 AND ordinal = ?4
                 AND EXISTS (SELECT 1 FROM runs WHERE run_id = ?1 AND outcome IS NULL)";
    match conn.prepare_cached(sql)?.execute(place)? {
        1 => Ok(PriorIntent::Same { idempotency_key }),
        _ => Err(StoreError::Conflict { what: "run", id: key.run_id.clone() }),
    }
}

pub(crate) fn end(
    conn: &Connection,
    key: &IntentKey,
    proven: bool,
    outcome: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE intents SET proven = ?5, effect = ?6, outcome = ?7, ended_at = ?8
               WHERE run_id = ?1 AND step = ?2 AND call = ?3 AND ordinal = ?4";
    let effect = !(proven && is_refusal(outcome));
    let at = at.as_millis();
    let values = params![key.run_id, key.step, key.call, key.ordinal, proven, effect, outcome, at];
    match conn.prepare_cached(sql)?.execute(values)? {
        1 => Ok(()),
        _ => Err(StoreError::NotFound { what: "intent", id: format!("{}/{}", key.run_id, key.ordinal) }),
    }
}

pub(crate) fn effects(conn: &Connection, run_id: &str) -> Result<Effects, StoreError> {
    let sql = "SELECT coalesce(max(NOT proven), 0), coalesce(max(effect), 0),
                      coalesce(max(effect AND NOT repeatable), 0) FROM intents WHERE run_id = ?1";
    let effects = conn.prepare_cached(sql)?.query_row([run_id], |row| {
        Ok(Effects { unproven: row.get(0)?, possible: row.get(1)?, unrepeatable: row.get(2)? })
    })?;
    Ok(effects)
}

pub(crate) fn of_run(conn: &Connection, run_id: &str) -> Result<Vec<IntentRow>, StoreError> {
    let sql =
        "SELECT step, call, ordinal, method, url, idempotency_key, repeatable, started_at, ended_at, proven,
                      outcome FROM intents WHERE run_id = ?1 ORDER BY rowid DESC LIMIT ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![run_id, RUN_ATTEMPTS_MAX], row)?;
    let mut intents: Vec<_> = rows.collect::<Result<_, _>>()?;
    intents.reverse();
    Ok(intents)
}

/// The vendor refused (4xx), or, where the text names no status, no byte was written.
fn is_refusal(outcome: &str) -> bool {
    let words = outcome.split(|c: char| !c.is_ascii_digit());
    let mut statuses =
        words.filter(|digits| digits.len() == 3).filter_map(|digits| digits.parse::<u16>().ok());
    statuses.all(|status| (400..500).contains(&status))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_or_nothing_sent_rules_an_effect_out() {
        fn check(outcome: &str, refusal: bool) {
            assert_eq!(is_refusal(outcome), refusal, "{outcome}");
        }
        check("status 400", true);
        check("status 404, then malformed", true);
        check("connect", true);
        check("status 200", false);
        check("status 303", false);
        check("status 500", false);
        check("status 503, then timeout", false);
    }
}
