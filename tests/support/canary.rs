//! A secret that is looked for in every sink, in every encoding in which a vendor may give it back.

use crate::vendor::contains;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt::Write as _;

/// Holds what each encoding changes, and stands nowhere else.
pub const CANARY: &str = "sk_live_c4N/rY+7=zq~81&vx?Kd%Lm";

/// The canary as each encoding writes it; of base64 the parts that no neighbour can change.
pub fn needles() -> Vec<(String, Vec<u8>)> {
    let bytes = CANARY.as_bytes();
    let mut needles = vec![("plain".to_owned(), bytes.to_vec())];
    for offset in 0..3_usize {
        let text = STANDARD.encode([&[0_u8; 2][..offset], bytes].concat());
        let from = (offset * 8).div_ceil(6);
        let to = (offset + bytes.len()) * 8 / 6;
        needles.push((format!("base64 at {offset}"), text.as_bytes()[from..to].to_vec()));
        let url = text[from..to].replace('+', "-").replace('/', "_");
        needles.push((format!("base64url at {offset}"), url.into_bytes()));
    }
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    needles.push(("HEX".to_owned(), hex.to_uppercase().into_bytes()));
    needles.push(("hex".to_owned(), hex.into_bytes()));
    let percent = |all: bool| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            if !all && (byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
                text.push(char::from(*byte));
            } else {
                write!(text, "%{byte:02X}").unwrap();
            }
            text
        })
    };
    needles.push(("percent".to_owned(), percent(false).into_bytes()));
    needles.push((
        "percent, lower".to_owned(),
        percent(false)
            .replace("%2F", "%2f")
            .replace("%2B", "%2b")
            .replace("%3D", "%3d")
            .replace("%3F", "%3f")
            .into_bytes(),
    ));
    needles.push(("percent, all".to_owned(), percent(true).into_bytes()));
    // What libraries escape of a text differs: some of its characters, each in its own way.
    for (name, escapes) in [
        ("percent but for `/`", &[("+", "%2B"), ("=", "%3D"), ("&", "%26"), ("?", "%3F"), ("%", "%25")][..]),
        ("percent but for `+=&`", &[("/", "%2F"), ("?", "%3F"), ("%", "%25")]),
        ("JSON of .NET", &[("+", "\\u002B"), ("&", "\\u0026")]),
        ("JSON of PHP", &[("/", "\\/"), ("&", "\\u0026")]),
        ("HTML of Go", &[("+", "&#43;"), ("&", "&amp;")]),
        ("HTML of mustache", &[("&", "&amp;"), ("/", "&#x2F;"), ("=", "&#x3D;")]),
        (
            "percent, twice",
            &[("%", "%2525"), ("/", "%252F"), ("+", "%252B"), ("=", "%253D"), ("&", "%2526"), ("?", "%253F")],
        ),
    ] {
        let escaped: String = CANARY
            .chars()
            .map(|c| {
                let found = escapes.iter().find(|(plain, _)| plain.starts_with(c));
                found.map_or_else(|| c.to_string(), |(_, escape)| (*escape).to_owned())
            })
            .collect();
        needles.push((name.to_owned(), escaped.into_bytes()));
    }
    needles
}

/// No encoding of the canary stands in these bytes.
#[track_caller]
pub fn clean(sink: &str, bytes: &[u8]) {
    for (encoding, needle) in needles() {
        assert!(
            !contains(bytes, &needle),
            "the canary in {encoding} stands in {sink}:\n{}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(2000)])
        );
    }
}
