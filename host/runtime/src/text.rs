//! Texts of guests and of the compile child as messages may show them: bounded, controls escaped.

use portcullis_manifest::diagnose::is_hidden;

/// Shortens to `bytes_max` at a character, and escapes what could steer a terminal.
pub(crate) fn shown(text: &str, bytes_max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes_max));
    for character in text.chars() {
        if out.len() >= bytes_max {
            out.push('…');
            break;
        }
        if is_hidden(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// The longest prefix of at most `bytes_max` bytes that ends at a character.
pub(crate) fn prefix(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max.min(text.len()))]
}

/// What a panic left on stderr, on one line: where and why. Which of the guest's threads it was says nothing, it has one.
pub(crate) fn panic_message(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let mut message = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("note: ")) {
        if !message.is_empty() {
            message.push_str(if message.ends_with(':') { " " } else { "; " });
        }
        let place = line.starts_with("thread '").then(|| line.split_once(" panicked at ")).flatten();
        message.push_str(place.map_or(line, |(_, place)| place));
    }
    if message.is_empty() {
        "`unreachable` was executed".to_owned()
    } else {
        shown(&message, stderr.len() * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_shortens() {
        assert_eq!(shown("a\u{1b}[31m\n\u{202e}b", 100), "a\\u{1b}[31m\\n\\u{202e}b");
        assert_eq!(shown("äöü", 3), "äö…");
        assert_eq!(prefix("äöü", 3), "ä");
    }

    #[test]
    fn a_panic_is_one_line() {
        let stderr = b"\nthread '<unnamed>' (1) panicked at src/lib.rs:1:2:\nboom\nnote: run with `RUST_BACKTRACE=1`\n";
        assert_eq!(panic_message(stderr), "src/lib.rs:1:2: boom");
        assert_eq!(panic_message(b"no thread ' panicked at x"), "no thread ' panicked at x");
        assert_eq!(panic_message(b""), "`unreachable` was executed");
    }
}
