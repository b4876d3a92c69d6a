//! `logs`: every request that left or was refused. Opens the database read-only and needs no lock.
mod detail;
mod har;

use super::{announced, named, period, report::cancel_on_signal};
use crate::{
    cli::{Arguments, Logs},
    config::Config,
    exit::{Exit, Failure, Result, at_database},
    output,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_egress::Announcement;
use portcullis_store::{ExchangeFilter, ExchangeReader, ExchangeRow, Mark, StateReader, StoreError};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// `--follow` looks this often.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// Shows exchanges, oldest first.
pub async fn run(arguments: &Arguments, options: &Logs) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let data = config.data.clone();
    let log = Log { data: data.clone(), filter: filter(options)?, reader: None, seen: Mark::default() };
    if options.follow {
        known_connection(&config, options).await?;
        if let Some(run_id) = &options.run {
            known_run(&data, run_id).await?;
        }
        follow(arguments.json, log).await?;
        return Ok(Exit::Success);
    }
    let (_, rows) = read(log, Log::newest).await?;
    // What was logged of one that is not in the config any more is shown all the same.
    if rows.is_empty() {
        known_connection(&config, options).await?;
        refuse_unknown(&data, options).await?;
    }
    match rows.as_slice() {
        rows if options.har => output::json_line(&har::document(rows)),
        [one] if options.exchange.is_some() && !arguments.json => output::line(&detail::text(one)),
        rows => show(arguments.json, rows),
    }
    Ok(Exit::Success)
}

async fn known_connection(config: &Config, options: &Logs) -> Result<()> {
    match &options.connection {
        Some(name) => named::connection(config, name).await,
        None => Ok(()),
    }
}

/// A number that nobody has is a mistake; a run may have sent nothing.
async fn refuse_unknown(data: &Path, options: &Logs) -> Result<()> {
    let narrowed = options.status.is_some() || options.connection.is_some() || options.correlation.is_some();
    if let Some(id) = options.exchange.as_ref().filter(|_| !narrowed && options.run.is_none()) {
        let help = "`portcullis logs --json` shows the ids of those that are kept";
        return Err(unknown("exchange", id).with_help(help));
    }
    match &options.run {
        Some(run_id) => known_run(data, run_id).await.map(drop),
        None => Ok(()),
    }
}

/// Is it over?
async fn known_run(data: &Path, run_id: &str) -> Result<bool> {
    let (data, id) = (data.to_owned(), run_id.to_owned());
    let known = tokio::task::spawn_blocking(move || match StateReader::open(&data)? {
        Some(reader) => reader.run(&id),
        None => Ok(None),
    });
    let known = known.await.map_err(|error| Failure::fault("the reader failed").because(&error))?;
    match known.map_err(|error: StoreError| at_database("read", "state.db", &error))? {
        Some(run) => Ok(run.summary.ended_at.is_some()),
        None => Err(unknown("run", run_id).with_help("`portcullis runs` shows those that are kept")),
    }
}

fn unknown(what: &str, id: &str) -> Failure {
    Failure::new(Exit::Usage, format!("no {what} `{}`", output::shown_line(id)))
}

fn show(as_json: bool, rows: &[ExchangeRow]) {
    for row in rows {
        if as_json {
            output::json_line(&self::as_json(row));
        } else {
            output::line(&as_text(row));
        }
    }
}

/// The newest, then each as it ends, until Ctrl-C or the end of whoever reads, or of the run that is asked for.
async fn follow(as_json: bool, log: Log) -> Result<()> {
    let mut cancelled = cancel_on_signal();
    let (mut log, rows) = read(log, Log::newest).await?;
    show(as_json, &rows);
    let mut is_over = false;
    while !output::is_closed() && !is_over {
        // Asked before the last look, so that this one sees all of it.
        if let Some(run_id) = log.filter.run_id.clone() {
            is_over = known_run(&log.data, &run_id).await?;
        }
        tokio::select! {
            _ = cancelled.wait_for(|cancelled| *cancelled) => break,
            () = RealClock.sleep(FOLLOW_EVERY) => {}
        }
        let rows;
        (log, rows) = read(log, Log::next).await?;
        show(as_json, &rows);
    }
    Ok(())
}

/// The log, and how far it was read.
struct Log {
    data: PathBuf,
    filter: ExchangeFilter,
    /// None as long as there is no database.
    reader: Option<ExchangeReader>,
    seen: Mark,
}

impl Log {
    fn newest(&mut self) -> std::result::Result<Vec<ExchangeRow>, StoreError> {
        let filter = self.filter.clone();
        let Some(reader) = self.open()? else { return Ok(Vec::new()) };
        let (rows, seen) = reader.exchanges_and_mark(&filter)?;
        self.seen = seen;
        Ok(rows)
    }

