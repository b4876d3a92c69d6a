//! What a person has to know of a connection at a glance. However much history there is, each question reads some entries of an index.

use crate::{
    RunFilter, RunSummary, StoreError,
    limits::OVERVIEW_RUNS_MAX,
    open::unsigned,
    run::{self, Outcome},
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Its newest run.
    pub last: Option<RunSummary>,
    /// The end of the newest good one of the last `OVERVIEW_RUNS_MAX`.
    pub last_success: Option<Timestamp>,
    /// Its newest runs that are over did not end well, one behind the other.
    pub failing: Option<Failing>,
    /// Deliveries that wait, or that a run has.
    pub waiting: Pile,
    /// Deliveries that nobody hands over any more by himself.
    pub dead: Pile,
}

/// Runs in a row that did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// How many; `OVERVIEW_RUNS_MAX` = as many, or more.
    pub runs: u32,
    /// The first of them began.
    pub since: Timestamp,
    /// The newest of them.
    pub newest: RunSummary,
}

/// Some deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pile {
    /// How many.
    pub count: u64,
    /// When the first of them came.
    pub since: Option<Timestamp>,
}

pub(crate) fn of(conn: &Connection, connection: &str) -> Result<Overview, StoreError> {
    let filter = RunFilter { connection: Some(connection.to_owned()), limit: 1, ..RunFilter::default() };
    let last = run::rows::list(conn, &filter)?.pop();
    let (last_success, failing) = lately(conn, connection)?;
    let failing = match failing {
        Some((runs, since, newest)) => {
            run::rows::one(conn, &newest)?.map(|newest| Failing { runs, since, newest: newest.summary })
        }
        None => None,
    };
    let queued = pile(conn, connection, "queued", "due_at, seq")?;
    let running = pile(conn, connection, "running", "seq")?;
    let waiting = Pile {
        count: queued.count + running.count,
        since: [queued.since, running.since].into_iter().flatten().min(),
    };
    let dead = pile(conn, connection, "dead", "seq")?;
    Ok(Overview { last, last_success, failing, waiting, dead })
}

/// How many runs did not end well since the last good one, when the first of them began, and the newest one's id.
type Row = (u32, Timestamp, String);

fn lately(conn: &Connection, connection: &str) -> Result<(Option<Timestamp>, Option<Row>), StoreError> {
    let sql = "SELECT run_id, outcome, started_at, ended_at FROM runs
               WHERE connection = ?1 ORDER BY seq DESC LIMIT ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![connection, OVERVIEW_RUNS_MAX])?;
    let mut failing: Option<Row> = None;
    while let Some(row) = rows.next()? {
        let outcome: Option<String> = row.get(1)?;
        match outcome.as_deref().and_then(Outcome::parse) {
            Some(Outcome::Succeeded) => {
                let ended_at: i64 = row.get(3)?;
                return Ok((Some(Timestamp::from_millis(ended_at)), failing));
            }
            Some(Outcome::Failed | Outcome::DeadLettered | Outcome::Unknown) => {
                let since = Timestamp::from_millis(row.get(2)?);
                failing = Some(match failing {
                    Some((runs, _, newest)) => (runs + 1, since, newest),
                    None => (1, since, row.get(0)?),
                });
            }
            // Somebody stopped it, or it goes on: it says nothing.
            Some(Outcome::Cancelled | Outcome::DryRun) | None => {}
        }
    }
    Ok((None, failing))
}

/// `state` and `order` are words of ours, of a partial index each.
fn pile(conn: &Connection, connection: &str, state: &str, order: &str) -> Result<Pile, StoreError> {
    let sql = format!("SELECT count(*) FROM deliveries WHERE state = '{state}' AND connection = ?1");
    let count: i64 = conn.prepare_cached(&sql)?.query_row([connection], |row| row.get(0))?;
    let sql = format!(
        "SELECT received_at FROM deliveries WHERE state = '{state}' AND connection = ?1 ORDER BY {order} LIMIT 1"
    );
    let since: Option<i64> =
        conn.prepare_cached(&sql)?.query_row([connection], |row| row.get(0)).optional()?;
    Ok(Pile { count: unsigned(count), since: since.map(Timestamp::from_millis) })
}
