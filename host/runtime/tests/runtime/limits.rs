//! Every limit is met, and is told by its name.

use crate::support::{Setting, digest, example, invoke, probe, probe_bytes, runtime, settings};
use portcullis_runtime::{CallError, Output, Runtime, RuntimeSettings};
use std::{io::Write, process::Stdio, time::Duration};
use tokio::task::JoinSet;

fn limit(error: &CallError) -> (&'static str, u64) {
    match error {
        CallError::Limit { limit, bound } => (limit, *bound),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn cpu() {
    let mut setting = Setting::default();
    setting.limits.cpu = Duration::from_millis(200);
    let (result, usage) = setting.call(invoke("spin", "{}")).await;
    assert!(matches!(result, Err(CallError::CpuBudget(200))), "{result:?}");
    assert!(usage.cpu >= Duration::from_millis(200), "{usage:?}");
    assert!(usage.cpu < Duration::from_secs(5), "{usage:?}");
}

#[tokio::test]
async fn waiting_for_the_host_costs_no_cpu() {
    let mut setting = Setting::default();
    setting.limits.cpu = Duration::from_millis(500);
    let (result, usage) = setting.call(invoke("sleep", r#"{"ms":600}"#)).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(usage.wall >= Duration::from_millis(600) && usage.cpu < Duration::from_millis(500), "{usage:?}");
}

/// 1,000 host calls that each wait: far more wall time than the CPU budget, and a tick falls on many of them.
#[tokio::test]
async fn slow_host_calls_do_not_spend_the_budget() {
    let mut setting = Setting::default();
    setting.limits.cpu = Duration::from_millis(1_000);
    let (result, usage) = setting.call(invoke("host-calls", r#"{"n":1000,"key":"slow-2"}"#)).await;
    assert!(result.is_ok(), "{result:?} {usage:?}");
    assert_eq!(usage.host_calls, 1_000);
    assert!(usage.wall >= Duration::from_secs(2), "{usage:?}");
    assert!(usage.cpu < Duration::from_millis(1_000), "{usage:?}");
}

#[tokio::test]
async fn memory() {
    let mut setting = Setting::default();
    assert_eq!(setting.done("allocate", r#"{"bytes":33554432}"#).await["bytes"], 33_554_432);
    assert!(matches!(
        setting.error("allocate", r#"{"bytes":134217728}"#).await,
        CallError::Memory(67_108_864)
    ));
    setting.limits.memory_bytes_max = u64::MAX;
    assert!(matches!(
        setting.error("allocate", r#"{"bytes":1073741824}"#).await,
        CallError::Memory(268_435_456)
    ));
    setting.limits.memory_bytes_max = 1 << 16;
    assert!(matches!(setting.error("echo", "1").await, CallError::Memory(65_536)));
}

#[test]
fn thirty_guests_at_their_limit_hold_no_more_than_thirty_limits() {
    const GUESTS: u64 = 30;
    const MIB: u64 = 8;
    let mut command = std::process::Command::new(example("crowd"));
    command.args([GUESTS, MIB, 2 * MIB].map(|argument| argument.to_string()));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(probe_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let text = String::from_utf8(ended.stdout).unwrap();
    let number = |word: &str| word.split_once('=').unwrap().1.parse::<u64>().unwrap();
    let numbers: Vec<u64> = text.split_whitespace().map(number).collect();
    let [before, most, over, _, twice_most, twice_over] = numbers[..] else { panic!("{text}") };
    assert_eq!((over, twice_over), (GUESTS, GUESTS));
    let bound_kib = before + GUESTS * MIB * 1024 * 11 / 10;
    assert!(most <= bound_kib, "{text}");
    // The twin: under twice the limit the same guests hold more than that, so they do grow, and all at once.
    assert!(twice_most > bound_kib, "{text}");
}

#[tokio::test]
async fn answers_and_transfers() {
    let mut setting = Setting::default();
    setting.limits.memory_bytes_max = 256 << 20;
    assert!(matches!(setting.act("return-big", r#"{"bytes":8388000}"#).await, Ok(Output::Done(_))));
    assert_eq!(limit(&setting.error("return-big", r#"{"bytes":8388608}"#).await), ("output", 8 << 20));
    assert_eq!(
        limit(&setting.error("return-big", r#"{"bytes":16777216}"#).await),
        ("transfer-bytes", 16 << 20)
    );
    assert_eq!(
        limit(&setting.error("send", r#"{"body-bytes":16777216}"#).await),
        ("transfer-bytes", 16 << 20)
    );
}

#[tokio::test]
async fn handles_randomness_and_host_calls() {
    let setting = Setting::default();
    assert_eq!(setting.done("handles", r#"{"n":1000}"#).await["handles"], 1_000);
    assert_eq!(limit(&setting.error("handles", r#"{"n":5000}"#).await), ("handles", 4_096));
    assert_eq!(limit(&setting.error("random", r#"{"n":65537}"#).await), ("random-bytes", 65_536));
    let (result, usage) = setting.call(invoke("host-calls", r#"{"n":1000001}"#)).await;
    assert_eq!(limit(&result.unwrap_err()), ("host-calls", 1_000_000));
    assert_eq!(usage.host_calls, 1_000_001);
}

#[tokio::test]
async fn log_lines_over_the_quota_are_dropped_and_told_once() {
    let mut setting = Setting::default();
    setting.limits.log_bytes_max = 1_000;
    setting.done("log", r#"{"n":1000,"size":99}"#).await;
    let lines = setting.logs.lines();
    assert!(lines.len() <= 10, "{}", lines.len());
    let (_, last) = lines.last().unwrap();
    assert!(last.ends_with("log lines dropped: over 1000 bytes in this call"), "{last}");
}

/// Many at once, so that their debts add up before they are forgotten.
#[tokio::test]
async fn who_is_ended_by_force_owes_for_it() {
    let setting = Setting::default();
    let ends = async |setting: &Setting, action: &str, input: &str| {
        let mut calls = JoinSet::new();
        for _ in 0..12 {
            calls.spawn(runtime().call(probe().await, setting.settings(), invoke(action, input)));
        }
        let ended = calls.join_all().await;
        (ended.iter().filter(|(ended, _)| ended.is_err()).count(), setting.debt.is_deep())
    };
    assert_eq!(ends(&setting, "unreachable", "{}").await, (12, true));
    // On a busy machine a step may be a long one, which is owed too: not of every such dozen.
    let mut fine = false;
    for _ in 0..20 {
        let (failed, deep) = ends(&Setting::default(), "sleep", r#"{"ms":1}"#).await;
        assert_eq!(failed, 0);
        fine |= !deep;
    }
    assert!(fine);
}

#[tokio::test]
async fn over_capacity_is_told_after_a_bounded_wait() {
    let folder = tempfile::tempdir().unwrap();
    let one = RuntimeSettings { instances_max: 1, ..settings(&folder.path().join("cache")) };
    let runtime = Runtime::new(one).unwrap();
    let bytes = probe_bytes();
    let prepared = runtime.prepare(&digest(bytes), bytes).await.unwrap();
    let mut setting = Setting::default();
    setting.limits.timeout = Duration::from_secs(2);
    let call = |action| runtime.call(&prepared, setting.settings(), invoke(action, "{}"));
    let second = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        call("echo").await.0
    };
    let ((first, _), second) = tokio::join!(call("spin"), second);
    assert!(matches!(second, Err(CallError::AtCapacity(1))), "{second:?}");
    assert!(matches!(first, Err(CallError::Timeout(2_000))), "{first:?}");
    assert!(call("echo").await.0.is_ok());
}
