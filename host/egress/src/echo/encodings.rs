//! The encodings in which a secret is looked for: plain; base64 in both alphabets at three offsets, as it is,
//! with `\/`, and percent-encoded; percent-encoding, minimal in four dialects and of every byte; hexadecimal;
//! JSON escapes, minimal in four dialects and of every character; HTML entities.
//!
//! Base64 with or without padding is one case: the last, partial character is masked with the rest. RFC 4648,
//! RFC 3986 §2.1, RFC 8259 §7, WHATWG URL (form encoding).

use crate::limits;
use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{GeneralPurpose, general_purpose::NO_PAD},
};
use portcullis_secrets::Secret;

/// One encoding of one secret.
pub(super) struct Needle {
    bytes: Secret,
    /// Letters of either case match: hexadecimal digits.
    any_case: bool,
    /// Base64: the characters beside it carry some bits of the secret.
    left: bool,
    right: bool,
}

impl Needle {
    fn exact(bytes: Vec<u8>) -> Self {
        Self { bytes: Secret::new(bytes), any_case: false, left: false, right: false }
    }

    fn any_case(bytes: Vec<u8>) -> Self {
        Self { any_case: true, ..Self::exact(bytes) }
    }

    /// What the automaton looks for: the first bytes, in all cases that can occur.
    pub(super) fn fragments(&self) -> Vec<Vec<u8>> {
        let bytes = self.bytes.expose();
        if !self.any_case {
            return vec![bytes[..bytes.len().min(limits::ECHO_FRAGMENT_BYTES_MAX)].to_vec()];
        }
        // Each digit above 9 doubles the list, so the fragment ends before the third.
        let is_letter = |byte: &u8| matches!(byte, b'a'..=b'f');
        let mut letters = 0;
        let mut fragments = vec![Vec::new()];
        for byte in bytes.iter().take(limits::ECHO_FRAGMENT_BYTES_MAX) {
            letters += usize::from(is_letter(byte));
            if letters > 2 && fragments[0].len() >= 3 || letters > 5 {
                break;
            }
            if is_letter(byte) {
                let mut upper = fragments.clone();
                upper.iter_mut().for_each(|fragment| fragment.push(byte.to_ascii_uppercase()));
                fragments.iter_mut().for_each(|fragment| fragment.push(*byte));
                fragments.append(&mut upper);
            } else {
                fragments.iter_mut().for_each(|fragment| fragment.push(*byte));
            }
        }
        fragments
    }

    /// Bytes compared, and the place to mask if the needle lies at `at`.
    pub(super) fn matches_at(&self, haystack: &[u8], at: usize) -> (u64, Option<(usize, usize)>) {
        let needle = self.bytes.expose();
        let Some(found) = haystack.get(at..at + needle.len()) else { return (1, None) };
        let fold = |byte: &u8| if self.any_case { byte.to_ascii_lowercase() } else { *byte };
        let same = found.iter().zip(needle).take_while(|(found, needle)| fold(found) == **needle).count();
        if same < needle.len() {
            return (same as u64 + 1, None);
        }
        let is_base64 = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_'))
        };
        let (mut start, mut end) = (at, at + needle.len());
        if self.left && start > 0 && is_base64(haystack.get(start - 1)) {
            start -= 1;
        }
        if self.right && is_base64(haystack.get(end)) {
            end += 1;
        }
        (same as u64, Some((start, end)))
    }
}

/// Adds the encodings of `secret`, each once.
pub(super) fn of(secret: &[u8], needles: &mut Vec<Needle>) {
    if secret.is_empty() {
        return;
    }
    push(needles, Needle::exact(secret.to_vec()));
    if secret.len() < limits::ENCODED_SECRET_BYTES_MIN {
        return;
    }
    base64_of(secret, needles);
    percent_of(secret, needles);
    json_of(secret, needles);
    push(needles, Needle::exact(html(secret)));
    push(needles, Needle::any_case(secret.iter().flat_map(|byte| hex(*byte)).collect()));
}

fn push(needles: &mut Vec<Needle>, needle: Needle) {
    let known = needles.iter().any(|other| {
        other.bytes.expose() == needle.bytes.expose()
            && (other.any_case, other.left, other.right) == (needle.any_case, needle.left, needle.right)
    });
    if !known {
        needles.push(needle);
    }
}

