//! Promise: nobody reads a secret from the running process: no core dump, no other process of its user that looks into it, nothing
//! in what `/proc` shows of it, nothing on its terminal, nothing in what a panic says.

use crate::canary::{CANARY, clean, clean_run, echoing, needles};
use portcullis_tests::{
    Project, Vendor, binary,
    case::{Case, SLOT, http},
    is_root,
    project::{Running, finish},
    vendor::contains,
    wait_for,
};
use std::{
    fs,
    io::Read,
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::{
            fs::{MetadataExt, chown},
            process::CommandExt,
        },
    },
    path::Path,
    process::{Command, Stdio},
};

/// Neither root nor anybody who owns files.
const NOBODY: u32 = 65_534;
const SEND: [&str; 4] = [
    "call",
    "probe",
    "send-then",
    r#"{"requests": [{"url": "https://api.vendor.test/v1/body"}], "then": "spin"}"#,
];

fn project(vendor: &Vendor, credential: &str) -> Project {
    let case = Case {
        manifest: format!("{SLOT}{}", http(&["GET https://api.vendor.test/v1/**"], "credential = \"key\"")),
        credentials: credential.to_owned(),
        slots: "key = \"live\"".to_owned(),
        limits: "timeout = \"60s\"\ncpu = \"60s\"".to_owned(),
        more: "config = { pages = 50, per-page = 20 }".to_owned(),
        ..Case::default()
    };
    let case = case.to(vendor, &["api.vendor.test"]);
    let project = case.project();
    project.secret("vendor.key", CANARY).approve("probe", &case.component());
    project
}

fn from(reference: &str) -> String {
    format!("[credentials.live]\nscheme = \"bearer\"\nsecret = \"{reference}\"\n")
}

fn given_away(folder: &Path) {
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { given_away(&path) } else { chown(&path, Some(NOBODY), Some(NOBODY)).unwrap() }
    }
}

/// As an ordinary user where this is root: root's files belong to root in any case.
fn ordinary(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

/// A call that has used its secret and computes on.
fn running(project: &Project, vendor: &Vendor, variables: &[(&str, &str)]) -> Running {
    // Where the checkout lies, another user may not get at the program. Copied by another process: what this one starts
    // elsewhere in that moment would hold the copy open for writing, and nothing runs such a file.
    let program = project.path("portcullis");
    assert!(Command::new("cp").arg(binary()).arg(&program).status().expect("cp starts").success());
    if is_root() {
        given_away(&project.path(""));
    }
    let mut command = Command::new(&program);
    command.arg("--config").arg(project.path("portcullis.toml")).args(SEND);
    command.env_clear().envs(variables.iter().copied()).current_dir(project.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::of(ordinary(&mut command).spawn().expect("portcullis starts"));
    wait_for("the request", || (vendor.count() > 0).then_some(()));
    assert!(vendor.saw(CANARY.as_bytes()), "it was used");
    running
}

#[test]
fn no_core_dump_and_no_look_from_outside() {
    let vendor = echoing(&needles());
    let project = project(&vendor, &from("file:vendor.key"));
    let running = running(&project, &vendor, &[]);
    let proc = format!("/proc/{}", running.id());
    let limits = fs::read_to_string(format!("{proc}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");
    // The kernel gives the files of who may be dumped to its user, and all others to root.
    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    assert_ne!(user.split_whitespace().next(), Some("0"), "an ordinary user: {user}");
    for name in ["environ", "mem", "maps", "fd"] {
        assert_eq!(fs::metadata(format!("{proc}/{name}")).unwrap().uid(), 0, "{name}");
    }
    let reads = |path: &str| {
        let mut command = Command::new("cat");
        command.arg(path).stdout(Stdio::null()).stderr(Stdio::null());
        ordinary(&mut command).status().unwrap().success()
    };
    assert!(reads("/proc/self/environ"), "the twin");
    for name in ["environ", "maps", "auxv"] {
        assert!(!reads(&format!("{proc}/{name}")), "{name}");
    }
    for name in ["cmdline", "environ", "comm", "status", "stat", "maps", "limits", "mountinfo", "io", "wchan"]
    {
        clean(name, &fs::read(format!("{proc}/{name}")).unwrap_or_default());
    }
    clean_run("a killed call", &running.kill());
}

#[test]
fn only_a_secret_of_the_environment_is_in_the_environment() {
    let vendor = echoing(&needles());
    let project = project(&vendor, &from("env:VENDOR_KEY"));
    let running = running(&project, &vendor, &[("VENDOR_KEY", CANARY)]);
    let proc = |name: &str| fs::read(format!("/proc/{}/{name}", running.id())).unwrap();
    // Only root can look.
    if is_root() {
        assert!(contains(&proc("environ"), CANARY.as_bytes()), "where the operator put it");
    }
    for name in ["cmdline", "comm", "status", "stat"] {
        clean(name, &proc(name));
    }
    clean_run("a killed call", &running.kill());
}

/// stderr of a command that believes to talk to a person.
#[expect(unsafe_code, reason = "std makes no terminal")]
fn on_a_terminal(project: &Project, args: &[&str]) -> Vec<u8> {
    let (mut master, mut slave) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: both are written to; name, settings and size may be null.
    let made = unsafe { libc::openpty(&raw mut master, &raw mut slave, none, none.cast(), none.cast()) };
    assert_eq!(made, 0, "a terminal");
    // SAFETY: both were just opened, and nobody else knows them.
    let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
    let mut command = project.command(args);
    let child = command.env("TERM", "xterm").stderr(Stdio::from(slave)).spawn().expect("portcullis starts");
    // It holds the other end too.
    drop(command);
    let reader = std::thread::spawn(move || {
        let (mut shown, mut piece) = (Vec::new(), [0; 4096]);
        let mut master = fs::File::from(master);
        // A terminal whose last writer left answers with an error.
        while let Ok(read @ 1..) = master.read(&mut piece) {
            shown.extend_from_slice(&piece[..read]);
        }
        shown
    });
    clean_run(&args.join(" "), &finish(child));
    reader.join().unwrap()
}

#[test]
fn a_terminal_shows_none_of_it() {
    let vendor = echoing(&needles());
    let project = project(&vendor, &from("file:vendor.key"));
    let shown = on_a_terminal(&project, &["--log-level", "trace", "read", "probe", "rows"]);
    assert!(contains(&shown, b"records, "), "progress is shown: {}", String::from_utf8_lossy(&shown));
    clean("a terminal", &shown);
    let send = r#"{"url": "https://api.vendor.test/v1/error"}"#;
    let shown = on_a_terminal(&project, &["--log-level", "trace", "call", "probe", "send", send]);
    assert!(vendor.saw(CANARY.as_bytes()) && shown.len() > 1_000);
    clean("a terminal", &shown);
}

/// Threads whose stacks are larger than any address space: the first of them ends the process by a panic with formatted words.
#[test]
fn a_panic_says_where_and_repeats_nothing() {
    let vendor = echoing(&needles());
    let project = project(&vendor, &from("file:vendor.key"));
    let mut command = project.command(&SEND);
    command.env("RUST_MIN_STACK", (1_u64 << 50).to_string());
    let ran = finish(command.spawn().expect("portcullis starts"));
    ran.exits(101);
    assert!(
        ran.stderr.contains("error: a fault of portcullis at ") && ran.stderr.contains(".rs:"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.trim_end().ends_with("its words are withheld, they may hold data"), "{}", ran.stderr);
}
