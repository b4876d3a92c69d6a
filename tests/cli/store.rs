//! `store`: the databases looked through, copied beside whoever writes, and put back; and what that means for what was revoked.

use portcullis_tests::{Project, case::Case};
use std::fs;

fn project() -> Project {
    let project = Case::default().approved_with("sk_test_0123456789abcdef");
    project.run(&["call", "probe", "echo", "{\"n\":1}"]).exits(0);
    project
}

fn runs(project: &Project) -> usize {
    project.runs(&[]).len()
}

#[test]
fn a_backup_is_put_back_and_what_was_revoked_stays_so() {
    let project = project();
    let check = project.run(&["store", "check"]);
    check.exits(0);
    assert_eq!(check.stdout.lines().filter(|line| line.starts_with("ok ")).count(), 2, "{}", check.stdout);
    let copy = project.path("copy").display().to_string();
    project.run(&["store", "backup", &copy]).exits(0);
    let again = project.run(&["store", "backup", &copy]);
    again.exits(2);
    project.run(&["call", "probe", "echo", "{\"n\":2}"]).exits(0);
    assert_eq!(runs(&project), 2);
    project.run(&["revoke", "probe"]).exits(0);

    let asked = project.run(&["store", "restore", &copy]);
    asked.exits(2);
    assert!(asked.stderr.contains("nobody is there to confirm"), "{}", asked.stderr);
    let restored = project.run(&["store", "restore", &copy, "--yes"]);
    restored.exits(0);
    assert_eq!(runs(&project), 1, "as it was then");
    project.run(&["call", "probe", "echo", "{}"]).exits(4);
    // What came since lies beside it, whole.
    let before = fs::read_dir(project.path("data")).unwrap();
    let before = before.map(|entry| entry.unwrap().path());
    let before =
        before.filter(|path| path.display().to_string().contains("before-restore")).collect::<Vec<_>>();
    assert_eq!(before.len(), 1);
    // Nobody's data has it after it was forgotten.
    project.run(&["connections", "forget", "probe", "--yes"]).exits(0);
    assert!(!before[0].exists());
}

#[test]
fn another_machine_has_what_was_approved() {
    let project = project();
    let copy = project.path("copy").display().to_string();
    project.run(&["store", "backup", &copy]).exits(0);
    fs::remove_dir_all(project.path("data")).unwrap();
    let (ran, value) = project.run_json(&["store", "restore", &copy, "--yes"]);
    ran.exits(0);
    assert!(value["before"].is_null() && value["files"].as_u64() >= Some(2), "{value}");
    project.run(&["doctor"]).exits(0);
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    assert_eq!(runs(&project), 2);
}

#[test]
fn what_is_damaged_is_said_and_put_back_nowhere() {
    let project = project();
    let copy = project.path("copy").display().to_string();
    project.run(&["store", "backup", &copy]).exits(0);
    let path = project.path("copy/state.db");
    let mut bytes = fs::read(&path).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        page[..64].fill(0xaa);
    }
    fs::write(&path, bytes).unwrap();
    let refused = project.run(&["store", "restore", &copy, "--yes"]);
    refused.exits(3);
    assert!(refused.stderr.contains("is damaged"), "{}", refused.stderr);
    assert_eq!(runs(&project), 1);
    for end in ["-wal", "-shm"] {
        drop(fs::remove_file(project.path(&format!("data/state.db{end}"))));
    }
    fs::copy(&path, project.path("data/state.db")).unwrap();
    let check = project.run(&["store", "check"]);
    check.exits(3);
    assert!(check.stdout.contains("error    state.db"), "{}", check.stdout);
    project.run(&["store", "restore", "nowhere", "--yes"]).exits(2);
}
