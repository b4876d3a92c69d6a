//! Percent-encoding (RFC 3986) of queries, path segments and forms. Everything but unreserved characters is encoded, which
//! every reader of queries and forms understands.

use crate::{Error, Result, json};
use serde::Serialize;
use serde_json::Value;

/// One segment of a path, encoded: an id that holds `/`, `?` or `..` can't leave its place.
///
/// ```
/// # use portcullis_sdk::http::segment;
/// assert_eq!(format!("https://a.example/v1/customers/{}", segment("a/b?c")), "https://a.example/v1/customers/a%2Fb%3Fc");
/// ```
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    if text == "." || text == ".." {
        // Encoded or not, a dot segment is one. The host refuses both; what is certain is that it is never followed.
        return text.replace('.', "%2E");
    }
    push(&mut out, text);
    out
}

/// Appends `name=value` to a query or form.
pub(super) fn push_pair(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push('&');
    }
    push(out, name);
    out.push('=');
    push(out, value);
}

fn push(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// `url` with `query` added to the one it has; before a fragment.
pub(super) fn with_query(mut url: String, query: &str) -> String {
    if query.is_empty() {
        return url;
    }
    let at = url.find('#').unwrap_or(url.len());
    let separator = match url[..at].split_once('?') {
        None => "?",
        Some((_, have)) if have.is_empty() || have.ends_with('&') => "",
        Some(_) => "&",
    };
    url.insert_str(at, query);
    url.insert_str(at, separator);
    url
}

/// Bracket keys, as PHP, Rails and Stripe read them.
pub(super) fn form_nested(value: &(impl Serialize + ?Sized)) -> Result<String> {
    let value: Value = serde_json::to_value(value)
        .map_err(|error| Error::internal(format!("a value that is no JSON: {error}")))?;
    let Value::Object(fields) = value else { return Err(Error::internal("only an object can be a form")) };
    let mut out = String::new();
    for (name, value) in &fields {
        push_nested(&mut out, name, value)?;
    }
    Ok(out)
}

fn push_nested(out: &mut String, name: &str, value: &Value) -> Result<()> {
    match value {
        Value::Null => {}
        Value::String(text) => push_pair(out, name, text),
        Value::Number(number) => {
            let written = number.to_string();
            push_pair(out, name, integer(&written).as_deref().unwrap_or(&written));
        }
        Value::Bool(_) => push_pair(out, name, &json::to_string(value)?),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                push_nested(out, &format!("{name}[{at}]"), item)?;
            }
        }
        Value::Object(fields) => {
            for (field, value) in fields {
                push_nested(out, &format!("{name}[{field}]"), value)?;
            }
        }
    }
    Ok(())
}

/// The digits of a whole number, however it was written: `1e3` and `1000.0` are integers to JSON Schema, and to no reader
/// of forms. None for a fraction, and above 2^53, up to where every reader of JSON agrees on the integer.
fn integer(written: &str) -> Option<String> {
    const INTEGER_MAX: u64 = 1 << 53;
    let (sign, rest) = match written.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", written),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let power = exponent.parse::<i32>().ok()? as i64 + zeros as i64 - fraction.len() as i64;
    let power = usize::try_from(power).ok().filter(|power| *power <= 16)?;
    let integer: u64 = format!("{significant}{}", "0".repeat(power)).parse().ok()?;
    (integer <= INTEGER_MAX).then(|| format!("{sign}{integer}"))
}
