//! Promise: each folder of `examples` runs by its one command, offline, and does what it says: what is delivered before a kill happens
//! once, what was read is not read again, and what failed is the only thing that is tried again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use portcullis_tests::{binary, checkout, guests, skip};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

fn python_is_here() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok_and(|ran| ran.status.success());
    if !found {
        skip("no `python3`, which is the vendor of the examples");
    }
    found
}

/// `examples/run NAME BINARY`, and the folder that it worked in.
fn run(name: &str, binary: &Path) -> (Output, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    // It builds its connectors where all tests do.
    let _alone = guests::alone();
    let ran = Command::new(checkout().join("examples/run"))
        .arg(name)
        .arg(binary)
        .env("EXAMPLES_KEEP", folder.path())
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", guests::target())
        .envs(guests::QUICK)
        .output()
        .expect("bash starts");
    (ran, folder)
}

/// One that saw what it claims; the folder is as it left it.
#[track_caller]
fn seen(name: &str) -> (String, TempDir) {
    let (ran, folder) = run(name, &binary());
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "examples/run {name}\n{said}\n{complaint}");
    assert!(said.ends_with(&format!("{name}: done, everything seen\n")), "{said}");
    (said, folder)
}

fn lines(folder: &TempDir, file: &str) -> Vec<String> {
    fs::read_to_string(folder.path().join(file)).unwrap().lines().map(str::to_owned).collect()
}

/// Every record in the files below a folder.
fn records(folder: &Path) -> Vec<serde_json::Value> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(records(&path));
        } else {
            let text = fs::read_to_string(path).unwrap();
            found.extend(text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()));
        }
    }
    found
}

#[test]
fn what_was_delivered_before_a_kill_happens_once() {
    if !python_is_here() {
        return;
    }
    let (said, folder) = seen("webhook-to-action");
    assert!(said.contains("$ kill -9 "), "{said}");
    let asked = lines(&folder, "vendor/asked.log");
    let order = r#"POST /invoices {"order":"o-1001","customer":"ada","cents":4250}"#;
    let (last, before) = asked.split_last().unwrap();
    assert_eq!(*last, format!("201 {order}"));
    assert!(!before.is_empty() && before.iter().all(|line| *line == format!("429 {order}")), "{asked:?}");
    let done = lines(&folder, "vendor/done.log");
    assert_eq!(done, [r#"invoice {"number": 1, "order": "o-1001", "customer": "ada", "cents": 4250}"#]);
}

#[test]
fn a_second_run_reads_what_is_new() {
    if !python_is_here() {
        return;
    }
    let (_, folder) = seen("sync-to-files");
    let asked = lines(&folder, "vendor/asked.log");
    let (first, second): (Vec<_>, Vec<_>) = asked.iter().partition(|line| !line.contains("since="));
    assert_eq!(first.len(), 3, "{asked:?}");
    assert!(!second.is_empty() && asked[..3].iter().eq(first), "{asked:?}");
    let mut ids: Vec<String> = records(&folder.path().join("out"))
        .iter()
        .map(|record| format!("{}{}", record["id"], record.get("phone").map_or("", |_| " with its phone")))
        .collect();
    ids.sort();
    // The one that changed, and the one at the mark, are there twice.
    let expected = ["c-1", "c-2", "c-2", "c-3", "c-4", "c-5", "c-5", "c-6"].map(|id| format!("\"{id}\""));
    assert_eq!(ids, expected);
}

#[test]
fn an_item_that_fails_is_the_only_one_that_is_tried_again() {
    if !python_is_here() {
        return;
    }
    let (_, folder) = seen("schedule-for-each");
    let asked = lines(&folder, "vendor/asked.log");
    let reminders = |status: &str, to: &str| {
        let of = format!("{status} POST /reminders {{\"to\":\"{to}@example.com\"");
        asked.iter().filter(|line| line.starts_with(&of)).count()
    };
    for (to, done, refused) in [("ada", 1, 0), ("bo", 1, 1), ("cy", 1, 0)] {
        assert_eq!((reminders("200", to), reminders("422", to)), (done, refused), "{to}: {asked:#?}");
    }
    assert_eq!(lines(&folder, "vendor/done.log").len(), 3);
}

/// What the others tell is no constant: where nothing was done the script does not say that it was.
#[test]
fn a_program_that_does_nothing_is_found_out() {
    if !python_is_here() {
        return;
    }
    for name in ["webhook-to-action", "sync-to-files", "schedule-for-each"] {
        let (ran, _folder) = run(name, Path::new("/bin/true"));
        assert!(!ran.status.success(), "{name}");
        assert!(!String::from_utf8_lossy(&ran.stdout).contains("SEEN:"), "{name}");
    }
    assert_eq!(run("nothing", &binary()).0.status.code(), Some(2));
}
