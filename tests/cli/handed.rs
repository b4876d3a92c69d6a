//! Promise: `deliver` and `write` hand a connector what a file holds, as a run like any other: what may have had an effect is
//! repeated only where that is harmless, nothing leaves in a dry run, no secret is shown.

use crate::snapshot;
use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http, order},
    vendor::reply_json,
};
use serde_json::{Value, json};

const URL: &str = "https://api.vendor.test/v1/things";
const SECRET: &str = "sk_live_0123456789abcdef";
const DELIVERY: &str = r#"{"id":"d1","method":"POST","path":"/hooks/things","query":"a=1","headers":[["X-Topic","thing"]],"body":"{\"n\": 1.10}"}"#;
const RECORDS: &str = "{\"id\":1,\"n\":1.10}\n{\"id\":2,\"name\":\"reject me\"}\n{\"id\":3}\n";

/// A vendor that gives back the key that it was sent, and a project whose guest does what this config says.
fn setting(config: &Value) -> (Vendor, Project) {
    let vendor = Vendor::tls(&["api.vendor.test"], |asked, wire| {
        reply_json(wire, &json!({ "echo": asked.header("authorization") }))
    });
    let manifest = [
        SLOT.to_owned(),
        http(&["GET,POST,PUT https://api.vendor.test/v1/things"], "credential = \"key\""),
        // A rule of reading: what is written is not held to it.
        "[streams.rows]\nschema = \"id-is-text.json\"\nprimary-key = [\"id\"]\nhttp = [\"GET https://api.vendor.test/v1/things\"]\n"
            .to_owned(),
    ];
    let more = format!("config = {}", inline(config));
    let case = Case { manifest: manifest.concat(), more, ..Case::default() };
    let project = case.bearer().to(&vendor, &["api.vendor.test"]).approved_with(SECRET);
    project.file("delivery.json", DELIVERY.as_bytes()).file("rows.ndjson", RECORDS.as_bytes());
    (vendor, project)
}

/// As TOML writes it on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs: Vec<_> = map.iter().map(|(key, value)| format!("{key} = {}", inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn kinds(project: &Project) -> Vec<[Value; 3]> {
    let runs = project.runs(&[]);
    runs.iter().map(|run| ["kind", "subject", "outcome"].map(|key| run[key].clone())).collect()
}

#[test]
fn a_delivery_is_handed_over_and_what_it_held_is_printed() {
    let (_vendor, project) = setting(&json!({}));
    let ran = project.run(&["deliver", "probe", "delivery.json"]);
    ran.exits(0);
    snapshot!("deliver", project, ran);
    let (ran, told) = project.run_json(&["deliver", "probe", "delivery.json"]);
    ran.exits(0);
    assert_eq!((&told["outcome"], &told["signature"]), (&json!("succeeded"), &json!("not verified")));
    let event = &told["output"]["events"][0];
    assert_eq!((&event["name"], &event["id"]), (&json!("delivered"), &json!("d1")));
    assert_eq!(
        (&event["payload"]["body"], &event["payload"]["query"]),
        (&json!("{\"n\": 1.10}"), &json!("a=1"))
    );
    assert_eq!(told["output"]["reply"]["status"], 202);
    let piped = project.run_with(&["--json", "deliver", "probe", "-"], DELIVERY.as_bytes());
    assert_eq!(piped.exits(0).json()["output"], told["output"]);
    let of = [json!("deliver"), json!("d1"), json!("succeeded")];
    assert_eq!(kinds(&project), [of.clone(), of.clone(), of]);
    let run = project.run(&["--json", "runs", "show", told["run_id"].as_str().unwrap()]).json();
    assert_eq!((&run["input"]["path"], &run["output"]), (&json!("/hooks/things"), &told["output"]));
}

