//! What a connector should not do, though its answer be right.
use super::sandbox::Ended;
use crate::{
    cassette::{Called, Cassette, player::Asked, refusal::Refusal},
    output::shown_line,
};
use portcullis_egress::{Exchange, Outcome};
use portcullis_runtime::CallError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A record is a row of somebody's table.
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// A shorter value is in many words by chance: it is looked for as a word of its own, and what is shorter still is not.
const SENSITIVE_CHARS_MIN: usize = 6;
const SENSITIVE_WORD_CHARS_MIN: usize = 3;
/// Of somebody's text in a message.
pub const SHOWN_CHARS_MAX: usize = 400;

/// One line of somebody's text, not too long.
pub fn shortened(text: &str) -> String {
    let text = shown_line(text);
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

const STACK: &str = "look for a recursion without end, or keep what is still to do in a `Vec`: a document may be 127 levels deep";

/// What the standard library says where it asked for what no connector has.
const ABSENT: [&str; 8] = [
    ": NotPresent",
    "environment variable not found",
    "operation not supported on this platform",
    "no filesystem on wasm",
    "failed to lookup address",
    "PermissionDenied",
    // `ENOENT` and `ENOTSUP` of WASI.
    "Os { code: 44,",
    "Os { code: 58,",
];

/// What ended a call, and what its author can do.
pub fn ended(error: &CallError) -> String {
    let what = shortened(&error.to_string());
    let remedy = match error {
        // A Rust or C guest that runs out of its stack reaches past its memory.
        CallError::Trapped(name) if name.contains("stack overflow") => STACK,
        CallError::Panicked(words) if ABSENT.iter().any(|absent| words.contains(absent)) => {
            "a connector has no environment, files, threads or sockets of its own: what it needs comes by `config`, a credential slot, \
             an asset, a granted folder (`files`) or `http`"
        }
        CallError::Panicked(_) | CallError::Trapped(_) | CallError::Exited(_) => {
            "return an error there, with `?` instead of `unwrap` or an index: whoever calls gets its kind and its words"
        }
        CallError::CpuBudget(_) => {
            "look for a loop without end; else hand over less at once: smaller pages, or a `next` for the rest"
        }
        CallError::StackOverflow => STACK,
        CallError::Memory(_) => {
            "hold less at once: read the answer piece by piece (`open`), or keep it on disk (`download`)"
        }
        CallError::Timeout(_) => "wait for less at once: give a `next`, and go on in the next call",
        CallError::NoSuchRole(_) => {
            "add the role to `roles` in connector.toml and to `connector!`, and build"
        }
        CallError::InvalidAnswer(_) => {
            "the WIT says what the function answers: `sdk/wit` in the connector's folder"
        }
        _ => return what,
    };
    format!("{what}\n{remedy}")
}

/// A request that no rule allows.
pub fn denied(ended: &[Ended]) -> Option<String> {
    ended.iter().flat_map(|ended| &ended.exchanges).find_map(|row| match &row.outcome {
        Outcome::Denied { reason, remedy } => {
            let remedy = remedy.as_ref().map_or(String::new(), |remedy| format!("\n{remedy}"));
            Some(format!("{} {} was denied: {reason}{remedy}", row.method, row.url))
        }
        _ => None,
    })
}

/// A record that belongs into a blob.
pub fn large_record<'p>(pages: impl Iterator<Item = &'p [u8]>) -> Option<String> {
    let mut number = 0;
    for page in pages {
        for line in page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            number += 1;
            if line.len() > RECORD_BYTES_MAX {
                return Some(format!(
                    "record {number} has {} bytes, more than {RECORD_BYTES_MAX}: put what is large into a file or leave it out",
                    line.len()
                ));
            }
        }
    }
    None
}

/// A guest-level repetition of a request that the vendor refused: retries are the host's, with backoff and a budget. The same URL
/// with another body is another request: a destination sends a record each.
pub fn repeated(cassette: &Cassette, refusal: Refusal, ended: &[Ended], asked: &[Asked]) -> Option<String> {
    // What a credential adds to a query is not in the log: rows are told apart by their paths. Several may be under way at once.
    let path = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
    let is_refused = |status: Option<u16>| is_refused(refusal, status);
    let mut sent: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for row in first_attempts(refusal, ended) {
        *sent.entry((&row.method, path(&row.url))).or_default() += 1;
    }
    for ((method, path_of), count) in sent {
        let here = || asked.iter().filter(|asked| asked.method == method && path(&asked.url) == path_of);
        let as_recorded = |asked: &&Asked| {
            let answer = asked.answered_by.and_then(|at| cassette.exchanges.get(at));
            !asked.refused && is_refused(answer.map(|exchange| exchange.status))
        };
        let refused: BTreeSet<_> =
            here().filter(|asked| asked.refused).map(|asked| (&asked.url, &asked.body)).collect();
        let expected = refused.len() + here().filter(as_recorded).count();
        if let Some((url, _)) = refused.first().filter(|_| count > expected) {
            return Some(by_hand(method, url));
        }
    }
    None
}

