//! The table of keys against the parser, in both directions, and against docs/configuration.md.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    config::{Config, authored},
    schema,
};
use portcullis_engine::Schema;
use serde_json::Value;
use std::collections::BTreeSet;

/// A place for keys: the text before it, the lines that its table can't do without, the text after it.
struct Place {
    name: &'static str,
    section: &'static Section,
    head: &'static str,
    base: &'static [(&'static str, &'static str)],
    tail: &'static str,
}

const LIVE: &str = "[credentials.live]\nscheme = \"bearer\"\nsecret = \"file:live.key\"\n";

const KEY: &str = "\"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\"";

/// What flows name.
const AROUND: &str = "[serve]\npublic-url = \"https://a.test\"\n\
    [connections.one]\nconnector = \"acme/x\"\nallow = \"requested\"\n\
    [webhooks.one]\nconnection = \"one\"\npath = \"/one\"\nunsigned = true\n\
    [flows.other]\nsteps = [{ map = \".\" }]\n";
/// The same, and what the flow does.
const STEPPED: &str = "[[flows.one.steps]]\nmap = \".\"\n\
    [serve]\npublic-url = \"https://a.test\"\n\
    [connections.one]\nconnector = \"acme/x\"\nallow = \"requested\"\n\
    [webhooks.one]\nconnection = \"one\"\npath = \"/one\"\nunsigned = true\n\
    [flows.other]\nsteps = [{ map = \".\" }]\n";

fn places() -> Vec<Place> {
    let place = |name, section, head, base, tail| Place { name, section, head, base, tail };
    vec![
        place("", &ROOT, "", &[], ""),
        place("secrets.file", &SECRETS[0], "[secrets.own]\n", &[("type", "\"file\""), ("path", "\"x\"")], ""),
        place(
            "secrets.directory",
            &SECRETS[1],
            "[secrets.own]\n",
            &[("type", "\"directory\""), ("path", "\"x\"")],
            "",
        ),
        place("secrets.env", &SECRETS[2], "[secrets.own]\n", &[("type", "\"env\"")], ""),
        place(
            "credentials.bearer",
            &CREDENTIALS[0],
            "[credentials.one]\n",
            &[("scheme", "\"bearer\""), ("secret", "\"env:KEY\"")],
            "",
        ),
        place(
            "credentials.basic",
            &CREDENTIALS[1],
            "[credentials.one]\n",
            &[("scheme", "\"basic\""), ("username", "\"me\"")],
            "",
        ),
        place(
            "credentials.header",
            &CREDENTIALS[2],
            "[credentials.one]\n",
            &[("scheme", "\"api-key\""), ("secret", "\"env:KEY\""), ("header", "\"X-Key\"")],
            "",
        ),
        place(
            "credentials.query",
            &CREDENTIALS[3],
            "[credentials.one]\n",
            &[("scheme", "\"api-key\""), ("secret", "\"env:KEY\""), ("query", "\"key\"")],
            "",
        ),
        place("boundary", &BOUNDARY, "[boundary]\n", &[], ""),
        place("publishers", &PUBLISHERS[0], "[publishers.acme]\n", &[("key", KEY)], ""),
        place("retention", &RETENTION, "[retention]\n", &[], ""),
        place(
            "connections",
            &CONNECTIONS[0],
            "[connections.one]\n",
            &[("connector", "\"acme/x\""), ("allow", "\"requested\"")],
            LIVE,
        ),
        place(
            "serve",
            &SERVE,
            "[serve]\n",
            &[("certificate", "\"chain.pem\""), ("private-key", "\"env:KEY\"")],
            "",
        ),
        place(
            "webhooks",
            &WEBHOOKS[0],
            "[webhooks.one]\n",
            &[("connection", "\"one\""), ("path", "\"/one\""), ("secret", "\"env:KEY\"")],
            "[serve]\npublic-url = \"https://a.test\"\n\
             [connections.one]\nconnector = \"acme/x\"\nallow = \"requested\"\n",
        ),
        place("flows", &FLOWS[0], "[flows.one]\n", &[("steps", "[{ map = \".\" }]")], AROUND),
        place("flows.cron", &SCHEDULES[0], "[flows.one.schedule]\n", &[("cron", "\"0 * * * *\"")], STEPPED),
        place("flows.every", &SCHEDULES[1], "[flows.one.schedule]\n", &[("every", "\"1h\"")], STEPPED),
        place("flows.webhook", &FLOW_WEBHOOK, "[flows.one.webhook]\n", &[("route", "\"one\"")], STEPPED),
        place("flows.after", &FLOW_AFTER, "[flows.one.after]\n", &[("flow", "\"other\"")], STEPPED),
        place(
            "flows.action",
            &STEPS[0],
            "[[flows.one.steps]]\n",
            &[("action", "{ connection = \"one\", name = \"create\" }")],
            AROUND,
        ),
        place("flows.map", &STEPS[1], "[[flows.one.steps]]\n", &[("map", "\".\"")], AROUND),
        place("flows.forms", &STEPS[2], "[[flows.one.steps]]\n", &[("drop", "[\"/x\"]")], AROUND),
        place(
            "flows.sync",
            &STEPS[3],
            "[[flows.one.steps]]\n",
            &[
                ("source", "{ connection = \"one\", streams = [\"rows\"] }"),
                ("destination", "{ connection = \"one\" }"),
            ],
            AROUND,
        ),
        place(
            "flows.source",
            &FLOW_SOURCE,
            "[[flows.one.steps]]\ndestination = { connection = \"one\" }\n[flows.one.steps.source]\n",
            &[("connection", "\"one\""), ("streams", "[\"rows\"]")],
            AROUND,
        ),
        place(
            "flows.destination",
            &FLOW_DESTINATION,
            "[[flows.one.steps]]\nsource = { connection = \"one\", streams = [\"rows\"] }\n[flows.one.steps.destination]\n",
            &[("connection", "\"one\"")],
            AROUND,
        ),
        place(
            "flows.called",
            &FLOW_ACTION,
            "[[flows.one.steps]]\n[flows.one.steps.action]\n",
            &[("connection", "\"one\""), ("name", "\"create\"")],
            AROUND,
        ),
        place(
            "limits",
            &LIMITS,
            "[connections.one]\nconnector = \"acme/x\"\nallow = \"requested\"\n[connections.one.limits]\n",
            &[],
            "",
        ),
        place(
            "network",
            &NETWORK,
            "[connections.one]\nconnector = \"acme/x\"\nallow = \"requested\"\n[connections.one.network]\n",
            &[],
            "",
        ),
    ]
}

