//! `replace`: readers see the last read that was complete, whole, in one file. Batches wait beside it as parts, and `complete` makes
//! one file of them. Killed anywhere, it is done again to the same end: parts go last, after it is written down that they are in.

use crate::{
    config::{Config, Format, Shape},
    csv::Columns,
    fault::{Refusal, of_io, shown},
    folder::{self, Whole},
    judge::judge,
    key, name,
    parts::{Part, Parts, Snapshot},
    scan::Scanner,
    table::{Kept, Table},
};
use portcullis_sdk::{Batch, Error, Rejected, Result};
use std::io::Read;

/// Puts a batch to the parts of its generation.
pub fn write(config: &Config, shape: &Shape, batch: &Batch) -> Result<Vec<Rejected>> {
    if config.partition.is_some() {
        return Err(Error::invalid_input(
            "`partition` does not go with the mode `replace`: a snapshot is one file, which is there whole or not at all",
        ));
    }
    if shape.primary_key.is_empty() {
        return Err(Error::invalid_input("the mode `replace` needs a primary key"));
    }
    let (stream, generation) = (shown(&batch.stream.name), batch.generation);
    let parts = Parts::of(&batch.stream.name);
    let judged = judge(config, shape, batch)?;
    let lines = judged.folders.values().map(|lines| lines.count).sum();
    if let Some(snapshot) = parts.snapshot()?.filter(|snapshot| snapshot.generation >= generation) {
        let again = snapshot.generation == generation
            && (lines == 0 || snapshot.batches.contains(&name::of_batch(&batch.id)));
        return match again {
            true => Ok(judged.rejected),
            false => Err(passed(&stream, generation, snapshot.generation)),
        };
    }
    match parts.shape(generation)? {
        None => parts.put_shape(generation, shape)?,
        Some(begun) if begun == *shape => {}
        Some(_) => {
            return Err(Error::conflict(format!(
                "generation {generation} of `{stream}` was begun with another primary key, format or other columns: it takes a new one"
            )));
        }
    }
    let part = parts.part(generation, &batch.id, lines)?;
    for lines in judged.folders.values() {
        let mut file = Whole::begin(&parts.file(generation, &part))?;
        lines.copy(&batch.records, &mut file)?;
        file.commit()?;
    }
    Ok(judged.rejected)
}

fn passed(stream: &str, generation: u64, complete: u64) -> Error {
    Error::conflict(format!(
        "generation {complete} of `{stream}` is complete, and generation {generation} is not newer: what comes next is generation {} or a \
         later one",
        complete.saturating_add(1)
    ))
}

/// Makes the parts of a generation what readers see, and says how many records of the former snapshot are gone with it.
pub fn complete(config: &Config, stream: &str, generation: u64, removed_max: Option<u64>) -> Result<u64> {
    let parts = Parts::of(stream);
    let former = parts.snapshot()?;
    match &former {
        Some(snapshot) if snapshot.generation == generation => return parts.tidy(snapshot).map(|()| 0),
        Some(snapshot) if snapshot.generation > generation => {
            return Err(passed(&shown(stream), generation, snapshot.generation));
        }
        _ => {}
    }
    let list = parts.list(generation)?;
    let shape = match (parts.shape(generation)?, &former) {
        (Some(shape), _) => shape,
        (None, _) if !list.is_empty() => {
            return Err(Error::internal(
                "there are parts of the generation, and nothing says how they were written",
            ));
        }
        // A read that found nothing at all: what there was is gone.
        (None, Some(former)) => former.shape.clone(),
        (None, None) => return Ok(0),
    };
    let merge = Merge { parts: &parts, generation, list: &list, shape: &shape };
    let table = merge.read(config.records_max())?;
    let removed = former.as_ref().map_or(Ok(0), |former| removed(&parts, former, &table))?;
    if let Some(max) = removed_max.filter(|max| removed > *max) {
        return Err(Error::conflict(format!(
            "{removed} records of `{}` would be gone, and at most {max} may be: nothing was changed",
            shown(stream)
        )));
    }
    merge.keys(&table)?;
    let kept = table.kept();
    drop(table);
    merge.write(kept)?;
    let file = parts.snapshot_file(&shape);
    let superseded = former.map(|former| former.file).filter(|former| *former != file);
    let batches = list.iter().map(|part| part.id.clone()).collect();
    let snapshot = Snapshot { generation, file, superseded, shape: shape.clone(), batches };
    parts.put_snapshot(&snapshot)?;
    parts.tidy(&snapshot)?;
    Ok(removed)
}

