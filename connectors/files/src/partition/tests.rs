//! Which folder a record goes to.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::scan::Scanner;

fn folder(by: &str, r#as: &str, line: &str) -> Result<String, String> {
    let partition: Partition = serde_json::from_value(serde_json::json!({ "by": by, "as": r#as })).unwrap();
    partition.check().unwrap();
    partition.of(&Scanner::default().record(line.as_bytes()).unwrap()).map_err(|Refusal(why)| why)
}

#[test]
fn times_are_cut_to_what_is_asked_for() {
    let line = r#"{"at":"2026-11-29T23:59:59.999+14:00"}"#;
    for (r#as, expected) in [("day", "2026-11-29"), ("month", "2026-11"), ("year", "2026")] {
        assert_eq!(folder("/at", r#as, line).unwrap(), expected);
    }
    for (value, expected) in [
        ("\"2024-02-29\"", "2024-02-29"),
        ("\"2026-01-01 00:00\"", "2026-01-01"),
        ("0", "1970-01-01"),
        ("-1", "1969-12-31"),
        ("951782400", "2000-02-29"),
        ("1764460799", "2025-11-29"),
        ("253402300799", "9999-12-31"),
        ("-62167219200", "0000-01-01"),
    ] {
        assert_eq!(folder("/at", "day", &format!("{{\"at\":{value}}}")).unwrap(), expected, "{value}");
    }
}

#[test]
fn what_is_missing_has_a_folder_and_what_is_wrong_has_none() {
    for line in ["{}", r#"{"at":null}"#, r#"{"other":1}"#] {
        for r#as in ["day", "value"] {
            assert_eq!(folder("/at", r#as, line).unwrap(), "_none");
        }
    }
    for value in [
        "\"\"",
        "\"2026-13-01\"",
        "\"2026-02-29\"",
        "\"2026-11-00\"",
        "\"2026-11-29x\"",
        "\"2026/11/29\"",
        "\"20261129\"",
        "\"today\"",
        "\"２026-11-29\"",
        "1764460799000",
        "1.5",
        "1e3",
        "true",
        "[]",
        "{}",
        "253402300800",
    ] {
        let why = folder("/at", "day", &format!("{{\"at\":{value}}}")).unwrap_err();
        assert!(why.starts_with("the partition's `/at` is "), "{value}: {why}");
    }
    assert!(folder("/at", "value", "{\"at\":[]}").is_err());
}

#[test]
fn values_are_folders_of_their_own() {
    let value = |text: &str| folder("/at", "value", &format!("{{\"at\":{text}}}")).unwrap();
    assert_eq!(value("\"de\""), "de");
    assert_eq!(value("12"), "12");
    assert_eq!(value("true"), "true");
    assert_eq!(value("\"\""), "_empty");
    assert_eq!(value("\"_none\""), "%5Fnone");
    assert_eq!(value("\"..\""), "%2E.");
    assert_eq!(value("\"a/b\""), "a%2Fb");
    assert_eq!(value("\"\\u0000\\n\""), "%00%0A");
    assert_eq!(value(&format!("\"{}\"", "x".repeat(300))).len(), 150);
}

#[test]
fn pointers_lead_into_records() {
    let line = r#"{"a/b":{"c":[{"d~":"x"}]},"t":"text"}"#;
    assert_eq!(folder("/a~1b/c/0/d~0", "value", line).unwrap(), "x");
    for nowhere in ["/a~1b/c/1", "/a~1b/x", "/t/x", "/none/x"] {
        assert_eq!(folder(nowhere, "value", line).unwrap(), "_none", "{nowhere}");
    }
}
