//! `append`: a log. Each batch is a file of its own, one in each folder that its records go to, under its id and a number that orders
//! it: a batch that comes again writes the same files anew.

use crate::{
    config::{Config, Shape},
    csv::Columns,
    folder::{self, Whole},
    judge::{Lines, judge},
    name,
};
use portcullis_sdk::{Batch, Rejected, Result};

/// Writes a batch.
pub fn write(config: &Config, mut shape: Shape, batch: &Batch) -> Result<Vec<Rejected>> {
    // A log says of each record whether it was deleted.
    if let Some(deleted) = shape.deleted_field.as_ref().filter(|_| !shape.columns.is_empty())
        && !shape.columns.contains(deleted)
    {
        shape.columns.push(deleted.clone());
    }
    let judged = judge(config, &shape, batch)?;
    let stream = name::of_stream(&batch.stream.name);
    let id = name::of_batch(&batch.id);
    let place = |partition: &str| match partition {
        "" => stream.clone(),
        partition => format!("{stream}/{partition}"),
    };
    // Sorted, and written in this order: where the batch was here before, the first of its folders has it.
    let folders: Vec<String> = judged.folders.keys().map(|partition| place(partition)).collect();
    let number = number(&folders, &id)?;
    for (folder, lines) in folders.iter().zip(judged.folders.values()) {
        put(&format!("{folder}/{number:010}-{id}.{}", shape.format.extension()), &shape, lines, batch)?;
    }
    Ok(judged.rejected)
}

fn put(path: &str, shape: &Shape, lines: &Lines, batch: &Batch) -> Result<()> {
    let mut file = Whole::begin(path)?;
    match shape.columns.is_empty() {
        true => lines.copy(&batch.records, &mut file)?,
        false => lines.rows(&batch.records, &Columns::new(&shape.columns, None), &mut file)?,
    }
    file.commit()
}

/// The number that the batch had, else one behind all that are in its folders.
fn number(folders: &[String], id: &str) -> Result<u64> {
    let mut next = 1;
    for (at, folder) in folders.iter().enumerate() {
        let mut had = None;
        folder::each_name(folder, None, |name| {
            if let Some((number, of)) = parts(name) {
                next = next.max(number.saturating_add(1));
                if at == 0 && of == id {
                    had = Some(number);
                }
            }
        })?;
        if let Some(number) = had {
            return Ok(number);
        }
    }
    Ok(next)
}

/// `0000000001-ID.ndjson`
fn parts(name: &str) -> Option<(u64, &str)> {
    let (number, rest) = name.split_once('-')?;
    let id = rest.strip_suffix(".ndjson").or_else(|| rest.strip_suffix(".csv"))?;
    Some((number.parse().ok()?, id))
}
