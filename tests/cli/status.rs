//! `status` says on one screen what needs somebody, and nothing else.

use crate::snapshot;
use portcullis_tests::{Project, case::Case};
use rusqlite::Connection;

fn project() -> Project {
    let more = "owner = \"payments-team\"\nrunbook = \"https://wiki.example.com/billing\"".to_owned();
    Case { more, ..Case::default() }.approved()
}

#[track_caller]
fn needs(project: &Project) -> Vec<String> {
    let (ran, value) = project.run_json(&["status"]);
    assert!(value["needs"].is_array(), "{value:#}\n{}", ran.stderr);
    let needs: Vec<_> =
        value["needs"].as_array().unwrap().iter().map(|need| need["what"].to_string()).collect();
    ran.exits(if needs.is_empty() { 0 } else { 1 });
    assert_eq!(value["well"], needs.is_empty());
    needs
}

#[test]
fn what_is_well_is_said_in_a_word() {
    let project = project();
    let status = project.run(&["status"]);
    status.exits(0);
    assert!(status.stdout.starts_with("all is well\n"), "{}", status.stdout);
    // Before anything ran there is no database, and one is not made.
    assert!(!project.path("data/state.db").exists());
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    assert!(needs(&project).is_empty());
    let (_, value) = project.run_json(&["status"]);
    assert_eq!(value["connections"][0]["last_run"]["outcome"], "succeeded");
    assert!(value["connections"][0]["last_success"].is_string() && value["serve"].is_null());
}

#[test]
fn runs_that_fail_are_told_until_one_goes_well() {
    let project = project();
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    for _ in 0..3 {
        project.run(&["call", "probe", "panic", "{}"]).exits(1);
    }
    assert_eq!(needs(&project).len(), 1);
    snapshot!("status-failing", project, project.run(&["status"]));
    let (_, value) = project.run_json(&["status"]);
    assert_eq!(value["needs"][0]["owner"], "payments-team");
    // Since the first of them.
    let runs = project.run(&["--json", "runs"]).lines();
    assert_eq!(value["needs"][0]["since"], runs[2]["started_at"]);
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    assert!(needs(&project).is_empty());
}

#[test]
fn what_does_not_run_is_told() {
    let project = project();
    project.run(&["revoke", "probe"]).exits(0);
    assert!(needs(&project)[0].contains("its approval has ended"));
    std::fs::remove_file(project.path("portcullis.lock")).unwrap();
    assert!(needs(&project)[0].contains("it is not approved"));
}

#[test]
fn deliveries_that_are_dead_or_wait_are_told() {
    let project = project();
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    let state = Connection::open(project.path("data/state.db")).unwrap();
    let insert = "INSERT INTO deliveries (delivery_id, route, connection, received_at, peer, method, path, query, headers, body, bytes,
                      state, due_at, ended_at) VALUES (?1, 'r', 'probe', ?2, '', '', '', '', '[]', x'', 512, ?3, 0, ?4)";
    for (number, state_now) in ["dead", "dead", "queued", "done", "discarded"].into_iter().enumerate() {
        let ended = (state_now != "queued").then_some(9_i64);
        let at = 1_700_000_000_000_i64 + i64::try_from(number).unwrap() * 1000;
        state.execute(insert, rusqlite::params![format!("dlv_{number}"), at, state_now, ended]).unwrap();
    }
    drop(state);
    let (_, value) = project.run_json(&["status"]);
    let told: Vec<_> = value["needs"].as_array().unwrap().iter().collect();
    assert_eq!(told.len(), 2, "{value:#}");
    assert!(told[0]["what"].as_str().unwrap().starts_with("2 deliveries are dead"), "{value:#}");
    assert_eq!(told[0]["since"], "2023-11-14T22:13:20.000Z");
    assert_eq!(told[1]["what"], "1 delivery is waiting, and no `serve` answers");
    assert_eq!(told[1]["since"], "2023-11-14T22:13:22.000Z");
    assert_eq!(
        (&value["connections"][0]["dead"], &value["connections"][0]["waiting"]),
        (&2.into(), &1.into())
    );
}
