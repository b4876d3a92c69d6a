//! Children as the product starts them, and what `/proc` says of them.

use portcullis_contract::{Fault, Schema, judge_apart};
use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The children are the whole process's, and some count them, or what this process takes: one test after the other. What is not plain
/// is judged in a child.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    judge_apart(program(), Vec::new());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join("schema_child");
    assert!(program.exists(), "{} is not built: cargo build --examples", program.display());
    program
}

/// Place and message of each.
pub fn said(faults: &[Fault]) -> Vec<(&str, &str)> {
    faults.iter().map(|fault| (fault.pointer.as_str(), fault.message.as_str())).collect()
}

#[track_caller]
pub fn check(schema: &str, document: &str, expected: &[(&str, &str)]) {
    let faults = Schema::new(schema).validate_in_time(document).unwrap();
    assert_eq!(said(&faults), expected, "{schema:.200} {document:.200}");
}

/// Processes of this one that are not reaped.
pub fn children() -> Vec<u32> {
    let ours = std::process::id().to_string();
    let numbers =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(|process| stat(*process).get(1) == Some(&ours)).collect()
}

/// CPU time of a process, all its threads, in hundredths of a second.
pub fn ticks(process: u32) -> u64 {
    stat(process).iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// `/proc/PID/stat` from the state on: what comes after the name, which may hold anything.
pub fn stat(process: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    after.split(' ').map(str::to_owned).collect()
}

/// The most that was resident so far.
pub fn resident_most() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() << 10
}