impl Place {
    /// The document in which this key has this value.
    fn with(&self, key: &str, value: &str) -> String {
        let others = self.base.iter().filter(|(name, _)| *name != key);
        let others: String = others.map(|(name, value)| format!("{name} = {value}\n")).collect();
        format!("{}{others}{key} = {value}\n{}", self.head, self.tail)
    }
}

#[test]
fn one_fault_makes_no_other_key_unknown() {
    let mut seen = 0;
    for place in places() {
        for key in place.section.keys {
            for other in place.section.keys.iter().filter(|other| other.name != key.name) {
                let sample = samples(other).remove(0);
                for broken in [None, Some("7.5"), Some("\"?\""), Some("[7]")] {
                    let changed = [key.name, other.name];
                    let others = place.base.iter().filter(|(name, _)| !changed.contains(name)).copied();
                    let changed = broken.map(|broken| (key.name, broken)).into_iter();
                    let pairs = others.chain(changed).chain([(other.name, sample.as_str())]);
                    let lines: String = pairs.map(|(name, value)| format!("{name} = {value}\n")).collect();
                    let text = format!("{}{lines}{}", place.head, place.tail);
                    let faults = parse(&text).err().unwrap_or_default();
                    let unknown = faults.iter().find(|fault| fault.starts_with("unknown key"));
                    assert_eq!(unknown, None, "{faults:?}\n{text}");
                    seen += faults.len();
                }
            }
        }
    }
    assert!(seen > 1_000, "{seen}");
}

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let file = std::path::Path::new("/nowhere/portcullis.toml");
    authored::parse(file, text).map_err(|faults| faults.into_iter().map(|fault| fault.message).collect())
}

/// What an editor says of the same text.
fn editor(schema: &Schema, text: &str) -> bool {
    let value: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let faults = schema.validate_in_time(&serde_json::to_string(&value).unwrap()).unwrap();
    faults.is_empty()
}

fn compiled() -> Schema {
    let schema = Schema::new(schema::config().to_string());
    schema.compile_in_time().unwrap();
    schema
}

