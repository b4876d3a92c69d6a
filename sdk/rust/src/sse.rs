//! Server-sent events (WHATWG HTML, section 9.2), read from an answer that has no end of its own.
//!
//! ```no_run
//! # use portcullis_sdk::{Result, http};
//! # fn example() -> Result<()> {
//! let answer = http::get("https://api.example.com/v1/events").header("accept", "text/event-stream").open()?;
//! for event in answer.error_for_status()?.events() {
//!     let event = event?;
//!     let order: serde_json::Value = portcullis_sdk::json::parse(&event.data)?;
//! }
//! # Ok(()) }
//! ```
//!
//! Nothing reconnects by itself: a connector that wants to go on keeps [`Event::id`] in its position and sends it as
//! `Last-Event-ID` with the next request.

use crate::{Error, ErrorKind, Result, http::BodyStream};
use std::collections::VecDeque;

/// One event with all its lines: a vendor that never ends a line or an event must not fill the memory.
const EVENT_BYTES_MAX: usize = 8 << 20;
/// What is asked for at a time.
const CHUNK_BYTES: u32 = 16 << 10;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `message` where the vendor named none.
    pub name: String,
    /// Its lines, with `\n` between them.
    pub data: String,
    /// The last id that the stream named, in this event or before; empty = none yet.
    pub id: String,
    /// The last reconnection time that the stream named.
    pub retry_ms: Option<u64>,
}

/// Makes events of bytes, wherever they are split.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    began: bool,
    after_return: bool,
    name: String,
    data: String,
    id: String,
    retry_ms: Option<u64>,
    events: VecDeque<Event>,
}

impl Parser {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes; an event that grows without end is `ContractDrift`.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        for byte in bytes {
            let follows_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if follows_return => {}
                b'\n' | b'\r' => self.end_line(),
                _ if self.line.len() + self.data.len() >= EVENT_BYTES_MAX => {
                    let why = format!("an event of the vendor's has more than {EVENT_BYTES_MAX} bytes");
                    return Err(Error::new(ErrorKind::ContractDrift, why));
                }
                _ => self.line.push(*byte),
            }
        }
        Ok(())
    }

    /// The next event that has ended. What has not ended with the stream never becomes one.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.began, true) && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        // A line's end is never a part of another character, so that lines decode as the whole stream would.
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry_ms = Some(value.parse().unwrap_or(u64::MAX));
            }
            // A comment (no name at all), or a field of a later version.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let name = std::mem::take(&mut self.name);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_none() {
            return;
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        self.events.push_back(Event { name, data, id: self.id.clone(), retry_ms: self.retry_ms });
    }
}

/// The events of an answer; see [`crate::http::Opened::events`].
#[derive(Debug)]
pub struct Events {
    body: BodyStream,
    parser: Parser,
    ended: bool,
}

impl Events {
    /// Of a body that stands at its beginning.
    pub fn new(body: BodyStream) -> Self {
        Self { body, parser: Parser::new(), ended: false }
    }
}

impl Iterator for Events {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        loop {
            if let Some(event) = self.parser.next_event() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            let pushed = match self.body.read_chunk(CHUNK_BYTES) {
                Ok(Some(bytes)) => self.parser.push(&bytes),
                Ok(None) => {
                    self.ended = true;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = pushed {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }
}

#[cfg(test)]
mod tests;
