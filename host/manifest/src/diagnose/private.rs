//! What is most likely a pasted secret, in whatever key: excerpts and messages show no such text.
use std::ops::Range;

/// How the names end of keys, query pairs and headers whose value is a secret, or names where one is.
const NAMES: [&str; 19] = [
    "secret",
    "secret-id",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "private-key",
    "secret-key",
    "access-key",
    "signing-key",
    "auth-key",
    "api-key",
    "apikey",
    "token",
    "username",
    "authorization",
    "bearer",
    "cookie",
];

/// How tokens of well-known vendors begin.
const BEGINNINGS: [&str; 27] = [
    "sk_",
    "rk_",
    "pk_live",
    "pk_test",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxa-",
    "xoxb-",
    "xoxe-",
    "xoxp-",
    "xapp-",
    "shpat_",
    "shpss_",
    "shpca_",
    "shppa_",
    "whsec_",
    "lin_api_",
    "dop_v1_",
    "sq0",
    "hf_",
    "AIza",
    "eyJ",
];

/// The same, of words that may be somebody's name: with a digit they are none.
const WITH_DIGITS: [&str; 3] = ["sk-", "tok_", "npm_"];

/// How tokens begin that go on behind a point.
const POINTED: [&str; 4] = ["eyJ", "SG", "ya29", "xoxe"];

/// A shorter word is a name.
const TOKEN_CHARS_MIN: usize = 10;
/// Of this length, small and capital letters and digits together are no name.
const MIXED_CHARS_MIN: usize = 24;
/// Nor are hexadecimal digits.
const HEX_CHARS_MIN: usize = 32;
/// An access key of AWS, and the secret to it.
const AWS_ID_CHARS: usize = 20;
const AWS_SECRET_CHARS: usize = 40;
/// Of our own ids.
const ULID_CHARS: usize = 26;

/// Where they stand in a document.
pub(super) fn in_document(text: &str) -> Vec<Range<usize>> {
    let mut found = in_words(text);
    for name in words(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')) {
        // A query is in a value, and ends with it.
        let is_query = text[..name.start].ends_with(['?', '&']);
        if !is_query
            && is_private(&text[name.clone()])
            && let Some(start) = value_after(text, name.end)
        {
            found.extend(value_at(text, start));
        }
    }
    found
}

/// Where they stand in any text.
pub(super) fn in_words(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for word in words(text, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+')) {
        let (shown, rest) = (&text[word.clone()], &text[word.end..]);
        let is_pointed = POINTED.contains(&shown) || shown.starts_with("eyJ");
        if is_pointed && rest.starts_with('.') {
            let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '=');
            let length = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
            found.push(word.start..word.end + length);
        } else if is_token(shown) || is_hex(shown, &text[..word.start]) {
            found.push(word);
        }
    }
    let of_aws = words(text, |c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'));
    found.extend(of_aws.filter(|word| word.len() == AWS_SECRET_CHARS && is_mixed(&text[word.clone()], 1)));
    found.extend(user_infos(text));
    found.extend(pairs(text));
    found.extend(schemes(text));
    found.extend(pem(text));
    found
}

/// The runs of such characters.
fn words(text: &str, is_part: impl Fn(char) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut from = None;
    text.char_indices().chain([(text.len(), '\0')]).filter_map(move |(at, c)| match (is_part(c), from) {
        (true, None) => {
            from = Some(at);
            None
        }
        (false, Some(start)) => {
            from = None;
            Some(start..at)
        }
        _ => None,
    })
}

fn is_token(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| word.starts_with(beginning));
    let is_known = begins(&BEGINNINGS) || digits > 0 && begins(&WITH_DIGITS);
    let is_of_aws = word.len() == AWS_ID_CHARS && begins(&["AKIA", "ASIA"]);
    if is_our_id(word) {
        return false;
    }
    (is_known && word.len() >= TOKEN_CHARS_MIN)
        || is_of_aws
        || (word.len() >= MIXED_CHARS_MIN && is_mixed(word, 2))
}

/// `run_01M8JA7N3K7SWE1R5W07GQH1M6`: a few small letters, and a ULID.
fn is_our_id(word: &str) -> bool {
    word.split_once('_').is_some_and(|(kind, id)| {
        kind.bytes().all(|byte| byte.is_ascii_lowercase())
            && id.len() == ULID_CHARS
            && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    })
}

