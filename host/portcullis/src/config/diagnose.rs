//! Renders a fault with the line of the document underlined. Long lines are cut around the place.
use crate::remedy;
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, MietteError, MietteSpanContents,
    Report, SourceCode, SourceSpan, SpanContents,
};
use portcullis_manifest::{Diagnostic, Location, diagnose::escaped};
use std::ops::Range;

/// Most of one line that is shown, in bytes.
const LINE_BYTES_MAX: usize = 160;
/// Of these so many before the place.
const BEFORE_BYTES_MAX: usize = 40;

/// The fault as a person reads it, without colour (a terminal's colours would not survive a pipe).
pub fn render(diagnostic: &Diagnostic) -> String {
    let mut shown = MietteDiagnostic::new(escaped(&remedy::unsecret(&diagnostic.to_string())));
    if let Some(help) = &diagnostic.help {
        shown = shown.with_help(remedy::pasteable(help));
    }
    let name = escaped(&diagnostic.file.display().to_string());
    let report = match &diagnostic.location {
        Some(location) => {
            let excerpt = Excerpt::of(location);
            shown = shown.with_label(LabeledSpan::underline((excerpt.span.start, excerpt.span.len().max(1))));
            Report::new(shown).with_source_code(Lines { name: name.clone(), text: excerpt.text })
        }
        None => Report::new(shown),
    };
    let mut text = String::new();
    // A command that is to be pasted is not cut in two.
    let is_whole =
        diagnostic.help.as_deref().is_some_and(|help| remedy::pasteable(help).contains(remedy::OPTION));
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(110)
        .with_wrap_lines(!is_whole);
    if handler.render_report(&mut text, report.as_ref()).is_err() {
        return format!("error: {diagnostic}");
    }
    if let Some(location) = &diagnostic.location {
        text = with_column(&text, &format!("[{name}:{}:", location.line), location.column);
    }
    format!("error:{}", text.trim_end())
}

/// The excerpt's head counts bytes, and from where the line was cut; the place has a column of the whole line, in characters.
fn with_column(text: &str, head: &str, column: usize) -> String {
    let Some((before, after)) = text.split_once(head) else { return text.to_owned() };
    let rest = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
    format!("{before}{head}{column}{rest}")
}

/// Shows the lines of a place, and none beside them: what stands there may be anything, and has its values hidden anyway.
struct Lines {
    name: String,
    text: String,
}

impl SourceCode for Lines {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _before: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let place = span.offset()..span.offset() + span.len();
        let (Some(before), Some(after)) =
            (self.text.get(..place.start), self.text.get(place.end.min(self.text.len())..))
        else {
            return Err(MietteError::OutOfBounds);
        };
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = self.text.len() - after.len() + after.find('\n').unwrap_or(after.len());
        let (line, lines) = (before.matches('\n').count(), self.text[start..end].lines().count());
        let data = &self.text.as_bytes()[start..end];
        let name = self.name.clone();
        Ok(Box::new(MietteSpanContents::new_named(name, data, (start, data.len()).into(), line, 0, lines)))
    }
}

/// A text with the lines around a place, no line of it long.
struct Excerpt {
    text: String,
    span: Range<usize>,
}

impl Excerpt {
    fn of(location: &Location) -> Self {
        let (mut text, mut span) = (String::new(), location.span.clone());
        let mut at = 0;
        for line in location.text.split_inclusive('\n') {
            let (begin, body) = (at, line.trim_end_matches(['\n', '\r']));
            at += line.len();
            let holds = (begin..=begin + body.len()).contains(&location.span.start);
            if !holds {
                text.push_str(clip(body, 0..LINE_BYTES_MAX));
            } else {
                let place = location.span.start - begin;
                let from =
                    if body.len() > LINE_BYTES_MAX { place.saturating_sub(BEFORE_BYTES_MAX) } else { 0 };
                let from = (0..=from).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0);
                let part = clip(body, from..from + LINE_BYTES_MAX);
                let start = text.len() + (place - from);
                let length = location.span.len().min(part.len().saturating_sub(place - from));
                span = start..start + length;
                text.push_str(part);
            }
            text.push_str(&line[body.len()..]);
        }
        Self { text, span }
    }
}

/// The part of a line within these bytes, whole characters alone.
fn clip(line: &str, wanted: Range<usize>) -> &str {
    let border =
        |at: usize| (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    &line[border(wanted.start)..border(wanted.end)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn lines_are_cut_around_the_place_and_no_character_in_two() {
        let long = "ä".repeat(3_000);
        for (before, after) in [(0, 0), (10, 0), (2_000, 0), (0, 2_000), (2_000, 2_000), (3_000, 1)] {
            for odd in ["", "x"] {
                let head = format!("{odd}{}", &long[..2 * before]);
                let line = format!("{head}FAULT{}", &long[..2 * after]);
                let text = format!("{long}\n{line}\r\n{long}");
                let start = long.len() + 1 + head.len();
                let location = Location::new(text.into(), start..start + 5);
                let excerpt = Excerpt::of(&location);
                assert_eq!(&excerpt.text[excerpt.span.clone()], "FAULT");
                assert!(excerpt.text.lines().all(|line| line.len() <= LINE_BYTES_MAX), "{}", excerpt.text);
                assert_eq!(excerpt.text.lines().count(), 3);
                let column = location.column;
                let file = PathBuf::from("x.toml");
                let fault =
                    Diagnostic { file, location: Some(location), message: "it".to_owned(), help: None };
                let shown = render(&fault);
                assert!(shown.contains(&format!("[x.toml:2:{column}]")), "{shown}");
            }
        }
    }

    #[test]
    fn a_place_of_many_lines_or_none_is_shown() {
        let text = format!("a = [\n{}]\n", "  1,\n".repeat(500));
        for span in [4..text.len() - 1, 0..0, text.len()..text.len()] {
            let location = Some(Location::new(text.as_str().into(), span));
            let file = PathBuf::from("x.toml");
            let shown = render(&Diagnostic { file, location, message: "it".to_owned(), help: None });
            assert!(shown.contains("x.toml:"), "{shown}");
        }
    }
}
