//! Names of streams, partitions and batches as names of files. Two names are never one, whatever is in them, and none of them leads
//! anywhere: what is no letter, digit, `-`, `_` or `.` of ASCII stands as `%` and two digits, and a long one ends in its hash.

use crate::limits::NAME_BYTES_MAX;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// What this connector puts behind the name of a stream.
const ENDINGS: [&str; 3] = [".parts", ".ndjson", ".csv"];
/// Where a value is missing, and where it is empty. No value is encoded to these.
pub const NONE: &str = "_none";
const EMPTY: &str = "_empty";

/// Of a stream: beside `NAME`, `NAME.parts`, `NAME.ndjson` and `NAME.csv` are its own too, and no other stream has them.
pub fn of_stream(name: &str) -> String {
    let encoded = encoded(name);
    let lower = encoded.to_ascii_lowercase();
    let ending = ENDINGS.iter().find(|ending| lower.ends_with(**ending));
    match ending.and_then(|ending| encoded.split_at_checked(encoded.len() - ending.len())) {
        Some((before, ending)) => format!("{before}%2E{}", ending.trim_start_matches('.')),
        None => encoded,
    }
}

/// Of a value that records are put together by.
pub fn of_partition(value: &str) -> String {
    encoded(value)
}

/// Of a batch's id.
pub fn of_batch(id: &str) -> String {
    encoded(id)
}

fn encoded(name: &str) -> String {
    if name.is_empty() {
        return EMPTY.to_owned();
    }
    let mut text = String::new();
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            // The host's own names and hidden files begin with a dot; what this connector puts there by itself with `_`.
            b'.' | b'_' if at == 0 => escape(&mut text, byte),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(char::from(byte)),
            _ => escape(&mut text, byte),
        }
    }
    if text.len() <= NAME_BYTES_MAX {
        return text;
    }
    // All of it is ASCII. `~` stands in no name that was not cut.
    text.truncate(NAME_BYTES_MAX - 33);
    text.push('~');
    for byte in Sha256::digest(name.as_bytes()).iter().take(16) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn escape(text: &mut String, byte: u8) {
    let _ = write!(text, "%{byte:02X}");
}

#[cfg(test)]
mod tests;
