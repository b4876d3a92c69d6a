//! `demo --keep` writes into a folder of its own, and into no other.

use portcullis_tests::{Project, wait_for};
use std::{fs, path::PathBuf};

fn demo(project: &Project, folder: &str) -> portcullis_tests::Ran {
    project.run(&["demo", "--keep", project.path(folder).to_str().unwrap()])
}

fn everything(project: &Project, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = project.bytes_below(folder);
    files.sort();
    files
}

#[test]
fn a_folder_of_somebody_else_stays_byte_for_byte() {
    let project = Project::new();
    fs::create_dir_all(project.path("mine/registry")).unwrap();
    project.file("mine/portcullis.toml", b"data = \"data\"\n").secret("mine/stripe.key", "sk_live_1");
    project.file("mine/portcullis.lock", b"format = 1\n");
    // Anything counts, and a marker that the demo did not write is none.
    fs::create_dir(project.path("other")).unwrap();
    project.file("other/notes.txt", b"").file("other/.portcullis-demo", b"");
    project.file("file", b"no folder");
    for (folder, holds) in [("mine", "`portcullis.toml`"), ("other", "`notes.txt`"), ("file", "no folder")] {
        let before = everything(&project, folder);
        let ran = demo(&project, folder);
        ran.exits(2);
        for text in [holds, "name a folder that does not exist yet"] {
            assert!(ran.stderr.contains(text), "{text}\n{}", ran.stderr);
        }
        assert_eq!(everything(&project, folder), before);
    }
    assert_eq!(fs::read(project.path("file")).unwrap(), b"no folder");
}

/// Plays the demo to its end and waits for its Ctrl-C.
#[track_caller]
fn plays(project: &Project, folder: &str) {
    let toml = project.path(folder).join("portcullis.toml");
    let before = fs::read(&toml).ok();
    let running = project.spawn(&["demo", "--keep", project.path(folder).to_str().unwrap()]);
    let log = project.path(folder).join("data/exchanges.db");
    wait_for("the demo's files", || (fs::read(&toml).ok() != before && log.exists()).then_some(()));
    // Not waited to its end: what a killed one left is its own too.
    running.kill();
}

#[test]
fn an_empty_folder_and_one_of_an_earlier_demo_are_taken() {
    let project = Project::new();
    fs::create_dir(project.path("empty")).unwrap();
    plays(&project, "empty");
    plays(&project, "new/folder");
    plays(&project, "new/folder");
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(project.path(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("new/folder"), mode("new/folder/stripe.key")), (0o700, 0o600));

    // There too, what somebody else wrote stays.
    for changed in ["portcullis.toml", "stripe.key", "ca.pem"] {
        let file = format!("new/folder/{changed}");
        let kept = fs::read(project.path(&file)).unwrap();
        project.secret(&file, "mine");
        let before = everything(&project, "new/folder");
        let ran = demo(&project, "new/folder");
        ran.exits(2);
        assert!(ran.stderr.contains(&format!("{changed}` is not as the demo wrote it")), "{}", ran.stderr);
        assert_eq!(everything(&project, "new/folder"), before);
        project.file(&file, &kept);
    }
    fs::remove_file(project.path("new/folder/ca.pem")).unwrap();
    std::os::unix::fs::symlink(project.path("ca.pem"), project.path("new/folder/ca.pem")).unwrap();
    demo(&project, "new/folder").exits(2);
    fs::remove_file(project.path("new/folder/ca.pem")).unwrap();
    fs::rename(project.path("new/folder/registry"), project.path("registry-elsewhere")).unwrap();
    let elsewhere = project.path("registry-elsewhere");
    std::os::unix::fs::symlink(elsewhere, project.path("new/folder/registry")).unwrap();
    demo(&project, "new/folder").exits(2);
    fs::remove_file(project.path("new/folder/registry")).unwrap();
    plays(&project, "new/folder");
}
