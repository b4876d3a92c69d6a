//! Queries and form bodies as Stripe reads them: `metadata[plan]=pro` is an object, `expand[]=x` and `expand[0]=x` are lists.
//! WHATWG URL, application/x-www-form-urlencoded. Refuses nesting beyond its bound by dropping the pair.

use super::limits::FORM_DEPTH_MAX;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Decoded pairs, in order.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// The first value of that name.
pub(super) fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The pairs as one object; values stay text.
pub(super) fn object(pairs: &[(String, String)]) -> Map<String, Value> {
    let mut object = Map::new();
    for (name, value) in pairs {
        let path = segments(name);
        if path.len() <= FORM_DEPTH_MAX {
            insert(&mut object, &path, value);
        }
    }
    object
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// `a[b][c]` → `a`, `b`, `c`.
fn segments(name: &str) -> Vec<&str> {
    let Some((first, rest)) = name.split_once('[') else { return vec![name] };
    let mut path = vec![first];
    path.extend(rest.trim_end_matches(']').split("]["));
    path
}

fn insert(object: &mut Map<String, Value>, path: &[&str], value: &str) {
    match path {
        [] => {}
        [name] => {
            object.insert((*name).to_owned(), Value::String(value.to_owned()));
        }
        [name, index] if index.is_empty() || index.bytes().all(|byte| byte.is_ascii_digit()) => {
            let list = object.entry((*name).to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(Value::String(value.to_owned()));
            }
        }
        [name, rest @ ..] => {
            let inner = object.entry((*name).to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{object, pairs, value};
    use serde_json::json;

    fn check(text: &str, expected: serde_json::Value) {
        assert_eq!(serde_json::Value::Object(object(&pairs(text))), expected, "{text}");
    }

    #[test]
    fn nests_as_stripe_does() {
        check("email=a%40b.c&name=Ada+L", json!({"email": "a@b.c", "name": "Ada L"}));
        check("metadata%5Bplan%5D=pro&metadata[seat]=2", json!({"metadata": {"plan": "pro", "seat": "2"}}));
        check("expand[0]=x&expand[]=y", json!({"expand": ["x", "y"]}));
        check("a[b][c]=d", json!({"a": {"b": {"c": "d"}}}));
        check("", json!({}));
        check("a[1][2][3][4][5][6][7][8][9]=deep", json!({}));
    }

    #[test]
    fn finds_the_first_value() {
        assert_eq!(value(&pairs("limit=3&limit=4"), "limit"), Some("3"));
        assert_eq!(value(&pairs("limit=3"), "starting_after"), None);
    }
}
