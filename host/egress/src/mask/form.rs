//! Form bodies and queries (WHATWG URL §5.1): pairs whose name, or a part of it, is sensitive.
//!
//! `customer[email]` and `customer.email` are both about `email`. Refuses what no form encoder writes, because
//! JSON or text read as a form would be one long name that nobody masks.

use super::{MASK, text};
use std::collections::HashSet;

/// None where `body` is no form body.
pub(super) fn mask(body: &[u8], names: &HashSet<String>) -> Option<String> {
    let body = std::str::from_utf8(body).ok().filter(|body| body.bytes().all(is_form_byte))?;
    let mut shown = String::with_capacity(body.len());
    for (at, pair) in body.split('&').enumerate() {
        if at > 0 {
            shown.push('&');
        }
        match pair.split_once('=') {
            Some((name, _)) if is_sensitive(name, names) => {
                shown.push_str(name);
                shown.push('=');
                shown.push_str(MASK);
            }
            _ => text::push_inert(&mut shown, pair),
        }
    }
    Some(shown)
}

/// Whether a part of an encoded name is one of `names`.
pub(super) fn is_sensitive(name: &str, names: &HashSet<String>) -> bool {
    if names.is_empty() {
        return false;
    }
    let name = decode(name);
    names.contains(&name)
        || name.split(['[', ']', '.']).any(|part| !part.is_empty() && names.contains(part.trim()))
}

fn decode(name: &str) -> String {
    let spaced = name.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().to_ascii_lowercase()
}

fn is_form_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"*-._+%&=~[]!$'(),:;@/?".contains(&byte)
}
