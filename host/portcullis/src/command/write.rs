//! `write`: one batch of records, handed to a destination without a flow.
use super::{report, withheld};
use crate::{
    batch::{BatchError, Records},
    cli::{Arguments, Write},
    exit::{Exit, Failure, Result, at_file},
    files, output,
    wiring::Host,
};
use portcullis_engine::{
    CallOptions, Mode, Outcome, Rejected, RunReport, Schema, WriteOptions, Written, limits::BATCH_BYTES_MAX,
};
use portcullis_manifest::{json, limits::SCHEMA_BYTES_MAX};
use serde_json::json;
use std::path::Path;

/// Rejected lines that are shown on stderr.
const SHOWN_MAX: usize = 20;

/// Hands it over.
pub async fn run(arguments: &Arguments, options: &Write) -> Result<Exit> {
    let write = WriteOptions {
        mode: options.mode.into(),
        primary_key: options.primary_key.clone(),
        schema: options.schema.as_deref().map(schema).transpose()?,
        generation: options.generation,
        complete: options.complete.then_some(options.removed_max),
        dry_run: options.dry_run,
    };
    let records = read(options)?;
    if let Some(file) = options.rejected.as_deref().filter(|file| !is_stdout(file)) {
        refuse_taken(file)?;
    }
    let host = Host::open(&arguments.config, arguments.wait()).await?;
    let cancelled = report::cancel_on_signal();
    host.require(&options.connection, &cancelled).await?;
    let call = CallOptions { correlation_id: None, cancelled: Some(cancelled) };
    let bytes = records.clone().into_bytes();
    let report = host.engine.write(&options.connection, &options.stream, bytes, write, call).await;
    host.close().await;
    let report = report.map_err(report::refused)?;
    let kept = keep(options, &report, &records);
    if arguments.json {
        let value = report::as_json(&report);
        // Where stdout holds rejected lines, the summary goes beside them.
        match options.rejected.as_deref().is_some_and(is_stdout) {
            true => output::json_note(&value),
            false => output::json_line(&value),
        }
    } else {
        if options.dry_run {
            withheld::show(&report);
        }
        if let Some(written) = &report.written {
            told(options, &report, written);
        }
        report::explain(&report);
    }
    kept?;
    report::told(&report)
}

fn read(options: &Write) -> Result<Records> {
    let file = &options.file;
    Records::parse(files::read_given(file, BATCH_BYTES_MAX)?).map_err(|error| {
        let failure = Failure::new(Exit::Usage, format!("`{}`: {error}", file.display()));
        match error {
            BatchError::TooLarge => failure.with_help(format!(
                "split it at ends of lines, and write each part, one after the other:\n\n  split -C {BATCH_BYTES_MAX} {} part-\n  portcullis write {} {} part-aa",
                file.display(), options.connection, options.stream
            )),
            BatchError::LineTooLarge(_) => {
                failure.with_help("one record a line; what is large does not belong into a record")
            }
            BatchError::EmptyLine(_) => failure.with_help("remove the line: each holds one record"),
            BatchError::Empty | BatchError::NoObject(_) | BatchError::Line { .. } => {
                failure.with_help("NDJSON: one JSON object a line, each name in it once")
            }
        }
    })
}

/// The records' schema.
fn schema(file: &Path) -> Result<Schema> {
    let bytes = files::read_given(file, SCHEMA_BYTES_MAX)?;
    let usage = |error: &(dyn std::error::Error + 'static)| {
        let message = format!("`{}` is no JSON Schema 2020-12", file.display());
        Failure::new(Exit::Usage, message).because(error)
    };
    let value = json::parse(&bytes, SCHEMA_BYTES_MAX).map_err(|error| usage(&error))?;
    let schema = Schema::new(value.to_string());
    schema.compile_in_time().map_err(|error| usage(&error))?;
    Ok(schema)
}

fn is_stdout(file: &Path) -> bool {
    file == Path::new("-")
}

