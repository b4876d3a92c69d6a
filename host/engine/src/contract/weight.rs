//! How much the faults of one document may weigh. Whoever writes a schema decides how many there are: an `anyOf` that fails holds
//! those of each of its branches, and so at each level below. They are made only where all that could be made is bounded. Pure.

use super::{FAULTS_BYTES_MAX, Map, Value};
use std::collections::HashMap;

/// What one fault takes beside the texts and values that it holds.
const FAULT_BYTES: usize = 512;
/// What one JSON value takes beside its text.
const VALUE_BYTES: usize = 96;
/// What one look takes, though nothing comes of it: the weighing ends too.
const LOOK_BYTES: usize = 64;
/// What one keyword takes beside that.
const KEYWORD_BYTES: usize = 8;
/// Schemas and values that lie in each other: each is a frame of the stack.
const DEPTH_MAX: usize = 512;
/// A root's own name.
const ID_BYTES_MAX: usize = 256;

/// Which faults of a document are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// Each of them.
    All,
    /// The first that is found, with all that its branches say of it.
    First,
}

/// Whether no more than `FAULTS_BYTES_MAX` can come of holding this value against this schema. What is not sure is not so.
pub(super) fn is_bounded(root: &Value, value: &Value, made: Made) -> bool {
    weighed(root, value, made).is_some()
}

/// What can come of it, in bytes.
fn weighed(root: &Value, value: &Value, made: Made) -> Option<usize> {
    let mut scale = Scale::new(root);
    if !is_one_resource(root, true) {
        return None;
    }
    scale.weigh(root, value, Place::new(made))?;
    Some(FAULTS_BYTES_MAX - scale.least)
}

/// No schema in it has references of its own that start elsewhere, or another dialect.
fn is_one_resource(schema: &Value, is_root: bool) -> bool {
    match schema {
        Value::Array(items) => items.iter().all(|item| is_one_resource(item, false)),
        Value::Object(keywords) => {
            let own = |keyword: &str| keywords.get(keyword).and_then(Value::as_str).map(str::len);
            let named = own("$id").is_some_and(|bytes| !is_root || bytes > ID_BYTES_MAX);
            let spoken = own("$schema").is_some() && !is_root;
            !named && !spoken && keywords.values().all(|inner| is_one_resource(inner, false))
        }
        _ => true,
    }
}

struct Scale<'s> {
    root: &'s Value,
    /// How many faults the keywords of a schema are themselves, and what these copy of it; by its address.
    own: HashMap<*const Map<String, Value>, (usize, usize)>,
    /// What a list or an object of the document takes, by its address.
    values: HashMap<*const Value, usize>,
    left: usize,
    /// The least that was ever left.
    least: usize,
    /// What was taken for looks so far.
    looked: usize,
}

/// Where a schema meets a value.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// Of the paths to both: each fault holds its own.
    path_bytes: usize,
    /// Under an `anyOf` or its like, whose faults hold the value too.
    branch: bool,
    /// The judging ends with the first fault here: the schemas below a keyword never say something one after the other.
    first: bool,
}

impl Place {
    fn new(made: Made) -> Self {
        Self { depth: 0, path_bytes: 0, branch: false, first: made == Made::First }
    }

    fn below(self, name: &str) -> Self {
        // Escaped, a character of a name is two.
        let step = 32 + 2 * name.len();
        Self { path_bytes: self.path_bytes.saturating_add(step), ..self }
    }

    /// Whatever the branches say is made, all of it.
    fn branched(self) -> Self {
        Self { branch: true, first: false, ..self }
    }
}

impl<'s> Scale<'s> {
    fn new(root: &'s Value) -> Self {
        let (own, values) = (HashMap::new(), HashMap::new());
        Self { root, own, values, left: FAULTS_BYTES_MAX, least: FAULTS_BYTES_MAX, looked: 0 }
    }

    fn take(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        self.least = self.least.min(self.left);
        Some(())
    }

    /// The weighing takes time, whatever comes of it: a byte of the bound for each that is touched.
    fn look(&mut self, bytes: usize) -> Option<()> {
        self.looked += bytes;
        self.take(bytes)
    }

