//! `logs`: every request that left or was refused. Opens the database read-only and needs no lock.
mod har;

use super::announced;
use crate::{
    cli::{Arguments, Logs},
    config::Config,
    exit::{Exit, Failure, Result, at_database},
    output,
};
use portcullis_egress::Announcement;
use portcullis_store::{ExchangeFilter, ExchangeReader, ExchangeRow};
use serde_json::{Value, json};

/// Shows exchanges, oldest first.
pub async fn run(arguments: &Arguments, options: &Logs) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let filter = filter(options)?;
    let data = config.data.clone();
    let read = move || match ExchangeReader::open(&data)? {
        Some(reader) => reader.exchanges(&filter),
        None => Ok(Vec::new()),
    };
    let rows = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Failure::fault("the reader failed").because(&error))?;
    let rows = rows.map_err(|error| at_database("read", "exchanges.db", &error))?;
    if options.har {
        output::json_line(&har::document(&rows));
        return Ok(Exit::Success);
    }
    for row in &rows {
        if arguments.json {
            output::json_line(&as_json(row));
        } else {
            output::line(&as_text(row));
        }
    }
    Ok(Exit::Success)
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
    Ok(ExchangeFilter {
        exchange_id: options.exchange.clone(),
        run_id: options.run.clone(),
        connection: options.connection.clone(),
        correlation_id: options.correlation.clone(),
        status,
        outcome,
        limit: options.limit,
        ..ExchangeFilter::default()
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
