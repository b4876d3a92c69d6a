//! What of a page is written, and what is not: deletions found, each record held against its stream's schema, `map` applied, the
//! rest cut into batches at line ends. A record that can't go on stops none of the others.

use super::{Syncing, pages::page_lines};
use crate::{
    Failure, SchemaError,
    connections::Deletes,
    engine::{Engine, judge},
    limits::{BATCH_BYTES_MAX, MAP_BYTES_MAX, MAP_RECORDS_MAX, REJECTED_MAX},
};
use portcullis_contract::Stop;
use portcullis_manifest::json::{self, JsonError};
use portcullis_store::NewRejected;
use serde_json::Value;
use std::{collections::BTreeSet, ops::Range};

/// What `serde_json` reads.
const DEPTH_MAX: usize = 127;

/// A page's records as they are written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ready {
    /// NDJSON.
    pub(super) records: Vec<u8>,
    /// Of those, in order: each at most `BATCH_BYTES_MAX`, and whole lines.
    pub(super) batches: Vec<Range<usize>>,
    /// The lines, from 0 on, that say that something was deleted.
    pub(super) deleted: BTreeSet<usize>,
    lines: usize,
    pub(super) dropped: u64,
    pub(super) rejected: Vec<NewRejected>,
}

/// A record on its way.
#[derive(Clone, Debug)]
struct Record {
    text: String,
    /// It says that something was deleted.
    is_deletion: bool,
}

impl Engine {
    /// The page's records, made ready. An error is no record's: nothing of the page goes on.
    pub(super) async fn made_ready(&self, syncing: &Syncing, records: Vec<u8>) -> Result<Ready, Failure> {
        let mut ready = Ready::default();
        let records = found(syncing, &records, &mut ready);
        let records = fitting(syncing, records, &mut ready).await?;
        let records = self.mapped(syncing, records, &mut ready).await?;
        for record in records {
            ready.add(record);
        }
        match ready.rejected.len() as u64 > REJECTED_MAX {
            true => Err(too_many()),
            false => Ok(ready),
        }
    }

    /// What `map` leaves of each: one object, or nothing.
    async fn mapped(
        &self,
        syncing: &Syncing,
        records: Vec<Record>,
        ready: &mut Ready,
    ) -> Result<Vec<Record>, Failure> {
        let Some(program) = &syncing.work.map else { return Ok(records) };
        let mut left = Vec::with_capacity(records.len());
        // The last one is the next one: what is cut in two goes on in order.
        let mut waiting: Vec<&[Record]> = portions(&records);
        waiting.reverse();
        while let Some(portion) = waiting.pop() {
            let inputs = portion.iter().map(|record| record.text.clone()).collect();
            let variables = syncing.variables.clone();
            let outputs =
                self.evaluated_with(variables, program, inputs, 1, &syncing.source.cancellation).await;
            match (outputs, portion) {
                (Ok(outputs), _) => {
                    for (record, output) in portion.iter().zip(outputs) {
                        left.extend(of_map(syncing, record, output, ready));
                    }
                }
                (Err(failure), _) if !is_of_a_record(&failure) => return Err(failure),
                (Err(failure), [record]) => {
                    ready.reject("map", &failure.kind, failure.message, record.text.clone());
                    if ready.rejected.len() as u64 > REJECTED_MAX {
                        return Err(too_many());
                    }
                }
                (Err(_), _) => {
                    // One of them is what it can't do: it is looked for.
                    let (first, second) = portion.split_at(portion.len() / 2);
                    waiting.push(second);
                    waiting.push(first);
                }
            }
        }
        Ok(left)
    }
}

/// The records, deletions marked; those that are not handed over are dropped.
fn found(syncing: &Syncing, records: &[u8], ready: &mut Ready) -> Vec<Record> {
    let field = syncing.described.deleted_field.as_deref();
    let mut left = Vec::new();
    for line in page_lines(records) {
        let text = String::from_utf8_lossy(line).into_owned();
        let is_deletion = match field.map(|field| says(&text, field)) {
            None => false,
            Some(Ok(is_deletion)) => is_deletion,
            Some(Err(error)) => {
                let message = format!("it can't be told whether it was deleted: {error}");
                ready.reject("deletion", "contract-drift", message, text);
                continue;
            }
        };
        if is_deletion && syncing.target.facts.deletes == Deletes::Ignore {
            ready.dropped += 1;
            continue;
        }
        left.push(Record { text, is_deletion });
    }
    left
}

/// Whether the record says that it was deleted, to every reader.
fn says(text: &str, field: &str) -> Result<bool, JsonError> {
    let value = json::parse_within(text.as_bytes(), DEPTH_MAX)?;
    Ok(value.get(field) == Some(&Value::Bool(true)))
}

