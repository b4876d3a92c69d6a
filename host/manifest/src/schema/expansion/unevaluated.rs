//! Bounds what `unevaluatedProperties` and `unevaluatedItems` take. To know what the schemas beside them looked at, the compiler builds
//! the branches of those once more for each, and each keeps the names of their properties: few of them over a large part, reached
//! by references, are gigabytes.
use super::Walk;
use crate::{limits::UNEVALUATED_BYTES_MAX, schema::SchemaError};
use serde_json::Value;
use std::collections::HashMap;

/// One part of a schema, compiled; measured.
const PART_BYTES: u64 = 512;
/// One name of a property that is kept.
const NAME_BYTES: u64 = 64;

/// By address in the document.
#[derive(Default)]
struct Known {
    copies: HashMap<*const Value, u64>,
    looked_at: HashMap<*const Value, u64>,
}

impl<'a> Walk<'a> {
    /// After what is in place was found to end.
    pub(super) fn refuse_copies(&self) -> Result<(), SchemaError> {
        match self.copies(self.root, &mut Known::default())? {
            copies if copies > UNEVALUATED_BYTES_MAX => Err(SchemaError::Unevaluated),
            _ => Ok(()),
        }
    }

    /// What is built beside the schema itself, by all of it.
    fn copies(&self, schema: &'a Value, known: &mut Known) -> Result<u64, SchemaError> {
        if let Some(copies) = known.copies.get(&std::ptr::from_ref(schema)) {
            return Ok(*copies);
        }
        let mut copies = 0_u64;
        match schema {
            Value::Array(items) => {
                for item in items {
                    copies = copies.saturating_add(self.copies(item, known)?);
                }
            }
            Value::Object(map) => {
                for value in map.values() {
                    copies = copies.saturating_add(self.copies(value, known)?);
                }
                if map.contains_key("unevaluatedProperties") || map.contains_key("unevaluatedItems") {
                    copies = copies.saturating_add(self.looked_at(schema, known)?);
                }
            }
            _ => return Ok(0),
        }
        known.copies.insert(schema, copies);
        Ok(copies)
    }

    /// What one such keyword builds of the schema that it stands in: its names, and the schemas that apply in place.
    fn looked_at(&self, schema: &'a Value, known: &mut Known) -> Result<u64, SchemaError> {
        let Value::Object(map) = schema else { return Ok(0) };
        if let Some(bytes) = known.looked_at.get(&std::ptr::from_ref(schema)) {
            return Ok(*bytes);
        }
        let mut bytes = PART_BYTES;
        for (key, value) in map {
            if let ("properties" | "patternProperties", Value::Object(names)) = (key.as_str(), value) {
                let name = |name: &String| NAME_BYTES + name.len() as u64;
                bytes = bytes.saturating_add(names.keys().map(name).sum());
            }
            let by_reference = key.starts_with('$');
            for applied in self.applied(key, value)? {
                bytes = bytes.saturating_add(self.looked_at(applied, known)?);
                if !by_reference {
                    let built = compiled(applied).saturating_add(self.copies(applied, known)?);
                    bytes = bytes.saturating_add(built);
                }
            }
        }
        known.looked_at.insert(schema, bytes);
        Ok(bytes)
    }
}

/// A part with all that is in it.
fn compiled(schema: &Value) -> u64 {
    let text = |text: &String| text.len() as u64;
    PART_BYTES
        + match schema {
            Value::Array(items) => items.iter().map(compiled).sum(),
            Value::Object(map) => map.iter().map(|(key, value)| text(key) + compiled(value)).sum(),
            Value::String(value) => text(value),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::schema::{SchemaError, check};
    use serde_json::{Map, Value, json};

    /// So many schemas that look through one large one, which none of them holds.
    fn looking(count: usize, keyword: &str, at: Value) -> Result<usize, SchemaError> {
        let one = |number| (format!("a{number}"), json!({ "$ref": "#/$defs/e", keyword: false }));
        let all: Map<_, _> = (0..count).map(one).collect();
        check(&json!({ "properties": all, "$defs": { "e": at } }))
    }

    #[test]
    fn what_is_built_again_and_again_is_bounded() {
        let names = |count: usize, bytes: usize, schema: Value| {
            let name = |at| (format!("{at}{}", "n".repeat(bytes)), schema.clone());
            (0..count).map(name).collect::<Map<_, _>>()
        };
        let types = |count: usize| vec![json!({ "type": "string" }); count];
        for keyword in ["unevaluatedProperties", "unevaluatedItems"] {
            for large in [
                json!({ "properties": names(15_000, 0, json!({ "type": "string" })) }),
                json!({ "properties": names(300, 5_000, json!({})) }),
                json!({ "dependentSchemas": names(3_000, 0, json!({})) }),
                json!({ "anyOf": types(1_500) }),
                json!({ "oneOf": types(1_500) }),
                json!({ "if": { "properties": names(15_000, 0, json!(true)) } }),
            ] {
                assert_eq!(
                    looking(400, keyword, large.clone()),
                    Err(SchemaError::Unevaluated),
                    "{large:.60}"
                );
                assert_eq!(looking(3, keyword, large), Ok(0));
            }
        }
        // Each within the other's branch, it doubles.
        let nested = |levels: usize| {
            (0..levels).fold(
                json!({ "type": "string" }),
                |inner, _| json!({ "anyOf": [inner], "unevaluatedItems": false }),
            )
        };
        assert_eq!(check(&nested(8)), Ok(0));
        assert_eq!(check(&nested(28)), Err(SchemaError::Unevaluated));
        // What people write: each of a hundred extends a common one, and closes it.
        let usual = json!({ "allOf": types(5), "properties": names(50, 10, json!({ "type": "string" })) });
        assert_eq!(looking(100, "unevaluatedProperties", usual), Ok(0));
    }
}
