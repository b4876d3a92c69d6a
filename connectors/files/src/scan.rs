//! One record, read where it lies: its members are parts of the line, never values, so that what is written is what came, to the digit.
//! Refuses what is no JSON (RFC 8259), what two readers read differently (a name that is there twice, half a surrogate pair), and
//! what is nested too deeply.

use crate::limits::{DEPTH_MAX, MEMBERS_MAX};
use std::{borrow::Cow, fmt};

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    what: &'static str,
    /// From 1; 0 = the whole line.
    column: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            0 => f.write_str(self.what),
            column => write!(f, "{}, at byte {column} of the line", self.what),
        }
    }
}

type Scanned<T> = Result<T, Fault>;

/// A name as it is written, without its quotes.
#[derive(Clone, Copy, Debug)]
struct Name {
    from: u32,
    to: u32,
    escaped: bool,
}

impl Name {
    fn text<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let raw = line.get(self.from as usize..self.to as usize).unwrap_or_default();
        if self.escaped { unescaped(raw) } else { Cow::Borrowed(raw) }
    }
}

/// Reads lines one after another, with the memory of the line before.
#[derive(Default)]
pub struct Scanner {
    members: Vec<(Name, u32, u32)>,
    /// Of all objects that are open.
    names: Vec<Name>,
}

/// A record.
pub struct Record<'a> {
    line: &'a str,
    members: &'a [(Name, u32, u32)],
}

impl<'a> Record<'a> {
    /// Names and values, in order; a value as it is written.
    pub fn members(&self) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        let (line, members) = (self.line, self.members);
        members.iter().map(move |(name, from, to)| {
            (name.text(line), line.get(*from as usize..*to as usize).unwrap_or_default())
        })
    }

    /// The value of a name, as it is written.
    pub fn get(&self, wanted: &str) -> Option<&'a str> {
        self.members().find(|(name, _)| name == wanted).map(|(_, value)| value)
    }
}

/// What a text between quotes says.
pub fn unescaped(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    // It was read as JSON before: there is nothing that could fail.
    serde_json::from_str(&format!("\"{raw}\"")).map_or(Cow::Borrowed(raw), Cow::Owned)
}

/// What a value that is a text says; none = it is no text.
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    value.strip_prefix('"')?.strip_suffix('"').map(unescaped)
}

