//! Schemas as contracts: JSON Schema 2020-12. Names what was expected where, never what was found, since a value
//! may be a secret or a person's.

use crate::limits::{
    DOCUMENT_DEPTH_MAX, FAULT_CHARS_MAX, FAULTS_BYTES_MAX, FAULTS_MAX, SCHEMA_BYTES_MAX, SCHEMA_SHALLOW,
    SCHEMA_TIME_MAX, SCHEMA_WORK_MAX, TOO_LONG_MAX,
};
use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use portcullis_manifest::{
    json::{self, JsonError},
    schema,
};
use serde_json::{Map, Value};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};
use weight::Made;

mod in_time;
mod weight;

/// A JSON Schema, compiled on first use. Clones share what was compiled.
#[derive(Clone)]
pub struct Schema {
    text: Arc<str>,
    compiled: Arc<OnceLock<Result<Compiled, SchemaError>>>,
}

struct Compiled {
    validator: Validator,
    /// Any thread has stack enough for it, however deep the document is.
    shallow: bool,
}

/// One fault of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer to the place; empty = the document itself.
    pub pointer: String,
    /// What was expected there.
    pub message: String,
    /// The names that the schema has there, where the fault is a name that it does not have.
    pub known: Arc<[String]>,
}

impl Fault {
    /// One of the document as a whole.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self { pointer: String::new(), message: message.into(), known: Arc::default() }
    }
}

/// A text that is no schema, or one that reaches outside itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema can't be used: {0}")]
pub struct SchemaError(pub String);

impl Schema {
    /// From its JSON text. Nothing is checked before `compile` or the first `validate`.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), compiled: Arc::default() }
    }

    /// Checks the schema itself.
    pub fn compile(&self) -> Result<(), SchemaError> {
        self.compiled().map(drop)
    }

    /// The document's faults, at most `FAULTS_MAX`, of a large one the first alone; none = it is valid. Text that is not JSON is one fault. It may take as long as the
    /// schema's author likes: whoever is not bounded otherwise asks [`Schema::validate_in_time`].
    pub(crate) fn validate(&self, document: &str) -> Result<Vec<Fault>, SchemaError> {
        self.faults_of(document.as_bytes())
    }

    fn faults_of(&self, document: &[u8]) -> Result<Vec<Fault>, SchemaError> {
        let compiled = self.compiled()?;
        if compiled.shallow {
            return Ok(self.held_against(&compiled.validator, document));
        }
        schema::on_a_long_stack(|| self.held_against(&compiled.validator, document))
            .map_err(|error| SchemaError(format!("there is no thread for it: {error}")))
    }

    fn held_against(&self, validator: &Validator, document: &[u8]) -> Vec<Fault> {
        let value = match json::parse_within(document, DOCUMENT_DEPTH_MAX) {
            Ok(value) => value,
            Err(error) => return vec![Fault::whole(no_document(&error))],
        };
        if validator.is_valid(&value) {
            return Vec::new();
        }
        let schema: Value = serde_json::from_str(&self.text).unwrap_or_default();
        if weight::is_bounded(&schema, &value, Made::All) {
            let errors = validator.iter_errors(&value);
            return errors.flat_map(|error| faults(&schema, &error)).take(FAULTS_MAX).collect();
        }
        match weight::is_bounded(&schema, &value, Made::First).then(|| validator.validate(&value)) {
            Some(Err(first)) => faults(&schema, &first),
            _ => vec![Fault::whole("it does not fit, and has too many places to tell which")],
        }
    }

    /// The first line of NDJSON that has faults, counted from 1, and its faults. Takes time, as `validate` does; once it
    /// is `over` no further line is looked at.
    pub fn validate_lines(
        &self,
        lines: &[u8],
        over: impl Fn() -> bool,
    ) -> Result<Option<(u64, Vec<Fault>)>, SchemaError> {
        for (line, number) in lines.split_inclusive(|byte| *byte == b'\n').zip(1..) {
            if over() {
                return Ok(None);
            }
            let faults = self.faults_of(line)?;
            if !faults.is_empty() {
                return Ok(Some((number, faults)));
            }
        }
        Ok(None)
    }

    /// The text it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn compiled(&self) -> Result<&Compiled, SchemaError> {
        self.compiled.get_or_init(|| compile(&self.text)).as_ref().map_err(Clone::clone)
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
        _ => {
            let message = shorten(&error.masked().to_string());
            vec![Fault { pointer: shorten(&parent), message, known: Arc::default() }]
        }
    }
}

