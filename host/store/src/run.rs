//! Runs, steps and attempts: what they are, and every statement that writes them.

pub(crate) mod kept;
pub(crate) mod rows;

use crate::{
    DeliveryEnd, IntentRow, Parent, StoreError, delivery, flow, intent,
    limits::{RUN_ATTEMPTS_MAX, RUN_JSON_BYTES_MAX},
    open::int,
    sync,
};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, params};

/// What a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunKind {
    /// An action.
    Call,
    /// An action, of which nothing that may have an effect left.
    DryRun,
    /// A stream.
    Read,
    /// `check`.
    Check,
    /// `discover`.
    Discover,
    /// One delivery of a webhook.
    Deliver,
    /// One batch into a destination.
    Write,
    /// A stream into a destination, as a step of a flow.
    Sync,
    /// A flow: its steps are runs of their own.
    Flow,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// Not, and nothing of it is in doubt.
    Failed,
    /// Its work lies among the dead letters.
    DeadLettered,
    /// Someone stopped it.
    Cancelled,
    /// It did not end well, and an effect at the vendor can't be ruled out.
    Unknown,
    /// It came as far as a dry run comes: nothing that may have an effect left.
    DryRun,
}

/// A run that begins.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// `run_…`
    pub run_id: String,
    /// Kind.
    pub kind: RunKind,
    /// Connection's name at that time.
    pub connection: String,
    /// `conn_…`
    pub connection_id: String,
    /// `PUBLISHER/NAME`.
    pub connector: String,
    /// Its version.
    pub version: String,
    /// `sha256:…` of the component.
    pub digest: String,
    /// Correlation id.
    pub correlation_id: String,
    /// Action, stream or a delivery's id; empty where the kind has none.
    pub subject: String,
    /// JSON text, at most `RUN_JSON_BYTES_MAX`.
    pub input: Option<String>,
    /// Of a flow's step.
    pub parent: Option<Parent>,
    /// When.
    pub started_at: Timestamp,
}

/// An attempt that begins.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Run.
    pub run_id: String,
    /// Step (`call:NAME`, `dry-run:NAME`, `read:STREAM`, `deliver:ID`, `write:STREAM`, `check`, `discover`; a sync has three,
    /// `discover`, `read:STREAM` and `write:STREAM`).
    pub step: String,
    /// The durable place of the call in its step.
    pub call: String,
    /// 1 = first.
    pub attempt: u32,
    /// When.
    pub started_at: Timestamp,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// Run.
    pub run_id: String,
    /// Step.
    pub step: String,
    /// Call.
    pub call: String,
    /// Attempt.
    pub attempt: u32,
    /// How.
    pub outcome: Outcome,
    /// Kind of the error, where it failed.
    pub error_kind: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// Requests that left.
    pub requests: u64,
    /// When.
    pub ended_at: Timestamp,
}

/// What a run did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that left.
    pub requests: u64,
    /// Pages committed.
    pub pages: u64,
    /// Records committed.
    pub records: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// Outcome.
    pub outcome: Outcome,
    /// A success that looks wrong.
    pub suspicious: bool,
    /// Short word: `rate-limited`, `interrupted`, `unproven-effect`, `possible-effect`, `contract-drift`, …
    pub reason: Option<String>,
    /// Kind of the error, where it did not end well, `unknown` included.
    pub error_kind: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// JSON text, at most `RUN_JSON_BYTES_MAX`.
    pub output: Option<String>,
    /// When it may be tried again, where the vendor said.
    pub retry_at: Option<Timestamp>,
    /// Requests that left; pages and records are counted page by page.
    pub requests: u64,
    /// What becomes of the delivery that it had.
    pub delivery: Option<DeliveryEnd>,
    /// When.
    pub ended_at: Timestamp,
}

