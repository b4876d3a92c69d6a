//! What is most likely a pasted secret, in whatever key: excerpts and messages show no such text.
use std::ops::Range;

/// How the names end of keys, query pairs and headers whose value is a secret, or names where one is; without `-` and `_`.
const NAMES: [&str; 32] = [
    "secret",
    "secretid",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "privatekey",
    "secretkey",
    "accesskey",
    "accountkey",
    "signingkey",
    "authkey",
    "apikey",
    "token",
    "username",
    "authorization",
    "bearer",
    "cookie",
    "connectionstring",
    "accesssignature",
    "sharedkey",
    "subscriptionkey",
    "functionskey",
    "encryptionkey",
    "masterkey",
    "licensekey",
    "webhookkey",
    "sessionid",
    "clientcredential",
    "jwt",
    "otp",
];

/// How tokens of well-known vendors begin.
const BEGINNINGS: [&str; 49] = [
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "pk_live_",
    "pk_test_",
    "sk-ant-",
    "sk-proj-",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "glptt-",
    "xoxa-",
    "xoxb-",
    "xoxc-",
    "xoxd-",
    "xoxe-",
    "xoxp-",
    "xoxs-",
    "xapp-",
    "shpat_",
    "shpss_",
    "shpca_",
    "shppa_",
    "lin_api_",
    "dop_v1_",
    "sq0atp-",
    "sq0csp-",
    "sq0idp-",
    "AIza",
    "eyJ",
    "AGE-SECRET-KEY-1",
    "ATATT3",
    "PMAK-",
    "NRAK-",
    "figd_",
    "sntrys_",
    "sntryu_",
    "dapi0",
    "pat-na1-",
    "pat-eu1-",
    "GOCSPX-",
    "dckr_pat_",
    "ntn_",
    "HRKU-",
];

/// The same, of words that may be somebody's name: with a digit they are none, nor where what follows has letters of both kinds
/// and is as long as no name.
const WITH_DIGITS: [&str; 6] = ["tok_", "npm_", "hf_", "whsec_", "secret_", "ATTA"];
const WITHOUT_DIGIT_CHARS_MIN: usize = 20;

/// What queries call a secret too, of whose name that is no ending elsewhere.
const OF_QUERIES: [&str; 5] = ["key", "sig", "signature", "pass", "auth"];

/// How the names end of variables of the environment that hold one.
const OF_VARIABLES: [&str; 4] = ["_KEY", "_PASS", "_AUTH", "_PW"];

/// The same where the word is as long as no name.
const LONG: [&str; 3] = ["sk-", "sk_", "rk_"];

/// How tokens begin that go on behind a point.
const POINTED: [&str; 9] = ["SG.", "ya29.", "xoxe.", "hvs.", "hvb.", "dp.st.", "dp.pt.", "dp.ct.", "dp.sa."];

/// What an address begins with that is a secret from there on: whoever knows it may post.
const ADDRESSES: [&str; 5] = [
    "hooks.slack.com/services/",
    "hooks.slack.com/workflows/",
    "hooks.slack.com/triggers/",
    "discord.com/api/webhooks/",
    "webhook.office.com/webhookb2/",
];

/// A shorter word is a name.
const TOKEN_CHARS_MIN: usize = 10;
/// Of this length, letters and digits that change between kinds as no name does are a token.
const MIXED_CHARS_MIN: usize = 24;
/// The same of small letters and digits alone, or capitals and digits, or where `/` is one of the letters: paths have it too.
const LONG_CHARS_MIN: usize = 32;
/// Of hexadecimal digits: Plaid's are as short.
const HEX_CHARS_MIN: usize = 30;
/// Changes between small letters, capitals and digits, of a hundred characters: drawn by chance they are some sixty, with a digit
/// in it, or without; of small letters and digits alone some forty. Names have less than thirty, and those of one case few.
const CHANGES_MIN: usize = 38;
const CHANGES_WITHOUT_DIGIT_MIN: usize = 45;
const CHANGES_OF_ONE_CASE_MIN: usize = 16;
/// Of a secret of AWS, which has a length of its own: paths have none at all.
const CHANGES_OF_AWS_MIN: usize = 20;
const DIGITS_OF_SMALL_LETTERS_MIN: usize = 4;
/// An access key of AWS, and the secret to it.
const AWS_ID_CHARS: usize = 20;
const AWS_SECRET_CHARS: usize = 40;
/// What stands behind the number of a Telegram bot.
const TELEGRAM_CHARS: usize = 35;
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
        found.extend(token_at(text, word.clone()));
        found.extend(inside(text, word.clone()));
        // The letter of an escape is none of the word.
        if text[..word.start].ends_with('\\') && word.len() > 1 {
            found.extend(token_at(text, word.start + 1..word.end));
        }
    }
    let encoded = words(text, |c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/'));
    found.extend(encoded.filter(|word| is_encoded(&text[word.clone()], &text[word.end..])));
    found.extend(user_infos(text));
    found.extend(addresses(text));
    found.extend(pairs(text));
    found.extend(arguments(text));
    found.extend(schemes(text));
    found.extend(pem(text));
    found
}

