//! `call`, `check` and `discover`: one run each.
use super::{announced, report, withheld};
use crate::{
    cli::{Arguments, Call, OneConnection},
    exit::{Exit, Failure, Result, at_file},
    output,
    wiring::Host,
};
use portcullis_engine::{CallOptions, Outcome};
use serde_json::json;
use std::{io::Read, path::Path};

/// Largest input.
const INPUT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Runs one action.
pub async fn run(arguments: &Arguments, options: &Call) -> Result<Exit> {
    let input = input(options.input.as_deref(), options.input_file.as_deref())?;
    let host = Host::open(&arguments.config, arguments.wait()).await?;
    let call = ready(&host, &options.connection).await?;
    let report = match options.dry_run {
        true => host.engine.dry_run(&options.connection, &options.action, &input, call).await,
        false => host.engine.call(&options.connection, &options.action, &input, call).await,
    };
    host.close().await;
    let report = report.map_err(report::refused)?;
    if !arguments.json {
        if options.dry_run {
            withheld::show(&report);
        }
        // What follows a request that was held back is no output.
        if let Some(output) = report.output.as_ref().filter(|_| report.withheld.count == 0) {
            output::json_text(output);
        }
    }
    report::show(arguments, &report)
}

/// Runs the connector's check.
pub async fn check(arguments: &Arguments, options: &OneConnection) -> Result<Exit> {
    let host = Host::open(&arguments.config, arguments.wait()).await?;
    let call = ready(&host, &options.connection).await?;
    let connection_id = host.connection_id(&options.connection).await?;
    let report = host.engine.check(&options.connection, call).await;
    host.close().await;
    let report = report.map_err(report::refused)?;
    let announced = announced::of(arguments, connection_id).await?;
    if arguments.json {
        let mut value = report::as_json(&report);
        value["announcements"] = announced.iter().map(announced::as_json).collect();
        output::json_line(&value);
        return report::told(&report);
    }
    if report.outcome == Outcome::Succeeded {
        output::line(&format!("`{}` works", options.connection));
    }
    announced.iter().for_each(|row| output::note(&announced::warning(row)));
    report::show(arguments, &report)
}

/// Lists streams.
pub async fn discover(arguments: &Arguments, options: &OneConnection) -> Result<Exit> {
    let host = Host::open(&arguments.config, arguments.wait()).await?;
    let call = ready(&host, &options.connection).await?;
    let report = host.engine.discover(&options.connection, call).await;
    host.close().await;
    let report = report.map_err(report::refused)?;
    if arguments.json {
        let stream = |stream: &portcullis_engine::StreamDescriptor| {
            json!({
                "name": stream.name, "primary_key": stream.primary_key, "cursor_field": stream.cursor_field,
                "deleted_field": stream.deleted_field, "complete_reads": stream.complete_reads,
                "schema": report::json_or_text(&stream.schema),
            })
        };
        let mut value = report::as_json(&report);
        value["streams"] = report.streams.iter().map(stream).collect();
        output::json_line(&value);
        return report::told(&report);
    }
    if report.outcome == Outcome::Succeeded {
        let row = |stream: &portcullis_engine::StreamDescriptor| {
            let cursor = stream.cursor_field.clone().unwrap_or_default();
            [&stream.name, &stream.primary_key.join(", "), &cursor]
                .map(|text| output::shown_line(text))
                .to_vec()
        };
        let rows: Vec<_> = report.streams.iter().map(row).collect();
        output::line(&output::table(&["STREAM", "KEY", "CURSOR"], &rows));
    }
    report::show(arguments, &report)
}

/// What a run of a connection is given, once that may run.
async fn ready(host: &Host, connection: &str) -> Result<CallOptions> {
    let cancelled = report::cancel_on_signal();
    host.require(connection, &cancelled).await?;
    Ok(CallOptions { correlation_id: None, cancelled: Some(cancelled) })
}

/// From the argument, a file, or stdin; `{}` where nothing was given.
pub fn input(text: Option<&str>, file: Option<&Path>) -> Result<String> {
    let bytes = match (text, file) {
        (Some("-"), _) => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes);
            read.map_err(|error| {
                Failure::new(Exit::Usage, "cannot read the input from stdin").because(&error)
            })?;
            bytes
        }
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(file)) => std::fs::read(file).map_err(at_file("read", file))?,
        (None, None) => b"{}".to_vec(),
    };
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::new(Exit::Usage, format!("the input is larger than {INPUT_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Usage, "the input is not UTF-8"))
}
