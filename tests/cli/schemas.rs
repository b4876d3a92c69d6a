//! Schemas that were made to take everything: nobody approves one unseen, and where one was approved it costs its own connection.

use portcullis_manifest::{Component, Connector, embed::embed};
use portcullis_tests::{
    Project, binary,
    case::Case,
    guests::{self, Installed},
};
use serde_json::{Map, Value, json};
use std::process::Command;

/// The probe, and what its action `echo` says of its output.
fn with_output(schema: Value) -> Installed {
    let probe = guests::probe("");
    let mut manifest: Connector = Component::read(&probe.bytes).unwrap().manifest;
    manifest.actions.get_mut("echo").unwrap().output = schema;
    let code = Component::code(&probe.bytes).unwrap();
    Installed::of(embed(&code, &manifest, &Default::default()).unwrap())
}

fn names(count: usize, bytes: usize, of: impl Fn(usize) -> Value) -> Map<String, Value> {
    (0..count).map(|number| (format!("{number:0bytes$}"), of(number))).collect()
}

/// What the process or its child took at most: the child its 512 MiB, its stack and the program.
const KIB_MAX: u64 = 640 << 10;

#[test]
fn one_that_takes_too_much_to_compile_is_not_approved() {
    let long = "n".repeat(200_000);
    let component = with_output(
        json!({ "properties": { long: { "properties": names(20_000, 0, |_| json!({ "not": {} })) } } }),
    );
    let project = Project::new();
    project.config(&Case::default().config()).install(&component);
    for args in
        [&["inspect", "test/probe"][..], &["approve", "probe", "--yes", "--digest", &component.digest]]
    {
        let ran = project.run(args);
        ran.exits(3);
        assert!(ran.resident_kib_max < KIB_MAX, "{} KiB", ran.resident_kib_max);
        for text in ["/actions/echo/output", "it takes more than 512 MiB"] {
            assert!(ran.stderr.contains(text), "{text}\n{}", ran.stderr);
        }
    }
}

/// What this machine does not give is not the author's fault, and the bound that is told is the one that holds.
#[test]
fn lower_limits_of_the_machine_are_told_as_such() {
    let long = "n".repeat(200_000);
    let hog = with_output(
        json!({ "properties": { long: { "properties": names(20_000, 0, |_| json!({ "not": {} })) } } }),
    );
    let small = with_output(json!({ "not": { "type": "null" } }));
    for (component, kib, says) in [
        (&hog, 150_000, "it takes more than 82 MiB of memory, which is a limit of this machine"),
        (&small, 60_000, "lets the process have 58 MiB of data, and it needs 64"),
        // Enough to begin, and not for a child that has a stack of its own.
        (&small, 66_000, "can't be looked at"),
        (&small, 150_000, ""),
    ] {
        let project = Project::new();
        project.config(&Case::default().config()).install(component);
        let script = format!("ulimit -d {kib}; exec \"$0\" inspect test/probe");
        let ran =
            Command::new("sh").args(["-c", &script]).arg(binary()).current_dir(project.path("")).output();
        let ran = ran.unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(if says.is_empty() { 0 } else { 3 }), "{kib}: {said}");
        assert!(said.contains(says), "{kib}: {said}");
        assert!(!said.contains("its author"), "{kib}: {said}");
    }
}

/// Found good, and too much once there is a document that does not fit: what the vendor answered is there, and that nobody could tell
/// more of it.
#[test]
fn one_that_takes_too_much_later_costs_nobody_the_answer() {
    let branch = || json!({ "properties": { "x": { "$ref": "#/$defs/a" } } });
    let component = with_output(
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "object", "anyOf": [branch(), branch()] } } }),
    );
    let project = Project::new();
    project.config(&Case::default().config()).install(&component).approve("probe", &component);
    let deep = format!("{}1{}", "{\"x\":".repeat(22), "}".repeat(22));
    let (ran, report) = project.run_json(&["call", "probe", "echo", &deep]);
    ran.exits(0);
    assert_eq!((&report["reason"], &report["output"].to_string()), (&json!("contract-drift"), &deep));
    assert_eq!(report["drift"][0]["message"], "it does not fit, and has too many places to tell which");
    assert!(ran.resident_kib_max < KIB_MAX, "{} KiB", ran.resident_kib_max);
    let (ran, report) = project.run_json(&["call", "probe", "echo", "{}"]);
    ran.exits(0);
    assert_eq!(report["drift"], json!([]));
}

/// What nobody could look at does not pass for looked at.
#[test]
fn one_that_ends_the_process_that_holds_it_is_told() {
    // It goes through three thousand references at each level of a document.
    let next = |at: usize| json!({ "allOf": [{ "$ref": format!("#/$defs/d{}", at + 1) }, true] });
    let mut defs: Map<String, Value> = (0..3_000).map(|at| (format!("d{at}"), next(at))).collect();
    defs.insert("d3000".to_owned(), json!({ "properties": { "x": { "$ref": "#/$defs/d0" } } }));
    let component = with_output(json!({ "$ref": "#/$defs/d0", "$defs": defs }));
    let project = Project::new();
    project.config(&Case::default().config()).install(&component).approve("probe", &component);
    let deep = format!("{}1{}", "{\"x\":".repeat(100), "}".repeat(100));
    let (ran, report) = project.run_json(&["call", "probe", "echo", &deep]);
    ran.exits(0);
    assert_eq!((&report["reason"], &report["output"].to_string()), (&json!("contract-drift"), &deep));
    let told = report["drift"][0]["message"].as_str().unwrap();
    assert!(told.contains("a reference comes back to itself"), "{told}");
}
