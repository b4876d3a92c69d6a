//! `deliveries`: what vendors delivered, and what became of it, read without a lock; and a person's word on what is dead.
mod decide;

use super::{named, period, report::json_or_text};
use crate::{
    cli::{Arguments, Deliveries, DeliveriesCommand, OneDelivery},
    config::Config,
    exit::{Exit, Failure, Result, at_database},
    output,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis_clock::{Clock, RealClock};
use portcullis_store::{DeliveryFilter, DeliveryRow, DeliveryState, DeliverySummary, EventRow, StateReader};
use serde_json::{Value, json};

/// Lists deliveries, or shows one.
pub async fn run(arguments: &Arguments, options: &Deliveries) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let wanted = match &options.command {
        Some(DeliveriesCommand::Replay(options)) => {
            return decide::run(arguments, &config, options, true).await;
        }
        Some(DeliveriesCommand::Discard(options)) => {
            return decide::run(arguments, &config, options, false).await;
        }
        Some(DeliveriesCommand::Show(OneDelivery { delivery })) => Some(delivery.clone()),
        None => None,
    };
    let filter = filter(options)?;
    let (one, many) = read(&config, filter, wanted.clone()).await?;
    if let Some(connection) = options.connection.as_ref().filter(|_| many.is_empty()) {
        named::connection(&config, connection).await?;
    }
    match (&wanted, one) {
        (Some(_), Some(row)) if arguments.json => output::json_line(&row_json(&row)),
        (Some(_), Some(row)) => output::line(&row_text(&row)),
        (Some(delivery), None) => return Err(unknown(delivery)),
        (None, _) if arguments.json => many.iter().for_each(|row| output::json_line(&summary_json(row))),
        (None, _) => output::line(&list(&many)),
    }
    Ok(Exit::Success)
}

fn unknown(delivery: &str) -> Failure {
    let message = format!("no delivery `{}`", output::shown_line(delivery));
    Failure::new(Exit::Usage, message).with_help("portcullis deliveries")
}

/// One of them whole, or those that the filter lets pass.
async fn read(
    config: &Config,
    filter: DeliveryFilter,
    one: Option<String>,
) -> Result<(Option<DeliveryRow>, Vec<DeliverySummary>)> {
    let data = config.data.clone();
    let read = move || -> std::result::Result<_, portcullis_store::StoreError> {
        let Some(reader) = StateReader::open(&data)? else { return Ok((None, Vec::new())) };
        match one {
            Some(delivery) => Ok((reader.delivery(&delivery)?, Vec::new())),
            None => Ok((None, reader.deliveries(&filter)?)),
        }
    };
    let read = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Failure::fault("the reader failed").because(&error))?;
    read.map_err(|error| at_database("read", "state.db", &error))
}

fn filter(options: &Deliveries) -> Result<DeliveryFilter> {
    let state = |text: &str| {
        DeliveryState::parse(text).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("no state `{}`", output::shown_line(text)))
                .with_help("one of queued, running, done, dead, discarded")
        })
    };
    let (since, until) = period::parse(&options.period, RealClock.now())?;
    Ok(DeliveryFilter {
        route: options.route.clone(),
        connection: options.connection.clone(),
        state: options.state.as_deref().map(state).transpose()?,
        since,
        until,
        limit: options.limit,
    })
}

fn list(rows: &[DeliverySummary]) -> String {
    let row = |row: &DeliverySummary| {
        vec![
            row.delivery_id.clone(),
            row.received_at.to_string(),
            row.route.clone(),
            row.connection.clone(),
            row.state.as_str().to_owned(),
            row.runs.to_string(),
            row.events.to_string(),
            output::shown_line(row.reason.as_deref().unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    output::table(
        &["DELIVERY", "RECEIVED", "ROUTE", "CONNECTION", "STATE", "RUNS", "EVENTS", "REASON"],
        &rows,
    )
}

fn summary_json(row: &DeliverySummary) -> Value {
    json!({
        "delivery_id": row.delivery_id,
        "route": row.route,
        "connection": row.connection,
        "received_at": row.received_at.to_string(),
        "peer": row.peer,
        "state": row.state.as_str(),
        "due_at": row.due_at.map(|at| at.to_string()),
        "runs": row.runs,
        "run_id": row.run_id,
        "reason": row.reason,
        "detail": row.detail,
        "ended_at": row.ended_at.map(|at| at.to_string()),
        "events": row.events,
    })
}

fn row_json(row: &DeliveryRow) -> Value {
    let mut value = summary_json(&row.summary);
    let delivery = &row.delivery;
    let header = |(name, value): &(String, Vec<u8>)| json!([name, String::from_utf8_lossy(value)]);
    value["method"] = delivery.method.clone().into();
    value["path"] = delivery.path.clone().into();
    value["query"] = delivery.query.clone().into();
    value["headers"] = delivery.headers.iter().map(header).collect();
    match std::str::from_utf8(&delivery.body) {
        Ok(text) => value["body"] = text.into(),
        Err(_) => value["body_base64"] = STANDARD.encode(&delivery.body).into(),
    }
    let event = |event: &EventRow| {
        json!({ "name": event.name, "id": event.event_id, "payload": json_or_text(&event.payload),
                "duplicate_of": event.duplicate_of })
    };
    value["events"] = row.events.iter().map(event).collect();
    value
}

fn row_text(row: &DeliveryRow) -> String {
    let (summary, delivery) = (&row.summary, &row.delivery);
    let mut lines = vec![
        format!("{}  by `{}` for `{}`", summary.delivery_id, summary.route, summary.connection),
        format!("received   {} from {}", summary.received_at, summary.peer),
        format!("state      {} {}", summary.state.as_str(), summary.reason.as_deref().unwrap_or_default())
            .trim_end()
            .to_owned(),
    ];
    if let Some(detail) = &summary.detail {
        lines.push(format!("detail     {}", output::shown_line(detail)));
    }
    if let Some(due) = summary.due_at {
        lines.push(format!("next run   {due}"));
    }
    lines.push(format!("runs       {}", summary.runs));
    let question = if delivery.query.is_empty() { "" } else { "?" };
    let target = format!("{} {}{question}{}", delivery.method, delivery.path, delivery.query);
    lines.push(format!("request    {}", output::shown_line(&target)));
    for (name, value) in &delivery.headers {
        lines.push(format!("  {name}: {}", output::shown_line(&String::from_utf8_lossy(value))));
    }
    lines.push(match std::str::from_utf8(&delivery.body) {
        Ok(text) => format!("body       {}", output::shown_line(text)),
        Err(_) => format!("body       {} bytes that are no text", delivery.body.len()),
    });
    for event in &row.events {
        let id = event.event_id.as_deref().unwrap_or("-");
        let what = match &event.duplicate_of {
            Some(first) => format!("came before, with {first}"),
            None => event.payload.clone(),
        };
        lines.push(output::shown_line(&format!("  event {} {id}  {what}", event.name)));
    }
    if let Some(run) = &summary.run_id {
        lines.push(String::new());
        lines.push(format!("portcullis runs show {run}"));
    }
    lines.join("\n")
}