/// The token that begins with this word, if it is one.
fn token_at(text: &str, word: Range<usize>) -> Option<Range<usize>> {
    let (shown, before, whole) = (&text[word.clone()], &text[..word.start], &text[word.start..]);
    let is_pointed = POINTED.iter().any(|beginning| whole.starts_with(beginning))
        || shown.starts_with("eyJ") && whole[shown.len()..].starts_with('.');
    if is_pointed {
        let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '=');
        let length = whole.find(|c| !goes_on(c)).unwrap_or(whole.len());
        return (length >= TOKEN_CHARS_MIN).then(|| word.start..word.start + length);
    }
    let is_of_telegram = || {
        let number =
            before.strip_suffix(':').is_some_and(|number| number.ends_with(|c: char| c.is_ascii_digit()));
        number && shown.len() == TELEGRAM_CHARS && shown.starts_with("AA")
    };
    (is_token(shown) || is_hex(shown, before) || is_of_telegram()).then_some(word)
}

/// Tokens of well-known vendors with something before or behind them: `old-glpat-…`, `AKIA…_old`.
fn inside(text: &str, word: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let is_border = |c: char| matches!(c, '_' | '-' | '+');
    let whole = &text[word.clone()];
    let starts = whole.match_indices(is_border).map(|(at, _)| at + 1).chain([0]);
    starts.filter_map(move |start| {
        let rest = &whole[start..];
        let is_known = start > 0
            && rest.len() >= TOKEN_CHARS_MIN
            && BEGINNINGS.iter().any(|beginning| rest.starts_with(beginning));
        let part = &rest[..rest.find(is_border).unwrap_or(rest.len())];
        let is_of_aws = part.len() == AWS_ID_CHARS
            && ["AKIA", "ASIA"].iter().any(|beginning| part.starts_with(beginning))
            && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let length = if is_known { rest.len() } else { part.len() };
        (is_known || is_of_aws).then(|| word.start + start..word.start + start + length)
    })
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
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| word.starts_with(beginning));
    let is_drawn_behind = |beginning: &str| {
        word.strip_prefix(beginning).is_some_and(|rest| {
            let any = |is: fn(&u8) -> bool| rest.bytes().any(|byte| is(&byte));
            rest.len() >= WITHOUT_DIGIT_CHARS_MIN
                && any(u8::is_ascii_lowercase)
                && any(u8::is_ascii_uppercase)
                && !rest.contains(['-', '_'])
        })
    };
    let is_known = begins(&BEGINNINGS)
        || has_digit && begins(&WITH_DIGITS)
        || WITH_DIGITS.into_iter().any(is_drawn_behind);
    let is_long = word.len() >= LONG_CHARS_MIN && has_digit && begins(&LONG);
    let is_of_aws = word.len() == AWS_ID_CHARS && begins(&["AKIA", "ASIA"]);
    if is_our_id(word) {
        return false;
    }
    (is_known && word.len() >= TOKEN_CHARS_MIN)
        || is_long
        || is_of_aws
        || (word.len() >= MIXED_CHARS_MIN && is_drawn(word))
        || (word.len() >= LONG_CHARS_MIN && is_drawn_of_one_case(word))
}

/// `run_01M8JA7N3K7SWE1R5W07GQH1M6`: a few small letters, and a ULID.
fn is_our_id(word: &str) -> bool {
    word.split_once('_').is_some_and(|(kind, id)| {
        kind.bytes().all(|byte| byte.is_ascii_lowercase())
            && id.len() == ULID_CHARS
            && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    })
}

/// Whether capitals, small letters and digits change as in what was drawn by chance.
fn is_drawn(word: &str) -> bool {
    let any = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    let min = if any(u8::is_ascii_digit) { CHANGES_MIN } else { CHANGES_WITHOUT_DIGIT_MIN };
    any(u8::is_ascii_lowercase) && any(u8::is_ascii_uppercase) && changes(word) * 100 >= word.len() * min
}

