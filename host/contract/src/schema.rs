//! A schema as its users know it.

use crate::{
    Stop,
    judge::{self, Judge, no_document},
    limits::{PLAIN_BYTES_MAX, PLAIN_DOCUMENT_BYTES_MAX, PLAIN_TOTAL_BYTES_MAX, SCHEMA_TIME_MAX},
    plain, worker,
};
use portcullis_manifest::{diagnose::escaped, json};
use std::{
    cell::Cell,
    fmt,
    sync::{Arc, OnceLock, mpsc},
    thread,
};

/// A JSON Schema. Clones share what was compiled of it.
#[derive(Clone)]
pub struct Schema {
    text: Arc<str>,
    /// Where it is plain: read when it is first needed. Nothing of any other is kept here.
    read: Arc<OnceLock<Result<Option<Judge>, SchemaError>>>,
}

/// One fault of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer to the place; empty = the document itself.
    pub pointer: String,
    /// What was expected there, on one line.
    pub message: String,
    /// The names that the schema has there, where the fault is a name that it does not have.
    pub known: Arc<[String]>,
}

impl Fault {
    /// One of the document as a whole.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { pointer: String::new(), message: message.into(), known: Arc::default() }
    }

    /// The pointer on one line for people: names of a document may hold what a terminal obeys.
    pub fn place(&self) -> String {
        escaped(&self.pointer)
    }
}

/// Why nothing can be held against a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It is none, or one that can't be used: its author's affair.
    #[error("the schema can't be used: {0}")]
    Unusable(String),
    /// This machine, or whoever waited.
    #[error("nothing can be held against a schema here: {0}")]
    Here(String),
}

impl SchemaError {
    /// What is wrong, alone.
    pub fn words(&self) -> &str {
        match self {
            Self::Unusable(words) | Self::Here(words) => words,
        }
    }
}

/// The schemas of one connector: once there is `PLAIN_TOTAL_BYTES_MAX` of text, the others are for a process of their own.
#[derive(Default)]
pub struct Schemas {
    text_bytes: Cell<usize>,
}

impl Schemas {
    /// One more of them.
    pub fn schema(&self, text: impl Into<Arc<str>>) -> Schema {
        let text = text.into();
        if text.len() <= PLAIN_BYTES_MAX {
            self.text_bytes.set(self.text_bytes.get() + text.len());
        }
        if self.text_bytes.get() <= PLAIN_TOTAL_BYTES_MAX { Schema::new(text) } else { Schema::apart(text) }
    }
}