/// Found before the run: rejected lines of an earlier one are not written over, and those of this one have a place.
fn refuse_taken(file: &Path) -> Result<()> {
    if std::fs::symlink_metadata(file).is_ok() {
        return Err(Failure::new(
            Exit::Usage,
            format!("`{}` exists, and nothing is overwritten", file.display()),
        )
        .with_help("name another file: `--rejected FILE`"));
    }
    let folder = crate::config::folder_of(file);
    std::fs::read_dir(folder).map(drop).map_err(at_file("write into", folder))
}

/// Writes the rejected lines where that is asked for: with the error, and the record as it came.
fn keep(options: &Write, report: &RunReport, records: &Records) -> Result<()> {
    let (Some(file), Some(written)) = (&options.rejected, &report.written) else { return Ok(()) };
    if written.rejected.is_empty() || report.withheld.count > 0 {
        return Ok(());
    }
    let texts: Vec<_> = records.lines().collect();
    let line = |rejected: &Rejected| {
        let record = texts.get(rejected.line as usize).map_or("null", |record| record.trim());
        format!("{{\"line\":{},\"error\":{},\"record\":{record}}}\n", number(rejected), error(rejected))
    };
    let lines: Vec<_> = written.rejected.iter().map(line).collect();
    if is_stdout(file) {
        lines.iter().for_each(|line| output::json_text(line.trim_end()));
        return Ok(());
    }
    files::write_new(file, lines.concat().as_bytes(), 0o600).map_err(|failure| {
        let run = &report.run_id;
        Failure { exit: Exit::Rejected, ..failure }
            .of_run(run)
            .with_help(format!("which lines were rejected, and why: portcullis --json runs show {run}"))
    })
}

/// As editors count.
fn number(rejected: &Rejected) -> u64 {
    u64::from(rejected.line) + 1
}

fn error(rejected: &Rejected) -> serde_json::Value {
    let error = &rejected.error;
    json!({
        "kind": error.kind,
        "message": error.message,
        "details": error.details.as_deref().map(report::json_or_text),
    })
}

/// What became of the lines, for people. What follows a request that was held back says nothing of them.
fn told(options: &Write, report: &RunReport, written: &Written) {
    if report.withheld.count == 0 {
        lines_told(options, report, written);
    }
    completed(options, report, written);
}

fn lines_told(options: &Write, report: &RunReport, written: &Written) {
    let rejected = written.rejected.len();
    let done = written.lines.saturating_sub(rejected as u64);
    let records = count(written.lines);
    output::note(&format!("{done} of {records} written, {rejected} rejected, run {}", report.run_id));
    for line in written.rejected.iter().take(SHOWN_MAX) {
        let (kind, message) = (&line.error.kind, output::shown_line(&line.error.message));
        output::note(&format!("  line {}: {kind}: {message}", number(line)));
    }
    if rejected > SHOWN_MAX {
        output::note(&format!("  and {} more", rejected - SHOWN_MAX));
    }
    match &options.rejected {
        None if rejected > 0 => output::note("  `--rejected FILE` writes them with their records to a file"),
        Some(file) if rejected > 0 && !is_stdout(file) => {
            output::note(&format!("  they are in `{}`", file.display()));
        }
        _ => {}
    }
}

fn count(records: u64) -> String {
    output::count(usize::try_from(records).unwrap_or(usize::MAX), "record")
}

/// What became of `complete`.
fn completed(options: &Write, report: &RunReport, written: &Written) {
    if let Some(removed) = written.removed {
        output::note(&format!("`complete` removed {}", count(removed)));
        return;
    }
    let why = match options.complete {
        true if report.withheld.count > 0 => "a request of `write` was withheld",
        true if !written.rejected.is_empty() => "lines were rejected, and what is missing is not gone",
        false if Mode::from(options.mode) == Mode::Replace => "nothing is removed; `--complete` calls it",
        _ => return,
    };
    if matches!(report.outcome, Outcome::Succeeded | Outcome::DryRun) {
        output::note(&format!("`complete` was not called: {why}"));
    }
}