/// The same of letters and digits without capitals, or without small ones; those of hexadecimal numbers are looked at elsewhere.
fn is_drawn_of_one_case(word: &str) -> bool {
    let all = |is: fn(&u8) -> bool| word.bytes().all(|byte| byte.is_ascii_digit() || is(&byte));
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_small = all(u8::is_ascii_lowercase);
    // Base32 has few digits, and no name is so long in capitals alone.
    let digits_min = if is_small { DIGITS_OF_SMALL_LETTERS_MIN } else { 1 };
    (is_small || all(u8::is_ascii_uppercase))
        && !all(u8::is_ascii_hexdigit)
        && (digits_min..word.len()).contains(&digits)
        && (!is_small || changes(word) * 100 >= word.len() * CHANGES_OF_ONE_CASE_MIN)
}

/// How often small letters, capitals and digits change, in each part of a name; its first capital is none.
fn changes(word: &str) -> usize {
    let kind = |byte: u8| (byte.is_ascii_lowercase(), byte.is_ascii_uppercase(), byte.is_ascii_digit());
    let of_part = |part: &str| {
        let kinds: Vec<_> = part.bytes().map(kind).collect();
        let is_title = matches!(kinds.as_slice(), [(_, true, _), (true, _, _), ..]);
        kinds.windows(2).filter(|pair| pair[0] != pair[1]).count() - usize::from(is_title)
    };
    word.split(['-', '_', '/']).map(of_part).sum()
}

/// Base64 with `/` in it: to its padding, as long as a secret of AWS, or drawn by chance.
fn is_encoded(word: &str, rest: &str) -> bool {
    let padding = rest.bytes().take_while(|byte| *byte == b'=').count();
    let any = |is: fn(&u8) -> bool| word.bytes().any(|byte| is(&byte));
    let is_mixed = any(u8::is_ascii_lowercase) && any(u8::is_ascii_uppercase) && any(u8::is_ascii_digit);
    let is_padded = matches!(padding, 1 | 2) && (word.len() + padding).is_multiple_of(4);
    (is_padded && word.len() + padding >= MIXED_CHARS_MIN && is_mixed)
        || (word.len() == AWS_SECRET_CHARS
            && is_mixed
            && changes(word) * 100 >= word.len() * CHANGES_OF_AWS_MIN)
        || (word.len() >= LONG_CHARS_MIN && is_drawn(word))
        || (word.len() >= MIXED_CHARS_MIN && is_mixed && is_drawn(word))
}

/// In one of a word's parts, as long as a key. A digest says that it is one, and a file of the cache has its name from one.
fn is_hex(word: &str, before: &str) -> bool {
    let is_key = |part: &str| {
        let part = part.strip_prefix("SK").unwrap_or(part);
        let any = |is: fn(&u8) -> bool| part.bytes().any(|byte| is(&byte));
        part.len() >= HEX_CHARS_MIN
            && part.bytes().all(|byte| byte.is_ascii_hexdigit())
            && any(u8::is_ascii_digit)
            && any(u8::is_ascii_alphabetic)
    };
    let word =
        word.strip_prefix("sha256-").map_or(word, |rest| rest.split_once('-').map_or("", |(_, rest)| rest));
    word.split(['-', '_', '+']).any(is_key) && !before.ends_with("sha256:") && !before.ends_with("/sha256/")
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
            let is_address = name.eq_ignore_ascii_case("mailto");
            colon > 0 && !is_address && !name.contains(['.', '/', '[']) && host.contains('.') && is_host
        };
        let colon = |at: usize| rest.find(':').filter(|colon| *colon < at);
        let last = rest.rfind('@').filter(|at| colon(*at).is_some_and(|colon| is_named(colon, *at)));
        let until = last.or_else(|| authority.rfind('@').filter(|_| after_scheme.is_some()))?;
        let start = word.start + start;
        (until > 0).then(|| start..start + until)
    })
}

/// `https://hooks.slack.com/services/…`
fn addresses(text: &str) -> impl Iterator<Item = Range<usize>> {
    let found = ADDRESSES.into_iter().flat_map(|beginning| text.match_indices(beginning));
    found.filter_map(|(at, beginning)| {
        let start = at + beginning.len();
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '?' | '#' | ',');
        let length = text[start..].find(is_end).unwrap_or(text.len() - start);
        // A pattern says `*` where the secret is.
        let is_written = length >= TOKEN_CHARS_MIN && !text[start..start + length].contains('*');
        is_written.then(|| start..start + length)
    })
}

