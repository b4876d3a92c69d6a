//! Flows in a `serve` that runs: what an event begins is done once, whatever kills the process; what can't go on waits for a person.

use crate::served::{Serving, project_of};
use portcullis_tests::{
    Project, Vendor,
    case::{Case, http},
    vendor::reply,
    wait_for,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

const KILLS: u64 = 5;
const EACH: u64 = 6;

/// Two steps: jq, and a request that may be repeated, since its vendor knows its key.
const FLOWS: &str = r#"
[flows.forward]
webhook = { route = "things" }
concurrency = 4

[[flows.forward.steps]]
name = "order"
map = 'if .body == "poison" then error("no such thing") else { method: "POST", url: "https://api.vendor.test/v1/things", body: { n: .body, digits: 12345678901234567890 } | tojson } end'

[[flows.forward.steps]]
name = "send"
action = { connection = "probe", name = "send" }
when = '.body | contains("skip") | not'
"#;

/// A vendor that takes everything, and a project whose event is forwarded to it.
fn setting() -> (Vendor, Project) {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| {
        reply(wire, 201, &[("Content-Type", "application/json")], b"{}")
    });
    let key = "idempotency = { header = \"Idempotency-Key\", window = \"24h\" }";
    let case = Case { manifest: http(&["POST https://api.vendor.test/**"], key), ..Case::default() };
    let project = project_of(case.to(&vendor, &["api.vendor.test"]), "", FLOWS);
    (vendor, project)
}

fn runs(project: &Project) -> Vec<Value> {
    project.run(&["--json", "runs", "--flow", "forward", "--limit", "10000"]).exits(0).lines()
}

/// Runs of the flow itself, once none of them goes on by itself.
fn over(project: &Project, count: usize) -> Vec<Value> {
    wait_for("runs of the flow to be over", || {
        let mut rows = runs(project);
        rows.retain(|row| row["kind"] == "flow");
        (rows.len() == count && rows.iter().all(|row| row["ended_at"].is_string())).then_some(rows)
    })
}

#[test]
fn what_an_event_begins_happens_once_whatever_is_killed() {
    let (vendor, project) = setting();
    let mut acknowledged = BTreeSet::new();
    let mut seed = 0xf10_u64;
    for round in 0..KILLS {
        let serving = Serving::start(&project);
        for number in 0..EACH {
            let body = format!("thing {round}-{number}");
            if serving.deliver(body.as_bytes()) == Some(200) {
                acknowledged.insert(body);
            }
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let until = Instant::now() + Duration::from_micros((seed >> 33) % 400_000);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        assert_eq!(serving.running.kill().status, None, "killed, and not ended");
    }
    assert_eq!(acknowledged.len() as u64, KILLS * EACH);
    let serving = Serving::start(&project);
    let rows = over(&project, acknowledged.len());
    assert!(rows.iter().all(|row| row["outcome"] == "succeeded"), "{rows:#?}");
    // At the vendor: each thing under one key, however often it was asked for.
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for asked in vendor.asked() {
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        assert_eq!(body["digits"].to_string(), "12345678901234567890");
        let key = asked.header("idempotency-key").unwrap().to_owned();
        keys.entry(body["n"].as_str().unwrap().to_owned()).or_default().insert(key);
    }
    assert_eq!(keys.keys().cloned().collect::<BTreeSet<_>>(), acknowledged);
    assert!(keys.values().all(|keys| keys.len() == 1), "{keys:#?}");
    // Steps are found from the run, and the run from its steps.
    let id = rows[0]["run_id"].as_str().unwrap();
    let shown = project.run(&["--json", "runs", "show", id]).exits(0).json();
    assert_eq!(shown["runs"][0]["parent"], id);
    assert_eq!(shown["runs"][0]["connection"], "probe");
    assert_eq!(serving.running.terminate().status, Some(0));
}

#[test]
fn one_that_fails_is_replayed_and_stops_no_other() {
    let (vendor, project) = setting();
    let serving = Serving::start(&project);
    for body in ["poison", "one", "skip this", "two"] {
        assert_eq!(serving.deliver(body.as_bytes()), Some(200));
    }
    let rows = over(&project, 4);
    let outcomes = |rows: &[Value]| rows.iter().filter(|row| row["outcome"] == "succeeded").count();
    assert_eq!(outcomes(&rows), 3, "{rows:#?}");
    let dead = rows.iter().find(|row| row["outcome"] == "dead-lettered").unwrap();
    assert!(
        dead["detail"].as_str().is_some_and(|detail| detail.contains("step `order`: no such thing")),
        "{dead:#}"
    );
    assert_eq!(vendor.count(), 2, "what `when` passes over is not sent");
    let listed = project.run(&["--json", "flows"]).exits(0).json();
    assert_eq!(
        (&listed["dead"], &listed["begun_by"][0]),
        (&1.into(), &"webhook things".into()),
        "{listed:#}"
    );
    let status = project.run(&["status"]);
    assert!(
        status.exits(1).stdout.contains("flow forward") && status.stdout.contains("1 run is dead"),
        "{status:?}"
    );
    // By a person, once more: through the `serve` that runs.
    let id = dead["run_id"].as_str().unwrap();
    project.run(&["runs", "replay", id]).exits(2);
    // It is tried by the program that the config has by then.
    let config = std::fs::read_to_string(project.path("portcullis.toml")).unwrap();
    project.file("portcullis.toml", config.replace("== \"poison\"", "== \"nothing\"").as_bytes());
    project.run(&["reload"]).exits(0);
    project.run(&["runs", "replay", id, "--yes"]).exits(0);
    wait_for("the run to succeed", || (outcomes(&over(&project, 4)) == 4).then_some(()));
    assert_eq!(vendor.count(), 3);
    assert!(project.run(&["runs", "discard", id]).exits(2).stderr.contains("is not dead"));
    assert_eq!(serving.running.terminate().status, Some(0));
}

#[test]
fn somebody_begins_one_with_and_without_a_serve() {
    let (vendor, project) = setting();
    let input = r#"{"body": "by hand"}"#;
    let here = project.run(&["--json", "run", "forward", input]).exits(0).json();
    assert_eq!(here["outcome"], "succeeded", "{here:#}");
    let serving = Serving::start(&project);
    let there = project.run(&["--json", "run", "forward", input]).exits(0).json();
    assert_eq!(there["outcome"], "succeeded", "{there:#}");
    assert_eq!(vendor.count(), 2);
    project.run(&["run", "forwrad", input]).exits(2);
    project.run(&["run", "forward", "{"]).exits(2);
    assert_eq!(serving.running.terminate().status, Some(0));
}