#[test]
fn what_is_no_delivery_is_refused_before_there_is_a_run() {
    let (_vendor, project) = setting(&json!({}));
    for (name, was, is) in [
        ("deliver-unknown-key", "\"headers\"", "\"haeders\""),
        ("deliver-body-object", r#""{\"n\": 1.10}""#, "{\"n\": 1.10}"),
    ] {
        project.file("other.json", DELIVERY.replace(was, is).as_bytes());
        let ran = project.run(&["deliver", "probe", "other.json"]);
        ran.exits(2);
        snapshot!(name, project, ran);
    }
    project.run(&["deliver", "probe", "nowhere.json"]).exits(3);
    project.run(&["deliver", "nobody", "delivery.json"]).exits(2);
    assert_eq!(project.runs(&[]).len(), 0);
}

#[test]
fn events_that_nobody_could_store_end_the_run() {
    let (_vendor, project) = setting(&json!({"events": [["a", "", "{}"]]}));
    let (ran, told) = project.run_json(&["deliver", "probe", "delivery.json"]);
    ran.exits(1);
    assert_eq!((&told["reason"], &told["output"]), (&json!("invalid-answer"), &Value::Null), "{told:#}");
}

/// How often the vendor is asked where the connector sends this and then says `unavailable`.
fn attempts(command: &[&str], method: &str) -> (usize, Option<i32>) {
    let config = json!({"send": [order(method, URL)], "fail": {"kind": "unavailable"}});
    let (vendor, project) = setting(&config);
    let ran = project.run(command);
    (vendor.count(), ran.status)
}

#[test]
fn what_may_have_had_an_effect_is_repeated_only_where_that_is_harmless() {
    let deliver = ["deliver", "probe", "delivery.json"];
    assert_eq!(attempts(&deliver, "GET"), (3, Some(1)));
    assert_eq!(attempts(&deliver, "PUT"), (1, Some(5)));
    assert_eq!(attempts(&deliver, "POST"), (1, Some(5)));
    let write = ["write", "probe", "rows", "rows.ndjson"];
    assert_eq!(attempts(&write, "GET"), (3, Some(1)));
    // A batch that comes again has no second effect; a POST without a key has.
    assert_eq!(attempts(&write, "PUT"), (3, Some(5)));
    assert_eq!(attempts(&write, "POST"), (1, Some(5)));
}

#[test]
fn nothing_that_may_have_an_effect_leaves_in_a_dry_run() {
    let (vendor, project) = setting(&json!({"send": [order("GET", URL), order("POST", URL)]}));
    let deliver = ["deliver", "probe", "delivery.json", "--dry-run"];
    let write = ["write", "probe", "rows", "rows.ndjson", "--complete", "--dry-run"];
    for command in [&deliver[..], &write[..]] {
        vendor.clear();
        let (ran, told) = project.run_json(command);
        ran.exits(0);
        assert_eq!((&told["outcome"], &told["reason"]), (&json!("dry-run"), &json!("withheld")));
        assert_eq!((&told["withheld"][0]["method"], &told["withheld_total"]), (&json!("POST"), &json!(1)));
        let asked: Vec<String> = vendor.asked().iter().map(|asked| asked.method.clone()).collect();
        assert_eq!(asked, ["GET"]);
        // The twin: without the flag it leaves.
        project.run(&command[..command.len() - 1]);
        assert!(vendor.asked().iter().any(|asked| asked.method == "POST"));
    }
    snapshot!("deliver-dry-run", project, project.run(&deliver));
    snapshot!("write-dry-run", project, project.run(&write));
    let subjects: Vec<Value> =
        project.runs(&["--outcome", "dry-run"]).iter().map(|run| run["subject"].clone()).collect();
    assert!(
        subjects.contains(&json!("deliver d1")) && subjects.contains(&json!("write rows")),
        "{subjects:?}"
    );
}

#[test]
fn rejected_lines_come_back_with_their_numbers_and_records() {
    let (_vendor, project) = setting(&json!({}));
    let command = ["write", "probe", "rows", "rows.ndjson"];
    let ran = project.run(&command);
    ran.exits(9);
    assert_eq!(ran.stdout, "");
    snapshot!("write-rejected", project, ran);
    let (ran, told) = project.run_json(&command);
    ran.exits(9);
    assert_eq!((&told["outcome"], &told["reason"]), (&json!("succeeded"), &json!("rejected-lines")));
    assert_eq!((&told["output"]["lines"], &told["output"]["rejected"][0]["line"]), (&json!(3), &json!(2)));

    let to_file = [&command[..], &["--rejected", "rejected.ndjson"]].concat();
    project.run(&to_file).exits(9);
    let kept = std::fs::read_to_string(project.path("rejected.ndjson")).unwrap();
    let line: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!((&line["line"], &line["error"]["kind"]), (&json!(2), &json!("invalid-input")));
    assert_eq!(line["record"], json!({"id": 2, "name": "reject me"}));
    // What is there stays, and nothing is written to the vendor for it.
    let before = project.runs(&[]).len();
    let ran = project.run(&to_file);
    ran.exits(2);
    assert!(ran.stderr.contains("nothing is overwritten"), "{}", ran.stderr);
    project.run(&[&command[..], &["--rejected", "nowhere/rejected.ndjson"]].concat()).exits(3);
    assert_eq!(project.runs(&[]).len(), before);

    let to_stdout = project.run(&[&["--json"], &command[..], &["--rejected", "-"]].concat());
    to_stdout.exits(9);
    assert_eq!(to_stdout.stdout, kept);
    assert!(to_stdout.stderr.contains("\"outcome\":\"succeeded\""), "{}", to_stdout.stderr);

    let good =
        project.run_with(&["write", "probe", "rows", "-", "--rejected", "none.ndjson"], b"{\"id\":1}\n");
    good.exits(0);
    assert!(good.stderr.contains("1 of 1 record written, 0 rejected"), "{}", good.stderr);
    assert!(!project.path("none.ndjson").exists(), "a file means that something was rejected");
}

#[test]
fn lines_that_the_batch_has_not_are_the_connectors_error() {
    for lines in [json!([3]), json!([1, 1])] {
        let (_vendor, project) = setting(&json!({ "rejected": lines }));
        let (ran, told) = project.run_json(&["write", "probe", "rows", "rows.ndjson"]);
        ran.exits(1);
        assert_eq!(told["reason"], "invalid-answer", "{told:#}");
    }
}

#[test]
fn what_is_no_batch_is_refused_before_there_is_a_run() {
    let (_vendor, project) = setting(&json!({}));
    let large = "{}\n".repeat((8 << 20) / 3 + 1);
    for (name, records) in [
        ("write-too-large", large.as_str()),
        ("write-name-twice", "{\"id\":1}\n{\"id\":1,\"id\":2}\n"),
        ("write-no-json", "{\"id\":1}\n{\"id\":\n"),
        ("write-empty-line", "{\"id\":1}\n\n{\"id\":2}\n"),
    ] {
        project.file("other.ndjson", records.as_bytes());
        let ran = project.run(&["write", "probe", "rows", "other.ndjson"]);
        ran.exits(2);
        snapshot!(name, project, ran);
    }
    let ran = project.run(&["write", "probe", "other", "rows.ndjson", "--mode", "upsert"]);
    ran.exits(2);
    snapshot!("write-no-key", project, ran);
    project.file("schema.json", b"{\"type\":\"objekt\"}");
    let ran = project.run(&["write", "probe", "rows", "rows.ndjson", "--schema", "schema.json"]);
    ran.exits(2);
    snapshot!("write-schema", project, ran);
    project.run(&["write", "probe", "rows", "rows.ndjson", "--removed-max", "1"]).exits(2);
    assert_eq!(project.runs(&[]).len(), 0);
}

#[test]
fn complete_is_called_where_it_is_asked_for() {
    let (_vendor, project) = setting(&json!({}));
    project.file("good.ndjson", b"{\"id\":1}\n");
    let command = ["write", "probe", "rows", "good.ndjson", "--mode", "replace", "--generation", "7"];
    let ran = project.run(&command);
    ran.exits(0);
    assert!(ran.stderr.contains("`complete` was not called"), "{}", ran.stderr);
    let ran = project.run(&[&command[..], &["--complete"]].concat());
    ran.exits(0);
    assert!(ran.stderr.contains("`complete` removed 7 records"), "{}", ran.stderr);
    let (ran, told) = project.run_json(&[&command[..], &["--complete", "--removed-max", "6"]].concat());
    ran.exits(1);
    assert_eq!((&told["reason"], &told["output"]["removed"]), (&json!("conflict"), &Value::Null), "{told:#}");
    let ran = project.run(&["write", "probe", "rows", "rows.ndjson", "--complete"]);
    ran.exits(9);
    assert!(ran.stderr.contains("`complete` was not called: lines were rejected"), "{}", ran.stderr);
}

#[test]
fn no_output_holds_the_secret() {
    let (vendor, project) = setting(&json!({"send": [order("POST", URL)]}));
    let commands: [&[&str]; 6] = [
        &["deliver", "probe", "delivery.json"],
        &["--json", "deliver", "probe", "delivery.json"],
        &["deliver", "probe", "delivery.json", "--dry-run"],
        &["write", "probe", "rows", "rows.ndjson", "--rejected", "rejected.ndjson"],
        &["--json", "write", "probe", "rows", "rows.ndjson"],
        &["--json", "--log-level", "trace", "write", "probe", "rows", "rows.ndjson", "--rejected", "-"],
    ];
    for command in commands {
        let ran = project.run(command);
        assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{command:?}");
        assert!(ran.stdout.len() + ran.stderr.len() > 20);
    }
    assert!(vendor.saw(SECRET.as_bytes()), "it was attached");
    let kept = std::fs::read_to_string(project.path("rejected.ndjson")).unwrap();
    assert!(kept.contains("echo") && kept.contains("***"), "the vendor gave it back: {kept}");
    for (path, bytes) in project.bytes_below("data").iter().chain([&("rejected".into(), kept.into_bytes())]) {
        assert!(!portcullis_tests::vendor::contains(bytes, SECRET.as_bytes()), "{}", path.display());
    }
}
