//! What came back, held to the contract of the WIT before anyone above sees it: JSON is JSON, a record is an object, nothing
//! is larger than its bound. No `Value` is built: a page's records are walked and kept as the bytes they are.

use crate::{
    CallError, ConnectorError, ErrorKind, Page, Reply, StreamDescriptor, call::Event,
    host::v0_1::imports::types, limits, text,
};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// JSON of at most `bytes_max`, or why not.
pub(crate) fn json(what: &'static str, json: String, bytes_max: u64) -> Result<String, CallError> {
    bounded(what, json.len(), bytes_max)?;
    match walk(&json) {
        Ok(()) => Ok(json),
        Err(why) => Err(invalid(format!("`{what}` {why}"))),
    }
}

/// Is JSON, and not nested deeper than serde_json reads it back: walking by `IgnoredAny` alone knows no depth.
fn walk(json: &str) -> Result<(), NotJson> {
    serde_json::from_str::<IgnoredAny>(json).map_err(NotJson::Syntax)?;
    // Few texts have so many brackets that they are worth a second look.
    let opened = memchr::memchr2_iter(b'[', b'{', json.as_bytes()).count();
    if opened > limits::JSON_DEPTH_MAX && depth(json) > limits::JSON_DEPTH_MAX {
        return Err(NotJson::Deep);
    }
    Ok(())
}

/// Of valid JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[derive(Debug, thiserror::Error)]
enum NotJson {
    #[error("is not JSON: {0}")]
    Syntax(serde_json::Error),
    #[error("is nested deeper than {}", limits::JSON_DEPTH_MAX)]
    Deep,
}

/// `next`, `checkpoint` and the like.
pub(crate) fn position(what: &'static str, position: Option<String>) -> Result<Option<String>, CallError> {
    position.map(|text| json(what, text, limits::POSITION_BYTES_MAX)).transpose()
}

/// A name that the host will store.
pub(crate) fn name(what: &'static str, name: String) -> Result<String, CallError> {
    bounded(what, name.len(), limits::ANSWER_NAME_BYTES_MAX)?;
    if name.is_empty() { Err(invalid(format!("`{what}` is empty"))) } else { Ok(name) }
}

/// A name that ends up in logs, rows and rules of people: one line of it.
fn line(what: &'static str, text: String) -> Result<String, CallError> {
    let text = name(what, text)?;
    if text.chars().any(portcullis_manifest::diagnose::is_hidden) {
        return Err(invalid(format!("`{what}` has a control or invisible character: `{text}`")));
    }
    Ok(text)
}

/// Events of a delivery. An empty id would make duplicates of all that have one.
pub(crate) fn events(events: Vec<Event>) -> Result<Vec<Event>, CallError> {
    bounded("events", events.len(), limits::EVENTS_MAX)?;
    bounded("event-bytes", events.iter().map(|event| event.2.len()).sum(), limits::OUTPUT_BYTES_MAX)?;
    let checked = |(name, id, payload): Event| {
        let id = id.map(|id| line("event id", id)).transpose()?;
        Ok((line("event name", name)?, id, json("payload", payload, limits::OUTPUT_BYTES_MAX)?))
    };
    events.into_iter().map(checked).collect()
}

/// An answer that HTTP can carry, and in which nobody can hide a second one.
pub(crate) fn reply((status, headers, body): &Reply) -> Result<(), CallError> {
    bounded("reply-bytes", body.len(), limits::BODY_BYTES_MAX)?;
    bounded("reply-headers", headers.len(), limits::REPLY_HEADERS_MAX)?;
    let bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    bounded("reply-header-bytes", bytes, limits::REPLY_HEADER_BYTES_MAX)?;
    if !(200..=599).contains(status) {
        return Err(invalid(format!("the reply has the status {status}: 200 to 599")));
    }
    for (name, value) in headers {
        let fits = http::HeaderName::from_bytes(name.as_bytes()).is_ok()
            && http::HeaderValue::from_bytes(value).is_ok();
        if !fits {
            return Err(invalid(format!("the reply has a header that HTTP has not: `{name}`")));
        }
    }
    Ok(())
}

