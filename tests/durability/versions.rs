//! Promise: another `position-version` begins empty and loses nothing: going back finds the old position, and the file of a reader
//! only grows. A connector that plays `migration` moves what an older version left, once and whole; where it fails nothing is run,
//! and nothing is lost.

use crate::project;
use portcullis_tests::{
    Project,
    case::{Case, http},
    guests::{Installed, as_version},
    model::Model,
};
use serde_json::json;
use std::{collections::BTreeSet, fs, path::Path};

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

/// The probe as versions 2 and 3 of one connector, and an operator's project with the first of them approved: a reader of
/// `rows` stops in the middle.
fn stopped(rest: &str, config: &str) -> (Project, Installed, Installed, Case) {
    let case = Case {
        manifest: format!("{}\n{rest}", http(&["GET https://api.vendor.test/**"], "")),
        more: config.to_owned(),
        ..Case::default()
    };
    let second = as_version(&case.component(), "1.2.0", 2);
    let third = as_version(&second, "1.3.0", 3);
    let project = case.project();
    move_to(&project, "probe", &second);
    (project, second, third, case)
}

fn read<'a>(stream: &'a str, file: &'a Path) -> [&'a str; 7] {
    ["read", "probe", stream, "--output", file.to_str().unwrap(), "--resume", "nightly"]
}

/// The ids in a file, in order.
fn ids(file: &Path) -> Vec<u64> {
    let text = fs::read_to_string(file).unwrap();
    let id = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap();
    text.lines().map(id).collect()
}

const SIX: &str = "config = { pages = 6, per-page = 2 }";
const FAILING: &str = "config = { pages = 6, per-page = 2, error-page = 3 }";

#[test]
fn what_an_older_version_left_is_moved_once_and_stays() {
    let (project, second, third, mut case) = stopped("", FAILING);
    let file = project.path("out.ndjson");
    project.run(&read("rows", &file)).exits(1);
    assert_eq!(ids(&file), (0..6).collect::<Vec<_>>());
    for key in ["k", "goes"] {
        project.call("probe", "state-set", &json!({"key": key, "value": "v"})).0.exits(0);
    }
    SIX.clone_into(&mut case.more);
    project.config(&case.config());
    move_to(&project, "probe", &third);
    // A dry run stores nothing, so it does not move the state either.
    let dry = project.run(&["call", "probe", "echo", "{}", "--dry-run"]);
    dry.exits(3);
    assert!(dry.stderr.contains("a dry run moves nothing to 3"), "{}", dry.stderr);
    assert!(project.plain(&dry.stderr).contains("portcullis check probe"), "{}", dry.stderr);
    project.run(&read("rows", &file)).exits(0);
    assert_eq!(ids(&file), (0..12).collect::<Vec<_>>(), "no record again, none missed");
    project.run(&["call", "probe", "echo", "{}", "--dry-run"]).exits(0);
    let value = |key: &str| project.call("probe", "state-get", &json!({ "key": key })).1["output"].clone();
    assert_eq!(value("k")["value"], "v");
    assert_eq!(value("goes"), json!(null));
    project.call("probe", "state-delete", &json!({"key": "k"})).0.exits(0);
    assert_eq!(value("k"), json!(null), "and does not come back");

    // Going back finds what was left: in the middle, and the value.
    move_to(&project, "probe", &second);
    project.run(&read("rows", &file)).exits(0);
    assert_eq!(ids(&file)[12..], (6..12).collect::<Vec<_>>());
    let value = |key: &str| project.call("probe", "state-get", &json!({ "key": key })).1["output"].clone();
    assert_eq!((&value("k")["value"], &value("goes")["value"]), (&json!("v"), &json!("v")));
    // A reader that begins there is none of the older version's.
    let newer = project.path("newer.ndjson");
    move_to(&project, "probe", &third);
    let arguments = ["read", "probe", "rows", "--output", newer.to_str().unwrap(), "--resume", "weekly"];
    project.run(&arguments).exits(0);
    move_to(&project, "probe", &second);
    let refused = project.run(&arguments);
    refused.exits(3);
    let line = "the reader `weekly` has a position of `position-version` 3, and test/probe 1.2.0 reads those up to 2";
    assert!(refused.stderr.contains(line), "{}", refused.stderr);
    assert_eq!(ids(&newer).len(), 12, "nothing was touched");
}

