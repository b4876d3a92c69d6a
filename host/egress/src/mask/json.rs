//! JSON (RFC 8259) in one pass without a tree: the values of sensitive names become `"***"`, at any depth.
//!
//! Reads what was cut off at its end, several values in a row (NDJSON), and repeated keys. Writes it on one line:
//! white space between tokens is dropped. Refuses (`None`) what is not JSON and what nests too deeply; whether
//! the body is then shown at all is the caller's decision.

use super::{MASK, text};
use crate::limits;
use std::collections::HashSet;

/// None where `body` does not tokenize. Stops as soon as more than `bytes_max` bytes are written: what follows
/// would be cut off anyhow.
pub(super) fn mask(body: &[u8], names: &HashSet<String>, bytes_max: usize) -> Option<String> {
    let mut tokens = Tokens::new(body, names, ' ');
    match tokens.run(bytes_max) {
        Ok(()) | Err(Stop::End) => Some(tokens.out),
        Err(Stop::NotJson) => None,
    }
}

/// All of it, several values on a line each, and how many were masked.
pub(super) fn mask_whole(body: &[u8], names: &HashSet<String>) -> Option<(String, u32)> {
    let mut tokens = Tokens::new(body, names, '\n');
    match tokens.run(usize::MAX) {
        Ok(()) | Err(Stop::End) => Some((tokens.out, tokens.masked)),
        Err(Stop::NotJson) => None,
    }
}

enum Stop {
    /// Cut off in the middle: what was written is right.
    End,
    NotJson,
}

#[derive(Clone, Copy, PartialEq)]
enum In {
    Object,
    Array,
}

struct Tokens<'a> {
    body: &'a [u8],
    at: usize,
    depth: Vec<In>,
    out: String,
    names: &'a HashSet<String>,
    /// Between values in a row.
    between: char,
    /// Values that were masked.
    masked: u32,
}

impl<'a> Tokens<'a> {
    fn new(body: &'a [u8], names: &'a HashSet<String>, between: char) -> Self {
        Self { body, at: 0, depth: Vec::new(), out: String::new(), names, between, masked: 0 }
    }

    fn run(&mut self, bytes_max: usize) -> Result<(), Stop> {
        loop {
            self.white_space();
            if self.at == self.body.len() {
                return Ok(());
            }
            if !self.out.is_empty() {
                self.out.push(self.between);
            }
            self.value()?;
            while let Some(&container) = self.depth.last() {
                if self.out.len() > bytes_max {
                    return Ok(());
                }
                match self.token()? {
                    b',' => {
                        self.out.push(',');
                        match container {
                            In::Object if self.name()? => {}
                            _ => self.value()?,
                        }
                    }
                    b'}' if container == In::Object => self.close('}'),
                    b']' if container == In::Array => self.close(']'),
                    _ => return Err(Stop::NotJson),
                }
            }
            if self.out.len() > bytes_max {
                return Ok(());
            }
        }
    }

    /// A scalar, or containers up to their first scalar.
    fn value(&mut self) -> Result<(), Stop> {
        loop {
            match self.token()? {
                b'{' => {
                    self.open(In::Object, '{')?;
                    if self.peek()? == b'}' {
                        self.at += 1;
                        self.close('}');
                        return Ok(());
                    }
                    if self.name()? {
                        return Ok(());
                    }
                }
                b'[' => {
                    self.open(In::Array, '[')?;
                    if self.peek()? == b']' {
                        self.at += 1;
                        self.close(']');
                        return Ok(());
                    }
                }
                b'"' => {
                    let text = self.string()?;
                    return self.write_string(text);
                }
                _ => {
                    self.at -= 1;
                    let word = self.bare()?;
                    self.out.push_str(word);
                    return Ok(());
                }
            }
        }
    }

    /// `"name":`, and where the name is sensitive its masked value too: then true.
    fn name(&mut self) -> Result<bool, Stop> {
        if self.token()? != b'"' {
            return Err(Stop::NotJson);
        }
        let name = self.string()?;
        let sensitive = is_sensitive(name.bytes, self.names);
        self.write_string(name)?;
        if self.token()? != b':' {
            return Err(Stop::NotJson);
        }
        self.out.push(':');
        if sensitive {
            self.masked = self.masked.saturating_add(1);
            self.peek()?;
            self.out.push('"');
            self.out.push_str(MASK);
            self.out.push('"');
            self.skip_value()?;
        }
        Ok(sensitive)
    }

