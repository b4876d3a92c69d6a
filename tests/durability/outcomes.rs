//! Promise: every effect at the vendor belongs to a run that is shown as `succeeded` or `unknown`, whatever ended the run; and a
//! run whose requests were all refused is not in doubt.

use portcullis_tests::{
    Project, Vendor,
    case::{Case, http, order},
    project::Running,
    vendor::{Next, reply},
    wait_for,
};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

const URL: &str = "https://api.vendor.test/v1/things";

/// A vendor that answers each POST with this status, and a project whose guest may send it.
fn setting(status: u16, limits: &str) -> (Vendor, Project) {
    let vendor = Vendor::tls(&["api.vendor.test"], move |asked, wire| {
        let status = if asked.method == "POST" { status } else { 200 };
        reply(wire, status, &[("Content-Type", "application/json")], b"{}")
    });
    let case = Case {
        manifest: http(&["GET,POST https://api.vendor.test/**"], ""),
        limits: limits.to_owned(),
        ..Case::default()
    };
    let project = case.to(&vendor, &["api.vendor.test"]).approved();
    // Compiled once: the times below are then the guest's.
    project.run(&["check", "probe"]).exits(0);
    (vendor, project)
}

/// A POST and a GET, then another action. Whoever saw the GET knows that the answer to the POST has arrived.
fn send_then(action: &str, input: &Value) -> Value {
    json!({"requests": [order("POST", URL), order("GET", URL)], "then": action, "input": input})
}

/// Starts the call and waits until the answer to the POST has arrived.
fn spawn(vendor: &Vendor, project: &Project) -> Running {
    let input = send_then("spin", &Value::Null).to_string();
    let running = project.spawn(&["call", "probe", "send-then", &input]);
    wait_for("both requests", || (vendor.count() == 2).then_some(()));
    running
}

/// The same by way of `env`, which says what becomes of a signal.
fn spawn_by(signals: &str, vendor: &Vendor, project: &Project) -> Running {
    let input = send_then("spin", &Value::Null).to_string();
    let plain = project.command(&["call", "probe", "send-then", &input]);
    let mut command = Command::new("env");
    command.arg(signals).arg(plain.get_program()).args(plain.get_args());
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::of(command.spawn().unwrap());
    wait_for("both requests", || (vendor.count() == 2).then_some(()));
    running
}

/// The last run, as `runs` shows it.
fn last(project: &Project) -> Value {
    let runs = project.runs(&[]);
    let shown = project.run(&["--json", "runs", "show", runs[0]["run_id"].as_str().unwrap()]);
    shown.exits(0).json()
}

