//! What was is found again, by when, of what and whose; as it happens; and it goes when its time is over or somebody says so.

use crate::snapshot;
use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http},
    project::Running,
    vendor::reply,
    wait_for,
};
use serde_json::{Value, json};
use std::fs::{self, File};

const CANARY: &str = "sk_live_canary_51d0c2aa9e";

/// A connection whose vendor says back what it was told, credential too.
fn project() -> (Vendor, Project, Case) {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| {
        reply(wire, 404, &[("Content-Type", "application/json")], br#"{"no":"such thing"}"#)
    });
    let rules = ["GET https://api.vendor.test/**", "POST https://api.vendor.test/**"];
    let manifest = format!("{SLOT}{}", http(&rules, "credential = \"key\""));
    let case = Case { manifest, ..Case::default().bearer() }.to(&vendor, &["api.vendor.test"]);
    let project = case.approved_with(CANARY);
    (vendor, project, case)
}

fn send(project: &Project, path: &str) -> Value {
    project.call("probe", "send", &json!({ "url": format!("https://api.vendor.test{path}") })).1
}

fn urls(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["url"].as_str().unwrap().trim_start_matches("https://api.vendor.test"))
        .collect()
}

#[test]
fn by_time_and_from_run_to_exchange_and_back() {
    let (_vendor, project, _) = project();
    for path in ["/1", "/2", "/3"] {
        send(&project, path);
    }
    let rows = project.logs(&[]);
    assert_eq!(urls(&rows), ["/1", "/2", "/3"]);
    let begun = rows[1]["started_at"].as_str().unwrap();
    assert_eq!(urls(&project.logs(&["--since", begun])), ["/2", "/3"]);
    assert_eq!(urls(&project.logs(&["--until", begun])), ["/1"]);
    assert_eq!(project.logs(&["--since", "1h"]).len(), 3);
    assert_eq!(project.logs(&["--until", "1h"]).len(), 0);
    let runs = project.runs(&[]);
    let begun = runs[1]["started_at"].as_str().unwrap();
    assert_eq!(project.runs(&["--since", begun]).len(), 2);
    assert_eq!(project.runs(&["--until", begun]).len(), 1);
    assert_eq!(project.runs(&["--since", "2h", "--until", "1h"]).len(), 0);
    for wrong in [["--since", "yesterday"], ["--until", "2026-11-27"]] {
        let ran = project.run(&[&["logs"], &wrong[..]].concat());
        ran.exits(2);
        assert!(ran.stderr.contains("2026-11-27T02:00:00Z"), "{}", ran.stderr);
    }
    project.run(&["runs", "--since", "1h", "--until", "2h"]).exits(2);

    // From a run to its exchanges, and from an exchange to its run; by what both have in common.
    let run = rows[2]["run_id"].as_str().unwrap();
    let exchange = rows[2]["exchange_id"].as_str().unwrap();
    let correlation = rows[2]["correlation_id"].as_str().unwrap();
    let shown = project.run(&["runs", "show", run]);
    assert!(
        project.plain(&shown.exits(0).stdout).contains(&format!("portcullis logs --run {run}")),
        "{}",
        shown.stdout
    );
    assert_eq!(urls(&project.logs(&["--run", run])), ["/3"]);
    let whole = project.run(&["logs", "--exchange", exchange]);
    let shown = project.plain(&whole.exits(0).stdout);
    assert!(shown.contains(&format!("portcullis runs show {run}")), "{shown}");
    assert!(!whole.stdout.contains(CANARY));
    // What is no number of any is a mistake; a run that sent nothing is none.
    for wrong in [["--run", "run_x"], ["--exchange", "exch_x"]] {
        let ran = project.run(&[&["logs"], &wrong[..]].concat());
        ran.exits(2);
        assert!(ran.stderr.contains(wrong[1]) && ran.stderr.contains("that are kept"), "{}", ran.stderr);
    }
    project.call("probe", "echo", &json!({}));
    let silent = project.runs(&[])[0]["run_id"].as_str().unwrap().to_owned();
    assert_eq!(project.logs(&["--run", &silent]).len(), 0);
    snapshot!("one-exchange", project, whole);
    assert_eq!(project.runs(&["--correlation", correlation])[0]["run_id"], run);
    assert_eq!(urls(&project.logs(&["--correlation", correlation])), ["/3"]);
    project.run(&["runs", "show", "run_nobody"]).exits(2);
}

