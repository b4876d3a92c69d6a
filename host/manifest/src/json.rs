//! JSON from strangers: bounded in size and depth before it is parsed, duplicate keys refused; and the strict object reader
//! of the embedded manifest, whose faults carry a JSON pointer (RFC 6901).
use crate::{
    EmbeddedError,
    diagnose::{nearest, shown},
    limits::{JSON_DEPTH_MAX, JSON_VALUES_MAX},
};
use serde_json::{Map, Value};

/// Why a text is no JSON that this crate reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Over the bound of its kind.
    #[error("larger than {0} bytes")]
    TooLarge(usize),
    /// Over the bound of its kind.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// Over `JSON_VALUES_MAX`.
    #[error("more than {0} values")]
    TooMany(usize),
    /// Not JSON.
    #[error("not JSON: line {line}, column {column}: {problem}")]
    Syntax {
        /// 1-based.
        line: usize,
        /// 1-based.
        column: usize,
        /// What is wrong.
        problem: String,
    },
    /// One object names one key twice: two readers would see two documents.
    #[error("an object has one key twice, or a reserved one")]
    Duplicate,
}

/// Parses a document of this crate: manifests and schemas.
pub fn parse(bytes: &[u8], bytes_max: usize) -> Result<Value, JsonError> {
    if bytes.len() > bytes_max {
        return Err(JsonError::TooLarge(bytes_max));
    }
    parse_bounded(bytes, JSON_DEPTH_MAX, JSON_VALUES_MAX)
}

/// Parses a whole text that is not nested deeper than this; the parser itself reads no more than 127 levels.
pub fn parse_within(bytes: &[u8], depth_max: usize) -> Result<Value, JsonError> {
    parse_bounded(bytes, depth_max, usize::MAX)
}

fn parse_bounded(bytes: &[u8], depth_max: usize, values_max: usize) -> Result<Value, JsonError> {
    let Counted { members, values } = scan(bytes, depth_max, is_reserved)?;
    if values > values_max {
        return Err(JsonError::TooMany(values_max));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| JsonError::Syntax {
        line: error.line(),
        column: error.column(),
        problem: problem(&error),
    })?;
    // The parser keeps the last of two equal keys, so fewer members than colons means that one was dropped.
    if count_members(&value) != members {
        return Err(JsonError::Duplicate);
    }
    Ok(value)
}

fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    shown(&text[..end])
}

/// An object with one member takes as much as four other values.
const OBJECT_VALUES: usize = 4;

/// What a text holds, seen from outside.
struct Counted {
    /// Colons outside strings: one for each member.
    members: usize,
    /// No more than these: one more than commas and opening brackets, of which an object's counts for more.
    values: usize,
}

/// Bounds the depth without recursion, refuses reserved names.
/// Looks at each byte once, and each string is asked of once at most.
fn scan(
    bytes: &[u8],
    depth_max: usize,
    mut is_reserved: impl FnMut(&[u8]) -> bool,
) -> Result<Counted, JsonError> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let mut counted = Counted { members: 0, values: 1 };
    // Of the last string, without its quotes.
    let (mut start, mut end) = (0, 0);
    for (at, byte) in bytes.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => (in_string, end) = (false, at),
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => (in_string, start) = (true, at + 1),
            b'[' => (depth, counted.values) = (depth + 1, counted.values + 1),
            b'{' => (depth, counted.values) = (depth + 1, counted.values + OBJECT_VALUES),
            b',' => counted.values += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b':' => {
                if is_reserved(bytes.get(start..end).unwrap_or_default()) {
                    return Err(JsonError::Duplicate);
                }
                // It was the name of one member: what is no JSON may have a colon behind the colon.
                (start, end) = (0, 0);
                counted.members += 1;
            }
            _ => {}
        }
        if depth > depth_max {
            return Err(JsonError::TooDeep(depth_max));
        }
    }
    Ok(counted)
}

/// By such names the parser hands numbers and raw texts to itself: what a stranger writes under one is not what it reads. `name`: as
/// written between its quotes.
fn is_reserved(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"$serde_json::private::";
    if !name.contains(&b'\\') {
        return name.starts_with(PREFIX);
    }
    let quoted = [b"\"", name, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).is_ok_and(|name| name.as_bytes().starts_with(PREFIX))
}

/// Recursion is bounded by the depth that was let pass.
fn count_members(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count_members).sum(),
        Value::Object(map) => map.len() + map.values().map(count_members).sum::<usize>(),
        _ => 0,
    }
}