/// Those that are what the manifest says of their stream. Of a deletion only the key need be there.
async fn fitting(syncing: &Syncing, records: Vec<Record>, ready: &mut Ready) -> Result<Vec<Record>, Failure> {
    let Some(schema) = syncing.validated.clone() else { return Ok(records) };
    let mut lines = Vec::new();
    let mut places = Vec::new();
    for (place, record) in records.iter().enumerate().filter(|(_, record)| !record.is_deletion) {
        lines.extend_from_slice(record.text.as_bytes());
        lines.push(b'\n');
        places.push((place, lines.len()));
    }
    let work = move |stop: &Stop| -> Result<Vec<(usize, String)>, SchemaError> {
        let (mut first, mut from, mut unfit) = (0, 0, Vec::new());
        while let Some((line, faults)) =
            schema.validate_lines(lines.get(from..).unwrap_or_default(), || false, stop)?
        {
            let at = first + usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
            let Some((place, end)) = places.get(at).copied() else { break };
            let words: Vec<_> =
                faults.iter().map(|fault| format!("`{}`: {}", fault.place(), fault.message)).collect();
            unfit.push((place, words.join("; ")));
            if unfit.len() as u64 > REJECTED_MAX {
                break;
            }
            (first, from) = (at + 1, end);
        }
        Ok(unfit)
    };
    let unfit = judge::judged(&syncing.source.facts.schema_work, &syncing.source.cancellation, work).await?;
    let unfit = unfit.map_err(|error| {
        let stream = &syncing.source.subject;
        let message =
            format!("the page could not be held against the schema of `{stream}`: {}", error.words());
        match error {
            // What this machine lacks is no fault of the vendor's.
            SchemaError::Here(_) => Failure::new("host", message),
            SchemaError::Unusable(_) => Failure::new("contract-drift", message),
        }
    })?;
    let mut unfit = unfit.into_iter().peekable();
    let mut left = Vec::with_capacity(records.len());
    for (place, record) in records.into_iter().enumerate() {
        match unfit.next_if(|(at, _)| *at == place) {
            Some((_, words)) => ready.reject("schema", "contract-drift", words, record.text),
            None => left.push(record),
        }
    }
    Ok(left)
}

/// What `map` left of a record.
fn of_map(syncing: &Syncing, record: &Record, mut output: Vec<String>, ready: &mut Ready) -> Option<Record> {
    let Some(text) = output.pop() else {
        ready.dropped += 1;
        return None;
    };
    // Inside a string a line break is escaped: these are white space.
    let text = text.replace(['\n', '\r'], "");
    let lost = match text.starts_with('{') {
        false => Some("it made something else than an object of the record"),
        true if record.is_deletion && syncing.removes() => {
            let field = syncing.described.deleted_field.as_deref().unwrap_or_default();
            let says = says(&text, field).unwrap_or(false);
            (!says).then_some("it made of a deletion a record that does not say so")
        }
        true => None,
    };
    match lost {
        Some(words) => {
            ready.reject("map", "program-run", words.to_owned(), record.text.clone());
            None
        }
        None => Some(Record { text, is_deletion: record.is_deletion }),
    }
}

/// A failure that another record might not have: of these the one is looked for.
fn is_of_a_record(failure: &Failure) -> bool {
    !matches!(
        failure.kind.as_str(),
        "cancelled" | "unavailable" | "timeout" | "at-capacity" | "host" | "program-compile"
    )
}

fn too_many() -> Failure {
    Failure::new("rejected-lines", format!("more than {REJECTED_MAX} records of a page were refused"))
}

/// So many at a time that a program is done with them.
fn portions(records: &[Record]) -> Vec<&[Record]> {
    let (mut portions, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, record) in records.iter().enumerate() {
        if at > from && (at - from >= MAP_RECORDS_MAX || bytes + record.text.len() > MAP_BYTES_MAX) {
            portions.extend(records.get(from..at));
            (from, bytes) = (at, 0);
        }
        bytes += record.text.len();
    }
    portions.extend(records.get(from..).filter(|rest| !rest.is_empty()));
    portions
}

impl Ready {
    fn reject(&mut self, by: &'static str, kind: &str, message: String, record: String) {
        self.rejected.push(NewRejected { by, line: None, kind: kind.to_owned(), message, record });
    }

    /// Behind the others, in their batch or in one of its own.
    fn add(&mut self, record: Record) {
        let bytes = record.text.len() + 1;
        if bytes > BATCH_BYTES_MAX {
            let message = format!("{bytes} bytes are more than a batch may have, {BATCH_BYTES_MAX}");
            return self.reject("size", "too-large", message, record.text);
        }
        if record.is_deletion {
            self.deleted.insert(self.lines);
        }
        self.lines += 1;
        let start = self.records.len();
        self.records.extend_from_slice(record.text.as_bytes());
        self.records.push(b'\n');
        let end = self.records.len();
        match self.batches.last_mut().filter(|batch| end - batch.start <= BATCH_BYTES_MAX) {
            Some(batch) => batch.end = end,
            None => self.batches.push(start..end),
        }
    }
}
