//! What a run copied, stream by stream, and each record that it could not write, with who refused it and why.

use crate::output;
use portcullis_store::{
    RejectedRow, RunKind, RunRow, RunSummary, StateReader, StoreError, SyncRow, limits::LIST_ROWS_MAX,
};
use serde_json::{Value, json};

/// Records of one stream that are shown to people; `--json` has all of them.
const REJECTED_SHOWN: usize = 20;
/// Characters of one that are.
const RECORD_CHARS_SHOWN: usize = 200;

/// A stream's sync, and what it could not write.
pub type Synced = (SyncRow, Vec<RejectedRow>);

/// Of this run, where it is one, and of its steps.
pub fn of(
    reader: &StateReader,
    run: Option<&RunRow>,
    steps: &[RunSummary],
) -> Result<Vec<Synced>, StoreError> {
    let runs = run.map(|run| &run.summary).into_iter().chain(steps);
    let mut found = Vec::new();
    for run in runs.filter(|run| run.kind == RunKind::Sync) {
        if let Some(row) = reader.sync(&run.run_id)? {
            found.push((row, reader.rejected(&run.run_id, LIST_ROWS_MAX)?));
        }
    }
    Ok(found)
}

/// For people; empty where nothing was copied.
pub fn text(synced: &[Synced], run_id: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (row, rejected) in synced {
        lines.push(format!(
            "\n{} {} → `{}` of `{}`, {}, generation {}",
            row.run_id, row.stream, row.target, row.destination, row.mode, row.generation
        ));
        let removed = row.removed.map_or(String::new(), |removed| format!(", {removed} removed"));
        lines.push(format!(
            "  {} pages, {} records: {} written, {} refused, {} dropped{removed}",
            row.pages, row.records, row.written, row.rejected, row.dropped
        ));
        if rejected.len() > REJECTED_SHOWN {
            let all = rejected.len();
            lines.push(format!("  the first {REJECTED_SHOWN} of {all} refused records; all with `--json`"));
        }
        lines.extend(rejected.iter().take(REJECTED_SHOWN).map(one));
    }
    if synced.iter().any(|(row, _)| row.waiting > 0) {
        lines
            .push(format!("\nportcullis runs discard {run_id}  # once you have seen to the refused records"));
    }
    lines
}

fn one(rejected: &RejectedRow) -> String {
    let place = rejected.line.as_ref().map_or(String::new(), |(batch, line)| {
        format!(" line {line} of batch {}", batch.get(..12).unwrap_or(batch))
    });
    let seen = if rejected.discarded { ", seen to" } else { "" };
    let record = match &rejected.record {
        None => "(forgotten)".to_owned(),
        Some(record) => {
            let shown: String = record.chars().take(RECORD_CHARS_SHOWN).collect();
            let more = if shown.len() < record.len() { "…" } else { "" };
            format!("{}{more}", output::shown_line(&shown))
        }
    };
    let (by, kind) = (&rejected.by, output::shown_line(&rejected.kind));
    let message = output::shown_line(&rejected.message);
    format!("  refused by the {by}{place}{seen}: {kind}: {message}\n    {record}")
}

/// All of it.
pub fn as_json(synced: &[Synced]) -> Value {
    let refused = |rejected: &RejectedRow| {
        json!({
            "by": rejected.by, "batch": rejected.line.as_ref().map(|(batch, _)| batch),
            "line": rejected.line.as_ref().map(|(_, line)| line), "kind": rejected.kind, "message": rejected.message,
            "record": rejected.record, "record_bytes": rejected.record_bytes, "at": rejected.at.to_string(),
            "discarded": rejected.discarded,
        })
    };
    let sync = |(row, rejected): &Synced| {
        json!({
            "run_id": row.run_id, "stream": row.stream, "destination": row.destination, "target": row.target, "mode": row.mode,
            "generation": row.generation, "from_start": row.from_start, "pages": row.pages, "records": row.records,
            "batches": row.batches, "written": row.written, "rejected": row.rejected, "dropped": row.dropped,
            "removed": row.removed, "waiting": row.waiting, "refused": rejected.iter().map(refused).collect::<Vec<_>>(),
        })
    };
    synced.iter().map(sync).collect()
}
