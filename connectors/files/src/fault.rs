//! Words for what is wrong. Records are somebody's: a name may be shown, cut and without what would mislead a reader, a value never.

use crate::{limits::SHOWN_CHARACTERS_MAX, scan};
use portcullis_sdk::Error;
use std::io;

/// Why a line is not written.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl From<scan::Fault> for Refusal {
    fn from(fault: scan::Fault) -> Self {
        Self(fault.to_string())
    }
}

/// A name out of a record.
pub fn shown(name: &str) -> String {
    let plain = |character: char| if character.is_control() || character == '`' { '?' } else { character };
    let mut text: String = name.chars().take(SHOWN_CHARACTERS_MAX).map(plain).collect();
    if name.chars().nth(SHOWN_CHARACTERS_MAX).is_some() {
        text.push('…');
    }
    text
}

/// The host's answer, out of what the readers and writers of the standard library carry.
pub fn of_io(error: io::Error) -> Error {
    let message = error.to_string();
    let inner = error.into_inner().and_then(|inner| inner.downcast::<Error>().ok());
    inner.map_or_else(|| Error::internal(message), |inner| *inner)
}
