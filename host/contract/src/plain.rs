//! Which schemas this process compiles itself: those of which anybody sees that the work grows with the document and not with what
//! their author thought of. No references, no branches, no patterns, nothing that is compared with everything else.

use crate::limits::{PLAIN_DEPTH_MAX, PLAIN_ENUM_MAX, PLAIN_NAME_BYTES_MAX};
use serde_json::Value;

/// So short that no arithmetic with it is long.
const NUMBER_BYTES_MAX: usize = 20;

/// Is this one of them? A keyword that is not known here makes it none.
pub(crate) fn is_plain(schema: &Value) -> bool {
    within(schema, PLAIN_DEPTH_MAX)
}

fn within(schema: &Value, depth_left: usize) -> bool {
    let Some(below) = depth_left.checked_sub(1) else { return false };
    let Value::Object(keywords) = schema else { return schema.is_boolean() };
    keywords.iter().all(|(keyword, value)| match keyword.as_str() {
        // What says something to people, or nothing at all.
        "$schema" | "$comment" | "title" | "description" | "default" | "examples" | "deprecated"
        | "readOnly" | "writeOnly" | "format" => true,
        "type" | "required" => true,
        "properties" => value.as_object().is_some_and(|properties| {
            let plain = |(name, schema): (&String, &Value)| {
                name.len() <= PLAIN_NAME_BYTES_MAX && within(schema, below)
            };
            properties.iter().all(plain)
        }),
        "items" | "additionalProperties" => within(value, below),
        "const" => is_word(value),
        "enum" => value
            .as_array()
            .is_some_and(|values| values.len() <= PLAIN_ENUM_MAX && values.iter().all(is_word)),
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
        | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
            value.as_number().is_some_and(|number| number.as_str().len() <= NUMBER_BYTES_MAX)
        }
        _ => false,
    })
}

fn is_word(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(_) | Value::String(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_takes_more_than_its_text_is_not_plain() {
        for plain in [
            json!(true),
            json!({ "type": ["object", "null"], "required": ["a"], "properties": { "a": { "enum": ["b", null] } } }),
            json!({ "items": { "minimum": -1.5, "maxLength": 3 }, "additionalProperties": false, "format": "date" }),
        ] {
            assert!(is_plain(&plain), "{plain}");
        }
        for keyword in [
            "$ref",
            "$dynamicRef",
            "$recursiveRef",
            "$defs",
            "$id",
            "$anchor",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
            "if",
            "then",
            "else",
            "dependentSchemas",
            "dependentRequired",
            "dependencies",
            "prefixItems",
            "contains",
            "minContains",
            "patternProperties",
            "propertyNames",
            "unevaluatedItems",
            "unevaluatedProperties",
            "pattern",
            "uniqueItems",
            "multipleOf",
            "contentEncoding",
            "contentMediaType",
            "contentSchema",
            "unheard-of",
        ] {
            assert!(!is_plain(&json!({ keyword: true })), "{keyword}");
            assert!(!is_plain(&json!({ "properties": { "a": { "items": { keyword: {} } } } })), "{keyword}");
        }
        let deep = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "items": inner }));
        let named = |bytes: usize| json!({ "properties": { "n".repeat(bytes): {} } });
        let listed = |count: usize| json!({ "enum": vec!["a"; count] });
        let long =
            |digits: usize| json!({ "maximum": serde_json::from_str::<Value>(&"9".repeat(digits)).ok() });
        for (within, beyond) in [
            (deep(PLAIN_DEPTH_MAX), deep(PLAIN_DEPTH_MAX + 1)),
            (named(PLAIN_NAME_BYTES_MAX), named(PLAIN_NAME_BYTES_MAX + 1)),
            (listed(PLAIN_ENUM_MAX), listed(PLAIN_ENUM_MAX + 1)),
            (long(NUMBER_BYTES_MAX), long(NUMBER_BYTES_MAX + 1)),
            (json!({ "const": "a" }), json!({ "const": {} })),
        ] {
            assert!(is_plain(&within) && !is_plain(&beyond), "{beyond:.100}");
        }
    }
}
