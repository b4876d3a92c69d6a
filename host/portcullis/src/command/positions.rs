//! `positions`: how far readers have come, and a person's word on where one goes on.
use super::{
    asked::{Decider, Wanted},
    confirm::confirmed,
    named, report,
};
use crate::{
    cli::{Arguments, Positions, PositionsCommand, PositionsReset},
    config::Config,
    exit::{Exit, Failure, Result, at_database},
    output,
    remedy::quoted,
};
use portcullis_store::{PositionRow, StateReader, StoreError};
use serde_json::{Value, json};
use std::path::Path;

/// Lists them, or changes one.
pub async fn run(arguments: &Arguments, options: &Positions) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    match &options.command {
        None => list(arguments, &config, options.connection.as_deref()).await,
        Some(PositionsCommand::Reset(of)) => decide(arguments, &config, of, None).await,
        Some(PositionsCommand::Set(options)) => {
            serde_json::from_str::<serde::de::IgnoredAny>(&options.checkpoint)
                .map_err(|error| Failure::new(Exit::Usage, "the checkpoint is not JSON").because(&error))?;
            decide(arguments, &config, &options.of, Some(options.checkpoint.clone())).await
        }
    }
}

async fn list(arguments: &Arguments, config: &Config, connection: Option<&str>) -> Result<Exit> {
    let (data, of) = (config.data.clone(), connection.map(str::to_owned));
    let read = tokio::task::spawn_blocking(move || match StateReader::open(&data)? {
        Some(reader) => reader.positions(of.as_deref()),
        None => Ok(Vec::new()),
    });
    let read = read.await.map_err(|error| Failure::fault("the reader failed").because(&error))?;
    let rows = read.map_err(|error: StoreError| at_database("read", "state.db", &error))?;
    if let Some(connection) = connection.filter(|_| rows.is_empty()) {
        named::connection(config, connection).await?;
    }
    if arguments.json {
        rows.iter().for_each(|row| output::json_line(&as_json(row)));
        return Ok(Exit::Success);
    }
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let header = ["CONNECTION", "READER", "STREAM", "VERSION", "RECORDS", "GOES ON", "CHECKPOINT", "WRITTEN"];
    output::line(&output::table(&header, &cells));
    Ok(Exit::Success)
}

fn cells(row: &PositionRow) -> Vec<String> {
    let position = &row.position;
    let goes_on = match (&position.next, &position.checkpoint) {
        (Some(_), _) => "in the midst of a read",
        (None, Some(_)) => "at its checkpoint",
        (None, None) => "at the start",
    };
    vec![
        output::shown_line(&row.connection),
        output::shown_line(&row.key.reader),
        output::shown_line(&row.key.stream),
        row.key.position_version.to_string(),
        position.records.to_string(),
        goes_on.to_owned(),
        position.checkpoint.as_deref().map_or("-".to_owned(), output::shown_line),
        position.updated_at.to_string(),
    ]
}

fn as_json(row: &PositionRow) -> Value {
    let position = &row.position;
    json!({
        "connection": row.connection, "connector": row.connector, "reader": row.key.reader, "stream": row.key.stream,
        "position_version": row.key.position_version, "records": position.records,
        "next": position.next.as_deref().map(report::json_or_text),
        "checkpoint": position.checkpoint.as_deref().map(report::json_or_text),
        "file": row.file, "updated_at": position.updated_at.to_string(),
    })
}

async fn decide(
    arguments: &Arguments,
    config: &Config,
    of: &PositionsReset,
    checkpoint: Option<String>,
) -> Result<Exit> {
    let PositionsReset { connection, stream, reader, yes } = of;
    if !yes {
        let word = |text: &str| quoted(Path::new(text));
        let (command, at) = match &checkpoint {
            Some(checkpoint) => ("set", format!(" {}", word(checkpoint))),
            None => ("reset", String::new()),
        };
        let instead = format!(
            "portcullis positions {command} {} {}{at} --reader {} --yes",
            word(connection),
            word(stream),
            word(reader)
        );
        output::note(
            "it reads from there on: what it has read before comes a second time, and what lies before a later checkpoint never comes",
        );
        if !confirmed("do it? Type `yes`:", Exit::Usage, &instead)? {
            return Err(Failure::new(Exit::Cancelled, "nothing was changed"));
        }
    }
    let wanted = Wanted {
        connection: connection.clone(),
        reader: reader.clone(),
        stream: stream.clone(),
        checkpoint: checkpoint.clone(),
    };
    Decider::of(arguments, config).await?.decide_position(wanted).await?;
    match arguments.json {
        true => output::json_line(&json!({
            "connection": connection, "reader": reader, "stream": stream, "checkpoint": checkpoint.as_deref().map(report::json_or_text),
        })),
        false => output::note(match checkpoint {
            Some(_) => "it goes on there with its next read",
            None => "it begins at the start with its next read",
        }),
    }
    Ok(Exit::Success)
}
