//! How much the faults of one document may weigh. Whoever writes a schema decides how many there are: an `anyOf` that fails holds
//! those of each of its branches, and so at each level below. They are made only where all that could be made is bounded. Pure.

use super::{FAULTS_BYTES_MAX, Map, Value};
use std::collections::HashMap;

/// What one fault takes beside the texts that it holds.
const FAULT_BYTES: usize = 256;
/// Schemas and values that lie in each other: each is a frame of the stack.
const DEPTH_MAX: usize = 512;

/// Whether no more than `FAULTS_BYTES_MAX` can come of holding this value against this schema. What is not sure is not so.
pub(super) fn is_bounded(root: &Value, value: &Value) -> bool {
    let mut scale = Scale { root, own: HashMap::new(), left: FAULTS_BYTES_MAX };
    scale.weigh(root, value, 0).is_some()
}

struct Scale<'s> {
    root: &'s Value,
    /// What the keywords of a schema say themselves, by its address.
    own: HashMap<*const Map<String, Value>, usize>,
    left: usize,
}

impl<'s> Scale<'s> {
    fn take(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }

    /// Takes what this schema can say of this value, and every schema that it applies. `None` = too much.
    fn weigh(&mut self, schema: &'s Value, value: &Value, depth: usize) -> Option<()> {
        let Value::Object(keywords) = schema else { return self.take(FAULT_BYTES) };
        if depth > DEPTH_MAX {
            return None;
        }
        let own = self.own_bytes(keywords);
        self.take(own)?;
        for (keyword, applied) in keywords {
            self.apply(keyword, applied, value, depth + 1)?;
        }
        Some(())
    }

    /// The texts of a schema that its faults repeat, such as `enum`; a fault a keyword.
    fn own_bytes(&mut self, keywords: &'s Map<String, Value>) -> usize {
        if let Some(known) = self.own.get(&std::ptr::from_ref(keywords)) {
            return *known;
        }
        let text = |(keyword, value): (&String, &Value)| match keyword.as_str() {
            "enum" | "const" | "pattern" => FAULT_BYTES + value.to_string().len(),
            "required" | "dependentRequired" => {
                FAULT_BYTES * value.as_array().map_or(1, Vec::len) + value.to_string().len()
            }
            _ => FAULT_BYTES,
        };
        let bytes = keywords.iter().map(text).sum();
        self.own.insert(keywords, bytes);
        bytes
    }

    fn apply(&mut self, keyword: &str, applied: &'s Value, value: &Value, depth: usize) -> Option<()> {
        match (keyword, applied) {
            ("$ref", Value::String(target)) => self.weigh(self.target(target)?, value, depth),
            ("$dynamicRef" | "$recursiveRef", _) => None,
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => {
                all.iter().try_for_each(|schema| self.weigh(schema, value, depth))
            }
            ("not" | "if" | "then" | "else", schema) => self.weigh(schema, value, depth),
            ("dependentSchemas" | "dependencies", Value::Object(all)) => {
                all.values().try_for_each(|schema| self.weigh(schema, value, depth))
            }
            _ => match value {
                Value::Object(members) => self.members(keyword, applied, members, depth),
                Value::Array(items) => self.items(keyword, applied, items, depth),
                _ => Some(()),
            },
        }
    }

    fn members(
        &mut self,
        keyword: &str,
        applied: &'s Value,
        members: &Map<String, Value>,
        depth: usize,
    ) -> Option<()> {
        match (keyword, applied) {
            ("properties", Value::Object(all)) => {
                for (name, schema) in all {
                    if let Some(member) = members.get(name) {
                        self.weigh(schema, member, depth)?;
                    }
                }
                Some(())
            }
            ("patternProperties", Value::Object(all)) => {
                let mut each = all.values();
                each.try_for_each(|schema| {
                    members.values().try_for_each(|member| self.weigh(schema, member, depth))
                })
            }
            // One that does not fit is told with its name.
            ("additionalProperties" | "unevaluatedProperties", schema) => {
                for (name, member) in members {
                    self.take(FAULT_BYTES + name.len())?;
                    self.weigh(schema, member, depth)?;
                }
                Some(())
            }
            ("propertyNames", schema) => members.keys().try_for_each(|name| {
                self.take(FAULT_BYTES + name.len())?;
                self.weigh(schema, &Value::String(name.clone()), depth)
            }),
            _ => Some(()),
        }
    }

    fn items(&mut self, keyword: &str, applied: &'s Value, items: &[Value], depth: usize) -> Option<()> {
        match (keyword, applied) {
            ("prefixItems", Value::Array(all)) => {
                all.iter().zip(items).try_for_each(|(schema, item)| self.weigh(schema, item, depth))
            }
            ("items" | "contains" | "unevaluatedItems", schema) => {
                items.iter().try_for_each(|item| self.weigh(schema, item, depth))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        assert!(is_bounded(&branching(2), &nested(8)));
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
        let records: Value = vec![json!({ "id": 1 }); 100_000].into();
        assert!(is_bounded(&usual, &json!({ "list": records })));
    }
}
