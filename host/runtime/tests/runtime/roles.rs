//! Every role loads, and every operation answers.

use crate::support::{Setting, digest, invoke, probe, probe_bytes, runtime};
use portcullis_runtime::{
    Batch, CallError, Delivery, ErrorKind, Operation, Output, Page, Position, StreamDescriptor, Subscription,
};

async fn answer(operation: Operation) -> Output {
    let setting = Setting::default();
    let name = format!("{operation:?}");
    let (result, usage) = setting.call(operation).await;
    assert!(usage.wall >= usage.cpu, "{name}: {usage:?}");
    result.unwrap_or_else(|error| panic!("{name}: {error}"))
}

async fn refusal(operation: Operation) -> (ErrorKind, String) {
    match Setting::default().call(operation).await.0 {
        Err(CallError::Connector(error)) => (error.kind, error.message),
        other => panic!("{other:?}"),
    }
}

fn config() -> String {
    "{}".to_owned()
}

#[tokio::test]
async fn lifecycle() {
    assert!(matches!(answer(Operation::Check { config: config() }).await, Output::Unit));
    let refused = refusal(Operation::Check { config: r#"{"check-fails":true}"#.to_owned() }).await;
    assert_eq!(refused, (ErrorKind::Unauthorized, "told to fail".to_owned()));
}

#[tokio::test]
async fn actions() {
    let Output::Done(json) = answer(invoke("echo", r#"{"a": 1.10}"#)).await else { panic!() };
    assert_eq!(json, r#"{"a": 1.10}"#);
    let Output::Pending { resume, after_ms } = answer(invoke("pending", r#"{"after-ms":5}"#)).await else {
        panic!()
    };
    assert_eq!(after_ms, 5);
    let Operation::Invoke { config, action, input, .. } = invoke("pending", "{}") else { panic!() };
    let again = Operation::Invoke { config, action, input, resume: Some(resume) };
    let Output::Done(json) = answer(again).await else { panic!() };
    assert_eq!(json, r#"{"resumed":{"after-ms":5}}"#);
    let (kind, message) = refusal(invoke("nonsense", "{}")).await;
    assert_eq!((kind, message.as_str()), (ErrorKind::InvalidInput, "no action `nonsense`"));
}

#[tokio::test]
async fn an_error_keeps_kind_pause_and_details() {
    let input =
        r#"{"kind":"rate-limited","message":"slow\u001b down","retry-after-ms":9,"details":"{\"a\":1}"}"#;
    match Setting::default().error("fail", input).await {
        CallError::Connector(error) => {
            assert_eq!(error.kind, ErrorKind::RateLimited);
            assert_eq!(error.message, "slow\\u{1b} down");
            assert_eq!((error.retry_after_ms, error.details.as_deref()), (Some(9), Some("{\"a\":1}")));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn source() {
    let Output::Streams(streams) = answer(Operation::Discover { config: config() }).await else { panic!() };
    assert_eq!(streams.len(), 1);
    assert_eq!((streams[0].name.as_str(), streams[0].complete_reads), ("rows", true));
    let mut position = Position::Start;
    let mut pages = Vec::new();
    loop {
        let page = read(r#"{"pages":3,"per-page":2}"#, position.clone()).await.unwrap();
        let next = page.next.clone();
        pages.push(page);
        match next {
            Some(next) => position = Position::Next(next),
            None => break,
        }
    }
    assert_eq!(pages.iter().map(|page| page.count).collect::<Vec<_>>(), [2, 2, 2]);
    assert_eq!(pages[2].checkpoint.as_deref(), Some("2"));
    assert!(pages[1].records.starts_with(b"{\"id\":2,"));
    let again = read(r#"{"again-page":0}"#, Position::Start).await.unwrap();
    assert_eq!((again.count, again.again_after_ms), (0, Some(1_000)));
    let circle = read(r#"{"loop":true}"#, Position::Next("1".to_owned())).await.unwrap();
    assert_eq!(circle.next.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_page_that_breaks_the_contract_is_refused() {
    match read(r#"{"invalid-page":0,"per-page":2}"#, Position::Start).await {
        Err(CallError::InvalidAnswer(why)) => assert_eq!(why, "line 3 of the records is not a JSON object"),
        other => panic!("{other:?}"),
    }
    match read(r#"{"big-page":0,"big-bytes":8388608}"#, Position::Start).await {
        Err(CallError::Limit { limit: "page-bytes", bound }) => assert_eq!(bound, 8 << 20),
        other => panic!("{other:?}"),
    }
    assert_eq!(read(r#"{"big-page":0,"big-bytes":8388000}"#, Position::Start).await.unwrap().count, 1);
}

async fn read(config: &str, position: Position) -> Result<Page, CallError> {
    let operation = Operation::Read {
        config: config.to_owned(),
        stream_name: "rows".to_owned(),
        position,
        max_records: Some(100),
    };
    match Setting::default().call(operation).await.0? {
        Output::Page(page) => Ok(page),
        other => panic!("{other:?}"),
    }
}

fn batch(mode: &'static str, records: &[u8]) -> Operation {
    let stream_descriptor = StreamDescriptor {
        name: "rows".to_owned(),
        schema: "{}".to_owned(),
        primary_key: vec!["id".to_owned()],
        cursor_field: None,
        deleted_field: None,
        complete_reads: false,
    };
    let (id, records) = ("b1".to_owned(), records.to_vec());
    Operation::Write {
        config: config(),
        batch: Batch { id, stream_descriptor, mode, generation: 1, records },
    }
}

#[tokio::test]
async fn destination() {
    for mode in ["append", "upsert", "replace"] {
        let Output::Rejected(lines) = answer(batch(mode, b"{}\n{\"a\":\"reject\"}\n{}\n")).await else {
            panic!()
        };
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].0, lines[0].1.kind), (1, ErrorKind::InvalidInput));
    }
    let setting = Setting::default();
    assert!(matches!(setting.call(batch("merge", b"{}")).await.0, Err(CallError::Host(_))));
    let large = batch("append", &vec![b'x'; (8 << 20) + 1]);
    assert!(matches!(setting.call(large).await.0, Err(CallError::Limit { limit: "batch-bytes", .. })));
    let complete = |removed_max| Operation::Complete {
        config: config(),
        stream_name: "rows".to_owned(),
        generation: 3,
        removed_max,
    };
    assert!(matches!(answer(complete(None)).await, Output::Removed(3)));
    assert_eq!(refusal(complete(Some(2))).await.0, ErrorKind::Conflict);
}

#[tokio::test]
async fn webhook_and_subscriptions() {
    let delivery = Delivery {
        id: "d1".to_owned(),
        method: "POST".to_owned(),
        path: "/hook".to_owned(),
        query: "a=b".to_owned(),
        headers: vec![("x".to_owned(), b"y".to_vec())],
        body: b"{}".to_vec(),
    };
    let handle = Operation::Handle { config: config(), delivery };
    let Output::Events { events, reply } = answer(handle).await else { panic!() };
    assert_eq!((events[0].0.as_str(), events[0].1.as_deref()), ("delivered", Some("d1")));
    assert_eq!(reply.unwrap(), (202, vec![("x-probe".to_owned(), b"1".to_vec())], b"taken".to_vec()));

    let ensure = |existing| Operation::Ensure {
        config: config(),
        callback_url: "https://x.test/".to_owned(),
        existing,
    };
    let Output::Subscription(made) = answer(ensure(None)).await else { panic!() };
    assert_eq!(made.id, "sub_1");
    assert!(matches!(answer(ensure(Some(made.clone()))).await, Output::Subscription(_)));
    let remove = |existing| Operation::Remove { config: config(), existing };
    assert!(matches!(answer(remove(made)).await, Output::Unit));
    let other = Subscription { id: "sub_2".to_owned(), state: "{}".to_owned(), renew_after_ms: None };
    assert_eq!(refusal(remove(other)).await.0, ErrorKind::NotFound);
}

/// What the probe answers to two lines.
async fn rejecting(lines: &str) -> Result<Vec<u32>, CallError> {
    let Operation::Write { batch, .. } = batch("append", b"{}\n{}\n") else { panic!() };
    let operation = Operation::Write { config: format!("{{\"rejected\":{lines}}}"), batch };
    match Setting::default().call(operation).await.0? {
        Output::Rejected(lines) => Ok(lines.into_iter().map(|(line, _)| line).collect()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lines_that_a_batch_has_not_are_no_answer() {
    assert_eq!(rejecting("[1,0]").await.unwrap(), [0, 1], "in order");
    for (lines, said) in [
        ("[2]", "`line` 2 was rejected, and those of the batch are 0 to 1"),
        ("[4294967295]", "`line` 4294967295 was rejected, and those of the batch are 0 to 1"),
        ("[1,0,1]", "`line` 1 was rejected twice"),
    ] {
        match rejecting(lines).await {
            Err(CallError::InvalidAnswer(why)) => assert_eq!(why, said),
            other => panic!("{lines}: {other:?}"),
        }
    }
}

/// What the probe answers to a delivery, as its config orders.
async fn delivering(config: serde_json::Value) -> Result<Output, CallError> {
    let delivery = Delivery {
        id: "d1".to_owned(),
        method: "POST".to_owned(),
        path: "/hook".to_owned(),
        query: String::new(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    Setting::default().call(Operation::Handle { config: config.to_string(), delivery }).await.0
}

#[tokio::test]
async fn events_and_replies_that_nobody_could_store_or_send_are_no_answer() {
    use serde_json::json;
    let event = |name: &str, id: serde_json::Value, payload: &str| json!({ "events": [[name, id, payload]] });
    let long = "x".repeat(1025);
    let reply = |status: u16, name: &str, value: &str| json!({ "events": [], "reply": { "status": status, "headers": [[name, value]] } });
    for good in [event("a", json!("e1"), "{}"), event("a", json!(null), "1"), reply(204, "x-a", "b")] {
        assert!(delivering(good.clone()).await.is_ok(), "{good}");
    }
    for (bad, said) in [
        (event("", json!("e1"), "{}"), "`event name` is empty"),
        (event("a\nb", json!("e1"), "{}"), "`event name` has a control or invisible character"),
        (event("a", json!(""), "{}"), "`event id` is empty"),
        (event("a", json!("e\u{202e}1"), "{}"), "`event id` has a control or invisible character"),
        (event("a", json!("e1"), "{"), "`payload` is not JSON"),
        (reply(199, "x-a", "b"), "the reply has the status 199"),
        (reply(600, "x-a", "b"), "the reply has the status 600"),
        (reply(200, "x a", "b"), "the reply has a header that HTTP has not: `x a`"),
        (reply(200, "x-a", "b\r\nx-c: d"), "the reply has a header that HTTP has not: `x-a`"),
    ] {
        match delivering(bad.clone()).await {
            Err(CallError::InvalidAnswer(why)) => assert!(why.contains(said), "{bad}: {why}"),
            other => panic!("{bad}: {other:?}"),
        }
    }
    let many = vec![json!(["a", null, "1"]); 10_001];
    let headers = vec![json!(["x", "y"]); 101];
    for (large, limit) in [
        (event(&long, json!(null), "{}"), "event name"),
        (event("a", json!(long), "{}"), "event id"),
        (json!({ "events": many }), "events"),
        (json!({ "reply": { "status": 200, "headers": headers } }), "reply-headers"),
        (reply(200, "x-a", &"y".repeat(64 << 10)), "reply-header-bytes"),
    ] {
        match delivering(large).await {
            Err(CallError::Limit { limit: found, .. }) => assert_eq!(found, limit),
            other => panic!("{limit}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn migration_is_pure() {
    let position = Operation::MigratePosition {
        stream_name: "rows".to_owned(),
        from_version: 1,
        position: "2".to_owned(),
    };
    let Output::Json(json) = answer(position).await else { panic!() };
    assert_eq!(json, r#"{"from":1,"position":2}"#);
    let Output::Json(json) = answer(Operation::MigrateConfig { from_version: 1, config: config() }).await
    else {
        panic!()
    };
    assert_eq!(json, r#"{"from":1,"http":false,"state":false}"#);
    let state = |from_version| Operation::MigrateState { key: "k".to_owned(), from_version, value: vec![1] };
    assert!(matches!(answer(state(1)).await, Output::State(Some(value)) if value == [1]));
    assert!(matches!(answer(state(0)).await, Output::State(None)));
}

#[tokio::test]
async fn a_prepared_component_is_the_same_while_it_is_held() {
    let bytes = probe_bytes();
    let again = runtime().prepare(&digest(bytes), bytes).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&again, probe().await));
}