/// Exchanges that a connector itself began, and that were answered by this refusal.
pub fn first_attempts(refusal: Refusal, ended: &[Ended]) -> impl Iterator<Item = &Exchange> {
    let rows = ended.iter().flat_map(|ended| &ended.exchanges);
    let rows = rows.filter(|row| row.attempt == 1 && !matches!(row.outcome, Outcome::Denied { .. }));
    rows.filter(move |row| is_refused(refusal, row.status))
}

fn is_refused(refusal: Refusal, status: Option<u16>) -> bool {
    match refusal {
        Refusal::Status(refused) => status == Some(refused),
        Refusal::ConnectionLost => status.is_none(),
    }
}

/// Something else that was asked for after a refusal, which no cassette has.
pub fn asked_beside(refusal: Refusal, asked: &[Asked]) -> Option<String> {
    asked_otherwise(refusal, asked).map(|other| by_hand(&other.method, &other.url))
}

fn by_hand(method: &str, url: &str) -> String {
    format!(
        "{method} {url} was asked for by hand after the vendor had refused a request: return the error, the host retries, and looks \
         after credentials"
    )
}

/// One that no cassette has, after a refusal: of what says nothing of what was asked for, any; else the same with another query or
/// body.
fn asked_otherwise(refusal: Refusal, asked: &[Asked]) -> Option<&Asked> {
    let path = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
    asked.iter().enumerate().filter(|(_, asked)| asked.answered_by.is_none()).find_map(|(at, other)| {
        let mut before = asked[..at].iter().filter(|before| before.refused);
        let is_again = |before: &Asked| {
            !refusal.is_of_what_was_asked()
                || (&before.method, path(&before.url)) == (&other.method, path(&other.url))
        };
        before.any(is_again).then_some(other)
    })
}

/// How the name of a property ends that holds a secret, without `-` and `_`.
const SECRET_NAMES: [&str; 18] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "apikey",
    "privatekey",
    "secretkey",
    "accesskey",
    "authorization",
    "credential",
    "credentials",
    "connectionstring",
    "sessionid",
    "cookie",
    "jwt",
    "otp",
];

/// Of a token that says where a list goes on.
const PLACES: [&str; 7] = ["page", "next", "cursor", "sync", "continuation", "resume", "position"];

fn is_secret_by_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let is_token = plain.ends_with("token") && !PLACES.iter().any(|place| plain.contains(place));
    is_token || SECRET_NAMES.iter().any(|known| plain.ends_with(known))
}

/// A log line with the value of a property that the manifest calls sensitive, or that is a secret by its name.
pub fn logged(cassette: &Cassette, sensitive: &[String], ended: &[Ended]) -> Option<String> {
    let mut values = Vec::new();
    collect(&cassette.config, sensitive, &mut values);
    for exchange in &cassette.exchanges {
        values.extend(exchange.headers.iter().filter_map(|(name, value)| secret_header(name, value)));
        let query = exchange.url.split_once('?').map_or("", |(_, query)| query);
        collect(&form(query.as_bytes()), sensitive, &mut values);
        for body in exchange.request_body.iter().chain([&exchange.body]) {
            documents(body).iter().for_each(|body| collect(body, sensitive, &mut values));
        }
    }
    let given: Vec<&[u8]> = match &cassette.call {
        Called::Action { input, .. } => vec![input.as_bytes()],
        Called::Delivery(delivery) => vec![&delivery.body],
        Called::Batch(batch) => vec![&batch.records],
        Called::Check | Called::Discover | Called::Stream(_) | Called::Complete { .. } => Vec::new(),
    };
    for given in given {
        documents(given).iter().for_each(|given| collect(given, sensitive, &mut values));
    }
    let lines = ended.iter().flat_map(|ended| &ended.logged);
    for line in lines {
        if let Some((name, _)) = values.iter().find(|(_, value)| holds(line, value)) {
            let why = match sensitive.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                true => "which the manifest calls sensitive",
                false => "a secret by its name",
            };
            return Some(format!(
                "a log line holds the value of `{name}`, {why}: log what tells it from others, such as its id"
            ));
        }
    }
    None
}

