//! JSON Schema (2020-12) of `portcullis.toml` and of `connector.toml`, for editors. It says which keys there are and what may stand
//! behind them, as far as one key alone tells it; what several keys or files have to agree on is the parser's to judge.
use crate::config;
use portcullis_manifest::{
    connector,
    keys::{Is, Key, Names, Section},
};
use serde_json::{Map, Value, json};

/// A name of a connection, a slot or an origin.
const LABEL: &str = "^[a-z0-9][a-z0-9-]{0,62}$";

/// The schema of `portcullis.toml`.
pub fn config() -> Value {
    document("portcullis.toml", &config::keys::ROOT)
}

/// The schema of `connector.toml`.
pub fn manifest() -> Value {
    document("connector.toml", &connector::keys::ROOT)
}

fn document(title: &str, root: &Section) -> Value {
    let mut schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": title });
    merge(&mut schema, section(root));
    schema
}

fn section(section: &Section) -> Value {
    let properties: Map<String, Value> =
        section.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = section.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = json!({
        "description": section.words,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        merge(&mut schema, json!({ "required": required }));
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = json!({ "description": key.words });
    if let Some(default) = key.default {
        merge(&mut schema, json!({ "default": default_of(key, default) }));
    }
    let of = match key.is {
        Is::Table(inner) => {
            let inner = section(inner);
            merge(&mut schema, inner);
            // The key's own words are about this place.
            merge(&mut schema, json!({ "description": key.words }));
            return schema;
        }
        is => value(is),
    };
    merge(&mut schema, of);
    schema
}

fn value(is: Is) -> Value {
    match is {
        Is::Text | Is::Path | Is::Version => json!({ "type": "string" }),
        Is::Name => {
            json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}$" })
        }
        Is::Reference => reference(),
        Is::NameOrReference => json!({ "oneOf": [
            { "type": "string" },
            { "type": "object", "additionalProperties": false, "properties": { "secret": reference() }, "required": ["secret"] },
        ]}),
        Is::Connector => {
            json!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}(@.+)?$" })
        }
        Is::Choice(words) => json!({ "type": "string", "enum": words }),
        Is::Choices(words) => json!({ "type": "array", "items": { "enum": words } }),
        Is::Bytes => json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" }),
        Is::Time => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }),
        Is::Count(most) => json!({ "type": "integer", "minimum": 1, "maximum": most }),
        Is::Rate => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000 }),
        Is::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Is::Flag => json!({ "type": "boolean" }),
        Is::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Is::TextOrTexts => json!({ "oneOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" } },
        ]}),
        Is::Rules => json!({ "type": "array", "items": rule(), "minItems": 1 }),
        Is::Requested => requested(),
        Is::AllRequested => json!({ "type": "array", "items": requested(), "minItems": 1 }),
        Is::RulesOrRequested => {
            json!({ "oneOf": [{ "const": "requested" }, { "type": "array", "items": rule() }] })
        }
        Is::Map | Is::Paths => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Is::Origins => json!({
            "type": "object",
            "propertyNames": { "pattern": LABEL },
            "additionalProperties": { "type": "string", "pattern": "^https?://" },
        }),
        Is::Foreign => json!({ "type": "object" }),
        Is::Table(inner) => section(inner),
        Is::WordOrTable(words, forms) => {
            json!({ "oneOf": [{ "type": "string", "enum": words }, one_of(forms)] })
        }
        Is::OneOf(forms) => one_of(forms),
        Is::Tables(forms) => json!({ "type": "array", "items": one_of(forms) }),
        Is::Named(names, forms) => {
            let mut schema = json!({ "type": "object", "additionalProperties": one_of(forms) });
            let names = match names {
                Names::Any => return schema,
                Names::Label => json!({ "pattern": LABEL }),
                Names::Operation => json!({ "pattern": "^([A-Za-z0-9][A-Za-z0-9_.-]{0,127}|[*])$" }),
                Names::NotBuiltIn => json!({ "not": { "enum": portcullis_secrets::Providers::BUILT_IN } }),
            };
            merge(&mut schema, json!({ "propertyNames": names }));
            schema
        }
    }
}

fn rule() -> Value {
    json!({
        "type": "string",
        "pattern": "^[A-Z]+(,[A-Z]+)* https?://[^ ]+$",
        "examples": ["GET,POST https://api.example.com/v1/**"],
    })
}

/// As a connector writes it.
fn requested() -> Value {
    json!({
        "type": "string",
        "pattern": "^[A-Z]+(,[A-Z]+)* (https?://|[{]origin[.])[^ ]+$",
        "examples": ["GET,POST https://api.example.com/v1/**", "GET {origin.instance}/api/**"],
    })
}

fn reference() -> Value {
    json!({
        "type": "string",
        "pattern": "^[a-z0-9][a-z0-9-]*:.+$",
        "examples": ["file:secrets/example.key", "env:EXAMPLE_KEY", "directory:/run/secrets#example"],
    })
}

fn one_of(forms: &[Section]) -> Value {
    match forms {
        [one] => section(one),
        _ => json!({ "oneOf": forms.iter().map(section).collect::<Vec<Value>>() }),
    }
}

/// The default as the value that it is.
pub fn default_of(key: &Key, default: &str) -> Value {
    match key.is {
        Is::Count(_)
        | Is::Rate
        | Is::Share
        | Is::Flag
        | Is::Texts
        | Is::TextOrTexts
        | Is::Choices(_)
        | Is::Map
        | Is::Origins
        | Is::Paths
        | Is::Foreign => serde_json::from_str(default).unwrap_or(Value::Null),
        _ => default.into(),
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

#[cfg(test)]
mod tests;
