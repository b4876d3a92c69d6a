//! Promise: of `call --dry-run` nothing that may have an effect leaves or stays, and it shows what would have left, masked.

use crate::snapshot;
use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http, order},
    vendor::reply,
};
use serde_json::{Value, json};

const URL: &str = "https://api.vendor.test/v1/things";
const SECRET: &str = "sk_live_0123456789abcdef";

/// A vendor, and a project whose guest may do anything there; `/v1/search` only reads.
fn setting() -> (Vendor, Project) {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| {
        reply(wire, 200, &[("Content-Type", "application/json")], b"{}")
    });
    let key = "credential = \"key\"\nidempotency = { header = \"Idempotency-Key\", window = \"24h\" }";
    let manifest = [
        SLOT.to_owned(),
        http(&["GET,POST,DELETE https://api.vendor.test/v1/things/**"], key),
        http(&["POST https://api.vendor.test/v1/search"], "safe = true"),
    ];
    let case =
        Case { manifest: manifest.concat(), more: "sensitive = [\"email\"]".to_owned(), ..Case::default() };
    let project = case.bearer().to(&vendor, &["api.vendor.test"]).approved_with(SECRET);
    (vendor, project)
}

fn dry(project: &Project, action: &str, input: &Value) -> (portcullis_tests::Ran, Value) {
    project.run_json(&["call", "--dry-run", "probe", action, &input.to_string()])
}

fn post() -> Value {
    json!({"method": "POST", "url": format!("{URL}?email=ada&page=2"), "headers": [["Content-Type", "application/json"]],
           "body": "{\"email\":\"ada@example.com\",\"amount\":5}"})
}

#[test]
fn nothing_that_may_have_an_effect_leaves() {
    let (vendor, project) = setting();
    let requests = json!({"requests": [order("GET", URL), post(), order("GET", URL), order("DELETE", URL)]});
    let (ran, report) = dry(&project, "send-each", &requests);
    ran.exits(0);
    let left: Vec<String> = vendor.asked().iter().map(|asked| asked.method.clone()).collect();
    assert_eq!(left, ["GET", "GET"], "{report:#}");
    assert_eq!(
        [&report["outcome"], &report["reason"], &report["withheld_total"]],
        [&json!("dry-run"), &json!("withheld"), &json!(2)]
    );
    assert_eq!(report["output"][1]["error"], "cancelled", "{report:#}");
    let held = &report["withheld"][0];
    let shown = |name: &str| held[name].as_str().unwrap_or_default();
    assert_eq!(
        (shown("method"), shown("url")),
        ("POST", "https://api.vendor.test/v1/things?email=***&page=2")
    );
    assert_eq!(held["body"], json!({"email": "***", "amount": 5}), "{held:#}");
    assert_eq!(held["body_bytes"], 38);
    assert_eq!(
        (shown("rule"), shown("manifest_place"), shown("operator_place")),
        ("DELETE,GET,POST https://api.vendor.test/v1/things/**", "http[0].allow[0]", "requested")
    );
    assert_eq!((shown("slot"), shown("credential"), shown("place")), ("key", "live", "header authorization"));
    let key = shown("idempotency_key");
    assert_eq!(key.len(), 64, "{held:#}");
    let headers = held["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["authorization", "***"])), "{held:#}");
    assert!(headers.contains(&json!(["idempotency-key", key])), "{held:#}");
    assert!(headers.contains(&json!(["content-type", "application/json"])), "{held:#}");
    let after: Vec<&Value> =
        report["withheld"].as_array().unwrap().iter().map(|held| &held["after_withheld"]).collect();
    assert_eq!(after, [&json!(false), &json!(true)]);
    assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET));

    // The twin: without the flag it leaves, as it was shown.
    vendor.clear();
    project.call("probe", "send-each", &requests);
    let asked = vendor.asked();
    let left: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(left, ["GET", "POST", "GET", "DELETE"]);
    let mut names: Vec<String> = asked[1].headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.retain(|name| !["host", "content-length"].contains(&name.as_str()));
    let mut expected: Vec<String> =
        headers.iter().map(|header| header[0].as_str().unwrap().to_owned()).collect();
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn the_store_says_that_it_was_a_dry_run() {
    let (vendor, project) = setting();
    dry(&project, "send", &post()).0.exits(0);
    let run = &project.runs(&["--outcome", "dry-run"])[0];
    assert_eq!(
        [&run["kind"], &run["outcome"], &run["reason"]],
        [&json!("dry-run"), &json!("dry-run"), &json!("withheld")]
    );
    let shown = project.run(&["--json", "runs", "show", run["run_id"].as_str().unwrap()]).json();
    assert_eq!(shown["intents"], json!([]), "nothing was about to leave");
    let outcomes = |of: &str| shown[of][0]["outcome"].clone();
    assert_eq!((outcomes("steps"), outcomes("attempts")), (json!("dry-run"), json!("dry-run")), "{shown:#}");
    let rows = project.logs(&["--status", "withheld"]);
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["status"], &rows[0]["peer"]), (&Value::Null, &Value::Null));
    assert_eq!(vendor.connects(), 0);
    let (ran, report) = dry(&project, "echo", &json!({"a": 1}));
    ran.exits(0);
    assert_eq!((&report["outcome"], &report["reason"]), (&json!("dry-run"), &Value::Null));
}