/// `?token=…`, `X-Api-Key: …`, `AccountKey=…;`, `password = …`, `SMTP_PASS=…`
fn pairs(text: &str) -> impl Iterator<Item = Range<usize>> {
    words(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).filter_map(|name| {
        let (before, word, rest) = (&text[..name.start], &text[name.clone()], &text[name.end..]);
        let is_query = before.ends_with(['?', '&']) && rest.starts_with('=');
        let is_variable = || {
            rest.starts_with('=')
                && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
                && OF_VARIABLES.iter().any(|known| word.ends_with(known))
        };
        let is_of_query = || {
            let name = word.to_ascii_lowercase();
            OF_QUERIES.contains(&name.as_str()) || name.ends_with("signature")
        };
        // What stands in a text for a path of a module says nothing of a value.
        let is_pass = word.eq_ignore_ascii_case("pass") && !rest.starts_with("::");
        if !(is_private(word) || is_query && is_of_query() || is_variable() || is_pass) {
            return None;
        }
        if before.ends_with('<') && rest.starts_with('>') {
            let start = name.end + 1;
            return Some(start..start + text[start..].find('<').unwrap_or(text.len() - start));
        }
        if let Some(inside) = quoted_value(text, name.end) {
            return Some(inside);
        }
        let (is_set, length) = sign(rest)?;
        let is_header = !is_set && rest[..length].ends_with(' ');
        let is_end = |c: char| match c {
            '"' | '\'' | '`' | '\n' => true,
            '&' | '#' => is_query,
            ';' => !is_query && !is_header,
            c => !is_header && c.is_whitespace(),
        };
        let start = name.end + length;
        let length = text[start..].find(is_end).unwrap_or(text.len() - start);
        let value = &text[start..start + length];
        let is_shown = matches!(value, "" | "*")
            || value.starts_with(['{', '['])
            || is_reference(value)
            || (!is_query && matches!(value, "none" | "null" | "true" | "false"))
            || (!is_header && !is_query && is_a_place(value));
        (!is_shown).then(|| start..start + length)
    })
}

/// `=` or `=>`, also between spaces, and how long it is; or `:`, also before one.
fn sign(rest: &str) -> Option<(bool, usize)> {
    let spaces = |from: usize| rest[from..].len() - rest[from..].trim_start_matches(' ').len();
    let before = spaces(0);
    match rest[before..].chars().next()? {
        // `==` compares.
        '=' if !rest[before + 1..].starts_with('=') => {
            let end = before + 1 + usize::from(rest[before + 1..].starts_with('>'));
            Some((true, end + spaces(end)))
        }
        // A scheme, or the path of a name.
        ':' if !rest[before..].starts_with("::") && !rest[before..].starts_with("://") => {
            Some((false, before + 1 + spaces(before + 1).min(1)))
        }
        _ => None,
    }
}

/// `password = "…"`, `"password":"…"`, also with a backslash before each quote: what stands between the quotes.
fn quoted_value(text: &str, end: usize) -> Option<Range<usize>> {
    let rest = text[end..].trim_start_matches(['\\', '"', '\'']).trim_start_matches(' ');
    let value = rest.strip_prefix(['=', ':'])?.trim_start_matches([' ', '\\']);
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let start = text.len() - value.len() + 1;
    let length = text[start..].find(quote).unwrap_or(text.len() - start);
    let inside = text[start..start + length].trim_end_matches('\\');
    (!(inside.is_empty() || is_reference(inside) || is_a_place(inside))).then(|| start..start + inside.len())
}

/// `curl -u USER:PASSWORD`, `--user=USER:PASSWORD`, `--token VALUE`
fn arguments(text: &str) -> impl Iterator<Item = Range<usize>> {
    let options = words(text, |c| c.is_ascii_alphanumeric() || c == '-');
    options.filter_map(|option| {
        let (name, rest) = (&text[option.clone()], &text[option.end..]);
        let is_first = text[..option.start].ends_with(char::is_whitespace);
        let value = rest.strip_prefix([' ', '=']).map(|value| text.len() - value.len());
        let start = match name {
            "-u" | "--user" => value?,
            // `-uUSER:PASSWORD`
            _ if name.starts_with("-u") && rest.starts_with(':') => option.start + 2,
            _ if name.starts_with("--") && is_private(name) && rest.starts_with(' ') => value?,
            _ => return None,
        };
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
        let start = start + usize::from(text[start..].starts_with(['"', '\'']));
        let length = text[start..].find(is_end).unwrap_or(text.len() - start);
        let value = &text[start..start + length];
        let is_shown = match name.starts_with("--") && name != "--user" {
            true => value.starts_with(['-', '<']) || is_a_place(value) || is_reference(value),
            false => {
                value.split_once(':').is_none_or(|(user, password)| user.is_empty() || is_a_place(password))
            }
        };
        (is_first && !is_shown && !value.is_empty()).then(|| start..start + length)
    })
}

