//! References that come back to themselves at the same value: what such a schema says of anything is not defined (JSON Schema core
//! section 9.4.1), and a validator that gave up on the way would let everything pass.

use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Keywords whose schemas are held against the value that their own schema is.
const ONE: [&str; 4] = ["not", "if", "then", "else"];
const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
// The second one is of former drafts, and known to the validator.
const NAMED: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Those that are held against a part of the value.
const ONE_OF_OTHERS: [&str; 8] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const LISTS_OF_OTHERS: [&str; 1] = ["prefixItems"];
const NAMED_OF_OTHERS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
const REFERENCES: [&str; 2] = ["$ref", "$dynamicRef"];

/// The reference that closes a loop, as it is written.
pub(crate) fn comes_back(schema: &Value) -> Option<&str> {
    let anchors = anchors(schema);
    let mut states: HashMap<*const Value, State> = HashMap::new();
    let (mut every, mut looked_at) = (vec![schema], HashSet::new());
    while let Some(value) = every.pop() {
        if !looked_at.insert(std::ptr::from_ref(value)) {
            continue;
        }
        if !states.contains_key(&std::ptr::from_ref(value))
            && let Some(found) = walk(schema, value, &anchors, &mut states)
        {
            return Some(found);
        }
        every.extend(children(value));
        // Also where no keyword leads.
        every.extend(beside(schema, value, &anchors).into_iter().map(|(next, _)| next));
    }
    None
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    Done,
}

/// Depth first, from one schema along what is held against the same value.
fn walk<'s>(
    root: &'s Value,
    from: &'s Value,
    anchors: &HashMap<&'s str, &'s Value>,
    states: &mut HashMap<*const Value, State>,
) -> Option<&'s str> {
    let mut path = vec![(from, beside(root, from, anchors))];
    states.insert(from, State::UnderWay);
    while let Some((value, left)) = path.last_mut() {
        let Some((next, reference)) = left.pop() else {
            states.insert(*value, State::Done);
            path.pop();
            continue;
        };
        match states.get(&std::ptr::from_ref(next)) {
            Some(State::Done) => {}
            // What lies within itself comes back by a reference: the last one on the way.
            Some(State::UnderWay) => return Some(reference.unwrap_or("#")),
            None => {
                states.insert(next, State::UnderWay);
                path.push((next, beside(root, next, anchors)));
            }
        }
    }
    None
}

/// What is held against the same value, with the reference that leads there.
fn beside<'s>(
    root: &'s Value,
    schema: &'s Value,
    anchors: &HashMap<&'s str, &'s Value>,
) -> Vec<(&'s Value, Option<&'s str>)> {
    let Some(keywords) = schema.as_object() else { return Vec::new() };
    let mut found = Vec::new();
    found.extend(ONE.iter().filter_map(|keyword| keywords.get(*keyword)).map(|next| (next, None)));
    for keyword in LISTS {
        let items = keywords.get(keyword).and_then(Value::as_array);
        found.extend(items.into_iter().flatten().map(|next| (next, None)));
    }
    for keyword in NAMED {
        let named = keywords.get(keyword).and_then(Value::as_object);
        found.extend(named.into_iter().flat_map(|named| named.values()).map(|next| (next, None)));
    }
    for keyword in REFERENCES {
        let reference = keywords.get(keyword).and_then(Value::as_str);
        let target = reference.and_then(|reference| resolved(root, reference, anchors));
        found.extend(target.map(|next| (next, reference)));
    }
    found
}

/// Within the document: others are refused elsewhere.
fn resolved<'s>(
    root: &'s Value,
    reference: &str,
    anchors: &HashMap<&'s str, &'s Value>,
) -> Option<&'s Value> {
    let fragment = reference.strip_prefix('#')?;
    let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
    match fragment.as_ref() {
        "" => Some(root),
        pointer if pointer.starts_with('/') => root.pointer(pointer),
        anchor => anchors.get(anchor).copied(),
    }
}

