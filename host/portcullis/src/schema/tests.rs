//! The table of the manifest's keys against the parser, in both directions, and the schema beside both. That of the config has its
//! tests beside `config::keys`.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use portcullis_engine::Schema;
use portcullis_manifest::{Connector, connector::keys};
use std::{collections::BTreeSet, fs};

/// A whole manifest, part by part, so that one key of one part can be another.
const PARTS: [(&str, &[(&str, &str)]); 10] = [
    (
        "[connector]",
        &[
            ("name", "\"acme/x\""),
            ("version", "\"1.2.0\""),
            ("position-version", "1"),
            ("config-version", "1"),
            ("roles", "[\"actions\", \"source\", \"webhook\"]"),
            ("capabilities", "[\"files\"]"),
            ("summary", "\"one line\""),
        ],
    ),
    ("[credentials.key]", &[("schemes", "[\"bearer\"]"), ("why", "\"a key\"")]),
    (
        "[[http]]",
        &[("allow", "[\"GET https://a.test/x\"]"), ("credential", "\"key\""), ("why", "\"to read\"")],
    ),
    (
        "[[http]] # named",
        &[
            (
                "from-response",
                "{ allow = \"GET https://b.test/**\", of = \"GET https://a.test/x\", at = \"/url\" }",
            ),
            ("why", "\"to load\""),
        ],
    ),
    ("[actions.one]", &[("input", "\"any.json\""), ("output", "\"any.json\"")]),
    ("[streams.one]", &[("schema", "\"any.json\"")]),
    ("[folders.out]", &[("access", "\"write\""), ("why", "\"to write\"")]),
    ("[webhook]", &[("signing", "\"github\"")]),
    ("[assets]", &[]),
    ("[limits]", &[]),
];

/// A table of keys, the part that it describes, and where it stands in a line: the tables from the outermost on, each with its
/// other keys.
struct Place {
    section: &'static Section,
    part: &'static str,
    inline: &'static [(&'static str, &'static [(&'static str, &'static str)])],
}

const SIGNED: &[(&str, &str)] = &[
    ("algorithm", "\"hmac-sha256\""),
    ("header", "\"x-signature\""),
    ("encoding", "\"hex\""),
    ("signed", "\"{timestamp}.{body}\""),
    ("timestamp", "{ header = \"x-time\" }"),
    // A public key has to be.
    ("key", "{ encoding = \"hex\" }"),
];

/// A time in the body is signed with it.
const SIGNED_BODY: &[(&str, &str)] = &[
    ("algorithm", "\"hmac-sha256\""),
    ("header", "\"x-signature\""),
    ("encoding", "\"hex\""),
    ("signed", "\"{body}\""),
];

fn places() -> Vec<Place> {
    let inline = |section, part, inline| Place { section, part, inline };
    let place = |section, part| inline(section, part, &[]);
    vec![
        place(&keys::CONNECTOR, "[connector]"),
        place(&keys::SLOTS[0], "[credentials.key]"),
        place(&keys::HTTP[0], "[[http]]"),
        place(&keys::HTTP[1], "[[http]] # named"),
        place(&keys::ACTIONS[0], "[actions.one]"),
        place(&keys::STREAMS[0], "[streams.one]"),
        place(&keys::FOLDERS[0], "[folders.out]"),
        place(&keys::LIMITS, "[limits]"),
        place(&keys::WEBHOOK, "[webhook]"),
        inline(
            &keys::IDEMPOTENT,
            "[[http]]",
            &[("idempotency", &[("header", "\"Idempotency-Key\""), ("window", "\"24h\"")])],
        ),
        inline(
            &keys::FROM_RESPONSE,
            "[[http]] # named",
            &[(
                "from-response",
                &[
                    ("allow", "\"GET https://b.test/**\""),
                    ("of", "\"GET https://a.test/x\""),
                    ("at", "\"/url\""),
                ],
            )],
        ),
        inline(&keys::SIGNING[0], "[webhook]", &[("signing", SIGNED)]),
        inline(
            &keys::SIGNING[1],
            "[webhook]",
            &[("signing", &[("algorithm", "\"secret\""), ("header", "\"x-token\"")])],
        ),
        inline(
            &keys::TIMESTAMP[0],
            "[webhook]",
            &[("signing", SIGNED), ("timestamp", &[("header", "\"x-time\"")])],
        ),
        inline(
            &keys::TIMESTAMP[1],
            "[webhook]",
            &[("signing", SIGNED_BODY), ("timestamp", &[("body", "\"/at\"")])],
        ),
        inline(&keys::KEY, "[webhook]", &[("signing", SIGNED), ("key", &[])]),
    ]
}