impl Schema {
    /// From its JSON text. Nothing is checked before `compile` or the first `validate`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), read: Arc::default() }
    }

    /// The same for one that this process holds nothing of, plain or not.
    pub fn apart(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), read: Arc::new(OnceLock::from(Ok(None))) }
    }

    /// Checks the schema itself. Blocks, for as long as its author likes: whoever waits says when it is over.
    pub fn compile(&self, stop: &Stop) -> Result<(), SchemaError> {
        match self.plain()? {
            Some(_) => Ok(()),
            None => worker::compile(&self.text, stop),
        }
    }

    /// The document's faults, at most `FAULTS_MAX`, or the first where all of them are too much; none = it is valid. Text that is not
    /// JSON is one fault. Blocks, as `compile` does.
    pub fn validate(&self, document: &str, stop: &Stop) -> Result<Vec<Fault>, SchemaError> {
        match self.plain()? {
            Some(judge) if document.len() <= PLAIN_DOCUMENT_BYTES_MAX && fits(judge, document.as_bytes()) => {
                Ok(Vec::new())
            }
            _ => worker::faults(&self.text, document.as_bytes(), stop),
        }
    }

    /// The first line of NDJSON that has faults, counted from 1, with its faults or the first of them; none = all fit, or it is over.
    /// Blocks, as `compile` does. No further line is looked at here once it is `over`; a process of its own is told by `stop` alone.
    pub fn validate_lines(
        &self,
        lines: &[u8],
        over: impl Fn() -> bool + Sync,
        stop: &Stop,
    ) -> Result<Option<(u64, Vec<Fault>)>, SchemaError> {
        let over = || stop.is_over() || over();
        let judge = match self.plain()? {
            Some(judge) if judge::lines(lines).all(|line| line.len() <= PLAIN_DOCUMENT_BYTES_MAX) => judge,
            _ => return worker::lines(&self.text, lines, over, stop),
        };
        for (line, number) in judge::lines(lines).zip(1..) {
            if over() {
                return Ok(None);
            }
            if !fits(judge, line) {
                return Ok(Some((number, worker::faults(&self.text, line, stop)?)));
            }
        }
        Ok(None)
    }

    /// As [`Schema::validate`], for `SCHEMA_TIME_MAX` at most.
    pub fn validate_in_time(&self, document: &str) -> Result<Vec<Fault>, SchemaError> {
        in_time(|stop| self.validate(document, stop))
    }

    /// As [`Schema::compile`], for `SCHEMA_TIME_MAX` at most.
    pub fn compile_in_time(&self) -> Result<(), SchemaError> {
        in_time(|stop| self.compile(stop))
    }

    /// Checks all of them, in `SCHEMA_TIME_MAX` together: the first that is none, by its place among them.
    pub fn compile_all_in_time(
        schemas: impl Iterator<Item = Self> + Send,
    ) -> Result<(), (usize, SchemaError)> {
        let mut at = 0;
        let all = in_time(|stop| {
            for schema in schemas {
                schema.compile(stop)?;
                at += 1;
            }
            Ok(())
        });
        all.map_err(|error| (at, error))
    }

    /// The text it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Compiled, where this process does that.
    fn plain(&self) -> Result<Option<&Judge>, SchemaError> {
        let read = self.read.get_or_init(|| {
            if self.text.len() > PLAIN_BYTES_MAX {
                return Ok(None);
            }
            let schema = json::parse(self.text.as_bytes(), PLAIN_BYTES_MAX)
                .map_err(|error| SchemaError::Unusable(no_document(&error)))?;
            plain::is_plain(&schema).then(|| Judge::of(schema)).transpose()
        });
        read.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }
}

/// Whether it does. What it takes to tell why not grows with the square of the document: that is for a process of its own.
fn fits(judge: &Judge, text: &[u8]) -> bool {
    judge::document(text).is_ok_and(|document| judge.fits(&document))
}

fn in_time<T: Send>(work: impl FnOnce(&Stop) -> Result<T, SchemaError> + Send) -> Result<T, SchemaError> {
    let stop = Stop::default();
    let (done, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let watch = stop.clone();
        let watching = thread::Builder::new().spawn_scoped(scope, move || {
            if over.recv_timeout(SCHEMA_TIME_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
                watch.now();
            }
        });
        watching.map_err(|error| SchemaError::Here(format!("there is no thread for it: {error}")))?;
        let result = work(&stop);
        drop(done);
        let late = || SchemaError::Unusable(format!("it takes longer than {} s", SCHEMA_TIME_MAX.as_secs()));
        result.map_err(|error| if stop.is_over() { late() } else { error })
    })
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({} bytes)", self.text.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_held_here_is_plain_and_small_and_bounded_together() {
        let is_here = |schema: &Schema| schema.plain().unwrap().is_some();
        let of = |bytes: usize| {
            let text = r#"{"type":"object","title":""}"#;
            text.replace("\"\"", &format!("\"{}\"", "t".repeat(bytes - text.len())))
        };
        assert!(is_here(&Schema::new(of(PLAIN_BYTES_MAX))));
        assert!(!is_here(&Schema::new(of(PLAIN_BYTES_MAX + 1))));
        assert!(!is_here(&Schema::new(r##"{"$ref":"#/$defs/a","$defs":{"a":{}}}"##)));
        assert!(!is_here(&Schema::apart("{}")));
        let all = Schemas::default();
        let fitting = PLAIN_TOTAL_BYTES_MAX / PLAIN_BYTES_MAX;
        let here = (0..2 * fitting).filter(|_| is_here(&all.schema(of(PLAIN_BYTES_MAX)))).count();
        assert_eq!(here, fitting);
    }
}
