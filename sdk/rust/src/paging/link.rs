//! `Link` headers (RFC 8288, section 3).

/// Targets of the links whose relation is `next` and whose context is the answer itself, in order.
pub(super) fn next_of(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (target, after) = rest.strip_prefix('<')?.split_once('>')?;
        let (is_next, after) = parameters(after);
        if is_next {
            return Some(target.trim());
        }
        rest = after;
    }
}

/// Whether a link's parameters make it the next page, and what follows them.
fn parameters(mut rest: &str) -> (bool, &str) {
    let (mut rel, mut is_elsewhere) = (None, false);
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let Some(after) = rest.strip_prefix(';') else {
            // What follows is the next link, or nothing that can be read.
            let next = rel.is_some_and(|rel: String| {
                rel.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case("next"))
            });
            return (next && !is_elsewhere, rest);
        };
        let after = after.trim_start_matches([' ', '\t']);
        let end = after.find(['=', ';', ',', ' ', '\t']).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        let (value, after) = match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            Some(after) => value(after.trim_start_matches([' ', '\t'])),
            None => (String::new(), after),
        };
        if name.eq_ignore_ascii_case("rel") {
            // The first one alone counts.
            rel.get_or_insert(value);
        } else if name.eq_ignore_ascii_case("anchor") {
            is_elsewhere = true;
        }
        rest = after;
    }
}

/// A token or quoted string, and what follows it.
fn value(rest: &str) -> (String, &str) {
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([';', ',', ' ', '\t']).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        return (token.to_owned(), after);
    };
    let (mut text, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            _ if escaped => {
                text.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (text, &quoted[at + 1..]),
            _ => text.push(character),
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_links() {
        for (link, expected) in [
            (r#"<https://a.b/?page=2>; rel="next""#, Some("https://a.b/?page=2")),
            (
                r#"<https://a.b/1>; rel=prev, <https://a.b/3,4>; title="a, <b>"; REL="last Next""#,
                Some("https://a.b/3,4"),
            ),
            (r#"<1>; title="a \" ; rel=next"; rel=prev,<2> ; x ; rel = next;y="#, Some("2")),
            (r#"<1>;rel=prev;rel=next, <2>;rel="next"; rel=prev"#, Some("2")),
            (r##"<1>; rel=next; anchor="#x", , <2>; rel=next"##, Some("2")),
            (r#"< /x?a=<b >;rel=next"#, Some("/x?a=<b")),
            (r#"<>; rel=next"#, Some("")),
            (r#"<https://a.b/1>; rel="prev""#, None),
            (r#"<https://a.b/1>; rel="next-page" , <2>"#, None),
            (r#"<1>; rel="next"#, Some("1")),
            (r#"<1> rel=next"#, None),
            ("<https://a.b/1", None),
            ("<1>; title=\"", None),
            (", ,", None),
            ("", None),
        ] {
            assert_eq!(next_of(link), expected, "{link}");
        }
    }

    #[test]
    fn any_text_ends() {
        const PIECES: [&str; 10] = ["<", ">", ";", "\"", "\\", ",", "rel", "=", "next", " é"];
        for number in 0..100_000_usize {
            let (mut text, mut rest) = (String::new(), number);
            while rest > 0 {
                text.push_str(PIECES[rest % 10]);
                rest /= 10;
            }
            next_of(&text);
        }
    }
}