/// One run in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// `run_…`
    pub run_id: String,
    /// Kind.
    pub kind: RunKind,
    /// Connection's name at that time.
    pub connection: String,
    /// `conn_…`
    pub connection_id: String,
    /// `PUBLISHER/NAME`.
    pub connector: String,
    /// Version.
    pub version: String,
    /// Digest.
    pub digest: String,
    /// Correlation id.
    pub correlation_id: String,
    /// Action, stream or flow.
    pub subject: String,
    /// The flow that it is a run of, or whose step it is.
    pub flow: Option<String>,
    /// Of a flow's step: the flow's run.
    pub parent: Option<String>,
    /// Of a flow's step: where it stands there.
    pub place: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none = it is running, or a crash left it open.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// A success that looks wrong.
    pub suspicious: bool,
    /// Short word.
    pub reason: Option<String>,
    /// Kind of the error.
    pub error_kind: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// When it may be tried again.
    pub retry_at: Option<Timestamp>,
    /// Numbers.
    pub counts: Counts,
}

/// One run, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub summary: RunSummary,
    /// JSON text.
    pub input: Option<String>,
    /// JSON text.
    pub output: Option<String>,
    /// In order.
    pub steps: Vec<StepRow>,
    /// In order; the last `RUN_ATTEMPTS_MAX`. Older ones are not kept.
    pub attempts: Vec<AttemptRow>,
    /// In order; the last `RUN_INTENTS_KEPT_MAX`, and as many of those without proof. Others are not kept when the
    /// run is over.
    pub intents: Vec<IntentRow>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// Name.
    pub step: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How.
    pub outcome: Option<Outcome>,
    /// Pages committed.
    pub pages: u64,
    /// Records committed.
    pub records: u64,
    /// Attempts in all, those that are not kept any more included.
    pub attempts: u64,
    /// Unsafe requests in all, likewise.
    pub intents: u64,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Step.
    pub step: String,
    /// Call.
    pub call: String,
    /// 1 = first.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How.
    pub outcome: Option<Outcome>,
    /// Kind of the error.
    pub error_kind: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// Requests that left.
    pub requests: u64,
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Connection's name.
    pub connection: Option<String>,
    /// Outcome.
    pub outcome: Option<Outcome>,
    /// Only runs without an outcome.
    pub open: bool,
    /// Kind.
    pub kind: Option<RunKind>,
    /// Of this flow, and of its steps.
    pub flow: Option<String>,
    /// The steps of this run.
    pub parent: Option<String>,
    /// Correlation id.
    pub correlation_id: Option<String>,
    /// Begun at or after.
    pub since: Option<Timestamp>,
    /// Begun before.
    pub until: Option<Timestamp>,
    /// At most; 0 = `LIST_ROWS_MAX`.
    pub limit: u32,
}

/// A run that a crash had left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedRun {
    /// `run_…`
    pub run_id: String,
    /// Kind.
    pub kind: RunKind,
    /// Connection's name.
    pub connection: String,
    /// Action or stream.
    pub subject: String,
    /// `Unknown` or `Failed`.
    pub outcome: Outcome,
}

impl RunKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Call,
        Self::DryRun,
        Self::Read,
        Self::Check,
        Self::Discover,
        Self::Deliver,
        Self::Write,
        Self::Sync,
        Self::Flow,
    ];

    /// Lower-case word, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::DryRun => "dry-run",
            Self::Read => "read",
            Self::Check => "check",
            Self::Discover => "discover",
            Self::Deliver => "deliver",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Flow => "flow",
        }
    }

    /// The word's kind.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Succeeded, Self::Failed, Self::DeadLettered, Self::Cancelled, Self::Unknown, Self::DryRun];

    /// Lower-case words, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::DeadLettered => "dead-lettered",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::DryRun => "dry-run",
        }
    }

    /// The word's outcome.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

pub(crate) fn begin(conn: &Connection, run: &NewRun, first: &NewAttempt) -> Result<(), StoreError> {
    assert_eq!(run.run_id, first.run_id, "a run begins with an attempt of its own");
    within_bound("an input", run.input.as_deref())?;
    let sql = "INSERT INTO runs (run_id, kind, connection, connection_id, connector, version, digest, correlation_id,
                                 subject, input, started_at, flow, parent, place)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let parent = run.parent.as_ref();
    conn.prepare_cached(sql)?.execute(params![
        run.run_id,
        run.kind.as_str(),
        run.connection,
        run.connection_id,
        run.connector,
        run.version,
        run.digest,
        run.correlation_id,
        run.subject,
        run.input,
        run.started_at.as_millis(),
        parent.map(|parent| &parent.flow),
        parent.map(|parent| &parent.run_id),
        parent.map(|parent| &parent.place)
    ])?;
    begin_attempt(conn, first)
}

