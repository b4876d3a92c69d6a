//! A webhook delivery as it is stored: one JSON document. Owns its form, and what HTTP and the runtime let one hold; refuses
//! unknown keys and doubled ones. Names of fields are those of RFC 9110.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis_engine::{Delivery, limits::DELIVERY_BODY_BYTES_MAX};
use portcullis_manifest::{
    diagnose::{is_hidden, nearest, shown},
    json::{self, JsonError},
};
use serde_json::{Map, Value};

/// The whole document: a body in base64, or as text with its escapes, is larger than the body.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
const ID_BYTES_MAX: usize = 256;
const METHOD_BYTES_MAX: usize = 32;
/// Path, and query.
const TARGET_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 100;
/// Names and values, all together.
const HEADER_BYTES_MAX: usize = 64 * 1024;
const KEYS: [&str; 7] = ["id", "method", "path", "query", "headers", "body", "body-base64"];

/// Why a document is no delivery. What it holds may be a secret or a person's: only names are shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Not JSON as it is read here.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Something else than an object.
    #[error("it is no JSON object")]
    NoObject,
    /// A key is missing, unknown, or has a wrong value.
    #[error("`{key}` {problem}")]
    Key {
        /// Which.
        key: String,
        /// What is wrong with it.
        problem: String,
        /// What to write.
        help: Option<String>,
    },
}

impl DeliveryError {
    fn at(key: &str, problem: impl Into<String>) -> Self {
        Self::Key { key: key.to_owned(), problem: problem.into(), help: None }
    }

    fn with_help(key: &str, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Key { key: key.to_owned(), problem: problem.into(), help: Some(help.into()) }
    }

    /// What to write instead.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Key { help, .. } => help.as_deref(),
            Self::Json(_) | Self::NoObject => None,
        }
    }
}

/// Reads a stored delivery.
pub fn parse(bytes: &[u8]) -> Result<Delivery, DeliveryError> {
    let Value::Object(document) = json::parse(bytes, DOCUMENT_BYTES_MAX)? else {
        return Err(DeliveryError::NoObject);
    };
    if let Some(unknown) = document.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let help = match nearest(unknown, KEYS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("a delivery has `{}`", KEYS.join("`, `")),
        };
        return Err(DeliveryError::with_help(&shown(unknown), "is no key of a delivery", help));
    }
    let required = |key: &str| {
        text(&document, key)?.map(str::to_owned).ok_or_else(|| DeliveryError::at(key, "is missing"))
    };
    checked(Delivery {
        id: required("id")?,
        method: required("method")?,
        path: required("path")?,
        query: text(&document, "query")?.unwrap_or_default().to_owned(),
        headers: headers(&document)?,
        body: body(&document)?,
    })
}

fn text<'d>(document: &'d Map<String, Value>, key: &str) -> Result<Option<&'d str>, DeliveryError> {
    match document.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) if key == "body" => Err(DeliveryError::with_help(
            key,
            "is no text",
            "it is the body as it was sent, in quotes: `\"body\": \"{\\\"id\\\": 1}\"`; bytes that are no text are `body-base64`",
        )),
        Some(_) => Err(DeliveryError::at(key, "is no text")),
    }
}

fn headers(document: &Map<String, Value>) -> Result<Vec<(String, Vec<u8>)>, DeliveryError> {
    let wrong = |key: &str| {
        let help = "a list of pairs: `\"headers\": [[\"content-type\", \"application/json\"]]`";
        DeliveryError::with_help(key, "is no list of pairs of texts", help)
    };
    let pairs = match document.get("headers") {
        None => return Ok(Vec::new()),
        Some(Value::Array(pairs)) => pairs,
        Some(_) => return Err(wrong("headers")),
    };
    let pair = |(at, pair): (usize, &Value)| match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(name), Value::String(value)]) => Ok((name.clone(), value.clone().into_bytes())),
        _ => Err(wrong(&format!("headers/{at}"))),
    };
    pairs.iter().enumerate().map(pair).collect()
}

fn body(document: &Map<String, Value>) -> Result<Vec<u8>, DeliveryError> {
    match (text(document, "body")?, text(document, "body-base64")?) {
        (Some(_), Some(_)) => {
            Err(DeliveryError::at("body-base64", "stands beside `body`: a delivery has one"))
        }
        (Some(text), None) => Ok(text.as_bytes().to_vec()),
        (None, Some(text)) => {
            let why = "is not base64 with padding (RFC 4648, section 4)";
            STANDARD.decode(text).map_err(|_| DeliveryError::at("body-base64", why))
        }
        (None, None) => Ok(Vec::new()),
    }
}