fn is_mixed(word: &str, digits_min: usize) -> bool {
    let count = |is: fn(&u8) -> bool| word.bytes().filter(is).count();
    count(u8::is_ascii_lowercase) > 0
        && count(u8::is_ascii_uppercase) > 0
        && count(u8::is_ascii_digit) >= digits_min
}

/// A digest says so, or is a part of a path.
fn is_hex(word: &str, before: &str) -> bool {
    let any = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    word.len() >= HEX_CHARS_MIN
        && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && any(u8::is_ascii_digit)
        && any(u8::is_ascii_alphabetic)
        && !before.ends_with("sha256:")
        && !before.ends_with('/')
}

/// `https://USER:PASSWORD@host`, also where what follows is no URL any more, and `USER:PASSWORD@host` alone.
fn user_infos(text: &str) -> impl Iterator<Item = Range<usize>> {
    let is_part = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '`' | '\0');
    words(text, is_part).filter_map(|word| {
        let whole = &text[word.clone()];
        let after_scheme = whole.find("://").map(|at| at + 3);
        let start = after_scheme.unwrap_or(0);
        let rest = &whole[start..];
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        // What has a point before its colon is a host with its port; what has none behind its `@` is a version.
        let is_named = |colon: usize, at: usize| {
            let (name, host) = (&rest[..colon], &rest[at + 1..]);
            let is_host =
                host.matches('.').count() == 3 || host.starts_with(|c: char| c.is_ascii_alphabetic());
            colon > 0 && !name.contains(['.', '/', '[']) && host.contains('.') && is_host
        };
        let colon = |at: usize| rest.find(':').filter(|colon| *colon < at);
        let last = rest.rfind('@').filter(|at| colon(*at).is_some_and(|colon| is_named(colon, *at)));
        let until = last.or_else(|| authority.rfind('@').filter(|_| after_scheme.is_some()))?;
        let start = word.start + start;
        (until > 0).then(|| start..start + until)
    })
}

/// `?token=…`, `X-Api-Key: …`
fn pairs(text: &str) -> impl Iterator<Item = Range<usize>> {
    words(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).filter_map(|name| {
        let (before, word, rest) = (&text[..name.start], &text[name.clone()], &text[name.end..]);
        let is_query = before.ends_with(['?', '&']) && rest.starts_with('=');
        let is_key = is_private(word) || is_query && matches!(word, "key" | "sig" | "signature");
        if !is_key || !(is_query || rest.starts_with(": ")) {
            return None;
        }
        let is_end = |c: char| {
            matches!(c, '"' | '\'' | '`' | '\n') || is_query && (c.is_whitespace() || matches!(c, '&' | '#'))
        };
        let start = name.end + if is_query { 1 } else { 2 };
        let length = text[start..].find(is_end).unwrap_or(text.len() - start);
        let value = &text[start..start + length];
        (!matches!(value, "" | "*") && !is_reference(value)).then(|| start..start + length)
    })
}

/// `Bearer …`, `Basic …`
fn schemes(text: &str) -> impl Iterator<Item = Range<usize>> {
    let found = ["Bearer ", "Basic ", "Token "].into_iter().flat_map(|scheme| text.match_indices(scheme));
    found.filter_map(|(at, scheme)| {
        let start = at + scheme.len();
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
        let length = text[start..].find(is_end).unwrap_or(text.len() - start);
        let is_a_word = text[start..start + length].bytes().all(|byte| byte.is_ascii_lowercase());
        (!is_a_word && length >= 4).then(|| start..start + length)
    })
}

/// What stands in a PEM block, to its end or that of the text.
fn pem(text: &str) -> impl Iterator<Item = Range<usize>> {
    const BEGIN: &str = "-----BEGIN";
    text.match_indices(BEGIN).filter_map(|(at, _)| {
        let label = at + BEGIN.len();
        let start = label + text[label..].find("-----")? + 5;
        // As lines, or as a string has them.
        let has_lines = text[start..].starts_with(['\n', '\r', '\\', ' ']);
        has_lines.then(|| start..text[start..].find("-----END").map_or(text.len(), |end| start + end))
    })
}

/// Whether this ends as one of `NAMES`, in whatever way it is written.
fn is_private(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    NAMES.iter().any(|known| name.ends_with(known))
}

