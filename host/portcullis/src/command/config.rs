//! `config check`, `config show`: the config file by itself; `schema`. Neither lock, registry nor data is looked at, and no secret.
use crate::{
    cli::{Arguments, ConfigCommand, ConfigShow, Schema, SchemaOf},
    config::{
        Config,
        resolved::{self, Row, Shown},
    },
    exit::{Exit, Failure, Result},
    output, schema as json_schema,
};
use serde_json::{Value, json};

/// Checks or shows it.
pub fn run(arguments: &Arguments, options: &ConfigCommand) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    match options {
        ConfigCommand::Check => check(arguments, &config),
        ConfigCommand::Show(options) => show(arguments, &config, options),
    }
}

fn check(arguments: &Arguments, config: &Config) -> Result<Exit> {
    let faults = config.credential_faults();
    if !faults.is_empty() {
        return Err(Failure::documents(faults));
    }
    let (file, credentials, connections) =
        (config.file.display().to_string(), config.credentials.len(), config.connections.len());
    if arguments.json {
        output::json_line(
            &json!({ "ok": true, "file": file, "credentials": credentials, "connections": connections }),
        );
    } else {
        let (credentials, connections) =
            (output::count(credentials, "credential"), output::count(connections, "connection"));
        output::line(&format!("ok: {file}: {credentials}, {connections}"));
    }
    Ok(Exit::Success)
}

fn show(arguments: &Arguments, config: &Config, options: &ConfigShow) -> Result<Exit> {
    let rows = resolved::rows(config, options.resolved).map_err(Failure::documents)?;
    let file = config.file.display().to_string();
    if arguments.json {
        rows.iter().for_each(|row| output::json_line(&as_json(row, &file)));
        return Ok(Exit::Success);
    }
    let cells = |row: &Row| {
        let value = match &row.value {
            Shown::Value(value) => value.to_string(),
            Shown::Withheld(kind) => format!("({kind}, not shown)"),
        };
        let from = row.line.map_or("default".to_owned(), |line| format!("{file}:{line}"));
        vec![row.key.clone(), value, from]
    };
    output::line(&output::table(&["KEY", "VALUE", "FROM"], &rows.iter().map(cells).collect::<Vec<_>>()));
    Ok(Exit::Success)
}

fn as_json(row: &Row, file: &str) -> Value {
    let (value, withheld) = match &row.value {
        Shown::Value(value) => (value.clone(), None),
        Shown::Withheld(kind) => (Value::Null, Some(*kind)),
    };
    let from = match row.line {
        Some(line) => json!({ "file": file, "line": line }),
        None => "default".into(),
    };
    json!({ "key": row.key, "value": value, "withheld": withheld, "from": from })
}

/// Prints the schema; it depends on nothing but this version.
pub fn schema(arguments: &Arguments, options: &Schema) -> Result<Exit> {
    let schema = match options.of {
        SchemaOf::Config => json_schema::config(),
        SchemaOf::Manifest => json_schema::manifest(),
    };
    if arguments.json {
        output::json_line(&schema);
    } else {
        output::json_text(&format!("{schema:#}"));
    }
    Ok(Exit::Success)
}
