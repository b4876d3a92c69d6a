//! JSON Schema 2020-12 as a connector may ship it: self-contained (a `$ref` points inside the document), patterns that run in
//! linear time. Nothing is fetched, from the network or from a file. What it takes to compile one is up to its author: it is
//! compiled where that does no harm, and never by who reads a manifest.
use crate::{
    diagnose::shown,
    limits::{PATTERN_BYTES_MAX, PATTERN_CACHE_BYTES_MAX},
};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Neither an object nor a boolean.
    #[error("a schema is an object")]
    NotASchema,
    /// Another dialect.
    #[error("`$schema` is `{0}`: only JSON Schema 2020-12 is read")]
    Dialect(String),
    /// `$ref` or `$dynamicRef` that leaves the document.
    #[error("`{0}` points outside the schema: put it under `$defs` and write `#/$defs/NAME`")]
    Outside(String),
    /// A reference that leads nowhere.
    #[error("`{0}` points to nothing in the schema")]
    Nowhere(String),
    /// A base URI of a part.
    #[error("`$id` stands at the top of a schema alone")]
    Id,
    /// Refused by the meta-schema, or a pattern that does not compile.
    #[error("not a JSON Schema 2020-12{}: {problem}", at(pointer))]
    Invalid {
        /// Where in the schema.
        pointer: String,
        /// What is wrong.
        problem: String,
    },
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" at `{pointer}`") }
}

const DIALECTS: [&str; 2] =
    ["https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#"];

/// Checks what can be seen without compiling it, in time that grows with its text: its meta-schema, and that it stays inside.
pub fn check(schema: &Value) -> Result<(), SchemaError> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err(SchemaError::NotASchema);
    }
    stays_inside(schema, schema, true)?;
    jsonschema::draft202012::meta::validate(schema).map_err(|error| invalid(&error))
}

/// Checks a schema and compiles it. As much time, memory and stack as its author likes: a process that has none to lose calls this.
pub fn compile(schema: &Value) -> Result<Validator, SchemaError> {
    check(schema)?;
    let linear =
        PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_CACHE_BYTES_MAX);
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(linear)
        .offline()
        .build(schema)
        .map_err(|error| invalid(&error))
}

fn invalid(error: &ValidationError<'_>) -> SchemaError {
    let whole = error.to_string();
    let mut problem = shown(&whole);
    if whole.ends_with("is not a \"regex\"") {
        problem.push_str(" that runs in linear time: no look-around, no back-references, of bounded size");
    }
    SchemaError::Invalid { pointer: shown(error.instance_path().as_str()), problem }
}

/// Recursion is bounded: the document was parsed within `JSON_DEPTH_MAX`. Data (`const`, `examples`) is taken for schemas as well: a
/// property may bear such a name, and too strict is safe.
fn stays_inside(root: &Value, schema: &Value, top: bool) -> Result<(), SchemaError> {
    match schema {
        Value::Array(items) => items.iter().try_for_each(|item| stays_inside(root, item, false)),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| match (key.as_str(), value) {
            ("$ref" | "$dynamicRef", Value::String(target)) => refers_inside(root, target),
            ("$schema", Value::String(dialect)) if !DIALECTS.contains(&dialect.as_str()) => {
                Err(SchemaError::Dialect(shown(dialect)))
            }
            ("$id", Value::String(_)) if !top => Err(SchemaError::Id),
            _ => stays_inside(root, value, false),
        }),
        _ => Ok(()),
    }
}

/// `#`, `#/a/pointer` or `#anchor`. Whether there is such an anchor, and what an encoded pointer means, is found by who compiles it.
fn refers_inside(root: &Value, target: &str) -> Result<(), SchemaError> {
    let Some(fragment) = target.strip_prefix('#') else { return Err(SchemaError::Outside(shown(target))) };
    if fragment.starts_with('/') && !fragment.contains('%') && root.pointer(fragment).is_none() {
        return Err(SchemaError::Nowhere(shown(target)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn local_references_pass_and_others_do_not() {
        let local = json!({"$defs": {"a": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a"}, "$ref": {"type": "string"}}});
        let validator = compile(&local).unwrap();
        assert!(validator.is_valid(&json!({"x": "y"})));
        assert!(!validator.is_valid(&json!({"x": 1})));
        for outside in ["https://example.com/s.json", "other.json", "file:///etc/passwd"] {
            assert_eq!(check(&json!({"$ref": outside})).unwrap_err(), SchemaError::Outside(outside.into()));
        }
        assert_eq!(check(&json!({"$ref": "#/$defs/none"})), Err(SchemaError::Nowhere("#/$defs/none".into())));
        for anchor in ["#none", "#/%24defs/none"] {
            assert!(compile(&json!({"$ref": anchor})).is_err(), "{anchor}");
        }
        assert!(
            compile(&json!({"$id": "https://example.com/a", "$ref": "#/$defs/a", "$defs": {"a": {}}}))
                .is_ok()
        );
        assert_eq!(check(&json!({"properties": {"a": {"$id": "https://x.test/"}}})), Err(SchemaError::Id));
        // A property may be called `const`; so what looks like a reference is one, wherever it stands.
        assert!(check(&json!({"properties": {"const": {"$ref": "https://example.com/"}}})).is_err());
    }

    #[test]
    fn another_dialect_type_or_pattern() {
        assert_eq!(check(&json!(1)).unwrap_err(), SchemaError::NotASchema);
        let old = json!({"$schema": "http://json-schema.org/draft-07/schema#"});
        assert_eq!(
            check(&old).unwrap_err().to_string(),
            "`$schema` is `http://json-schema.org/draft-07/schema#`: only JSON Schema 2020-12 is read"
        );
        let wrong = check(&json!({"properties": {"x": {"type": "strnig"}}})).unwrap_err().to_string();
        assert!(wrong.starts_with("not a JSON Schema 2020-12 at `/properties/x/type`: "), "{wrong}");
        assert!(compile(&json!({"pattern": "^(a+)+$"})).is_ok(), "linear here");
        assert!(compile(&json!({"pattern": "(?=a)b"})).is_err(), "look-around backtracks");
        assert!(compile(&json!({"pattern": "(((a{1000}){1000}){1000})"})).is_err(), "compiles to gigabytes");
    }

    /// As deep as a manifest lets it be, on the stack of any thread.
    #[test]
    fn a_check_takes_the_stack_that_there_is() {
        let deep =
            (0..crate::limits::JSON_DEPTH_MAX).fold(json!({"type": "string"}), |inner, at| match at % 3 {
                0 => json!({"items": inner}),
                1 => json!({"anyOf": [inner]}),
                _ => json!({"unevaluatedProperties": inner}),
            });
        let short = std::thread::Builder::new().stack_size(512 * 1024);
        assert_eq!(short.spawn(move || check(&deep)).unwrap().join().unwrap(), Ok(()));
    }
}