/// Values that a key of this kind takes.
fn samples(key: &Key) -> Vec<String> {
    let texts: &[&str] = match key.is {
        Is::Text if key.name == "header" => &["\"X-Api-Key\""],
        Is::Text if key.name == "query" => &["\"api_key\""],
        Is::Text if key.name == "key" => &[KEY],
        Is::Text if ["ingress", "operator"].contains(&key.name) => &["\"0.0.0.0:80\"", "\"[::1]:8080\""],
        Is::Text if key.name == "public-url" => &["\"https://a.test\"", "\"http://127.0.0.1:8080/in\""],
        Is::Text if key.name == "connection" => &["\"one\""],
        Is::Text if key.name == "route" => &["\"one\""],
        Is::Text if key.name == "flow" => &["\"other\""],
        Is::Text if key.name == "order-by" => &["\"/a\"", "\"/a/b~1c~0d/0\""],
        Is::Text if key.name == "cron" => &["\"0 * * * *\"", "\"@hourly\""],
        Is::Text if key.name == "timezone" => &["\"UTC\"", "\"Europe/Berlin\""],
        Is::Text if key.name == "name" => &["\"create\"", "\"a-1\""],
        Is::Text if ["when", "for-each", "map", "input"].contains(&key.name) => &["\".\"", "\".a[] | .b\""],
        Is::Text if key.name == "stream-prefix" => &["\"raw-\"", "\"\""],
        Is::Text if key.name == "path" => &["\"/one\"", "\"/a.b/c-d_e~1\""],
        Is::Text => &["\"some text\"", "\"\""],
        // A real one: the parser reads it.
        Is::Path if key.name == "ca-file" => return vec![Value::from(ca_file()).to_string()],
        Is::Path => &["\"some/path\"", "\"/some/path\""],
        Is::Reference => &["\"file:a/b.key\"", "\"file:keys.json#/stripe/live\"", "\"env:KEY\""],
        Is::NameOrReference => &["\"me\"", "{ secret = \"file:user\" }"],
        Is::Connector => &["\"acme/x\"", "\"acme/x@^1\"", "\"acme/x-2@=1.2.0\"", "\"0/0@>=1, <2\""],
        Is::Choice(words) => return words.iter().map(|word| Value::from(*word).to_string()).collect(),
        Is::Choices(words) => return vec![Value::from(words.to_vec()).to_string()],
        Is::OneOf(_) => &["{ cron = \"0 0 1 * *\" }", "{ every = \"1h\", overlap = \"queue\" }"],
        Is::Tables(_) => {
            &["[{ map = \".\" }, { action = { connection = \"one\", name = \"a\" }, input = \".\" }]"]
        }
        Is::Table(section) if std::ptr::eq(section, &FLOW_WEBHOOK) => &["{ route = \"one\" }"],
        Is::Table(section) if std::ptr::eq(section, &FLOW_AFTER) => &["{ flow = \"other\" }"],
        Is::Table(section) if std::ptr::eq(section, &FLOW_SOURCE) => {
            &["{ connection = \"one\", streams = [\"rows\"] }"]
        }
        Is::Table(section) if std::ptr::eq(section, &FLOW_DESTINATION) => {
            &["{ connection = \"one\", mode = \"upsert\" }"]
        }
        Is::Table(section) if std::ptr::eq(section, &FLOW_ACTION) => {
            &["{ connection = \"one\", name = \"a\" }"]
        }
        Is::Bytes if key.name.ends_with("-size") => &["\"16MiB\"", "\"1024GiB\""],
        Is::Bytes => &["\"1B\"", "\"64KiB\"", "\"1MiB\""],
        Is::Time if key.name == "every" => &["\"1s\"", "\"366d\""],
        Is::Time if key.name.ends_with("-age") => &["\"1h\"", "\"365d\""],
        Is::Time => &["\"1ms\"", "\"30s\"", "\"1m\""],
        Is::Count(most) => return vec!["1".to_owned(), most.to_string()],
        Is::Rate => &["0.00028", "1", "1000000"],
        Is::Share => &["0", "0.25", "1"],
        // What is unsigned has no secret.
        Is::Flag if key.name == "unsigned" => &["false"],
        Is::Flag => &["true", "false"],
        Is::Texts if ["addresses", "trusted-proxies"].contains(&key.name) => {
            &["[]", "[\"10.1.0.0/16\", \"127.0.0.1/32\"]"]
        }
        Is::Texts if ["drop", "mask"].contains(&key.name) => &["[\"/name\"]", "[\"/a/*/b\", \"/0\"]"],
        Is::Texts if key.name == "streams" => &["[\"rows\"]", "[\"a\", \"b.c\"]"],
        Is::Texts => &["[]", "[\"name\"]"],
        Is::Rules => &["[\"GET https://a.test/**\"]", "[\"DELETE,GET https://*/**\"]"],
        Is::RulesOrRequested => {
            &["\"requested\"", "[]", "[\"GET http://a.test:8080/x\", \"GET,PUT https://*.a.test/*/x\"]"]
        }
        Is::Map if key.name == "credentials" => &["{}", "{ slot = \"live\" }"],
        Is::Map if key.name == "rename" => &["{ \"/a/b\" = \"c\" }"],
        Is::Map if key.name == "cast" => &["{ \"/a/*/b\" = \"integer\", \"/c\" = \"string\" }"],
        Is::Map => &["{}", "{ \"a.test:443\" = \"127.0.0.1:8443\" }"],
        Is::Origins => &["{}", "{ one = \"https://a.test\", 0-x = \"http://b.test:8080/tenant\" }"],
        Is::Paths => &["{}", "{ out = \"./out\" }"],
        Is::Foreign if key.name == "default" => &["{ \"/a\" = [1, true, { b = \"x\" }] }"],
        Is::Foreign => &["{}", "{ any = { thing = [1, true, \"x\"] } }"],
        Is::Table(_) | Is::Named(..) => &["{}"],
        _ => panic!("no config has `{}` of this kind", key.name),
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn ca_file() -> String {
    static FILE: std::sync::OnceLock<tempfile::NamedTempFile> = std::sync::OnceLock::new();
    let file = FILE.get_or_init(|| {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), made.cert.pem()).unwrap();
        file
    });
    file.path().to_str().unwrap().to_owned()
}