/// Lines of a batch that were refused, in order. One that the batch has not, or the same twice, is no answer: which line was
/// meant, and whether the others are written, nobody knows then.
pub(crate) fn rejected(
    lines: impl Iterator<Item = (u32, types::Error)>,
    records: &[u8],
) -> Result<Vec<(u32, ConnectorError)>, CallError> {
    let there: Vec<bool> = records.split(|byte| *byte == b'\n').map(|line| !line.is_empty()).collect();
    let mut found = BTreeMap::new();
    for (line, refused) in lines {
        if !there.get(line as usize).is_some_and(|there| *there) {
            let count = there.iter().filter(|there| **there).count();
            let last = count.saturating_sub(1);
            return Err(invalid(format!(
                "`line` {line} was rejected, and those of the batch are 0 to {last}"
            )));
        }
        if found.insert(line, error(refused)).is_some() {
            return Err(invalid(format!("`line` {line} was rejected twice")));
        }
    }
    Ok(found.into_iter().collect())
}

/// Size before meaning: an oversized answer says so.
pub(crate) fn bounded(limit: &'static str, bytes: usize, bound: u64) -> Result<(), CallError> {
    if bytes as u64 > bound { Err(CallError::Limit { limit, bound }) } else { Ok(()) }
}

pub(crate) fn page(
    records: Vec<u8>,
    next: Option<String>,
    checkpoint: Option<String>,
    again_after_ms: Option<u64>,
) -> Result<Page, CallError> {
    bounded("page-bytes", records.len(), limits::PAGE_BYTES_MAX)?;
    let count = count(&records)?;
    let (next, checkpoint) = (position("next", next)?, position("checkpoint", checkpoint)?);
    Ok(Page { records, count, next, checkpoint, again_after_ms })
}

