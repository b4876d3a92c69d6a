//! A cassette as a file: TOML for people to read, from which the same cassette is read. Bodies are text where they are text, else
//! base64; what would move a terminal or hide in an editor is escaped.
use super::{Called, Cassette, Expected, Recorded, Statuses};
use crate::output;
use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_manifest::diagnose::is_hidden;
use serde_json::Value;

/// Digits of base64 on a line.
const CODED_LINE: usize = 100;

impl Cassette {
    /// The text of its file, with these words above it; none of a delivery or a batch, which nobody records.
    pub fn print(&self, words: &str) -> Option<String> {
        let mut out: String = words.lines().map(|line| format!("# {}\n", output::shown_line(line))).collect();
        match &self.call {
            Called::Check => out.push_str("check = true\n"),
            Called::Discover => out.push_str("discover = true\n"),
            Called::Stream(name) => out.push_str(&format!("stream = {}\n", quoted(name))),
            Called::Action { name, input } => {
                out.push_str(&format!("action = {}\ninput = {}\n", quoted(name), text(input)));
            }
            Called::Delivery(_) | Called::Batch(_) | Called::Complete { .. } => return None,
        }
        if self.config.as_object().is_some_and(|config| !config.is_empty()) {
            out.push_str(&format!("config = {}\n", inline(&self.config)));
        }
        if !self.origins.is_empty() {
            let origins = self.origins.iter().map(|(name, origin)| (name.clone(), origin.to_string().into()));
            out.push_str(&format!("origins = {}\n", inline(&Value::Object(origins.collect()))));
        }
        if let Some(max) = self.max_records {
            out.push_str(&format!("max-records = {max}\n"));
        }
        if self.lookback {
            out.push_str("lookback = true\n");
        }
        match &self.expected {
            Expected::Success => {}
            Expected::Error(kind) => out.push_str(&format!("error = {}\n", quoted(kind))),
            Expected::Output(output) => out.push_str(&format!("output = {}\n", text(&json(output)))),
            Expected::Records(records) => {
                let lines: String = records.iter().map(|record| format!("{}\n", json(record))).collect();
                out.push_str(&format!("records = {}\n", text(&lines)));
            }
            Expected::Handled { .. } | Expected::Rejected(_) | Expected::Removed(_) => return None,
        }
        out.push_str(&statuses(&self.statuses));
        self.exchanges.iter().for_each(|exchange| out.push_str(&exchange.print()));
        Some(out)
    }
}

impl Recorded {
    fn print(&self) -> String {
        let request = quoted(&format!("{} {}", self.method, self.url));
        let mut out = format!("\n[[exchange]]\nrequest = {request}\n");
        if let Some(body) = &self.request_body {
            out.push_str(&bytes("request-body", body));
        }
        if self.resumed {
            out.push_str("resumed = true\n");
        }
        out.push_str(&statuses(&self.statuses));
        out.push_str(&format!("status = {}\n", self.status));
        if !self.headers.is_empty() {
            let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.clone().into()));
            out.push_str(&format!("headers = {}\n", inline(&Value::Object(headers.collect()))));
        }
        if !self.body.is_empty() {
            out.push_str(&bytes("body", &self.body));
        }
        out
    }
}

/// A line where there are any.
fn statuses(statuses: &Statuses) -> String {
    if statuses.is_empty() {
        return String::new();
    }
    let entries = statuses.iter().map(|(refusal, kind)| (refusal.key(), kind.clone().into()));
    format!("statuses = {}\n", inline(&Value::Object(entries.collect())))
}

fn json(value: &Value) -> String {
    output::inert(&value.to_string())
}

fn bytes(key: &str, bytes: &[u8]) -> String {
    let control = |character: char| character.is_control() && !matches!(character, '\t' | '\n' | '\r');
    match std::str::from_utf8(bytes) {
        Ok(words) if !words.contains(control) => format!("{key} = {}\n", text(words)),
        _ => {
            let coded: Vec<char> = STANDARD.encode(bytes).chars().collect();
            let lines: Vec<String> = coded.chunks(CODED_LINE).map(|line| line.iter().collect()).collect();
            format!("{key}-base64 = '''\n{}'''\n", lines.join("\n"))
        }
    }
}

/// A literal string where TOML has one for it.
fn text(words: &str) -> String {
    let odd = |character: char| !matches!(character, '\t' | '\n') && is_odd(character);
    if words.contains(odd) || words.contains("'''") || words.ends_with('\'') {
        return quoted(words);
    }
    match words.contains(['\'', '\n']) {
        // The end of the line after the first quotes is none of the text.
        true => format!("'''\n{words}'''"),
        false => format!("'{words}'"),
    }
}

fn is_odd(character: char) -> bool {
    character.is_control() || is_hidden(character)
}

/// TOML's basic string.
fn quoted(words: &str) -> String {
    let mut out = String::from('"');
    for character in words.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            odd if is_odd(odd) => out.push_str(&format!("\\U{:08X}", u32::from(odd))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// One value on one line of TOML, which has no null.
pub fn inline(value: &Value) -> String {
    match value {
        Value::Null => quoted(""),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(words) => quoted(words),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Value::Object(entries) => {
            let entry = |(name, value): (&String, &Value)| format!("{} = {}", key(name), inline(value));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}
