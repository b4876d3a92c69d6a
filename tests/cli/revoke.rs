//! `revoke` works when other things do not: under a held lock, beside a faulty config, without a readable lock.

use portcullis_tests::{Project, Ran, case::Case};
use std::fs;

const NOT_APPROVED: i32 = 4;

fn call(project: &Project) -> Ran {
    project.run(&["call", "probe", "echo", "{}"])
}

fn lock(project: &Project) -> String {
    fs::read_to_string(project.path("portcullis.lock")).unwrap()
}

fn approval_id(project: &Project) -> String {
    let lock = lock(project);
    let id = lock.split("approval-id = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(id.starts_with("apr_"), "{id}");
    id.to_owned()
}

#[test]
fn a_held_lock_file_delays_the_mark_alone() {
    let project = Case::default().approved();
    call(&project).exits(0);
    let held = fs::File::open(project.path("")).unwrap();
    held.lock().unwrap();
    let ran = project.run(&["--wait", "1", "revoke", "probe"]);
    ran.exits(6);
    assert!(ran.stdout.contains(&format!("revoked `probe` ({})", approval_id(&project))), "{}", ran.stdout);
    assert!(ran.stderr.contains("it is ended; only its mark in"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("locked by process {}", std::process::id())), "{}", ran.stderr);
    assert!(!lock(&project).contains("revoked = true"));
    call(&project).exits(NOT_APPROVED);

    // Everybody else who writes it waits as long, and no longer.
    let component = Case::default().component();
    let approve = ["--wait", "0", "approve", "probe", "--yes", "--digest", &component.digest];
    project.run(&approve).exits(6);
    held.unlock().unwrap();
    project.run(&["revoke", "probe"]).exits(0);
    assert!(lock(&project).contains("revoked = true"));
    project.run(&approve).exits(0);
    call(&project).exits(0);
}

#[test]
fn a_faulty_config_keeps_nobody_from_revoking() {
    for fault in [
        "surprise = true\n",
        "[boundary]\ndeny = []\n",
        "[credentials.gone]\nscheme = \"bearer\"\nsecret = \"file:no-such.key\"\n",
        "[connections.other]\nconnector = 7\n",
        "[connections.other]\nconnector = \"a/b\"\nallow = \"requested\"\n[connections.other.network]\nca-file = \"gone.pem\"\n",
    ] {
        let case = Case::default();
        let project = case.approved();
        project.config(&format!("{fault}\n{}", case.config()));
        project.run(&["revoke", "probe"]).exits(0);
        assert!(lock(&project).contains("revoked = true"), "{fault}");
        project.config(&case.config());
        call(&project).exits(NOT_APPROVED);
    }
}

#[test]
fn without_data_it_says_what_to_do() {
    let project = Case::default().approved();
    for config in [&b"data = \"./data\"\n[connections.probe\n"[..], b"data = 7\n", b"\xff"] {
        project.file("portcullis.toml", config);
        let ran = project.run(&["revoke", "probe"]);
        ran.exits(3);
        assert!(ran.stderr.contains("--config FILE"), "{}", ran.stderr);
    }
    fs::remove_file(project.path("portcullis.toml")).unwrap();
    assert!(project.run(&["revoke", "probe"]).exits(3).stderr.contains("--config FILE"));
    // As it says.
    project.file("rescue.toml", b"data = \"./data\"\n");
    let rescue = std::process::Command::new(portcullis_tests::binary())
        .args(["--config", "rescue.toml", "revoke", "probe"])
        .env_clear()
        .current_dir(project.path(""))
        .output()
        .unwrap();
    assert_eq!(rescue.status.code(), Some(0), "{}", String::from_utf8_lossy(&rescue.stderr));
    project.config(&Case::default().config());
    call(&project).exits(NOT_APPROVED);
}

/// `by` chooses from the id and the digest.
fn ends_without_a_lock(by: for<'a> fn(&'a str, &'a str) -> &'a str) {
    for damaged in [Some("format = 99\n"), Some("<<<<<<< HEAD\n"), Some("format = 1\n"), None] {
        let project = Case::default().approved();
        let (good, id) = (lock(&project), approval_id(&project));
        match damaged {
            Some(text) => drop(project.file("portcullis.lock", text.as_bytes())),
            None => fs::remove_file(project.path("portcullis.lock")).unwrap(),
        }
        let nobody = project.run(&["revoke", "nobody"]);
        assert!(matches!(nobody.status, Some(2 | 3)), "{nobody:?}");
        assert!(project.plain(&nobody.stderr).contains("portcullis revoke apr_"), "{}", nobody.stderr);
        let ran = project.run(&["revoke", by(&id, &Case::default().component().digest)]);
        ran.exits(0);
        assert!(ran.stderr.contains("warning: "), "{ran:?}");
        project.file("portcullis.lock", good.as_bytes());
        call(&project).exits(NOT_APPROVED);
    }
}

#[test]
fn an_approval_is_ended_where_the_lock_is_of_no_use() {
    ends_without_a_lock(|id, _| id);
    ends_without_a_lock(|_, digest| digest);
    // `data` knows the connection.
    ends_without_a_lock(|_, _| "probe");
}

#[test]
fn an_id_that_the_lock_names_is_marked_in_it() {
    let project = Case::default().approved();
    let (_, said) = project.run_json(&["revoke", &approval_id(&project)]);
    assert_eq!(said["connection"], "probe");
    assert!(lock(&project).contains("revoked = true"));
    call(&project).exits(NOT_APPROVED);
}

#[test]
fn what_is_no_id_becomes_no_file() {
    let project = Case::default().approved();
    for target in ["apr_../../x", "apr_", "../x", "apr_a/b", "nobody", "sha256:00"] {
        project.run(&["revoke", target]).exits(2);
    }
    let files = project.bytes_below("data/revoked");
    assert!(files.is_empty(), "{files:?}");
    call(&project).exits(0);
}
