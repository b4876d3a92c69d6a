//! Query names as loose servers read them: decoded (RFC 3986 section 2.1; `+` as a space), without regard to case, cut at
//! NUL, with `-`, `.`, blanks and an opening bracket as `_`. The one home of that reading: what is refused here, and what
//! is refused beside a credential, differ in nothing but the name.

use std::borrow::Cow;

/// A query name that a guest may not bring in any spelling that a server could read as this one.
#[derive(Debug, Clone)]
pub struct ReservedName(Vec<String>);

impl ReservedName {
    /// Of the name as it is meant, or as it is encoded: both are read.
    pub fn new(name: &str) -> Self {
        Self(readings(name))
    }

    /// The first name of a query that some server reads as this one, as it is spelled there.
    pub fn found_in<'q>(&self, query: &'q str) -> Option<&'q str> {
        names(query).find(|name| self.is_read_in(name))
    }

    fn is_read_in(&self, name: &str) -> bool {
        is_read_as(name, |read| self.0.iter().any(|own| own == read))
    }
}

/// Under these some servers read a method out of the query.
const METHOD_NAMES: [&str; 3] = ["_method", "_httpmethod", "$httpmethod"];

/// The first name that some server reads as the method, as it is spelled.
pub(super) fn naming_a_method(query: &str) -> Option<&str> {
    names(query).find(|name| is_read_as(name, |read| METHOD_NAMES.contains(&read)))
}

fn is_read_as(name: &str, wanted: impl Fn(&str) -> bool) -> bool {
    // Most names are read in one way alone.
    if name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
        return wanted(name);
    }
    readings(name).iter().any(|read| wanted(read))
}

/// Some servers split at `;` as well, so that a name behind one counts.
fn names(query: &str) -> impl Iterator<Item = &str> {
    query.split(['&', ';']).map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name))
}

/// Everything that one name may be taken for. Servers differ in what they do with a NUL (the end, or dropped), with
/// blanks around the name (dropped, or `_`) and with a bracket (PHP: an index if it is closed, else `_`).
fn readings(name: &str) -> Vec<String> {
    let spaced = name.replace('+', " ");
    let decoded: Cow<'_, str> = percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy();
    let cut = decoded.split('\0').next().unwrap_or_default();
    let whole = decoded.replace('\0', "");
    let mut found = Vec::with_capacity(8);
    for text in [cut, &whole] {
        let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c.is_control());
        let unindexed = trimmed.find('[').filter(|at| *at > 0).map_or(trimmed, |at| trimmed[..at].trim_end());
        for text in [text, text.trim_start(), trimmed, unindexed] {
            let read = folded(text);
            if !found.contains(&read) {
                found.push(read);
            }
        }
    }
    found
}

fn folded(text: &str) -> String {
    let same_case = text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    same_case
        .map(|c| if matches!(c, '-' | '.' | '[') || c.is_whitespace() || c.is_control() { '_' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