/// Where the value begins of a name that ends here: behind `=` or `:`, or at a quote where somebody forgot them.
fn value_after(text: &str, end: usize) -> Option<usize> {
    let skipped = |from: usize| text.len() - text[from..].trim_start_matches([' ', '\t']).len();
    let name_end = end + usize::from(text[end..].starts_with(['"', '\'']));
    let at = skipped(name_end);
    match [":=", "=", ":"].iter().find(|sign| text[at..].starts_with(**sign)) {
        Some(sign) => Some(skipped(at + sign.len())),
        None => (at > name_end && text[at..].starts_with(['"', '\'', '`', '“'])).then_some(at),
    }
}

/// The value that begins here, unless it says where a secret is.
fn value_at(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text[start..];
    let line = rest.find('\n').unwrap_or(rest.len());
    for triple in ["\"\"\"", "'''"] {
        if let Some(inside) = rest.strip_prefix(triple) {
            let length = inside.find(triple).unwrap_or(inside.len());
            return Some(start + 3..start + 3 + length);
        }
    }
    let range = match rest.chars().next()? {
        quote @ ('"' | '\'') => 1..1 + quoted(&rest[1..line], quote),
        // A table has names of its own.
        '{' => return None,
        '[' => 0..rest.find(']').map_or(line, |end| end + 1),
        _ => 0..line,
    };
    let value = rest[range.clone()].trim();
    let is_shown = matches!(value, "" | "*") || is_reference(value);
    (!is_shown).then(|| start + range.start..start + range.end)
}

/// How long the text behind an opening quote is: to the end of the line where what follows its end can't follow a value.
fn quoted(inside: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let end = inside.find(|c: char| {
        let is_end = c == quote && !is_escaped;
        is_escaped = c == '\\' && quote == '"' && !is_escaped;
        is_end
    });
    let is_over = |end: &usize| {
        let follows = inside[end + 1..].trim();
        follows.is_empty() || follows.starts_with([',', '}', ']', '#'])
    };
    end.filter(is_over).unwrap_or(inside.len())
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
            "secret: \"hunter-two\"",
            "secret \"hunter-two\"",
            "secret := hunter-two",
            "{ \"password\": \"hunter-two\" }",
            "config = { api_key = \"hunter-two\" }",
            "clientSecret = '''hunter-two'''",
            "token = \"\"\"\nhunter-two\n\"\"\"",
            "token = \"ab\\\"hunter-two\"",
            "token = [\n\"hunter-two\" ]",
            "secret = \"a\"hunter-two\"",
            "secret = a,hunter-two",
            "STRIPE_API_KEY=hunter-two",
            "allow = [\"GET https://a.test/x?page=1&api_key=hunter-two&b=2\"]",
            "deny = [\"GET https://a.test/x?sig=hunter-two\"]",
            "origins = { i = \"https://u:pa/hunter-two@a.test\" }",
            "origins = { i = \"u:hunter-two@a.test\" }",
            "header = \"X-Api-Key: hunter-two\"",
            "scheme = \"Bearer hunter-two\"",
            "ca-file = \"\"\"\n-----BEGIN PRIVATE KEY-----\nab/hunter-two\n-----END PRIVATE KEY-----\n\"\"\"",
            "owner = [\"eyJhbGciOi.eyJzdWIi.hunter-two\"]",
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
    fn forms_of_well_known_tokens() {
        for token in [
            "sk_live_51HqAbCdEf",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "pk_test_abcdefghij",
            "xoxa-2-123456789-abcdef",
            "ya29.a0AfH6SMBx-short",
            "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",
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "0123456789abcdef0123456789abcdef",
            "sk-ant-api03-abcdef",
            "dop_v1_0123456789abcdef0123456789abcdef",
            "lin_api_abcdefghijklmnopqrst",
        ] {
            assert_eq!(masked(token), "*".repeat(token.len()));
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
            "username = { secret = \"file:user\" }",
            "region = \"ASIA-PACIFIC\"\npackage = \"npm_registry-reader\"\nbook = \"sk-learn-in-action\"",
            "help: a PEM file with `-----BEGIN CERTIFICATE-----`",
            "summary = \"OAuth2ClientCredentialsProvider\"\nwhy = \"with a Bearer token\"",
            "allow = [\"GET https://a.test:8443/@ada/x?page=2\"]\nconnector = \"acme/stripe@^1\"",
            "allow = [\"GET https://a.test/x?token=*\"]",
            "hint: portcullis logs --run run_01M8JA7N3K7SWE1R5W07GQH1M6",
            "digest = \"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
