//! What is most likely a pasted secret, in whatever key: excerpts and messages show no such text.
use std::ops::Range;

/// Keys whose value is a secret, or names where one is.
const KEYS: [&str; 9] = [
    "secret",
    "password",
    "private-key",
    "verify-token",
    "token",
    "username",
    "authorization",
    "x-api-key",
    "cookie",
];

/// How tokens of well-known vendors begin.
const BEGINNINGS: [&str; 20] = [
    "sk_",
    "rk_",
    "sk-",
    "pk_live",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "ASIA",
    "eyJ",
    "shpat_",
    "whsec_",
    "AIza",
    "tok_",
    "npm_",
];

/// A shorter word is a name.
const TOKEN_CHARS_MIN: usize = 10;
/// Of this length, small and capital letters and digits together are no name.
const MIXED_CHARS_MIN: usize = 24;

/// Where they stand in a document.
pub(super) fn in_document(text: &str) -> Vec<Range<usize>> {
    let mut found = in_words(text);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let equals = line.char_indices().filter(|(_, c)| *c == '=').map(|(equals, _)| equals);
        for equals in equals {
            if is_private(&line[..equals])
                && let Some(value) = value(line, equals + 1)
            {
                found.push(at + value.start..at + value.end);
            }
        }
        at += line.len();
    }
    found
}

/// Where they stand in any text.
pub(super) fn in_words(text: &str) -> Vec<Range<usize>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
    let (mut found, mut from) = (Vec::new(), None);
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        match (is_part(c), from) {
            (true, None) => from = Some(at),
            (false, Some(start)) => {
                if is_token(&text[start..at]) {
                    found.push(start..at);
                }
                from = None;
            }
            _ => {}
        }
    }
    found.extend(user_infos(text));
    found
}

fn is_token(word: &str) -> bool {
    let any = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    let known = BEGINNINGS.iter().any(|beginning| word.starts_with(beginning));
    (known && word.len() >= TOKEN_CHARS_MIN)
        || (word.len() >= MIXED_CHARS_MIN
            && any(u8::is_ascii_lowercase)
            && any(u8::is_ascii_uppercase)
            && any(u8::is_ascii_digit))
}

/// `https://USER:PASSWORD@host`
fn user_infos(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(at, _)| {
        let start = at + 3;
        let rest = &text[start..];
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?'))
            .unwrap_or(rest.len());
        let user = rest[..end].rfind('@')?;
        (user > 0).then(|| start..start + user)
    })
}

/// Whether the last word of this is one of `KEYS`.
fn is_private(before: &str) -> bool {
    let before = before.trim_end().trim_end_matches(['"', '\'']);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let key: String = before.chars().rev().take_while(|c| is_part(*c)).collect();
    let key: String = key.chars().rev().collect::<String>().to_ascii_lowercase().replace('_', "-");
    KEYS.iter().any(|known| key.ends_with(known))
}

/// What stands behind `=`, unless it says where a secret is.
fn value(line: &str, from: usize) -> Option<Range<usize>> {
    let rest = &line[from..];
    let start = from + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
    let rest = line[start..].trim_end_matches(['\n', '\r']);
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
    let (start, rest) = if quote.is_some() { (start + 1, &rest[1..]) } else { (start, rest) };
    let is_end = |c: char| quote.map_or(matches!(c, ',' | '}' | ']' | '#'), |quote| c == quote);
    let length = rest.find(is_end).unwrap_or(rest.len());
    let value = rest[..length].trim_end();
    // A table or a list has values of its own.
    let is_open = quote.is_none() && value.starts_with(['{', '[']);
    (!value.is_empty() && !is_open && !is_reference(value)).then(|| start..start + value.len())
}

/// `file:live.key`, `vault:kv/live#key`
fn is_reference(value: &str) -> bool {
    let Some((provider, path)) = value.split_once(':') else { return false };
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !provider.is_empty()
        && provider.bytes().all(is_name)
        && !path.starts_with("//")
        && in_words(path).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        in_document(text).into_iter().for_each(|range| bytes[range].fill(b'*'));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_may_be_a_pasted_secret_is_hidden_wherever_it_stands() {
        for text in [
            "secret = hunter-two\n",
            "secret = \"hunter-two",
            "#secret = \"hunter-two\"",
            "private-key = 'hunter-two' # x",
            "config = { page = 1, access_token = \"hunter-two\" }",
            "headers = { authorization = \"Basic hunter-two\" }",
            "scheme = \"sk_live_hunter-two\"",
            "credentials = { key = \"sk_live_hunter-two\" }",
            "allow = [\"GET https://me:hunter-two@a.test/\"]",
            "key = \"MCowBQYDK2VwAyEAGhunter-twoZBZ9w7lshQ1\"",
            "password = 4711 # hunter-two is no part of it"
                .strip_suffix(" # hunter-two is no part of it")
                .unwrap(),
        ] {
            let shown = masked(text);
            assert!(!shown.contains("hunter-two") && !shown.contains("4711"), "{shown}");
            assert_eq!(shown.len(), text.len());
        }
    }

    #[test]
    fn what_says_where_it_is_or_is_a_name_is_shown() {
        for text in [
            "secret = \"file:stripe-live.key\"\n",
            "secret = \"vault:kv/stripe#restricted_key\"",
            "path = \"/hooks/stripe-payments-and-refunds\"",
            "connector = \"acme/stripe-payments-and-refunds@^1\"",
            "digest = \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
            "allow = [\"GET https://api.example.com/v1/items?page=*\"]",
            "why = \"reads 100 items\"\nschemes = [\"bearer\", \"api-key-header\"]",
            "token-url = { x = 1 }\nsecrets = [ 1 ]",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