/// The names under `properties` of the schema whose keyword this is; none where a reference leads elsewhere.
fn properties_beside(schema: &Value, keyword: &str) -> Arc<[String]> {
    let beside = keyword.rsplit_once('/').map_or("", |(schema, _)| schema);
    let properties = schema.pointer(beside).and_then(|schema| schema["properties"].as_object());
    properties.map(|known| known.keys().cloned().collect()).unwrap_or_default()
}

fn compile(text: &str) -> Result<Compiled, SchemaError> {
    let schema =
        json::parse(text.as_bytes(), SCHEMA_BYTES_MAX).map_err(|error| SchemaError(no_document(&error)))?;
    let schema::Compiled { validator, depth_in_place } =
        schema::compile(&schema).map_err(|error| SchemaError(shorten(&error.to_string())))?;
    Ok(Compiled { validator, shallow: depth_in_place <= SCHEMA_SHALLOW })
}

/// What the parser met may be what nobody should read.
fn no_document(error: &JsonError) -> String {
    match error {
        JsonError::Syntax { line, column, .. } => format!("not JSON (line {line}, column {column})"),
        other => other.to_string(),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(FAULT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({} bytes)", self.text.len())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use portcullis_manifest::limits::IN_PLACE_DEPTH_MAX;

    fn check(schema: &str, document: &str, expected: &[(&str, &str)]) {
        let faults = Schema::new(schema).validate(document).unwrap();
        let found: Vec<_> = faults.iter().map(|f| (f.pointer.as_str(), f.message.as_str())).collect();
        assert_eq!(found, expected, "{schema:.200} {document:.200}");
    }

    #[test]
    fn a_name_that_should_not_be_there_comes_with_those_that_may() {
        let schema = r##"{"additionalProperties":false,"properties":{"currency":{},"to":{"$ref":"#/$defs/to"}},
            "$defs":{"to":{"properties":{"name":{}},"additionalProperties":false}}}"##;
        let faults = Schema::new(schema).validate(r#"{"curency":1,"to":{"nam":1}}"#).unwrap();
        let known =
            |pointer: &str| faults.iter().find(|fault| fault.pointer == pointer).unwrap().known.join(",");
        assert_eq!(known("/curency"), "currency,to");
        assert_eq!(known("/to/nam"), "name");
    }

    #[test]
    fn a_fault_names_its_place_and_never_the_value() {
        let schema = r#"{"type":"object","required":["name"],"additionalProperties":false,
            "properties":{"name":{"type":"string","maxLength":3},"list":{"items":{"type":"integer"}}}}"#;
        check(schema, r#"{"name":"abc","list":[1,2.0]}"#, &[]);
        check(schema, r#"{"name":5}"#, &[("/name", "value is not of type \"string\"")]);
        check(schema, r#"{"name":"s3cret"}"#, &[("/name", "value is longer than 3 characters")]);
        check(schema, r#"{"name":"a","list":[1,"x"]}"#, &[("/list/1", "value is not of type \"integer\"")]);
        check(
            schema,
            r#"{"name":"a","x/y":1,"z":2}"#,
            &[("/x~1y", "no such property"), ("/z", "no such property")],
        );
        check(schema, "{}", &[("", "\"name\" is a required property")]);
        check(schema, "{\n\"name\": ", &[("", "not JSON (line 2, column 8)")]);
    }

    #[test]
    fn the_first_line_that_does_not_fit_is_told_and_none_after_the_end() {
        let schema = Schema::new(r#"{"properties":{"id":{"type":"integer"}}}"#);
        let lines = b"{\"id\":1}\n{\"id\":2}\n{\"id\":\"3\"}\n{\"id\":\"4\"}";
        let (line, faults) = schema.validate_lines(lines, || false).unwrap().unwrap();
        assert_eq!((line, faults[0].pointer.as_str(), faults.len()), (3, "/id", 1));
        assert_eq!(schema.validate_lines(&lines[..18], || false).unwrap(), None);
        let looked_at = std::cell::Cell::new(0);
        let over = || looked_at.replace(looked_at.get() + 1) == 2;
        assert_eq!((schema.validate_lines(lines, over).unwrap(), looked_at.get()), (None, 3));
    }

    #[test]
    fn integers_keep_every_digit() {
        let schema = r#"{"maximum":9007199254740993}"#;
        check(schema, "9007199254740993", &[]);
        check(schema, "9007199254740994", &[("", "value is greater than the maximum of 9007199254740993")]);
    }

    #[test]
    fn faults_are_bounded() {
        let document = format!("[{}1]", "1,".repeat(100));
        let faults = Schema::new(r#"{"items":{"type":"string"}}"#).validate(&document).unwrap();
        assert_eq!(faults.len(), FAULTS_MAX);
        let long = "é".repeat(1 << 20);
        for schema in [
            r#"{"additionalProperties":{"type":"string"}}"#,
            r#"{"properties":{"a":{}},"additionalProperties":false}"#,
        ] {
            let faults = Schema::new(schema).validate(&format!("{{\"{long}\":1}}")).unwrap();
            assert_eq!(faults[0].pointer.chars().count(), FAULT_CHARS_MAX + 1, "{schema}");
        }
    }

    /// As many names as the author likes, on either side: each fault shares the list, and no more are made than are told.
    #[test]
    fn many_names_that_should_not_be_there_are_a_few_faults() {
        let names =
            |prefix: &str| (0..20_000).map(|i| format!("\"{prefix}{i}\":true")).collect::<Vec<_>>().join(",");
        for keyword in ["additionalProperties", "unevaluatedProperties"] {
            let schema = Schema::new(format!("{{\"{keyword}\":false,\"properties\":{{{}}}}}", names("a")));
            let faults = schema.validate(&format!("{{{}}}", names("b"))).unwrap();
            assert_eq!((faults.len(), faults[0].known.len()), (FAULTS_MAX, 20_000));
            assert!(faults.iter().all(|fault| Arc::ptr_eq(&fault.known, &faults[0].known)));
        }
    }

    /// Where an author's schema would make more faults than fit into memory, none is made.
    #[test]
    fn faults_without_bound_are_one() {
        let branch = r##"{"properties":{"x":{"$ref":"#/$defs/a"}}}"##;
        let schema = format!(
            r##"{{"$ref":"#/$defs/a","$defs":{{"a":{{"type":"object","anyOf":[{branch},{branch}]}}}}}}"##
        );
        let deep = |levels: usize| format!("{}1{}", r#"{"x":"#.repeat(levels), "}".repeat(levels));
        check(&schema, &deep(20), &[("", "it does not fit, and has too many places to tell which")]);
        check(&schema, &deep(0), &[("", "value is not of type \"object\"")]);
    }

    /// Where all faults of the document would be too much, the first has its place still.
    #[test]
    fn a_large_document_is_told_its_first_fault() {
        let record = r#"{"id":"a","code":"c1","name":"n","tags":["x"]}"#;
        let records =
            format!("{{\"records\":[{}{{\"id\":7}},{{\"id\":8}}]}}", format!("{record},").repeat(10_000));
        let codes = (0..250).map(|code| format!("\"c{code}\"")).collect::<Vec<_>>().join(",");
        let schema = format!(
            r#"{{"properties":{{"records":{{"items":{{"required":["id"],"additionalProperties":false,"properties":{{
                "id":{{"type":"string"}},"code":{{"enum":[{codes}]}},"name":{{"type":"string","maxLength":80}},
                "tags":{{"items":{{"type":"string"}}}}}}}}}}}}}}"#
        );
        check(&schema, &records, &[("/records/10000/id", "value is not of type \"string\"")]);
        check(
            &schema,
            &records.replace("7}", "\"b\",\"nmae\":1}"),
            &[("/records/10000/nmae", "no such property")],
        );
    }

    const TOO_MANY: &[(&str, &str)] = &[("", "it does not fit, and has too many places to tell which")];

    /// Each fault holds its place, copies of the schema, and under a branch the value: few bytes become many.
    #[test]
    fn what_each_fault_repeats_counts() {
        let items = |count: usize| format!("[{}1]", "1,".repeat(count));
        let long = "n".repeat(20_000);
        // No more than the first of them is made.
        let first = |schema: &str, document: &str| {
            let faults = Schema::new(schema).validate(document).unwrap();
            assert_eq!(faults.len(), 1, "{:.40}", schema);
            assert_ne!(faults[0].pointer, "", "{:.40}", schema);
        };
        first(
            r#"{"additionalProperties":{"items":{"type":"string"}}}"#,
            &format!("{{\"{long}\":{}}}", items(400_000)),
        );
        let comment = format!(r#"{{"items":{{"not":{{"$comment":"{}"}}}}}}"#, "c".repeat(500_000));
        first(&comment, &items(20_000));
        first(&format!(r#"{{"items":{{"maximum":-{}}}}}"#, "9".repeat(50_000)), &items(20_000));
        let branches =
            |branch: &str| format!(r#"{{"anyOf":[{branch}{}]}}"#, format!(",{branch}").repeat(3_999));
        let text = format!("[\"{}\"]", "t".repeat(50_000));
        check(&branches(r#"{"unevaluatedItems":false}"#), &text, TOO_MANY);
        check(&branches(r#"{"type":"string"}"#), &text, TOO_MANY);
        // A part with an `$id` of its own has names of its own, and what follows is refused before that.
        let inner = r##"{"$id":"s","$ref":"#/$defs/a","$defs":{"a":{"type":"object","anyOf":[{"properties":{"x":{"$ref":"#/$defs/a"}}},{"properties":{"x":{"$ref":"#/$defs/a"}}}]}}}"##;
        let deep = format!("{}1{}", r#"{"x":"#.repeat(24), "}".repeat(24));
        let parts = Schema::new(format!(r##"{{"$ref":"#/$defs/s","$defs":{{"a":true,"s":{inner}}}}}"##));
        assert!(parts.validate(&deep).is_err());
    }

    /// Patterns with as many states as they like to have, and a text that leads through them: what each keeps of it is bounded, and
    /// what all of them take compiled is in the manifest's check.
    #[test]
    fn what_patterns_keep_of_a_match_is_bounded() {
        const COUNT: usize = 64;
        let pattern = |n: usize| format!(r#"{{"pattern":"(?:a|b)*a(?:a|b){{{}}}x{n}"}}"#, 10 + n % 10);
        let patterns: Vec<_> = (0..COUNT).map(pattern).collect();
        let schema = Schema::new(format!(r#"{{"anyOf":[{}]}}"#, patterns.join(",")));
        schema.compile().unwrap();
        let mut bits = 1_u32;
        let letter = |_| {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if bits >> 31 == 0 { 'a' } else { 'b' }
        };
        let text = format!("\"{}\"", (0..4_000).map(letter).collect::<String>());
        let taken = allocation_counter::measure(|| assert_eq!(schema.validate(&text).unwrap().len(), 1));
        // 64 KiB for what is kept, and the engines' own.
        assert!(taken.bytes_max < COUNT as u64 * (256 << 10), "{}", taken.bytes_max);
    }

    /// The deepest that is let pass, at each level of the deepest document, valid or not, on the stack that there is for it.
    #[test]
    fn the_deepest_schema_has_stack_for_the_deepest_document() {
        // Each with how many schemas deep it is.
        let ways = [
            (2, r##"{"allOf":[{"$ref":"#/$defs/NEXT"}]}"##),
            (2, r##"{"anyOf":[false,{"$ref":"#/$defs/NEXT"}]}"##),
            (2, r##"{"oneOf":[false,{"$ref":"#/$defs/NEXT"}]}"##),
            (3, r##"{"not":{"not":{"$ref":"#/$defs/NEXT"}}}"##),
            (2, r##"{"if":true,"then":{"$ref":"#/$defs/NEXT"}}"##),
        ];
        for (depth, way) in ways {
            let length = (IN_PLACE_DEPTH_MAX - 2) / depth;
            let next = |i: usize| format!("\"s{i}\":{}", way.replace("NEXT", &format!("s{}", i + 1)));
            let defs: Vec<String> = (0..length).map(next).collect();
            let again = r##"{"type":["array","object"],"items":{"$ref":"#/$defs/s0"},"properties":{"x":{"$ref":"#/$defs/s0"}}}"##;
            let schema = Schema::new(format!(
                r##"{{"$defs":{{{},"s{length}":{again}}},"items":{{"$ref":"#/$defs/s0"}}}}"##,
                defs.join(",")
            ));
            for (open, close) in [("[", "]"), (r#"{"x":"#, "}")] {
                let levels = DOCUMENT_DEPTH_MAX - 2;
                let document = |inner| format!("[{}{inner}{}]", open.repeat(levels), close.repeat(levels));
                assert_eq!(schema.validate(&document("[]")).unwrap(), [], "{way}");
                check(schema.text(), &document("1"), TOO_MANY);
            }
        }
    }

    /// What this reader sees must be what every other reader of the same bytes sees.
    #[test]
    fn a_document_with_two_meanings_fits_no_schema() {
        let two = &[("", "an object has one key twice, or a reserved one")];
        check("{}", r#"{"a":1,"a":"x"}"#, two);
        check("{}", r#"[{"b":{"a":1,"\u0061":2}}]"#, two);
        check(r#"{"type":"number"}"#, r#"{"$serde_json::private::Number":"7"}"#, two);
        check("{}", r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#, two);
        // Nor is a schema with two meanings one.
        let refused = Schema::new(r#"{"type":"string","type":"number"}"#).compile().unwrap_err();
        assert!(refused.0.contains("key twice"), "{refused}");
    }

    /// As deep as the runtime lets what a guest says pass.
    #[test]
    fn a_document_may_be_as_deep_as_the_runtime_lets_it_be() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        check("{}", &deep(DOCUMENT_DEPTH_MAX), &[]);
        check("{}", &deep(DOCUMENT_DEPTH_MAX + 1), &[("", "nested deeper than 127 levels")]);
    }

    #[test]
    fn a_schema_that_is_none_or_reaches_outside_is_refused() {
        for schema in [
            "",
            "{",
            "5",
            r#"{"type":"strin"}"#,
            r#"{"$ref":"https://example.com/a.json"}"#,
            r#"{"$ref":"file:///etc/passwd"}"#,
            r#"{"pattern":"("}"#,
            // It could step back for ever.
            r#"{"pattern":"^(?:a+(?=a|b))+b$"}"#,
            r##"{"$defs":{"a":{"$id":"a"}}}"##,
            r##"{"allOf":[{"$ref":"#"}]}"##,
        ] {
            assert!(Schema::new(schema).compile().is_err(), "{schema}");
        }
        let inner = Schema::new(r##"{"$defs":{"a":{"type":"string"}},"$ref":"#/$defs/a"}"##);
        assert!(inner.compile().is_ok());
        assert_eq!(inner.clone().validate("1").unwrap().len(), 1);
    }
}
