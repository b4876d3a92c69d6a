//! The strict reader: each fault with its place, words and remedy, and the twin that passes.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_macros, reason = "a test that is skipped says so")]
use super::*;
use std::path::Path;

/// Reads `text` with `read`; the faults as a person sees them.
fn faults(text: &str, read: impl FnOnce(&mut Table<'_>)) -> Vec<String> {
    let document = match Document::parse(Path::new("f.toml"), text) {
        Ok(document) => document,
        Err(faults) => return faults.iter().map(ToString::to_string).collect(),
    };
    read(&mut document.root());
    match document.finish(Some(())) {
        Ok(()) => Vec::new(),
        Err(faults) => faults
            .iter()
            .map(|f| format!("{f}{}", f.help.as_ref().map(|h| format!(" / {h}")).unwrap_or_default()))
            .collect(),
    }
}

#[test]
fn syntax_and_duplicates() {
    assert_eq!(
        faults("a = 1\nb = \n", |_| {}),
        ["f.toml:2:5: string values must be quoted, expected literal string"]
    );
    assert_eq!(faults("a = 1\na = 2\n", |_| {}), ["f.toml:2:1: duplicate key"]);
    assert_eq!(faults("[t]\nä = 1\n", |_| {}).len(), 1, "a bare key is ASCII");
    assert_eq!(faults("[t]\n[t]\n", |_| {}), ["f.toml:2:2: duplicate key"]);
    let lost = "[t]\na = [\"x\"\nb = 1\nc = 2\n[u]\nd = 3\n";
    assert_eq!(faults(lost, |_| {}).len(), 1, "the first, and no guesses after it");
}

#[test]
fn unknown_keys_are_found_without_asking() {
    let text = "name = \"x\"\nvresion = 2\n[t]\nx = 1\n";
    let found = faults(text, |root| {
        root.string("name");
        root.string("version");
        root.table("t");
    });
    assert_eq!(
        found,
        ["f.toml:2:1: unknown key `vresion` / did you mean `version`?", "f.toml:4:1: unknown key `x` in `t`"]
    );
    assert!(faults("name = \"x\"\n", |root| drop(root.string("name"))).is_empty());
    // What is read where it is there, and what may be of two kinds, is known too.
    let found = faults("credentials = 1\npassword = 2\npasswords = 3\n", |root| {
        root.string_or_strings("credential");
        root.has("password");
    });
    assert_eq!(
        found,
        [
            "f.toml:1:1: unknown key `credentials` / did you mean `credential`?",
            "f.toml:2:1: unknown key `password`",
            "f.toml:3:1: unknown key `passwords` / did you mean `password`?"
        ]
    );
}

#[test]
fn types_ranges_and_missing_keys() {
    let text =
        "a = 1\nb = \"x\"\nc = [1, \"y\"]\nd = 70000\ne = 9223372036854775808\nf = inf\n[[g]]\nh = true\n";
    let found = faults(text, |root| {
        root.string("a");
        root.boolean("b");
        root.strings("c");
        root.integer("d", 0..=65535);
        root.integer("e", 0..=65535);
        root.float("f");
        for mut table in root.tables("g") {
            table.table("h");
            table.required_string("i");
        }
        root.required_integer("z", 0..=1);
    });
    assert_eq!(
        found,
        [
            "f.toml:1:1: `z` is missing / add `z = 1`",
            "f.toml:1:5: `a`: expected a string, found an integer / text in quotes: `a = \"…\"`",
            "f.toml:2:5: `b`: expected a boolean, found a string / `b = true` or `b = false`",
            "f.toml:3:6: `c[0]`: expected a string, found an integer / text in quotes",
            "f.toml:4:5: `d` is `70000`: expected 0 to 65535",
            "f.toml:5:5: `e` is `9223372036854775808`: expected 0 to 65535",
            "f.toml:6:5: `f`: expected a finite number",
            "f.toml:7:1: `i` is missing in `g[0]` / add `i = \"…\"` to that `[[g]]`",
            "f.toml:8:5: `h`: expected a table, found a boolean / `h = { … }`",
        ]
    );
}

#[test]
fn values_that_pass() {
    let text = "s = \"x\"\nn = 0x10\nf = 25\nb = true\nl = [\"a\"]\none = \"a\"\nt = { k = \"v\" }\nd = \"24h\"\nm = \"64MiB\"\nj = { a = [1, 2.5, 1979-05-27] }\nv = \"1.2.3\"\n[e.one]\n[e.two]\n";
    let found = faults(text, |root| {
        assert_eq!(root.string("s").unwrap(), Spanned { value: "x".into(), span: 4..7 });
        assert_eq!(root.integer("n", 0..=16).unwrap().value, 16);
        assert_eq!(root.float("f").unwrap().value, 25.0);
        assert!(root.boolean("b").unwrap().value);
        assert_eq!(root.string_or_strings("l").unwrap()[0].value, "a");
        assert_eq!(root.string_or_strings("one").unwrap()[0].value, "a");
        assert_eq!(root.string_map("t")[0].1.value, "v");
        assert_eq!(
            root.duration("d", std::time::Duration::from_secs(86400)).unwrap().value,
            std::time::Duration::from_secs(86400)
        );
        assert_eq!(root.bytes("m", 64 << 20).unwrap().value, 64 << 20);
        assert_eq!(root.json("j").unwrap().value.to_string(), r#"{"a":[1,2.5,"1979-05-27"]}"#);
        assert_eq!(root.parse::<semver::Version>("v").unwrap().value.minor, 2);
        let names: Vec<String> = root.entries("e").into_iter().map(|(name, _)| name.value).collect();
        assert_eq!(names, ["one", "two"]);
        assert!(root.string("absent").is_none());
    });
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn parsing_units_and_later_keys() {
    let text = "v = \"1.x\"\nd = \"24\"\nm = \"64MB\"\nquery = { a = \"*\" }\nscopes = []\nmore = [\"a\"]\n";
    let found = faults(text, |root| {
        root.parse::<semver::Version>("v");
        root.duration("d", std::time::Duration::from_secs(86400));
        root.bytes("m", 64 << 20);
        root.reject_later("query");
        root.reject_later("soap");
        root.reject_later_unless_empty("scopes");
        root.reject_later_unless_empty("more");
    });
    assert_eq!(
        found,
        [
            "f.toml:1:5: `v` is `1.x`: unexpected character 'x' while parsing minor version number",
            "f.toml:2:5: `d` is `24`: expected a duration: a whole number and `ms`, `s`, `m`, `h` or `d` / `d = \"24h\"`",
            "f.toml:3:5: `m` is `64MB`: expected a size: a whole number and `B`, `KiB`, `MiB` or `GiB` / `m = \"64MiB\"`",
            "f.toml:4:1: `query` is not supported yet / remove it: what it asks for would not happen",
            "f.toml:6:1: `more` is not supported yet / remove it: what it asks for would not happen",
        ]
    );
    for text in ["30s", "24h", "90d", "1500ms", "0ms", "90m"] {
        let duration = parse_duration(text).unwrap();
        assert_eq!(parse_duration(&print_duration(duration)).unwrap(), duration);
    }
    for text in ["", "s", "-1s", "1.5s", "1 s", "99999999999999999999s", "4000d", "+1s"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
    assert!(parse_bytes("99999999999GiB").is_err());
    for text in ["0B", "1B", "64KiB", "64MiB", "2GiB", "1025B"] {
        assert_eq!(print_bytes(parse_bytes(text).unwrap()), text);
    }
}

#[test]
fn a_pasted_secret_is_in_no_message_and_no_excerpt() {
    let text = "secret = \"canary one\"\nsecert = \"canary two\"\nother = { a = [\"canary three\"] }\n";
    let document = Document::parse(Path::new("f.toml"), text).unwrap();
    let mut root = document.root();
    root.parse_masked::<semver::Version>("secret");
    drop(root);
    let faults = document.finish(Some(())).unwrap_err();
    assert_eq!(faults.len(), 3);
    for fault in &faults {
        assert!(!format!("{fault:?}").contains("canary"), "{fault:?}");
    }
    let location = faults[0].location.as_ref().unwrap();
    assert_eq!(location.text.len(), text.len(), "the masked text keeps every place");
    assert!(location.text.starts_with("secret = ************\nsecert = "));
}

#[test]
fn too_much_is_an_error_and_no_overflow() {
    let nested = |n: usize| format!("a = {}{}\n", "[".repeat(n), "]".repeat(n));
    let dotted = |n: usize| format!("{} = 1\n", vec!["a"; n].join("."));
    let read = |root: &mut Table<'_>| drop(root.json("a"));
    assert!(faults(&nested(31), read).is_empty());
    assert!(faults(&dotted(31), read).is_empty());
    for text in [
        nested(33),
        nested(40),
        nested(20_000),
        dotted(34),
        dotted(20_000),
        format!("[{}]\n", vec!["a"; 40].join(".")),
    ] {
        let found = faults(&text, |_| {});
        assert_eq!(found.len(), 1);
        assert!(found[0].ends_with(": nested deeper than 32 levels"), "{found:?}");
    }
    let inline = format!("a = {}1{}\n", "{ b = ".repeat(200), " }".repeat(200));
    assert_eq!(faults(&inline, |_| {}).len(), 1);
    // 33 inline tables of 32 dots each pass the cheap bounds and fail the exact one.
    let product =
        format!("a = {}1{}\n", format!("{{ {} = ", vec!["b"; 32].join(".")).repeat(30), " }".repeat(30));
    assert_eq!(faults(&product, |_| {}).len(), 1);
    let large = " ".repeat(crate::limits::TOML_BYTES_MAX + 1);
    assert_eq!(faults(&large, |_| {}), ["f.toml: larger than 1048576 bytes"]);
    let many: String = (0..500).map(|i| format!("k{i} = 1\n")).collect();
    assert_eq!(faults(&many, |_| {}).len(), crate::limits::FAULTS_MAX);
}

#[test]
fn bombs_of_the_corpus() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora/bombs");
    for name in ["toml-depth-20k.toml", "toml-dotted-20k.toml"] {
        let Ok(text) = std::fs::read_to_string(dir.join(name)) else {
            eprintln!("SKIPPED: no {} beside the checkout", dir.join(name).display());
            continue;
        };
        assert!(faults(&text, |_| {})[0].ends_with("nested deeper than 32 levels"), "{name}");
    }
    for name in ["json-depth-100k.json", "json-depth-obj-20k.json"] {
        let Ok(bytes) = std::fs::read(dir.join(name)) else {
            eprintln!("SKIPPED: no {} beside the checkout", dir.join(name).display());
            continue;
        };
        assert_eq!(
            crate::json::parse(&bytes, 1 << 20),
            Err(crate::json::JsonError::TooDeep(crate::limits::JSON_DEPTH_MAX)),
            "{name}"
        );
    }
}

#[test]
fn text_is_inert_on_a_terminal() {
    assert_eq!(shown("a\u{1b}[31m\u{202e}b\n"), "a\\u{1b}[31m\\u{202e}b\\n");
    assert_eq!(shown(&"x".repeat(500)).chars().count(), crate::limits::SHOWN_CHARACTERS_MAX + 1);
    let location = Location::new("ä\nöb".into(), 5..6);
    assert_eq!((location.line, location.column), (2, 2));
    assert_eq!(Location::new("a".into(), 90..99).span, 1..1);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a\\[\\]{}=.,\"'#\n ä1]{0,80}") {
        let _ = faults(&text, |root| { root.tables("a"); root.json("a"); root.entries("a"); root.string_map("a"); });
    }
}
