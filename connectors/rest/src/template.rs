//! Templates with holes that the input fills. A value never becomes a part of what surrounds it: in a path it stays within its
//! segment, in a query within its pair, and in a body it is a JSON value in the place of another.
use portcullis_sdk::http;
use serde_json::{Map, Value};

/// The key that makes an object a hole: `{"$input": "/customer/email"}`.
const HOLE: &str = "$input";

/// Why a template can't be filled, or can't be one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The template itself.
    Template(String),
    /// The input has nothing there.
    Missing(String),
    /// The input has something there that does not fit.
    Unfit(String, &'static str),
}

/// A text with holes `{name}`; `{/pointer}` reaches deeper, `{{` and `}}` are braces.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Hole(String),
}

impl Text {
    /// Reads it.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let broken =
            || Fault::Template(format!("`{text}`: a hole is `{{name}}`, a brace itself `{{{{` or `}}}}`"));
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if from.starts_with("{{") || from.starts_with("}}") {
                plain.push_str(&from[..1]);
                rest = &from[2..];
                continue;
            }
            let (name, after) =
                from.strip_prefix('{').and_then(|from| from.split_once('}')).ok_or_else(broken)?;
            if name.is_empty() || name.contains('{') {
                return Err(broken());
            }
            if !plain.is_empty() {
                pieces.push(Piece::Plain(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Hole(pointer(name)));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        Ok(Self(pieces))
    }

    /// Filled, with each value made into what `encode` says.
    fn fill(&self, input: &Value, encode: impl Fn(&str) -> String) -> Result<String, Fault> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Plain(text) => out.push_str(text),
                Piece::Hole(pointer) => out.push_str(&encode(&scalar(input, pointer)?)),
            }
        }
        Ok(out)
    }

    /// As a path: a value is encoded, is not empty, and can't be a segment that means another place.
    pub(crate) fn path(&self, input: &Value) -> Result<String, Fault> {
        for piece in &self.0 {
            if let Piece::Hole(pointer) = piece
                && scalar(input, pointer)?.is_empty()
            {
                return Err(Fault::Unfit(pointer.clone(), "an empty text has no place in a path"));
            }
        }
        let path = self.fill(input, http::segment)?;
        let is_dots = |segment: &str| matches!(segment.replace("%2E", ".").as_str(), "." | "..");
        if path.split('/').any(is_dots) {
            let pointer = self.holes().next().unwrap_or_default().to_owned();
            return Err(Fault::Unfit(pointer, "a path segment of dots means another place"));
        }
        Ok(path)
    }

    /// As plain text; what it is put into encodes it.
    pub(crate) fn text(&self, input: &Value) -> Result<String, Fault> {
        self.fill(input, str::to_owned)
    }

    /// As the values of a query pair: a list in a hole that is the whole template gives one for each element.
    pub(crate) fn values(&self, input: &Value) -> Result<Vec<String>, Fault> {
        if let [Piece::Hole(pointer)] = self.0.as_slice()
            && let Some(Value::Array(list)) = input.pointer(pointer)
        {
            return list.iter().map(|value| scalar_of(value, pointer)).collect();
        }
        Ok(vec![self.text(input)?])
    }

    fn holes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Hole(pointer) => Some(pointer.as_str()),
            Piece::Plain(_) => None,
        })
    }
}

/// A name is a property of the input; what begins with `/` is a pointer already.
fn pointer(name: &str) -> String {
    if name.starts_with('/') {
        return name.to_owned();
    }
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn scalar(input: &Value, pointer: &str) -> Result<String, Fault> {
    match input.pointer(pointer) {
        None | Some(Value::Null) => Err(Fault::Missing(pointer.to_owned())),
        Some(value) => scalar_of(value, pointer),
    }
}

fn scalar_of(value: &Value, pointer: &str) -> Result<String, Fault> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        _ => Err(Fault::Unfit(pointer.to_owned(), "expected a text, number or boolean")),
    }
}

/// A JSON body with holes: `{"$input": "/pointer"}` stands for the value there, whatever its type. Where the input has none, a
/// property is left out; in a list, or as the whole body, it is missed.
pub(crate) fn fill(template: &Value, input: &Value) -> Result<Value, Fault> {
    match template {
        Value::Object(fields) => match hole(fields)? {
            Some(pointer) => {
                input.pointer(pointer).cloned().ok_or_else(|| Fault::Missing(pointer.to_owned()))
            }
            None => fill_fields(fields, input).map(Value::Object),
        },
        Value::Array(list) => list.iter().map(|value| fill(value, input)).collect(),
        plain => Ok(plain.clone()),
    }
}

