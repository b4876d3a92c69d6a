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

#[test]
fn overlaps_and_neighbours_leave_nothing() {
    let needles = needles(&["abcdefgh12", "h12xxxxx", "xxxxxxxxxx", "abcdefgh"]);
    assert_eq!(needles.mask_text("-abcdefgh12xxxxx-"), "-***************-");
    assert_eq!(needles.mask_text("xxxxxxxxxxxxy"), "************y");
    assert_eq!(needles.mask_text("abcdefghabcdefgh!"), "****************!");
    assert_eq!(needles.mask_text("abcdefg"), "abcdefg");
}

#[test]
fn short_secrets_are_masked_plain_only() {
    let needles = needles(&["pw1"]);
    assert_eq!(needles.mask_text("pw1 cHcx 707731"), "*** cHcx 707731");
    assert!(Needles::new(&[Secret::new(Vec::new())]).is_empty());
    assert_eq!(Needles::new(&[]).mask_text("pw1"), "pw1");
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
