//! `test`: a connector's cassettes in the sandbox. What a careless author does is named, each mistake by a check that its twin passes.

use portcullis_tests::{Project, binary, built, checkout};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output},
};

/// A stream of the probe by the orders in `config`.
fn stream(config: &str, records: &str) -> String {
    format!("stream = \"rows\"\nconfig = {config}\nrecords = '''\n{records}'''\n")
}

/// An action of the probe, and its exchanges: (request, status, body).
fn action(name: &str, input: &str, end: &str, exchanges: &[(&str, u16, &str)]) -> String {
    let exchange = |(request, status, body): &(&str, u16, &str)| {
        format!("\n[[exchange]]\nrequest = \"{request}\"\nstatus = {status}\nbody = '{body}'\n")
    };
    format!("action = \"{name}\"\ninput = '{input}'\n{end}\n")
        + &exchanges.iter().map(exchange).collect::<String>()
}

/// The probe puts every answer into its output: no status is an error to it.
const NO_ERRORS: &str = "statuses = { 400 = \"succeeds\", 401 = \"succeeds\", 403 = \"succeeds\", 404 = \"succeeds\", \
                         409 = \"succeeds\", 422 = \"succeeds\", 429 = \"succeeds\", 500 = \"succeeds\", 502 = \"succeeds\", \
                         503 = \"succeeds\", 504 = \"succeeds\" }";
/// Nor is a connection that is lost, to one that writes a batch.
const NO_LOSS: &str = "statuses = { connection-lost = \"succeeds\" }";

/// The binary with an author's environment: it starts cargo, whose target folder is that of all guests.
fn run(arguments: &[&str]) -> Output {
    let target = built().parent().unwrap().join("guests");
    Command::new(binary()).args(arguments).env("CARGO_TARGET_DIR", target).output().unwrap()
}

/// Every check that failed, and what it said; and how many there were.
fn played(connector: &Path, folder: Option<&Path>, more: &[&str]) -> (BTreeMap<String, String>, usize) {
    let dir = connector.display().to_string();
    let mut arguments = vec!["test", &dir, "--json"];
    let folder = folder.map(|folder| folder.display().to_string());
    arguments.extend(folder.iter().flat_map(|folder| ["--cassettes", folder]));
    arguments.extend(more);
    let ran = run(&arguments);
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{err}");
    let failed = lines.iter().filter(|line| line["passed"] == false);
    let word = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let failed: BTreeMap<_, _> = failed.map(|line| (word(line, "test"), word(line, "fault"))).collect();
    assert_eq!(ran.status.code(), Some(i32::from(!failed.is_empty())), "{err}");
    (failed, lines.len())
}

#[test]
fn the_connector_of_the_demo_holds_its_cassettes() {
    let (failed, checks) = played(&checkout().join("connectors/stripe"), None, &[]);
    assert_eq!(failed, BTreeMap::new());
    assert!(checks > 100, "{checks}");
}

#[test]
fn the_connector_that_the_binary_carries_holds_its_cassettes() {
    let (failed, checks) = played(&checkout().join("connectors/files"), None, &[]);
    assert_eq!(failed, BTreeMap::new());
    assert!(checks > 12, "{checks}");
}

/// A delivery to the probe, which does what `config` says.
fn delivery(config: &str, end: &str) -> String {
    format!(
        "config = {config}\n{end}\n\n[delivery]\nid = \"d1\"\nmethod = \"POST\"\npath = \"/hook\"\nbody = '{{\"n\": 1}}'\n"
    )
}

/// Two lines written into the probe, which does what `config` says; with this exchange.
fn batch(config: &str, end: &str, request: &str) -> String {
    let exchange = match request {
        "" => String::new(),
        request => format!("\n[[exchange]]\nrequest = \"{request}\"\nstatus = 200\n{NO_LOSS}\nbody = 'x'\n"),
    };
    format!(
        "write = \"rows\"\nbatch = '''\n{{\"id\":1}}\n{{\"id\":2}}\n'''\nconfig = {config}\n{end}\n{exchange}"
    )
}

