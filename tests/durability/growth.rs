//! Promise: what a run leaves in `state.db` has a bound, however often its guest asks, and `runs` says what is not listed.

use portcullis_tests::{
    Project, Vendor,
    case::{Case, http},
    vendor::reply,
};
use serde_json::{Value, json};
use std::fs;

/// Neither the database nor its log is larger. The log is moved into the database at 4 MiB, whatever is written.
#[track_caller]
fn fits(project: &Project, bytes_max: u64) {
    let bytes = |file: &str| fs::metadata(project.path(file)).map_or(0, |metadata| metadata.len());
    let (database, log) = (bytes("data/state.db"), bytes("data/state.db-wal"));
    assert!(database < bytes_max && log < 5 << 20, "{database} bytes, and {log} of log");
}

/// The last run, as `runs` shows it: JSON and text.
fn last(project: &Project) -> (Value, String) {
    let runs = project.runs(&[]);
    let run = runs[0]["run_id"].as_str().unwrap();
    let text = project.run(&["runs", "show", run]).exits(0).stdout.clone();
    (project.run(&["--json", "runs", "show", run]).exits(0).json(), text)
}

#[test]
fn many_effects_with_long_urls() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 400, &[], b""));
    let manifest = http(&["POST https://api.vendor.test/**"], "");
    let case = Case { manifest, ..Case::default() };
    let project = case.to(&vendor, &["api.vendor.test"]).approved();
    let url = format!("https://api.vendor.test/things?q={}", "x".repeat(8_000));
    let (ran, report) =
        project.call("probe", "send-many", &json!({"method": "POST", "url": url, "n": 1_900}));
    ran.exits(0);
    assert_eq!((&report["output"]["ok"], vendor.count()), (&json!(1_900), 1_900), "{report:#}");
    fits(&project, 3 << 20);
    let (run, text) = last(&project);
    assert_eq!(
        (run["intents"].as_array().unwrap().len(), &run["intents_total"]),
        (1_000, &json!(1_900)),
        "the newest stay"
    );
    assert_eq!(run["intents"][999]["ordinal"], 1_899);
    assert!(run["intents"][0]["url"].as_str().unwrap().ends_with('…'), "{}", run["intents"][0]);
    assert!(text.contains("  1000 of 1900 effects, the newest and those that are unproven\n"), "{text}");
}

#[test]
fn many_pages_without_records() {
    let case = Case { more: "config = { pages = 3000, per-page = 0 }".to_owned(), ..Case::default() };
    let project = case.approved();
    project.run(&["read", "probe", "rows"]).exits(0);
    fits(&project, 448 << 10);
    let (run, text) = last(&project);
    assert_eq!((&run["pages"], &run["attempts_total"]), (&json!(3_000), &json!(3_000)));
    assert_eq!(run["attempts"].as_array().unwrap().len(), 1_000);
    assert_eq!(run["attempts"][999]["call"], "2999");
    assert!(text.contains("  1000 of 3000 attempts, the newest\n"), "{text}");
}
