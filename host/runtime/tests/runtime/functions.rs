//! Host functions: each works on the call's own data, and WASI grants nothing.

use crate::support::Setting;
use portcullis_clock::{RealClock, RealRandom};
use portcullis_egress as egress;
use portcullis_grants::{Attributes, Grants, ManifestRule, OperatorRules};
use portcullis_runtime::{CallError, LogLevel};
use serde_json::json;
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn without_grants_every_request_is_denied() {
    let setting = Setting::default();
    let denied = json!({ "error": "denied", "detail": "no-grants" });
    for action in ["send", "download", "open"] {
        assert_eq!(setting.done(action, r#"{"url":"https://example.com/"}"#).await, denied, "{action}");
    }
    let all = setting.done("send-all", r#"{"url":"https://example.com/","n":2}"#).await;
    assert_eq!(all, json!([denied, denied]));
    assert_eq!(setting.done("send-many", r#"{"n":3}"#).await, json!({ "ok": 0, "failed": denied }));
}

#[tokio::test]
async fn with_grants_requests_reach_the_pipeline() {
    let setting = Setting { egress: Some(granted()), ..Setting::default() };
    // A blob that is none of the run's never leaves the host.
    for body in [r#""blob":"b""#, r#""slice":"b""#] {
        let order = format!(r#"{{"method":"POST","url":"https://example.org/",{body}}}"#);
        let refused = json!({ "error": "malformed", "detail": "the body names no blob of this run" });
        assert_eq!(setting.done("send", &order).await, refused, "{body}");
    }
    for action in ["download", "open"] {
        let denied = setting.done(action, r#"{"url":"https://example.org/"}"#).await;
        assert!(denied["detail"].as_str().unwrap().starts_with("exch_"), "{denied}");
    }
    let large = setting.done("send", r#"{"url":"https://example.com/","body-bytes":8388609}"#).await;
    assert_eq!(large, json!({ "error": "too-large", "detail": 8_388_608 }));
    // The pipeline knows a denial by its own id.
    let denied = setting.done("send", r#"{"url":"https://example.org/"}"#).await;
    assert_eq!(denied["error"], "denied");
    assert!(denied["detail"].as_str().unwrap().starts_with("exch_"), "{denied}");
    let all = setting.done("send-all", r#"{"url":"https://example.org/","n":2}"#).await;
    for denied in all.as_array().unwrap() {
        assert!(denied["detail"].as_str().unwrap().starts_with("exch_"), "{all}");
    }
    let many = setting.done("send-all", r#"{"url":"https://example.org/","n":65}"#).await;
    assert_eq!(many[64], json!({ "error": "malformed", "detail": "more than 64 requests at once" }));
}

/// Whoever takes no denial for an answer is stopped, and its error names the key to raise.
#[tokio::test]
async fn a_guest_that_asks_on_over_its_limit_is_ended() {
    let setting = Setting { egress: Some(granted()), ..Setting::default() };
    let order = r#"{"n":1000000,"url":"https://example.org/"}"#;
    match setting.act("send-many", order).await {
        Err(CallError::Requests { connection, requests_max: 100 }) => assert_eq!(connection, "c"),
        other => panic!("{other:?}"),
    }
}

/// A call of a connection that may read `example.com`; no test sends there.
fn granted() -> Arc<egress::Call> {
    struct Nowhere;
    #[async_trait::async_trait]
    impl egress::ExchangeSink for Nowhere {
        async fn record(&self, _: egress::Exchange) {}
    }
    #[async_trait::async_trait]
    impl egress::Intents for Nowhere {
        async fn begin(&self, _: egress::Intent) -> Result<egress::Prior, egress::IntentError> {
            Ok(egress::Prior::New)
        }
        async fn end(
            &self,
            _: &str,
            _: &str,
            _: &str,
            _: u32,
            _: egress::IntentEnd,
        ) -> Result<(), egress::IntentError> {
            Ok(())
        }
        async fn secret_use(&self, _: &str, _: &str, _: &str, _: &str) -> Result<(), egress::IntentError> {
            Ok(())
        }
    }
    let rule = ManifestRule {
        place: "http[0].allow[0]".to_owned(),
        rule: "GET,POST https://example.com/**".parse().unwrap(),
        attributes: Attributes::default(),
        why: "test".to_owned(),
    };
    let made =
        egress::Egress::new(Arc::new(RealClock), Arc::new(RealRandom), Arc::new(Nowhere), Arc::new(Nowhere));
    let connection = made.connection(egress::ConnectionSettings {
        name: "c".to_owned(),
        connection_id: "conn_1".to_owned(),
        connector: "portcullis/probe".to_owned(),
        connector_version: "0.1.0".to_owned(),
        grants: Grants::new(vec![rule], OperatorRules::Requested).unwrap(),
        credentials: Default::default(),
        providers: portcullis_secrets::Providers::new("/".into(), Default::default()),
        network: egress::NetworkSettings::default(),
        sensitive: Vec::new(),
        capture: egress::Capture::None,
        timeout: Duration::from_secs(5),
        response_bytes_max: 1 << 20,
        requests_max: 100,
        bytes_out_max: 1 << 20,
        streamed_bytes_max: 1 << 20,
        revoked: Arc::new(|| false),
    });
    connection.unwrap().call(egress::CallContext {
        run_id: "run_1".to_owned(),
        step: "s".to_owned(),
        call: "0".to_owned(),
        correlation_id: "x".to_owned(),
        operation_rules: None,
        dry_run: false,
        cancelled: tokio::sync::watch::channel(false).1,
    })
}

#[tokio::test]
async fn blobs_are_the_runs() {
    let setting = Setting::default();
    for action in ["blob-read", "blob-stat"] {
        let answer = setting.done(action, r#"{"blob":"b"}"#).await;
        assert_eq!(answer, json!({ "error": "not-found", "detail": null }), "{action}");
    }
    assert_eq!(setting.done("blob-create", "{}").await, json!({ "writer": true }));
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let written = setting.done("blob-write", r#"{"text":"abc","n":1}"#).await;
    assert_eq!((&written["size"], &written["sha256"]), (&json!(3), &json!(abc)));
    let over = setting.done("blob-write", r#"{"body-bytes":600000,"n":2}"#).await;
    assert_eq!(over, json!({ "error": "quota", "detail": 1_048_576 }));
    let large = setting.done("blob-write", r#"{"body-bytes":8388609,"n":1}"#).await;
    assert_eq!(large, json!({ "error": "too-large", "detail": 8_388_608 }));
}

#[tokio::test]
async fn state_is_the_connections() {
    let setting = Setting::default();
    assert_eq!(setting.done("state-get", r#"{"key":"a"}"#).await, json!(null));
    assert_eq!(
        setting.done("state-set", r#"{"key":"a","value":"1","expected":0}"#).await,
        json!({ "version": 1 })
    );
    let conflict = setting.done("state-set", r#"{"key":"a","value":"2","expected":0}"#).await;
    assert_eq!(conflict, json!({ "error": "conflict", "detail": 1 }));
    assert_eq!(setting.done("state-get", r#"{"key":"a"}"#).await, json!({ "value": "1", "version": 1 }));
    assert_eq!(setting.done("state-list", r#"{"prefix":""}"#).await, json!({ "keys": ["a"] }));
    assert_eq!(setting.done("state-delete", r#"{"key":"a"}"#).await, json!({}));
    let missing = setting.done("state-delete", r#"{"key":"a"}"#).await;
    assert_eq!(missing, json!({ "error": "not-found", "detail": null }));
}

#[tokio::test]
async fn assets_are_the_components() {
    let mut setting = Setting::default();
    setting.assets.insert("names.txt".to_owned(), b"a,b".to_vec());
    assert_eq!(setting.done("asset", r#"{"name":"names.txt"}"#).await, json!({ "text": "a,b" }));
    assert_eq!(setting.done("asset", r#"{"name":"../names.txt"}"#).await, json!(null));
}

#[tokio::test]
async fn log_stdout_and_stderr_are_log_lines() {
    let setting = Setting::default();
    setting.done("log", r#"{"level":"error","message":"m"}"#).await;
    setting.done("print", r#"{"text":"out"}"#).await;
    setting.done("print", r#"{"text":"err","error":true}"#).await;
    let seen = setting.logs.0.lock().unwrap();
    assert_eq!(seen[0], (LogLevel::Error, "m".to_owned(), vec![("n".to_owned(), "0".to_owned())]));
    assert_eq!((seen[1].0, seen[1].1.as_str()), (LogLevel::Info, "out"));
    assert_eq!((seen[2].0, seen[2].1.as_str()), (LogLevel::Warn, "err"));
}

#[tokio::test]
async fn wasi_grants_nothing() {
    let setting = Setting::default();
    assert_eq!(
        setting.done("environment", "{}").await,
        json!({ "variables": [], "arguments": [], "folders": [], "stdin": 0, "file": false, "cwd": null })
    );
    assert_eq!(
        setting.done("sockets", "{}").await,
        json!({ "tcp": false, "tcp6": false, "udp": false, "name": false })
    );
}

#[tokio::test]
async fn clocks_are_coarse() {
    let clock = Setting::default().done("clock", "{}").await;
    assert_eq!(clock["monotonic-resolution"], 1_000_000);
    assert_eq!(clock["monotonic"].as_u64().unwrap() % 1_000_000, 0);
    assert_eq!(clock["wall-nanoseconds"].as_u64().unwrap() % 1_000_000, 0);
    assert!(clock["wall-seconds"].as_u64().unwrap() > 1_735_689_600);
}

#[tokio::test]
async fn randomness_follows_the_seed() {
    let mut setting = Setting::default();
    let first = setting.done("random", r#"{"n":16}"#).await;
    assert_eq!(first, setting.done("random", r#"{"n":16}"#).await);
    assert_ne!(first["secure"], first["insecure"]);
    setting.seed = [8; 32];
    let other = setting.done("random", r#"{"n":16}"#).await;
    for source in ["secure", "insecure", "seed"] {
        assert_ne!(first[source], other[source], "{source}");
    }
}

#[tokio::test]
async fn a_scan_finds_what_came_in_and_only_that() {
    let setting = Setting::default();
    // The name of the pattern's other half is between the two, so only the third value joins them.
    let found =
        setting.done("memory-scan", r#"{"first":"canary-","second":"7f3a","whole":"canary-7f3a"}"#).await;
    assert!(found["found"].as_u64().unwrap() > 0);
    let found = setting.done("memory-scan", r#"{"first":"canary-","second":"7f3a"}"#).await;
    assert_eq!(found["found"], 0);
}