#[test]
fn every_key_is_accepted_by_the_parser_and_by_the_schema() {
    let schema = compiled();
    for place in places() {
        for key in place.section.keys {
            for value in samples(key) {
                let text = place.with(key.name, &value);
                parse(&text).map(drop).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
                assert!(editor(&schema, &text), "the schema refuses\n{text}");
            }
        }
    }
}

/// Every key that the parser asks for is a word in its source.
fn words() -> BTreeSet<String> {
    let sources = [
        include_str!("../authored.rs"),
        include_str!("../authored/connection.rs"),
        include_str!("../authored/flow.rs"),
        include_str!("../authored/flow/forms.rs"),
        include_str!("../authored/flow/schedule.rs"),
        include_str!("../authored/flow/sync.rs"),
        include_str!("../authored/serve.rs"),
        include_str!("../keys.rs"),
        include_str!("../../../../../docs/configuration.md"),
    ];
    let mut words = BTreeSet::new();
    for source in sources {
        for part in source.split(['"', '`']) {
            if !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            {
                words.insert(part.to_owned());
            }
        }
    }
    words
}

#[test]
fn no_other_key_is_accepted_by_either() {
    let schema = compiled();
    let words = words();
    assert!(words.len() > 80 && words.contains("rotate-every"), "{words:?}");
    for place in places() {
        for word in words.iter().filter(|word| !place.section.keys.iter().any(|key| key.name == **word)) {
            let text = place.with(word, "\"x\"");
            let Err(faults) = parse(&text) else {
                panic!("{}: the parser accepts `{word}`\n{text}", place.name)
            };
            let refused = |fault: &String| {
                fault.starts_with(&format!("unknown key `{word}`"))
                    || fault == &format!("`{word}` is not supported yet")
                    || fault == "an API key goes into one place"
                    || fault == "`prefix` belongs to a header"
                    || fault == "a schedule has one of `cron` and `every`"
                    || fault == "`timezone` belongs to `cron`"
                    || fault == "a step does one thing"
                    || fault == "`input` belongs to an action"
                    || fault == "`source` and `destination` belong together"
                    || fault.ends_with("does not belong to a step with a `source`")
            };
            assert!(faults.iter().any(refused), "the parser knows `{word}`: {faults:?}\n{text}");
            assert!(!editor(&schema, &text), "the schema has `{word}`\n{text}");
        }
    }
}

