//! A network of its own in which every address is local: this test binary starts itself again under `unshare -n -m`, so that
//! nothing can leave the machine and a packet socket on `lo` sees whatever is dialled. Needs root; without it a skip says so.

use crate::{is_root, skip};
use std::{
    collections::BTreeSet,
    env, fs,
    process::{Command, Stdio},
    sync::Mutex,
};

const INSIDE: &str = "PORTCULLIS_TESTS_NETNS";

/// Whether this process runs in such a network.
pub fn inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs `prepare` outside, then `test` in a network of its own, as the same test of the same binary.
#[track_caller]
pub fn isolated(prepare: impl FnOnce(), test: impl FnOnce()) {
    if inside() {
        set_up();
        test();
        return;
    }
    if !is_root() {
        return skip("a network of its own needs root");
    }
    if Command::new("unshare")
        .args(["-n", "-m", "ip", "link"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| !status.success())
    {
        return skip("`unshare -n -m ip link` does not work here");
    }
    prepare();
    let name = std::thread::current().name().expect("tests run in named threads").to_owned();
    let ran = Command::new("unshare")
        .args(["-n", "-m"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads", "1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    // Indented: `tests/run` sums up the lines of the runners that it started itself.
    stdout.lines().for_each(|line| println!("    {line}"));
    stderr.lines().for_each(|line| eprintln!("    {line}"));
    assert!(ran.status.success(), "the test failed in its own network");
    assert!(stdout.contains("1 passed"), "the test did not run in its own network");
}

fn set_up() {
    for command in [
        "ip link set lo up",
        "ip route add local 0.0.0.0/0 dev lo",
        "ip -6 route add local ::/0 dev lo",
        "mount --make-rprivate /",
    ] {
        let mut words = command.split(' ');
        let ran = Command::new(words.next().unwrap())
            .args(words)
            .output()
            .unwrap_or_else(|error| panic!("`{command}`: {error}"));
        assert!(ran.status.success(), "`{command}`: {}", String::from_utf8_lossy(&ran.stderr));
    }
    bind("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n");
}

/// Puts a file of our own over one of the system's, in this process's view alone; a second time its content changes.
pub fn bind(over: &str, content: &str) {
    static BOUND: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if !BOUND.lock().unwrap().insert(over.to_owned()) {
        fs::write(over, content).unwrap();
        return;
    }
    let own =
        env::temp_dir().join(format!("portcullis-test-{}-{}", std::process::id(), over.replace('/', "-")));
    fs::write(&own, content).unwrap();
    let ran = Command::new("mount").arg("--bind").arg(&own).arg(over).output().expect("mount starts");
    assert!(ran.status.success(), "mount over {over}: {}", String::from_utf8_lossy(&ran.stderr));
    // The mount holds the file; its name is not needed any more.
    fs::remove_file(&own).unwrap();
}
