//! JSON Schema 2020-12 as a connector may ship it: self-contained (a `$ref` points inside the document), patterns that run in
//! linear time. Nothing is fetched, from the network or from a file.
use crate::{
    diagnose::shown,
    limits::{
        PATTERN_BYTES_MAX, PATTERN_CACHE_BYTES_MAX, PATTERNS_BYTES_MAX, PATTERNS_MAX, SCHEMA_PATHS_BYTES_MAX,
        SCHEMA_STACK_BYTES,
    },
};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;
use std::{io, thread};

mod expansion;

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
    /// A reference that leads nowhere or to several places.
    #[error("`{0}` points to nothing, or to more than one place, in the schema")]
    Nowhere(String),
    /// A base URI of a part, or an anchor that is there twice.
    #[error("`$id` stands at the top of a schema alone")]
    Id,
    /// A reference that comes back to itself at the same value, or too many schemas for one value.
    #[error("references or `allOf`, `anyOf`, `oneOf` are nested in a way that takes unbounded work")]
    Expansion,
    /// Over `UNEVALUATED_BYTES_MAX`.
    #[error(
        "`unevaluatedProperties` or `unevaluatedItems` stand beside too much, too often: `additionalProperties` is light"
    )]
    Unevaluated,
    /// Over `SCHEMA_PATHS_BYTES_MAX`.
    #[error("its names are too long for all that stands below them")]
    Paths,
    /// Over `PATTERNS_MAX`.
    #[error("more than {PATTERNS_MAX} patterns")]
    Patterns,
    /// Over `PATTERNS_BYTES_MAX`.
    #[error(
        "its patterns take more than {} MiB: what is repeated counts as often as it may come, and a class such as `\\p{{L}}` \
         is large", PATTERNS_BYTES_MAX >> 20
    )]
    PatternsTooLarge,
    /// The machine has no more threads.
    #[error("there is no thread to look at it")]
    NoThread,
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

/// A schema that passed every check here.
#[derive(Debug)]
pub struct Compiled {
    /// Holds values against it.
    pub validator: Validator,
    /// The longest chain of its schemas that look at one and the same value: frames of the stack at each level of a document.
    pub depth_in_place: usize,
}

/// Checks a schema, and keeps nothing of it but what its patterns take compiled, in bytes.
pub fn check(schema: &Value) -> Result<usize, SchemaError> {
    on_a_long_stack(|| compile_here(schema).map(|(_, pattern_bytes)| pattern_bytes))
        .unwrap_or(Err(SchemaError::NoThread))
}

/// Checks a schema and compiles it, with every option that matters for a hostile one set.
pub fn compile(schema: &Value) -> Result<Compiled, SchemaError> {
    on_a_long_stack(|| compile_here(schema).map(|(compiled, _)| compiled))
        .unwrap_or(Err(SchemaError::NoThread))
}

/// How much stack it takes to compile a schema, or to hold a value against it, is up to the schema's author, within
/// `SCHEMA_STACK_BYTES`: whatever thread asks has less.
pub fn on_a_long_stack<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let thread = thread::Builder::new().stack_size(SCHEMA_STACK_BYTES);
    thread::scope(|scope| {
        let running = thread.spawn_scoped(scope, work)?;
        Ok(running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn compile_here(schema: &Value) -> Result<(Compiled, usize), SchemaError> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err(SchemaError::NotASchema);
    }
    stays_inside(schema)?;
    if path_bytes(schema, 0) > SCHEMA_PATHS_BYTES_MAX {
        return Err(SchemaError::Paths);
    }
    let patterns = patterns(schema);
    if patterns.len() > PATTERNS_MAX {
        return Err(SchemaError::Patterns);
    }
    let depth_in_place = expansion::depth(schema)?;
    let pattern_bytes = patterns.into_iter().map(pattern_bytes).sum();
    if pattern_bytes > PATTERNS_BYTES_MAX {
        return Err(SchemaError::PatternsTooLarge);
    }
    let validator = build(schema, PATTERN_BYTES_MAX).map_err(|error| SchemaError::Invalid {
        pointer: shown(error.instance_path().as_str()),
        problem: shown(&error.to_string()),
    })?;
    Ok((Compiled { validator, depth_in_place }, pattern_bytes))
}

/// Of a table of groups, for a character of its pattern; measured.
const GROUP_BYTES: usize = 384;

fn build(schema: &Value, pattern_bytes_max: usize) -> Result<Validator, ValidationError<'_>> {
    let linear =
        PatternOptions::regex().size_limit(pattern_bytes_max).dfa_size_limit(PATTERN_CACHE_BYTES_MAX);
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(linear)
        .offline()
        .build(schema)
}