fn fill_fields(fields: &Map<String, Value>, input: &Value) -> Result<Map<String, Value>, Fault> {
    let mut filled = Map::new();
    for (name, value) in fields {
        let optional = value.as_object().map(hole).transpose()?.flatten();
        if optional.is_some_and(|pointer| input.pointer(pointer).is_none()) {
            continue;
        }
        filled.insert(name.clone(), fill(value, input)?);
    }
    Ok(filled)
}

/// Checks every hole of a body.
pub(crate) fn verify(template: &Value) -> Result<(), Fault> {
    match template {
        Value::Object(fields) => match hole(fields)? {
            Some(_) => Ok(()),
            None => fields.values().try_for_each(verify),
        },
        Value::Array(list) => list.iter().try_for_each(verify),
        _ => Ok(()),
    }
}

fn hole(fields: &Map<String, Value>) -> Result<Option<&str>, Fault> {
    let Some(pointer) = fields.get(HOLE) else { return Ok(None) };
    match pointer.as_str() {
        Some(pointer) if fields.len() == 1 && (pointer.is_empty() || pointer.starts_with('/')) => {
            Ok(Some(pointer))
        }
        _ => Err(Fault::Template(format!(
            "an object with `{HOLE}` has nothing else, and a JSON pointer in it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn text(template: &str) -> Text {
        Text::parse(template).unwrap()
    }

    #[test]
    fn a_value_stays_in_its_segment() {
        let path =
            |template: &str, value: Value| text(template).path(&json!({ "a": value, "b": { "c/d": "x y" } }));
        for (template, value, expected) in [
            ("/v1/{a}", json!("../b?c#d%2F"), "/v1/..%2Fb%3Fc%23d%252F"),
            ("/v1/{a}.json", json!(7), "/v1/7.json"),
            ("/v1/{a}/{/b/c~1d}", json!(true), "/v1/true/x%20y"),
            ("/v1/{{a}}", json!(""), "/v1/{a}"),
            ("/{a}/...", json!("é"), "/%C3%A9/..."),
        ] {
            assert_eq!(path(template, value).unwrap(), expected, "{template}");
        }
        for (template, value) in [
            ("/v1/{a}", json!("")),
            ("/v1/{a}", json!("..")),
            ("/v1/{a}", json!(".")),
            ("/v1/.{a}", json!(".")),
            ("/v1/{a}{a}/x", json!(".")),
            ("/v1/{a}", json!(["x"])),
            ("/v1/{a}", json!({})),
        ] {
            assert!(matches!(path(template, value.clone()), Err(Fault::Unfit(..))), "{template} {value}");
        }
        assert_eq!(path("/{z}", json!(1)), Err(Fault::Missing("/z".into())));
        assert_eq!(path("/{a}", json!(null)), Err(Fault::Missing("/a".into())));
    }

    #[test]
    fn queries_repeat_a_list() {
        let input = json!({ "ids": [1, "b c"], "q": "x" });
        assert_eq!(text("{ids}").values(&input).unwrap(), ["1", "b c"]);
        assert_eq!(text("q:{q}").values(&input).unwrap(), ["q:x"]);
        assert!(matches!(text("q:{ids}").values(&input), Err(Fault::Unfit(..))));
    }

    #[test]
    fn broken_templates() {
        for broken in ["{", "{}", "{a", "a}", "{a{b}}", "{a}}", "}{a}"] {
            assert!(matches!(Text::parse(broken), Err(Fault::Template(_))), "{broken}");
        }
    }

    #[test]
    fn bodies_have_typed_holes() {
        let input: Value =
            serde_json::from_str(r#"{"n":1.10,"s":"\",\"x\":1","o":{"k":[null]},"z":null}"#).unwrap();
        let template = json!({
            "fixed": "{n}", "n": {"$input": "/n"}, "s": {"$input": "/s"}, "deep": [{"$input": "/o/k"}],
            "left-out": {"$input": "/none"}, "z": {"$input": "/z"}
        });
        let filled = fill(&template, &input).unwrap().to_string();
        assert_eq!(filled, r#"{"fixed":"{n}","n":1.10,"s":"\",\"x\":1","deep":[[null]],"z":null}"#);
        assert_eq!(fill(&json!({"$input": ""}), &input).unwrap(), input);
        // What the input holds is never a template.
        let sly = json!({ "a": { "$input": "/b" }, "b": 1 });
        assert_eq!(
            fill(&json!({ "x": { "$input": "/a" } }), &sly).unwrap(),
            json!({ "x": { "$input": "/b" } })
        );
        assert_eq!(fill(&json!([{"$input": "/none"}]), &input), Err(Fault::Missing("/none".into())));
        for broken in [json!({"$input": "n"}), json!({"$input": 1}), json!({"a": [{"$input": "/n", "b": 1}]})]
        {
            assert!(matches!(verify(&broken), Err(Fault::Template(_))), "{broken}");
            assert!(matches!(fill(&broken, &input), Err(Fault::Template(_))), "{broken}");
        }
    }
}