    fn next(&mut self) -> std::result::Result<Vec<ExchangeRow>, StoreError> {
        let (filter, seen) = (ExchangeFilter { limit: 0, ..self.filter.clone() }, self.seen);
        let Some(reader) = self.open()? else { return Ok(Vec::new()) };
        let (rows, seen) = reader.exchanges_after(&filter, seen)?;
        self.seen = seen;
        Ok(rows)
    }

    fn open(&mut self) -> std::result::Result<Option<&ExchangeReader>, StoreError> {
        if self.reader.is_none() {
            self.reader = ExchangeReader::open(&self.data)?;
        }
        Ok(self.reader.as_ref())
    }
}

/// On a thread that may block.
async fn read(
    mut log: Log,
    query: fn(&mut Log) -> std::result::Result<Vec<ExchangeRow>, StoreError>,
) -> Result<(Log, Vec<ExchangeRow>)> {
    let read = move || {
        let rows = query(&mut log)?;
        Ok((log, rows))
    };
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| Failure::fault("the reader failed").because(&error))?;
    read.map_err(|error: StoreError| at_database("read", "exchanges.db", &error))
}

fn filter(options: &Logs) -> Result<ExchangeFilter> {
    let (mut status, mut outcome) = (None, None);
    match options.status.as_deref() {
        None => {}
        Some(word @ ("answered" | "denied" | "failed" | "withheld")) => outcome = Some(word.to_owned()),
        Some(text) => {
            status = Some(status_range(text).ok_or_else(|| {
                Failure::new(Exit::Usage, format!("no status `{}`", output::shown_line(text)))
                    .with_help("`404`, `4xx`, `answered`, `denied`, `failed` or `withheld`")
            })?);
        }
    }
    let (since, until) = period::parse(&options.period, RealClock.now())?;
    Ok(ExchangeFilter {
        exchange_id: options.exchange.clone(),
        run_id: options.run.clone(),
        connection: options.connection.clone(),
        correlation_id: options.correlation.clone(),
        status,
        outcome,
        since,
        until,
        limit: options.limit,
    })
}

/// `404` or `4xx`.
fn status_range(text: &str) -> Option<(u16, u16)> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some((class * 100, class * 100 + 99));
    }
    let exact: u16 = text.parse().ok().filter(|status| (100..=599).contains(status))?;
    Some((exact, exact))
}

fn as_json(row: &ExchangeRow) -> Value {
    json!({
        "exchange_id": row.exchange_id,
        "run_id": row.run_id,
        "step": row.step,
        "call": row.call,
        "correlation_id": row.correlation_id,
        "connection": row.connection,
        "connection_id": row.connection_id,
        "started_at": row.started_at.to_string(),
        "duration_us": row.duration_us,
        "attempt": row.attempt,
        "method": row.method,
        "url": row.url,
        "manifest_place": row.manifest_place,
        "operator_place": row.operator_place,
        "credential": row.credential,
        "peer": row.peer,
        "protocol": row.protocol,
        "idempotency_key": row.idempotency_key,
        "request_headers": row.request_headers,
        "request_body": row.request_body,
        "request_bytes": row.request_bytes,
        "status": row.status,
        "response_headers": row.response_headers,
        "response_body": row.response_body,
        "response_bytes": row.response_bytes,
        "outcome": row.outcome,
        "reason": row.reason,
        "detail": row.detail,
        "remedy": row.remedy,
        "echoes": row.echoes,
        "bodies_dropped": row.bodies_dropped,
        "announced": Announcement::of(&row.response_headers).as_ref().map(announced::dates_json),
    })
}

fn as_text(row: &ExchangeRow) -> String {
    let result = match (row.status, row.reason.as_deref()) {
        (Some(status), None) => status.to_string(),
        (_, reason) => row.outcome.clone() + &reason.map_or(String::new(), |reason| format!(": {reason}")),
    };
    let attempt = if row.attempt > 1 { format!("  attempt {}", row.attempt) } else { String::new() };
    let echoes = if row.echoes > 0 {
        format!("  {} secret(s) masked in the answer", row.echoes)
    } else {
        String::new()
    };
    let mut text = format!(
        "{}  {}  {}  {} {}  {}  {} ms{attempt}{echoes}",
        row.started_at,
        row.exchange_id,
        row.connection,
        row.method,
        row.url,
        output::shown_line(&result),
        row.duration_us / 1000
    );
    if let Some(announcement) = Announcement::of(&row.response_headers) {
        text.push_str(&format!("\n    {}", announced::dates(&announcement)));
    }
    if let Some(detail) = row.detail.as_ref().filter(|detail| !detail.is_empty()) {
        text.push_str(&format!("\n    {}", output::shown_line(detail)));
    }
    if let Some(remedy) = &row.remedy {
        text.push_str("\n    to allow it:\n");
        text.push_str(&remedy.lines().map(|line| format!("      {line}")).collect::<Vec<_>>().join("\n"));
    }
    text
}
