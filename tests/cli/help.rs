//! Every command's help.

use crate::snapshot;
use portcullis_tests::Project;

#[test]
fn help_of_everything() {
    let project = Project::new();
    snapshot!("help", project, project.run(&["--help"]));
    for command in [
        "demo",
        "init",
        "config",
        "schema",
        "new",
        "build",
        "test",
        "dev",
        "connectors",
        "inspect",
        "approve",
        "review",
        "update",
        "revoke",
        "explain",
        "doctor",
        "check",
        "discover",
        "call",
        "flows",
        "run",
        "read",
        "deliver",
        "write",
        "runs",
        "logs",
        "completions",
        "man",
        "denials",
    ] {
        snapshot!(format!("help-{command}"), project, project.run(&[command, "--help"]));
    }
    snapshot!("help-flows-test", project, project.run(&["flows", "test", "--help"]));
    snapshot!("help-config-show", project, project.run(&["config", "show", "--help"]));
}

#[test]
fn wrong_usage() {
    let project = Project::new();
    for (name, args) in [
        ("usage-no-command", &[][..]),
        ("usage-no-such-command", &["aprove"]),
        ("usage-yes-without-digest", &["approve", "probe", "--yes"]),
        ("usage-two-inputs", &["call", "probe", "echo", "{}", "--input", "file"]),
    ] {
        let ran = project.run(args);
        ran.exits(2);
        snapshot!(name, project, ran);
    }
}
