//! The encodings in which a secret is looked for: plain, with `+` for a space (WHATWG URL, form encoding) and as UTF-8 of
//! its bytes where it is no UTF-8; base64 in both alphabets at three offsets (RFC 4648); hexadecimal. Escapes are none of
//! these: `unescape` takes them off, in whichever of its dialects an encoder wrote them.
//!
//! Base64 with or without padding is one case: the last, partial character is masked with the rest.

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
    /// Too short to be looked for behind escapes.
    plain_only: bool,
}

impl Needle {
    fn exact(bytes: Vec<u8>) -> Self {
        Self { bytes: Secret::new(bytes), any_case: false, left: false, right: false, plain_only: false }
    }

    fn any_case(bytes: Vec<u8>) -> Self {
        Self { any_case: true, ..Self::exact(bytes) }
    }

    /// The same in letters of either case; a short one is found in too much so, and stays as it is.
    pub(super) fn folded(&self) -> Self {
        let bytes = self.bytes.expose();
        let bytes = if self.plain_only { bytes.to_vec() } else { bytes.to_ascii_lowercase() };
        Self { bytes: Secret::new(bytes), any_case: !self.plain_only, ..*self }
    }

    /// Its first bytes.
    pub(super) fn beginning(&self) -> &[u8] {
        let bytes = self.bytes.expose();
        &bytes[..bytes.len().min(limits::ECHO_FRAGMENT_BYTES_MAX)]
    }

    pub(super) fn is_longer_than(&self, length: usize) -> bool {
        self.bytes.expose().len() > length
    }

    /// What the automaton looks for: the first bytes, in all cases that can occur.
    pub(super) fn fragments(&self) -> Vec<Vec<u8>> {
        if !self.any_case {
            return vec![self.beginning().to_vec()];
        }
        let bytes = self.bytes.expose();
        // Each digit above 9 doubles the list, so the fragment ends before the third.
        let is_letter = |byte: &u8| matches!(byte, b'a'..=b'f');
        let mut letters = 0;
        let mut fragments = vec![Vec::new()];
        for byte in bytes.iter().take(limits::ECHO_FRAGMENT_BYTES_MAX) {
            letters += usize::from(is_letter(byte));
            if letters > 2 && fragments[0].len() >= 3 {
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

    /// Whether it is looked for in the body as it stands alone.
    pub(super) fn is_plain_only(&self) -> bool {
        self.plain_only
    }

    /// Its bytes, and those on either side that may be masked with it.
    pub(super) fn reach(&self) -> usize {
        self.bytes.expose().len() + 2
    }

    /// Where at the end of `bytes` it may begin; their length where it can't. Whole ones that the next byte may make
    /// longer count, and the byte before one that begins beyond the end.
    pub(super) fn may_begin_at(&self, bytes: &[u8], compared_max: usize) -> usize {
        let needle = self.bytes.expose();
        let longest = (needle.len() - usize::from(!self.right)).min(bytes.len());
        let fold = |byte: &u8| if self.any_case { byte.to_ascii_lowercase() } else { *byte };
        let begins = |length: &usize| {
            let end = &bytes[bytes.len() - length..];
            needle.len() > compared_max
                || end.iter().zip(needle).all(|(found, needle)| fold(found) == *needle)
        };
        let at = (1..=longest).rev().find(begins).map_or(bytes.len(), |length| bytes.len() - length);
        let beside = at.checked_sub(1).filter(|beside| self.left && is_base64(bytes.get(*beside)));
        beside.unwrap_or(at)
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

fn is_base64(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_'))
}

/// Adds the encodings of `secret`, each once.
pub(super) fn of(secret: &[u8], needles: &mut Vec<Needle>) {
    if secret.is_empty() {
        return;
    }
    let plain_only = secret.len() < limits::ENCODED_SECRET_BYTES_MIN;
    push(needles, Needle { plain_only, ..Needle::exact(secret.to_vec()) });
    if plain_only {
        return;
    }
    if secret.contains(&b' ') {
        push(needles, Needle::exact(replace(secret, |byte| (byte == b' ').then(|| b"+".to_vec()))));
    }
    if std::str::from_utf8(secret).is_err() {
        let text: String = secret.iter().map(|byte| char::from(*byte)).collect();
        push(needles, Needle::exact(text.into_bytes()));
    }
    base64_of(secret, needles);
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
    for alphabet in [&STANDARD, &URL_SAFE] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        for offset in 0..3usize {
            let mut padded = vec![0; offset];
            padded.extend_from_slice(secret);
            let text = engine.encode(&padded).into_bytes();
            let bits = padded.len() * 8;
            let from = [0, 2, 3][offset];
            let core = &text[from..bits / 6];
            let edges = (offset > 0, bits % 6 != 0);
            push(needles, Needle { left: edges.0, right: edges.1, ..Needle::exact(core.to_vec()) });
        }
    }
}

fn replace(bytes: &[u8], with: impl Fn(u8) -> Option<Vec<u8>>) -> Vec<u8> {
    bytes.iter().flat_map(|byte| with(*byte).unwrap_or_else(|| vec![*byte])).collect()
}

fn hex(byte: u8) -> [u8; 2] {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}
