//! What was expected beside what came, in the words of a difference.
use super::mistakes;
use crate::cassette::player::{Asked, FRESH};
use portcullis_runtime::Reply;
use serde_json::Value;
use std::collections::BTreeMap;

/// `what`: record, event.
pub fn differ(what: &str, expected: &[Value], found: &[Value]) -> Option<String> {
    let at = (0..expected.len().max(found.len())).find(|at| expected.get(*at) != found.get(*at))?;
    let text = |value: Option<&Value>| match value {
        Some(value) => mistakes::shortened(&value.to_string()),
        None => format!("nothing: the {what}s are over"),
    };
    Some(format!(
        "{what} {} differs ({} expected, {} came)\n  expected {}\n  it is    {}",
        at + 1,
        expected.len(),
        found.len(),
        text(expected.get(at)),
        text(found.get(at))
    ))
}

/// From where they differ, where they are long.
pub fn outputs_differ(expected: &Value, found: &Value) -> Option<String> {
    /// So much is shown before that.
    const BEFORE_CHARS: usize = 40;
    if expected == found {
        return None;
    }
    let (expected, found) = (expected.to_string(), found.to_string());
    let same = expected.chars().zip(found.chars()).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(BEFORE_CHARS);
    let text = |text: &str| match text.chars().count() > mistakes::SHOWN_CHARS_MAX && from > 0 {
        true => mistakes::shortened(
            &text.chars().skip(from).fold("…".to_owned(), |text, c| text + c.encode_utf8(&mut [0; 4])),
        ),
        false => mistakes::shortened(text),
    };
    Some(format!("the output differs\n  expected {}\n  it is    {}", text(&expected), text(&found)))
}

/// Names of headers have no case, and no order among different ones.
pub fn replies_differ(expected: Option<&Reply>, found: Option<&Reply>) -> Option<String> {
    let plain = |(status, headers, body): &Reply| {
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        headers.sort();
        (*status, headers, body.clone())
    };
    if expected.map(plain) == found.map(plain) {
        return None;
    }
    let words = |reply: Option<&Reply>| {
        let Some((status, headers, body)) = reply else { return "none of its own".to_owned() };
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect();
        let body = String::from_utf8_lossy(body);
        mistakes::shortened(&format!("{status} [{}] {body}", headers.join(", ")))
    };
    Some(format!("the reply differs\n  expected {}\n  it is    {}", words(expected), words(found)))
}

/// Lines with the kind of each one's error.
pub fn rejected_words(lines: &BTreeMap<u32, String>) -> String {
    let words: Vec<_> = lines.iter().map(|(line, kind)| format!("line {line}: {kind}")).collect();
    if words.is_empty() { "none".to_owned() } else { mistakes::shortened(&words.join(", ")) }
}

/// Whether the same was asked for, whatever came first, and else what of it is another.
pub fn requests_differ(first: &[Asked], second: &[Asked]) -> Option<String> {
    let sorted = |asked: &[Asked]| {
        let mut asked = asked.to_vec();
        asked.sort();
        asked
    };
    let (first, second) = (sorted(first), sorted(second));
    let at = (0..first.len().max(second.len())).find(|at| first.get(*at) != second.get(*at))?;
    let (Some(one), Some(other)) = (first.get(at), second.get(at)) else {
        return Some(format!("there are {} requests, and then {}", first.len(), second.len()));
    };
    let named = format!("{} {}", one.method, one.url);
    if (&one.method, &one.url) != (&other.method, &other.url) {
        return Some(format!("{named}, and then {} {}", other.method, other.url));
    }
    if one.body != other.body {
        return Some(format!("another body of {named}"));
    }
    let header = one.headers.iter().chain(&other.headers);
    let mut header =
        header.filter(|header| !(one.headers.contains(header) && other.headers.contains(header)));
    header.next().map(|(name, _)| {
        format!(
            "another header `{name}` of {named} (of {} nothing is said)",
            FRESH.map(|name| format!("`{name}`")).join(", ")
        )
    })
}
