//! The scanner beside serde_json, which reads the same texts in another way.
#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn fault(line: &str) -> String {
    Scanner::default().record(line.as_bytes()).err().map(|fault| fault.to_string()).unwrap_or_default()
}

#[test]
fn members_are_what_the_line_says() {
    let mut scanner = Scanner::default();
    let line = r#" { "a" : -0.0 , "\u0062":"x\ny","c":{"a":[1, 2]},"":1e400 } "#;
    let record = scanner.record(line.as_bytes()).unwrap();
    let members: Vec<_> = record.members().map(|(name, value)| (name.into_owned(), value)).collect();
    let expected = [("a", "-0.0"), ("b", r#""x\ny""#), ("c", r#"{"a":[1, 2]}"#), ("", "1e400")];
    assert_eq!(members, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(record.get("b").and_then(text).as_deref(), Some("x\ny"));
    assert_eq!(record.get("d"), None);
    assert!(scanner.record(b"{}").unwrap().members().next().is_none(), "nothing of the line before is left");
}

#[test]
fn what_is_no_record_is_refused() {
    for line in ["", "[]", "1", "\"a\"", "null", "\u{feff}{}"] {
        assert_eq!(fault(line), "no JSON object", "{line}");
    }
    for line in [
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":NaN}",
        "{\"a\":tru}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"x}",
        "{a:1}",
        "{'a':1}",
    ] {
        assert!(fault(line).starts_with("not JSON: "), "{line}: {}", fault(line));
    }
    assert_eq!(fault("{}{}"), "something follows the record, at byte 3 of the line");
    for line in [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00"}"#, r#"{"a":"\ud800\u0041"}"#, r#"{"a":"\ud800x"}"#] {
        assert!(fault(line).starts_with("half a surrogate pair in a text"), "{line}: {}", fault(line));
    }
    assert_eq!(fault(r#"{"a":"\ud83d\ude00"}"#), "");
    assert_eq!(Scanner::default().record(b"{\"a\":\"\xff\"}").err().unwrap().to_string(), "not UTF-8");
}

#[test]
fn a_name_that_is_there_twice_is_refused_at_every_depth() {
    let twice = "an object has one name twice";
    for line in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"b":[{"x":{"a":1,"b":2,"a":3}}]}"#] {
        assert!(fault(line).starts_with(twice), "{line}: {}", fault(line));
    }
    let many = |last: usize| {
        let names: Vec<_> = (0..1_000).chain([last]).map(|name| format!("\"n{name}\":0")).collect();
        format!("{{{}}}", names.join(","))
    };
    assert!(fault(&many(500)).starts_with(twice));
    assert_eq!(fault(&many(1_000)), "");
    assert_eq!(fault(r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#), "", "the same name in two objects");
    let names: Vec<_> = (0..=MEMBERS_MAX).map(|name| format!("\"{name}\":0")).collect();
    assert!(fault(&format!("{{{}}}", names.join(","))).starts_with("an object has more than 100,000"));
}

#[test]
fn nesting_has_a_bound() {
    let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert_eq!(fault(&deep(DEPTH_MAX)), "");
    assert!(fault(&deep(DEPTH_MAX + 1)).starts_with("nested deeper"));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(".{0,4}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn records_are_read_as_by_another_reader(names in prop::collection::hash_set(".{0,6}", 0..30), one in value()) {
        let object: serde_json::Map<_, _> = names.into_iter().map(|name| (name, one.clone())).collect();
        let line = Value::Object(object.clone()).to_string();
        let mut scanner = Scanner::default();
        let record = scanner.record(line.as_bytes()).unwrap();
        prop_assert_eq!(record.members().count(), object.len());
        for (name, value) in &object {
            prop_assert_eq!(&serde_json::from_str::<Value>(record.get(name).unwrap()).unwrap(), value);
        }
    }

    /// What is taken is JSON to another reader too, whatever the bytes are.
    #[test]
    fn nothing_is_taken_that_is_no_json(mut line in prop::collection::vec(prop::sample::select(b"{}[]\":,\\u01dD8 -.eEtruefalsn\n".to_vec()), 0..24), at in any::<prop::sample::Index>()) {
        let whole = br#"{"a":[1.5e3,"\ud83d\ude00"],"b":{"c":null}}"#.to_vec();
        let at = at.index(whole.len());
        let mut cut = whole;
        cut.splice(at..(at + line.len() / 4).min(cut.len()), line.drain(..line.len() / 2));
        for bytes in [&line, &cut] {
            let text = String::from_utf8_lossy(bytes);
            let other = serde_json::from_str::<Value>(&text);
            match Scanner::default().record(bytes) {
                Ok(_) => prop_assert!(other.is_ok_and(|value| value.is_object()), "{}", text),
                // It reads the last of two names, and no other difference is known.
                Err(fault) if other.as_ref().is_ok_and(Value::is_object) => prop_assert!(fault.to_string().contains("twice"), "{}", text),
                Err(_) => {}
            }
        }
    }
}