    /// So many faults at a place, each of which repeats its paths, and under a branch the value.
    fn faults(&mut self, count: usize, value: &Value, place: Place) -> Option<()> {
        if count == 0 {
            return Some(());
        }
        let held = if place.branch { self.value_bytes(value)? } else { 0 };
        // The place in the document, in the schema, and on the way of references to it.
        let one = FAULT_BYTES.saturating_add(place.path_bytes.saturating_mul(3)).saturating_add(held);
        self.take(one.saturating_mul(count))
    }

    /// What a value takes: to find that out is a look at all of it.
    fn value_bytes(&mut self, value: &Value) -> Option<usize> {
        let address = std::ptr::from_ref(value);
        let is_large = matches!(value, Value::Array(_) | Value::Object(_));
        if let Some(known) = self.values.get(&address).filter(|_| is_large) {
            return Some(*known);
        }
        let bytes = bytes_of(value);
        self.look(bytes)?;
        if is_large {
            self.values.insert(address, bytes);
        }
        Some(bytes)
    }

    /// Takes what this schema can say of this value, and every schema that it applies. `None` = too much.
    fn weigh(&mut self, schema: &'s Value, value: &Value, place: Place) -> Option<()> {
        let before = (self.left, self.looked);
        self.schema(schema, value, place)?;
        if place.first {
            // It fits by itself, and nothing else is said beside it.
            self.left = before.0 - (self.looked - before.1);
        }
        Some(())
    }

    fn schema(&mut self, schema: &'s Value, value: &Value, place: Place) -> Option<()> {
        self.look(LOOK_BYTES)?;
        let Value::Object(keywords) = schema else { return self.faults(1, value, place) };
        if place.depth > DEPTH_MAX {
            return None;
        }
        // Each of them is met, whether it applies anything or not.
        self.look(keywords.len().saturating_mul(KEYWORD_BYTES))?;
        let below = Place { depth: place.depth + 1, ..place };
        let (faults, copied) = self.own_faults(keywords);
        self.faults(faults, value, place)?;
        self.take(copied)?;
        for (keyword, applied) in keywords {
            self.apply(keyword, applied, value, below.below(keyword))?;
        }
        Some(())
    }

    /// A fault a keyword that says something itself, and what it repeats of the schema.
    fn own_faults(&mut self, keywords: &'s Map<String, Value>) -> (usize, usize) {
        if let Some(known) = self.own.get(&std::ptr::from_ref(keywords)) {
            return *known;
        }
        let each = |(keyword, value): (&String, &Value)| match keyword.as_str() {
            "title" | "description" | "$comment" | "default" | "examples" | "$defs" | "definitions"
            | "$ref" | "properties" | "patternProperties" | "items" | "prefixItems" | "allOf" | "if"
            | "then" | "else" | "propertyNames" | "dependentSchemas" => (0, 0),
            "additionalProperties"
            | "anyOf"
            | "oneOf"
            | "contains"
            | "unevaluatedItems"
            | "unevaluatedProperties" => (1, 0),
            "required" => (value.as_array().map_or(1, Vec::len), bytes_of(value)),
            "dependentRequired" | "dependencies" => (1 + bytes_of(value) / VALUE_BYTES, bytes_of(value)),
            _ => (1, bytes_of(value)),
        };
        let sum = |(faults, copied): (usize, usize), (more, bytes): (usize, usize)| {
            (faults.saturating_add(more), copied.saturating_add(bytes))
        };
        let own = keywords.iter().map(each).fold((0, 0), sum);
        self.own.insert(keywords, own);
        own
    }