#[test]
fn what_the_parser_accepts_the_schema_does_and_types_are_the_same() {
    let schema = compiled();
    let values = [
        "\"x\"",
        "1",
        "0",
        "-1",
        "1.5",
        "true",
        "[]",
        "[1]",
        "[\"x\"]",
        "{}",
        "{ a = 1 }",
        "{ a = \"x\" }",
        "1979-05-27",
    ];
    for place in places() {
        for key in place.section.keys {
            for value in values {
                let text = place.with(key.name, value);
                let parsed = parse(&text);
                let edited = editor(&schema, &text);
                match parsed {
                    Ok(_) => assert!(edited, "the schema refuses what the parser reads\n{text}"),
                    // A date is a string to JSON.
                    Err(_) if value == "1979-05-27" => {}
                    Err(faults) => {
                        let typed = faults.iter().any(|fault| fault.contains(", found "));
                        assert!(!(typed && edited), "the schema has another type: {faults:?}\n{text}");
                    }
                }
            }
        }
    }
}

#[test]
fn choices_units_and_ranges_are_the_same() {
    let schema = compiled();
    let words = words();
    let units = [
        "1B", "1KiB", "1MiB", "1GiB", "1TiB", "1KB", "1", "B", "1 B", "-1B", "1.5KiB", "1ms", "1s", "1m",
        "1h", "1d", "1w", "1S",
    ];
    for place in places() {
        for key in place.section.keys {
            let (values, exact): (Vec<String>, bool) = match key.is {
                Is::Choice(_) => {
                    (words.iter().map(|word| Value::from(word.as_str()).to_string()).collect(), true)
                }
                Is::Bytes | Is::Time => (units.iter().map(|unit| format!("\"{unit}\"")).collect(), false),
                Is::Count(most) => ([0, -1, most + 1].iter().map(ToString::to_string).collect(), true),
                Is::Rate => (["0.0", "-1", "1000001"].map(str::to_owned).to_vec(), true),
                Is::Share => (["-0.1", "1.1", "1000001"].map(str::to_owned).to_vec(), true),
                _ => continue,
            };
            for value in values {
                let text = place.with(key.name, &value);
                let (parsed, edited) = (parse(&text), editor(&schema, &text));
                match &parsed {
                    Ok(_) => assert!(edited, "{text}"),
                    Err(faults) if exact => assert!(!edited, "{faults:?}\n{text}"),
                    // Over the bound of this key: a string's size is the parser's to judge.
                    Err(faults) => {
                        let form = faults.iter().any(|fault| fault.contains("expected a "));
                        assert_eq!(edited, !form, "{faults:?}\n{text}");
                    }
                }
            }
        }
    }
}

/// Everything of a config that has a default.
fn meaning(config: &Config) -> String {
    let mut text = format!("{:?} {:?} {:?}", config.registry, config.data, config.retention);
    let serve = &config.serve;
    text.push_str(&format!(
        " {} {} {:?} {:?}",
        serve.ingress, serve.operator, serve.trusted_proxies, serve.backlog
    ));
    for (name, one) in &config.webhooks {
        text.push_str(&format!(" {name} {} {:?}", one.secrets.len(), one.body_bytes_max));
    }
    for (name, one) in &config.flows {
        let schedule = one.triggers.schedule.as_ref();
        let schedule = schedule.map(|one| (&one.text, one.overlap, one.catch_up));
        let (webhook, after) = (&one.triggers.webhook, &one.triggers.after);
        text.push_str(&format!(
            " {name} {schedule:?} {webhook:?} {after:?} {} {:?}",
            one.concurrency, one.steps
        ));
    }
    for credential in config.credentials.values() {
        text.push_str(&format!(" {}", credential.short));
    }
    for (name, one) in &config.connections {
        let folders: Vec<_> = one.folders.values().map(|folder| &folder.path).collect();
        let network = &one.network;
        text.push_str(&format!(
            " {name} {:?} {:?} {folders:?} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {}",
            one.credentials,
            one.origins,
            one.config,
            one.capture,
            one.sensitive,
            one.limits,
            network.connect_to,
            network.addresses,
            network.roots,
            one.deletes,
            one.removed_share_max,
            one.restarts
        ));
    }
    text
}

#[test]
fn the_defaults_are_those_of_the_parser() {
    let mut seen = 0;
    for place in places() {
        for (key, default) in place.section.keys.iter().filter_map(|key| Some((key, key.default?))) {
            let value = schema::default_of(key, default).to_string();
            let (with, without) = (place.with(key.name, &value), place.with("", "").replace(" = \n", ""));
            assert_eq!(meaning(&parse(&with).unwrap()), meaning(&parse(&without).unwrap()), "{with}");
            seen += 1;
        }
    }
    assert!(seen > 25, "{seen}");
}

