#![allow(clippy::unwrap_used)]
//! What is cut out is a piece of the text, and the piece that a whole parse finds there.
use super::*;
use crate::Page;
use serde_json::Value;

#[track_caller]
fn check(text: &str, pointer: &str, expected: Option<&str>) {
    assert_eq!(at(text, pointer).unwrap().map(RawValue::get), expected, "{text} at {pointer}");
}

#[test]
fn pointers() {
    let text = r#"{"a/b": {"~": [1.10, {"": null}, "x"]}, "é": [], "n": 12345678901234567890123, "t":true}"#;
    for (pointer, expected) in [
        ("", Some(text)),
        ("/a~1b/~0/0", Some("1.10")),
        ("/a~1b/~0/1", Some(r#"{"": null}"#)),
        ("/a~1b/~0/1/", Some("null")),
        ("/a~1b/~0/2", Some("\"x\"")),
        ("/a~1b/~0/3", None),
        ("/a~1b/~0/00", None),
        ("/a~1b/~0/-", None),
        ("/a~1b/~0/2/0", None),
        ("/é", Some("[]")),
        ("/é/0", None),
        ("/n", Some("12345678901234567890123")),
        ("/n/x", None),
        ("/t/x", None),
        ("/", None),
    ] {
        check(text, pointer, expected);
    }
    check(r#" {"\u0061": 1 } "#, "/a", Some("1"));
    assert_eq!(at("{}", "a").unwrap_err().kind(), ErrorKind::Internal);
    for broken in ["", "{", r#"{"a":1}x"#, r#"{"a":1,"a":2}"#, r#"{"a":1,}"#] {
        assert_eq!(at(broken, "/a").unwrap_err().kind(), ErrorKind::ContractDrift, "{broken}");
    }
}

#[test]
fn records_leave_as_they_came() {
    let answer =
        "{\"n\": 2, \"data\": {\"list\": [\n {\"b\": 1.10,\r\n  \"a\": 1e400}, {\"x\": \"\\n\"}\n]}}";
    let mut page = Page::new();
    assert_eq!(page.push_records(answer, "/data/list").unwrap(), 2);
    assert_eq!(page.records, b"{\"b\": 1.10,  \"a\": 1e400}\n{\"x\": \"\\n\"}\n");
    assert_eq!(page.last_line(), Some(r#"{"x": "\n"}"#));
    assert_eq!(page.push_records("[]", "").unwrap(), 0);
    for (answer, pointer) in
        [("{}", "/data"), ("{\"data\":null}", "/data"), ("[{},1]", ""), ("[{}", ""), ("{}", "")]
    {
        let error = Page::new().push_records(answer, pointer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ContractDrift, "{answer}");
    }
}

/// A random value, and every pointer into it.
fn draw(random: &mut impl FnMut(usize) -> usize, depth: usize) -> Value {
    const KEYS: [&str; 5] = ["a", "~", "/", "", "é\"\n"];
    match random(if depth == 0 { 5 } else { 7 }) {
        0 => Value::Null,
        1 => Value::Bool(true),
        2 => serde_json::from_str(["0", "-1.50", "1e400", "12345678901234567890.0"][random(4)]).unwrap(),
        3 => Value::String(KEYS[random(5)].to_owned()),
        4 => Value::String("\u{1}\\ ]}".to_owned()),
        5 => (0..random(4)).map(|_| draw(random, depth - 1)).collect(),
        _ => (0..random(4)).map(|at| (KEYS[at].to_owned(), draw(random, depth - 1))).collect(),
    }
}

fn visit(value: &Value, pointer: &str, text: &str, count: &mut usize) {
    let cut = at(text, pointer).unwrap().map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
    assert_eq!(cut.as_ref(), Some(value), "{text} at {pointer}");
    assert!(at(text, &format!("{pointer}/nothing")).unwrap().is_none());
    *count += 1;
    match value {
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                visit(value, &format!("{pointer}/{index}"), text, count);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let step = key.replace('~', "~0").replace('/', "~1");
                visit(value, &format!("{pointer}/{step}"), text, count);
            }
        }
        _ => {}
    }
}

#[test]
fn every_place_of_random_values() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    let mut count = 0;
    for round in 0..2000 {
        let value = draw(&mut random, 4);
        let text =
            if round % 2 == 0 { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        visit(&value, "", &text, &mut count);
    }
    assert!(count > 3000, "{count}");
}
