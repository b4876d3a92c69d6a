//! The actions against a vendor in memory.

use crate::Connector;
use portcullis_sdk::{Actions, Config, ErrorKind, Input, Outcome, Result, harness, http::Response};

fn invoke(action: &str, input: &str, asked: &'static str, answer: Response) -> Result<Outcome> {
    let vendor = move |sent: &harness::Sent| {
        let body = String::from_utf8_lossy(&sent.body);
        assert_eq!(format!("{} {} {body}", sent.method, sent.url).trim_end(), asked);
        answer.clone()
    };
    let invoke = || Connector::invoke(Config::new("{}"), action, Input::new(input), None);
    harness::with_vendor(vendor, invoke)
}

#[test]
fn an_issue_is_opened_with_what_was_given() {
    let input = r#"{"owner": "acme", "repo": "shop", "title": "It breaks"}"#;
    let asked = r#"POST https://api.github.com/repos/acme/shop/issues {"title":"It breaks"}"#;
    let outcome = invoke("open-issue", input, asked, Response::new(201, &[], r#"{"number": 7}"#));
    assert_eq!(outcome.unwrap().output(), Some(r#"{"number": 7}"#));
}

#[test]
fn a_name_stays_in_its_segment() {
    let input = r#"{"owner": "acme/../x", "repo": "a?b", "number": 7}"#;
    let asked = "GET https://api.github.com/repos/acme%2F..%2Fx/a%3Fb/issues/7";
    let missing = invoke("issue", input, asked, Response::new(404, &[], "{}"));
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}
