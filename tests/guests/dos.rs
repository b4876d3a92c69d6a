//! Promise: a guest that spins, grows, recurses, floods or dies ends as a failed run with an error of its own kind; the process
//! and the next call go on.

use portcullis_tests::{
    Project, Vendor,
    case::{Case, http},
    vendor::reply,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

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
    // What it took of the machine, beside a process whose guest takes nothing, is its limit and not what it asked for.
    let (least, _) = project.call("probe", "echo", &json!({}));
    let (most, _) = project.call("probe", "allocate", &json!({"bytes": 512 << 20}));
    let grown = most.resident_kib_max.saturating_sub(least.resident_kib_max);
    assert!(grown <= 32 * 1024 * 11 / 10, "{grown} KiB");
    assert!(grown >= 16 * 1024, "it did grow: {grown} KiB");
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
fn a_thousand_slow_host_calls_are_no_computing() {
    const ANSWER_AFTER: Duration = Duration::from_millis(2);
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| {
        let answer_at = Instant::now() + ANSWER_AFTER;
        while let Some(left) = answer_at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            std::thread::park_timeout(left);
        }
        reply(wire, 200, &[], b"")
    });
    let case = Case {
        manifest: http(&["GET https://api.vendor.test/**"], ""),
        limits: "cpu = \"1s\"\ntimeout = \"120s\"".to_owned(),
        ..Case::default()
    };
    let project = case.to(&vendor, &["api.vendor.test"]).approved();
    let order = json!({"n": 1_000, "method": "GET", "url": "https://api.vendor.test/"});
    let (_, report) = project.call("probe", "send-many", &order);
    assert_eq!(report["outcome"], "succeeded", "{report:#}");
    assert_eq!(report["output"], json!({"ok": 1_000, "failed": null}));
    // Two seconds of waiting for the vendor, and one of computing would have been too much.
    assert_eq!(vendor.count(), 1_000);
    let (_, report) = project.call("probe", "work", &json!({"rounds": 4_000_000_000_u64}));
    assert_eq!(report["outcome"], "failed", "{report:#}");
    assert_eq!(report["error"]["kind"], "cpu-budget", "{report:#}");
}

/// Two connections of one connector, so that what one does can be looked for at the other.
fn neighbours(requests: u64) -> Project {
    let case = Case {
        manifest: http(&["GET https://api.vendor.test/**"], ""),
        limits: "timeout = \"60s\"".to_owned(),
        ..Case::default()
    };
    let project = Project::new();
    let probe = case.config().replace("requests = 2000", &format!("requests = {requests}"));
    let quiet = case.config().replace("connections.probe", "connections.quiet");
    project.config(&format!("{probe}\n{quiet}")).install(&case.component());
    project.approve("probe", &case.component()).approve("quiet", &case.component());
    project
}

/// What the exchange log takes on the disk.
fn log_bytes(project: &Project) -> usize {
    let is_log = |path: &std::path::Path| path.to_string_lossy().contains("exchanges.db");
    project.bytes_below("data").iter().filter(|(path, _)| is_log(path)).map(|(_, bytes)| bytes.len()).sum()
}

/// A URL of so many bytes that no rule allows.
fn refused_url(bytes: usize) -> String {
    format!("https://other.test/{}", "x".repeat(bytes - "https://other.test/".len()))
}

#[test]
fn a_guest_that_asks_without_end_is_ended_and_fills_no_disk() {
    let project = neighbours(2_000);
    // The twin, and the neighbour: each of a few refusals is shown.
    let order = json!({"method": "GET", "url": refused_url(100)});
    let (_, report) = project.call("quiet", "send-each", &json!({"requests": [order, order, order]}));
    let told: Vec<&str> = report["output"]
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| answer["detail"].as_str().unwrap())
        .collect();
    let shown = |connection: &str| {
        project
            .logs(&["--connection", connection, "--status", "denied"])
            .iter()
            .map(|row| row["exchange_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown("quiet"), told);

    for bytes in [8_000, 16 << 10] {
        let order = json!({"n": 1_000_000_000, "method": "GET", "url": refused_url(bytes)});
        let (ran, report) = project.call("probe", "send-many", &order);
        ran.exits(1);
        assert_eq!((&report["outcome"], &report["error"]["kind"]), (&json!("failed"), &json!("requests")));
        let message = report["error"]["message"].as_str().unwrap();
        assert!(message.contains("over the limit `requests` of 2000"), "{message}");
        assert!(message.contains("raise `requests` in `[connections.probe.limits]`"), "{message}");
        let stored = project.runs(&["--connection", "probe"]).pop().unwrap();
        assert_eq!(stored["outcome"], "failed", "{stored:#}");
    }
    assert!(log_bytes(&project) < 6 << 20, "{} bytes", log_bytes(&project));
    let rows = project.logs(&["--connection", "probe"]);
    assert!(rows.len() < 600, "{} rows", rows.len());
    let reasons: Vec<&str> = rows.iter().filter_map(|row| row["reason"].as_str()).collect();
    assert_eq!(reasons.iter().filter(|reason| reason.contains("more requests of this call")).count(), 2);
    assert_eq!(reasons.iter().filter(|reason| reason.starts_with("over the limit `requests`")).count(), 2);
    assert_eq!(shown("quiet"), told, "the neighbour's rows are still there");
}

#[test]
fn within_its_limit_a_guest_is_refused_as_often_as_it_likes() {
    let project = neighbours(2_000);
    let order = json!({"n": 1_500, "method": "GET", "url": refused_url(8_000)});
    let (_, report) = project.call("probe", "send-many", &order);
    assert_eq!(report["outcome"], "succeeded", "{report:#}");
    assert_eq!(report["output"]["failed"]["error"], "denied");
    let last = report["output"]["failed"]["detail"].as_str().unwrap();
    let rows = project.logs(&["--exchange", last]);
    let reason = rows[0]["reason"].as_str().unwrap();
    let (count, _) = reason.split_once(' ').unwrap();
    let listed = project.logs(&["--connection", "probe"]).len() - 1;
    assert_eq!(listed + count.parse::<usize>().unwrap(), 1_500, "{reason}");
    assert!(log_bytes(&project) < 3 << 20, "{} bytes", log_bytes(&project));
}

#[test]
fn requests_are_counted() {
    let case = Case {
        manifest: http(&["GET https://api.vendor.test/**"], ""),
        limits: "timeout = \"20s\"".to_owned(),
        ..Case::default()
    };
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b""));
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
