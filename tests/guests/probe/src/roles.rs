//! `destination`, `webhook`, `subscriptions` and `migration`: answers that follow from what was given, after what `config` orders.

use crate::{
    Error, ErrorKind, Header, Probe, actions,
    exports::portcullis::connector::{destination, migration, subscriptions, webhook},
    fault, http, parse, requests, state,
};
use destination::{Batch, Rejected};
use serde_json::{Value, json};
use subscriptions::Subscription;
use webhook::{Delivery, Event, Reply};

/// `{"send": [ORDER, …], "fail": {"kind": …}}`: sends, whatever comes of it; then fails, where it is to. The order, and what came.
fn first(config: &str) -> Result<(Value, Value), Error> {
    let order: Value = parse(config, ErrorKind::InvalidConfig)?;
    let came = requests::send_each(&json!({ "requests": order["send"] }));
    match order["fail"].is_object() {
        true => Err(actions::failure(&order["fail"])),
        false => Ok((order, came)),
    }
}

/// To whom `{"post": URL}` names, under this key: what it answers.
fn post(to: &str, path: &str, key: &str, body: &[u8]) -> Result<Value, Error> {
    let order = json!({
        "method": "POST", "url": format!("{to}/{path}"), "body": String::from_utf8_lossy(body), "idempotency-key": key,
    });
    let came = requests::send(&order);
    let body = came["body"].as_str().unwrap_or_default();
    match came["status"].as_u64() {
        Some(200) => parse(body, ErrorKind::ContractDrift),
        Some(409) => Err(fault(ErrorKind::Conflict, body.to_owned())),
        _ => Err(fault(ErrorKind::Unavailable, came.to_string())),
    }
}

/// Hands the batch on, and its answer's `rejected` back.
fn posted(to: &str, batch: &Batch) -> Result<Vec<Rejected>, Error> {
    let Batch { id, generation, .. } = batch;
    let stream = &batch.stream_descriptor;
    let marked = stream.deleted_field.as_deref().unwrap_or_default();
    let path =
        format!("batches?stream={}&generation={generation}&deleted-field={marked}&id={id}", stream.name);
    let answer = post(to, &path, id, &batch.records)?;
    let lines = answer["rejected"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |line: &Value| u32::try_from(line.as_u64().unwrap_or_default()).unwrap_or(u32::MAX);
    let refused =
        |at| Rejected { line: line(at), error: fault(ErrorKind::InvalidInput, "the target refused it") };
    Ok(lines.iter().map(refused).collect())
}

impl destination::Guest for Probe {
    /// Refuses the lines that hold `reject`, and says why; or those that the config names: `{"rejected": [0, 7]}`; or hands them on:
    /// `{"post": URL}`.
    fn write(config: String, batch: Batch) -> Result<Vec<Rejected>, Error> {
        let (order, came) = first(&config)?;
        if let Some(to) = order["post"].as_str() {
            return posted(to, &batch);
        }
        if let Some(lines) = order["rejected"].as_array() {
            let line = |line: &Value| u32::try_from(line.as_u64().unwrap_or_default()).unwrap_or(u32::MAX);
            let refused = |at| Rejected { line: line(at), error: fault(ErrorKind::Conflict, "as ordered") };
            return Ok(lines.iter().map(refused).collect());
        }
        let lines = batch.records.split(|byte| *byte == b'\n');
        Ok(lines
            .zip(0..)
            .filter(|(line, _)| line.windows(6).any(|part| part == b"reject"))
            .map(|(_, line)| Rejected {
                line,
                error: fault(ErrorKind::InvalidInput, format!("told to reject it after {came}")),
            })
            .collect())
    }

    /// As if `generation` things were gone; or what is answered where it is handed on.
    fn complete(
        config: String,
        stream: String,
        generation: u64,
        removed_max: Option<u64>,
    ) -> Result<u64, Error> {
        let order: Value = parse(&config, ErrorKind::InvalidConfig)?;
        if let Some(to) = order["post"].as_str() {
            let max = removed_max.map_or(String::new(), |max| max.to_string());
            let path = format!("complete?stream={stream}&generation={generation}&max={max}");
            let answer = post(to, &path, &format!("complete-{stream}-{generation}"), b"")?;
            return Ok(answer["removed"].as_u64().unwrap_or_default());
        }
        if order["fail-complete"].is_object() {
            return Err(actions::failure(&order["fail-complete"]));
        }
        match removed_max {
            Some(max) if generation > max => Err(fault(ErrorKind::Conflict, "more than may be removed")),
            _ => Ok(generation),
        }
    }
}

impl webhook::Guest for Probe {
    /// One event of what was delivered, and a reply; or `{"events": [[NAME, ID, PAYLOAD], …], "reply": {"status": …, "headers":
    /// [[NAME, VALUE], …]}}`.
    fn handle(config: String, delivery: Delivery) -> Result<webhook::Outcome, Error> {
        let (order, came) = first(&config)?;
        if order["events"].is_array() || order["reply"].is_object() {
            return Ok(ordered(&order));
        }
        let payload = json!({
            "method": delivery.method,
            "path": delivery.path,
            "query": delivery.query,
            "headers": delivery.headers.len(),
            "came": came,
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

fn ordered(order: &Value) -> webhook::Outcome {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let event = |event: Value| Event {
        name: text(&event[0]),
        id: event[1].as_str().map(str::to_owned),
        payload: text(&event[2]),
    };
    let header = |pair: Value| Header { name: text(&pair[0]), value: text(&pair[1]).into_bytes() };
    let reply = order["reply"].as_object().map(|reply| Reply {
        status: u16::try_from(reply["status"].as_u64().unwrap_or_default()).unwrap_or(u16::MAX),
        headers: reply.get("headers").map(list).unwrap_or_default().into_iter().map(header).collect(),
        body: Vec::new(),
    });
    webhook::Outcome { events: list(&order["events"]).into_iter().map(event).collect(), reply }
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

/// Pure: says what it could reach, which must be nothing. It fails by the name of what is moved, since nothing else orders it.
impl migration::Guest for Probe {
    fn position(stream_name: String, from_version: u32, position: String) -> Result<String, Error> {
        match stream_name.as_str() {
            "fails" => Err(fault(ErrorKind::InvalidInput, "told to fail")),
            "panics" => panic!("told to panic"),
            "spins" => loop {
                std::hint::black_box(());
            },
            "broken" => Ok("{".to_owned()),
            "large" => Ok(format!("\"{}\"", "x".repeat(64 << 10))),
            _ => Ok(format!("{{\"from\":{from_version},\"position\":{position}}}")),
        }
    }

    /// What it could reach; or what the config says: `{"proposed": …}`, `{"fail": {"kind": …}}`.
    fn config(from_version: u32, config: String) -> Result<String, Error> {
        let order: Value = parse(&config, ErrorKind::InvalidConfig)?;
        if order["fail"].is_object() {
            return Err(actions::failure(&order["fail"]));
        }
        if !order["proposed"].is_null() {
            return Ok(order["proposed"].to_string());
        }
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

    fn state(key: String, from_version: u32, value: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        match key.as_str() {
            "fails" => Err(fault(ErrorKind::InvalidInput, "told to fail")),
            "goes" => Ok(None),
            _ => Ok((from_version > 0).then_some(value)),
        }
    }
}