/// What a request of HTTP can hold, within bounds. Names of headers become lower-case: they are the same.
pub fn checked(mut delivery: Delivery) -> Result<Delivery, DeliveryError> {
    let id = &delivery.id;
    if id.is_empty() || id.len() > ID_BYTES_MAX || id.trim() != id || id.contains(is_hidden) {
        let problem = format!("has to be 1 to {ID_BYTES_MAX} bytes of visible text, no space at either end");
        return Err(DeliveryError::at("id", problem));
    }
    let method = &delivery.method;
    if !(1..=METHOD_BYTES_MAX).contains(&method.len())
        || !method.bytes().all(|byte| byte.is_ascii_uppercase())
    {
        return Err(DeliveryError::with_help("method", "is no method", "in capitals: `POST`"));
    }
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let path = &delivery.path;
    if !path.starts_with('/') || !visible(path) || path.contains('?') || path.len() > TARGET_BYTES_MAX {
        let problem = format!("is no path: `/`, then visible ASCII, at most {TARGET_BYTES_MAX} bytes");
        return Err(DeliveryError::with_help("path", problem, "what follows a `?` is `query`"));
    }
    let query = &delivery.query;
    if query.starts_with('?') || !visible(query) || query.len() > TARGET_BYTES_MAX {
        let problem = format!("is no query: visible ASCII, at most {TARGET_BYTES_MAX} bytes");
        return Err(DeliveryError::with_help("query", problem, "without its `?`: `a=1&b=2`"));
    }
    let bytes: usize = delivery.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if delivery.headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        let problem = format!("has more than {HEADERS_MAX} fields, or {HEADER_BYTES_MAX} bytes");
        return Err(DeliveryError::at("headers", problem));
    }
    for (at, (name, value)) in delivery.headers.iter_mut().enumerate() {
        let key = format!("headers/{at}");
        *name = match http::HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => name.as_str().to_owned(),
            Err(_) => return Err(DeliveryError::at(&key, "has a name that HTTP has not")),
        };
        if http::HeaderValue::from_bytes(value).is_err() {
            return Err(DeliveryError::at(&key, "has a value that HTTP can't carry: a control character"));
        }
    }
    if delivery.body.len() > DELIVERY_BODY_BYTES_MAX {
        let problem = format!("has more than {DELIVERY_BODY_BYTES_MAX} bytes");
        return Err(DeliveryError::at("body", problem));
    }
    Ok(delivery)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_delivery_is_read_as_it_was_sent() {
        let delivery = parse(
            br#"{"id":"d1","method":"POST","path":"/hooks/a%2Fb","query":"a=1&b","headers":[["X-Topic","\u00e9"],["x-topic","2"]],
                 "body":"{\"n\": 1.10}\n"}"#,
        );
        let headers =
            vec![("x-topic".to_owned(), "é".as_bytes().to_vec()), ("x-topic".to_owned(), b"2".to_vec())];
        assert_eq!(
            delivery.unwrap(),
            Delivery {
                id: "d1".to_owned(),
                method: "POST".to_owned(),
                path: "/hooks/a%2Fb".to_owned(),
                query: "a=1&b".to_owned(),
                headers,
                body: b"{\"n\": 1.10}\n".to_vec(),
            }
        );
        let bare = parse(br#"{"id":"d","method":"GET","path":"/","body-base64":"/wA="}"#).unwrap();
        assert_eq!((bare.query.as_str(), bare.headers.len(), bare.body), ("", 0, vec![255, 0]));
    }

    /// (what is in place of `"body":"x"`, what is said, what helps)
    #[test]
    fn what_is_no_delivery_is_refused() {
        let check = |rest: &str, said: &str, help: &str| {
            let text = format!(r#"{{"id":"d1","method":"POST","path":"/h",{rest}}}"#);
            let error = parse(text.as_bytes()).unwrap_err();
            let all = format!("{error} {}", error.help().unwrap_or_default());
            assert!(error.to_string().contains(said) && all.contains(help), "{rest}: {all}");
        };
        check(r#""haeders":[]"#, "`haeders` is no key", "did you mean `headers`?");
        check(r#""zzz":1"#, "`zzz` is no key", "`body-base64`");
        check(r#""body":{"id":1}"#, "`body` is no text", "in quotes");
        check(r#""query":7"#, "`query` is no text", "");
        check(r#""query":"?a=1""#, "`query` is no query", "without its `?`");
        check(r#""body":"","body-base64":"""#, "stands beside `body`", "");
        check(r#""body-base64":"a""#, "`body-base64` is not base64", "");
        check(r#""body":"a","body":"b""#, "one key twice", "");
        check(r#""body":"a","\u0062ody":"b""#, "one key twice", "");
        check(r#""headers":{"a":"b"}"#, "`headers` is no list", "[[\"content-type\"");
        check(r#""headers":[["a","b"],["a"]]"#, "`headers/1` is no list", "");
        check(r#""headers":[["a",1]]"#, "`headers/0` is no list", "");
        check(r#""headers":[["a b","c"]]"#, "`headers/0` has a name", "");
        check(r#""headers":[["a","b\r\nx: y"]]"#, "`headers/0` has a value", "");
        let many = vec![r#"["a","b"]"#; HEADERS_MAX + 1].join(",");
        check(&format!(r#""headers":[{many}]"#), "more than 100 fields", "");
        let long = "x".repeat(HEADER_BYTES_MAX);
        check(&format!(r#""headers":[["a","{long}"]]"#), "65536 bytes", "");
        let long = "x".repeat(DELIVERY_BODY_BYTES_MAX + 1);
        check(&format!(r#""body":"{long}""#), "`body` has more than 8388608 bytes", "");
        for (text, said) in [
            ("[]", "no JSON object"),
            ("{", "not JSON"),
            (r#"{"method":"POST","path":"/"}"#, "`id` is missing"),
            (r#"{"id":"","method":"POST","path":"/"}"#, "`id` has to be"),
            (r#"{"id":"a\nb","method":"POST","path":"/"}"#, "`id` has to be"),
            (r#"{"id":"a","method":"post","path":"/"}"#, "`method` is no method"),
            (r#"{"id":"a","method":"","path":"/"}"#, "`method` is no method"),
            (r#"{"id":"a","method":"POST","path":"h"}"#, "`path` is no path"),
            (r#"{"id":"a","method":"POST","path":"/h?a=1"}"#, "`path` is no path"),
            (r#"{"id":"a","method":"POST","path":"/h h"}"#, "`path` is no path"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let large = vec![b' '; DOCUMENT_BYTES_MAX + 1];
        assert_eq!(parse(&large), Err(DeliveryError::Json(JsonError::TooLarge(DOCUMENT_BYTES_MAX))));
    }
}
