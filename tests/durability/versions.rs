//! Promise: another `position-version` begins empty and loses nothing: going back finds the old position, the file of a reader only
//! grows, and a connector that says it can migrate is refused until it can.

use crate::project;
use portcullis_tests::{
    Project,
    case::{Case, http},
    guests::{Installed, as_version},
    model::Model,
};
use serde_json::json;
use std::{collections::BTreeSet, fs};

/// Puts this version, and no other, in place and approves it.
fn move_to(project: &Project, connection: &str, version: &Installed) {
    fs::remove_dir_all(project.path("registry")).unwrap();
    project.install(version).approve(connection, version);
}

#[test]
fn another_number_begins_empty_and_going_back_finds_the_old_position() {
    let model = Model::start(250, |_| {});
    let (project, first) = project(&model);
    let second = as_version(&first, "0.1.900", 2);
    let file = project.path("out.ndjson");
    let mut before = Vec::new();
    // Reads to the end, and gives how many records came; what is in the file stays there.
    let mut read = || {
        let arguments =
            ["read", "billing", "customers", "--output", file.to_str().unwrap(), "--resume", "nightly"];
        project.run(&arguments).exits(0);
        let now = fs::read(&file).unwrap();
        assert!(now.starts_with(&before), "the file was cut back");
        let records = now[before.len()..].iter().filter(|byte| **byte == b'\n').count();
        before = now;
        records
    };
    assert_eq!(read(), 250);
    let again = read();
    assert!(again < 10, "from the checkpoint: {again}");
    move_to(&project, "billing", &second);
    assert_eq!(read(), 250, "version 2 begins at the start");
    assert!(read() < 10, "and goes on from its own checkpoint");
    move_to(&project, "billing", &first);
    assert!(read() < 10, "version 1 finds its position again");
    move_to(&project, "billing", &second);
    assert!(read() < 10, "so does version 2");
    let text = String::from_utf8(before).unwrap();
    let ids: BTreeSet<String> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ids, model.ids().into_iter().collect());
}

#[test]
fn what_can_migrate_is_refused_until_that_is_built() {
    let case = Case {
        manifest: http(&["GET https://api.vendor.test/**"], ""),
        more: "config = { pages = 3, per-page = 2 }".to_owned(),
        ..Case::default()
    };
    let second = as_version(&case.component(), "1.2.0", 2);
    let third = as_version(&second, "1.3.0", 3);
    let project = case.project();
    move_to(&project, "probe", &second);
    let file = project.path("out.ndjson");
    let read = ["read", "probe", "rows", "--output", file.to_str().unwrap(), "--resume", "nightly"];
    project.run(&read).exits(0);
    let kept = fs::read(&file).unwrap();
    move_to(&project, "probe", &third);
    let runs = project.runs(&[]).len();
    let refused = project.run(&read);
    refused.exits(3);
    let line = "the reader `nightly` has a position of `position-version` 2, and moving it to 3 is unsupported so far";
    assert!(refused.stderr.contains(line), "{}", refused.stderr);
    assert_eq!((fs::read(&file).unwrap(), project.runs(&[]).len()), (kept, runs), "nothing was touched");
    // Without the reader nothing has to be moved.
    project.run(&["read", "probe", "rows"]).exits(0);

    // State likewise, which every call may use.
    move_to(&project, "probe", &second);
    project.run(&read).exits(0);
    project.call("probe", "state-set", &json!({"key": "k", "value": "v"})).0.exits(0);
    move_to(&project, "probe", &third);
    let refused = project.run(&["call", "probe", "state-get", r#"{"key": "k"}"#]);
    refused.exits(3);
    let line = "`probe` has state of `position-version` 2, and moving it to 3 is unsupported so far";
    assert!(refused.stderr.contains(line), "{}", refused.stderr);
    move_to(&project, "probe", &second);
    let (_, report) = project.call("probe", "state-get", &json!({"key": "k"}));
    assert_eq!(report["output"]["value"], "v", "{report:#}");
}
