//! Lines of a guest on their way to the log: from `log`, stdout and stderr, under one quota. What is over it is dropped,
//! counted and told once; it ends nothing.

use crate::{LogLevel, Logs, limits, text};
use bytes::Bytes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// The lines of one call.
#[derive(Clone)]
pub(crate) struct Output {
    shared: Arc<Mutex<Lines>>,
}

/// Which of the two streams.
#[derive(Clone, Copy)]
pub(crate) enum Standard {
    Out,
    Error,
}

struct Lines {
    logs: Arc<dyn Logs>,
    bytes_left: u64,
    bytes_max: u64,
    lines_dropped: u64,
    out: Vec<u8>,
    error: Vec<u8>,
    /// The last of stderr.
    tail: Vec<u8>,
}

impl Output {
    pub(crate) fn new(logs: Arc<dyn Logs>, bytes_max: u64) -> Self {
        let (out, error, tail) = (Vec::new(), Vec::new(), Vec::new());
        let lines = Lines { logs, bytes_left: bytes_max, bytes_max, lines_dropped: 0, out, error, tail };
        Self { shared: Arc::new(Mutex::new(lines)) }
    }

    /// A line of `log`.
    pub(crate) fn log(&self, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let fields: Vec<(String, String)> = fields
            .iter()
            .take(limits::LOG_FIELDS_MAX)
            .map(|(name, value)| {
                let short = |text| text::prefix(text, limits::LOG_FIELD_BYTES_MAX).to_owned();
                (short(name), short(value))
            })
            .collect();
        self.lines().line(level, text::prefix(message, limits::LOG_LINE_BYTES_MAX), &fields);
    }

    /// A stream that the guest may write to.
    pub(crate) fn stream(&self, standard: Standard) -> Stream {
        Stream { output: self.clone(), standard }
    }

    /// Gives out what has no line end yet, says what was dropped, and returns the last of stderr.
    pub(crate) fn finish(&self) -> Vec<u8> {
        let mut lines = self.lines();
        for standard in [Standard::Out, Standard::Error] {
            let rest = std::mem::take(lines.buffer(standard));
            if !rest.is_empty() {
                lines.emit(standard, &rest);
            }
        }
        if lines.lines_dropped > 0 {
            let (dropped, max) = (lines.lines_dropped, lines.bytes_max);
            lines.logs.log(
                LogLevel::Warn,
                &format!("{dropped} log lines dropped: over {max} bytes in this call"),
                &[],
            );
            lines.lines_dropped = 0;
        }
        std::mem::take(&mut lines.tail)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn write(&mut self, standard: Standard, bytes: &[u8]) {
        if matches!(standard, Standard::Error) {
            self.tail.extend_from_slice(bytes);
            let over = self.tail.len().saturating_sub(limits::STDERR_TAIL_BYTES_MAX);
            self.tail.drain(..over);
        }
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = piece;
            loop {
                let buffer = self.buffer(standard);
                let room = limits::LOG_LINE_BYTES_MAX - buffer.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                buffer.extend_from_slice(now);
                if buffer.ends_with(b"\n") || buffer.len() == limits::LOG_LINE_BYTES_MAX {
                    let line = std::mem::take(buffer);
                    self.emit(standard, &line);
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
        }
    }

    fn emit(&mut self, standard: Standard, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\r', '\n']);
        if !line.is_empty() {
            let level = match standard {
                Standard::Out => LogLevel::Info,
                Standard::Error => LogLevel::Warn,
            };
            self.line(level, line, &[]);
        }
    }

    fn line(&mut self, level: LogLevel, message: &str, fields: &[(String, String)]) {
        let bytes =
            message.len() + fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        match self.bytes_left.checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes_left = left;
                self.logs.log(level, message, fields);
            }
            None => {
                // Shorter lines that come later would make the log look whole.
                self.bytes_left = 0;
                self.lines_dropped += 1;
            }
        }
    }

    fn buffer(&mut self, standard: Standard) -> &mut Vec<u8> {
        match standard {
            Standard::Out => &mut self.out,
            Standard::Error => &mut self.error,
        }
    }
}

/// Always ready, never full: what it takes is bounded by the line buffer and the quota.
#[derive(Clone)]
pub(crate) struct Stream {
    output: Output,
    standard: Standard,
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one.
        Box::new(tokio::io::sink())
    }
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.lines().write(self.standard, &bytes);
        Ok(())
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[derive(Default)]
    struct Seen(Mutex<Vec<(LogLevel, String)>>);
    impl Logs for Seen {
        fn log(&self, level: LogLevel, message: &str, _fields: &[(String, String)]) {
            self.0.lock().unwrap().push((level, message.to_owned()));
        }
    }

    fn check(bytes_max: u64, writes: &[(Standard, &[u8])], expected: &[(LogLevel, &str)]) -> Vec<u8> {
        let seen = Arc::new(Seen::default());
        let output = Output::new(Arc::clone(&seen) as Arc<dyn Logs>, bytes_max);
        for (standard, bytes) in writes {
            output.stream(*standard).write(Bytes::copy_from_slice(bytes)).unwrap();
        }
        let tail = output.finish();
        let seen = seen.0.lock().unwrap();
        let seen: Vec<(LogLevel, &str)> = seen.iter().map(|(level, line)| (*level, line.as_str())).collect();
        assert_eq!(seen, expected);
        tail
    }

    #[test]
    fn lines_are_joined_and_split() {
        use LogLevel::{Info, Warn};
        use Standard::{Error, Out};
        let tail = check(
            100,
            &[(Out, b"a"), (Error, b"x\r\n\ny"), (Out, b"b\nc\xff")],
            &[(Warn, "x"), (Info, "ab"), (Info, "c\u{fffd}"), (Warn, "y")],
        );
        assert_eq!(tail, b"x\r\n\ny");
        let long = vec![b'l'; limits::LOG_LINE_BYTES_MAX + 5];
        let first = "l".repeat(limits::LOG_LINE_BYTES_MAX);
        let tail = check(1 << 20, &[(Error, &long)], &[(Warn, &first), (Warn, "lllll")]);
        assert_eq!(tail.len(), limits::STDERR_TAIL_BYTES_MAX);
    }

    #[test]
    fn what_is_over_the_quota_is_counted_once() {
        use LogLevel::{Info, Warn};
        let out = Standard::Out;
        check(
            6,
            &[(out, b"abc\n"), (out, b"defg\n"), (out, b"h\n")],
            &[(Info, "abc"), (Warn, "2 log lines dropped: over 6 bytes in this call")],
        );
    }
}
