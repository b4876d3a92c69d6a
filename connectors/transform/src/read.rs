//! JSON text as a value of jq's. Strict (RFC 8259), where the reader of `jaq-json` takes more than JSON, and without a copy of each
//! text: they are slices of one buffer.

use crate::limits::{INTEGER_DIGITS_MAX, JSON_DEPTH_MAX};
use bytes::Bytes;
use jaq_json::{Map, Num, Rc, Val};
use std::fmt;

/// Why a text is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    TooDeep,
    /// At this byte.
    NoJson(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(f, "more than {JSON_DEPTH_MAX} arrays and objects inside each other"),
            Self::NoJson(at) => write!(f, "at byte {at} what is no JSON"),
        }
    }
}

/// One value, with nothing but white space around it.
pub(crate) fn read(text: &str) -> Result<Val, Error> {
    let mut reader = Reader { all: Bytes::copy_from_slice(text.as_bytes()), text, at: 0 };
    reader.space();
    let value = reader.value(JSON_DEPTH_MAX)?;
    reader.space();
    if reader.at < text.len() { Err(Error::NoJson(reader.at)) } else { Ok(value) }
}

struct Reader<'a> {
    all: Bytes,
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.next() {
            self.at += 1;
        }
    }

    fn fail<T>(&self) -> Result<T, Error> {
        Err(Error::NoJson(self.at))
    }

    /// Whether this byte came next, which is then passed.
    fn took(&mut self, byte: u8) -> bool {
        let took = self.next() == Some(byte);
        self.at += usize::from(took);
        took
    }

    fn word(&mut self, word: &str, value: Val) -> Result<Val, Error> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.fail();
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth_left: usize) -> Result<Val, Error> {
        match self.next() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.object(depth_left.checked_sub(1).ok_or(Error::TooDeep)?),
            Some(b'[') => self.array(depth_left.checked_sub(1).ok_or(Error::TooDeep)?),
            Some(b'n') => self.word("null", Val::Null),
            Some(b't') => self.word("true", Val::Bool(true)),
            Some(b'f') => self.word("false", Val::Bool(false)),
            _ => self.fail(),
        }
    }

    fn array(&mut self, depth_left: usize) -> Result<Val, Error> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if !self.took(b']') {
            loop {
                self.space();
                items.push(self.value(depth_left)?);
                self.space();
                if self.took(b']') {
                    break;
                } else if !self.took(b',') {
                    return self.fail();
                }
            }
        }
        Ok(Val::Arr(Rc::new(items)))
    }

    fn object(&mut self, depth_left: usize) -> Result<Val, Error> {
        self.at += 1;
        let mut members = Map::default();
        self.space();
        if !self.took(b'}') {
            loop {
                self.space();
                if self.next() != Some(b'"') {
                    return self.fail();
                }
                let key = self.string()?;
                self.space();
                if !self.took(b':') {
                    return self.fail();
                }
                self.space();
                let value = self.value(depth_left)?;
                members.insert(key, value);
                self.space();
                if self.took(b'}') {
                    break;
                } else if !self.took(b',') {
                    return self.fail();
                }
            }
        }
        Ok(Val::obj(members))
    }

    fn string(&mut self) -> Result<Val, Error> {
        self.at += 1;
        let from = self.at;
        self.plain();
        if self.took(b'"') {
            return Ok(Val::utf8_str(self.all.slice(from..self.at - 1)));
        }
        let mut owned = self.text[from..self.at].to_owned();
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => owned.push(self.escape()?),
                _ => return self.fail(),
            }
            let from = self.at;
            self.plain();
            owned.push_str(&self.text[from..self.at]);
        }
        self.at += 1;
        Ok(Val::utf8_str(owned))
    }

    /// Passes what stands for itself in a string.
    fn plain(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        self.at += rest.iter().position(special).unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<char, Error> {
        self.at += 2;
        Ok(match self.text.as_bytes().get(self.at - 1) {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(*c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let at = self.at - 2;
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first).ok_or(Error::NoJson(at));
                }
                if !(self.took(b'\\') && self.took(b'u')) {
                    return Err(Error::NoJson(at));
                }
                let second = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400);
                let low = second.ok_or(Error::NoJson(at))?;
                return char::from_u32(0x10000 + ((first - 0xd800) << 10) + low).ok_or(Error::NoJson(at));
            }
            _ => return Err(Error::NoJson(self.at - 2)),
        })
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Error::NoJson(self.at))?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return self.fail();
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Error::NoJson(self.at))
    }

    fn number(&mut self) -> Result<Val, Error> {
        let from = self.at;
        let number = number(&self.text[from..]).ok_or(Error::NoJson(from))?;
        self.at += number.len();
        // Neither the sign of a zero nor any digit of a decimal is anything that an integer keeps.
        let is_integer = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let integer = (is_integer && number != "-0" && number.len() <= INTEGER_DIGITS_MAX)
            .then(|| Num::from_str_radix(number, 10));
        Ok(Val::Num(integer.flatten().unwrap_or_else(|| Num::Dec(Rc::new(number.to_owned())))))
    }
}

/// The number at the start, as JSON writes numbers.
pub(crate) fn number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let count = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then_some(from + count)
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut at = if bytes.get(start) == Some(&b'0') { start + 1 } else { digits(start)? };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at = digits(at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-'))))?;
    }
    Some(&text[..at])
}
