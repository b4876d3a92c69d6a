//! A large stream copied into files by a flow, whatever kills the process: each record is there, in a snapshot exactly once, and a record
//! that is refused costs no older one.

use crate::served::{Serving, project_of};
use portcullis_tests::{Project, Vendor, case::Case, guests, vendor::reply, wait_for};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

const KILLS: u64 = 10;
const PAGE: u64 = 2_000;

/// What the source has, made as it is asked for: `ids` and one record more that has none.
struct Source {
    rows: AtomicU64,
    /// Pages that were asked for.
    asked: AtomicU64,
    /// 1 = the last page ends with a record without its key.
    spoiled: AtomicU64,
}

fn row(id: u64) -> String {
    format!("{{\"id\":{id},\"name\":\"row {id}\",\"amount\":{id}.10,\"note\":\"{}\"}}", "é".repeat(20))
}

impl Source {
    fn page(&self, query: &str) -> String {
        self.asked.fetch_add(1, SeqCst);
        let page: u64 =
            query.split('&').find_map(|pair| pair.strip_prefix("page=")?.parse().ok()).unwrap_or_default();
        let (all, from) = (self.rows.load(SeqCst), page * PAGE);
        let until = all.min(from + PAGE);
        let mut rows: Vec<String> = (from..until.max(from)).map(row).collect();
        if self.spoiled.load(SeqCst) == 1 && until == all && from < all {
            rows.pop();
            rows.push("{\"name\":\"without a key\"}".to_owned());
        }
        format!("[{}]", rows.join(","))
    }
}

fn project(source: &Arc<Source>, mode: &str) -> (Vendor, Project) {
    let asked = Arc::clone(source);
    let vendor = Vendor::tls(&["api.vendor.test"], move |request, wire| {
        let body = asked.page(request.query());
        reply(wire, 200, &[("Content-Type", "application/json")], body.as_bytes())
    });
    let flow = format!(
        r#"
[connections.out]
connector = "portcullis/files@0.1.0"
allow = "requested"
folders = {{ out = "./out" }}
deletes = "hard"
limits = {{ cpu = "60s", timeout = "120s" }}

[connections.api]
connector = "portcullis/rest@^0.1"
origins = {{ api = "https://api.vendor.test" }}
credentials = {{ key = "token" }}
allow = "requested"
limits = {{ cpu = "60s", timeout = "120s" }}
[connections.api.config]
base-url = "https://api.vendor.test"
streams.rows = {{ path = "/rows", records = "", primary-key = ["id"], complete-reads = true, page-size = {{ parameter = "limit", records = {PAGE} }}, paging = {{ by = "page", parameter = "page", first = 0 }} }}
[connections.api.network]
connect-to = {{ "api.vendor.test:443" = "127.0.0.1:{}" }}
ca-file = "ca.pem"
addresses = ["127.0.0.1/32"]

[credentials.token]
scheme = "bearer"
secret = "file:token"

[[flows.copy.steps]]
name = "rows"
source = {{ connection = "api", streams = ["rows"] }}
destination = {{ connection = "out", mode = "{mode}" }}
"#,
        vendor.port()
    );
    let project = project_of(Case::default(), "", &flow);
    fs::create_dir(project.path("out")).unwrap();
    let rest = guests::connector("rest");
    project.secret("token", "tok_0123456789abcdef").install(&rest).approve("api", &rest);
    let (_, carried) = project.run_json(&["inspect", "portcullis/files"]);
    project.run(&["approve", "out", "--yes", "--digest", carried["digest"].as_str().unwrap()]).exits(0);
    (vendor, project)
}

fn over(project: &Project) -> Value {
    wait_for("the run of the flow to be over", || {
        let mut rows = project.run(&["--json", "runs", "--flow", "copy"]).exits(0).lines();
        rows.retain(|row| row["kind"] == "flow");
        rows.first().filter(|row| row["ended_at"].is_string()).cloned()
    })
}

/// How often each record stands in what readers see.
fn seen(project: &Project) -> BTreeMap<String, u64> {
    let mut seen = BTreeMap::new();
    for (path, bytes) in project.bytes_below("out") {
        if !path.display().to_string().contains(".parts/") {
            let text = String::from_utf8(bytes).expect("whole lines");
            assert!(text.ends_with('\n'), "{} ends in the midst of a line", path.display());
            text.lines().for_each(|line| *seen.entry(line.to_owned()).or_insert(0) += 1);
        }
    }
    seen
}

/// Begun, killed so often on its way, and ended. From `SEED`, or always the same.
fn copied(source: &Source, project: &Project) -> Value {
    let mut seed: u64 = env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x51c);
    let mut begun = false;
    for kill in 0..KILLS {
        let serving = Serving::start(project);
        if !std::mem::replace(&mut begun, true) {
            project.run(&["run", "copy", "--detach"]).exits(0);
        }
        let before = source.asked.load(SeqCst);
        wait_for("pages to be asked for", || {
            (source.asked.load(SeqCst) >= before + 1 + kill % 3).then_some(())
        });
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let until = Instant::now() + Duration::from_micros((seed >> 33) % 60_000);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(left);
        }
        assert_eq!(serving.running.kill().status, None, "killed, and not ended");
    }
    let serving = Serving::start(project);
    let run = over(project);
    assert_eq!(serving.running.terminate().status, Some(0));
    run
}

fn rows() -> u64 {
    env::var("ROWS").ok().and_then(|rows| rows.parse().ok()).unwrap_or(100_000)
}

#[test]
fn a_snapshot_has_each_record_once_whatever_is_killed() {
    let rows = rows();
    let source = Arc::new(Source { rows: rows.into(), asked: 0.into(), spoiled: 0.into() });
    let (_vendor, project) = project(&source, "replace");
    let run = copied(&source, &project);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let found = seen(&project);
    let expected: BTreeMap<String, u64> = (0..rows).map(|id| (row(id), 1)).collect();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "to the digit, and each once");
    // Some are gone at the source, and one record can't be written: nothing is removed on its account.
    source.rows.store(rows - 100, SeqCst);
    source.spoiled.store(1, SeqCst);
    project.run(&["run", "copy"]).exits(0);
    assert!(seen(&project) == expected, "what was refused is no reason that its older row goes");
    let runs = project.run(&["--json", "runs", "--flow", "copy"]).exits(0).lines();
    let last = runs.iter().find(|row| row["kind"] == "sync").unwrap();
    assert_eq!(last["reason"], "rejected-lines", "{last:#}");
    source.spoiled.store(0, SeqCst);
    let output = project.run(&["--json", "run", "copy"]).exits(0).json()["output"]["rows"].clone();
    assert_eq!(output["removed"], 100, "{output:#}");
    let expected: BTreeMap<String, u64> = (0..rows - 100).map(|id| (row(id), 1)).collect();
    assert!(seen(&project) == expected, "gone with the complete read");
}

#[test]
fn a_log_has_each_record_whatever_is_killed() {
    let rows = rows();
    let source = Arc::new(Source { rows: rows.into(), asked: 0.into(), spoiled: 0.into() });
    let (_vendor, project) = project(&source, "append");
    let run = copied(&source, &project);
    assert_eq!(run["outcome"], "succeeded", "{run:#}");
    let found = seen(&project);
    assert_eq!(found.len() as u64, rows);
    assert!((0..rows).all(|id| found.contains_key(&row(id))), "to the digit");
    // A source that answers the same gives the same batch, whose files are the same.
    let again: u64 = found.values().map(|times| times - 1).sum();
    assert_eq!(again, 0, "{again} records stand there twice");
}
