//! A batch, handed to `destination.write` as a run of its own, and `complete` behind it where that is asked for. A batch has an
//! id that every attempt repeats; it is called again where all that it sent may be sent again.

use super::{Engine, Fruit, Run, deliver::hex, judge, once::Called};
use crate::{
    Answer, Batch, CallOptions, ConnectionFacts, EngineError, Mode, Operation, RunReport, Schema,
    StreamDescriptor, WriteOptions, Written, connections::is_operation, limits::BATCH_BYTES_MAX,
};
use portcullis_store::RunKind;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Where `write` and `complete` stand among the calls of their run.
const WRITE: u64 = 0;
const COMPLETE: u64 = 1;

impl Engine {
    /// Hands one batch to the connector. `records`: NDJSON that was read, an object a line.
    pub async fn write(
        &self,
        connection: &str,
        stream: &str,
        records: Vec<u8>,
        write: WriteOptions,
        options: CallOptions,
    ) -> Result<RunReport, EngineError> {
        let bytes = records.len();
        if bytes > BATCH_BYTES_MAX {
            return Err(EngineError::InputTooLarge { bytes, bytes_max: BATCH_BYTES_MAX });
        }
        let facts = self.ready(connection, options.cancelled.as_ref()).await?;
        if !facts.has_destination {
            return Err(EngineError::NoSuchRole { connection: connection.to_owned(), role: "destination" });
        }
        let stream = descriptor(&facts, stream, &write)?;
        let (kind, subject) = match write.dry_run {
            true => (RunKind::DryRun, format!("write {}", stream.name)),
            false => (RunKind::Write, stream.name.clone()),
        };
        let mut run = self.draft(&facts, kind, &subject, options).await?;
        let what = format!("schema of the stream `{}`", stream.name);
        judge::compiled(&run, &what, Schema::new(stream.schema.clone())).await?;
        let id = batch_id(&run.run_id, &stream.name, WRITE, &records);
        let batch = Batch { id, stream, mode: write.mode, generation: write.generation, records };
        self.begin(&run, Some(described(&batch))).await?;
        let report = self.batch(&mut run, batch, write.complete).await;
        self.over(&run, report).await
    }

    async fn batch(
        &self,
        run: &mut Run,
        batch: Batch,
        complete: Option<Option<u64>>,
    ) -> Result<RunReport, EngineError> {
        let (stream, generation) = (batch.stream.name.clone(), batch.generation);
        let (batch_id, lines) = (batch.id.clone(), lines(&batch.records));
        // The id is the key: what comes again is known by it, and what was sent may then be sent again.
        let Called { answer, mut ending, mut last } =
            self.attempts(run, &Operation::Write(batch), WRITE, true).await?;
        let Ok(Answer::Rejected(rejected)) = answer else {
            return self.finish(run, ending, Fruit::default(), last).await;
        };
        let mut written = Written { batch_id, lines, rejected, removed: None };
        // What was held back or refused is not there: the rest of the target is not to be judged by it. Nor by what a dry run wrote, which
        // is nothing.
        let whole = written.rejected.is_empty() && run.kind != RunKind::DryRun;
        if let Some(removed_max) = complete.filter(|_| whole) {
            if let Some(last) = last.take() {
                self.store.end_attempt(last).await?;
            }
            run.tally.unproven_before |= run.tally.unproven;
            self.store.begin_attempt(self.new_attempt(run, COMPLETE, 1)).await?;
            let operation = Operation::Complete { stream, generation, removed_max };
            let called = self.attempts(run, &operation, COMPLETE, true).await?;
            if let Ok(Answer::Removed(removed)) = called.answer {
                written.removed = Some(removed);
            }
            (ending, last) = (called.ending, called.last);
        }
        self.finish(run, ending, fruit(written), last).await
    }
}

fn fruit(written: Written) -> Fruit {
    let rejected = written.rejected.iter().map(|rejected| {
        let error = &rejected.error;
        // Counted as people count, and as the command shows it.
        json!({ "line": u64::from(rejected.line) + 1, "error": { "kind": error.kind, "message": error.message } })
    });
    let output = json!({
        "batch_id": written.batch_id,
        "lines": written.lines,
        "rejected": rejected.collect::<Vec<_>>(),
        "removed": written.removed,
    });
    Fruit { output: Some(output.to_string()), written: Some(written), ..Fruit::default() }
}

/// From the command, else from the manifest, else open.
fn descriptor(
    facts: &ConnectionFacts,
    name: &str,
    write: &WriteOptions,
) -> Result<StreamDescriptor, EngineError> {
    if !is_operation(name) {
        return Err(EngineError::Refused {
            message: format!("`{name}` is no name of a stream"),
            help: Some("letters, digits, `-`, `_` and `.`, a letter or digit first".to_owned()),
        });
    }
    let known = facts.streams.get(name);
    let schema = write.schema.as_ref().or_else(|| known.map(|known| &known.schema));
    let primary_key = match known {
        Some(known) if write.primary_key.is_empty() => known.primary_key.clone(),
        _ => write.primary_key.clone(),
    };
    if primary_key.is_empty() && write.mode != Mode::Append {
        let (mode, stream) = (write.mode.as_str(), name.to_owned());
        return Err(EngineError::NoPrimaryKey { mode, stream });
    }
    Ok(StreamDescriptor {
        name: name.to_owned(),
        schema: schema.map_or("{}", |schema| schema.text()).to_owned(),
        primary_key,
        cursor_field: known.and_then(|known| known.cursor_field.clone()),
        deleted_field: None,
        complete_reads: false,
    })
}

/// The same id = the same bytes of the same run.
pub(super) fn batch_id(run_id: &str, stream: &str, ordinal: u64, records: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [run_id.as_bytes(), stream.as_bytes(), ordinal.to_string().as_bytes(), records] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// What the store keeps of a batch: its records are the target's.
fn described(batch: &Batch) -> String {
    let described = json!({
        "batch-id": batch.id,
        "mode": batch.mode.as_str(),
        "generation": batch.generation,
        "primary-key": batch.stream.primary_key,
        "lines": lines(&batch.records),
        "bytes": batch.records.len(),
    });
    described.to_string()
}

fn lines(records: &[u8]) -> u64 {
    records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64
}
