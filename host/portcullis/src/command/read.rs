//! `read`: one stream, as NDJSON on stdout or in a file.
use super::report;
use crate::{
    cli::{Arguments, Read},
    exit::{Exit, Failure, Result},
    output,
    wiring::Host,
};
use async_trait::async_trait;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use portcullis_engine::{FileMark, FileSink, Outcome, PageSink, Progress, ReadOptions, ResumableFileSink};
use portcullis_manifest::diagnose::{is_hidden, shown};
use std::{io, sync::Arc};

/// Longest name of a reader, in characters.
const READER_CHARS_MAX: usize = 128;

/// Reads one stream.
pub async fn run(arguments: &Arguments, options: &Read) -> Result<Exit> {
    options.resume.as_deref().map_or(Ok(()), reader_name)?;
    let host = Host::open(&arguments.config, arguments.wait()).await?;
    let cancelled = report::cancel_on_signal();
    host.require(&options.connection, &cancelled).await?;
    let mut sink: Box<dyn PageSink> = match (&options.output, &options.resume) {
        (None, _) => Box::new(StandardOutput),
        (Some(file), None) => Box::new(FileSink::new(file)),
        (Some(file), Some(_)) => Box::new(ResumableFileSink::new(file)),
    };
    let bar = progress_bar();
    let shown = bar.clone();
    let read = ReadOptions {
        cancelled: Some(cancelled),
        resume: options.resume.clone(),
        max_records: options.max_records,
        validate: options.validate,
        progress: Some(Arc::new(move |progress: Progress| show_progress(&shown, &progress))),
        ..ReadOptions::default()
    };
    let report = host.engine.read(&options.connection, &options.stream, read, sink.as_mut()).await;
    bar.finish_and_clear();
    host.close().await;
    let report = report.map_err(report::refused)?;
    if arguments.json {
        // stdout holds records, so the summary goes beside them.
        output::json_note(&report::as_json(&report));
    } else {
        if report.outcome == Outcome::Succeeded {
            output::note(&format!(
                "{} records in {} pages, run {}",
                report.records, report.pages, report.run_id
            ));
        }
        report::explain(&report);
    }
    Ok(report::exit(&report))
}

/// Any text that a person can read and type again.
fn reader_name(name: &str) -> Result<()> {
    let length = name.chars().count();
    if (1..=READER_CHARS_MAX).contains(&length) && name.trim() == name && !name.contains(is_hidden) {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format!("`--resume` is `{}`: that is no name", shown(name))).with_help(format!(
        "1 to {READER_CHARS_MAX} visible characters, no space at either end, for example `--resume nightly`"
    )))
}

fn progress_bar() -> ProgressBar {
    if !output::is_terminal() {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn show_progress(bar: &ProgressBar, progress: &Progress) {
    let waiting = progress.waiting.map_or(String::new(), |wait| format!(", waiting {} ms", wait.as_millis()));
    bar.set_message(format!("{} records, {} pages{waiting}", progress.records, progress.pages));
    bar.tick();
}

/// Standard output: a page counts as read when it was flushed.
struct StandardOutput;

#[async_trait]
impl PageSink for StandardOutput {
    async fn open(&mut self, _mark: Option<&FileMark>) -> io::Result<Option<FileMark>> {
        Ok(None)
    }

    async fn write(&mut self, records: Vec<u8>) -> io::Result<Option<FileMark>> {
        // A slow reader of the pipe must not hold up an async thread.
        let written = tokio::task::spawn_blocking(move || output::bytes(&records)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok(None)
    }

    async fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn discard(&mut self) {}
}