pub(crate) fn begin_attempt(conn: &Connection, attempt: &NewAttempt) -> Result<(), StoreError> {
    let NewAttempt { run_id, step, call, attempt, started_at } = attempt;
    // A step of a run that is over gets no attempts: neither statement finds an open run then.
    let sql = "INSERT INTO steps (run_id, step, started_at, attempts)
               SELECT run_id, ?2, ?3, 1 FROM runs WHERE run_id = ?1 AND outcome IS NULL
               ON CONFLICT (run_id, step) DO UPDATE SET attempts = attempts + 1";
    conn.prepare_cached(sql)?.execute(params![run_id, step, started_at.as_millis()])?;
    let sql = "INSERT INTO attempts (run_id, step, call, attempt, started_at)
               SELECT run_id, step, ?3, ?4, ?5 FROM steps WHERE run_id = ?1 AND step = ?2 AND outcome IS NULL";
    let values = params![run_id, step, call, attempt, started_at.as_millis()];
    match conn.prepare_cached(sql)?.execute(values)? {
        1 => Ok(()),
        _ => Err(StoreError::Conflict { what: "run", id: run_id.clone() }),
    }
}

pub(crate) fn end_attempt(conn: &Connection, end: &AttemptEnd) -> Result<(), StoreError> {
    let sql = "UPDATE attempts SET ended_at = ?5, outcome = ?6, error_kind = ?7, detail = ?8, requests = ?9
               WHERE run_id = ?1 AND step = ?2 AND call = ?3 AND attempt = ?4 AND outcome IS NULL";
    let written = conn.prepare_cached(sql)?.execute(params![
        end.run_id,
        end.step,
        end.call,
        end.attempt,
        end.ended_at.as_millis(),
        end.outcome.as_str(),
        end.error_kind,
        end.detail,
        int(end.requests)
    ])?;
    if written != 1 {
        return Err(StoreError::Conflict { what: "attempt", id: format!("{}/{}", end.run_id, end.call) });
    }
    let sql = "UPDATE steps SET requests = requests + ?3 WHERE run_id = ?1 AND step = ?2";
    conn.prepare_cached(sql)?.execute(params![end.run_id, end.step, int(end.requests)])?;
    Ok(())
}

