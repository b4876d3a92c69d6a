//! A batch as a person has it: NDJSON, one object a line. Owns what a line may be; refuses what two readers read differently.
//! Records are never shown: they are somebody's.

use portcullis_contract::limits::DOCUMENT_DEPTH_MAX;
use portcullis_engine::limits::BATCH_BYTES_MAX;
use portcullis_manifest::json::{self, JsonError};
use serde_json::Value;

/// Records that were read, line by line, as the bytes that they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records(String);

/// Why bytes are no batch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// More than the runtime hands over.
    #[error("the batch is larger than {BATCH_BYTES_MAX} bytes")]
    TooLarge,
    /// One record alone is.
    #[error("line {0} alone is larger than {BATCH_BYTES_MAX} bytes")]
    LineTooLarge(usize),
    /// Nothing to write.
    #[error("the batch has no records")]
    Empty,
    /// A line without a record.
    #[error("line {0} is empty")]
    EmptyLine(usize),
    /// A record is an object.
    #[error("line {0} is no JSON object")]
    NoObject(usize),
    /// A line that is not read here.
    #[error("line {line}: {}", in_line(problem))]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: JsonError,
    },
}

/// Its own line number says nothing in a line.
fn in_line(problem: &JsonError) -> String {
    match problem {
        JsonError::Syntax { column, problem, .. } => format!("not JSON: column {column}: {problem}"),
        other => other.to_string(),
    }
}

impl Records {
    /// Reads all lines. Lines are counted from 1, as editors count them.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BatchError> {
        if bytes.len() > BATCH_BYTES_MAX {
            let whole = bytes.contains(&b'\n');
            return Err(if whole { BatchError::TooLarge } else { BatchError::LineTooLarge(1) });
        }
        let lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        if lines.is_empty() {
            return Err(BatchError::Empty);
        }
        for (line, record) in (1..).zip(lines.split(|byte| *byte == b'\n')) {
            if record.trim_ascii().is_empty() {
                return Err(BatchError::EmptyLine(line));
            }
            match json::parse_within(record, DOCUMENT_DEPTH_MAX) {
                Ok(Value::Object(_)) => {}
                Ok(_) => return Err(BatchError::NoObject(line)),
                Err(problem) => return Err(BatchError::Line { line, problem }),
            }
        }
        // JSON is UTF-8, and so are the ends of lines between it.
        String::from_utf8(bytes).map(Self).map_err(|_| BatchError::Empty)
    }

    /// The records, a line each.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.lines()
    }

    /// The same bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn lines_are_kept_as_they_are() {
        let text = "{\"a\":1.10}\r\n { \"b\" : 9007199254740993 }\n{}";
        let records = Records::parse(text.into()).unwrap();
        let lines: Vec<_> = records.lines().collect();
        assert_eq!(lines, ["{\"a\":1.10}", " { \"b\" : 9007199254740993 }", "{}"]);
        assert_eq!(records.into_bytes(), text.as_bytes());
        assert!(Records::parse(b"{}\n".to_vec()).is_ok());
    }

    #[test]
    fn what_is_no_batch_is_refused_with_its_line() {
        let check = |text: &[u8], said: &str| {
            assert_eq!(Records::parse(text.to_vec()).unwrap_err().to_string(), said);
        };
        check(b"", "the batch has no records");
        check(b"\n", "the batch has no records");
        check(b"{}\n\n{}\n", "line 2 is empty");
        check(b"{}\n{}\n\n", "line 3 is empty");
        check(b"{}\n \t\r\n", "line 2 is empty");
        check(b"{}\n[{}]\n", "line 2 is no JSON object");
        check(b"{}\n{}{}\n", "line 2: not JSON: column 3: trailing characters");
        check(b"{}\n{\"a\":1,\"a\":2}\n", "line 2: an object has one key twice, or a reserved one");
        check(b"{}\n{\"a\":1,\"\\u0061\":2}\n", "line 2: an object has one key twice, or a reserved one");
        check(b"{\"a\":\"\xff\"}\n", "line 1: not JSON: column 7: invalid unicode code point");
        check(b"\xef\xbb\xbf{}\n", "line 1: not JSON: column 1: expected value");
        let deep = |levels: usize| [b"{\"a\":".repeat(levels), b"1".to_vec(), b"}".repeat(levels)].concat();
        check(&deep(DOCUMENT_DEPTH_MAX + 1), "line 1: nested deeper than 127 levels");
        assert!(Records::parse(deep(DOCUMENT_DEPTH_MAX)).is_ok(), "as deep as a record that is read");
        check(&vec![b'{'; BATCH_BYTES_MAX + 1], "line 1 alone is larger than 8388608 bytes");
        check(&b"{}\n".repeat(BATCH_BYTES_MAX / 3 + 1), "the batch is larger than 8388608 bytes");
        let most = b"{}\n".repeat(BATCH_BYTES_MAX / 3);
        assert_eq!(Records::parse(most.clone()).unwrap().into_bytes(), most);
    }
}
