//! Where two JSON values differ, by JSON pointer (RFC 6901): for a person who looks at what a change of code did.
use serde_json::Value;

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference<'v> {
    /// Empty: the whole.
    pub pointer: String,
    /// None: it was not there.
    pub was: Option<&'v Value>,
    /// None: it is gone.
    pub is: Option<&'v Value>,
}

/// All differences, in the order of the former value. As deep as both are alike; the order of keys counts for nothing.
pub fn differences<'v>(was: &'v Value, is: &'v Value) -> Vec<Difference<'v>> {
    let mut found = Vec::new();
    compare(&mut String::new(), Some(was), Some(is), &mut found);
    found
}

fn compare<'v>(
    pointer: &mut String,
    was: Option<&'v Value>,
    is: Option<&'v Value>,
    found: &mut Vec<Difference<'v>>,
) {
    match (was, is) {
        (Some(Value::Object(was)), Some(Value::Object(is))) => {
            let new = is.keys().filter(|name| !was.contains_key(*name));
            for name in was.keys().chain(new) {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                below(pointer, &escaped, was.get(name), is.get(name), found);
            }
        }
        (Some(Value::Array(was)), Some(Value::Array(is))) => {
            for at in 0..was.len().max(is.len()) {
                below(pointer, &at.to_string(), was.get(at), is.get(at), found);
            }
        }
        (was, is) if was != is => found.push(Difference { pointer: pointer.clone(), was, is }),
        _ => {}
    }
}

/// Both nest as deep as JSON that was read, which is bounded.
fn below<'v>(
    pointer: &mut String,
    step: &str,
    was: Option<&'v Value>,
    is: Option<&'v Value>,
    found: &mut Vec<Difference<'v>>,
) {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(step);
    compare(pointer, was, is, found);
    pointer.truncate(length);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_named_and_nothing_else() {
        let was = json!({"a": 1, "b": [1, {"c/d": "x"}], "gone": null, "kind": [1]});
        let is = json!({"b": [1, {"c/d": "y"}, 3], "a": 1, "new": true, "kind": {"0": 1}});
        let found = differences(&was, &is);
        let found: Vec<_> = found
            .iter()
            .map(|d| (d.pointer.as_str(), d.was.map(Value::to_string), d.is.map(Value::to_string)))
            .collect();
        let text = |text: &str| Some(text.to_owned());
        let expected = [
            ("/b/1/c~1d", text("\"x\""), text("\"y\"")),
            ("/b/2", None, text("3")),
            ("/gone", text("null"), None),
            ("/kind", text("[1]"), text("{\"0\":1}")),
            ("/new", None, text("true")),
        ];
        assert_eq!(found, expected);
        assert!(differences(&was, &was.clone()).is_empty());
    }
}
