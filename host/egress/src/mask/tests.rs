//! Rows: what a body, a URL or a header looks like in the log.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_macros, reason = "a test that is skipped says so")]
use super::*;
use portcullis_secrets::Secret;
use proptest::prelude::*;

fn masker() -> Masker {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Masker::new(&names(&["Email", "card", "a b"]), &names(&["x-api-key", "api_key"]))
}

fn none() -> Needles {
    Needles::new(&[])
}

fn json(body: &str) -> Option<String> {
    masker().body(Some("application/json; charset=utf-8"), body.as_bytes(), Capture::Errors, true, &none())
}

fn form(body: &str) -> Option<String> {
    masker().body(Some("application/x-www-form-urlencoded"), body.as_bytes(), Capture::Errors, true, &none())
}

#[test]
fn json_rows() {
    for (body, expected) in [
        (r#"{"email":"a@b.c","id":1}"#, r#"{"email":"***","id":1}"#),
        (
            "{\n  \"id\": [1, -2.5e3, true, null],\r\n \"EMAIL\" : \"x\"\n}",
            r#"{"id":[1,-2.5e3,true,null],"EMAIL":"***"}"#,
        ),
        (r#"{"a":{"b":[{"email":12345678901}]}}"#, r#"{"a":{"b":[{"email":"***"}]}}"#),
        (r#"{"card":{"number":"4242","x":[1,{"y":"z"}]},"n":2}"#, r#"{"card":"***","n":2}"#),
        (r#"{"card":[1,[2]],"email":null,"email":"twice"}"#, r#"{"card":"***","email":"***","email":"***"}"#),
        (r#"{"\u0065mail":"x","em\u0061il\ud800":"y"}"#, r#"{"\u0065mail":"***","em\u0061il\ud800":"***"}"#),
        (r#"{"email":"cut o"#, r#"{"email":"***""#),
        (r#"{"email":"cut \"#, r#"{"email":"***""#),
        (r#"{"card":{"number":"42"#, r#"{"card":"***""#),
        (r#"{"email"#, r#"{"email"#),
        (r#"{"email":"#, r#"{"email":"#),
        (r#"{"id":tru"#, r#"{"id":tru"#),
        ("{\"id\":1}\n{\"email\":\"x\"}\n", r#"{"id":1} {"email":"***"}"#),
        ("{\"t\":\"\u{202e}\u{9b}31m\u{7f}\"}", r#"{"t":"\u202e\u009b31m\u007f"}"#),
        ("[]", "[]"),
        ("[{},[[]],\"\"]", "[{},[[]],\"\"]"),
    ] {
        assert_eq!(json(body).as_deref(), Some(expected), "{body}");
    }
}

#[test]
fn what_does_not_tokenize_needs_all() {
    let deep = "[".repeat(limits::MASK_DEPTH_MAX + 1);
    let hidden_deep = format!("{{\"email\":{}", "[".repeat(limits::MASK_DEPTH_MAX + 1));
    for body in [
        r#"{"email":"a" "b"}"#,
        r#"{email:"a"}"#,
        "{'email':'a'}",
        r#"{"email":a@b.c}"#,
        "[1,]]",
        r#"{"a":1]"#,
        "{\"a\":\"\u{1b}[31m\"}",
        r#"{"a":"\x"}"#,
        r#"{"a" 1}"#,
        "[nul0]",
        "[,1]",
        &deep,
        &hidden_deep,
    ] {
        assert_eq!(json(body), None, "{body}");
        let all =
            masker().body(Some("application/json"), body.as_bytes(), Capture::All, false, &none()).unwrap();
        assert!(!all.contains('\u{1b}'), "{all}");
    }
    for body in [r#"{"email":"a=b"}"#, "email=a b", "<a>email=x</a>", "email=\u{1b}"] {
        assert_eq!(form(body), None, "{body}");
    }
    assert_eq!(masker().body(Some("text/plain"), b"hello", Capture::Errors, true, &none()), None);
    assert_eq!(
        masker().body(None, b"{\"email\":1}", Capture::Errors, true, &none()).unwrap(),
        r#"{"email":"***"}"#
    );
    assert_eq!(masker().body(None, b"{}", Capture::Errors, false, &none()), None);
    assert_eq!(masker().body(None, b"{}", Capture::None, true, &none()), None);
}

#[test]
fn form_rows() {
    for (body, expected) in [
        ("email=a%40b.c&id=1", "email=***&id=1"),
        (
            "customer[email]=x&customer%5BEmail%5D%5B0%5D=y&b.email=z",
            "customer[email]=***&customer%5BEmail%5D%5B0%5D=***&b.email=***",
        ),
        ("a+b=1&a%20b=2&emails=3&x=%65", "a+b=***&a%20b=***&emails=3&x=%65"),
        ("email&=&email=", "email&=&email=***"),
    ] {
        assert_eq!(form(body).as_deref(), Some(expected));
    }
}

#[test]
fn url_rows() {
    for (url, expected) in [
        (
            "https://a.b/c?limit=1&api_key=s3cr3t&filter[email]=x",
            "https://a.b/c?limit=1&api_key=***&filter[email]=***",
        ),
        ("https://u:p@a.b/c@d?x#frag", "https://***@a.b/c@d?x#***"),
        ("https://a.b/\u{1b}[31m?a\u{202e}=\u{7}", "https://a.b/\\u001b[31m?a\\u202e=\\u0007"),
        ("not a url", "not a url"),
    ] {
        assert_eq!(masker().url_within(url, &none(), limits::CAPTURE_LINE_BYTES_MAX), expected);
    }
    let needles = Needles::new(&[Secret::new(b"topsecret+".to_vec())]);
    assert_eq!(
        masker().url_within(
            "https://a.b/topsecret%2B?q=topsecret+",
            &needles,
            limits::CAPTURE_LINE_BYTES_MAX
        ),
        "https://a.b/************?q=**********"
    );
    assert!(
        masker()
            .url_within(&format!("https://a.b/{}", "é".repeat(9000)), &none(), limits::CAPTURE_LINE_BYTES_MAX)
            .len()
            <= limits::CAPTURE_LINE_BYTES_MAX
    );
}

#[test]
fn header_rows() {
    let needles = Needles::new(&[Secret::new(b"topsecret".to_vec())]);
    for (name, value, expected) in [
        ("Authorization", "Bearer x", "***"),
        ("set-cookie", "a=b", "***"),
        ("Proxy-Whatever", "x", "***"),
        ("X_Api_Key", "x", "***"),
        ("API-KEY", "x", "***"),
        ("email", "x", "***"),
        ("location", "https://u:p@a.b/c?code=1#t", "https://***@a.b/c?***"),
        ("Location", "/relative#token", "/relative#***"),
        ("x-echo", "is topsecret \u{1b}[2J", "is ********* \\u001b[2J"),
        ("date", "today", "today"),
    ] {
        let shown = masker().headers(&[(name.to_owned(), value.as_bytes().to_vec())], &needles);
        assert_eq!(shown, [(name.to_owned(), expected.to_owned())]);
    }
    let shown = masker().headers(&[("x".to_owned(), vec![0xff, 0x00])], &needles);
    assert_eq!(shown[0].1, "\u{fffd}\\u0000");
}

/// Where an answer's body could not be taken, nobody has searched its headers before. Their names come lower-cased, whatever
/// was sent.
#[test]
fn a_secret_in_a_headers_name_is_masked() {
    let needles = Needles::new(&[Secret::new(b"sk_LIVE_4eC39HqLyjWD".to_vec())]);
    let base64 = "x-c2tfTElWRV80ZUMzOUhxTHlqV0Q".to_lowercase();
    for (name, shown) in [
        ("x-sk_live_4ec39hqlyjwd-a", format!("x-{}-a", "*".repeat(20))),
        ("x-sk%5flive_4%65C39hqlyjwd", format!("x-{}", "*".repeat(24))),
        ("x-736b5f4c4956455f34654333394871", "x-736b5f4c4956455f34654333394871".to_owned()),
        (&*base64, format!("x-{}", "*".repeat(27))),
    ] {
        let headers = [(name.to_owned(), b"1".to_vec())];
        let masked = [(shown, "1".to_owned())];
        assert_eq!(masker().headers(&headers, &needles), masked);
        assert_eq!(masker().whole_headers(&headers, &needles), masked);
    }
    // So do hosts.
    let url = "https://sk_live_4ec39hqlyjwd.api.vendor.test/SK_live_4eC39HqLyjWD";
    let url = masker().url_within(url, &needles, usize::MAX);
    assert_eq!(url, format!("https://{0}.api.vendor.test/{0}", "*".repeat(20)));
}

#[test]
fn masked_before_shortened() {
    let needles = Needles::new(&[Secret::new(b"topsecret".to_vec())]);
    for pad in limits::CAPTURE_BYTES_MAX - 40..limits::CAPTURE_BYTES_MAX + 4 {
        let body =
            format!("{{\"p\":\"{}\",\"email\":\"abcdefghij\",\"q\":\"topsecret\"}}", "é".repeat(pad / 2));
        for capture in [Capture::Errors, Capture::All] {
            let shown =
                masker().body(Some("application/json"), body.as_bytes(), capture, true, &needles).unwrap();
            assert!(shown.len() <= limits::CAPTURE_BYTES_MAX);
            assert!(!shown.contains("abc") && !shown.contains("top"), "{shown}");
        }
    }
    // A masked value does not use up the cap.
    let body = format!("{{\"email\":\"{}\",\"id\":7}}", "x".repeat(1 << 20));
    assert_eq!(json(&body).unwrap(), r#"{"email":"***","id":7}"#);
}

#[test]
fn the_log_injection_vector_is_one_inert_line() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/bombs/log-injection.txt");
    let Ok(body) = std::fs::read(path) else { return eprintln!("SKIPPED: no vectors at {path}") };
    assert_eq!(masker().body(Some("text/plain"), &body, Capture::Errors, true, &none()), None);
    let shown = masker().body(Some("text/plain"), &body, Capture::All, true, &none()).unwrap();
    assert!(!shown.chars().any(|c| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c)), "{shown}");
    assert_eq!(serde_json::to_string(&shown).unwrap().lines().count(), 1);
}

#[test]
fn json_bombs_end_in_time() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora/bombs/");
    for (name, tokenizes) in [
        ("json-depth-100k.json", false),
        ("json-depth-obj-20k.json", false),
        ("json-dup-keys.json", true),
        ("json-number-huge.json", true),
        ("json-exp.json", true),
        ("json-keys-100k.json", true),
    ] {
        let Ok(body) = std::fs::read(format!("{folder}{name}")) else {
            return eprintln!("SKIPPED: no {folder}");
        };
        assert_eq!(json(std::str::from_utf8(&body).unwrap()).is_some(), tokenizes, "{name}");
    }
}

/// A document whose sensitive values are all made of `S`-free, recognisable text, and others of digits.
fn document() -> impl Strategy<Value = serde_json::Value> {
    let plain = prop_oneof![
        any::<i32>().prop_map(serde_json::Value::from),
        "[0-9 \"\\\\\u{e9}]{0,12}".prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    let secret = prop_oneof![
        "[A-Zg-z]{8,30}".prop_map(serde_json::Value::from),
        prop::collection::vec("[A-Zg-z]{8,12}", 0..3).prop_map(serde_json::Value::from),
        prop::collection::hash_map("[A-Zg-z]{8,10}", "[A-Zg-z]{8,12}", 0..3)
            .prop_map(|map| serde_json::Value::Object(map.into_iter().map(|(k, v)| (k, v.into())).collect())),
    ];
    plain.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            (prop::collection::vec((prop_oneof!["[0-9]{1,4}"], inner), 0..4), secret.clone()).prop_map(
                |(rows, secret)| {
                    let mut map: serde_json::Map<String, serde_json::Value> = rows.into_iter().collect();
                    map.insert("eMail".into(), secret);
                    serde_json::Value::Object(map)
                }
            ),
        ]
    })
}

fn has_secret(shown: &str) -> bool {
    let mut run = 0;
    shown.chars().any(|c| {
        run = if c.is_ascii_uppercase() || ('g'..='z').contains(&c) { run + 1 } else { 0 };
        run >= 8
    })
}

proptest! {
    #[test]
    fn no_truncation_shows_a_sensitive_value(document in document(), cut in any::<prop::sample::Index>(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        let bytes = &text.as_bytes()[..cut.index(text.len() + 1)];
        for content_type in [Some("application/json"), Some("application/vnd.api+json")] {
            let shown = masker().body(content_type, bytes, Capture::Errors, true, &none());
            prop_assert_eq!(shown.is_none(), bytes.is_empty());
            prop_assert!(!has_secret(shown.as_deref().unwrap_or_default()), "{:?}", shown);
        }
    }

    #[test]
    fn whole_documents_stay_json_with_the_rest_unchanged(document in document()) {
        fn masked(value: &serde_json::Value) -> serde_json::Value {
            match value {
                serde_json::Value::Object(map) => map.iter()
                    .map(|(k, v)| (k.clone(), if k == "eMail" { "***".into() } else { masked(v) })).collect(),
                serde_json::Value::Array(rows) => rows.iter().map(masked).collect(),
                other => other.clone(),
            }
        }
        let shown = json(&document.to_string()).unwrap();
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), masked(&document));
    }

    #[test]
    fn no_form_truncation_shows_a_sensitive_value(
        values in prop::collection::vec(("[0-9]{1,5}|c%5Bemail%5D|email", "[A-Zg-z]{8,20}"), 0..6), cut in any::<prop::sample::Index>(),
    ) {
        let text: Vec<String> = values.iter()
            .map(|(k, v)| if k.contains("email") { format!("{k}={v}") } else { format!("{k}=0") }).collect();
        let text = text.join("&");
        let shown = form(&text[..cut.index(text.len() + 1)]);
        prop_assert!(!has_secret(shown.as_deref().unwrap_or_default()));
    }

    #[test]
    fn no_bytes_panic_or_stay_active(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for content_type in [None, Some("application/json"), Some("application/x-www-form-urlencoded")] {
            let shown = masker().body(content_type, &bytes, Capture::All, true, &none()).unwrap_or_default();
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}

/// What is slow to search is not searched to its end; what may have begun at the border is not shown.
#[test]
fn a_hostile_body_is_searched_as_far_as_it_is_shown() {
    let secret = "sk_live_4eC39HqLyjWDarjtT1zdp7dc";
    let needles = Needles::new([&Secret::new(secret.as_bytes().to_vec())]);
    for shift in 0..secret.len() {
        // All of the first value is left out, so that the border comes into what is shown.
        let head = "{\"email\":\"";
        let filled = limits::CAPTURE_SLOW_BYTES_MAX - head.len() - "\",\"x\":\"".len() - shift;
        let email = "%41".repeat(filled / 3) + &"a".repeat(filled % 3);
        let body = format!("{head}{email}\",\"x\":\"{secret}\",\"y\":\"{}\"}}", "%41".repeat(1_000_000));
        let shown = masker().body(Some("application/json"), body.as_bytes(), Capture::All, true, &needles);
        let shown = shown.unwrap();
        assert!(shown.starts_with("{\"email\":\"***\""), "{shown}");
        assert!(!shown.contains(&secret[..1]), "{shift}: {shown}");
        assert!(!shown.contains("%41"), "{shift}: nothing behind the border is looked at");
    }
}

#[test]
fn headers_that_are_slow_to_search_are_bounded_together() {
    let slow = |length: usize| ("x-a".to_owned(), b"%".repeat(length));
    let half = limits::CAPTURE_SLOW_BYTES_MAX / 2;
    let plain = ("x-b".to_owned(), vec![b'a'; half]);
    let masker = Masker::new(&[], &[]);
    let shown = masker.headers(&[slow(half), plain.clone(), slow(half), slow(300), plain], &none());
    let lengths: Vec<_> = shown.iter().map(|(_, value)| value.len()).collect();
    let whole = limits::CAPTURE_LINE_BYTES_MAX;
    assert_eq!(lengths, [whole, whole, whole, "(300 bytes)".len(), whole]);
    assert_eq!(shown[3].1, "(300 bytes)");

    // Many in which little is to be undone are as slow as one in which much is.
    let many: Vec<_> = (0..256).map(|_| slow(200)).collect();
    let shown = masker.headers(&many, &none());
    let whole = shown.iter().filter(|(_, value)| *value != "(200 bytes)").count();
    assert_eq!(whole, limits::CAPTURE_SLOW_BYTES_MAX / 200);
    assert!(shown[..whole].iter().all(|(_, value)| *value == "%".repeat(200)));
    // What is never searched takes nothing of it.
    let cookies = (0..256).map(|_| ("set-cookie".to_owned(), b"%".repeat(200)));
    let shown = masker.headers(&cookies.chain([slow(300)]).collect::<Vec<_>>(), &none());
    assert_eq!(shown[256].1, "%".repeat(300));
    // Names count as values do.
    let named: Vec<_> = (0..256).map(|_| ("%".repeat(200), b"1".to_vec())).collect();
    let whole = masker.headers(&named, &none()).iter().filter(|(name, _)| *name != "(200 bytes)").count();
    assert_eq!(whole, limits::CAPTURE_SLOW_BYTES_MAX / 200);
    let few: Vec<_> =
        (0..limits::SCANNED_INLINE_SIGNS_MAX).map(|_| ("x-a".to_owned(), b"%a".to_vec())).collect();
    assert!(masker.headers(&few, &none()).iter().all(|(_, value)| value == "%a"));
}