/// What a pattern takes, roughly: the least of these that is enough for it, and with groups the table that goes with them, which has
/// no size limit of its own. One that is none is refused with its schema.
fn pattern_bytes(pattern: &str) -> usize {
    const SIZES: [usize; 3] = [PATTERN_BYTES_MAX / 64, PATTERN_BYTES_MAX / 8, PATTERN_BYTES_MAX];
    let alone = serde_json::json!({ "pattern": pattern });
    let enough = |bytes: &usize| *bytes == PATTERN_BYTES_MAX || build(&alone, *bytes).is_ok();
    let bytes = SIZES.into_iter().find(enough).unwrap_or(PATTERN_BYTES_MAX);
    let repeated = if bytes > SIZES[0] { 8 * bytes } else { 0 };
    let captures = pattern.matches('(').count() > pattern.matches("(?:").count();
    let groups = if captures { pattern.len() * GROUP_BYTES + repeated } else { 0 };
    bytes + groups.min(PATTERN_BYTES_MAX)
}

/// What the paths to all parts of a schema take, below one of so many bytes.
fn path_bytes(schema: &Value, above: usize) -> usize {
    let below = |step: usize, inner: &Value| {
        let path = above + 1 + step;
        path + path_bytes(inner, path)
    };
    // `~` and `/` are two bytes in a pointer.
    let step = |key: &str| key.len() + key.bytes().filter(|byte| b"~/".contains(byte)).count();
    match schema {
        Value::Array(items) => items.iter().map(|item| below(4, item)).sum(),
        // A list of values is no list of parts.
        Value::Object(map) => map
            .iter()
            .filter(|(key, value)| key.as_str() != "enum" || !is_plain(value))
            .map(|(key, value)| below(step(key), value))
            .sum(),
        _ => 0,
    }
}

/// A list in which nothing is a schema, wherever a reference leads.
fn is_plain(value: &Value) -> bool {
    value.as_array().is_some_and(|values| !values.iter().any(|value| value.is_object() || value.is_array()))
}

/// The patterns of a schema, and what may be one: what compiles slowly.
pub(crate) fn patterns(schema: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    add_patterns(schema, &mut found);
    found
}

fn add_patterns<'s>(schema: &'s Value, found: &mut Vec<&'s str>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| add_patterns(item, found)),
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("pattern", Value::String(pattern)) => found.push(pattern),
                    ("patternProperties", Value::Object(map)) => found.extend(map.keys().map(String::as_str)),
                    _ => {}
                }
                add_patterns(value, found);
            }
        }
        _ => {}
    }
}

