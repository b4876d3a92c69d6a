//! What jaq says of a program, in words for the person who wrote it. A value of the input is named by its type: what stands in a
//! record belongs in no message.

use crate::{functions, limits::KEY_BYTES_MAX};
use jaq_core::{
    Error,
    load::{lex, parse},
};
use jaq_json::Val;

/// Of a text that is no sequence of words and brackets.
pub(crate) fn of_lexer(expected: &lex::Expect<&str>, rest: &str) -> String {
    let found = found(rest.chars().next().map(String::from).as_deref().unwrap_or_default());
    match expected {
        lex::Expect::Delim(open) => format!("no end of what `{open}` begins: {found}"),
        lex::Expect::Token => match rest.chars().next() {
            Some(close @ (')' | ']' | '}')) => format!("`{close}` closes nothing"),
            _ => format!("{found}, which begins nothing in jq"),
        },
        lex::Expect::Digit => format!("expected a digit, {found}"),
        lex::Expect::Ident => format!("expected a name, {found}"),
        lex::Expect::Escape => format!("expected `n`, `t`, `\"`, `\\`, `(` or the like after `\\`, {found}"),
        lex::Expect::Unicode => format!("expected a character as `\\u` and four hexadecimal digits, {found}"),
        other => format!("expected {}, {found}", other.as_str()),
    }
}

/// Of words in an order that means nothing.
pub(crate) fn of_parser(expected: &parse::Expect<&str>, token: &str) -> String {
    use parse::Expect;
    let expected = match expected {
        Expect::Just("") | Expect::Nothing => "an operator such as `|`, or the end",
        Expect::Just(word) => return format!("expected `{word}`, {}", found(token)),
        Expect::Var => "a variable such as `$x`",
        Expect::Pattern => "a variable such as `$x`, or a pattern such as `[$x, $y]` or `{a: $x}`",
        Expect::ElseOrEnd => "`elif`, `else` or `end`",
        Expect::CommaOrRBrack => "`,` or `]`",
        Expect::CommaOrRBrace => "`,` or `}`",
        Expect::SemicolonOrRParen => "`;` or `)`",
        Expect::Term => "an expression such as `.field`",
        Expect::Key => "the name of a field after `.`, or a key of an object",
        Expect::Ident => "a name",
        Expect::Arg => "the name of a parameter",
        Expect::Str => "a string",
        _ => "something else",
    };
    format!("expected {expected}, {}", found(token))
}

fn found(token: &str) -> String {
    match token.get(..token.floor_char_boundary(KEY_BYTES_MAX)) {
        None | Some("") => "found the end of the program".to_owned(),
        Some(shown) if shown.len() < token.len() => format!("found `{shown}…`"),
        Some(shown) => format!("found `{shown}`"),
    }
}

/// Of a filter that there is not with so many arguments.
pub(crate) fn of_filter(name: &str, count: usize) -> String {
    let arguments = |counts: &str| match counts {
        "0" => "no arguments".to_owned(),
        "1" => "1 argument".to_owned(),
        more => format!("{more} arguments"),
    };
    let known: Vec<usize> = match name {
        "reduce" => vec![2],
        "foreach" => vec![2, 3],
        _ => {
            let defined = functions::definitions().into_iter().map(|one| (one.name, one.args.len()));
            let native = functions::functions().map(|(name, parameters, _)| (name, parameters.len()));
            let mut counts: Vec<_> =
                defined.chain(native).filter(|(known, _)| *known == name).map(|(_, count)| count).collect();
            counts.sort_unstable();
            counts.dedup();
            counts
        }
    };
    if known.is_empty() {
        return format!("no filter `{name}` with {}", arguments(&count.to_string()));
    }
    let known: Vec<_> = known.iter().map(usize::to_string).collect();
    format!("`{name}` takes {}, not {count}", arguments(&known.join(" or ")))
}

/// Of an error that a program ended in: its own words where it has some.
pub(crate) fn of_run(error: Error<Val>) -> String {
    let said = match error.into_val() {
        Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
        Val::Null => return "the program ended in `error(null)`".to_owned(),
        other => other.to_string(),
    };
    without_values(&said).unwrap_or(said)
}

/// The same with types in place of values, where it is one of jaq's own messages that repeat values.
fn without_values(said: &str) -> Option<String> {
    if let Some(rest) = said.strip_prefix("cannot use ") {
        let (value, rest) = first_value(rest)?;
        return Some(format!("cannot use {}{rest}", type_of(value)));
    }
    if let Some(rest) = said.strip_prefix("cannot index ") {
        let (value, rest) = first_value(rest)?;
        let key = rest.strip_prefix(" with ")?;
        let key = if key.len() > KEY_BYTES_MAX || key.starts_with(['{', '[']) { type_of(key) } else { key };
        return Some(format!("cannot index {} with {key}", type_of(value)));
    }
    if let Some(rest) = said.strip_prefix("cannot calculate ") {
        let (left, rest) = first_value(rest)?;
        let (operator, right) = rest.strip_prefix(' ')?.split_once(' ')?;
        return Some(format!("cannot calculate {} {operator} {}", type_of(left), type_of(right)));
    }
    let value = said.strip_prefix("invalid path expression with input ")?;
    Some(format!(
        "no path to a value, which an assignment, `del` or `path` needs: it is applied to {}",
        type_of(value)
    ))
}

/// The value at the start, as jaq prints values, and what follows it.
fn first_value(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let (mut depth, mut in_string, mut at) = (0usize, false, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b' ' if depth == 0 => break,
            _ => {}
        }
        at += 1;
    }
    (at > 0 && depth == 0 && !in_string).then(|| text.split_at_checked(at)).flatten()
}

fn type_of(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b'n') => "null",
        Some(b't' | b'f') => "boolean",
        _ => "number",
    }
}