/// Lines of NDJSON, each of them an object.
fn count(records: &[u8]) -> Result<u64, CallError> {
    let records = std::str::from_utf8(records)
        .map_err(|error| invalid(format!("the records are not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut count = 0;
    let lines = records.strip_suffix('\n').unwrap_or(records);
    if lines.is_empty() {
        return Ok(0);
    }
    for line in lines.split('\n') {
        count += 1;
        if !line.trim_ascii_start().starts_with('{') {
            return Err(invalid(format!("line {count} of the records is not a JSON object")));
        }
        walk(line).map_err(|why| invalid(format!("line {count} of the records {why}")))?;
    }
    Ok(count)
}

pub(crate) fn streams(streams: Vec<types::StreamDescriptor>) -> Result<Vec<StreamDescriptor>, CallError> {
    bounded("streams", streams.len(), limits::STREAMS_MAX as u64)?;
    let schemas = streams.iter().map(|stream| stream.schema.len()).sum();
    bounded("schema-bytes", schemas, limits::OUTPUT_BYTES_MAX)?;
    streams
        .into_iter()
        .map(|stream| {
            Ok(StreamDescriptor {
                name: name("stream name", stream.name)?,
                schema: json("schema", stream.schema, limits::OUTPUT_BYTES_MAX)?,
                primary_key: stream.primary_key,
                cursor_field: stream.cursor_field,
                deleted_field: stream.deleted_field,
                complete_reads: stream.complete_reads,
            })
        })
        .collect()
}

/// A connector's error: its message shortened and escaped; details that are no JSON, or too large, are left out rather
/// than hiding the error.
pub(crate) fn error(error: types::Error) -> ConnectorError {
    let details = error.details.filter(|details| {
        details.len() as u64 <= limits::POSITION_BYTES_MAX
            && serde_json::from_str::<IgnoredAny>(details).is_ok()
    });
    ConnectorError {
        kind: kind(error.kind),
        message: text::shown(&error.message, limits::MESSAGE_BYTES_MAX),
        retry_after_ms: error.retry_after_ms,
        details,
    }
}

pub(crate) fn invalid(why: impl AsRef<str>) -> CallError {
    CallError::InvalidAnswer(text::shown(why.as_ref(), limits::MESSAGE_BYTES_MAX))
}

fn kind(kind: types::ErrorKind) -> ErrorKind {
    match kind {
        types::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
        types::ErrorKind::InvalidConfig => ErrorKind::InvalidConfig,
        types::ErrorKind::Unauthorized => ErrorKind::Unauthorized,
        types::ErrorKind::Forbidden => ErrorKind::Forbidden,
        types::ErrorKind::NotFound => ErrorKind::NotFound,
        types::ErrorKind::Conflict => ErrorKind::Conflict,
        types::ErrorKind::RateLimited => ErrorKind::RateLimited,
        types::ErrorKind::Unavailable => ErrorKind::Unavailable,
        types::ErrorKind::Timeout => ErrorKind::Timeout,
        types::ErrorKind::ContractDrift => ErrorKind::ContractDrift,
        types::ErrorKind::Denied => ErrorKind::Denied,
        types::ErrorKind::PositionExpired => ErrorKind::PositionExpired,
        types::ErrorKind::Cancelled => ErrorKind::Cancelled,
        types::ErrorKind::Unsupported => ErrorKind::Unsupported,
        types::ErrorKind::Internal => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn records_are_objects_line_by_line() {
        fn check(records: &[u8], expected: Result<u64, &str>) {
            let counted = count(records).map_err(|error| error.to_string());
            match (&counted, expected) {
                (Ok(count), Ok(expected)) => assert_eq!(*count, expected),
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                _ => panic!("{records:?}: {counted:?}"),
            }
        }
        check(b"", Ok(0));
        check(b"\n", Ok(0));
        check(b"{}\n{\"a\":[1,{}]}", Ok(2));
        check(b"{}\r\n {}\n", Ok(2));
        check(b"{}\n\n{}\n", Err("line 2 of the records is not a JSON object"));
        check(b"{}\n[]\n", Err("line 2 of the records is not a JSON object"));
        check(b"{\"a\":}\n", Err("line 1 of the records is not JSON"));
        check(b"{} {}\n", Err("line 1 of the records is not JSON"));
        check(b"{\"a\":\"\xff\"}", Err("not UTF-8 at byte 6"));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        check(deep.as_bytes(), Err("line 1 of the records is nested deeper than 127"));
        let flat = format!("{{\"a\":[\"[[\\\"{}\",{}]}}", "[".repeat(200), "[],".repeat(200) + "1");
        check(flat.as_bytes(), Ok(1));
        serde_json::from_str::<serde_json::Value>(&format!("{}{}", "[".repeat(127), "]".repeat(127)))
            .unwrap();
        check(&[b' '; 10], Err("not a JSON object"));
    }

    #[test]
    fn sizes_come_first() {
        let large = "x".repeat(limits::POSITION_BYTES_MAX as usize + 1);
        assert!(matches!(
            position("next", Some(large)),
            Err(CallError::Limit { limit: "next", bound: 65_536 })
        ));
        let records = vec![b'x'; limits::PAGE_BYTES_MAX as usize + 1];
        assert!(matches!(page(records, None, None, None), Err(CallError::Limit { limit: "page-bytes", .. })));
    }

    #[test]
    fn errors_of_connectors_can_be_shown() {
        let details = |text: &str| types::Error {
            kind: types::ErrorKind::NotFound,
            message: "a\n".repeat(5_000),
            retry_after_ms: Some(1),
            details: Some(text.to_owned()),
        };
        let shown = error(details("{\"a\":1}"));
        assert!(shown.message.len() <= limits::MESSAGE_BYTES_MAX + 3 && !shown.message.contains('\n'));
        assert_eq!(shown.details.as_deref(), Some("{\"a\":1}"));
        assert_eq!(error(details("{")).details, None);
    }
}
