//! Each kind of failing guest is its own readable error, and ends nothing but its call.

use crate::support::{PANICS, Setting, WAITS, digest, invoke, probe_bytes, runtime, settings};
use portcullis_runtime::{CallError, CallSettings, Logs, Output, Runtime, RuntimeSettings};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn a_panic_says_what_the_guest_said() {
    let setting = Setting::default();
    match setting.error("panic", r#"{"message":"no such \u001b customer"}"#).await {
        CallError::Panicked(message) => {
            assert!(message.starts_with("probe/src/hostile.rs:"), "{message}");
            assert!(message.ends_with("no such \\u{1b} customer"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    match setting.error("unreachable", "{}").await {
        CallError::Panicked(message) => assert_eq!(message, "`unreachable` was executed"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn traps_have_names() {
    let setting = Setting::default();
    assert!(matches!(setting.error("exit", r#"{"code":0}"#).await, CallError::Exited(0)));
    assert!(matches!(setting.error("exit", r#"{"code":1}"#).await, CallError::Exited(1)));
    match setting.error("recurse", "{}").await {
        CallError::StackOverflow => {}
        CallError::Trapped(name) => assert_eq!(name, "out-of-bounds memory access (often a stack overflow)"),
        other => panic!("{other:?}"),
    }
    match setting.error("bad-json", "{}").await {
        CallError::InvalidAnswer(why) => assert!(why.starts_with("`output` is not JSON: "), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_panic_of_the_host_ends_one_call() {
    let setting = Setting::default();
    let input = format!(r#"{{"key":"{PANICS}"}}"#);
    match setting.error("state-get", &input).await {
        CallError::Host(why) => assert_eq!(why, "a host function panicked"),
        other => panic!("{other:?}"),
    }
    assert_eq!(setting.done("echo", "1").await, 1);
}

#[tokio::test]
async fn a_panic_of_the_log_ends_one_call() {
    struct Broken;
    impl Logs for Broken {
        fn log(&self, _: portcullis_runtime::LogLevel, _: &str, _: &[(String, String)]) {
            panic!("as the test wants");
        }
    }
    let setting = Setting::default();
    for action in ["log", "print", "panic"] {
        let settings = CallSettings { logs: Arc::new(Broken), ..setting.settings() };
        let call = runtime().call(crate::support::probe().await, settings, invoke(action, r#"{"text":"t"}"#));
        let error = call.await.0.expect_err(action);
        assert!(matches!(error, CallError::Host(_)), "{action}: {error:?}");
    }
}

#[tokio::test]
async fn time_runs_out_in_the_guest_and_in_the_host() {
    let mut setting = Setting::default();
    setting.limits.timeout = Duration::from_millis(200);
    assert!(matches!(setting.error("spin", "{}").await, CallError::Timeout(200)));
    let waits = format!(r#"{{"key":"{WAITS}"}}"#);
    assert!(matches!(setting.error("state-get", &waits).await, CallError::Timeout(200)));
    assert!(matches!(setting.error("sleep", r#"{"ms":100000}"#).await, CallError::Timeout(200)));
}

#[tokio::test]
async fn cancel_ends_the_guest_and_the_host_call() {
    let waits = format!(r#"{{"key":"{WAITS}"}}"#);
    for (action, input) in [("spin", "{}"), ("state-get", waits.as_str()), ("sleep", r#"{"ms":100000}"#)] {
        let setting = Setting::default();
        let cancel = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            setting.cancel.send_replace(true);
        };
        let (error, ()) = tokio::join!(setting.error(action, input), cancel);
        assert!(matches!(error, CallError::Cancelled), "{action}: {error:?}");
        assert!(matches!(setting.error("echo", "1").await, CallError::Cancelled));
    }
}

/// Thirty kinds of trouble, all at once and in one process.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_hostile_guests_at_once_end_by_themselves_and_nothing_else_does() {
    let panics = format!(r#"{{"key":"{PANICS}"}}"#);
    let waits = format!(r#"{{"key":"{WAITS}"}}"#);
    let kinds: [(&str, &str); 30] = [
        ("spin", "{}"),
        ("work", r#"{"rounds":4000000000}"#),
        ("allocate", r#"{"bytes":1073741824}"#),
        ("recurse", "{}"),
        ("panic", r#"{"message":"as the test wants"}"#),
        ("panic", r#"{"message":"\u0000\u001b[2J"}"#),
        ("unreachable", "{}"),
        ("divide", r#"{"by":0}"#),
        ("exit", r#"{"code":0}"#),
        ("exit", r#"{"code":1}"#),
        ("exit", r#"{"code":255}"#),
        ("random", r#"{"n":4294967295}"#),
        ("random", r#"{"n":65537}"#),
        ("handles", r#"{"n":100000}"#),
        ("host-calls", r#"{"n":1000001}"#),
        ("sleep", r#"{"ms":100000000}"#),
        ("state-get", &panics),
        ("state-get", &waits),
        ("bad-json", "{}"),
        ("return-big", r#"{"bytes":8388608}"#),
        ("return-big", r#"{"bytes":16777216}"#),
        ("return-big", r#"{"bytes":4294967295}"#),
        ("send", r#"{"body-bytes":16777216}"#),
        ("fail", r#"{"kind":"internal","message":"as the test wants"}"#),
        ("echo", "no JSON"),
        ("no such action", "{}"),
        ("log", r#"{"n":10000000,"size":4000}"#),
        ("print", r#"{"n":10000000,"text":"flood"}"#),
        ("print", r#"{"n":10000000,"text":"flood","error":true}"#),
        ("return-big", r#"{"bytes":134217728}"#),
    ];
    // With room for all: who finds none would not run.
    let folder = tempfile::tempdir().unwrap();
    let roomy = RuntimeSettings { instances_max: 31, ..settings(&folder.path().join("cache")) };
    let runtime = Runtime::new(roomy).unwrap();
    let prepared = runtime.prepare(&digest(probe_bytes()), probe_bytes()).await.unwrap();
    let mut setting = Setting::default();
    setting.limits.timeout = Duration::from_secs(5);
    setting.limits.cpu = Duration::from_millis(500);
    let call = |action: &str, input: &str| {
        let (runtime, prepared, settings) = (runtime.clone(), prepared.clone(), setting.settings());
        let operation = invoke(action, input);
        tokio::spawn(async move { runtime.call(&prepared, settings, operation).await.0 })
    };
    let acts = kinds.map(|(action, input)| call(action, input));
    for (act, (action, input)) in acts.into_iter().zip(kinds) {
        let ended = act.await.expect(action);
        assert!(ended.is_err(), "{action} {input}: {ended:?}");
        assert!(!matches!(ended, Err(CallError::AtCapacity(_))), "{action} {input} did not run");
    }
    let good = call("echo", "1").await.unwrap();
    assert!(matches!(&good, Ok(Output::Done(one)) if one == "1"), "{good:?}");
}

#[tokio::test]
async fn a_caller_that_leaves_takes_the_call_with_it() {
    let setting = Setting::default();
    let left = tokio::time::timeout(Duration::from_millis(50), setting.act("spin", "{}")).await;
    assert!(left.is_err());
    assert_eq!(setting.done("echo", "1").await, 1);
}
