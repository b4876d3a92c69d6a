//! `destination`, `webhook`, `subscriptions` and `migration`: answers that follow from what was given.

use crate::{
    Error, ErrorKind, Header, Probe,
    exports::portcullis::connector::{destination, migration, subscriptions, webhook},
    fault, http, state,
};
use destination::{Batch, Rejected};
use serde_json::json;
use subscriptions::Subscription;
use webhook::{Delivery, Event, Reply};

impl destination::Guest for Probe {
    /// Refuses the lines that hold `reject`.
    fn write(_config: String, batch: Batch) -> Result<Vec<Rejected>, Error> {
        let lines = batch.records.split(|byte| *byte == b'\n');
        Ok(lines
            .zip(0..)
            .filter(|(line, _)| line.windows(6).any(|part| part == b"reject"))
            .map(|(_, line)| Rejected { line, error: fault(ErrorKind::InvalidInput, "told to reject it") })
            .collect())
    }

    /// As if `generation` things were gone.
    fn complete(_: String, _: String, generation: u64, removed_max: Option<u64>) -> Result<u64, Error> {
        match removed_max {
            Some(max) if generation > max => Err(fault(ErrorKind::Conflict, "more than may be removed")),
            _ => Ok(generation),
        }
    }
}

impl webhook::Guest for Probe {
    fn handle(_config: String, delivery: Delivery) -> Result<webhook::Outcome, Error> {
        let payload = json!({
            "method": delivery.method,
            "path": delivery.path,
            "query": delivery.query,
            "headers": delivery.headers.len(),
            "body": String::from_utf8_lossy(&delivery.body),
        });
        let event =
            Event { name: "delivered".to_owned(), id: Some(delivery.id), payload: payload.to_string() };
        let headers = vec![Header { name: "x-probe".to_owned(), value: b"1".to_vec() }];
        Ok(webhook::Outcome {
            events: vec![event],
            reply: Some(Reply { status: 202, headers, body: b"taken".to_vec() }),
        })
    }
}

impl subscriptions::Guest for Probe {
    fn ensure(
        _: String,
        callback_url: String,
        existing: Option<Subscription>,
    ) -> Result<Subscription, Error> {
        let id = existing.map_or_else(|| "sub_1".to_owned(), |existing| existing.id);
        Ok(Subscription {
            id,
            state: json!({ "url": callback_url }).to_string(),
            renew_after_ms: Some(60_000),
        })
    }

    fn remove(_config: String, existing: Subscription) -> Result<(), Error> {
        if existing.id == "sub_1" { Ok(()) } else { Err(fault(ErrorKind::NotFound, "no such subscription")) }
    }
}

/// Pure: says what it could reach, which must be nothing.
impl migration::Guest for Probe {
    fn position(_stream_name: String, from_version: u32, position: String) -> Result<String, Error> {
        Ok(format!("{{\"from\":{from_version},\"position\":{position}}}"))
    }

    fn config(from_version: u32, _config: String) -> Result<String, Error> {
        let request = http::Request {
            method: "GET".to_owned(),
            url: "https://example.com/".to_owned(),
            headers: Vec::new(),
            body: http::Body::None,
            timeout_ms: None,
            max_response: None,
            credential: None,
            idempotency_key: None,
        };
        let reached = json!({
            "from": from_version,
            "http": http::send(&request).is_ok(),
            "state": state::get("key").is_ok() || state::set("key", b"value", None).is_ok(),
        });
        Ok(reached.to_string())
    }

    fn state(_key: String, from_version: u32, value: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        Ok((from_version > 0).then_some(value))
    }
}
