//! The manifest in both forms: what passes, and each twin that does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use serde_json::{Value, json};
use std::fs;

/// The example of the design.
pub(crate) const STRIPE: &str = r#"
[connector]
name = "acme/stripe"
version = "1.2.0"
position-version = 1
config-version = 1
roles = ["source", "actions"]
capabilities = []
summary = "Customers, invoices, charges and events of a Stripe account"
config-schema = "config.schema.json"

[credentials.secret-key]
schemes = ["bearer"]
why = "Stripe secret or restricted key"

[[http]]
allow = ["GET https://api.stripe.com/v1/customers/**", "POST https://api.stripe.com/v1/customers"]
credential = "secret-key"
idempotency = { header = "Idempotency-Key", window = "24h" }
why = "read and create customers"

[actions.create-customer]
input = "schemas/create-customer.json"
output = "schemas/customer.json"
http = ["POST https://api.stripe.com/v1/customers"]
scopes = []
delivery = "at-least-once"

[streams.customers]
schema = "schemas/customer.json"
primary-key = ["id"]
cursor-field = "created"
sensitive = ["email"]

[limits]
requests-per-second = 25
"#;

pub(super) fn folder(manifest: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("schemas")).unwrap();
    fs::write(dir.path().join("connector.toml"), manifest).unwrap();
    fs::write(dir.path().join("config.schema.json"), r#"{"type":"object","additionalProperties":false}"#)
        .unwrap();
    let customer = r#"{"type":"object","properties":{"id":{"type":"string"},"created":{"type":"integer"},"email":{"type":"string"}}}"#;
    fs::write(dir.path().join("schemas/customer.json"), customer).unwrap();
    fs::write(dir.path().join("schemas/create-customer.json"), r#"{"type":"object"}"#).unwrap();
    dir
}

pub(crate) fn stripe() -> Connector {
    Connector::read_folder(folder(STRIPE).path()).unwrap()
}

/// The faults of the example with one text replaced, without the folder's name.
fn faults(from: &str, to: &str) -> Vec<String> {
    assert!(STRIPE.contains(from), "{from}");
    faults_of(&STRIPE.replacen(from, to, 1))
}

pub(super) fn faults_of(manifest: &str) -> Vec<String> {
    let dir = folder(manifest);
    let Err(faults) = Connector::read_folder(dir.path()) else { return Vec::new() };
    let prefix = format!("{}/connector.toml:", dir.path().display());
    faults.iter().map(|fault| fault.to_string().replace(&prefix, "")).collect()
}

#[test]
fn the_example_of_the_design() {
    let connector = stripe();
    assert_eq!(connector.name.to_string(), "acme/stripe");
    assert_eq!(connector.roles, BTreeSet::from([Role::Actions, Role::Source]));
    assert_eq!(connector.rules.len(), 2);
    assert_eq!(connector.rules[1].place, "http[0].allow[1]");
    assert_eq!(connector.rules[1].rule.to_string(), "POST https://api.stripe.com/v1/customers");
    assert_eq!(connector.rules[1].attributes.credentials, ["secret-key"]);
    assert_eq!(
        connector.rules[1].attributes.idempotency.as_ref().unwrap().window,
        Duration::from_secs(86400)
    );
    assert_eq!(connector.actions["create-customer"].delivery, Delivery::AtLeastOnce);
    assert_eq!(connector.streams["customers"].sensitive, ["email"]);
    assert_eq!(connector.requests_per_second, Some(25.0));
    assert_eq!(connector.config_schema.as_ref().unwrap()["type"], "object");
}

#[test]
fn round_trip_through_the_embedded_form() {
    let connector = stripe();
    let json = connector.to_json();
    assert_eq!(Connector::from_json(&json).unwrap(), connector);
    assert_eq!(Connector::from_json(&json).unwrap().to_json(), json);
    let text = String::from_utf8(json).unwrap();
    assert!(text.starts_with(r#"{"actions":{"create-customer":{"delivery":"at-least-once","http":["POST https://api.stripe.com/v1/customers"],"input":{"type":"object"},"#), "{text}");
    assert!(!text.contains(": ") && !text.contains('\n'));
}

#[test]
fn a_query_rule_is_read_and_written() {
    let with = |query: &str| format!("query = {query}\nwhy = \"read and");
    let read = |query: &str| {
        let connector =
            Connector::read_folder(folder(&STRIPE.replacen("why = \"read and", &with(query), 1)).path())
                .unwrap();
        assert_eq!(Connector::from_json(&connector.to_json()).unwrap(), connector);
        let query = connector.rules[0].attributes.query.clone().unwrap();
        query.pairs().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(read(r#"{ limit = "*", "expand[]" = "data.*" }"#), ["expand[]=data.*", "limit=*"]);
    assert!(read("{}").is_empty());
    let following = STRIPE.replacen("why = \"read and", "redirect = \"follow\"\nwhy = \"read and", 1);
    let following = Connector::read_folder(folder(&following).path()).unwrap();
    assert_eq!(following.rules[0].attributes.redirect, portcullis_grants::Redirect::Follow);
    assert_eq!(Connector::from_json(&following.to_json()).unwrap(), following);
    let faulty = |query: &str| faults("why = \"read and", &with(query));
    assert_eq!(
        faulty(r#"{ a = "x*y" }"#),
        ["20:15: `query`: `*` may stand at the end of a value and nowhere else, and not in `x*y`"]
    );
    assert_eq!(faulty(r#"{ "a+b" = "*" }"#), ["20:1: `query`: `a+b` is no query name or value"]);
    assert_eq!(faulty("{ a = 1 }"), ["20:15: `a`: expected a string, found an integer"]);
}

#[test]
fn forms_of_later_versions_are_refused_with_their_line() {
    let later =
        |key: &str, value: &str| faults("why = \"read and", &format!("{key} = {value}\nwhy = \"read and"));
    for (key, value) in [("graphql", "[\"query: viewer\"]"), ("soap", "[]")] {
        assert_eq!(later(key, value), [format!("20:1: `{key}` is not supported yet")]);
    }
    assert!(later("redirect", "\"guest\"").is_empty() && later("redirect", "\"follow\"").is_empty());
    assert_eq!(later("redirect", "\"both\""), ["20:12: `redirect` is `both`: expected `guest` or `follow`"]);
    assert_eq!(faults("scopes = []", "scopes = [\"a\"]"), ["26:1: `scopes` is not supported yet"]);
    assert_eq!(
        faults("capabilities = []", "capabilities = [\"sockets\"]"),
        ["8:16: unknown capability `sockets`"]
    );
    assert_eq!(faults("capabilities = []", "capabilities = [\"wasi-http\"]"), Vec::<String>::new());
    assert_eq!(faults("[\"bearer\"]", "[\"oauth2\"]"), ["13:12: scheme `oauth2` is not supported yet"]);
    let found = faults_of(&format!("{STRIPE}[subscriptions]\nsecret = {{}}\n"));
    assert_eq!(found, ["37:2: `subscriptions` is not supported yet"]);
}

#[test]
fn folders_need_their_capability_and_a_reason() {
    let with = |capabilities: &str, folders: &str| {
        faults_of(
            &format!("{STRIPE}{folders}\n")
                .replace("capabilities = []", &format!("capabilities = [{capabilities}]")),
        )
    };
    let out = "[folders.out]\naccess = \"write\"\nwhy = \"exports\"";
    assert_eq!(with("\"files\"", out), [""; 0]);
    let missing = "8:16: capability `files` without a folder: nothing could be granted";
    assert_eq!(with("\"files\"", ""), [missing]);
    assert_eq!(with("", out), ["37:2: `[folders.*]` needs the capability `files`"]);
    assert_eq!(with("\"fils\"", ""), ["8:16: unknown capability `fils`"]);
    for (folder, fault) in [
        ("[folders.out]\nwhy = \"x\"", "`access` is missing"),
        ("[folders.out]\naccess = \"execute\"\nwhy = \"x\"", "expected `read`, `write` or `read-write`"),
        ("[folders.out]\naccess = \"read\"", "`why` is missing"),
        ("[folders.out]\naccess = \"read\"\nwhy = \"\"", "`why` is empty"),
        ("[folders.\"../up\"]\naccess = \"read\"\nwhy = \"x\"", "expected lower-case letters"),
        ("[folders.out]\naccess = \"read\"\nwhy = \"x\"\npath = \"/etc\"", "unknown key `path`"),
    ] {
        let found = with("\"files\"", folder);
        assert!(found.iter().any(|found| found.contains(fault)), "{folder}: {found:?}");
    }
    let text = format!("{STRIPE}{out}\n").replace("capabilities = []", "capabilities = [\"files\"]");
    let connector = Connector::read_folder(folder(&text).path()).unwrap();
    assert_eq!(Connector::from_json(&connector.to_json()).unwrap(), connector);
    assert!(connector.folders["out"].access.writes() && !connector.folders["out"].access.reads());
}

#[test]
fn rules_over_an_origin_of_the_operator() {
    let api = "https://api.stripe.com/v1/customers";
    let over = |text: &str| text.replace(api, "{origin.instance}/v1/customers");
    assert_eq!(faults_of(&over(STRIPE)), [""; 0]);
    let connector = Connector::read_folder(folder(&over(STRIPE)).path()).unwrap();
    assert_eq!(connector.rules[0].rule.to_string(), "GET {origin.instance}/v1/customers/**");
    assert_eq!(Connector::from_json(&connector.to_json()).unwrap(), connector);
    // An operation's own list is over the same name, or nothing covers it.
    let other = over(STRIPE).replace("http = [\"POST {origin.instance}", "http = [\"POST {origin.other}");
    let found = faults_of(&other);
    let message = "no single `[[http]]` rule covers `POST {origin.other}/v1/customers`";
    assert!(found.iter().any(|fault| fault.contains(message)), "{found:?}");
    for bad in ["{origin.instance}:443", "{origin.In}", "{host}", "https://{origin.instance}"] {
        let found = faults_of(&STRIPE.replacen("https://api.stripe.com", bad, 1));
        assert!(found[0].starts_with("17:10: `allow[0]`") && found[0].contains("{origin.NAME}"), "{found:?}");
    }
}

#[test]
fn faults_with_line_and_suggestion() {
    let cases = [
        (
            "summary =",
            "sumary =",
            &["2:2: `summary` is missing in `connector`", "9:1: unknown key `sumary` in `connector`"][..],
        ),
        (
            "\"acme/stripe\"",
            "\"Acme\"",
            &[
                "3:8: `name` is `Acme`: expected `publisher/name`, each of lower-case letters, digits and `-`, at most 63 long",
            ],
        ),
        (
            "\"1.2.0\"",
            "\"1.2\"",
            &["4:11: `version` is `1.2`: unexpected end of input while parsing minor version number"],
        ),
        ("\"1.2.0\"", "\"1.2.0+b1\"", &["4:11: version `1.2.0+b1` has build metadata, which orders nothing"]),
        (
            "position-version = 1",
            "position-version = 0",
            &["5:20: `position-version` is `0`: expected 1 to 4294967295"],
        ),
        ("\"source\", \"actions\"", "\"source\"", &["22:2: `[actions.*]` needs the role `actions`"]),
        (
            "\"source\", \"actions\"",
            "\"source\", \"actions\", \"sink\"",
            &[
                "7:31: `roles[2]` is `sink`: unknown role; the roles are `actions`, `source`, `destination`, `webhook`, `subscriptions`, `migration`",
            ],
        ),
        (
            "credential = \"secret-key\"",
            "credential = \"secret_key\"",
            &["12:14: credential slot `secret-key` is used by no rule"],
        ),
        ("[\"bearer\"]", "[\"baerer\"]", &["13:12: unknown scheme `baerer`"]),
    ];
    check(&cases);
}

#[test]
fn faults_of_rules_operations_and_files() {
    let cases = [
        ("why = \"read and create customers\"", "", &["16:1: `why` is missing in `http[0]`"][..]),
        (
            "why = \"read and",
            "guest-headers = [\"Host\"]\nwhy = \"read and",
            &["20:17: `host` can never be set by a guest"],
        ),
        (
            "window = \"24h\"",
            "windw = \"24h\"",
            &[
                "19:1: `window` is missing in `idempotency`",
                "19:45: unknown key `windw` in `http[0].idempotency`",
            ],
        ),
        ("\"24h\"", "\"0s\"", &["19:1: `window` is 0: the vendor would remember nothing"]),
        (
            "POST https://api.stripe.com/v1/customers\"]\nscopes",
            "POST https://api.stripe.com/v1/charges\"]\nscopes",
            &["25:9: no single `[[http]]` rule covers `POST https://api.stripe.com/v1/charges`"],
        ),
        (
            "\"at-least-once\"",
            "\"at-least\"",
            &["27:12: `delivery` is `at-least`: expected `at-least-once` or `at-most-once`"],
        ),
        (
            "cursor-field = \"created\"",
            "cursor-field = \"craeted\"",
            &["32:16: the schema has no property `craeted`"],
        ),
        (
            "requests-per-second = 25",
            "requests-per-second = -1",
            &[
                "36:23: `requests-per-second` is -1.0: expected at least 1/3600 (one request an hour, `0.00028`), at most 1000000",
            ],
        ),
        (
            "requests-per-second = 25",
            "requests-per-second = 1e-300",
            &[
                "36:23: `requests-per-second` is 1e-300: expected at least 1/3600 (one request an hour, `0.00028`), at most 1000000",
            ],
        ),
        (
            "\"schemas/create-customer.json\"",
            "\"schemas/none.json\"",
            &["23:9: `input`: cannot read `schemas/none.json`: entity not found"],
        ),
        (
            "\"schemas/create-customer.json\"",
            "\"../x.json\"",
            &["23:9: `input`: `../x.json` is outside the connector's folder"],
        ),
        (
            "\"schemas/create-customer.json\"",
            "\"/etc/hostname\"",
            &["23:9: `input`: `/etc/hostname` is outside the connector's folder"],
        ),
        ("\"schemas/create-customer.json\"", "\"schemas\"", &["23:9: `input`: `schemas` is not a file"]),
        (
            "\"schemas/create-customer.json\"",
            "\"connector.toml\"",
            &["23:9: `input`: `connector.toml`: not JSON: line 2, column 2: expected value"],
        ),
    ];
    check(&cases);
}

fn check(cases: &[(&str, &str, &[&str])]) {
    let wrong: Vec<_> = cases
        .iter()
        .map(|(from, to, expected)| (to, faults(from, to), *expected))
        .filter(|(_, found, expected)| found != expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn remedies() {
    let dir = folder(
        &STRIPE.replace("credential = \"secret-key\"", "credential = [\"secret-key\", \"secret_key\"]"),
    );
    let found = Connector::read_folder(dir.path()).unwrap_err();
    // One table of two lines: the fault is reported for each rule.
    assert_eq!(found[0].message, "there is no credential slot `secret_key`");
    assert_eq!(found[0].help.as_deref(), Some("did you mean `secret-key`?"));
    assert_eq!(found[0].location.as_ref().unwrap().line, 18);
}

#[test]
fn at_least_once_needs_idempotency_where_it_sends() {
    let without = STRIPE.replace("idempotency = { header = \"Idempotency-Key\", window = \"24h\" }", "");
    let expected = "27:12: `at-least-once` needs `idempotency` on every unsafe rule, and `POST https://api.stripe.com/v1/customers` has none";
    assert_eq!(faults_of(&without), [expected]);
    let all = without.replace("http = [\"POST https://api.stripe.com/v1/customers\"]", "");
    assert_eq!(faults_of(&all), [expected]);
    assert!(faults_of(&without.replace("at-least-once", "at-most-once")).is_empty());
    assert!(
        faults_of(&without.replace("delivery = \"at-least-once\"", "")).is_empty(),
        "at-most-once is the default"
    );
    assert!(faults_of(&without.replace("why = \"read and", "safe = true\nwhy = \"read and")).is_empty());
    assert!(faults_of(&without.replace("POST https", "PUT https")).is_empty(), "PUT may be repeated");
}

#[test]
fn rules_that_overlap_must_agree() {
    let second =
        "[[http]]\nallow = [\"GET https://api.stripe.com/v1/*/x\"]\nwhy = \"other\"\n\n[actions.create";
    let found = faults("[actions.create", second);
    assert_eq!(
        found,
        [
            "23:10: http[0].allow[0] (`GET https://api.stripe.com/v1/customers/**`) and http[1].allow[0] (`GET https://api.stripe.com/v1/*/x`) can match one request but differ in credential"
        ]
    );
    assert!(faults("[actions.create", &second.replace("/v1/", "/v2/")).is_empty());
}

#[test]
fn links_lead_nowhere_outside() {
    let dir = folder(STRIPE);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("s.json"), "{}").unwrap();
    fs::remove_file(dir.path().join("schemas/create-customer.json")).unwrap();
    std::os::unix::fs::symlink(
        outside.path().join("s.json"),
        dir.path().join("schemas/create-customer.json"),
    )
    .unwrap();
    let found = Connector::read_folder(dir.path()).unwrap_err();
    assert_eq!(found[0].message, "`input`: `schemas/create-customer.json` is outside the connector's folder");
    fs::remove_file(dir.path().join("schemas/create-customer.json")).unwrap();
    std::os::unix::fs::symlink("customer.json", dir.path().join("schemas/create-customer.json")).unwrap();
    assert!(Connector::read_folder(dir.path()).is_ok(), "a link inside is fine");
}

#[test]
fn assets() {
    let manifest = format!("{STRIPE}[assets]\n\"data/zones.txt\" = \"config.schema.json\"\n");
    let dir = folder(&manifest);
    let read = Folder::read(dir.path()).unwrap();
    assert_eq!(read.assets.keys().collect::<Vec<_>>(), ["data/zones.txt"]);
    assert_eq!(read.files[0], dir.path().join("connector.toml"));
    assert_eq!(read.files.len(), 6);
    assert_eq!(Connector::read_assets(dir.path()).unwrap(), read.assets);
    assert!(faults_of(&manifest.replace("data/zones.txt", "../x"))[0].starts_with("38:1: asset `../x`: "));
}

#[test]
fn no_folder_and_no_file() {
    let found = Connector::read_folder(Path::new("/nonexistent")).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "/nonexistent/connector.toml: cannot read `/nonexistent`: entity not found"
    );
    let dir = tempfile::tempdir().unwrap();
    assert!(
        Connector::read_folder(dir.path()).unwrap_err()[0].message.contains("cannot read `connector.toml`")
    );
    fs::write(dir.path().join("connector.toml"), [0xff]).unwrap();
    assert_eq!(Connector::read_folder(dir.path()).unwrap_err()[0].message, "not UTF-8");
}

#[test]
fn every_connector_of_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut read = 0;
    for folder in ["connectors", "tests/guests"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let dir = entry.unwrap().path();
            if !dir.join("connector.toml").exists() {
                continue;
            }
            let words =
                |faults: Vec<crate::Diagnostic>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
            let connector = Connector::read_folder(&dir).map_err(words).unwrap();
            assert_eq!(Connector::from_json(&connector.to_json()).unwrap(), connector);
            read += 1;
        }
    }
    assert!(read > 0);
}

/// The embedded form with one change.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_slice(&stripe().to_json()).unwrap();
    change(&mut value);
    match Connector::from_json(value.to_string().as_bytes()) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_embedded_form_is_held_to_the_same_checks() {
    assert_eq!(changed(|_| {}), "");
    assert_eq!(
        changed(|v| v["format"] = json!(2)),
        "manifest at `/format`: format 2: this portcullis reads 1"
    );
    assert_eq!(
        changed(|v| v["connector"]["nmae"] = json!(1)),
        "manifest at `/connector`: unknown key `nmae`; did you mean `name`?"
    );
    assert_eq!(
        changed(|v| v["connector"]["summary"] = json!("a\u{1b}[2J")),
        "manifest at `/connector/summary`: `summary` has control characters or more than one line"
    );
    assert_eq!(
        changed(|v| v["connector"]["name"] = json!("../x")),
        "manifest at `/connector/name`: `../x`: expected `publisher/name`, each of lower-case letters, digits and `-`, at most 63 long"
    );
    assert_eq!(
        changed(|v| v["connector"]["capabilities"] = json!(["sockets"])),
        "manifest at `/connector/capabilities`: unknown capability `sockets`"
    );
    assert_eq!(
        changed(|v| v["http"][0]["graphql"] = json!({})),
        "manifest at `/http/0`: unknown key `graphql`"
    );
    assert_eq!(
        changed(|v| v["http"][0]["query"] = json!({ "a": "x*y" })),
        "manifest at `/http/0/query/a`: `*` may stand at the end of a value and nowhere else, and not in `x*y`"
    );
    assert_eq!(
        changed(|v| v["http"][0]["place"] = json!("\n")),
        "manifest at `/http/0/place`: expected a place such as `http[0].allow[1]`"
    );
    assert_eq!(
        changed(|v| v["http"][1]["place"] = json!("http[0].allow[0]")),
        "manifest at `/http/1/place`: two rules stand at `http[0].allow[0]`"
    );
    assert_eq!(
        changed(|v| v["http"][1]["credential"] = json!(["other"])),
        "manifest at `/http/1/credential`: there is no credential slot `other`"
    );
    assert_eq!(
        changed(|v| drop(v["http"][1].as_object_mut().unwrap().remove("why"))),
        "manifest at `/http/1`: `why` is missing"
    );
    assert_eq!(
        changed(|v| v["actions"]["create-customer"]["input"] = json!({"$ref": "https://evil.test/"})),
        "manifest at `/actions/create-customer/input`: `input`: `https://evil.test/` points outside the schema: put it under `$defs` and write `#/$defs/NAME`"
    );
    assert_eq!(
        changed(|v| v["actions"]["a/b~c"] = v["actions"]["create-customer"].clone()),
        "manifest at `/actions/a~1b~0c`: name `a/b~c`: expected letters, digits, `-`, `_` and `.`, at most 128 long, or `*` for the names that the connection's config has"
    );
    assert_eq!(
        changed(|v| v["streams"]["customers"]["primary-key"] = json!("id")),
        "manifest at `/streams/customers/primary-key`: expected an array, found a string"
    );
    assert!(
        changed(|v| v["http"] = json!(vec![v["http"][0].clone(); 600])).contains("600 rules: at most 512")
    );
    assert_eq!(
        Connector::from_json(br#"{"format":1,"format":1}"#).unwrap_err().to_string(),
        "manifest: an object has one key twice, or a reserved one"
    );
    assert_eq!(
        Connector::from_json(b"[]").unwrap_err().to_string(),
        "manifest: expected an object, found an array"
    );
    let large = vec![b' '; crate::limits::MANIFEST_BYTES_MAX + 1];
    assert_eq!(Connector::from_json(&large).unwrap_err().to_string(), "manifest: larger than 8388608 bytes");
}

#[test]
fn no_rules_is_a_manifest_that_reaches_nothing() {
    let manifest = "[connector]\nname = \"a/b\"\nversion = \"0.1.0\"\nposition-version = 1\nconfig-version = 1\nroles = [\"webhook\"]\nsummary = \"s\"\n";
    assert!(faults_of(manifest).is_empty());
    assert_eq!(
        faults_of(&manifest.replace("\"webhook\"", "")),
        ["6:9: `roles` is empty: a connector has at least one"]
    );
    assert_eq!(
        faults_of(&manifest.replace("\"webhook\"", "\"source\"")),
        ["6:9: role `source` is declared, but there is no `[streams.*]`"]
    );
}

#[test]
fn rates_that_a_host_can_keep() {
    for (rate, possible) in [
        (25.0, true),
        (1.0 / 3600.0, true),
        (0.00028, true),
        (1e6, true),
        (0.00027, false),
        (f64::MIN_POSITIVE, false),
        (5e-324, false),
        (0.0, false),
        (-0.0, false),
        (1e7, false),
        (f64::INFINITY, false),
        (f64::NAN, false),
    ] {
        assert_eq!(requests_per_second(rate).is_ok(), possible, "{rate:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_of_people_survives(summary in "[a-zäöß\"\\\\{}:\u{1F600} ]{1,60}x", rate in 0.001f64..1e6) {
        let connector = Connector { summary, requests_per_second: Some(rate), ..stripe() };
        proptest::prop_assert_eq!(Connector::from_json(&connector.to_json()).unwrap(), connector);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(0u8..128, 0..200)) {
        let _ = Connector::from_json(&bytes);
    }
}

#[test]
fn an_operation_may_stand_for_the_names_of_the_config() {
    let any = STRIPE.replace("[streams.customers]", "[streams.\"*\"]");
    let connector = Connector::read_folder(folder(&any).path()).unwrap();
    assert!(connector.streams.contains_key("*"));
    let embedded = connector.to_json();
    assert_eq!(Connector::from_json(&embedded).unwrap(), connector);
    for bad in ["**", "a*", "*.a", ""] {
        let named = STRIPE.replace("[streams.customers]", &format!("[streams.\"{bad}\"]"));
        assert!(Connector::read_folder(folder(&named).path()).is_err(), "{bad}");
    }
}
