//! `init` makes a folder that a connection can be set up in, and writes over nothing.

use crate::snapshot;
use portcullis_tests::{
    Project,
    case::{SLOT, http},
    guests,
};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

fn mode(project: &Project, name: &str) -> u32 {
    fs::metadata(project.path(name)).unwrap().permissions().mode() & 0o7777
}

/// Without what a project of the tests begins with.
fn empty() -> Project {
    let project = Project::new();
    fs::remove_dir(project.path("registry")).unwrap();
    project
}

#[test]
fn from_nothing_to_a_checked_connection() {
    let project = empty();
    let ran = project.run(&["init"]);
    ran.exits(0);
    snapshot!("init", project, ran);
    assert_eq!(
        ["data", "secrets", "registry", "portcullis.toml"].map(|name| mode(&project, name)),
        [0o700, 0o700, 0o755, 0o644]
    );

    let rules = http(&["GET https://api.example.com/v1/**"], "credential = \"key\"");
    let component = guests::probe(&format!("{SLOT}{rules}"));
    project.install(&component);
    // The examples of the config as they stand, with the connector's name and its slot.
    let example = |line: &str| match line.strip_prefix('#') {
        Some(example) if !example.starts_with(' ') => example.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    };
    let config = fs::read_to_string(project.path("portcullis.toml")).unwrap();
    let config: String = config.lines().map(example).collect();
    let config = config.replace("acme/example@^1", "test/probe@^1").replace("{ api-key =", "{ key =");
    project.file("portcullis.toml", config.as_bytes()).secret("secrets/example.key", "sk_live_0123456789");
    project.run(&["check", "example"]).exits(4);
    project.approve("example", &component);
    project.run(&["check", "example"]).exits(0);
    assert_eq!(mode(&project, "data"), 0o700);

    // What is not for version control is what git leaves out.
    let git = |args: &[&str]| Command::new("git").args(args).current_dir(project.path("")).output().unwrap();
    assert!(git(&["init", "--quiet"]).status.success());
    let tracked = git(&["ls-files", "--others", "--exclude-standard"]);
    let mut tracked: Vec<&str> = std::str::from_utf8(&tracked.stdout).unwrap().lines().collect();
    tracked.sort_unstable();
    let wanted =
        [".gitignore", "ca.pem", "portcullis.lock", "portcullis.toml", "registry/test/probe/1.0.0.wasm"];
    assert_eq!(tracked, wanted);
}

#[test]
fn nothing_is_written_over() {
    let project = empty();
    for there in ["portcullis.toml", "portcullis.lock", ".gitignore", "data", "registry", "secrets"] {
        project.file(there, b"mine");
        let ran = project.run(&["init"]);
        ran.exits(2);
        assert!(ran.stderr.contains(&format!("{there}`\n")), "{}", ran.stderr);
        assert_eq!(fs::read(project.path(there)).unwrap(), b"mine");
        fs::remove_file(project.path(there)).unwrap();
        let left: Vec<_> = fs::read_dir(project.path("")).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(left.len(), 1, "nothing but `ca.pem`: {left:?}");
    }
    std::os::unix::fs::symlink("nowhere", project.path("portcullis.toml")).unwrap();
    project.file("portcullis.lock", b"format = 1\n");
    let ran = project.run(&["init"]);
    ran.exits(2);
    snapshot!("init-exists", project, ran);
}

/// As an operator types it: exit code and stdout.
fn run_in(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(portcullis_tests::binary());
    let ran = command.env_clear().current_dir(folder).args(args).output().unwrap();
    (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
}

#[test]
fn a_folder_is_made() {
    let project = empty();
    let both = project.run(&["init", "--dir", "made/here"]);
    both.exits(2);
    assert!(both.stderr.contains("`--dir` and `--config`"), "{}", both.stderr);
    fs::create_dir(project.path("plain")).unwrap();
    let (code, shown) = run_in(&project.path("plain"), &["init"]);
    assert_eq!(code, Some(0));
    assert!(
        shown.contains("`portcullis approve CONNECTION`") && shown.contains("cat > secrets/NAME.key"),
        "{shown}"
    );
    let (code, shown) = run_in(&project.path(""), &["init", "--dir", "made/here"]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("`portcullis --config made/here/portcullis.toml approve CONNECTION`"), "{shown}");
    assert!(shown.contains("cat > made/here/secrets/NAME.key"), "{shown}");
    let (code, shown) = run_in(&project.path(""), &["--config", "made/here/portcullis.toml", "connectors"]);
    // Two headers, a line between them, and what the binary carries.
    assert_eq!((code, shown.lines().count()), (Some(0), 4), "{shown}");
}