/// Rows of the tables whose first column is `key`: section, key, the first word of the second column where that is its default.
fn documented() -> Vec<(String, String, Option<String>)> {
    let (mut section, mut columns, mut rows) = (String::new(), Vec::new(), Vec::new());
    for line in include_str!("../../../../../docs/configuration.md").lines() {
        if let Some(title) = line.strip_prefix("##") {
            section = title.trim_matches(['#', ' ', '`', '[', ']']).to_owned();
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["key", rest @ ..] if line.starts_with('|') => columns = rest.to_vec(),
            _ if !line.starts_with('|') => columns.clear(),
            [names, second, ..] if !columns.is_empty() && !names.starts_with("---") => {
                for name in names.split(", ") {
                    let default =
                        (columns.first() == Some(&"default")).then(|| second.trim_matches('`').to_owned());
                    rows.push((section.clone(), name.trim_matches('`').to_owned(), default));
                }
            }
            _ => {}
        }
    }
    rows
}

#[test]
fn the_documentation_has_the_same_keys_and_defaults() {
    let sections: [(&str, Vec<&Section>); 18] = [
        ("", vec![&ROOT]),
        ("secrets.NAME", SECRETS.iter().collect()),
        ("credentials.NAME", CREDENTIALS.iter().collect()),
        ("boundary", vec![&BOUNDARY]),
        ("publishers.NAME", PUBLISHERS.iter().collect()),
        ("retention", vec![&RETENTION]),
        ("connections.NAME", CONNECTIONS.iter().collect()),
        ("serve", vec![&SERVE]),
        ("webhooks.NAME", WEBHOOKS.iter().collect()),
        ("flows.NAME", FLOWS.iter().collect()),
        ("flows.NAME.schedule", SCHEDULES.iter().collect()),
        ("flows.NAME.webhook", vec![&FLOW_WEBHOOK]),
        ("flows.NAME.after", vec![&FLOW_AFTER]),
        ("flows.NAME.steps", STEPS.iter().collect()),
        ("flows.NAME.steps.source", vec![&FLOW_SOURCE]),
        ("flows.NAME.steps.destination", vec![&FLOW_DESTINATION]),
        ("connections.NAME.limits", vec![&LIMITS]),
        ("connections.NAME.network", vec![&NETWORK]),
    ];
    let rows = documented();
    for (name, forms) in sections {
        let documented: BTreeSet<&str> =
            rows.iter().filter(|(section, ..)| section == name).map(|(_, key, _)| key.as_str()).collect();
        let keys = forms.iter().flat_map(|form| form.keys);
        // Tables have a heading of their own.
        let keys: Vec<&Key> = keys.filter(|key| !matches!(key.is, Is::Table(_) | Is::Named(..))).collect();
        let known: BTreeSet<&str> = keys.iter().map(|key| key.name).collect();
        assert_eq!(documented, known, "[{name}]");
        for key in keys {
            let row = rows.iter().find(|(section, row, _)| section == name && row == key.name).unwrap();
            if let Some(default) = &row.2 {
                assert_eq!(
                    default.trim_matches('"'),
                    key.default.unwrap_or_default(),
                    "[{name}] {}",
                    key.name
                );
            }
        }
    }
}

#[test]
fn the_examples_fit() {
    let schema = compiled();
    let init = include_str!("../../command/init/portcullis.toml");
    // With its examples: a `#` and no space.
    let example =
        |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    let init: String = init.lines().map(|line| example(line) + "\n").collect();
    assert!(init.contains("\nowner = ") && editor(&schema, &init), "{init}");
    let readme = include_str!("../../../../../README.md");
    let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(editor(&schema, example), "{example}");
    let tables =
        [&ROOT, &BOUNDARY, &LIMITS, &NETWORK, &SERVE, &FLOW_WEBHOOK, &FLOW_AFTER, &FLOW_ACTION].into_iter();
    let tables = tables.chain([&FLOW_SOURCE, &FLOW_DESTINATION]);
    let tables = tables.chain(FLOWS).chain(SCHEDULES).chain(STEPS);
    for section in tables.chain(SECRETS).chain(CREDENTIALS).chain(CONNECTIONS).chain(WEBHOOKS) {
        assert!(section.keys.iter().all(|key| !key.words.is_empty() && !section.words.is_empty()));
    }
}
