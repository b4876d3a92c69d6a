//! What a connector should not do, though its answer be right.
use super::sandbox::Ended;
use crate::{
    cassette::{Called, Cassette, player::Asked},
    output::shown_line,
};
use portcullis_egress::Outcome;
use portcullis_runtime::CallError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A record is a row of somebody's table.
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// A shorter value is in many words by chance: it is looked for as a word of its own, and what is shorter still is not.
const SENSITIVE_CHARS_MIN: usize = 6;
const SENSITIVE_WORD_CHARS_MIN: usize = 3;
const SHOWN_CHARS_MAX: usize = 400;

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
pub fn repeated(ended: &[Ended], asked: &[Asked]) -> Option<String> {
    if let Some(other) = asked_otherwise(asked) {
        return Some(by_hand(&other.method, &other.url));
    }
    // Attempts in the order in which they arrived. What a credential adds to a query is not in the log.
    let path = |url: &str| url.split('?').next().unwrap_or_default().to_owned();
    let mut attempts: BTreeMap<(&str, String), VecDeque<u32>> = BTreeMap::new();
    let rows = ended.iter().flat_map(|ended| &ended.exchanges);
    for row in rows.filter(|row| !matches!(row.outcome, Outcome::Denied { .. })) {
        attempts.entry((&row.method, path(&row.url))).or_default().push_back(row.attempt);
    }
    let mut refused = BTreeSet::new();
    asked.iter().find_map(|asked| {
        let attempt = attempts.get_mut(&(&*asked.method, path(&asked.url)))?.pop_front()?;
        let is_hosts = !asked.refused || attempt > 1;
        let again = !is_hosts && !refused.insert((&asked.method, &asked.url, &asked.body));
        again.then(|| by_hand(&asked.method, &asked.url))
    })
}

fn by_hand(method: &str, url: &str) -> String {
    format!(
        "{method} {url} was asked for again by hand after the vendor had refused it: return the error, the host retries"
    )
}

/// One that no cassette has, and that was refused before but for what its query says more.
fn asked_otherwise(asked: &[Asked]) -> Option<&Asked> {
    let parts = |url: &str| {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(str::to_owned);
        (path.to_owned(), pairs.collect::<BTreeSet<_>>())
    };
    asked.iter().enumerate().filter(|(_, asked)| asked.answered_by.is_none()).find_map(|(at, other)| {
        let (path, pairs) = parts(&other.url);
        let before = asked[..at].iter().filter(|before| before.refused).any(|before| {
            let (refused_path, refused) = parts(&before.url);
            (&before.method, &before.body, &refused_path) == (&other.method, &other.body, &path)
                && refused.is_subset(&pairs)
        });
        before.then_some(other)
    })
}

/// How the name of a property ends that holds a secret, without `-` and `_`.
const SECRET_NAMES: [&str; 20] = [
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "authtoken",
    "sessiontoken",
    "bearertoken",
    "apitoken",
    "secret",
    "password",
    "apikey",
    "privatekey",
    "secretkey",
    "accesskey",
    "csrftoken",
    "xsrftoken",
    "passwd",
    "passphrase",
    "authorization",
    "credential",
    "jwt",
];

fn is_secret_by_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    plain == "token" || SECRET_NAMES.iter().any(|known| plain.ends_with(known))
}

/// A log line with the value of a property that the manifest calls sensitive, or that is a secret by its name.
pub fn logged(cassette: &Cassette, sensitive: &[String], ended: &[Ended]) -> Option<String> {
    let mut values = Vec::new();
    collect(&cassette.config, sensitive, &mut values);
    for exchange in &cassette.exchanges {
        values.extend(exchange.headers.iter().filter_map(|(name, value)| secret_header(name, value)));
        for body in exchange.request_body.iter().chain([&exchange.body]) {
            if let Ok(body) = serde_json::from_slice::<Value>(body) {
                collect(&body, sensitive, &mut values);
            }
        }
    }
    let given: Vec<&[u8]> = match &cassette.call {
        Called::Action { input, .. } => vec![input.as_bytes()],
        Called::Delivery(delivery) => vec![&delivery.body],
        Called::Batch(batch) => batch.records.split(|byte| *byte == b'\n').collect(),
        Called::Check | Called::Stream(_) | Called::Complete { .. } => Vec::new(),
    };
    for given in given {
        if let Ok(given) = serde_json::from_slice::<Value>(given) {
            collect(&given, sensitive, &mut values);
        }
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

/// Whether a line has a value, a short one as a word of its own.
fn holds(line: &str, value: &str) -> bool {
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
    value.chars().count() >= SENSITIVE_WORD_CHARS_MIN
}

/// Texts and numbers below sensitive names, at any depth.
fn collect(value: &Value, sensitive: &[String], values: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, sensitive, values)),
        Value::Object(map) => {
            for (name, value) in map {
                let named =
                    is_secret_by_name(name) || sensitive.iter().any(|known| known.eq_ignore_ascii_case(name));
                match value {
                    Value::String(text) if named && is_told_apart(text) => {
                        values.push((name.clone(), text.clone()));
                    }
                    Value::Number(number) if named && is_told_apart(&number.to_string()) => {
                        values.push((name.clone(), number.to_string()));
                    }
                    other => collect(other, sensitive, values),
                }
            }
        }
        _ => {}
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
        let record = serde_json::json!({"name": "Ada", "pin": 4711, "ok": true, "x": 7, "id": "a1b2c3"});
        collect(&record, &["name", "pin", "ok", "x"].map(str::to_owned), &mut values);
        values.sort();
        assert_eq!(values, [("name", "Ada"), ("pin", "4711")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