/// A secret inside a longer text starts at one of three places in a group of four characters. What depends on
/// the neighbours is cut off here and masked when found.
fn base64_of(secret: &[u8], needles: &mut Vec<Needle>) {
    for (alphabet, standard) in [(&STANDARD, true), (&URL_SAFE, false)] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        for offset in 0..3usize {
            let mut padded = vec![0; offset];
            padded.extend_from_slice(secret);
            let text = engine.encode(&padded).into_bytes();
            let bits = padded.len() * 8;
            let from = [0, 2, 3][offset];
            let core = &text[from..bits / 6];
            let edges = (offset > 0, bits % 6 != 0);
            let add = |needles: &mut Vec<Needle>, bytes: Vec<u8>| {
                push(needles, Needle { left: edges.0, right: edges.1, ..Needle::exact(bytes) });
            };
            add(needles, core.to_vec());
            if standard && core.iter().any(|byte| matches!(byte, b'+' | b'/')) {
                add(needles, replace(core, |byte| (byte == b'/').then(|| b"\\/".to_vec())));
                for escape in [percent_upper, percent_lower] {
                    add(needles, replace(core, |byte| matches!(byte, b'+' | b'/').then(|| escape(byte))));
                }
            }
        }
    }
}

fn percent_of(secret: &[u8], needles: &mut Vec<Needle>) {
    push(needles, Needle::any_case(secret.iter().flat_map(|byte| percent_lower(*byte)).collect()));
    // RFC 3986 unreserved; encodeURIComponent; encodeURI; form encoding, which writes a space as `+`.
    let dialects: [(&[u8], bool); 5] = [
        (b"-._~", false),
        (b"-._~!'()*", false),
        (b"-._~!'()*;/?:@&=+$,#", false),
        (b"-._*", true),
        (b"-._~", true),
    ];
    for (kept, plus) in dialects {
        for escape in [percent_upper, percent_lower] {
            let text = replace(secret, |byte| match byte {
                b' ' if plus => Some(b"+".to_vec()),
                _ if byte.is_ascii_alphanumeric() || kept.contains(&byte) => None,
                _ => Some(escape(byte)),
            });
            push(needles, Needle::exact(text));
        }
    }
}

fn json_of(secret: &[u8], needles: &mut Vec<Needle>) {
    let text = std::str::from_utf8(secret).ok();
    // Every character: UTF-16 units of text, bytes of what is none.
    let units: Vec<u16> = match text {
        Some(text) => text.encode_utf16().collect(),
        None => secret.iter().map(|byte| u16::from(*byte)).collect(),
    };
    push(needles, Needle::any_case(units.iter().flat_map(|unit| unicode(*unit)).collect()));
    let Some(text) = text else { return };
    // As serde_json, PHP (`\/`), Go (`\u003c`) and Python (`\u00e9`) write it.
    for (slash, markup, ascii) in [
        (false, false, false),
        (true, false, false),
        (false, true, false),
        (false, false, true),
        (true, false, true),
    ] {
        let mut lower = Vec::new();
        for character in text.chars() {
            let short = match character {
                '"' => Some(&br#"\""#[..]),
                '\\' => Some(&br"\\"[..]),
                '\n' => Some(&br"\n"[..]),
                '\r' => Some(&br"\r"[..]),
                '\t' => Some(&br"\t"[..]),
                '\u{8}' => Some(&br"\b"[..]),
                '\u{c}' => Some(&br"\f"[..]),
                '/' if slash => Some(&br"\/"[..]),
                _ => None,
            };
            let escaped = character < ' '
                || (markup && matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'))
                || (ascii && !character.is_ascii());
            match short {
                Some(short) => lower.extend_from_slice(short),
                None if escaped => {
                    let mut units = [0; 2];
                    lower.extend(character.encode_utf16(&mut units).iter().flat_map(|unit| unicode(*unit)));
                }
                None => lower.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        push(needles, Needle::exact(upper_escapes(&lower)));
        push(needles, Needle::exact(lower));
    }
}

/// `\u00e9` as `\u00E9`.
fn upper_escapes(text: &[u8]) -> Vec<u8> {
    let mut upper = text.to_vec();
    let mut at = 0;
    while at + 1 < upper.len() {
        if upper[at] != b'\\' {
            at += 1;
        } else if upper[at + 1] == b'u' {
            let end = (at + 6).min(upper.len());
            upper[at + 2..end].make_ascii_uppercase();
            at = end;
        } else {
            at += 2;
        }
    }
    upper
}

fn html(secret: &[u8]) -> Vec<u8> {
    replace(secret, |byte| {
        let entity: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'"' => b"&quot;",
            b'\'' => b"&#39;",
            _ => return None,
        };
        Some(entity.to_vec())
    })
}

fn replace(bytes: &[u8], with: impl Fn(u8) -> Option<Vec<u8>>) -> Vec<u8> {
    bytes.iter().flat_map(|byte| with(*byte).unwrap_or_else(|| vec![*byte])).collect()
}

fn hex(byte: u8) -> [u8; 2] {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

fn percent_lower(byte: u8) -> Vec<u8> {
    let [high, low] = hex(byte);
    vec![b'%', high, low]
}

fn percent_upper(byte: u8) -> Vec<u8> {
    percent_lower(byte).to_ascii_uppercase()
}

fn unicode(unit: u16) -> [u8; 6] {
    let ([a, b], [c, d]) = (hex((unit >> 8) as u8), hex((unit & 255) as u8));
    [b'\\', b'u', a, b, c, d]
}
