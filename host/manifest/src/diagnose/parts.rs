//! Where strings and comments stand in a TOML text, also one that does not parse: excerpts hide what is not at their place.
use std::ops::Range;

/// What stands between quotes, and what stands behind `#` to the end of its line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) strings: Vec<Range<usize>>,
    pub(super) comments: Vec<Range<usize>>,
}

/// Finds them. A string that has no end ends with its line, one of several lines with the text.
pub(super) fn of(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(['"', '\'', '#'])) {
        let start = at + found;
        let rest = &text[start..];
        at = if rest.starts_with('#') {
            let end = start + rest.find('\n').unwrap_or(rest.len());
            parts.comments.push(start + 1..end);
            end
        } else {
            let quote = if rest.starts_with('"') { '"' } else { '\'' };
            let string = string_at(rest, quote);
            parts.strings.push(start + string.start..start + string.end);
            start + string.end + string.start
        };
    }
    parts
}

/// The inside of the string that `rest` begins with; its closing quotes are as many as its opening ones.
fn string_at(rest: &str, quote: char) -> Range<usize> {
    let triple: String = [quote; 3].iter().collect();
    let (start, end, line) = match rest.starts_with(&triple) {
        true => (3, triple, rest.len()),
        false => (1, quote.to_string(), rest.find('\n').unwrap_or(rest.len())),
    };
    let mut at = start;
    while let Some(inside) = rest.get(at..line).filter(|inside| !inside.is_empty()) {
        if quote == '"' && inside.starts_with('\\') {
            at += 1 + inside[1..].chars().next().map_or(0, char::len_utf8);
        } else if inside.starts_with(&end) {
            return start..at;
        } else {
            at += inside.chars().next().map_or(1, char::len_utf8);
        }
    }
    start..line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_of_every_form() {
        let text = "a = \"x # \\\" y\" # one \"two\"\nb = 'c\\' # three\nd = \"\"\"\nq \" # r\n\"\"\" # four\n'k' = '''s'''\n";
        let parts = of(text);
        let texts = |ranges: &[Range<usize>]| {
            ranges.iter().map(|range| text[range.clone()].to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts(&parts.strings), ["x # \\\" y", "c\\", "\nq \" # r\n", "k", "s"]);
        assert_eq!(texts(&parts.comments), [" one \"two\"", " three", " four"]);
    }

    #[test]
    fn a_string_without_an_end_ends_with_its_line() {
        let text = "a = \"x # y\nb = 'z' # c";
        let parts = of(text);
        assert_eq!(
            parts.strings.iter().map(|range| &text[range.clone()]).collect::<Vec<_>>(),
            ["x # y", "z"]
        );
        assert_eq!(parts.comments.iter().map(|range| &text[range.clone()]).collect::<Vec<_>>(), [" c"]);
        for text in
            ["\"", "'", "\"\"\"", "'''ä", "\"\\", "\"ä\\ä", "#", "\"\"", "''''", "a\"\"\"\"\"\"b\"ä\n\""]
        {
            let parts = of(text);
            assert!(
                parts.strings.iter().chain(&parts.comments).all(|range| text.get(range.clone()).is_some()),
                "{text}"
            );
        }
    }
}