/// A body that is JSON, lines of it, or a form.
fn documents(body: &[u8]) -> Vec<Value> {
    if let Ok(whole) = serde_json::from_slice(body) {
        return vec![whole];
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(serde_json::from_slice).collect::<Result<_, _>>().unwrap_or_else(|_| vec![form(body)])
}

fn form(text: &[u8]) -> Value {
    let pairs = form_urlencoded::parse(text);
    Value::Object(pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect())
}

/// Whether a line has a value, as it is or as JSON writes it.
fn holds(line: &str, value: &str) -> bool {
    let written = Value::from(value).to_string();
    let plain: String = written
        .chars()
        .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) })
        .collect();
    [value, written.trim_matches('"'), plain.trim_matches('"')].iter().any(|value| has(line, value))
}

/// A short one as a word of its own.
fn has(line: &str, value: &str) -> bool {
    if value.chars().count() >= SENSITIVE_CHARS_MIN {
        return line.contains(value);
    }
    let is_outside = |beside: Option<char>| beside.is_none_or(|beside| !beside.is_alphanumeric());
    line.match_indices(value).any(|(at, _)| {
        is_outside(line[..at].chars().next_back()) && is_outside(line[at + value.len()..].chars().next())
    })
}

/// A cookie is what stands between its name and its attributes.
fn secret_header(name: &str, value: &str) -> Option<(String, String)> {
    let cookie = || value.split(';').next()?.split_once('=').map(|(_, value)| value.trim());
    let secret = match name.eq_ignore_ascii_case("set-cookie") {
        true => cookie()?,
        false if is_secret_by_name(name) => value,
        false => return None,
    };
    is_told_apart(secret).then(|| (name.to_owned(), secret.to_owned()))
}

fn is_told_apart(value: &str) -> bool {
    // What a recording masked is no value.
    value.chars().count() >= SENSITIVE_WORD_CHARS_MIN && value.bytes().any(|byte| byte != b'*')
}

/// Texts and numbers below sensitive names, at any depth, with the name of each.
fn collect(value: &Value, sensitive: &[String], values: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, sensitive, values)),
        Value::Object(map) => {
            for (name, value) in map {
                let named =
                    is_secret_by_name(name) || sensitive.iter().any(|known| known.eq_ignore_ascii_case(name));
                match named {
                    true => leaves(name, value, values),
                    false => collect(value, sensitive, values),
                }
            }
        }
        _ => {}
    }
}

fn leaves(name: &str, value: &Value, values: &mut Vec<(String, String)>) {
    let mut leaf = |text: String| {
        if is_told_apart(&text) {
            values.push((name.to_owned(), text));
        }
    };
    match value {
        Value::String(text) => leaf(text.clone()),
        Value::Number(number) => leaf(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| leaves(name, item, values)),
        Value::Object(map) => map.values().for_each(|item| leaves(name, item, values)),
        Value::Null | Value::Bool(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_a_secret() {
        for name in [
            "token",
            "access_token",
            "clientSecret",
            "X-Api-Key",
            "password",
            "Authorization",
            "session-token",
            "bot_token",
            "session_id",
            "cookie",
            "db_connection_string",
        ] {
            assert!(is_secret_by_name(name), "{name}");
        }
        for name in [
            "next_page_token",
            "nextPageToken",
            "sync_token",
            "cursor",
            "secretary",
            "tokens",
            "passwords_changed",
        ] {
            assert!(!is_secret_by_name(name), "{name}");
        }
        let header = |name, value| secret_header(name, value).map(|(_, secret)| secret);
        assert_eq!(header("set-cookie", "sid=7f3a9c21e5; Path=/; HttpOnly").as_deref(), Some("7f3a9c21e5"));
        assert_eq!(header("x-auth-token", "7f3a9c21e5").as_deref(), Some("7f3a9c21e5"));
        assert_eq!(header("content-type", "application/json"), None);
    }

    #[test]
    fn a_short_value_is_a_word_of_its_own() {
        for (line, value) in
            [("created Ada", "Ada"), ("name=Ada, id=7", "Ada"), ("pin 4711", "4711"), ("x7f3a9cx", "7f3a9c")]
        {
            assert!(holds(line, value), "{value} in {line}");
        }
        for (line, value) in [("created Adam", "Ada"), ("readable", "Ada"), ("14711 rows", "4711")] {
            assert!(!holds(line, value), "{value} in {line}");
        }
        let mut values = Vec::new();
        let record = serde_json::json!({"name": "Ada", "pin": 4711, "ok": true, "x": 7, "id": "a1b2c3", "tags": ["blue22"]});
        collect(&record, &["name", "pin", "ok", "x", "tags"].map(str::to_owned), &mut values);
        for body in
            ["{\"token\":\"first1\"}\n{\"token\":\"second2\"}\n", "a=b&password=third%203", "password=***"]
        {
            documents(body.as_bytes()).iter().for_each(|document| collect(document, &[], &mut values));
        }
        let found: Vec<_> = values.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(found, ["Ada", "4711", "blue22", "first1", "second2", "third 3"]);
    }
}