/// The canonical text: keys sorted, no whitespace.
pub fn canonical(mut value: Value) -> Vec<u8> {
    value.sort_all_objects();
    value.to_string().into_bytes()
}

/// One object being read. What nothing asked for is refused by `finish`.
pub(crate) struct Object<'a> {
    pub(crate) pointer: String,
    map: &'a Map<String, Value>,
    asked: Vec<&'static str>,
}

/// One step of a JSON pointer.
pub(crate) fn step(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

pub(crate) fn fault(pointer: &str, problem: impl Into<String>) -> EmbeddedError {
    EmbeddedError::Manifest { pointer: shown(pointer), problem: problem.into() }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong(pointer: &str, expected: &str, found: &Value) -> EmbeddedError {
    fault(pointer, format!("expected {expected}, found {}", kind(found)))
}

impl<'a> Object<'a> {
    pub(crate) fn new(pointer: String, value: &'a Value) -> Result<Self, EmbeddedError> {
        match value {
            Value::Object(map) => Ok(Self { pointer, map, asked: Vec::new() }),
            other => Err(wrong(&pointer, "an object", other)),
        }
    }

    pub(crate) fn at(&self, key: &str) -> String {
        step(&self.pointer, key)
    }

    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.push(key);
        self.map.get(key)
    }

    pub(crate) fn required(&mut self, key: &'static str) -> Result<&'a Value, EmbeddedError> {
        self.value(key).ok_or_else(|| fault(&self.pointer, format!("`{key}` is missing")))
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Result<Option<&'a str>, EmbeddedError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&self.at(key), "a string", other)),
        }
    }

    /// An object of strings under names of the author's choice.
    pub(crate) fn string_map(&self) -> Result<Vec<(&'a str, &'a str)>, EmbeddedError> {
        let text = |(name, value): (&'a String, &'a Value)| match value {
            Value::String(text) => Ok((name.as_str(), text.as_str())),
            other => Err(wrong(&self.at(name), "a string", other)),
        };
        self.map.iter().map(text).collect()
    }

    pub(crate) fn required_string(&mut self, key: &'static str) -> Result<&'a str, EmbeddedError> {
        self.required(key)?;
        self.string(key).map(Option::unwrap_or_default)
    }

    pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        key: &'static str,
    ) -> Result<T, EmbeddedError> {
        let text = self.required_string(key)?;
        text.parse().map_err(|error: T::Err| not_parsed(&self.at(key), text, &error))
    }

    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<f64>, EmbeddedError> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| wrong(&self.at(key), "a number", value)),
        }
    }

    pub(crate) fn whole(&mut self, key: &'static str) -> Result<u32, EmbeddedError> {
        let value = self.required(key)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| wrong(&self.at(key), "a whole number below 2^32", value))
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Result<bool, EmbeddedError> {
        match self.value(key) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(wrong(&self.at(key), "a boolean", other)),
        }
    }

    pub(crate) fn items(&mut self, key: &'static str) -> Result<Vec<(String, &'a Value)>, EmbeddedError> {
        let at = self.at(key);
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                Ok(items.iter().enumerate().map(|(i, item)| (format!("{at}/{i}"), item)).collect())
            }
            Some(other) => Err(wrong(&at, "an array", other)),
        }
    }

    pub(crate) fn strings(&mut self, key: &'static str) -> Result<Vec<String>, EmbeddedError> {
        let text = |(at, item): (String, &Value)| match item {
            Value::String(text) => Ok(text.clone()),
            other => Err(wrong(&at, "a string", other)),
        };
        self.items(key)?.into_iter().map(text).collect()
    }

    pub(crate) fn parsed_all<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        key: &'static str,
    ) -> Result<Vec<T>, EmbeddedError> {
        let at = self.at(key);
        let parsed = |(i, text): (usize, String)| {
            text.parse().map_err(|error: T::Err| not_parsed(&format!("{at}/{i}"), &text, &error))
        };
        self.strings(key)?.into_iter().enumerate().map(parsed).collect()
    }

    pub(crate) fn object(&mut self, key: &'static str) -> Result<Option<Object<'a>>, EmbeddedError> {
        let at = self.at(key);
        self.value(key).map(|value| Object::new(at, value)).transpose()
    }

    pub(crate) fn entries(&mut self, key: &'static str) -> Result<Vec<(String, Object<'a>)>, EmbeddedError> {
        let Some(parent) = self.object(key)? else { return Ok(Vec::new()) };
        let entry =
            |(name, value): (&String, &'a Value)| Ok((name.clone(), Object::new(parent.at(name), value)?));
        parent.map.iter().map(entry).collect()
    }

    pub(crate) fn finish(self) -> Result<(), EmbeddedError> {
        let Some(unknown) = self.map.keys().find(|key| !self.asked.contains(&key.as_str())) else {
            return Ok(());
        };
        let near = nearest(unknown, self.asked.iter().copied());
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Err(fault(&self.pointer, format!("unknown key `{}`{hint}", shown(unknown))))
    }
}

fn not_parsed(pointer: &str, text: &str, error: &dyn std::fmt::Display) -> EmbeddedError {
    let error = error.to_string();
    if error.contains(&format!("`{text}`")) {
        fault(pointer, shown(&error))
    } else {
        fault(pointer, format!("`{}`: {}", shown(text), shown(&error)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn bounds_and_duplicates() {
        assert_eq!(parse(br#"{"a":{"b":":{["}}"#, 100).unwrap()["a"]["b"], ":{[");
        assert_eq!(parse(br#"{"a":1,"a":2}"#, 100), Err(JsonError::Duplicate));
        assert_eq!(parse(br#"{"a":1,"\u0061":2}"#, 100), Err(JsonError::Duplicate));
        for reserved in [
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#,
            r#"[{"\u0024serde_json:\u003aprivate::RawValue" : "{}"}]"#,
            // A member is lost, and one is in a text; nothing but the name tells.
            r#"{"\u0024serde_json::private::RawValue":"{\"a\":1}"}"#,
            // Two members are lost, and two are in a text.
            r#"{"a":{"$serde_json::private::RawValue":"{\"a\":1,\"b\":2}"},"c":1,"c":2}"#,
        ] {
            assert_eq!(parse(reserved.as_bytes(), 100), Err(JsonError::Duplicate), "{reserved}");
        }
        for whole in [
            r#"{"a:\"b":":\\","c:":{"d":[{"e":1.0e3},{"e":-2}]}}"#,
            r#"["\\",":","\\\":"]"#,
            r#"{"serde_json::private::Number":"$serde_json::private::Number"}"#,
        ] {
            assert!(parse(whole.as_bytes(), 100).is_ok(), "{whole}");
        }
        assert_eq!(parse(b"[1]", 2), Err(JsonError::TooLarge(2)));
        let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(parse(&deep(JSON_DEPTH_MAX), 1000).is_ok());
        assert_eq!(parse(&deep(JSON_DEPTH_MAX + 1), 1000), Err(JsonError::TooDeep(JSON_DEPTH_MAX)));
        assert_eq!(parse(&deep(100_000), 1_000_000), Err(JsonError::TooDeep(JSON_DEPTH_MAX)));
        let many = |count: usize| format!("[{}1]", "1,".repeat(count - 1)).into_bytes();
        assert!(parse(&many(JSON_VALUES_MAX - 2), 2_000_000).is_ok());
        assert_eq!(parse(&many(JSON_VALUES_MAX), 2_000_000), Err(JsonError::TooMany(JSON_VALUES_MAX)));
        assert!(parse_within(&many(JSON_VALUES_MAX), 2).is_ok(), "a document may");
        assert!(parse_within(&deep(127), 127).is_ok());
        assert_eq!(parse_within(&deep(128), 127), Err(JsonError::TooDeep(127)));
        let error = parse(b"{\"a\":1,\n]", 100).unwrap_err();
        assert_eq!(error.to_string(), "not JSON: line 2, column 1: key must be a string");
    }

    /// What is done for a byte does not grow with what came before it.
    #[test]
    fn each_byte_is_looked_at_a_bounded_number_of_times() {
        let long = "a".repeat(10_000);
        let colons = ":".repeat(10_000);
        for text in [
            format!("\"{long}\"{colons}"),
            format!("\"\\n{long}\"{colons}"),
            format!("{{\"{long}\":1,\"{long}\":2}}"),
            format!("\"{long}\",{colons}{{}}[]{colons}"),
        ] {
            let mut looked_at = 0;
            let ended = scan(text.as_bytes(), 64, |name| {
                looked_at += name.len();
                is_reserved(name)
            });
            assert!(ended.is_ok() && looked_at <= text.len(), "{looked_at} of {}", text.len());
        }
    }

    #[test]
    fn canonical_sorts_at_every_depth() {
        let value = parse(br#"{ "b": {"z": 1.50, "a": [ {"y":1,"x":2} ]}, "a": null }"#, 100).unwrap();
        assert_eq!(canonical(value), br#"{"a":null,"b":{"a":[{"x":2,"y":1}],"z":1.50}}"#);
    }
}
