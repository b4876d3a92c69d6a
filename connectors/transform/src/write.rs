//! A value of jq's as JSON text. What JSON has no form for is an error, and nothing is put in its place.

use crate::{limits::JSON_DEPTH_MAX, read};
use jaq_json::{Num, Val};
use std::fmt::{self, Write as _};

/// Why a value is no JSON, or not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    TooDeep,
    TooLarge,
    /// `NaN` or an infinity.
    NotFinite,
    NotUtf8,
    /// An object with a key that is no string.
    Key,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => read::Error::TooDeep.fmt(f),
            Self::TooLarge => f.write_str("more bytes than are taken"),
            Self::NotFinite => f.write_str("a number that is infinite, or none at all (NaN)"),
            Self::NotUtf8 => f.write_str("a string that is not UTF-8"),
            Self::Key => f.write_str("an object with a key that is not a string"),
        }
    }
}

/// Appends the value, so that the text has no more than so many bytes.
pub(crate) fn write(value: &Val, text: &mut String, bytes_max: usize) -> Result<(), Error> {
    within(value, text, bytes_max, JSON_DEPTH_MAX)?;
    bounded(text, bytes_max)
}

fn bounded(text: &str, bytes_max: usize) -> Result<(), Error> {
    if text.len() > bytes_max { Err(Error::TooLarge) } else { Ok(()) }
}

fn within(value: &Val, text: &mut String, bytes_max: usize, depth_left: usize) -> Result<(), Error> {
    match value {
        Val::Null => text.push_str("null"),
        Val::Bool(true) => text.push_str("true"),
        Val::Bool(false) => text.push_str("false"),
        Val::Num(number) => write_number(number, text)?,
        Val::TStr(bytes) => write_string(bytes, text)?,
        Val::BStr(_) => return Err(Error::NotUtf8),
        Val::Arr(items) => {
            let below = depth_left.checked_sub(1).ok_or(Error::TooDeep)?;
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                bounded(text, bytes_max)?;
                within(item, text, bytes_max, below)?;
            }
            text.push(']');
        }
        Val::Obj(members) => {
            let below = depth_left.checked_sub(1).ok_or(Error::TooDeep)?;
            text.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                bounded(text, bytes_max)?;
                let Val::TStr(key) = key else { return Err(Error::Key) };
                write_string(key, text)?;
                text.push(':');
                within(member, text, bytes_max, below)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

fn write_number(number: &Num, text: &mut String) -> Result<(), Error> {
    match number {
        Num::Float(float) if !float.is_finite() => return Err(Error::NotFinite),
        Num::Dec(digits) => write_decimal(digits, text),
        // Writing to a string does not fail.
        other => drop(write!(text, "{other}")),
    }
    Ok(())
}

/// As it was written. A program may write zeros before it, which JSON does not.
fn write_decimal(digits: &str, text: &mut String) {
    if read::number(digits).is_some_and(|number| number.len() == digits.len()) {
        return text.push_str(digits);
    }
    let (sign, rest) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let rest = rest.trim_start_matches('0');
    text.push_str(sign);
    if !rest.starts_with(|first: char| first.is_ascii_digit()) {
        text.push('0');
    }
    text.push_str(rest);
}

fn write_string(bytes: &[u8], text: &mut String) -> Result<(), Error> {
    let whole = str::from_utf8(bytes).map_err(|_| Error::NotUtf8)?;
    text.push('"');
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !matches!(byte, b'"' | b'\\' | 0..0x20) {
            continue;
        }
        text.push_str(&whole[from..at]);
        from = at + 1;
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x8 => text.push_str("\\b"),
            0xc => text.push_str("\\f"),
            // Writing to a string does not fail.
            other => drop(write!(text, "\\u{other:04x}")),
        }
    }
    text.push_str(&whole[from..]);
    text.push('"');
    Ok(())
}
