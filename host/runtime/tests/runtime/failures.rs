//! Each kind of failing guest is its own readable error, and ends nothing but its call.

use crate::support::{PANICS, Setting, WAITS, invoke, runtime};
use portcullis_runtime::{CallError, CallSettings, Logs};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn a_panic_says_what_the_guest_said() {
    let setting = Setting::default();
    match setting.error("panic", r#"{"message":"no such \u001b customer"}"#).await {
        CallError::Panicked(message) => {
            assert!(message.contains("panicked at probe/src/hostile.rs"), "{message}");
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

#[tokio::test]
async fn a_caller_that_leaves_takes_the_call_with_it() {
    let setting = Setting::default();
    let left = tokio::time::timeout(Duration::from_millis(50), setting.act("spin", "{}")).await;
    assert!(left.is_err());
    assert_eq!(setting.done("echo", "1").await, 1);
}
