//! What is signed, as a text with placeholders: `{timestamp}.{body}`. A brace is a placeholder's, and nothing else.
use super::Part;
use std::fmt;

/// Why a text is no such template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{` without `}`, or the other way round.
    #[error("a `{{` or `}}` that belongs to no placeholder")]
    Brace,
    /// No such placeholder.
    #[error(
        "`{{{0}}}` is no placeholder; they are `{{body}}`, `{{timestamp}}`, `{{url}}`, `{{method}}` and `{{header.NAME}}`"
    )]
    Unknown(String),
}

pub(super) fn read(text: &str) -> Result<Vec<Part>, TemplateError> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        let (before, found) = rest.split_at(at);
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let (name, after) =
            found.strip_prefix('{').and_then(|inside| inside.split_once('}')).ok_or(TemplateError::Brace)?;
        parts.push(match (name, name.strip_prefix("header.")) {
            ("body", _) => Part::Body,
            ("timestamp", _) => Part::Timestamp,
            ("url", _) => Part::Url,
            ("method", _) => Part::Method,
            (_, Some(header)) => Part::Header(header.to_ascii_lowercase()),
            _ => return Err(TemplateError::Unknown(crate::diagnose::shown(name))),
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

pub(super) fn print(part: &Part, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(match part {
        Part::Text(text) => text,
        Part::Method => "{method}",
        Part::Url => "{url}",
        Part::DecodedUrl => "{decoded url}",
        Part::Body => "{body}",
        Part::Form => "{sorted form}",
        Part::Timestamp => "{timestamp}",
        Part::Header(name) => return write!(f, "{{header.{name}}}"),
    })
}