#[test]
fn mistakes_of_webhooks_and_destinations_are_named() {
    let project = Project::new();
    let events = |id: &str| format!("events = '{{\"name\":\"a\",\"id\":\"{id}\",\"payload\":{{\"n\":1}}}}'");
    let told = r#"{ events = [["a", "e1", "{\"n\":1}"]] }"#;
    let replied = r#"{ events = [], reply = { status = 202, headers = [["X-A", "b"]] } }"#;
    let send = |bodies: &[&str]| {
        let one = |body: &&str| {
            format!(r#"{{ method = "POST", url = "https://api.probe.test/a", body = "{body}" }}"#)
        };
        format!("{{ send = [{}] }}", bodies.iter().map(one).collect::<Vec<_>>().join(", "))
    };
    let post = "POST https://api.probe.test/a";
    let complete = |removed: u64| format!("complete = \"rows\"\ngeneration = 4\nremoved = {removed}\n");
    let mistakes: Vec<(&str, String, &str, &str)> = vec![
        ("good-delivery", delivery(told, &events("e1")), "", ""),
        ("good-reply", delivery(replied, "reply = { status = 202, headers = { x-a = \"b\" } }"), "", ""),
        (
            "good-refusal",
            delivery("{ fail = { kind = \"contract-drift\" } }", "error = \"contract-drift\""),
            "",
            "",
        ),
        ("good-batch", batch("{ rejected = [1] }", "rejected = { 2 = \"conflict\" }", ""), "", ""),
        ("good-bodies", batch(&send(&["1", "2"]), NO_ERRORS, post), "", ""),
        ("good-complete", complete(4), "", ""),
        ("other-event", delivery(told, &events("e2")), "other-event", "event 1 differs"),
        (
            "other-reply",
            delivery(replied, "reply = { status = 200 }"),
            "other-reply",
            "the reply differs\n  expected 200",
        ),
        (
            "no-reply",
            delivery(replied, "events = ''"),
            "no-reply",
            "expected none of its own\n  it is    202",
        ),
        ("missing-event", delivery(replied, &events("e1")), "missing-event", "nothing: the events are over"),
        (
            "empty-id",
            delivery(r#"{ events = [["a", "", "{}"]] }"#, "events = ''"),
            "empty-id",
            "`event id` is empty",
        ),
        (
            "other-lines",
            batch("{ rejected = [1] }", "rejected = { 1 = \"conflict\" }", ""),
            "other-lines",
            "expected line 1: conflict\n  it is    line 2: conflict",
        ),
        (
            "other-kind",
            batch("{ rejected = [1] }", "rejected = { 2 = \"not-found\" }", ""),
            "other-kind",
            "other lines are rejected",
        ),
        (
            "no-such-line",
            batch("{ rejected = [2] }", "", ""),
            "no-such-line",
            "those of the batch are 0 to 1",
        ),
        ("line-twice", batch("{ rejected = [1, 1] }", "", ""), "line-twice", "was rejected twice"),
        (
            "swallows",
            batch(&send(&["1"]), "", post),
            "swallows status 401",
            "401 has to be `unauthorized`, and it succeeded",
        ),
        (
            "by-hand",
            batch(&send(&["1", "1"]), NO_ERRORS, post),
            "by-hand status 503",
            "was asked for by hand",
        ),
        ("other-count", complete(3), "other-count", "3 records are to be removed, 4 were"),
    ];
    std::fs::create_dir(project.path("cassettes")).unwrap();
    for (name, text, ..) in &mistakes {
        project.file(&format!("cassettes/{name}.toml"), text.as_bytes());
    }
    let folder = project.path("cassettes");
    let (failed, _) = played(&checkout().join("tests/guests/probe"), Some(&folder), &[]);
    for (name, _, check, said) in &mistakes {
        if check.is_empty() {
            let of = failed.keys().find(|check| check.starts_with(name));
            assert_eq!(of, None, "{failed:#?}");
            continue;
        }
        let found = failed.get(*check).unwrap_or_else(|| panic!("{check} passed: {failed:#?}"));
        assert!(found.contains(said), "{check}: {found}");
    }
    // One that broke off used what it used: that is told once all hold. The rule that a batch used is used then.
    assert!(!failed.contains_key("rules"), "{failed:#?}");
    for (name, ..) in mistakes.iter().filter(|(_, _, check, _)| !check.is_empty()) {
        std::fs::remove_file(project.path(&format!("cassettes/{name}.toml"))).unwrap();
    }
    let (failed, _) = played(&checkout().join("tests/guests/probe"), Some(&folder), &[]);
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(failed["rules"].contains("`GET https://api.probe.test/**`"), "{failed:#?}");
    assert!(!failed["rules"].contains("`POST https://api.probe.test/**`"), "{failed:#?}");
}

/// What to do about what the sandbox ended.
const REMEDIES: [(&str, &str); 5] = [
    ("panics", "return an error there, with `?` instead of `unwrap`"),
    ("spins", "look for a loop without end"),
    ("recurses", "look for a recursion without end"),
    ("unknown-request", "add the exchange to the cassette"),
    ("undeclared", "[[http]]"),
];

#[test]
fn mistakes_are_named() {
    let project = Project::new();
    let url = "GET https://api.probe.test/a";
    let send = r#"{"method":"GET","url":"https://api.probe.test/a"}"#;
    let answer = |status: u16, body: &str| {
        format!("output = '{{\"status\":{status},\"headers\":[],\"body\":\"{body}\"}}'\n{NO_ERRORS}")
    };
    let two = "{\"id\":0,\"page\":0,\"text\":\"\"}\n{\"id\":1,\"page\":1,\"text\":\"\"}\n";
    let mistakes: Vec<(&str, String, &str, &str)> = vec![
        ("good-stream", stream("{ pages = 2 }", two), "", ""),
        ("good-error", action("fail", r#"{"kind":"not-found"}"#, "error = \"not-found\"", &[]), "", ""),
        (
            "other-records",
            stream("{ pages = 2 }", &two.replace("\"id\":1", "\"id\":7")),
            "other-records",
            "record 2 differs",
        ),
        ("missing-record", stream("{ pages = 1 }", two), "missing-record", "the records are over"),
        (
            "endless-paging",
            stream("{ loop = true }", two),
            "endless-paging",
            "paging has no end: page 3 asks for the same `next`",
        ),
        (
            "large-record",
            stream("{ record-bytes = 1100000 }", "{\"id\":0}\n"),
            "large-record",
            "more than 1048576: put what is large into a file",
        ),
        ("no-object", stream("{ invalid-page = 0 }", two), "no-object", "line 2"),
        ("panics", action("panic", r#"{"message":"oh no"}"#, "output = '{}'", &[]), "panics", "oh no"),
        ("recurses", action("recurse", "{}", "output = '{}'", &[]), "recurses", "stack overflow"),
        (
            "own-authorization",
            action(
                "send",
                r#"{"method":"GET","url":"https://api.probe.test/a","headers":[["authorization","Bearer x"]]}"#,
                "output = '{}'",
                &[(url, 200, "x")],
            ),
            "own-authorization",
            "leave it out, the host attaches it",
        ),
        (
            "wrong-kind",
            action("fail", r#"{"kind":"internal"}"#, "error = \"not-found\"", &[]),
            "wrong-kind",
            "expected the error `not-found`, it is `internal`",
        ),
        ("no-error", action("echo", "{}", "error = \"not-found\"", &[]), "no-error", "and it succeeded"),
        (
            "other-output",
            action("echo", r#"{"a":1}"#, "output = '{\"a\":2}'", &[]),
            "other-output",
            "the output differs",
        ),
        (
            "unknown-request",
            action("send", send, &answer(200, "x"), &[("GET https://api.probe.test/b", 200, "x")]),
            "unknown-request",
            "asked for what the cassette does not have:\n  GET https://api.probe.test/a\nit has:\n  GET https://api.probe.test/b",
        ),
        (
            "unasked",
            action(
                "send",
                send,
                "output = '{}'",
                &[(url, 200, "x"), ("GET https://api.probe.test/b", 200, "x")],
            ),
            "unasked",
            "differs",
        ),
        (
            "undeclared",
            action(
                "send",
                r#"{"method":"DELETE","url":"https://api.probe.test/a"}"#,
                "output = '{}'",
                &[(url, 200, "x")],
            ),
            "undeclared",
            "was denied: ",
        ),
        // A host of which the cassette has nothing is nobody's: not one request leaves the machine.
        ("nobody", action("send", send, "output = '{}'", &[]), "nobody", "`api.probe.test` is nobody's here"),
        (
            "by-hand",
            action(
                "send-many",
                r#"{"method":"GET","url":"https://api.probe.test/a","n":2}"#,
                &format!("output = '{{\"ok\":2,\"failed\":null}}'\n{NO_ERRORS}"),
                &[(url, 200, "x")],
            ),
            "by-hand status 500",
            "was asked for by hand",
        ),
        ("spins", action("spin", "{}", "output = '{}'", &[]), "spins", "CPU"),
        (
            "swallows",
            action(
                "send-many",
                r#"{"method":"GET","url":"https://api.probe.test/a","n":1}"#,
                "output = '{\"ok\":1,\"failed\":null}'",
                &[(url, 200, "x")],
            ),
            "swallows status 401",
            "401 has to be `unauthorized`, and it succeeded",
        ),
    ];
    std::fs::create_dir(project.path("cassettes")).unwrap();
    for (name, text, ..) in &mistakes {
        project.file(&format!("cassettes/{name}.toml"), text.as_bytes());
    }
    let junit = project.path("junit.xml").display().to_string();
    let folder = project.path("cassettes");
    let probe = checkout().join("tests/guests/probe");
    let (failed, _) = played(&probe, Some(&folder), &["--junit", &junit]);
    for (name, _, check, said) in &mistakes {
        if check.is_empty() {
            let of = failed.keys().find(|check| check.starts_with(name));
            assert_eq!(of, None, "{failed:#?}");
            continue;
        }
        let found = failed.get(*check).unwrap_or_else(|| panic!("{check} passed: {failed:#?}"));
        assert!(found.contains(said), "{check}: {found}");
    }
    let xml = std::fs::read_to_string(junit).unwrap();
    assert_eq!(xml.matches("<failure ").count(), failed.len());
    for (check, remedy) in REMEDIES {
        assert!(failed[check].lines().count() > 1 && failed[check].contains(remedy), "{}", failed[check]);
    }
    // A part of them says nothing of the rules.
    let (failed, checks) = played(&probe, Some(&folder), &["--filter", "good-"]);
    assert!(failed.is_empty() && checks > 4, "{failed:?}");
    // All of them do, once each holds.
    for (name, _, check, _) in &mistakes {
        if !check.is_empty() {
            std::fs::remove_file(project.path(&format!("cassettes/{name}.toml"))).unwrap();
        }
    }
    let (failed, _) = played(&probe, Some(&folder), &[]);
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(failed["rules"].contains("`POST https://api.probe.test/**` (http[0].allow[1])"), "{failed:#?}");
}

/// What a cassette holds came of the usual play; another play has other randomness, and one another time.
#[test]
fn what_is_random_or_of_the_time_is_named() {
    let project = Project::new();
    std::fs::create_dir(project.path("cassettes")).unwrap();
    let (probe, folder) = (checkout().join("tests/guests/probe"), project.path("cassettes"));
    for (name, input, said) in [
        ("random", r#"{"n":8}"#, "randomness, or the order of a map, is in it"),
        ("clock", "{}", "at another time: the clock is in it"),
    ] {
        let play = |output: &str| {
            let cassette = action(name, input, &format!("output = '{output}'"), &[]);
            project.file("cassettes/one.toml", cassette.as_bytes());
            played(&probe, Some(&folder), &["--filter", "one"]).0
        };
        let failed = play("{}");
        let (_, came) = failed["one"].split_once("it is    ").unwrap();
        let failed = play(came.trim());
        assert_eq!(failed.keys().collect::<Vec<_>>(), ["one again"], "{failed:#?}");
        assert!(failed["one again"].contains(said), "{failed:#?}");
    }
}

/// The last checkpoint: what is asked for from there has to be what the cassette says; where it says nothing, that is told.
#[test]
fn a_read_from_the_last_checkpoint_is_held_against_the_cassette() {
    let project = Project::new();
    std::fs::create_dir(project.path("cassettes")).unwrap();
    let (stripe, folder) = (checkout().join("connectors/stripe"), project.path("cassettes"));
    let cassette = std::fs::read_to_string(stripe.join("tests/cassettes/events.toml")).unwrap();
    let asked = "created%5Bgte%5D=1700000100";
    assert!(cassette.contains(asked), "{cassette}");
    project.file("cassettes/events.toml", cassette.replace(asked, "created%5Bgte%5D=1700000101").as_bytes());
    let (failed, _) = played(&stripe, Some(&folder), &["--filter", "events"]);
    assert_eq!(failed.keys().collect::<Vec<_>>(), ["events resumed"], "{failed:#?}");
    assert!(failed["events resumed"].contains(asked), "{failed:#?}");
    let (first, _) = cassette.split_once("\n# The next read").unwrap();
    project.file("cassettes/events.toml", first.as_bytes());
    let [dir, folder] = [&stripe, &folder].map(|path| path.display().to_string());
    let ran = run(&["test", &dir, "--cassettes", &folder, "--filter", "events"]);
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("skip  events resumed"), "{said}");
    assert!(
        said.contains("resumed = true") && said.contains(asked) && said.contains(", 1 skipped"),
        "{said}"
    );
}

#[test]
fn what_is_no_cassette_is_said_with_its_line() {
    let project = Project::new();
    std::fs::create_dir(project.path("cassettes")).unwrap();
    project.file("cassettes/a.toml", b"stream = \"rows\"\nrecrods = ''\n");
    let (probe, folder) = (checkout().join("tests/guests/probe"), project.path("cassettes"));
    let (probe, folder) = (probe.display().to_string(), folder.display().to_string());
    let ran = run(&["test", &probe, "--cassettes", &folder]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{said}");
    assert!(said.contains("a.toml:2:1") && said.contains("did you mean `records`?"), "{said}");
    // One that is missing makes no other one unknown.
    project.file(
        "cassettes/a.toml",
        b"action = \"echo\"\ninput = '{}'\n\n[[exchange]]\nrequest = \"GET https://a.test/\"\nheaders = { a = \"b\" }\nbody = ''\n",
    );
    let ran = run(&["test", &probe, "--cassettes", &folder]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("`status` is missing") && !said.contains("unknown key"), "{said}");
}