    fn apply(&mut self, keyword: &str, applied: &'s Value, value: &Value, place: Place) -> Option<()> {
        match (keyword, applied) {
            ("$ref", Value::String(target)) => {
                let place = place.below(target);
                // Looking for it takes as long as its name is.
                self.look(target.len())?;
                self.weigh(self.target(target)?, value, place)
            }
            ("$dynamicRef" | "$recursiveRef", _) => None,
            ("allOf", Value::Array(all)) => {
                all.iter().try_for_each(|schema| self.weigh(schema, value, place))
            }
            ("anyOf" | "oneOf", Value::Array(all)) => {
                all.iter().try_for_each(|schema| self.weigh(schema, value, place.branched()))
            }
            ("not" | "if" | "then" | "else", schema) => self.weigh(schema, value, place),
            ("dependentSchemas" | "dependencies", Value::Object(all)) => {
                all.iter().try_for_each(|(name, schema)| self.weigh(schema, value, place.below(name)))
            }
            _ => match value {
                Value::Object(members) => self.members(keyword, applied, (value, members), place),
                Value::Array(items) => self.items(keyword, applied, items, place),
                _ => Some(()),
            },
        }
    }

    fn members(
        &mut self,
        keyword: &str,
        applied: &'s Value,
        (whole, members): (&Value, &Map<String, Value>),
        place: Place,
    ) -> Option<()> {
        match (keyword, applied) {
            ("properties", Value::Object(all)) => {
                for (name, schema) in all {
                    self.look(LOOK_BYTES + name.len())?;
                    if let Some(member) = members.get(name) {
                        self.weigh(schema, member, place.below(name).below(name))?;
                    }
                }
                Some(())
            }
            ("patternProperties", Value::Object(all)) => all.iter().try_for_each(|(pattern, schema)| {
                let place = place.below(pattern);
                members.iter().try_for_each(|(name, member)| self.weigh(schema, member, place.below(name)))
            }),
            // One that does not fit is told with its name.
            ("additionalProperties" | "unevaluatedProperties", schema) => {
                for (name, member) in members {
                    self.take(FAULT_BYTES + name.len())?;
                    self.weigh(schema, member, place.below(name))?;
                }
                Some(())
            }
            ("propertyNames", schema) => members.keys().try_for_each(|name| {
                self.look(name.len())?;
                let text = Value::String(name.clone());
                let before = self.left;
                self.faults(1, &text, place.branched())?;
                self.weigh(schema, &text, place.branched())?;
                // Whatever is wrong with a name is told with the whole object again, and takes so much at least by itself.
                self.faults((before - self.left) / FAULT_BYTES, whole, place)
            }),
            _ => Some(()),
        }
    }

    fn items(&mut self, keyword: &str, applied: &'s Value, items: &[Value], place: Place) -> Option<()> {
        match (keyword, applied) {
            ("prefixItems", Value::Array(all)) => {
                all.iter().zip(items).try_for_each(|(schema, item)| self.weigh(schema, item, place.below("")))
            }
            // One that does not fit is told in full.
            ("unevaluatedItems", schema) => items.iter().try_for_each(|item| {
                // As JSON, in a text that doubles where it grows.
                let text = self.value_bytes(item)?;
                self.take(text.saturating_mul(2))?;
                self.weigh(schema, item, place.below(""))
            }),
            ("items" | "contains", schema) => {
                items.iter().try_for_each(|item| self.weigh(schema, item, place.below("")))
            }
            _ => Some(()),
        }
    }

    /// `#` and `#/a/pointer`; of other references nobody says here where they lead.
    fn target(&self, target: &str) -> Option<&'s Value> {
        let pointer = target.strip_prefix('#').filter(|pointer| !pointer.contains('%'))?;
        self.root.pointer(pointer)
    }
}

/// What a value takes in memory; its text is shorter.
fn bytes_of(value: &Value) -> usize {
    let sum = |bytes: usize, more: usize| bytes.saturating_add(more);
    match value {
        Value::Array(items) => items.iter().map(bytes_of).fold(VALUE_BYTES, sum),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| VALUE_BYTES + text_bytes(name) + bytes_of(value);
            members.iter().map(member).fold(VALUE_BYTES, sum)
        }
        Value::String(text) => VALUE_BYTES + text_bytes(text),
        // As long as whoever wrote it liked: every digit is kept.
        Value::Number(number) => VALUE_BYTES + number.as_str().len(),
        _ => VALUE_BYTES,
    }
}

