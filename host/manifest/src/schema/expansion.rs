//! Bounds how many schemas one value is checked against. `allOf` of two references to an `allOf` of two references, and so
//! on, doubles at each step, in the compiler and in every check; a reference to itself overflows the stack. Both are refused
//! before the schema is compiled. (What a value's children cost grows with the value, which has bounds of its own.)
mod unevaluated;

use super::SchemaError;
use crate::{
    diagnose::shown,
    limits::{IN_PLACE_DEPTH_MAX, IN_PLACE_MAX},
};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The longest chain in place. Refuses a schema whose work in place has no bound.
pub(super) fn depth(root: &Value) -> Result<usize, SchemaError> {
    let mut walk = Walk { root, anchors: BTreeMap::new(), known: HashMap::new(), depth: 1 };
    walk.collect(root, true)?;
    walk.every(root)?;
    walk.refuse_copies()?;
    Ok(walk.depth)
}

struct Walk<'a> {
    root: &'a Value,
    /// `None` = there twice.
    anchors: BTreeMap<&'a str, Option<&'a Value>>,
    /// By address in the document: `None` while it is being counted.
    known: HashMap<*const Value, Option<Cost>>,
    /// The longest chain so far.
    depth: usize,
}

#[derive(Clone, Copy)]
struct Cost {
    schemas: u64,
    depth: usize,
}

impl<'a> Walk<'a> {
    /// Anchors and base URIs. Recursion is bounded by `JSON_DEPTH_MAX`, here and in `every`. Data (`const`,
    /// `examples`) is taken for schemas as well: a property may bear such a name, and too strict is safe.
    fn collect(&mut self, schema: &'a Value, top: bool) -> Result<(), SchemaError> {
        match schema {
            Value::Array(items) => items.iter().try_for_each(|item| self.collect(item, false)),
            Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value) {
                        ("$anchor" | "$dynamicAnchor", Value::String(name)) => {
                            self.anchors
                                .entry(name)
                                .and_modify(|there| *there = None)
                                .or_insert(Some(schema));
                        }
                        ("$id", Value::String(_)) if !top => return Err(SchemaError::Id),
                        _ => {}
                    }
                    self.collect(value, false)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Counts at every object, reachable or not.
    fn every(&mut self, value: &'a Value) -> Result<(), SchemaError> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.every(item)),
            Value::Object(map) => {
                let cost = self.cost(value, 0)?;
                self.depth = self.depth.max(cost.depth);
                map.values().try_for_each(|value| self.every(value))
            }
            _ => Ok(()),
        }
    }