/// `FILE`, `NAME[,NAME]`, `…`: what stands for something.
fn is_a_place(value: &str) -> bool {
    !value.chars().any(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// `Bearer …`, `Basic …`
fn schemes(text: &str) -> impl Iterator<Item = Range<usize>> {
    const SCHEMES: [&str; 3] = ["Bearer", "Basic", "Token"];
    words(text, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).filter_map(|word| {
        let scheme = &text[word.clone()];
        let is_scheme = SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme));
        if !is_scheme || !text[word.end..].starts_with(' ') {
            return None;
        }
        let start = word.end + 1;
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
        let length = text[start..].find(is_end).unwrap_or(text.len() - start);
        let value = text[start..start + length].trim_end_matches(['.', ',', ';', ':', ')']);
        let is_a_word = value.bytes().all(|byte| byte.is_ascii_lowercase());
        // In small letters it is a word of a sentence more often.
        let is_named =
            SCHEMES.contains(&scheme) || value.bytes().any(|byte| byte.is_ascii_digit() || byte == b'/');
        let chars_min = if SCHEMES.contains(&scheme) { 4 } else { 8 };
        (!is_a_word && is_named && value.len() >= chars_min).then(|| start..start + value.len())
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
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    NAMES.iter().any(|known| name.ends_with(known))
}

/// Where the value begins of a name that ends here: behind `=` or `:`, or at a quote where somebody forgot them.
fn value_after(text: &str, end: usize) -> Option<usize> {
    let skipped = |from: usize| text.len() - text[from..].trim_start_matches([' ', '\t']).len();
    // In a string it has a backslash.
    let escape = end + usize::from(text[end..].starts_with("\\\""));
    let name_end = escape + usize::from(text[escape..].starts_with(['"', '\'']));
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
        // A table has names of its own; of a string in a string `pairs` has the value.
        '{' => return None,
        '\\' if rest.starts_with("\\\"") => return None,
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
            "url = \"Server=a.test;Password=hunter-two;Timeout=5\"",
            "url = \"AccountName=a;AccountKey=hunter-two\"",
            "scheme = \"bearer hunter-two/4\"",
            "deny = [\"POST https://hooks.slack.com/services/T0/B0/hunter-two\"]",
            "owner = \"\\qxoxp-hunter-two\"",
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
            "key-0123456789abcdef0123456789abcdef",
            "SK0123456789abcdef0123456789abcdef",
            "xoxc-123456789-abcdef",
            "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQ",
            "hvs.CAESIJlWWKWXWzIG",
            "dp.st.prd.abcdef0123456789",
            "sk-abcdefghijklmnopqrstuvwxyz0123456789",
            "z8m3k1q9x0v7b5n2c4l6j8h0g3f1d5s7",
            "Zm9vYmFyL2Jhei9xdXV4LzEyMzQ1Njc4OTA/abc/DeF1x",
            "hf_abcdefghijKLMNOPQRSTuvwxyzABCDefgh",
            "HRKU-01234567-89ab-cdef-0123-456789abcdef",
            "0123456789abcdef0123456789abcd",
            "JBSWY3DPEHPK3PXPJBSWYADPEHPKAPXP",
            "x7Kf+2Qz/9aBc3dEf5GhT4jK",
        ] {
            assert_eq!(masked(token), "*".repeat(token.len()));
        }
    }

    #[test]
    fn a_known_beginning_counts_inside_a_word_too() {
        for (text, shown) in [
            ("--glpat-a1b2c3d4e5f6g7h8i9j0", "--**************************"),
            ("old-glpat-a1b2c3d4e5f6g7h8i9j0", "old-**************************"),
            ("my_AKIAIOSFODNN7EXAMPLE_old", "my_********************_old"),
            ("x-sk_live_51HqAb0CdEf9", "x-********************"),
        ] {
            assert_eq!(masked(text), shown);
        }
        assert!(in_words("to-eyJ and my-ghp_x, a-pk_test_").is_empty());
    }

    /// Keys as vendors draw them, in the letters of base64 and its like: of a thousand fewer than forty may be shown.
    #[test]
    fn what_is_drawn_by_chance_is_hidden() {
        const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut seed: u64 = 7;
        let mut below = |end: usize| {
            // SplitMix64, by Vigna.
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end).unwrap()).unwrap()
        };
        for (letters, length, end) in [
            (BASE64, 43, "="),
            (BASE64, 86, "=="),
            (BASE64, 64, ""),
            (BASE64, 32, ""),
            (&BASE64[..62], 24, ""),
            (&BASE64[26..62], 32, ""),
        ] {
            let shown = (0..1_000)
                .filter(|_| {
                    let key: String =
                        (0..length).map(|_| char::from(letters[below(letters.len())])).collect();
                    let shown = masked(&format!("updates = \"{key}{end}\""));
                    shown.split(['"', '*', '=']).any(|part| part.len() >= 8 && key.contains(part))
                })
                .count();
            assert!(shown < 40, "{shown} of a thousand of {} letters and {length} characters", letters.len());
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
            "allow = [\"POST https://hooks.slack.com/services/*\"]",
            "connections = [\"sk-invoices-2026\", \"sk_products\", \"rk_reports_daily\", \"hf_models_list\", \"whsec_docs_page\"]",
            "ca-file = \"/srv/Acme/exports/2026/Kunden/Berlin/out\"",
            "folders = [\"/srv/Projects/Alpha2/Reports/Quarter3/Final\", \"My-Company-2-Report-2024-Final-X\"]",
            "why = \"basic authentication, and a token for each\"",
            "hint: portcullis logs --run run_01M8JA7N3K7SWE1R5W07GQH1M6",
            "kept = \"data/components/sha256-9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"",
            "digest = \"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
        ] {
            assert_eq!(masked(text), text);
        }
        assert!(in_words("usage: --token=FILE --password=…").is_empty());
        assert!(in_words("`secret`: expected a string; `secret = \"file:x\"` or `token = \"…\"`").is_empty());
    }

    #[test]
    fn messages_hide_what_stands_behind_a_name() {
        for text in [
            "{\"password\":\"hunter-two\"}",
            "{\\\"password\\\":\\\"hunter-two\\\"}",
            "Password = \"hunter-two\"",
            "password='hunter-two'",
            "Server=db; Password = hunter-two; Timeout=5",
            "password:hunter-two",
            "X-Api-Key:hunter-two",
            "X-Api-Key: hunter-two",
            "`GET https://a.test/x?pass=hunter-two&page=2`",
            "https://a.test/x?auth=hunter-two",
            "SMTP_PASS=hunter-two",
            "STRIPE_KEY=hunter-two portcullis serve",
            "https://a.test/x?X-Amz-Signature=hunter-two&X-Amz-Date=1",
            "https://a.test/x?Key=hunter-two",
            "SharedAccessSignature=hunter-two",
            "x-api-key : hunter-two",
            "pass: hunter-two",
            "password => hunter-two",
            "<password>hunter-two</password>",
            "portcullis call w --token hunter-two",
            "Ocp-Apim-Subscription-Key: hunter-two",
            "session_id=hunter-two",
            "`jwt: hunter-two`",
        ] {
            let found = in_words(text);
            assert!(found.iter().any(|range| &text[range.clone()] == "hunter-two"), "{text}");
            assert!(!masked(text).contains("hunter-two"), "{text}");
        }
        for text in [
            "curl -u ada:hunter-two https://a.test",
            "curl --user 'ada:hunter-two' x",
            "curl --user=ada:hunter-two x",
            "curl -uada:hunter-two x",
        ] {
            let found = in_words(text);
            assert!(found.iter().any(|range| &text[range.clone()] == "ada:hunter-two"), "{text}");
        }
        for text in [
            "`secret`: expected a string, found an integer",
            "write `token = { secret = \"file:live.key\" }`",
            "`secrets::token` and `token == x`",
            "PRIMARY_KEY and SORT_KEY of the table",
            "curl -u NAME:PASSWORD",
            "password=FILE",
            "password: none",
            "mailto:ops@example.com?subject=Weather",
            "usage: --token FILE, --password <WORD>",
            "ls -ux",
        ] {
            assert!(in_words(text).is_empty(), "{text}");
        }
    }
}
