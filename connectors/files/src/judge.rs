//! The lines of a batch: which are written, which come back, and to which folder each goes. What is kept of a line is where it stands.

use crate::{
    config::{Config, Shape},
    csv::Columns,
    fault::Refusal,
    folder::Whole,
    key,
    limits::{PARTITIONS_MAX, REJECTED_MAX},
    scan::Scanner,
};
use portcullis_sdk::{Batch, Error, Mode, Rejected, Result};
use std::{collections::BTreeMap, ops::Range};

/// Lines of one folder.
#[derive(Default)]
pub struct Lines {
    /// Neighbours are one range; each ends behind its line's end, where there is one.
    ranges: Vec<Range<u32>>,
    /// How many there are.
    pub count: u64,
}

/// A batch that was looked at.
pub struct Judged {
    /// By folder, `""` where there are none.
    pub folders: BTreeMap<String, Lines>,
    pub rejected: Vec<Rejected>,
}

/// Looks at each line.
pub fn judge(config: &Config, shape: &Shape, batch: &Batch) -> Result<Judged> {
    let replaces = batch.mode == Mode::Replace;
    let unwritten = shape.deleted_field.as_deref().filter(|_| replaces);
    let columns = (!shape.columns.is_empty()).then(|| Columns::new(&shape.columns, unwritten));
    let (mut scanner, mut judged) =
        (Scanner::default(), Judged { folders: BTreeMap::new(), rejected: Vec::new() });
    for (number, range) in lines(&batch.records) {
        let line = bytes(&batch.records, &range);
        let folder = folder_of(&mut scanner, line, |record| {
            if replaces {
                key::of(record, &shape.primary_key)?;
            }
            // Of a record that is gone nothing is written.
            let gone = unwritten.and_then(|field| record.get(field)) == Some("true");
            if let Some(columns) = columns.as_ref().filter(|_| !gone) {
                columns.check(record)?;
            }
            config.partition.as_ref().map_or_else(|| Ok(String::new()), |partition| partition.of(record))
        });
        match folder {
            Ok(folder) => judged.take(folder, range)?,
            Err(Refusal(why)) => judged.reject(number, why)?,
        }
    }
    Ok(judged)
}

fn folder_of(
    scanner: &mut Scanner,
    line: &[u8],
    judge: impl FnOnce(&crate::scan::Record<'_>) -> Result<String, Refusal>,
) -> Result<String, Refusal> {
    judge(&scanner.record(line)?)
}

impl Judged {
    fn take(&mut self, folder: String, range: Range<u32>) -> Result<()> {
        if self.folders.len() == PARTITIONS_MAX && !self.folders.contains_key(&folder) {
            return Err(Error::invalid_input(format!(
                "the batch has records of more than {PARTITIONS_MAX} partitions: choose a value with fewer, or a longer time"
            )));
        }
        let lines = self.folders.entry(folder).or_default();
        lines.count += 1;
        match lines.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => lines.ranges.push(range),
        }
        Ok(())
    }

    fn reject(&mut self, line: u32, why: String) -> Result<()> {
        if self.rejected.len() == REJECTED_MAX {
            let first =
                self.rejected.first().map(|first| first.error.message().to_owned()).unwrap_or_default();
            return Err(Error::invalid_input(format!(
                "more than {REJECTED_MAX} lines of the batch can't be written, the first because of: {first}"
            )));
        }
        self.rejected.push(Rejected { line, error: Error::invalid_input(why) });
        Ok(())
    }
}

impl Lines {
    /// As they came.
    pub fn copy(&self, records: &[u8], into: &mut Whole) -> Result<()> {
        for range in &self.ranges {
            let bytes = bytes(records, range);
            match bytes.contains(&b'\r') {
                false => into.append(bytes)?,
                // White space between values, in a text it can't stand: to some readers it is the end of a line.
                true => into.append(
                    &bytes.iter().map(|byte| if *byte == b'\r' { b' ' } else { *byte }).collect::<Vec<_>>(),
                )?,
            }
            // The last line of a batch may have no end.
            if !bytes.ends_with(b"\n") {
                into.append(b"\n")?;
            }
        }
        Ok(())
    }

    /// As rows, under their header.
    pub fn rows(&self, records: &[u8], columns: &Columns<'_>, into: &mut Whole) -> Result<()> {
        let (mut scanner, mut row) = (Scanner::default(), Vec::new());
        columns.header(&mut row);
        into.append(&row)?;
        for range in &self.ranges {
            for (_, line) in lines(bytes(records, range)) {
                let record = scanner.record(bytes(bytes(records, range), &line));
                row.clear();
                columns.row(&record.map_err(|fault| Error::internal(fault.to_string()))?, &mut row);
                into.append(&row)?;
            }
        }
        Ok(())
    }
}

fn bytes<'a>(records: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    records.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// Lines that are not empty, with their numbers and their ends.
fn lines(records: &[u8]) -> impl Iterator<Item = (u32, Range<u32>)> + '_ {
    let mut at = 0_u32;
    let each = records.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let from = at;
        at = at.saturating_add(u32::try_from(line.len()).unwrap_or(u32::MAX));
        from..at
    });
    (0..).zip(each).filter(|(_, range)| !bytes(records, range).trim_ascii().is_empty())
}
