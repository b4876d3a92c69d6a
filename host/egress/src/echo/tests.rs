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

proptest::proptest! {
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
