//! Text that is inert wherever it is printed, and its shortening.
//!
//! Owns the list of characters that a terminal, a log line or a reader's eye obeys: controls, line and paragraph
//! separators, bidirectional and invisible format characters (Unicode TR 36). Each becomes its `\uXXXX`.

use std::fmt::Write;

/// Appends `text`, its active characters escaped.
pub(super) fn push_inert(out: &mut String, text: &str) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        out.push_str(text);
        return;
    }
    for character in text.chars() {
        push_char(out, character);
    }
}

/// Appends one character.
pub(super) fn push_char(out: &mut String, character: char) {
    if !is_active(character) {
        out.push(character);
        return;
    }
    let mut units = [0; 2];
    for unit in character.encode_utf16(&mut units) {
        // Writing to a `String` cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

fn is_active(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The first `bytes_max` bytes as text; what is not UTF-8 is replaced.
pub(super) fn prefix(bytes: &[u8], bytes_max: usize) -> String {
    let cut = bytes.len().min(bytes_max.saturating_add(1));
    String::from_utf8_lossy(&bytes[..cut]).into_owned()
}

/// At most `bytes_max` bytes, with `…` where something was cut off.
pub(super) fn shorten(mut text: String, bytes_max: usize) -> String {
    const CUT: &str = "…";
    if text.len() > bytes_max {
        let mut end = bytes_max.saturating_sub(CUT.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(CUT);
    }
    text
}
