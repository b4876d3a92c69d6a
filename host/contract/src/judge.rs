//! One compiled schema, and documents held against it: wherever that is done.

use crate::{
    Fault, SchemaError,
    limits::{DOCUMENT_DEPTH_MAX, FAULT_CHARS_MAX, FAULTS_MAX, KNOWN_BYTES_MAX},
    loops,
};
use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use portcullis_manifest::{
    diagnose::escaped,
    json::{self, JsonError},
    schema,
};
use serde_json::Value;
use std::sync::Arc;

pub(crate) struct Judge {
    schema: Value,
    validator: Validator,
}

impl Judge {
    pub(crate) fn of(schema: Value) -> Result<Self, SchemaError> {
        if let Some(reference) = loops::comes_back(&schema) {
            let reference = shorten(&escaped(reference));
            let message =
                format!("`{reference}` comes back to itself at the same value, which says nothing of it");
            return Err(SchemaError::Unusable(message));
        }
        let compiled = schema::compile(&schema);
        let validator =
            compiled.map_err(|error| SchemaError::Unusable(shorten(&escaped(&error.to_string()))))?;
        Ok(Self { schema, validator })
    }

    pub(crate) fn fits(&self, document: &Value) -> bool {
        self.validator.is_valid(document)
    }

    /// The document's faults, at most `FAULTS_MAX`. All are made before the first is told.
    pub(crate) fn faults(&self, document: &Value) -> Vec<Fault> {
        let errors = self.validator.iter_errors(document);
        errors.flat_map(|error| faults(&self.schema, &error)).take(FAULTS_MAX).collect()
    }

    /// The first of them: no other is made.
    pub(crate) fn first(&self, document: &Value) -> Vec<Fault> {
        self.validator.validate(document).err().map_or_else(Vec::new, |error| faults(&self.schema, &error))
    }
}

/// The document; what is none is told as its one fault.
pub(crate) fn document(text: &[u8]) -> Result<Value, Fault> {
    json::parse_within(text, DOCUMENT_DEPTH_MAX).map_err(|error| Fault::whole(no_document(&error)))
}

/// The lines, without their ends; none after the last end.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// What the parser met may be what nobody should read.
pub(crate) fn no_document(error: &JsonError) -> String {
    match error {
        JsonError::Syntax { line: 1, column, .. } => format!("not JSON (column {column})"),
        JsonError::Syntax { line, column, .. } => format!("not JSON (line {line}, column {column})"),
        other => other.to_string(),
    }
}

/// One error is one fault, but for properties that should not be there: each has a place of its own.
fn faults(schema: &Value, error: &ValidationError<'_>) -> Vec<Fault> {
    let parent = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let known = properties_beside(schema, &error.schema_path().to_string());
            let place = |name: &String| format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"));
            let fault = |name| Fault {
                pointer: shorten(&place(name)),
                message: "no such property".to_owned(),
                known: Arc::clone(&known),
            };
            unexpected.iter().take(FAULTS_MAX).map(fault).collect()
        }
        ValidationErrorKind::FalseSchema => {
            let what = if is_of_others(error) { "no property" } else { "nothing" };
            vec![Fault {
                pointer: shorten(&parent),
                message: format!("{what} may be here"),
                known: Arc::default(),
            }]
        }
        _ => {
            let message = shorten(&escaped(&error.masked().to_string()));
            vec![Fault { pointer: shorten(&parent), message, known: Arc::default() }]
        }
    }
}

/// `additionalProperties: false` where there are no others is a schema that lets nothing pass.
fn is_of_others(error: &ValidationError<'_>) -> bool {
    let keyword = error.schema_path().as_str();
    keyword.ends_with("/additionalProperties") && !keyword.ends_with("/properties/additionalProperties")
}

/// The names under `properties` of the schema whose keyword this is; none where a reference leads elsewhere, or where they are more
/// than anybody compares a slip with.
fn properties_beside(schema: &Value, keyword: &str) -> Arc<[String]> {
    let beside = keyword.rsplit_once('/').map_or("", |(schema, _)| schema);
    let properties = schema.pointer(beside).and_then(|schema| schema["properties"].as_object());
    let few =
        properties.filter(|known| known.keys().map(|name| name.len() + 4).sum::<usize>() <= KNOWN_BYTES_MAX);
    few.map(|known| known.keys().cloned().collect()).unwrap_or_default()
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(FAULT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
