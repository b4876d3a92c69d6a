//! Promise: a guest that spins, grows, recurses, floods or dies ends as a failed run with an error of its own kind; the process
//! and the next call go on.

use portcullis_tests::{
    Project,
    case::{Case, http},
};
use serde_json::{Value, json};

/// A connection with small limits, so that each is met quickly.
fn project() -> Project {
    let case = Case {
        manifest: http(&["GET https://api.vendor.test/**"], ""),
        limits: "memory = \"32MiB\"\ncpu = \"300ms\"\ntimeout = \"5s\"\nlog = \"16KiB\"".to_owned(),
        ..Case::default()
    };
    case.approved()
}

/// Runs the action; then a good call has to succeed.
#[track_caller]
fn act(project: &Project, action: &str, input: &Value) -> Value {
    let (ran, report) = project.call("probe", action, input);
    assert!(matches!(ran.status, Some(0 | 1)), "{action}: {:?}\n{}", ran.status, ran.stderr);
    assert!(ran.resident_kib_max < 256 * 1024, "{action}: {} KiB", ran.resident_kib_max);
    assert!(!ran.stderr.contains("panicked at host/"), "{}", ran.stderr);
    let (good, echoed) = project.call("probe", "echo", &json!({"still": "here"}));
    good.exits(0);
    assert_eq!(echoed["output"], json!({"still": "here"}));
    report
}

/// The run failed, and its message says so in these words.
#[track_caller]
fn fails(project: &Project, action: &str, input: &Value, words: &[&str]) {
    let report = act(project, action, input);
    assert_eq!(report["outcome"], "failed", "{action}: {report:#}");
    let message = format!("{} {}", report["reason"], report["error"]).to_lowercase();
    assert!(words.iter().any(|word| message.contains(word)), "{action}: {message}");
}

#[test]
fn a_guest_that_spins_is_stopped() {
    fails(&project(), "spin", &json!({}), &["cpu"]);
}

#[test]
fn a_guest_that_waits_is_stopped() {
    fails(&project(), "sleep", &json!({"ms": 60_000}), &["timeout", "time"]);
}

#[test]
fn a_guest_that_grows_is_stopped() {
    let project = project();
    fails(&project, "allocate", &json!({"bytes": 512 << 20}), &["memory"]);
    let small = act(&project, "allocate", &json!({"bytes": 8 << 20}));
    assert_eq!(small["outcome"], "succeeded", "{small:#}");
}

#[test]
fn a_guest_that_recurses_is_stopped() {
    fails(&project(), "recurse", &json!({}), &["stack", "memory", "trap"]);
}

#[test]
fn a_guest_that_dies_says_how() {
    let project = project();
    fails(&project, "panic", &json!({"message": "the guest's last words"}), &["the guest's last words"]);
    fails(&project, "unreachable", &json!({}), &["unreachable", "trap", "panic"]);
    fails(&project, "divide", &json!({"by": 0}), &["divi", "trap", "panic", "zero"]);
    fails(&project, "exit", &json!({"code": 3}), &["exit", "left"]);
}

#[test]
fn an_answer_too_large_or_broken_is_refused() {
    let project = project();
    fails(&project, "return-big", &json!({"bytes": 12 << 20}), &["large", "bytes", "memory"]);
    fails(&project, "bad-json", &json!({}), &["json"]);
    let fine = act(&project, "return-big", &json!({"bytes": 1 << 20}));
    assert_eq!(fine["outcome"], "succeeded");
}

#[test]
fn host_calls_handles_and_randomness_are_bounded() {
    let project = project();
    fails(&project, "handles", &json!({"n": 100_000}), &["handle", "resource", "table", "cpu"]);
    fails(&project, "random", &json!({"n": u32::MAX}), &["random", "bytes", "trap"]);
    let report = act(&project, "host-calls", &json!({"n": 2_000_000}));
    assert_eq!(
        report["outcome"], "failed",
        "a million host calls are all there are, or the CPU budget ends first: {report:#}"
    );
    let few = act(&project, "random", &json!({"n": 32}));
    assert_eq!(few["outcome"], "succeeded");
}

#[test]
fn a_flood_of_log_lines_is_cut() {
    let project = project();
    act(&project, "log", &json!({"n": 100_000, "size": 1000}));
    act(&project, "print", &json!({"n": 100_000, "text": "spam", "error": true}));
    let kept: usize = project
        .bytes_below("data")
        .iter()
        .filter(|(path, _)| !path.to_string_lossy().contains("components"))
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert!(kept < 16 << 20, "{kept} bytes below `data`");
}

#[test]
fn requests_are_counted() {
    let case = Case {
        manifest: http(&["GET https://api.vendor.test/**"], ""),
        limits: "timeout = \"20s\"".to_owned(),
        ..Case::default()
    };
    let vendor = portcullis_tests::Vendor::tls(&["api.vendor.test"], |_, wire| {
        portcullis_tests::vendor::reply(wire, 200, &[], b"")
    });
    let case = case.to(&vendor, &["api.vendor.test"]);
    let project = Project::new();
    project.config(&case.config().replace("requests = 2000", "requests = 5")).install(&case.component());
    project.approve("probe", &case.component());
    let (_, report) = project.call(
        "probe",
        "send-many",
        &json!({"n": 50, "method": "GET", "url": "https://api.vendor.test/"}),
    );
    assert!(vendor.count() <= 5, "{} requests left: {report:#}", vendor.count());
    assert!(vendor.count() > 0, "{report:#}");
}