    /// Passes over one value, whatever it is, and writes nothing.
    fn skip_value(&mut self) -> Result<(), Stop> {
        let mut depth: Vec<In> = Vec::new();
        let mut first = true;
        loop {
            if !first && depth.is_empty() {
                return Ok(());
            }
            first = false;
            match self.token()? {
                b'{' => depth.push(In::Object),
                b'[' => depth.push(In::Array),
                b'}' if depth.last() == Some(&In::Object) => drop(depth.pop()),
                b']' if depth.last() == Some(&In::Array) => drop(depth.pop()),
                b',' | b':' if !depth.is_empty() => {}
                b'"' => {
                    let text = self.string()?;
                    if !text.closed {
                        return Err(Stop::End);
                    }
                }
                _ => {
                    self.at -= 1;
                    self.bare()?;
                }
            }
            if depth.len() + self.depth.len() > limits::MASK_DEPTH_MAX {
                return Err(Stop::NotJson);
            }
        }
    }
}

/// What stands between two quotes.
struct Text<'a> {
    bytes: &'a [u8],
    closed: bool,
}

impl<'a> Tokens<'a> {
    fn white_space(&mut self) {
        while self.body.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Result<u8, Stop> {
        self.white_space();
        self.body.get(self.at).copied().ok_or(Stop::End)
    }

    fn token(&mut self) -> Result<u8, Stop> {
        let token = self.peek()?;
        self.at += 1;
        Ok(token)
    }

    fn open(&mut self, container: In, bracket: char) -> Result<(), Stop> {
        if self.depth.len() >= limits::MASK_DEPTH_MAX {
            return Err(Stop::NotJson);
        }
        self.depth.push(container);
        self.out.push(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: char) {
        self.depth.pop();
        self.out.push(bracket);
    }

    /// After the opening quote. Checks escapes, so that a name is decoded as every reader decodes it.
    fn string(&mut self) -> Result<Text<'a>, Stop> {
        let start = self.at;
        loop {
            let Some(&byte) = self.body.get(self.at) else {
                return Ok(Text { bytes: &self.body[start..], closed: false });
            };
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(Text { bytes: &self.body[start..self.at - 1], closed: true });
                }
                0..0x20 => return Err(Stop::NotJson),
                b'\\' => self.escape()?,
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Stop> {
        let digits = match self.body.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            Some(_) => return Err(Stop::NotJson),
            None => 0,
        };
        self.at = (self.at + 2).min(self.body.len());
        for _ in 0..digits {
            match self.body.get(self.at) {
                Some(digit) if digit.is_ascii_hexdigit() => self.at += 1,
                Some(_) => return Err(Stop::NotJson),
                None => break,
            }
        }
        Ok(())
    }

    fn write_string(&mut self, text: Text<'_>) -> Result<(), Stop> {
        self.out.push('"');
        text::push_inert(&mut self.out, &String::from_utf8_lossy(text.bytes));
        if !text.closed {
            return Err(Stop::End);
        }
        self.out.push('"');
        Ok(())
    }

    /// A number or one of the three words; one that the end cut off passes.
    fn bare(&mut self) -> Result<&'a str, Stop> {
        let rest = &self.body[self.at..];
        let is_bare = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = rest.iter().take_while(|byte| is_bare(byte)).count();
        let word = std::str::from_utf8(&rest[..length]).map_err(|_| Stop::NotJson)?;
        let cut = length == rest.len();
        let is_word =
            ["true", "false", "null"].iter().any(|full| *full == word || cut && full.starts_with(word));
        let is_number = matches!(rest.first(), Some(b'-' | b'0'..=b'9'))
            && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        if word.is_empty() || !(is_word || is_number) {
            return Err(Stop::NotJson);
        }
        self.at += length;
        Ok(word)
    }
}

/// Compares a name as JSON readers see it: `"\u0065mail"` is `email`.
fn is_sensitive(name: &[u8], names: &HashSet<String>) -> bool {
    if names.is_empty() || name.len() > limits::MASK_NAME_BYTES_MAX * 6 {
        return false;
    }
    if !name.contains(&b'\\') {
        return names.contains(&String::from_utf8_lossy(name).to_ascii_lowercase());
    }
    let quoted = [b"\"", name, b"\""].concat();
    match serde_json::from_slice::<String>(&quoted) {
        Ok(decoded) => names.contains(&decoded.to_ascii_lowercase()),
        // A lone surrogate, or cut off: no name of the operator's, but nothing is lost by masking.
        Err(_) => true,
    }
}
