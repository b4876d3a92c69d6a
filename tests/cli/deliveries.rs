//! What a person decides on dead deliveries: one, or all that a filter lets pass. Asked where that may repeat an effect, or is about many.

use portcullis_tests::{Project, case::Case};
use rusqlite::{Connection, params};

/// Dead deliveries, oldest first: route, and why the last run of it ended.
fn project(dead: &[(&str, &str)]) -> Project {
    let project = Case::default().approved();
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    let state = Connection::open(project.path("data/state.db")).unwrap();
    let insert = "INSERT INTO deliveries (delivery_id, route, connection, received_at, peer, method, path, query, headers, body, bytes,
                      state, due_at, runs, run_id, reason, ended_at)
                  VALUES (?1, ?2, 'probe', ?3, '', '', '', '', '[]', x'', 512, 'dead', 0, 3, 'run_1', ?4, 9)";
    for (number, (route, reason)) in (0_i64..).zip(dead) {
        let at = 1_700_000_000_000 + number * 60_000;
        state.execute(insert, params![format!("dlv_{number}"), route, at, reason]).unwrap();
    }
    project
}

fn states(project: &Project) -> Vec<String> {
    let mut rows = project.run(&["--json", "deliveries"]).exits(0).lines();
    rows.reverse();
    rows.iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn all_or_those_that_a_filter_lets_pass_wait_again() {
    let project = project(&[("a", "timeout"), ("b", "timeout"), ("a", "unproven-effect"), ("a", "timeout")]);
    // Nobody is there to say yes.
    let asked = project.run(&["deliveries", "replay", "--all"]);
    asked.exits(2);
    for words in [
        "4 deliveries are dead, the oldest of 2023-11-14T22:13:20.000Z",
        "what the last runs of 1 of them sent may have happened",
        "portcullis deliveries replay --all … --yes",
    ] {
        assert!(project.plain(&asked.stderr).contains(words), "{words}: {}", asked.stderr);
    }
    assert_eq!(states(&project), ["dead"; 4]);
    let until = "2023-11-14T22:15:20Z";
    let ran = project.run(&["deliveries", "replay", "--all", "--route", "a", "--until", until, "--yes"]);
    ran.exits(0);
    assert!(ran.stderr.contains("1 of 1 wait again"), "{}", ran.stderr);
    assert_eq!(states(&project), ["queued", "dead", "dead", "dead"]);
    let ran = project.run(&[
        "--json",
        "deliveries",
        "discard",
        "--all",
        "--connection",
        "probe",
        "--per-second",
        "1000",
        "--yes",
    ]);
    let lines = ran.exits(0).lines();
    let decided: Vec<_> = lines.iter().map(|line| line["delivery_id"].as_str().unwrap()).collect();
    assert_eq!(decided, ["dlv_1", "dlv_2", "dlv_3"], "the oldest first");
    assert!(lines.iter().all(|line| line["decided"] == "discard"));
    assert_eq!(states(&project), ["queued", "discarded", "discarded", "discarded"]);
    assert!(project.run(&["deliveries", "replay", "--all"]).exits(0).stderr.contains("none of them is dead"));
    // Each is in the audit.
    let state = Connection::open(project.path("data/state.db")).unwrap();
    let count = |kind: &str| -> i64 {
        state.query_row("SELECT count(*) FROM audit WHERE kind = ?1", [kind], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("delivery-replayed"), count("delivery-discarded")), (1, 3));
}

#[test]
fn one_is_asked_about_where_an_effect_may_repeat() {
    let project = project(&[("a", "timeout"), ("a", "possible-effect")]);
    project.run(&["deliveries", "replay", "dlv_0"]).exits(0);
    let asked = project.run(&["deliveries", "replay", "dlv_1"]);
    asked.exits(2);
    assert!(
        project.plain(&asked.stderr).contains("may happen a second time; see portcullis runs show run_1"),
        "{}",
        asked.stderr
    );
    assert_eq!(states(&project), ["queued", "dead"]);
    project.run(&["deliveries", "discard", "dlv_1"]).exits(0);
    assert_eq!(states(&project), ["queued", "discarded"]);
    for args in [
        &["deliveries", "replay", "dlv_1"][..],
        &["deliveries", "replay", "dlv_9"],
        &["deliveries", "replay"],
        &["deliveries", "replay", "dlv_0", "--all"],
        &["deliveries", "replay", "dlv_0", "--route", "a"],
        &["deliveries", "replay", "dlv_0", "--since", "1h"],
        &["deliveries", "replay", "--all", "--per-second", "0"],
        &["deliveries", "replay", "--all", "--connection", "nobody"],
    ] {
        project.run(args).exits(2);
    }
}
