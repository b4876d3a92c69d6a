#![allow(clippy::unwrap_used)]
//! What a config's action sends, and what it never does.
use crate::Rest;
use portcullis_sdk::{
    Actions, Config, ErrorKind, Input, Lifecycle, Outcome, Result,
    harness::{Sent, with_vendor},
    http::Response,
};
use serde_json::{Value, json};
use std::{cell::RefCell, rc::Rc};

fn config() -> Value {
    json!({
        "base-url": "https://api.test/v2/",
        "headers": { "Accept": "application/json", "X-Shared": "1" },
        "query": { "api-version": 7 },
        "actions": {
            "create": {
                "method": "POST", "path": "/teams/{team}/tickets",
                "headers": { "x-shared": "2" },
                "query": { "notify": "{notify}", "tag": "{tags}", "mode": "full" },
                "body": { "title": {"$input": "/title"}, "meta": { "n": {"$input": "/n"} }, "who": {"$input": "/who"} },
                "input": {
                    "type": "object", "required": ["team", "title"], "additionalProperties": false,
                    "properties": {
                        "team": {"type": ["string", "integer"]}, "title": {"type": "string", "maxLength": 20}, "n": {},
                        "who": {}, "notify": {}, "tags": {}
                    }
                },
                "output": "/ticket",
                "idempotency": { "header": "Idempotency-Key", "key": "ticket-{title}" }
            },
            "send": { "method": "POST", "path": "/send", "encoding": "form", "body": {"$input": ""} },
            "fetch": { "method": "GET", "path": "/things/{/deep/id}.json" },
            "remove": { "method": "DELETE", "path": "/things/{id}" }
        }
    })
}

/// What was sent, and how it ended.
fn run(
    config: &Value,
    action: &str,
    input: &str,
    status: u16,
    answer: &'static str,
) -> (Vec<Sent>, Result<Outcome>) {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let wire = Rc::clone(&sent);
    let vendor = move |request: &Sent| {
        wire.borrow_mut().push(request.clone());
        Response::new(status, &[], answer)
    };
    let call = || Rest::invoke(Config::new(config.to_string()), action, Input::new(input), None);
    let ended = with_vendor(vendor, call);
    (sent.take(), ended)
}

#[track_caller]
fn check(action: &str, input: &str, request: &str, body: &str) -> Sent {
    let (sent, ended) = run(&config(), action, input, 200, "{}");
    ended.unwrap();
    let [sent] = sent.as_slice() else { panic!("one request, and not {}", sent.len()) };
    assert_eq!(format!("{} {}", sent.method, sent.url.replace("https://api.test/v2", "")), request);
    assert_eq!(std::str::from_utf8(&sent.body).unwrap(), body);
    sent.clone()
}

#[test]
fn an_input_becomes_one_request() {
    let input =
        r#"{"team": "a/../b?", "title": "x\",\"y\":\"{z}", "n": 1.10, "notify": true, "tags": ["p&q", 2]}"#;
    let sent = check(
        "create",
        input,
        "POST /teams/a%2F..%2Fb%3F/tickets?api-version=7&mode=full&notify=true&tag=p%26q&tag=2",
        r#"{"title":"x\",\"y\":\"{z}","meta":{"n":1.10}}"#,
    );
    let header = |name: &str| {
        let all = sent.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        all.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(header("idempotency-key"), ["ticket-x\",\"y\":\"{z}"]);
    assert_eq!((header("x-shared"), header("accept")), (vec!["2".into()], vec!["application/json".into()]));
    check(
        "create",
        r#"{"team":7,"title":""}"#,
        "POST /teams/7/tickets?api-version=7&mode=full",
        r#"{"title":"","meta":{}}"#,
    );
    check(
        "send",
        r#"{"To":"+1","a":{"b":[1e3]}}"#,
        "POST /send?api-version=7",
        "To=%2B1&a%5Bb%5D%5B0%5D=1000",
    );
    check("fetch", r#"{"deep":{"id":5}}"#, "GET /things/5.json?api-version=7", "");
    check("remove", r#"{"id":"x"}"#, "DELETE /things/x?api-version=7", "");
}

#[test]
fn what_does_not_fit_sends_nothing() {
    for (action, input, kind, says) in [
        ("create", r#"{"team":"a","titel":"b"}"#, ErrorKind::InvalidInput, "titel"),
        ("create", r#"{"team":"a","title":7}"#, ErrorKind::InvalidInput, "`/title`"),
        ("create", r#"{"team":"..","title":"a"}"#, ErrorKind::InvalidInput, "`/team`"),
        ("create", r#"{"team":"","title":"a"}"#, ErrorKind::InvalidInput, "`/team`"),
        ("fetch", r#"{"deep":{}}"#, ErrorKind::InvalidInput, "`/deep/id` is missing"),
        ("fetch", r#"{"deep":{"id":[]}}"#, ErrorKind::InvalidInput, "`/deep/id`"),
        ("fetsh", "{}", ErrorKind::Unsupported, "`fetch`"),
    ] {
        let (sent, ended) = run(&config(), action, input, 200, "{}");
        let error = ended.unwrap_err();
        assert_eq!(error.kind(), kind, "{input}");
        assert!(error.message().contains(says), "{input}: {}", error.message());
        assert!(sent.is_empty(), "{input}");
    }
    let secret =
        run(&config(), "create", r#"{"team":"a","title":"hunter2hunter2hunter2"}"#, 200, "{}").1.unwrap_err();
    assert!(!secret.message().contains("hunter2"), "{}", secret.message());
}

#[test]
fn an_answer_is_cut_out_as_it_came() {
    let output = |action: &str, status: u16, answer: &'static str| {
        let input = if action == "create" { r#"{"team":1,"title":"t"}"# } else { r#"{"id":1}"# };
        let (_, ended) = run(&config(), action, input, status, answer);
        ended.map(|outcome| outcome.output().unwrap().to_owned())
    };
    assert_eq!(output("create", 201, r#"{"ticket": {"id": 1.10}, "x": 1}"#).unwrap(), r#"{"id": 1.10}"#);
    assert_eq!(output("create", 200, "{}").unwrap(), "null");
    assert_eq!(output("remove", 204, "").unwrap(), "null");
    assert_eq!(output("remove", 200, "<html>").unwrap_err().kind(), ErrorKind::ContractDrift);
    let refused = output("remove", 409, r#"{"message":"in use"}"#).unwrap_err();
    assert_eq!((refused.kind(), refused.message()), (ErrorKind::Conflict, "vendor answered 409: in use"));
}

#[test]
fn a_check_finds_broken_actions() {
    let check = |config: &Value| Rest::check(Config::new(config.to_string()));
    with_vendor(|_| Response::new(200, &[], "{}"), || check(&config()).unwrap());
    for (key, broken) in [
        ("path", json!("/a/{")),
        ("query", json!({"q": "}"})),
        ("body", json!([{"$input": 7}])),
        ("input", json!({"type": "strnig"})),
        ("input", json!({"$ref": "https://elsewhere.test/schema"})),
        ("idempotency", json!({"header": "x", "key": "{"})),
    ] {
        let mut config = config();
        config["actions"]["fetch"][key] = broken;
        let error = check(&config).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{key}");
        assert!(error.message().contains(&format!("actions.fetch.{key}")), "{}", error.message());
    }
}