fn anchors(root: &Value) -> HashMap<&str, &Value> {
    let (mut found, mut every) = (HashMap::new(), vec![root]);
    while let Some(value) = every.pop() {
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = value.get(keyword).and_then(Value::as_str) {
                found.insert(name, value);
            }
        }
        every.extend(children(value));
    }
    found
}

/// The schemas within one: not what is data, whatever it looks like.
fn children(schema: &Value) -> Vec<&Value> {
    let Some(keywords) = schema.as_object() else { return Vec::new() };
    let mut found = Vec::new();
    for keyword in ONE.iter().chain(&ONE_OF_OTHERS).chain(&LISTS).chain(&LISTS_OF_OTHERS) {
        match keywords.get(*keyword) {
            Some(Value::Array(items)) => found.extend(items),
            Some(one) => found.push(one),
            None => {}
        }
    }
    for keyword in NAMED.iter().chain(&NAMED_OF_OTHERS) {
        let named = keywords.get(*keyword).and_then(Value::as_object);
        found.extend(named.into_iter().flat_map(|named| named.values()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_comes_back_at_the_same_value_is_found() {
        for (schema, by) in [
            (json!({ "$ref": "#" }), "#"),
            (json!({ "$dynamicRef": "#a", "$dynamicAnchor": "a" }), "#a"),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
                "#/$defs/a",
            ),
            (
                json!({ "properties": { "x": { "$ref": "#/$defs/n" } }, "$defs": { "n": { "not": { "$ref": "#/$defs/n" } } } }),
                "#/$defs/n",
            ),
            (json!({ "anyOf": [{ "type": "string" }, { "if": true, "then": { "$ref": "#" } }] }), "#"),
            (json!({ "$defs": { "a b": { "allOf": [{ "$ref": "#/$defs/a%20b" }] } } }), "#/$defs/a%20b"),
            (json!({ "dependentSchemas": { "x": { "$ref": "#me" } }, "$anchor": "me" }), "#me"),
            (json!({ "dependencies": { "a": { "$ref": "#" }, "b": ["c"] } }), "#"),
            (
                json!({ "properties": { "default": { "not": { "$ref": "#/properties/default" } } } }),
                "#/properties/default",
            ),
            (
                json!({ "$ref": "#/else/where", "else": { "where": { "items": { "$ref": "#/x/y" } } }, "x": { "y": { "$ref": "#/x/y" } } }),
                "#/x/y",
            ),
        ] {
            assert_eq!(comes_back(&schema), Some(by), "{schema}");
        }
        let ring: serde_json::Map<_, _> = (0..400)
            .map(|at| (at.to_string(), json!({ "$ref": format!("#/$defs/{}", (at + 1) % 400) })))
            .collect();
        assert!(comes_back(&json!({ "$defs": ring })).is_some());
    }

    #[test]
    fn what_goes_on_at_another_value_is_no_loop() {
        for schema in [
            json!({ "properties": { "child": { "$ref": "#" } } }),
            json!({ "items": { "anyOf": [{ "type": "null" }, { "$ref": "#" }] } }),
            json!({ "$ref": "#/$defs/a", "allOf": [{ "$ref": "#/$defs/a" }], "$defs": { "a": { "type": "object" } } }),
            json!({ "additionalProperties": { "$dynamicRef": "#n" }, "$dynamicAnchor": "n" }),
            json!({ "const": { "$ref": "#" }, "examples": [{ "$ref": "#" }] }),
            json!({ "examples": [{ "$ref": "#/examples/0" }], "default": { "$ref": "#/default" } }),
            json!({ "$ref": "https://example.com/other" }),
            json!(true),
        ] {
            assert_eq!(comes_back(&schema), None, "{schema}");
        }
        let deep = (0..500).fold(json!({}), |inner, _| json!({ "allOf": [inner] }));
        assert_eq!(comes_back(&deep), None);
    }
}
