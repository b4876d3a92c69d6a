//! What a config means, value by value, each with where it comes from. Nothing secret can be among them: of a secret a config holds
//! the reference alone, and no provider is asked. What may be a person's, or the connector's, is named and not shown.
use super::{Config, folder_of, keys::ROOT, plain};
use crate::{remedy, schema};
use portcullis_manifest::{
    Diagnostic,
    diagnose::{Document, without_secrets},
    keys::{Is, Key, Section},
};
use serde_json::Value;
use std::path::Path;

/// One value.
#[derive(Debug, PartialEq)]
pub struct Row {
    /// Dotted, as TOML would have it.
    pub key: String,
    /// The value.
    pub value: Shown,
    /// Its line in the file; none = a default.
    pub line: Option<usize>,
}

/// A value as it may be seen.
#[derive(Debug, PartialEq)]
pub enum Shown {
    /// As it is.
    Value(Value),
    /// What kind of value it is.
    Withheld(&'static str),
}

/// What is written; or `all` that holds, with defaults and whole paths.
pub fn rows(config: &Config, all: bool) -> Result<Vec<Row>, Vec<Diagnostic>> {
    let document = config.document()?;
    let mut root = document.root();
    let mut written = serde_json::Map::new();
    for key in ROOT.keys {
        written.extend(root.json(key.name).map(|value| (key.name.to_owned(), value.value)));
    }
    root.ignore_rest();
    let ends = config.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at);
    let mut show = Show {
        config,
        document: &document,
        line_ends: ends.collect(),
        all,
        path: Vec::new(),
        key: String::new(),
        rows: Vec::new(),
    };
    show.section(&ROOT, &Value::Object(written));
    Ok(show.rows)
}

struct Show<'c> {
    config: &'c Config,
    document: &'c Document,
    line_ends: Vec<usize>,
    all: bool,
    /// Where it stands: names, and indices of lists.
    path: Vec<String>,
    /// The same for people.
    key: String,
    rows: Vec<Row>,
}

impl Show<'_> {
    fn section(&mut self, section: &Section, table: &Value) {
        for key in section.keys {
            self.at_name(key.name, |show| match (key.is, table.get(key.name)) {
                (Is::Table(inner), written) => show.section(inner, written.unwrap_or(&Value::Null)),
                (Is::Named(_, forms), Some(Value::Object(tables))) => {
                    for (name, table) in tables {
                        if let Some(form) = Section::of(forms, table) {
                            show.at_name(name, |show| show.section(form, table));
                        }
                    }
                }
                (Is::Named(..), _) => {}
                (_, Some(written)) => show.value(key.is, written),
                (_, None) => show.default(key),
            });
        }
    }

    /// What is no bare key is quoted.
    fn at_name(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let dot = if self.key.is_empty() { "" } else { "." };
        let piece = match !name.is_empty() && name.bytes().all(bare) {
            true => format!("{dot}{name}"),
            false => format!("{dot}{}", Value::from(name)),
        };
        self.at(name.to_owned(), &piece, inside);
    }

    fn at(&mut self, step: String, piece: &str, inside: impl FnOnce(&mut Self)) {
        let before = self.key.len();
        self.path.push(step);
        self.key.push_str(piece);
        inside(self);
        self.key.truncate(before);
        self.path.pop();
    }

    fn value(&mut self, is: Is, value: &Value) {
        match value {
            Value::Object(table) if !table.is_empty() => {
                for (name, value) in table {
                    self.at_name(name, |show| show.value(inner(is), value));
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, value) in items.iter().enumerate() {
                    self.at(index.to_string(), &format!("[{index}]"), |show| show.value(inner(is), value));
                }
            }
            one => {
                let steps: Vec<&str> = self.path.iter().map(String::as_str).collect();
                let start = self.document.span_of(&steps).start;
                let line = self.line_ends.partition_point(|end| *end < start) + 1;
                let shown = self.shown(is, one);
                self.rows.push(Row { key: without_secrets(&self.key), value: shown, line: Some(line) });
            }
        }
    }

    fn default(&mut self, key: &Key) {
        let Some(default) = key.default.filter(|_| self.all) else { return };
        let value = self.shown(key.is, &schema::default_of(key, default));
        self.rows.push(Row { key: without_secrets(&self.key), value, line: None });
    }

    fn shown(&self, is: Is, value: &Value) -> Shown {
        match (is, value) {
            // Nothing is in an empty table.
            (Is::Foreign, Value::Object(_)) => Shown::Value(value.clone()),
            (Is::Foreign | Is::NameOrReference, value) => Shown::Withheld(kind(value)),
            // Judged as it is written too: what makes it whole makes a path of a URL.
            (Is::Path | Is::Paths, Value::String(path)) if self.all => {
                let path = without_secrets(path);
                Shown::Value(remedy::unsecret(&whole(folder_of(&self.config.file), &path)).into())
            }
            // Everybody may see it, and has to.
            (_, Value::String(_)) if self.key.starts_with("publishers.") => Shown::Value(value.clone()),
            (_, Value::String(text)) => Shown::Value(without_secrets(text).into()),
            _ => Shown::Value(value.clone()),
        }
    }
}

/// What stands in a list or table of this.
fn inner(is: Is) -> Is {
    match is {
        Is::NameOrReference => Is::Reference,
        other => other,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Bool(_) => "true or false",
        Value::Array(_) => "a list",
        _ => "a table",
    }
}

fn whole(folder: &Path, path: &str) -> String {
    let path = folder.join(path);
    plain(&std::path::absolute(&path).unwrap_or(path)).display().to_string()
}
