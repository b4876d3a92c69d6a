//! Rows of RFC 4180: a header, CRLF, quotes where something has to be quoted. A value that is missing or null is an empty field, an
//! empty text is `""`; numbers are what came; what is a list or an object is its JSON text. Nothing is altered for the sake of a
//! program that takes texts for formulas.

use crate::{
    fault::{Refusal, shown},
    scan::{Record, text},
};
use std::collections::HashMap;

/// The columns of a file.
pub struct Columns<'a> {
    names: &'a [String],
    places: HashMap<&'a str, usize>,
    /// Where a record may have it, and no row does.
    unwritten: Option<&'a str>,
}

impl<'a> Columns<'a> {
    /// Of these names. `unwritten`: a property that is no column, and no fault.
    pub fn new(names: &'a [String], unwritten: Option<&'a str>) -> Self {
        let places = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        Self { names, places, unwritten }
    }

    /// Refuses a record that says more than the columns can.
    pub fn check(&self, record: &Record<'_>) -> Result<(), Refusal> {
        for (at, (name, _)) in record.members().enumerate() {
            if self.place(at, &name).is_none() && self.unwritten != Some(&*name) {
                return Err(Refusal(format!("`{}` is none of the columns", shown(&name))));
            }
        }
        Ok(())
    }

    /// Records mostly have their properties in the order of the columns.
    fn place(&self, at: usize, name: &str) -> Option<usize> {
        match self.names.get(at) {
            Some(column) if column == name => Some(at),
            _ => self.places.get(name).copied(),
        }
    }

    /// The first row.
    pub fn header(&self, into: &mut Vec<u8>) {
        for (at, name) in self.names.iter().enumerate() {
            separate(at, into);
            field(name, into);
        }
        into.extend_from_slice(b"\r\n");
    }

    /// A record's row.
    pub fn row(&self, record: &Record<'_>, into: &mut Vec<u8>) {
        let mut values = vec![None; self.names.len()];
        for (at, (name, value)) in record.members().enumerate() {
            if let Some(slot) = self.place(at, &name).and_then(|place| values.get_mut(place)) {
                *slot = Some(value).filter(|value| *value != "null");
            }
        }
        for (at, value) in values.iter().enumerate() {
            separate(at, into);
            match value {
                // A row that is an empty line is none to many readers.
                None if self.names.len() == 1 => into.extend_from_slice(b"\"\""),
                None => {}
                Some(value) => match text(value) {
                    Some(text) => field(&text, into),
                    None => field(value, into),
                },
            }
        }
        into.extend_from_slice(b"\r\n");
    }
}

fn separate(at: usize, into: &mut Vec<u8>) {
    if at > 0 {
        into.push(b',');
    }
}

/// Quoted where a reader would see something else: also an empty text, which is no missing value, spaces at its ends, and a byte
/// order mark, which is nothing at the beginning of a file.
fn field(text: &str, into: &mut Vec<u8>) {
    let special = |byte: u8| matches!(byte, b'"' | b',' | b'\r' | b'\n');
    let first = text.is_empty() || text.starts_with([' ', '\u{feff}']);
    let quoted = first || text.ends_with(' ') || text.bytes().any(special);
    if !quoted {
        return into.extend_from_slice(text.as_bytes());
    }
    into.push(b'"');
    let mut pieces = text.split('"');
    into.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        into.extend_from_slice(b"\"\"");
        into.extend_from_slice(piece.as_bytes());
    }
    into.push(b'"');
}

#[cfg(test)]
mod tests;
