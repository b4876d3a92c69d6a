//! The connection's config, and what of it and of a stream's description decides how records are written.

use crate::{
    fault::shown,
    limits::{COLUMNS_MAX, RECORDS_DEFAULT, RECORDS_MAX},
    partition::Partition,
};
use portcullis_sdk::{self as sdk, Error, Result, StreamDescriptor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `config` of the connection.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub format: Format,
    pub partition: Option<Partition>,
    #[serde(default)]
    columns: BTreeMap<String, Vec<String>>,
    records_max: Option<usize>,
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    #[default]
    Ndjson,
    Csv,
}

impl Format {
    /// Of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}

/// How the records of a stream are written: kept beside the parts of a snapshot, since who completes one is told a name alone.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shape {
    pub format: Format,
    /// Of a CSV file.
    pub columns: Vec<String>,
    pub primary_key: Vec<String>,
    pub deleted_field: Option<String>,
}

impl Config {
    /// Reads it, as its schema says.
    pub fn of(config: &sdk::Config) -> Result<Self> {
        let config: Self = config.parse()?;
        if config.records_max.is_some_and(|max| max == 0 || max > RECORDS_MAX) {
            return Err(Error::invalid_config(format!("`records-max` is a number from 1 to {RECORDS_MAX}")));
        }
        if let Some(partition) = &config.partition {
            partition.check()?;
        }
        for (stream, columns) in &config.columns {
            check_columns(columns).map_err(|error| {
                Error::invalid_config(format!("columns of `{}`: {}", shown(stream), error.message()))
            })?;
        }
        Ok(config)
    }

    /// Records of one complete read.
    pub fn records_max(&self) -> usize {
        self.records_max.unwrap_or(RECORDS_DEFAULT)
    }

    /// How this stream's records are written.
    pub fn shape(&self, stream: &StreamDescriptor) -> Result<Shape> {
        let columns = match self.format {
            Format::Ndjson => Vec::new(),
            Format::Csv => self.columns_of(stream)?,
        };
        Ok(Shape {
            format: self.format,
            columns,
            primary_key: stream.primary_key.clone(),
            deleted_field: stream.deleted_field.clone(),
        })
    }

    fn columns_of(&self, stream: &StreamDescriptor) -> Result<Vec<String>> {
        if let Some(columns) = self.columns.get(&stream.name) {
            return Ok(columns.clone());
        }
        #[derive(Deserialize)]
        struct Schema {
            #[serde(default)]
            properties: serde_json::Map<String, serde_json::Value>,
        }
        let schema = serde_json::from_str::<Schema>(&stream.schema).map(|schema| schema.properties);
        let columns: Vec<String> = schema.unwrap_or_default().keys().cloned().collect();
        if columns.is_empty() {
            let name = shown(&stream.name);
            return Err(Error::invalid_input(format!(
                "the schema of the stream `{name}` names no `properties`, and a CSV file has columns: name them in the \
                 connection's config, `columns = {{ \"{name}\" = [\"id\", …] }}`"
            )));
        }
        check_columns(&columns)?;
        Ok(columns)
    }
}

fn check_columns(columns: &[String]) -> Result<()> {
    if columns.is_empty() || columns.len() > COLUMNS_MAX {
        return Err(Error::invalid_input(format!("a CSV file has 1 to {COLUMNS_MAX} columns")));
    }
    let mut sorted: Vec<_> = columns.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::invalid_input("a column is named twice"));
    }
    Ok(())
}