/// As JSON, where a control character is six, and a quote or a backslash two.
fn text_bytes(text: &str) -> usize {
    let beyond = |byte: u8| match byte {
        b'"' | b'\\' => 1,
        _ if byte.is_ascii_control() => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(beyond).sum::<usize>()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use portcullis_manifest::schema;
    use proptest::prelude::*;
    use serde_json::json;

    fn is_bounded(schema: &Value, value: &Value) -> bool {
        super::is_bounded(schema, value, Made::All)
    }

    /// A tree of branches, each of which looks at the same member again.
    fn branching(branches: usize) -> Value {
        let branch = json!({ "properties": { "x": { "$ref": "#/$defs/a" } } });
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "object", "anyOf": vec![branch; branches] } } })
    }

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!({ "x": inner }))
    }

    #[test]
    fn what_doubles_at_each_level_is_not_bounded() {
        assert!(is_bounded(&branching(2), &nested(6)));
        assert!(!is_bounded(&branching(2), &nested(40)));
        assert!(is_bounded(&branching(1), &nested(100)));
    }

    #[test]
    fn each_branch_names_what_it_does_not_know() {
        let names: Map<String, Value> = (0..2_000).map(|i| (format!("name-{i}"), json!(1))).collect();
        let closed = json!({ "additionalProperties": false });
        let branches = |count: usize| json!({ "anyOf": vec![closed.clone(); count] });
        assert!(is_bounded(&branches(4), &Value::Object(names.clone())));
        assert!(!is_bounded(&branches(1_000), &Value::Object(names)));
    }

    /// Of few bytes many, by what each fault holds: names above it, copies of the schema, the value.
    #[test]
    fn what_a_fault_holds_is_weighed() {
        let list: Value = vec![json!(1); 2_000].into();
        let named = |bytes: usize| json!({ "n".repeat(bytes): list });
        let closed = json!({ "additionalProperties": { "items": { "type": "string" } } });
        assert!(is_bounded(&closed, &named(100)));
        assert!(!is_bounded(&closed, &named(100_000)));
        let long = || "9".repeat(100_000);
        let number = || serde_json::from_str::<Value>(&long()).unwrap();
        for copied in [
            json!({ "not": { "$comment": long() } }),
            json!({ "maximum": number() }),
            json!({ "const": long() }),
            json!({ "dependentRequired": { "a": [long()] } }),
            json!({ "whatever": long() }),
        ] {
            assert!(!is_bounded(&json!({ "items": copied }), &list), "{}", shortened(&copied));
        }
        let texts: Value = vec![Value::from(long())].into();
        for branch in [json!({ "unevaluatedItems": false }), json!({ "type": "object" })] {
            assert!(!is_bounded(&json!({ "anyOf": vec![branch.clone(); 2_000] }), &texts), "{branch}");
            assert!(is_bounded(&json!({ "anyOf": vec![branch.clone(); 200] }), &texts), "{branch}");
        }
        let names: Vec<_> = (0..1_000).map(|i| format!("n{i}")).collect();
        let dependent = json!({ "dependentRequired": { "a": names } });
        assert!(!is_bounded(&json!({ "anyOf": vec![dependent; 500] }), &json!({ "a": 1 })));
        // Names of an object that no branch knows, in each of them.
        let members: Map<String, Value> =
            (0..100).map(|i| (format!("{i}-{}", "x".repeat(20_000)), json!(1))).collect();
        let closed = json!({ "unevaluatedProperties": false });
        assert!(!is_bounded(&json!({ "anyOf": vec![closed; 100] }), &Value::Object(members)));
    }

    /// Texts are held as they are shown: escaped, and in more room than they fill.
    #[test]
    fn texts_and_names_weigh_what_is_shown_of_them() {
        const LONG: usize = 1 << 20;
        let least = |schema: Value, document: Value, bytes: usize| {
            let weighed = weighed(&schema, &document, Made::All).unwrap();
            assert!(weighed >= bytes, "{weighed} for {}", shortened(&schema));
        };
        for (character, shown) in [("n", 1), ("\"", 2), ("\\", 2), ("\u{1}", 6)] {
            let long = character.repeat(LONG);
            let named = json!({ long.clone(): 1 });
            least(json!({ "unevaluatedItems": false }), json!([long]), 2 * shown * LONG);
            least(json!({ "unevaluatedItems": false }), json!([named]), 2 * shown * LONG);
            least(json!({ "additionalProperties": false }), named.clone(), LONG);
            least(json!({ "unevaluatedProperties": false }), named.clone(), LONG);
            least(json!({ "anyOf": [{ "type": "null" }] }), named, shown * LONG);
        }
        // What nothing is said of is not looked at.
        let idle = json!({ "anyOf": [{ "allOf": [{ "anyOf": vec![json!({}); 3_900] }, false] }] });
        assert!(is_bounded(&idle, &"t".repeat(300_000).into()));
    }

    /// What is said of a name repeats the object that it is of.
    #[test]
    fn a_name_is_told_with_its_object() {
        let object = |names: usize| -> Value {
            let members: Map<String, Value> = (0..names).map(|i| (format!("{i:04}"), json!(1))).collect();
            members.into()
        };
        let short = json!({ "propertyNames": { "maxLength": 1 } });
        let branch = json!({ "anyOf": [short, { "type": "null" }] });
        assert!(is_bounded(&short, &object(10_000)));
        assert!(is_bounded(&branch, &object(300)));
        assert!(!is_bounded(&branch, &object(1_000)));
        // Once for each thing that is wrong with the name.
        let often =
            json!({ "anyOf": [{ "propertyNames": { "allOf": vec![json!({ "maxLength": 1 }); 40] } }] });
        assert!(is_bounded(&often, &object(20)));
        assert!(!is_bounded(&often, &object(400)));
    }

    /// A hundred thousand values, and as many schemas that say nothing of each.
    #[test]
    fn looking_is_bounded_too() {
        let list: Value = vec![json!({}); 100_000].into();
        let idle = json!({ "allOf": vec![json!({ "title": "t" }); 4_000] });
        assert!(!is_bounded(&json!({ "items": idle }), &list));
        let names: Map<String, Value> = (0..4_000).map(|i| (format!("n{i}"), json!({}))).collect();
        assert!(!is_bounded(&json!({ "items": { "properties": names } }), &list));
    }

    /// A long name or text is looked at as a whole: few looks of that sort are as slow as many.
    #[test]
    fn what_is_touched_is_a_look() {
        let long = "n".repeat(10_000);
        let text: Value = json!({ "a": long });
        let (thirty, refs) =
            (json!({ "$ref": "#/$defs/d" }), |count: usize| vec![json!({ "$ref": "#/$defs/d" }); count]);
        let patterns: Map<String, Value> = (0..256).map(|i| (format!("^{i}?"), thirty.clone())).collect();
        let tower = json!({ "allOf": vec![json!({ "allOf": vec![json!({ "anyOf": [{"type": "null"}] }); 30] }); 30] });
        let objects: Value = vec![json!({ "b": 1 }); 300].into();
        let unknown: Map<String, Value> = (0..10_000).map(|i| (format!("a{i}"), json!(0))).collect();
        let named = json!({ "properties": { long.clone(): {} } });
        for (schema, document) in [
            (json!({ "patternProperties": patterns, "$defs": { "d": tower } }), &text),
            (json!({ "items": { "allOf": refs(1_500) }, "$defs": { "d": named } }), &objects),
            (json!({ "maxItems": 1, "items": unknown }), &vec![json!(0); 20_000].into()),
            (
                json!({ "items": { "allOf": refs(1_500) }, "$defs": { "d": { "propertyNames": {} } } }),
                &vec![json!({ long.clone(): 1 }); 300].into(),
            ),
        ] {
            for made in [Made::All, Made::First] {
                assert!(!super::is_bounded(&schema, document, made), "{}", shortened(&schema));
            }
        }
    }

    fn shortened(value: &Value) -> String {
        value.to_string().chars().take(40).collect()
    }

    #[test]
    fn another_resource_or_dialect_is_not_looked_into() {
        assert!(is_bounded(&json!({ "$id": "https://example.com/a", "type": "string" }), &json!(1)));
        for part in [json!({ "$id": "a" }), json!({ "$schema": "http://json-schema.org/draft-07/schema#" })] {
            assert!(!is_bounded(&json!({ "$defs": { "a": part } }), &json!(1)));
        }
        assert!(!is_bounded(&json!({ "$id": "x".repeat(1_000) }), &json!(1)));
    }

    /// Many of one kind, at each keyword that applies a schema: 64 KiB at each of 3,000 values are too much.
    #[test]
    fn every_keyword_is_weighed() {
        const MANY: usize = 3_000;
        let long = || json!({ "$ref": "#/$defs/long" });
        let is_too_much = |mut schema: Value, value: &Value| {
            schema["$defs"] = json!({ "long": { "enum": ["x".repeat(1 << 16)] } });
            !is_bounded(&schema, value)
        };
        let list: Value = vec![json!(1); MANY].into();
        let names: Value = (0..MANY).map(|i| (i.to_string(), json!(1))).collect::<Map<_, _>>().into();
        let each: Value = (0..MANY).map(|i| (i.to_string(), long())).collect::<Map<_, _>>().into();
        for keyword in ["items", "contains", "unevaluatedItems"] {
            assert!(is_too_much(json!({ keyword: long() }), &list), "{keyword}");
        }
        assert!(is_too_much(json!({ "prefixItems": vec![long(); MANY] }), &list));
        for keyword in ["additionalProperties", "unevaluatedProperties", "propertyNames"] {
            assert!(is_too_much(json!({ keyword: long() }), &names), "{keyword}");
        }
        assert!(is_too_much(json!({ "patternProperties": { "^": long() } }), &names));
        assert!(is_too_much(json!({ "properties": each }), &names));
        for keyword in ["allOf", "anyOf", "oneOf"] {
            assert!(is_too_much(json!({ keyword: vec![long(); MANY] }), &json!(1)), "{keyword}");
        }
        assert!(is_too_much(json!({ "dependentSchemas": each }), &json!(1)));
        for keyword in ["if", "then", "else", "not"] {
            assert!(is_too_much(json!({ keyword: { "items": long() } }), &list), "{keyword}");
        }
        // What is not known is not bounded.
        for reference in ["#anchor", "#/$defs/none", "other.json", "#/a%20b"] {
            assert!(!is_bounded(&json!({ "$ref": reference }), &json!(1)), "{reference}");
        }
        assert!(!is_bounded(&json!({ "$dynamicRef": "#" }), &json!(1)));
        assert!(!is_bounded(&json!({ "$ref": "#" }), &json!(1)), "it never ends");
        // What people write is.
        let usual = json!({ "properties": { "list": { "items": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } } } } });
        let records: Value = vec![json!({ "id": 1 }); 20_000].into();
        assert!(is_bounded(&usual, &json!({ "list": records })));
    }

    /// The first fault of many values is as large as the largest, but all that its branches say is made.
    #[test]
    fn the_first_alone_weighs_less() {
        let first = |schema: &Value, value: &Value| super::is_bounded(schema, value, Made::First);
        let codes: Vec<_> = (0..250).map(|code| format!("code-{code}")).collect();
        let usual = json!({ "items": { "required": ["id"], "properties": { "code": { "enum": codes } } } });
        let records: Value = vec![json!({ "id": 1, "code": "code-1" }); 20_000].into();
        assert!(!is_bounded(&usual, &records) && first(&usual, &records));
        let branch = json!({ "anyOf": [usual, { "type": "null" }] });
        assert!(!first(&branch, &records), "each branch says all that it has to say");
        let large = json!({ "items": { "anyOf": vec![json!({ "type": "number" }); 2_000] } });
        assert!(!first(&large, &json!(["x".repeat(100_000)])), "one is too much by itself");
        let idle = json!({ "items": { "allOf": vec![json!({ "title": "t" }); 4_000] } });
        assert!(!first(&idle, &vec![json!({}); 100_000].into()), "it takes its time still");
    }

    /// Names that schemas and documents share: short, long, with what is longer where it is shown.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => prop::sample::select(&["a", "b", "c", "d", "e/f~g"][..]).prop_map(str::to_owned),
            1 => Just("\u{1}".repeat(300)),
            1 => Just("\"\\".repeat(500)),
            1 => Just("n".repeat(2_000)),
        ]
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0_i64..4).prop_map(Value::from),
            name().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 60, 12, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
                prop::collection::btree_map(name(), inner, 0..12)
                    .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    /// Every keyword that says or applies something; few documents fit.
    fn schema() -> impl Strategy<Value = Value> {
        let says = prop_oneof![
            Just(json!(false)),
            Just(json!({})),
            prop::sample::select(&["string", "number", "null", "object", "array"][..])
                .prop_map(|kind| json!({ "type": kind })),
            document().prop_map(|value| json!({ "const": value })),
            prop::collection::vec(document(), 1..4).prop_map(|values| json!({ "enum": values })),
            prop::collection::btree_set(name(), 1..6).prop_map(|names| json!({ "required": names })),
            (name(), prop::collection::btree_set(name(), 1..6))
                .prop_map(|(name, names)| json!({ "dependentRequired": { name: names } })),
            prop::sample::select(
                &["maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum", "multipleOf"][..]
            )
            .prop_map(|keyword| json!({ keyword: 1 })),
            prop::sample::select(&["minLength", "minItems", "minProperties", "minimum"][..])
                .prop_map(|keyword| json!({ keyword: 3_000 })),
            Just(json!({ "uniqueItems": true })),
            Just(json!({ "pattern": "^x{1,40}$" })),
        ];
        says.prop_recursive(4, 40, 6, |inner| {
            let one = prop::sample::select(
                &[
                    "not",
                    "items",
                    "contains",
                    "propertyNames",
                    "additionalProperties",
                    "unevaluatedProperties",
                    "unevaluatedItems",
                ][..],
            );
            let several = prop::sample::select(&["allOf", "anyOf", "oneOf", "prefixItems"][..]);
            let named = prop::sample::select(&["properties", "patternProperties", "dependentSchemas"][..]);
            let by_name = prop::collection::btree_map(name(), inner.clone(), 1..5);
            prop_oneof![
                (one, inner.clone()).prop_map(|(keyword, schema)| json!({ keyword: schema })),
                (several, prop::collection::vec(inner.clone(), 1..6))
                    .prop_map(|(keyword, schemas)| json!({ keyword: schemas })),
                (named, by_name).prop_map(|(keyword, schemas)| json!({ keyword: schemas })),
                prop::collection::vec(inner.clone(), 3)
                    .prop_map(|parts| json!({ "if": parts[0], "then": parts[1], "else": parts[2] })),
                // Side by side in one schema.
                prop::collection::vec(inner, 2..5).prop_map(|schemas| {
                    let members = schemas.into_iter().filter_map(|schema| match schema {
                        Value::Object(keywords) => Some(keywords),
                        _ => None,
                    });
                    members.flatten().collect::<Map<_, _>>().into()
                }),
            ]
        })
    }

    proptest! {
        /// What is weighed is what is taken at least, whatever the schema and the document are.
        #[test]
        fn no_more_is_taken_than_was_weighed(schema in schema(), document in document()) {
            let Ok(schema::Compiled { validator, .. }) = schema::compile(&schema) else { return Ok(()) };
            // What a pattern keeps of a match is bounded elsewhere.
            let patterns = schema.to_string().matches("\"pattern").count() as u64;
            let mut taken = 0;
            let all = allocation_counter::measure(|| {
                taken += validator.iter_errors(&document).count();
            });
            let first = allocation_counter::measure(|| taken += usize::from(validator.validate(&document).is_err()));
            for (made, measured) in [(Made::All, all), (Made::First, first)] {
                let weighed = weighed(&schema, &document, made).unwrap();
                prop_assert!(
                    measured.bytes_max <= weighed as u64 + UNWEIGHED_BYTES + patterns * PATTERN_BYTES,
                    "{} taken, {weighed} weighed for {taken} faults", measured.bytes_max
                );
            }
        }
    }

    const PATTERN_BYTES: u64 = 256 << 10;
    /// What any judging takes for itself.
    const UNWEIGHED_BYTES: u64 = 4 << 10;
}