/// A key that has this value, or is not there.
type Change<'c> = (&'c str, Option<&'c str>);

/// `pairs` with these changes.
fn with(pairs: &[(&str, &str)], changes: &[Change<'_>]) -> Vec<String> {
    let others = pairs.iter().filter(|(name, _)| !changes.iter().any(|(key, _)| key == name));
    let others = others.map(|(name, value)| format!("{name} = {value}"));
    others.chain(changes.iter().filter_map(|(key, value)| Some(format!("{key} = {}", (*value)?)))).collect()
}

impl Place {
    /// The manifest in which this key has this value.
    fn with(&self, key: &str, value: &str) -> String {
        self.text(&[(key, Some(value))])
    }

    /// The manifest in which this key is not there.
    fn without(&self, key: &str) -> String {
        self.text(&[(key, None)])
    }

    fn text(&self, changes: &[Change<'_>]) -> String {
        // From the innermost table out: each is the value of the one around it.
        let inline = self.inline.iter().rev().fold(None, |inside: Option<(&str, String)>, (outer, inner)| {
            let pairs = match &inside {
                Some((key, value)) => with(inner, &[(*key, Some(value.as_str()))]),
                None => with(inner, changes),
            };
            Some((*outer, format!("{{ {} }}", pairs.join(", "))))
        });
        let mut text = String::new();
        for (part, pairs) in PARTS {
            let lines = match &inline {
                _ if part != self.part => with(pairs, &[]),
                Some((key, value)) => with(pairs, &[(*key, Some(value.as_str()))]),
                None => with(pairs, changes),
            };
            text.push_str(&format!("{part}\n{}\n", lines.join("\n")));
        }
        text
    }
}

fn parse(text: &str) -> Result<Connector, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("connector.toml"), text).unwrap();
    fs::write(dir.path().join("any.json"), r#"{"type":"object"}"#).unwrap();
    Connector::read_folder(dir.path())
        .map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
}

fn compiled() -> Schema {
    let schema = Schema::new(manifest().to_string());
    schema.compile_in_time().unwrap();
    schema
}

/// What an editor says of the same text.
fn editor(schema: &Schema, text: &str) -> bool {
    let value: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    schema.validate_in_time(&serde_json::to_string(&value).unwrap()).unwrap().is_empty()
}

/// Values that a key of this kind takes, in the manifest of `PARTS`.
fn samples(key: &Key) -> Vec<String> {
    let texts: &[&str] = match key.is {
        Is::Text if key.name == "header" => &["\"X-Request-Id\""],
        Is::Text if key.name == "separator" => &["\",\"", "\" \""],
        Is::Text if key.name == "signed" => {
            &["\"{timestamp}{body}\"", "\"{method}{url}{timestamp}{body}{header.x-a}\""]
        }
        Is::Text if key.name == "body" => &["\"/at\""],
        Is::Text if key.name == "prefix" => &["\"v1=\""],
        Is::Text if key.name == "place" => &["\"X-Api-Key\""],
        Is::Text => &["\"some text\""],
        Is::Name => &["\"acme/x\"", "\"0/0-x\""],
        Is::Version => &["\"0.1.0\"", "\"1.0.0-rc.1\""],
        Is::Count(most) => return vec!["1".to_owned(), most.to_string()],
        // The roles that the other parts need; and what each capability needs is there.
        Is::Choices(words) if key.name == "roles" => {
            let more = words.iter().map(|word| match *word {
                "actions" | "source" | "webhook" => "[\"actions\", \"source\", \"webhook\"]".to_owned(),
                word => format!("[\"actions\", \"source\", \"webhook\", \"{word}\"]"),
            });
            return more.collect();
        }
        Is::Choices(words) if key.name == "capabilities" => {
            return words.iter().map(|word| Value::from(vec!["files", word]).to_string()).collect();
        }
        Is::Choices(words) => return words.iter().map(|word| Value::from(vec![*word]).to_string()).collect(),
        // Nothing here writes, so that nothing needs a key.
        Is::Choice(words) => return words.iter().map(|word| Value::from(*word).to_string()).collect(),
        Is::Path => &["\"any.json\""],
        Is::TextOrTexts if key.name == "credential" => &["\"key\"", "[\"key\"]"],
        Is::TextOrTexts => &["\"/url\"", "[\"/url\", \"header:location\"]"],
        Is::Requested if key.name == "of" => &["\"GET https://a.test/x\""],
        Is::Requested => &["\"GET,PUT https://*.a.test/**\"", "\"GET {origin.own}/**\""],
        Is::AllRequested if key.name == "http" => &["[\"GET https://a.test/x\"]"],
        Is::AllRequested => &["[\"GET https://a.test/x\", \"PUT {origin.own}/*/y\"]"],
        Is::Texts if key.name == "guest-headers" => &["[]", "[\"Destination\"]"],
        Is::Texts => &["[]", "[\"name\"]"],
        Is::Map => &["{}", "{ limit = \"*\", expand = \"data.*\" }"],
        Is::Rate => &["0.00028", "1", "1000000"],
        Is::Flag => &["true", "false"],
        Is::Time => &["\"24h\"", "\"30s\""],
        Is::WordOrTable(words, _) => {
            return words.iter().map(|word| Value::from(*word).to_string()).collect();
        }
        Is::Table(_) | Is::OneOf(_) => return Vec::new(),
        _ => panic!("a manifest has no `{}` of this kind", key.name),
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn every_key_is_accepted_by_the_parser_and_by_the_schema() {
    let (schema, mut seen) = (compiled(), 0);
    for place in places() {
        for key in place.section.keys {
            assert!(!key.words.is_empty() && !place.section.words.is_empty(), "{}", key.name);
            for value in samples(key) {
                let text = place.with(key.name, &value);
                parse(&text).map(drop).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
                assert!(editor(&schema, &text), "the schema refuses\n{text}");
                seen += 1;
            }
            if key.required {
                let text = place.without(key.name);
                assert!(parse(&text).is_err(), "the parser does without `{}`\n{text}", key.name);
                assert!(!editor(&schema, &text), "the schema does without `{}`\n{text}", key.name);
            }
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn one_fault_makes_no_other_key_unknown() {
    let mut seen = 0;
    for place in places() {
        for key in place.section.keys {
            for other in place.section.keys.iter().filter(|other| other.name != key.name) {
                let Some(sample) = samples(other).into_iter().next() else { continue };
                for broken in [None, Some("7.5"), Some("\"?\""), Some("[7]")] {
                    let text = place.text(&[(key.name, broken), (other.name, Some(&sample))]);
                    let faults = parse(&text).err().unwrap_or_default();
                    let unknown = faults.iter().find(|fault| fault.starts_with("unknown key"));
                    assert_eq!(unknown, None, "{faults:?}\n{text}");
                    seen += faults.len();
                }
            }
        }
    }
    assert!(seen > 500, "{seen}");
}

/// Every key that the parser asks for is a word in its source.
fn words() -> BTreeSet<String> {
    let sources = [
        include_str!("../../../manifest/src/connector/toml.rs"),
        include_str!("../../../manifest/src/connector/from_response.rs"),
        include_str!("../../../manifest/src/connector/webhook.rs"),
        include_str!("../../../manifest/src/connector/keys.rs"),
    ];
    let word = |part: &&str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let parts = sources.iter().flat_map(|source| source.split(['"', '`']));
    parts.filter(word).map(str::to_owned).collect()
}

#[test]
fn no_other_key_is_accepted_by_either() {
    let (schema, words) = (compiled(), words());
    assert!(words.len() > 40 && words.contains("token-url"), "{words:?}");
    for place in places() {
        for word in words.iter().filter(|word| !place.section.keys.iter().any(|key| key.name == **word)) {
            // The empty list: some keys of later versions may be there while nothing stands in them.
            let text = place.with(word, "\"x\"");
            let Err(faults) = parse(&text) else { panic!("the parser accepts `{word}`\n{text}") };
            let refused = |fault: &String| {
                fault.starts_with(&format!("unknown key `{word}`"))
                    || fault == &format!("`{word}` is not supported yet")
                    || fault == &format!("`{word}` stands beside `from-response`")
                    || fault == "`allow` stands beside `from-response`"
                    || fault == "a URL that an answer named is asked without a credential"
                    || fault.starts_with(&format!("`{word}`: "))
                    // The time stands in one place.
                    || (word == "body" && fault.starts_with("unknown key `header`"))
                    || fault.contains("expected a table")
            };
            assert!(faults.iter().any(refused), "the parser knows `{word}`: {faults:?}\n{text}");
            assert!(!editor(&schema, &text), "the schema has `{word}`\n{text}");
        }
    }
}

#[test]
fn types_are_the_same() {
    let schema = compiled();
    let values =
        ["\"x\"", "1", "0", "-1", "1.5", "true", "[]", "[1]", "[\"x\"]", "{}", "{ a = 1 }", "{ a = \"x\" }"];
    for place in places() {
        for key in place.section.keys {
            for value in values {
                let text = place.with(key.name, value);
                match (parse(&text), editor(&schema, &text)) {
                    (Ok(_), edited) => assert!(edited, "the schema refuses what the parser reads\n{text}"),
                    (Err(faults), edited) => {
                        let typed = faults.iter().any(|fault| fault.contains(", found "));
                        assert!(!(typed && edited), "the schema has another type: {faults:?}\n{text}");
                    }
                }
            }
        }
    }
}

/// A default that is written out changes nothing.
#[test]
fn the_defaults_are_those_of_the_parser() {
    let mut seen = 0;
    for place in places() {
        for (key, default) in place.section.keys.iter().filter_map(|key| Some((key, key.default?))) {
            let value = default_of(key, default).to_string();
            let (with, without) = (place.with(key.name, &value), place.without(key.name));
            match (parse(&with), parse(&without)) {
                (Ok(with), Ok(without)) => assert_eq!(with, without, "{}", key.name),
                // The folder of `PARTS` needs its capability, and a slot somebody who uses it.
                (with, without) => {
                    assert_eq!(with.is_err(), without.is_err(), "{}: {with:?} {without:?}", key.name)
                }
            }
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
}

/// Those of this repository, which are read by people.
#[test]
fn connectors_fit() {
    let schema = compiled();
    for manifest in [
        include_str!("../../../../connectors/stripe/connector.toml"),
        include_str!("../../../../connectors/rest/connector.toml"),
        include_str!("../../../../connectors/examples/weather/connector.toml"),
        include_str!("../../../../connectors/examples/issues/connector.toml"),
        include_str!("../../../../connectors/examples/orders/connector.toml"),
    ] {
        assert!(editor(&schema, manifest), "{manifest}");
    }
}