#[track_caller]
fn check(project: &Project, outcome: &str, reason: &str, kind: &str) {
    let run = last(project);
    let found = [&run["outcome"], &run["reason"], &run["error_kind"]];
    assert_eq!(found, [outcome, reason, kind], "{run:#}");
    assert!(run["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{run:#}");
    assert_eq!(run["intents"].as_array().unwrap().len(), 1, "{run:#}");
}

/// What the vendor answers, how the run ends then, and why; none = as its own end says.
const ANSWERS: [(u16, Option<&str>); 3] =
    [(200, Some("possible-effect")), (500, Some("possible-effect")), (400, None)];

#[test]
fn a_call_that_is_terminated() {
    for (status, doubt) in ANSWERS {
        let (vendor, project) = setting(status, "cpu = \"60s\"\ntimeout = \"60s\"");
        let ran = spawn(&vendor, &project).terminate();
        ran.exits(if doubt.is_some() { 5 } else { 7 });
        assert!(ran.stderr.contains("cancelled"), "what ended it is said: {}", ran.stderr);
        let outcome = if doubt.is_some() { "unknown" } else { "cancelled" };
        check(&project, outcome, doubt.unwrap_or("cancelled"), "cancelled");
        assert_eq!(vendor.count(), 2);
    }
}

#[test]
fn a_call_whose_terminal_is_closed_or_that_is_quit() {
    for signal in [libc::SIGHUP, libc::SIGQUIT] {
        let (vendor, project) = setting(200, "cpu = \"60s\"\ntimeout = \"60s\"");
        // Under `nohup` this test would hand down that SIGHUP is ignored.
        let running = spawn_by("--default-signal=HUP,QUIT", &vendor, &project);
        running.signal(signal);
        running.finish().exits(5);
        check(&project, "unknown", "possible-effect", "cancelled");
    }
}

#[test]
fn what_nohup_ignores_stays_ignored() {
    let (vendor, project) = setting(200, "cpu = \"60s\"\ntimeout = \"60s\"");
    let running = spawn_by("--ignore-signal=HUP", &vendor, &project);
    // The requests have left, so the handlers are set: what the kernel ignores reaches none of them.
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    assert_eq!(ignored & 1 << (libc::SIGHUP - 1), 1 << (libc::SIGHUP - 1), "{ignored:x}");
    running.signal(libc::SIGHUP);
    running.terminate().exits(5);
}

#[test]
fn a_call_that_is_killed() {
    for (status, doubt) in ANSWERS {
        let (vendor, project) = setting(status, "cpu = \"60s\"\ntimeout = \"60s\"");
        assert_eq!(spawn(&vendor, &project).kill().status, None);
        // The next start closes it.
        project.run(&["check", "probe"]).exits(0);
        let outcome = if doubt.is_some() { "unknown" } else { "failed" };
        let run = project.runs(&["--outcome", outcome]).remove(0);
        assert_eq!(
            [&run["reason"], &run["error_kind"]],
            [doubt.unwrap_or("interrupted"), "interrupted"],
            "{run:#}"
        );
    }
}

/// Runs the call to its end: `kind` is what ended it.
fn ends(action: &str, input: &Value, limits: &str, kind: &str) {
    for (status, doubt) in ANSWERS {
        let (vendor, project) = setting(status, limits);
        let (ran, report) = project.call("probe", "send-then", &send_then(action, input));
        ran.exits(if doubt.is_some() { 5 } else { 1 });
        assert_eq!(report["error"]["kind"], kind, "{report:#}");
        let outcome = if doubt.is_some() { "unknown" } else { "failed" };
        check(&project, outcome, doubt.unwrap_or(kind), kind);
        if doubt.is_some() {
            assert_eq!(vendor.count(), 2, "nothing was repeated");
        }
    }
}

#[test]
fn a_guest_that_spins_until_its_timeout() {
    ends("spin", &Value::Null, "cpu = \"60s\"\ntimeout = \"2s\"", "timeout");
}

#[test]
fn a_guest_that_traps() {
    ends("unreachable", &Value::Null, "", "panicked");
    ends("recurse", &Value::Null, "", "trapped");
}

#[test]
fn a_guest_that_answers_with_an_error() {
    ends("fail", &json!({"kind": "not-found", "message": "it is not there"}), "", "not-found");
}

#[test]
fn a_call_that_ends_well_has_succeeded_whatever_the_answer() {
    for (status, _) in ANSWERS {
        let (_vendor, project) = setting(status, "");
        let (ran, report) = project.call("probe", "send-then", &send_then("echo", &json!({})));
        ran.exits(0);
        assert_eq!((&report["outcome"], &report["reason"]), (&"succeeded".into(), &Value::Null));
    }
}

#[test]
fn after_its_window_a_key_repeats_nothing() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| {
        reply(wire, 503, &[("Retry-After", "2"), ("Connection", "close")], b"");
        Next::Close
    });
    let keyed = |window: &str| {
        let attributes = format!("idempotency = {{ header = \"Idempotency-Key\", window = \"{window}\" }}");
        let case =
            Case { manifest: http(&["POST https://api.vendor.test/**"], &attributes), ..Case::default() };
        let project = case.to(&vendor, &["api.vendor.test"]).approved();
        let input = json!({"requests": [order("POST", URL)], "then": "fail", "input": {"kind": "not-found"}});
        let (ran, report) = project.call("probe", "send-then", &input);
        ran.exits(5);
        (vendor.count(), report)
    };
    let (asked, report) = keyed("1s");
    assert_eq!(asked, 1, "{report:#}");
    let reason = report["denials"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("idempotency window of 1s"), "{reason}");
    vendor.clear();
    let (asked, report) = keyed("24h");
    assert!(asked > 1, "within its window it is sent again: {report:#}");
    assert!(report["denials"].as_array().unwrap().is_empty(), "{report:#}");
}