impl Scanner {
    /// Reads a line.
    pub fn record<'a>(&'a mut self, line: &'a [u8]) -> Scanned<Record<'a>> {
        let line = str::from_utf8(line).map_err(|_| Fault { what: "not UTF-8", column: 0 })?;
        self.members.clear();
        self.names.clear();
        let mut reader = Reader { bytes: line.as_bytes(), line, at: 0, names: &mut self.names };
        reader.space();
        if reader.peek() != Some(b'{') {
            // An array or a number is JSON, and whatever else is not is no record either.
            return Err(Fault { what: "no JSON object", column: 0 });
        }
        let members = &mut self.members;
        reader.object(1, &mut |name, from, to| members.push((name, from, to)))?;
        reader.space();
        if reader.at < line.len() {
            return Err(reader.fault("something follows the record"));
        }
        Ok(Record { line, members: &self.members })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    line: &'a str,
    at: usize,
    names: &'a mut Vec<Name>,
}

impl Reader<'_> {
    fn fault(&self, what: &'static str) -> Fault {
        Fault { what, column: self.at + 1 }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    fn taken(&mut self, byte: u8) -> bool {
        let is_it = self.peek() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    fn value(&mut self, depth: usize) -> Scanned<()> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(depth + 1, &mut |_, _, _| {}),
            Some(b'[') => self.array(depth + 1),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize, member: &mut dyn FnMut(Name, u32, u32)) -> Scanned<()> {
        self.within(depth)?;
        let first = self.names.len();
        self.at += 1;
        self.space();
        let mut more = !self.taken(b'}');
        while more {
            self.space();
            let name = self.string()?;
            self.space();
            if !self.taken(b':') {
                return Err(self.fault("not JSON: no `:` after a name"));
            }
            self.space();
            let from = self.at;
            self.value(depth)?;
            member(name, small(from), small(self.at));
            self.names.push(name);
            if self.names.len() - first > MEMBERS_MAX {
                return Err(self.fault("an object has more than 100,000 members"));
            }
            self.space();
            more = self.taken(b',');
            if !more && !self.taken(b'}') {
                return Err(self.fault("not JSON: an object is not closed"));
            }
        }
        let twice = has_one_twice(self.line, self.names.get(first..).unwrap_or_default());
        self.names.truncate(first);
        if twice { Err(Fault { what: "an object has one name twice", column: self.at }) } else { Ok(()) }
    }

    fn array(&mut self, depth: usize) -> Scanned<()> {
        self.within(depth)?;
        self.at += 1;
        self.space();
        let mut more = !self.taken(b']');
        while more {
            self.space();
            self.value(depth)?;
            self.space();
            more = self.taken(b',');
            if !more && !self.taken(b']') {
                return Err(self.fault("not JSON: a list is not closed"));
            }
        }
        Ok(())
    }

    fn within(&self, depth: usize) -> Scanned<()> {
        if depth > DEPTH_MAX { Err(self.fault("nested deeper than 127 levels")) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Scanned<()> {
        let is_it = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        if !is_it {
            return Err(self.fault("not JSON: no value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Scanned<Name> {
        if !self.taken(b'"') {
            return Err(self.fault("not JSON: no text in quotes"));
        }
        let (from, mut escaped) = (self.at, false);
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0..0x20) => return Err(self.fault("not JSON: a control character in a text")),
                Some(_) => self.at += 1,
                None => return Err(self.fault("not JSON: a text is not closed")),
            }
        }
        let name = Name { from: small(from), to: small(self.at), escaped };
        self.at += 1;
        Ok(name)
    }

    fn escape(&mut self) -> Scanned<()> {
        let begun = self.at;
        self.at += 2;
        match self.bytes.get(begun + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.unit()? {
                0xD800..0xDC00 => {
                    let pair = self.taken(b'\\') && self.taken(b'u');
                    match pair.then(|| self.unit()).transpose()? {
                        Some(0xDC00..0xE000) => Ok(()),
                        _ => Err(self.fault("half a surrogate pair in a text")),
                    }
                }
                0xDC00..0xE000 => Err(self.fault("half a surrogate pair in a text")),
                _ => Ok(()),
            },
            _ => Err(self.fault("not JSON: an escape that there is not")),
        }
    }

    fn unit(&mut self) -> Scanned<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.fault("not JSON: an escape that there is not"))?;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Scanned<()> {
        self.taken(b'-');
        if !self.taken(b'0') {
            self.digits()?;
        }
        if self.taken(b'.') {
            self.digits()?;
        }
        if self.taken(b'e') || self.taken(b'E') {
            let _ = self.taken(b'+') || self.taken(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Scanned<()> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == from { Err(self.fault("not JSON: no value")) } else { Ok(()) }
    }
}

/// A batch has at most 8 MiB.
fn small(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Objects up to this size are looked at name by name.
const FEW: usize = 24;

fn has_one_twice(line: &str, names: &[Name]) -> bool {
    if names.len() > FEW {
        let mut all: Vec<_> = names.iter().map(|name| name.text(line)).collect();
        all.sort_unstable();
        return all.windows(2).any(|pair| pair[0] == pair[1]);
    }
    let bytes = line.as_bytes();
    let raw = |name: &Name| bytes.get(name.from as usize..name.to as usize).unwrap_or_default();
    names.iter().enumerate().any(|(at, name)| {
        names.iter().take(at).any(|other| match name.escaped || other.escaped {
            true => name.text(line) == other.text(line),
            false => raw(name) == raw(other),
        })
    })
}

#[cfg(test)]
mod tests;
