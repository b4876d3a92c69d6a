//! Names that lead nowhere, and are never two names' own.
#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn names_are_readable_where_they_can_be() {
    for name in ["items", "public.orders", "A-b_c", "2026-11-29", "items.ndjson.old"] {
        assert_eq!(of_stream(name), name);
    }
    assert_eq!(of_stream("a/b"), "a%2Fb");
    assert_eq!(of_stream("Zürich 1"), "Z%C3%BCrich%201");
}

#[test]
fn no_name_leads_anywhere_or_is_another_ones() {
    let names = [
        "",
        ".",
        "..",
        "../x",
        "/",
        "a/b",
        "a%2Fb",
        "a",
        "A",
        "a.parts",
        "a.ndjson",
        "a.csv",
        "a.CSV",
        "a%2Ecsv",
        "_none",
        "_empty",
        "%",
        ".portcullis-partial",
        "\0",
        "a\nb",
        "\\",
        "~",
        "é",
        "e\u{301}",
        "a ",
        " a",
    ]
    .map(str::to_owned);
    let long = [
        "x".repeat(300),
        "x".repeat(301),
        "é".repeat(300),
        "%".repeat(300),
        format!("{}.csv", "x".repeat(300)),
    ];
    let all: Vec<String> = names.into_iter().chain(long).collect();
    let mut paths = BTreeSet::new();
    for name in &all {
        let stream = of_stream(name);
        for path in
            [stream.clone(), format!("{stream}.parts"), format!("{stream}.ndjson"), format!("{stream}.csv")]
        {
            assert!(path.len() <= 255 && !path.starts_with('.') && path != NONE, "{path}");
            assert!(
                path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\'),
                "{path}"
            );
            assert!(paths.insert(path.clone()), "{path} is of two streams");
        }
    }
    let partitions: BTreeSet<_> = all.iter().map(|name| of_partition(name)).collect();
    assert_eq!(partitions.len(), all.len());
    assert!(!partitions.contains(NONE));
}

proptest! {
    #[test]
    fn two_names_have_two_files(one in ".{0,200}", other in ".{0,200}") {
        prop_assert_eq!(of_stream(&one) == of_stream(&other), one == other);
        prop_assert_eq!(of_partition(&one) == of_partition(&other), one == other);
        for ending in ENDINGS {
            prop_assert!(!of_stream(&one).to_ascii_lowercase().ends_with(ending));
        }
    }
}
