//! What is wrong in a document, where, and what to write instead; and the strict TOML reader that finds it
//! (used for `connector.toml`, `portcullis.lock` and, by the binary, `portcullis.toml`). A value that may be a
//! pasted secret is masked in the excerpt too.
use std::path::PathBuf;

mod depth;
mod document;
mod parts;
mod private;
mod table;
mod units;

pub use document::{Document, Kind, Spanned};
pub use table::Table;
pub use units::{UnitError, parse_bytes, parse_duration, print_bytes, print_duration};

/// One fault in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: PathBuf,
    /// Where, if it is known.
    pub location: Option<Location>,
    /// What is wrong, with the value: one line.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// A place in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The document's text (for the underlined excerpt).
    pub text: std::sync::Arc<str>,
    /// Byte range in it.
    pub span: std::ops::Range<usize>,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

impl Diagnostic {
    /// A fault of a file as a whole.
    pub fn of_file(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self { file: file.into(), location: None, message: message.into(), help: None }
    }

    /// The same fault with a remedy.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl std::fmt::Display for Diagnostic {
    /// `FILE:LINE:COLUMN: message`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&escaped(&self.file.display().to_string()))?;
        if let Some(location) = &self.location {
            write!(f, ":{}:{}", location.line, location.column)?;
        }
        write!(f, ": {}", self.message)
    }
}
impl std::error::Error for Diagnostic {}

impl Location {
    /// Line and column of a byte range; a range outside the text is clamped.
    pub fn new(text: std::sync::Arc<str>, span: std::ops::Range<usize>) -> Self {
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let end = span.end.clamp(start, text.len());
        let before = &text[..start];
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before[line_start..].chars().count() + 1;
        Self { text, span: start..end, line, column }
    }
}

/// The candidate that a person most likely meant by `word`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const SIMILARITY_MIN: f64 = 0.8;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// A value of a document as a message may show it: shortened, without what may be a pasted secret, controls and direction marks escaped.
pub fn shown(text: &str) -> String {
    let private = private::in_words(text);
    let mut out = String::new();
    for (count, (at, character)) in text.char_indices().enumerate() {
        if count == crate::limits::SHOWN_CHARACTERS_MAX {
            out.push('…');
            break;
        }
        if private.iter().any(|range| range.contains(&at)) {
            out.push('*');
        } else if is_hidden(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// A text without what may be a pasted secret: `*` in its place, each character one.
pub fn without_secrets(text: &str) -> String {
    let private = private::in_words(text);
    if private.is_empty() {
        return text.to_owned();
    }
    let hidden = |(at, c): (usize, char)| {
        if private.iter().any(|range| range.contains(&at)) && c != '\n' { '*' } else { c }
    };
    text.char_indices().map(hidden).collect()
}

/// A text on one line, whole: controls and direction marks escaped.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// What a terminal would obey or not show: a control, the end of a line, and every Default_Ignorable_Code_Point (Unicode 17,
/// DerivedCoreProperties), among them direction marks, variation selectors, fillers and tags; and what is blank beside the space.
pub fn is_hidden(c: char) -> bool {
    let ignorable = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    let marks = matches!(c, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{2800}' | '\u{fffc}' | '\u{13430}'..='\u{1343f}' | '\u{16fe4}' | '\u{1d159}');
    c.is_control() || ignorable || marks || (c.is_whitespace() && c != ' ')
}

#[cfg(test)]
mod tests;