/// Records of the former snapshot that the new one has not.
fn removed(parts: &Parts, former: &Snapshot, table: &Table) -> Result<u64> {
    let file = parts.keys_file(former.generation);
    let mut reader = folder::reader(&file);
    let (mut removed, mut key) = (0, [0; 16]);
    loop {
        let mut read = 0;
        while read < key.len() {
            match reader.read(key.get_mut(read..).unwrap_or_default()).map_err(of_io)? {
                0 if read == 0 => return Ok(removed),
                0 => return Err(Error::internal(format!("`{file}` ends in the middle of a key"))),
                more => read += more,
            }
        }
        removed += u64::from(!table.has(u128::from_le_bytes(key)));
    }
}

/// Many parts into one file. They are read twice: what is kept of a record meanwhile is its key.
struct Merge<'a> {
    parts: &'a Parts,
    generation: u64,
    list: &'a [Part],
    shape: &'a Shape,
}

impl Merge<'_> {
    fn read(&self, records_max: usize) -> Result<Table> {
        let lines: u64 = self.list.iter().map(|part| part.lines).sum();
        let lines = usize::try_from(lines).ok().filter(|lines| *lines <= records_max).ok_or_else(|| {
            Error::invalid_input(format!(
                "a complete read of {lines} records, and `records-max` is {records_max}: nothing was changed. A greater one takes \
                 25 bytes a record of the connection's `limits.memory`"
            ))
        })?;
        let (mut table, mut scanner) = (Table::of(lines), Scanner::default());
        self.each(|line| {
            let record = scanner.record(line).map_err(|fault| damaged(&Refusal::from(fault)))?;
            let key = key::of(&record, &self.shape.primary_key).map_err(|refusal| damaged(&refusal))?;
            let deleted = self.shape.deleted_field.as_ref();
            table.push(key, deleted.and_then(|field| record.get(field)) == Some("true"))
        })?;
        Ok(table)
    }

    fn keys(&self, table: &Table) -> Result<()> {
        let mut file = Whole::begin(&self.parts.keys_file(self.generation))?;
        table.keys().try_for_each(|key| file.append(&key.to_le_bytes()))?;
        file.commit()
    }

    fn write(&self, mut kept: Kept) -> Result<()> {
        let mut file = Whole::begin(&self.parts.snapshot_file(self.shape))?;
        let columns = Columns::new(&self.shape.columns, self.shape.deleted_field.as_deref());
        let (mut scanner, mut row) = (Scanner::default(), Vec::new());
        if self.shape.format == Format::Csv {
            columns.header(&mut row);
            file.append(&row)?;
        }
        self.each(|line| {
            if !kept.next().unwrap_or_default() {
                return Ok(());
            }
            if self.shape.format == Format::Ndjson {
                file.append(line)?;
                return file.append(b"\n");
            }
            row.clear();
            let record = scanner.record(line).map_err(|fault| damaged(&Refusal::from(fault)))?;
            columns.row(&record, &mut row);
            file.append(&row)
        })?;
        file.commit()
    }

    fn each(&self, mut line: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.list
            .iter()
            .try_for_each(|part| folder::each_line(&self.parts.file(self.generation, part), &mut line))
    }
}

/// It was looked at before it was written.
fn damaged(refusal: &Refusal) -> Error {
    Error::internal(format!("a part of the snapshot is not what was written: {}", refusal.0))
}
