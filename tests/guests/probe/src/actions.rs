//! `actions.invoke`: the action's name says what to do.

use crate::{
    Error, ErrorKind, Probe, assets, blobs,
    exports::portcullis::connector::actions::{Guest, Outcome, Pending},
    fault, hostile, log, parse, requests, state, storage_error,
};
use serde_json::{Value, json};

impl Guest for Probe {
    fn invoke(
        _config: String,
        action: String,
        input: String,
        resume: Option<String>,
    ) -> Result<Outcome, Error> {
        act(&action, input, resume)
    }
}

fn act(action: &str, input: String, resume: Option<String>) -> Result<Outcome, Error> {
    let order: Value = parse(&input, ErrorKind::InvalidInput)?;
    let output = match action {
        "echo" => return Ok(Outcome::Done(input)),
        "bad-json" => return Ok(Outcome::Done("{".to_owned())),
        "return-big" => return Ok(Outcome::Done(format!("\"{}\"", "x".repeat(size(&order, "bytes"))))),
        "pending" => return Ok(pending(resume, &order)),
        "fail" => return Err(failure(&order)),
        "send" => requests::send(&order),
        "send-many" => requests::send_many(&order),
        "send-each" => requests::send_each(&order),
        "send-all" => requests::send_all(&order),
        "send-then" => {
            // What came of the requests is the world's business; the call ends as the other action does.
            let _sent = requests::send_each(&order);
            return act(text(&order, "then"), order["input"].to_string(), None);
        }
        "download" => requests::download(&order),
        "open" => requests::open(&order),
        "state-get" => stored(state::get(text(&order, "key")), |entry| {
            entry.map_or(
                Value::Null,
                |entry| json!({ "value": String::from_utf8_lossy(&entry.value), "version": entry.version }),
            )
        }),
        "state-set" => {
            let expected = order["expected"].as_u64();
            stored(
                state::set(text(&order, "key"), text(&order, "value").as_bytes(), expected),
                |version| json!({ "version": version }),
            )
        }
        "state-delete" => stored(state::delete(text(&order, "key")), |()| json!({})),
        "state-list" => {
            let max = u32::try_from(order["max"].as_u64().unwrap_or(100)).unwrap_or(u32::MAX);
            stored(
                state::list_keys(text(&order, "prefix"), order["after"].as_str(), max),
                |keys| json!({ "keys": keys }),
            )
        }
        "asset" => assets::get(text(&order, "name"))
            .map_or(Value::Null, |bytes| json!({ "text": String::from_utf8_lossy(&bytes) })),
        "blob-create" => stored(blobs::create(), |_writer| json!({ "writer": true })),
        "blob-read" => {
            stored(blobs::read(text(&order, "blob"), 0, 16), |bytes| json!({ "bytes": bytes.len() }))
        }
        "blob-stat" => stored(blobs::stat(text(&order, "blob")), |info| json!({ "size": info.size })),
        "blob-write" => blob_write(&order),
        "large" => requests::large(&order),
        "log" => {
            write_logs(&order);
            json!({})
        }
        _ => return hostile::act(action, &order).map(|output| Outcome::Done(output.to_string())),
    };
    Ok(Outcome::Done(output.to_string()))
}

/// `{"text": …, "n": 2}` or `{"body-bytes": …}`: as often as said, then what is known of the blob.
fn blob_write(order: &Value) -> Value {
    let bytes = match order["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => vec![b'x'; size(order, "body-bytes")],
    };
    let written = blobs::create().and_then(|writer| {
        (0..size(order, "n")).try_for_each(|_| writer.write(&bytes))?;
        let blob = blobs::finish(writer)?;
        let info = blobs::stat(&blob)?;
        Ok(json!({ "blob": blob, "size": info.size, "sha256": info.sha256 }))
    });
    stored(written, |known| known)
}

/// First a `pending` with the order as its memory, then what was remembered.
fn pending(resume: Option<String>, order: &Value) -> Outcome {
    match resume {
        None => Outcome::Pending(Pending {
            resume: order.to_string(),
            after_ms: order["after-ms"].as_u64().unwrap_or(1_000),
        }),
        Some(resume) => Outcome::Done(format!("{{\"resumed\":{resume}}}")),
    }
}

/// `{"kind": "not-found", "message": …, "retry-after-ms": …, "details": …}`
pub fn failure(order: &Value) -> Error {
    let kind = match text(order, "kind") {
        "invalid-input" => ErrorKind::InvalidInput,
        "invalid-config" => ErrorKind::InvalidConfig,
        "unauthorized" => ErrorKind::Unauthorized,
        "forbidden" => ErrorKind::Forbidden,
        "not-found" => ErrorKind::NotFound,
        "conflict" => ErrorKind::Conflict,
        "rate-limited" => ErrorKind::RateLimited,
        "unavailable" => ErrorKind::Unavailable,
        "timeout" => ErrorKind::Timeout,
        "contract-drift" => ErrorKind::ContractDrift,
        "denied" => ErrorKind::Denied,
        "position-expired" => ErrorKind::PositionExpired,
        "cancelled" => ErrorKind::Cancelled,
        "unsupported" => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    };
    Error {
        retry_after_ms: order["retry-after-ms"].as_u64(),
        details: order["details"].as_str().map(str::to_owned),
        ..fault(kind, text(order, "message"))
    }
}

/// `{"n": 3, "size": 10, "level": "warn"}`, or one `{"message": …}`.
fn write_logs(order: &Value) {
    let level = match text(order, "level") {
        "debug" => log::Level::Debug,
        "warn" => log::Level::Warn,
        "error" => log::Level::Error,
        _ => log::Level::Info,
    };
    let made = "l".repeat(size(order, "size"));
    let message = order["message"].as_str().unwrap_or(&made);
    for n in 0..order["n"].as_u64().unwrap_or(1) {
        log::log(level, message, &[("n".to_owned(), n.to_string())]);
    }
}

fn stored<T>(result: Result<T, crate::StorageError>, answer: impl FnOnce(T) -> Value) -> Value {
    result.map_or_else(storage_error, answer)
}

pub fn text<'a>(order: &'a Value, name: &str) -> &'a str {
    order[name].as_str().unwrap_or_default()
}

pub fn size(order: &Value, name: &str) -> usize {
    order[name].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(0)
}