#[test]
fn each_exchange_as_it_ends() {
    let (_vendor, project, _) = project();
    let follow = |args: &[&str], into: &str| {
        let file = File::create(project.path(into)).unwrap();
        let mut command = project.command(&[&["--json", "logs", "--follow"], args].concat());
        Running::of(command.stdout(file).spawn().unwrap())
    };
    let seen = |from: &str| {
        let text = fs::read_to_string(project.path(from)).unwrap();
        // Never a part of a line.
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    // Begun before there is anything, and beside writers.
    let all = follow(&[], "all");
    send(&project, "/1");
    wait_for("the first", || (seen("all").len() == 1).then_some(()));
    let some = follow(&["--status", "denied"], "some");
    send(&project, "/2");
    project.call("probe", "send", &json!({ "method": "DELETE", "url": "https://api.vendor.test/3" }));
    send(&project, "/4");
    wait_for("the rest", || (seen("all").len() == 4 && seen("some").len() == 1).then_some(()));
    assert_eq!(urls(&seen("all")), ["/1", "/2", "/3", "/4"]);
    assert_eq!(urls(&seen("some")), ["/3"]);
    for running in [all, some] {
        running.signal(libc::SIGINT);
        running.finish().exits(0);
    }
    // Of one run until it is over, and of none that nobody has.
    let run = seen("all")[0]["run_id"].as_str().unwrap().to_owned();
    follow(&["--run", &run], "one").finish().exits(0);
    assert_eq!(urls(&seen("one")), ["/1"]);
    project.run(&["logs", "--follow", "--run", "run_nobody"]).exits(2);
    for wrong in [&["--har"][..], &["--until", "1h"]] {
        project.run(&[&["logs", "--follow"], wrong].concat()).exits(2);
    }
}

#[test]
fn what_is_forgotten_is_counted_first_and_in_no_file_after() {
    let (_vendor, project, _) = project();
    send(&project, "/of/ada-lovelace-1815");
    project.call("probe", "state-set", &json!({ "key": "seen", "value": "ada-lovelace-1815" }));
    let holds = || {
        let files = project.bytes_below("data").into_iter();
        let word = b"ada-lovelace-1815";
        files.filter(|(_, bytes)| bytes.windows(word.len()).any(|window| window == word)).count()
    };
    assert!(holds() > 0);
    // Nobody is there to be asked: what would go is shown, and stays.
    let asked = project.run(&["connections", "forget", "probe"]);
    asked.exits(2);
    snapshot!("forget", project, asked);
    assert!(holds() > 0);
    let (ran, counts) = project.run_json(&["connections", "forget", "probe", "--yes"]);
    ran.exits(0);
    assert_eq!(
        (&counts["exchanges"], &counts["connectors"]),
        (&json!(1), &json!(["test/probe"])),
        "{counts:#}"
    );
    assert!(project.plain(&ran.stderr).contains("portcullis revoke probe"), "{}", ran.stderr);
    assert_eq!(holds(), 0);
    assert_eq!(project.logs(&[]).len(), 0);
    let run = &project.runs(&[])[0];
    assert_eq!((&run["outcome"], &run["connection"]), (&json!("succeeded"), &json!("probe")));
    project.run(&["connections", "forget", "probe", "--yes"]).exits(2);
    project.run(&["connections", "forget", "no\u{1b}body", "--yes"]).exits(2);
    // A process that was killed in between leaves its mark: doctor sees it, and the next one ends what it began.
    project.file("data/forgetting", b"");
    let told = project.run(&["doctor"]);
    assert!(told.stdout.contains("a `connections forget` was cut off"), "{}", told.stdout);
    let nobody = project.run(&["connections", "forget", "nobody", "--yes"]);
    nobody.exits(2);
    assert!(nobody.stderr.contains("that had been cut off"), "{}", nobody.stderr);
    assert!(!project.path("data/forgetting").exists());
    project.file("data/forgetting", b"");
    project.run(&["check", "probe"]).exits(0);
    assert!(!project.path("data/forgetting").exists(), "whatever runs a connection ends it");
    // It works as before, as another connection.
    send(&project, "/again");
    assert_ne!(project.runs(&[])[0]["connection_id"], run["connection_id"]);
}

#[test]
fn history_goes_when_its_time_is_over() {
    let (_vendor, project, case) = project();
    send(&project, "/old");
    send(&project, "/new");
    let day = 24 * 60 * 60 * 1000;
    let age = |database: &str, table: &str| {
        let conn = rusqlite::Connection::open(project.path("data").join(database)).unwrap();
        let sql = format!(
            "UPDATE {table} SET started_at = started_at - ?1 WHERE seq = (SELECT min(seq) FROM {table})"
        );
        assert_eq!(conn.execute(&sql, [3 * day]).unwrap(), 1);
    };
    age("exchanges.db", "exchanges");
    age("state.db", "runs");
    project.run(&["check", "probe"]);
    assert_eq!(
        (urls(&project.logs(&[])), project.runs(&[]).len()),
        (vec!["/old", "/new"], 3),
        "kept for long by default"
    );
    let retention = "[retention]\nexchanges-age = \"2d\"\nruns-age = \"2d\"\n";
    project.config(&format!("{retention}{}", case.config()));
    project.run(&["check", "probe"]);
    assert_eq!(urls(&project.logs(&[])), ["/new"]);
    assert_eq!(project.runs(&[]).len(), 3, "the newest two, and this check");
    for (wrong, says) in [
        ("exchanges-age = \"59m\"", "at least 1h"),
        ("runs-size = \"1MiB\"", "16MiB to 1TiB"),
        ("exchanges = \"30d\"", "did you mean `exchanges-age`"),
    ] {
        project.config(&format!("[retention]\n{wrong}\n{}", case.config()));
        let ran = project.run(&["config", "check"]);
        ran.exits(3);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}