    /// How many schemas apply where this one does.
    fn cost(&mut self, schema: &'a Value, level: usize) -> Result<Cost, SchemaError> {
        let Value::Object(map) = schema else { return Ok(Cost { schemas: 1, depth: 1 }) };
        match self.known.get(&std::ptr::from_ref(schema)) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err(SchemaError::Expansion),
            None => {}
        }
        if level > IN_PLACE_DEPTH_MAX {
            return Err(SchemaError::Expansion);
        }
        self.known.insert(schema, None);
        let mut cost = Cost { schemas: 1, depth: 1 };
        for (key, value) in map {
            for applied in self.applied(key, value)? {
                let inner = self.cost(applied, level + 1)?;
                cost.schemas = cost.schemas.saturating_add(inner.schemas);
                cost.depth = cost.depth.max(inner.depth + 1);
            }
        }
        if cost.schemas > IN_PLACE_MAX || cost.depth > IN_PLACE_DEPTH_MAX {
            return Err(SchemaError::Expansion);
        }
        self.known.insert(schema, Some(cost));
        Ok(cost)
    }

    /// The schemas that a keyword applies to the same value (JSON Schema 2020-12 core, sections 8.2.3 and 10.2; older
    /// drafts' names count too, should the compiler know one).
    fn applied(&self, key: &str, value: &'a Value) -> Result<Vec<&'a Value>, SchemaError> {
        Ok(match (key, value) {
            ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(target)) => vec![self.resolve(target)?],
            ("allOf" | "anyOf" | "oneOf", Value::Array(items)) => items.iter().collect(),
            ("not" | "if" | "then" | "else", schema) => vec![schema],
            ("dependentSchemas" | "dependencies", Value::Object(map)) => map.values().collect(),
            _ => Vec::new(),
        })
    }

    /// `#`, `#/a/pointer` or `#anchor`. What can't be found here is refused, so that the compiler can't find more.
    fn resolve(&self, target: &str) -> Result<&'a Value, SchemaError> {
        let nowhere = || SchemaError::Nowhere(shown(target));
        let fragment = target.strip_prefix('#').ok_or_else(nowhere)?;
        if fragment.contains('%') {
            // RFC 6901 section 6 would decode it; names that need it are rare, and one reading is enough.
            return Err(nowhere());
        }
        if fragment.is_empty() || fragment.starts_with('/') {
            return self.root.pointer(fragment).ok_or_else(nowhere);
        }
        self.anchors.get(fragment).copied().flatten().ok_or_else(nowhere)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::{SchemaError, compile};
    use serde_json::{Map, Value, json};

    /// `$defs` d0 to dN, each made from the reference to the next.
    fn chain(length: usize, link: impl Fn(Value) -> Value) -> Value {
        let next = |i: usize| json!({ "$ref": format!("#/$defs/d{}", i + 1) });
        let mut defs: Map<String, Value> = (0..length).map(|i| (format!("d{i}"), link(next(i)))).collect();
        defs.insert(format!("d{length}"), json!({ "type": "string" }));
        json!({ "$defs": defs, "$ref": "#/$defs/d0" })
    }

    #[test]
    fn work_that_doubles_is_refused_before_it_is_done() {
        let twice = |next: Value| json!({ "allOf": [next.clone(), next], "unevaluatedProperties": false });
        assert!(compile(&chain(5, twice)).is_ok());
        assert_eq!(compile(&chain(40, twice)).unwrap_err(), SchemaError::Expansion);
        assert_eq!(compile(&chain(20_000, |next| next)).unwrap_err(), SchemaError::Expansion);
        assert!(compile(&chain(20, |next| next)).is_ok());
        let children = |next: Value| json!({ "properties": { "a": next.clone(), "b": next } });
        assert!(compile(&chain(40, children)).is_ok(), "grows with the value alone");
    }

    #[test]
    fn a_reference_to_itself() {
        for loop_ in [
            json!({ "$ref": "#" }),
            json!({ "allOf": [{ "$ref": "#" }] }),
            json!({ "$defs": { "a": { "not": { "$ref": "#b" } }, "b": { "$anchor": "b", "$ref": "#/$defs/a" } } }),
            json!({ "$dynamicAnchor": "x", "if": { "$dynamicRef": "#x" } }),
        ] {
            assert_eq!(compile(&loop_).unwrap_err(), SchemaError::Expansion, "{loop_}");
        }
        let tree = json!({ "properties": { "children": { "items": { "$ref": "#" } } } });
        let validator = compile(&tree).unwrap().validator;
        assert!(validator.is_valid(&json!({ "children": [{ "children": [] }] })));
    }

    #[test]
    fn one_reading_of_every_reference() {
        assert!(compile(&json!({ "$ref": "#a", "$defs": { "x": { "$anchor": "a" } } })).is_ok());
        let twice = json!({ "$ref": "#a", "$defs": { "x": { "$anchor": "a" }, "y": { "$anchor": "a" } } });
        assert_eq!(compile(&twice).unwrap_err(), SchemaError::Nowhere("#a".into()));
        assert_eq!(
            compile(&json!({ "$ref": "#/%24defs" })).unwrap_err(),
            SchemaError::Nowhere("#/%24defs".into())
        );
        assert_eq!(compile(&json!({ "$ref": "#none" })).unwrap_err(), SchemaError::Nowhere("#none".into()));
        assert_eq!(
            compile(&json!({ "properties": { "a": { "$id": "https://x.test/" } } })).unwrap_err(),
            SchemaError::Id
        );
        let patterns: Vec<Value> = (0..300).map(|i| json!({ "pattern": format!("^{i}") })).collect();
        assert_eq!(compile(&json!({ "anyOf": patterns })).unwrap_err(), SchemaError::Patterns);
    }
}
