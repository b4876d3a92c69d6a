//! Which encodings of a secret are found.
#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Each encoding, at each place, leaves nothing; what only resembles a secret stays.
use super::*;
use base64::{Engine, engine::general_purpose as b64};

const SECRET: &str = "sk_live_A+b/c=d~e f\"g\\h<i>&'é\u{1F511}?>>";

fn needles(secrets: &[&str]) -> Needles {
    let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(text.as_bytes().to_vec())).collect();
    Needles::new(&secrets)
}

fn percent(text: &str, kept: &str) -> String {
    text.bytes()
        .map(|byte| match byte as char {
            c if c.is_ascii_alphanumeric() || kept.contains(c) => c.to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_encoding_is_masked_to_the_same_length() {
    let all_units = |upper: bool| -> String {
        SECRET
            .encode_utf16()
            .map(|unit| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") })
            .collect()
    };
    let json = serde_json::to_string(SECRET).unwrap();
    let json = json[1..json.len() - 1].to_owned();
    let all_percent: String = SECRET.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mixed_hex: String = hex(SECRET)
        .char_indices()
        .map(|(at, c)| if at % 3 == 0 { c.to_ascii_uppercase() } else { c })
        .collect();
    let encodings = [
        SECRET.to_owned(),
        hex(SECRET),
        hex(SECRET).to_uppercase(),
        mixed_hex,
        percent(SECRET, "-._~"),
        percent(SECRET, "-._~").to_lowercase().replace("_a%2b", "_A%2b"),
        percent(SECRET, "-._~!'()*"),
        percent(SECRET, "-._*").replace("%20", "+"),
        all_percent.to_lowercase(),
        all_percent,
        json.replace('/', "\\/"),
        json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"),
        json.replace('é', "\\u00E9").replace('\u{1F511}', "\\uD83D\\uDD11"),
        json,
        all_units(false),
        all_units(true),
        SECRET
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;"),
    ];
    let needles = needles(&["another-secret", SECRET]);
    for encoded in &encodings {
        for before in ["", "x", "{\"key\":\"", "%", "\\u00"] {
            let body = format!("{before}{encoded}\"}} tail");
            let mut masked = body.clone().into_bytes();
            assert_eq!(needles.mask(&mut masked), 1, "{encoded}");
            let expected = body.replace(encoded.as_str(), &"*".repeat(encoded.len()));
            assert_eq!(String::from_utf8_lossy(&masked), expected, "{encoded}");
        }
    }
}

#[test]
fn base64_leaves_no_bit_at_any_offset() {
    let secret = "sk_live_4eC39HqL>>>?";
    let needles = needles(&[secret]);
    for engine in [&b64::STANDARD, &b64::STANDARD_NO_PAD, &b64::URL_SAFE, &b64::URL_SAFE_NO_PAD] {
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "xy", "xyz"] {
                let text = engine.encode(format!("{before}{secret}{after}"));
                for form in
                    [text.clone(), text.replace('/', "\\/"), text.replace('+', "%2B").replace('/', "%2f")]
                {
                    if form.contains('%') && form.contains("%2B") && form.contains("%2f") {
                        continue; // both cases in one text: no encoder writes it
                    }
                    let masked = needles.mask_text(&form);
                    // Everything that depends on a bit of the secret differs between two secrets.
                    let other = engine.encode(format!("{before}{}{after}", "\u{2}".repeat(secret.len())));
                    if form == text {
                        for ((shown, real), other) in masked.chars().zip(text.chars()).zip(other.chars()) {
                            assert!(shown == '*' || real == other, "{before}|{after}: {masked}");
                        }
                    }
                    assert!(masked.matches('*').count() >= secret.len(), "{masked}");
                    assert_eq!(masked.len(), form.len());
                }
            }
        }
    }
}

/// Of a secret that is long enough to be told from words, whatever became of the case of its letters.
#[test]
fn letters_of_any_case() {
    let long = needles(&["sk_LIVE_4eC39HqLyjWD"]);
    for text in ["sk_live_4ec39hqlyjwd", "SK_LIVE_4EC39HQLYJWD", "sk_LIVE_4eC39HqLyjWD"] {
        let mut bytes = format!("a {text} b").into_bytes();
        assert_eq!((long.mask_any_case(&mut bytes), &*bytes), (1, &b"a ******************** b"[..]));
    }
    assert_eq!(long.mask_text("sk_live_4ec39hqlyjw"), "sk_live_4ec39hqlyjw", "a letter less");
    let short = needles(&["aBc"]);
    assert_eq!(short.mask_text("abc ABC aBc"), "abc ABC ***");
}

#[test]
fn overlaps_and_neighbours_leave_nothing() {
    let needles = needles(&["abcdefgh12", "h12xxxxx", "xxxxxxxxxx", "abcdefgh"]);
    assert_eq!(needles.mask_text("-abcdefgh12xxxxx-"), "-***************-");
    assert_eq!(needles.mask_text("xxxxxxxxxxxxy"), "************y");
    assert_eq!(needles.mask_text("abcdefghabcdefgh!"), "****************!");
    assert_eq!(needles.mask_text("abcdefg"), "abcdefg");
    // Those that touch are one place.
    assert_eq!(needles.mask(&mut b"abcdefghabcdefgh! abcdefgh".to_vec()), 2);
}

#[test]
fn short_secrets_are_masked_plain_only() {
    let short = needles(&["pw1"]);
    assert_eq!(short.mask_text("pw1 cHcx 707731 %70w1"), "*** cHcx 707731 %70w1");
    // From eight bytes on it is looked for in all of them.
    assert_eq!(needles(&["abcdefgh"]).mask_text("6162636465666768"), "*".repeat(16));
    assert!(Needles::new(&[Secret::new(Vec::new())]).is_empty());
    assert_eq!(Needles::new(&[]).mask_text("pw1"), "pw1");
}

/// Each encoding once, and beside a place exactly what holds bits of the secret.
#[test]
fn a_place_is_as_long_as_what_shows_it() {
    let mut of_nine = Vec::new();
    encodings::of(b"abcdefghi", &mut of_nine);
    assert_eq!(of_nine.len(), 5, "plain, base64 at three offsets, hexadecimal");
    let needles = needles(&["abcdefghi"]);
    for (before, after, masked) in [
        // Whole groups of four: the neighbours' characters hold nothing of it.
        ("xyz", "xyz", "eHl6************eHl6"),
        // It shares the characters at both ends with its neighbours.
        ("x", "xy", "e*************h5"),
        ("xy", "x", "eH*************4"),
    ] {
        let text = b64::STANDARD.encode(format!("{before}abcdefghi{after}"));
        assert_eq!(needles.mask_text(&text), masked, "{text}");
    }
    // The same without a neighbour that is base64, and without any.
    let text = b64::STANDARD.encode("xabcdefghix");
    let core = &text[2..13];
    assert_eq!(needles.mask_text(&format!("={core}=")), "=***********=");
    assert_eq!(needles.mask_text(core), "***********");
}

/// What the bound on the work of a search counts: each byte compared, and one for a needle that does not fit.
#[test]
fn each_byte_compared_is_counted() {
    let mut all = Vec::new();
    encodings::of(b"abcdefgh", &mut all);
    assert_eq!(all[0].matches_at(b"xabcdefgh", 1), (8, Some((1, 9))));
    assert_eq!(all[0].matches_at(b"abcdefgX", 0), (8, None));
    assert_eq!(all[0].matches_at(b"Xbcdefgh", 0), (1, None));
    assert_eq!(all[0].matches_at(b"abcdefg", 0), (1, None));
    // A short text has a megabyte of them, however often it is compared.
    let repetitive = needles(&[&format!("{}b", "a".repeat(500))]);
    assert_eq!(repetitive.mask_text(&"a".repeat(1_000)), "a".repeat(1_000));
    // Beyond that, and 64 for each of its own, it is masked whole.
    let repetitive = needles(&[&format!("{}b", "a".repeat(3_000))]);
    assert_eq!(repetitive.mask_text(&"a".repeat(6_000)), "*".repeat(6_000));
}

/// Up to the bound its first bytes are looked for at the end of a piece; of a longer secret its length is held back.
#[test]
fn where_a_secret_may_begin() {
    let mut all = Vec::new();
    encodings::of(b"abcdefgh", &mut all);
    for (bytes, compared_max, at) in [
        (&b"--abc"[..], 8, 2),
        (b"--abc", 7, 0),
        (b"--ab-", 8, 5),
        (b"--abcdefgh", 8, 10),
        (b"------------", 7, 5),
        (b"", 8, 0),
    ] {
        let bytes = (bytes, compared_max);
        assert_eq!(all[0].may_begin_at(bytes.0, bytes.1), at, "{bytes:?}");
    }
}

/// Digits above nine are few in what the automaton looks for: each doubles the list.
#[test]
fn hexadecimal_digits_do_not_grow_the_list() {
    for (secret, count, length) in [
        (&b"\x01\x23\x45\x67\x89\x01\x23\x45"[..], 1, 12),
        (b"\x1a\x2b\x3c\x4d\x5e\x6f\x7a\x8b", 4, 5),
        (b"\xab\xcd\xef\xab\xcd\xef\xab\xcd", 8, 3),
    ] {
        let mut all = Vec::new();
        encodings::of(secret, &mut all);
        let fragments = all.last().unwrap().fragments();
        let lengths: Vec<usize> = fragments.iter().map(Vec::len).collect();
        assert_eq!(lengths, vec![length; count], "{secret:?}");
    }
}

/// Three layers come off; what lies behind a fourth is the limit that is told of.
#[test]
fn layers_are_bounded() {
    let needles = needles(&["ab/12+cd_SECRET=x"]);
    for (echoed, is_found) in [("ab%25252F12+cd_SECRET=x", true), ("ab%2525252F12+cd_SECRET=x", false)] {
        let masked = if is_found { "*".repeat(echoed.len()) } else { echoed.to_owned() };
        assert_eq!(needles.mask_text(echoed), masked);
    }
}

/// An escape at one end of a long secret says nothing of the other.
#[test]
fn a_long_secret_is_found_around_one_escape() {
    let secret = "0123456789abcdef-".repeat(20);
    let needles = needles(&[&secret]);
    for echoed in [format!("%30{}", &secret[1..]), format!("{}%2d", &secret[..secret.len() - 1])] {
        assert_eq!(needles.mask_text(&format!("<{echoed}>")), format!("<{}>", "*".repeat(echoed.len())));
    }
}

#[test]
fn nothing_found_copies_nothing() {
    let needles = needles(&["sk_live_4eC39HqL"]);
    let body = Bytes::from(vec![b'a'; 1000]);
    let (same, count) = needles.mask_bytes(body.clone());
    assert_eq!((same.as_ptr(), count), (body.as_ptr(), 0));
}

#[test]
fn long_and_repetitive_secrets_are_bounded() {
    // 64 KiB of one letter against a body of that letter: the work bound masks it whole, in time.
    let secret = format!("{}b", "a".repeat(64 << 10));
    let long = needles(&[&secret]);
    let body = "a".repeat(1 << 20);
    assert_eq!(long.mask_text(&body), "*".repeat(1 << 20));
    assert_eq!(long.mask_text("harmless aaaaaaaa"), "harmless aaaaaaaa");
    // Random bytes, not UTF-8.
    let bytes: Vec<u8> = (0..40_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let needles = Needles::new(&[Secret::new(bytes.clone())]);
    let mut body = [b"<", &bytes[..], b">"].concat();
    assert_eq!(needles.mask(&mut body), 1);
    assert!(body[1..body.len() - 1].iter().all(|byte| *byte == b'*'));
}

/// As encoders of everyday libraries write the commonest kind of secret.
#[test]
fn what_libraries_make_of_a_secret() {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY'EXAMPLE&KEY==";
    let needles = needles(&[secret]);
    for echoed in [
        // Go url.PathEscape, Python quote, quote_plus, JavaScript encodeURI.
        "wJalrXUtnFEMI%2FK7MDENG+bPxRfiCY%27EXAMPLE&KEY==",
        "wJalrXUtnFEMI/K7MDENG%2BbPxRfiCY%27EXAMPLE%26KEY%3D%3D",
        "wJalrXUtnFEMI%2FK7MDENG%2BbPxRfiCY%27EXAMPLE%26KEY%3D%3D",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCY'EXAMPLE&KEY==",
        // .NET System.Text.Json, PHP with JSON_HEX_*, Go encoding/json, JavaScript strings.
        r"wJalrXUtnFEMI/K7MDENG\u002BbPxRfiCY\u0027EXAMPLE\u0026KEY==",
        r"wJalrXUtnFEMI\/K7MDENG+bPxRfiCY\u0027EXAMPLE\u0026KEY==",
        r"wJalrXUtnFEMI/K7MDENG+bPxRfiCY'EXAMPLE\u0026KEY\u003d\u003d",
        r"wJalrXUtnFEMI/K7MDENG+bPxRfiCY\'EXAMPLE&KEY==",
        // Go html/template, mustache, PHP htmlspecialchars.
        "wJalrXUtnFEMI/K7MDENG&#43;bPxRfiCY&#39;EXAMPLE&amp;KEY==",
        "wJalrXUtnFEMI&#x2F;K7MDENG+bPxRfiCY&#39;EXAMPLE&amp;KEY&#x3D;&#x3D;",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCY&#039;EXAMPLE&amp;KEY==",
        // Twice, and one in the other.
        "wJalrXUtnFEMI%252FK7MDENG%252BbPxRfiCY%2527EXAMPLE%2526KEY%253D%253D",
        r"wJalrXUtnFEMI\\/K7MDENG\\u002BbPxRfiCY'EXAMPLE&KEY==",
        "wJalrXUtnFEMI/K7MDENG%2BbPxRfiCY%27EXAMPLE&amp;KEY%3D%3D",
    ] {
        let body = format!("{{\"you sent\":\"{echoed}\"}}");
        assert_eq!(needles.mask_text(&body), body.replace(echoed, &"*".repeat(echoed.len())), "{echoed}");
    }
}

/// The sign before it is none of its reader's escapes, though two digits follow it.
#[test]
fn a_sign_right_before_a_secret_hides_nothing() {
    let secret = "ab/12+cd_SECRET=x";
    type Way = (char, fn(&str) -> String);
    let ways: [Way; 4] = [
        ('\\', |secret| secret.replace('/', "\\/")),
        ('\\', |secret| secret.replace('/', "\\\\\\/")),
        ('&', |secret| secret.replace('/', "&#47;").replace('+', "&plus;")),
        ('%', |secret| secret.replace('/', "%2F").replace('+', "%2b")),
    ];
    for before in ["100%", "%", "&#3", "&#x3", "\\x", "\\", "\\u00"] {
        // Whoever writes that dialect would have written the sign in it too.
        for (_, way) in ways.iter().filter(|(mark, _)| !before.contains(*mark)) {
            let body = format!("{before}{} rest", way(secret));
            let (masked, count) = needles(&[secret]).mask_cow(body.as_bytes());
            assert!(count >= 1, "{body}");
            let left = String::from_utf8_lossy(&masked).into_owned();
            assert!(!left.contains("SECRET") && !left.contains("12"), "{body}: {left}");
        }
    }
}

#[test]
fn a_secret_that_is_no_text() {
    let secret: Vec<u8> = (0x78..0x98).collect();
    let needles = Needles::new(&[Secret::new(secret.clone())]);
    let escaped: String = secret.iter().map(|byte| format!("\\u{byte:04x}")).collect();
    let text: String = secret.iter().map(|byte| char::from(*byte)).collect();
    let percent: String = secret.iter().map(|byte| format!("%{byte:02X}")).collect();
    for echoed in [escaped, text, percent] {
        assert_eq!(needles.mask_text(&format!("<{echoed}>")), format!("<{}>", "*".repeat(echoed.len())));
    }
}

/// One character of a secret, as one of the encoders in a row writes it.
fn written(character: char, how: u8) -> String {
    let mut buffer = [0; 4];
    let bytes = character.encode_utf8(&mut buffer).as_bytes().to_vec();
    match how {
        0 => bytes.iter().map(|byte| format!("%{byte:02X}")).collect(),
        1 => bytes.iter().map(|byte| format!("%{byte:02x}")).collect(),
        2 => character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        3 => format!("&#{};", u32::from(character)),
        4 => format!("&#x{:X};", u32::from(character)),
        5 if matches!(character, '"' | '\\' | '/' | '\'') => format!("\\{character}"),
        6 if character.is_ascii() => format!("\\x{:02x}", u32::from(character)),
        _ => character.to_string(),
    }
}

proptest::proptest! {
    /// Whatever an encoder escapes, and however: every byte of it is masked, and nothing else.
    #[test]
    fn any_mix_of_escapes(
        secret in "[a-zA-Z0-9+/=_~éß\u{1F511}-]{8,40}", how in proptest::collection::vec(0u8..12, 40),
        before in "[a-z %&]{0,9}", after in "[a-z %&]{0,9}",
    ) {
        let needles = needles(&[&secret]);
        let echoed: String = secret.chars().zip(&how).map(|(character, how)| written(character, *how)).collect();
        let body = format!("{before}\"{echoed}\"{after}");
        let masked = needles.mask_text(&body);
        proptest::prop_assert_eq!(masked, format!("{before}\"{}\"{after}", "*".repeat(echoed.len())));
        let coded: String =
            b64::STANDARD.encode(&secret).chars().zip(how.iter().cycle()).map(|(c, how)| written(c, *how)).collect();
        let masked = needles.mask_text(&format!("<{coded}>"));
        proptest::prop_assert!(masked.matches('*').count() * 6 >= secret.len() * 8, "{}", masked);
    }

    /// What is looked at around escapes alone is all that there is.
    #[test]
    fn far_from_escapes_nothing_is_missed(
        secret in "[a-d%&#;x0-9\\\\]{8,12}",
        parts in proptest::collection::vec((0u8..10, 0usize..300, proptest::collection::vec(0u8..12, 12)), 1..8),
    ) {
        let needles = needles(&[&secret]);
        let mut body = String::new();
        for (what, length, how) in parts {
            // One escape in all of it, and the rest as it is.
            let once = |text: &str| -> String {
                let escaped = length % text.len();
                text.char_indices().map(|(at, character)| written(character, if at == escaped { 1 } else { 99 })).collect()
            };
            let written = |text: &str| -> String {
                text.chars().zip(how.iter().cycle()).map(|(character, how)| written(character, *how)).collect()
            };
            match what {
                0 => body.push_str(&"abc d".repeat(length)[..length]),
                1 => body.push_str(&"%\\&a".repeat(length)[..length]),
                2 => body.push_str("%41"),
                3 => body.push_str(&b64::STANDARD.encode(&secret)),
                4 => body.push_str(&written(&secret)),
                5 => body.push_str(&written(&written(&secret))),
                6 => body.push_str(&written(&written(&written(&secret)))),
                7 => body.push_str(&once(&hex(&secret))),
                8 => body.push_str(&once(&b64::STANDARD.encode(&secret))),
                _ => body.push_str(&written(&b64::STANDARD.encode(&secret))),
            }
        }
        let bytes = body.as_bytes();
        let mut everywhere = needles.search(bytes, false, &mut u64::MAX.clone());
        everywhere.extend(needles.find_behind(bytes, Readers::ALL, 0, &mut u64::MAX.clone()));
        proptest::prop_assert_eq!(needles.find(bytes), joined(everywhere), "{}", body);
    }

    #[test]
    fn secrets_at_random_places(secret in "[ -~]{8,40}", before in ".{0,20}", after in ".{0,20}") {
        let needles = needles(&[&secret]);
        for encoded in [secret.clone(), hex(&secret), percent(&secret, "-._~"), b64::STANDARD.encode(&secret)] {
            let masked = needles.mask_text(&format!("{before}|{encoded}|{after}"));
            let trimmed = encoded.trim_end_matches('=');
            proptest::prop_assert!(!masked.contains(trimmed), "{} in {}", trimmed, masked);
        }
    }
}