/// Removes all attempts of a run but the newest. `UNIQUE` begins with the run and ends in `seq`: only rows of this run
/// are looked at.
pub(crate) fn prune_attempts(conn: &Connection, run_id: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM attempts WHERE run_id = ?1
               AND seq <= (SELECT seq FROM attempts WHERE run_id = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
    conn.prepare_cached(sql)?.execute(params![run_id, RUN_ATTEMPTS_MAX])?;
    Ok(())
}

pub(crate) fn end(conn: &Connection, run_id: &str, end: &RunEnd) -> Result<(), StoreError> {
    within_bound("an output", end.output.as_deref())?;
    let sql = "UPDATE runs SET ended_at = ?2, outcome = ?3, suspicious = ?4, reason = ?5, error_kind = ?6,
                               detail = ?7, output = ?8, retry_at = ?9, requests = ?10
               WHERE run_id = ?1 AND outcome IS NULL";
    let written = conn.prepare_cached(sql)?.execute(params![
        run_id,
        end.ended_at.as_millis(),
        end.outcome.as_str(),
        end.suspicious,
        end.reason,
        end.error_kind,
        end.detail,
        end.output,
        end.retry_at.map(Timestamp::as_millis),
        int(end.requests)
    ])?;
    if written != 1 {
        return Err(StoreError::Conflict { what: "run", id: run_id.to_owned() });
    }
    let (ended_at, outcome) = (end.ended_at.as_millis(), end.outcome.as_str());
    let sql = "UPDATE attempts SET ended_at = ?2, outcome = ?3, error_kind = ?4, detail = ?5
               WHERE run_id = ?1 AND outcome IS NULL";
    conn.prepare_cached(sql)?.execute(params![run_id, ended_at, outcome, end.error_kind, end.detail])?;
    let sql = "UPDATE steps SET ended_at = ?2, outcome = ?3 WHERE run_id = ?1 AND outcome IS NULL";
    conn.prepare_cached(sql)?.execute(params![run_id, ended_at, outcome])?;
    if let Some(left) = &end.delivery {
        let why = (end.reason.as_deref(), end.detail.as_deref());
        delivery::settle(conn, run_id, left, why, end.ended_at)?;
    }
    sync::close(conn, run_id)?;
    prune_attempts(conn, run_id)?;
    intent::prune(conn, run_id)?;
    kept::count(conn, run_id)
}

/// A run that was over goes on.
pub(crate) fn reopen(conn: &Connection, run_id: &str) -> Result<(), StoreError> {
    kept::uncount(conn, run_id)?;
    let sql =
        "UPDATE runs SET ended_at = NULL, outcome = NULL, reason = NULL, error_kind = NULL, detail = NULL,
                   retry_at = NULL WHERE run_id = ?1";
    conn.prepare_cached(sql)?.execute([run_id])?;
    Ok(())
}

/// What belongs to no flow ends with the process that had it; what does goes on.
pub(crate) fn close_interrupted(conn: &Connection, now: Timestamp) -> Result<Vec<ClosedRun>, StoreError> {
    flow::release(conn, now)?;
    let because = "the process ended before the run did";
    rows::open(conn)?.into_iter().map(|open| close(conn, open, because, now)).collect()
}

pub(crate) fn close_broken_off(
    conn: &Connection,
    delivery_id: &str,
    now: Timestamp,
) -> Result<Option<ClosedRun>, StoreError> {
    let open = rows::open_of(conn, delivery_id)?;
    open.map(|open| close(conn, open, "the run broke off by a fault of the host", now)).transpose()
}

/// Closes a run that nobody has any more.
fn close(
    conn: &Connection,
    (run_id, kind, connection, subject): rows::Open,
    because: &str,
    now: Timestamp,
) -> Result<ClosedRun, StoreError> {
    let (outcome, doubt) = end_interrupted(conn, &run_id, because, now)?;
    delivery::release(conn, &run_id, doubt, because, now)?;
    Ok(ClosedRun { run_id, kind, connection, subject, outcome })
}

/// Closes the run of a flow's step that nobody will go on with.
pub(crate) fn give_up(
    conn: &Connection,
    run_id: &str,
    because: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    end_interrupted(conn, run_id, because, now).map(|_| ())
}

fn end_interrupted(
    conn: &Connection,
    run_id: &str,
    because: &str,
    now: Timestamp,
) -> Result<(Outcome, Option<&'static str>), StoreError> {
    // A proven answer that is no refusal was an effect, and the run that it belongs to never said how it went.
    let doubt = intent::effects(conn, run_id)?.reason();
    let outcome = if doubt.is_some() { Outcome::Unknown } else { Outcome::Failed };
    let end_as = RunEnd {
        outcome,
        suspicious: false,
        reason: Some(doubt.unwrap_or("interrupted").to_owned()),
        error_kind: Some("interrupted".to_owned()),
        detail: Some(because.to_owned()),
        output: None,
        retry_at: None,
        requests: rows::requests(conn, run_id)?,
        delivery: None,
        ended_at: now,
    };
    end(conn, run_id, &end_as)?;
    Ok((outcome, doubt))
}

fn within_bound(what: &'static str, json: Option<&str>) -> Result<(), StoreError> {
    match json {
        Some(text) if text.len() > RUN_JSON_BYTES_MAX => {
            Err(StoreError::TooLarge { what, bound: RUN_JSON_BYTES_MAX as u64 })
        }
        _ => Ok(()),
    }
}