/// Recursion is bounded: the document was parsed within `JSON_DEPTH_MAX`.
fn stays_inside(schema: &Value) -> Result<(), SchemaError> {
    match schema {
        Value::Array(items) => items.iter().try_for_each(stays_inside),
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("$ref" | "$dynamicRef", Value::String(target)) if !target.starts_with('#') => {
                        return Err(SchemaError::Outside(shown(target)));
                    }
                    ("$schema", Value::String(dialect)) if !DIALECTS.contains(&dialect.as_str()) => {
                        return Err(SchemaError::Dialect(shown(dialect)));
                    }
                    _ => stays_inside(value)?,
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn local_references_pass_and_others_do_not() {
        let local = json!({"$defs": {"a": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a"}, "$ref": {"type": "string"}}});
        let validator = compile(&local).unwrap().validator;
        assert!(validator.is_valid(&json!({"x": "y"})));
        assert!(!validator.is_valid(&json!({"x": 1})));
        for outside in ["https://example.com/s.json", "other.json", "file:///etc/passwd"] {
            assert_eq!(compile(&json!({"$ref": outside})).unwrap_err(), SchemaError::Outside(outside.into()));
        }
        assert!(matches!(compile(&json!({"$ref": "#/$defs/none"})), Err(SchemaError::Nowhere(_))));
        assert!(
            compile(&json!({"$id": "https://example.com/a", "$ref": "#/$defs/a", "$defs": {"a": {}}}))
                .is_ok()
        );
        // A property may be called `const`; so what looks like a reference is one, wherever it stands.
        assert!(compile(&json!({"properties": {"const": {"$ref": "https://example.com/"}}})).is_err());
    }

    /// As deep as a manifest lets it be, at one and the same value: the whole process ended where a thread with 2 MiB read it.
    #[test]
    fn a_deep_one_takes_no_stack_of_whoever_asks() {
        let last = 12;
        let deep = |number: usize| {
            let next = json!({"$ref": format!("#/$defs/d{}", number + 1)});
            (0..55).fold(next, |inner, _| json!({"unevaluatedProperties": inner}))
        };
        let mut parts: serde_json::Map<String, Value> =
            (0..last).map(|number| (format!("d{number}"), deep(number))).collect();
        parts.insert(format!("d{last}"), json!({"type": "string"}));
        let schema = json!({"$ref": "#/$defs/d0", "$defs": parts});
        let short = thread::Builder::new().stack_size(256 * 1024);
        let both = short.spawn(move || (check(&schema), compile(&schema).map(drop)));
        assert_eq!(both.unwrap().join().unwrap(), (Ok(0), Ok(())));
    }

    #[test]
    fn another_dialect_type_or_pattern() {
        assert_eq!(compile(&json!(1)).unwrap_err(), SchemaError::NotASchema);
        let old = json!({"$schema": "http://json-schema.org/draft-07/schema#"});
        assert_eq!(
            compile(&old).unwrap_err().to_string(),
            "`$schema` is `http://json-schema.org/draft-07/schema#`: only JSON Schema 2020-12 is read"
        );
        let wrong = compile(&json!({"properties": {"x": {"type": "strnig"}}})).unwrap_err().to_string();
        assert!(wrong.starts_with("not a JSON Schema 2020-12 at `/properties/x/type`: "), "{wrong}");
        assert!(compile(&json!({"pattern": "^(a+)+$"})).is_ok(), "linear here");
        assert!(compile(&json!({"pattern": "(?=a)b"})).is_err(), "look-around backtracks");
        assert!(compile(&json!({"pattern": "(((a{1000}){1000}){1000})"})).is_err(), "compiles to gigabytes");
    }

    /// What is compiled of a part holds the path to it: a long name above many of them is many long names.
    #[test]
    fn paths_are_bounded_together() {
        let below = |name: usize| {
            let parts: serde_json::Map<String, Value> =
                (0..1_000).map(|part| (format!("a{part}"), json!({"type": "string"}))).collect();
            check(&json!({"properties": {"n".repeat(name): {"properties": parts}}}))
        };
        assert_eq!(below(1_000), Ok(0));
        assert_eq!(below(100_000), Err(SchemaError::Paths));
        let codes: Vec<_> = (100_000..200_000).map(|code| code.to_string()).collect();
        let deep = ["shipment", "goods", "declaration", "tariff", "classification"];
        let list =
            deep.iter().fold(json!({"enum": codes}), |inner, name| json!({"properties": {*name: inner}}));
        assert_eq!(check(&list), Ok(0));
    }

    /// Each may be large, and not all of them.
    #[test]
    fn patterns_are_bounded_together() {
        let of =
            |count: usize, pattern: &str| check(&json!({"anyOf": vec![json!({"pattern": pattern}); count]}));
        let (small, large) = ("^[a-z0-9_-]{1,64}$", "^(?:\\p{L}[.-]?){1,12}$");
        let one = of(1, large).unwrap();
        assert!(one > of(1, small).unwrap(), "{one}");
        assert!(of(PATTERNS_MAX, small).is_ok());
        assert_eq!(of(PATTERNS_BYTES_MAX / one, large), Ok(PATTERNS_BYTES_MAX / one * one));
        let classes = format!("^({})$", "[ab][cX]".repeat(100));
        assert_eq!(of(200, &classes), Err(SchemaError::PatternsTooLarge));
        assert_eq!(of(PATTERNS_BYTES_MAX / one + 1, large), Err(SchemaError::PatternsTooLarge));
        let named = json!({"patternProperties": {large: {}}});
        assert_eq!(check(&named), Ok(one));
    }
}