#[test]
fn requests_of_one_send_all_are_all_shown() {
    let (vendor, project) = setting();
    let mut order = post();
    order["n"] = json!(3);
    let (_, report) = dry(&project, "send-all", &order);
    let held = report["withheld"].as_array().unwrap();
    assert_eq!(held.len(), 3);
    assert!(held.iter().all(|held| held["after_withheld"] == json!(false)), "{report:#}");
    let keys: std::collections::BTreeSet<_> =
        held.iter().map(|held| held["idempotency_key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 3);
    assert_eq!(vendor.connects(), 0);
    let many: Vec<Value> = (0..70).map(|_| post()).collect();
    let (_, report) = dry(&project, "send-each", &json!({"requests": many}));
    assert_eq!((report["withheld"].as_array().unwrap().len(), &report["withheld_total"]), (64, &json!(70)));
}

#[test]
fn what_a_rule_calls_safe_is_sent() {
    let (vendor, project) = setting();
    let (_, report) = dry(&project, "send", &order("POST", "https://api.vendor.test/v1/search"));
    assert_eq!((&report["output"]["status"], &report["withheld_total"]), (&json!(200), &json!(0)));
    assert_eq!(vendor.count(), 1);
}

#[test]
fn what_is_refused_is_refused_in_a_dry_run_too() {
    let (vendor, project) = setting();
    let (_, report) = dry(&project, "send", &order("POST", "https://api.vendor.test/v1/other"));
    assert_eq!(report["output"]["error"], "denied", "{report:#}");
    assert_eq!((report["denials"].as_array().unwrap().len(), &report["withheld_total"]), (1, &json!(0)));
    assert_eq!(vendor.connects(), 0);
}

#[test]
fn state_is_kept_for_the_run_alone() {
    let (_vendor, project) = setting();
    let (_, report) = dry(&project, "state-set", &json!({"key": "seen", "value": "1"}));
    assert!(report["output"]["version"].is_u64(), "{report:#}");
    let get = || project.call("probe", "state-get", &json!({"key": "seen"})).1["output"].clone();
    assert_eq!(get(), Value::Null);
    project.call("probe", "state-set", &json!({"key": "seen", "value": "1"}));
    dry(&project, "state-delete", &json!({"key": "seen"}));
    assert_eq!(get()["value"], "1");
}

#[test]
fn it_is_shown_to_people() {
    let (_vendor, project) = setting();
    let input = json!({"requests": [post(), order("DELETE", URL)]}).to_string();
    let ran = project.run(&["call", "--dry-run", "probe", "send-each", &input]);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[KEY]");
    settings.bind(|| snapshot!("dry-run", project, ran));
    snapshot!("dry-run-nothing", project, project.run(&["call", "--dry-run", "probe", "echo", "{\"a\":1}"]));
}

#[test]
fn a_failing_dry_run_is_told_apart() {
    let (_vendor, project) = setting();
    let (ran, report) = dry(&project, "fail", &json!({"kind": "not-found"}));
    ran.exits(1);
    assert_eq!(report["outcome"], "failed");
    assert_eq!(project.runs(&[])[0]["kind"], "dry-run");
}
