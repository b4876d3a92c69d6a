//! The announced end of endpoints, in words and as JSON.
use crate::{
    cli::Arguments,
    config::Config,
    exit::{Failure, Result, at_database},
    output::shown_line,
};
use portcullis_egress::Announcement;
use portcullis_store::{AnnouncementRow, ExchangeReader};
use serde_json::{Value, json};

/// What was announced to a connection so far.
pub async fn of(arguments: &Arguments, connection_id: String) -> Result<Vec<AnnouncementRow>> {
    let data = Config::read(&arguments.config)?.data;
    let read = move || match ExchangeReader::open(&data)? {
        Some(reader) => reader.announcements(&connection_id),
        None => Ok(Vec::new()),
    };
    let rows = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Failure::fault("the reader failed").because(&error))?;
    rows.map_err(|error| at_database("read", "exchanges.db", &error))
}

/// One line for the person who asked whether a connection works.
pub fn warning(row: &AnnouncementRow) -> String {
    let endpoint = shown_line(&row.endpoint);
    format!("warning: {} {endpoint}: {} (last said {})", row.method, dates(&announcement(row)), row.last_seen)
}

/// One of them.
pub fn as_json(row: &AnnouncementRow) -> Value {
    let mut value = dates_json(&announcement(row));
    value["method"] = json!(row.method);
    value["endpoint"] = json!(row.endpoint);
    value["rule"] = json!(row.rule);
    value["first_seen"] = json!(row.first_seen.to_string());
    value["last_seen"] = json!(row.last_seen.to_string());
    value["exchange_id"] = json!(row.exchange_id);
    value
}

/// What was said, in words.
pub fn dates(announcement: &Announcement) -> String {
    let mut said = Vec::new();
    match (announcement.deprecated, announcement.deprecated_at) {
        (_, Some(at)) => said.push(format!("deprecated from {at}")),
        (true, None) => said.push("deprecated".to_owned()),
        (false, None) => {}
    }
    said.extend(announcement.sunset_at.map(|at| format!("gone after {at}")));
    said.extend(announcement.link.as_ref().map(|link| format!("see {}", shown_line(link))));
    said.join(", ")
}

/// What was said, as JSON.
pub fn dates_json(announcement: &Announcement) -> Value {
    json!({
        "deprecated": announcement.deprecated,
        "deprecated_at": announcement.deprecated_at.map(|at| at.to_string()),
        "sunset_at": announcement.sunset_at.map(|at| at.to_string()),
        "link": announcement.link,
    })
}

fn announcement(row: &AnnouncementRow) -> Announcement {
    Announcement {
        deprecated: row.deprecated,
        deprecated_at: row.deprecated_at,
        sunset_at: row.sunset_at,
        link: row.link.clone(),
    }
}
