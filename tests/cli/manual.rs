//! Completions and man pages know every command that `--help` knows.

use portcullis_tests::Project;
use std::{fs, process::Command};

/// The commands that `--help` lists.
fn commands(project: &Project) -> Vec<String> {
    let help = project.run(&["--help"]).exits(0).stdout.clone();
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    // A text that goes on in a second line is indented further.
    let names = listed.lines().filter(|line| !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn completions_know_every_command() {
    let project = Project::new();
    let commands = commands(&project);
    assert!(commands.len() > 15 && commands.contains(&"man".to_owned()), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = project.run(&["completions", shell]);
        ran.exits(0);
        for command in &commands {
            assert!(ran.stdout.contains(command.as_str()), "{shell} does not know `{command}`");
        }
    }
    project.file("bash", project.run(&["completions", "bash"]).stdout.as_bytes());
    let read = Command::new("bash").arg("-n").arg(project.path("bash")).status().unwrap();
    assert!(read.success());
    let ran = project.run(&["completions", "cmd"]);
    ran.exits(2);
    assert!(ran.stderr.contains("possible values: bash"), "{}", ran.stderr);
}

#[test]
fn every_command_has_a_page() {
    let project = Project::new();
    project.run(&["man", project.path("man/pages").to_str().unwrap()]).exits(0);
    let pages = [String::new(), "-config-show".to_owned()].into_iter();
    for page in pages.chain(commands(&project).iter().map(|name| format!("-{name}"))) {
        let file = project.path(&format!("man/pages/portcullis{page}.1"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(text.contains(".TH portcullis") && text.contains(".SH OPTIONS"), "{text}");
    }
    project.file("taken", b"mine");
    let ran = project.run(&["man", project.path("taken").to_str().unwrap()]);
    ran.exits(3);
    assert_eq!(fs::read(project.path("taken")).unwrap(), b"mine");
}