#[test]
fn what_cannot_be_moved_is_refused_in_words_and_stays() {
    let streams = ["fails", "panics", "spins", "broken", "large"];
    let table = |name: &str| format!("[streams.{name}]\nschema = \"any.json\"\nprimary-key = [\"id\"]\n");
    let rest = streams.map(table).concat();
    let (project, second, third, mut case) = stopped(&rest, FAILING);
    let file = |stream: &str| project.path(&format!("{stream}.ndjson"));
    for stream in streams {
        project.run(&read(stream, &file(stream))).exits(1);
    }
    SIX.clone_into(&mut case.more);
    case.limits = "cpu = \"1s\"".to_owned();
    project.config(&case.config());
    move_to(&project, "probe", &third);
    let runs = project.runs(&[]).len();
    for (stream, why) in streams.into_iter().zip([
        "the connector failed at it as `invalid-input`: told to fail",
        "the connector failed at it as `panicked`",
        "the connector failed at it as `cpu-budget`",
        "the connector failed at it as `invalid-answer`",
        "the connector failed at it as `limit`",
    ]) {
        let refused = project.run(&read(stream, &file(stream)));
        refused.exits(3);
        let what = format!(
            "the position of the reader `nightly` in `{stream}` can't be moved from `position-version` 2 to 3: {why}"
        );
        assert!(refused.stderr.contains(&what), "{}", refused.stderr);
        let remedy = "`connector = \"test/probe@<1.3.0\"` and `portcullis approve probe` go back";
        assert!(project.plain(&refused.stderr).contains(remedy), "{}", refused.stderr);
        assert_eq!(ids(&file(stream)), (0..6).collect::<Vec<_>>());
    }
    assert_eq!(project.runs(&[]).len(), runs, "nothing was run");
    // Without the reader nothing has to be moved.
    project.run(&["read", "probe", "fails"]).exits(0);
    // As it is said there.
    let older = case.config().replace("test/probe@^1", "test/probe@<1.3.0");
    project.config(&older).install(&second).approve("probe", &second);
    for stream in streams {
        project.run(&read(stream, &file(stream))).exits(0);
        assert_eq!(ids(&file(stream)), (0..12).collect::<Vec<_>>(), "{stream}");
    }

    // State: all of it or nothing.
    for key in ["a", "fails", "z"] {
        project.call("probe", "state-set", &json!({"key": key, "value": "v"})).0.exits(0);
    }
    project.config(&case.config());
    move_to(&project, "probe", &third);
    let refused = project.run(&["check", "probe"]);
    refused.exits(3);
    let what = "the state of `probe` can't be moved from `position-version` 2 to 3: the connector failed at it as \
                `invalid-input`: told to fail";
    assert!(refused.stderr.contains(what), "{}", refused.stderr);
    assert!(
        project.plain(&refused.stderr).contains("portcullis connections forget probe"),
        "{}",
        refused.stderr
    );
    move_to(&project, "probe", &second);
    for key in ["a", "fails", "z"] {
        assert_eq!(project.call("probe", "state-get", &json!({ "key": key })).1["output"]["value"], "v");
    }
    project.call("probe", "state-delete", &json!({"key": "fails"})).0.exits(0);
    move_to(&project, "probe", &third);
    project.run(&["check", "probe"]).exits(0);
    assert_eq!(project.call("probe", "state-get", &json!({ "key": "z" })).1["output"]["value"], "v");
}
