//! The order at the start: pool first, hardening after, as an ordinary user.

use crate::support::{example, probe_bytes};
use std::{
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Command, Stdio},
};

/// Neither root nor anybody who owns files.
const NOBODY: u32 = 65_534;

#[test]
fn a_hardened_process_of_an_ordinary_user_keeps_the_pagemap_scan() {
    // A kernel before 6.7 has none to keep.
    let scan = portcullis_runtime::pagemap_scan_available();
    for (arguments, scan) in [(&[][..], scan), (&["too-early"], false)] {
        let expected =
            format!("user=ordinary scan={scan} dumpable=NotDumpable core=Some(0) answer=Done(\"1\")\n");
        assert_eq!(facts(arguments), expected, "{arguments:?}");
    }
}

fn facts(arguments: &[&str]) -> String {
    // Where the checkout lies, another user may not get at the program: a copy will do.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("hardened");
    std::fs::copy(example("hardened"), &program).unwrap();
    let mut command = Command::new(&program);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
        .args(arguments)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(probe_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}
