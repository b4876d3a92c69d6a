//! Rows of requests through the model.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Answer, Call, Model};
use portcullis_clock::Timestamp;

fn ask(model: &mut Model, method: &str, path: &str, query: &str, body: &str, key: Option<&str>) -> Answer {
    let now = Timestamp::from_millis(1_800_000_000_000);
    model.answer(&Call { method, path, query, body: body.as_bytes(), idempotency_key: key, now })
}

fn model() -> Model {
    Model::new(25, Timestamp::from_millis(1_800_000_000_000))
}

fn ids(answer: &Answer) -> Vec<String> {
    answer.body["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lists_newest_first_over_pages() {
    let mut model = model();
    let first = ask(&mut model, "GET", "/v1/customers", "limit=20", "", None);
    assert_eq!(ids(&first).first().unwrap(), "cus_0025");
    assert_eq!(first.body["has_more"], true);
    let last = ids(&first).last().unwrap().clone();
    let second =
        ask(&mut model, "GET", "/v1/customers", &format!("limit=20&starting_after={last}"), "", None);
    assert_eq!(ids(&second), ["cus_0005", "cus_0004", "cus_0003", "cus_0002", "cus_0001"]);
    assert_eq!(second.body["has_more"], false);
    let since = first.body["data"][2]["created"].to_string();
    let young = ask(&mut model, "GET", "/v1/customers", &format!("created%5Bgte%5D={since}"), "", None);
    assert_eq!(ids(&young), ["cus_0025", "cus_0024", "cus_0023"]);
}

#[test]
fn one_key_has_one_effect() {
    let mut model = model();
    let first = ask(&mut model, "POST", "/v1/customers", "", "email=a%40b.c&metadata[plan]=pro", Some("k1"));
    assert!(first.effect && first.body["metadata"]["plan"] == "pro");
    let again = ask(&mut model, "POST", "/v1/customers", "", "email=a%40b.c&metadata[plan]=pro", Some("k1"));
    assert!(again.replayed && !again.effect);
    assert_eq!(again.body, first.body);
    assert_eq!(model.customers(), 26);
    let other = ask(&mut model, "POST", "/v1/customers", "", "email=x%40b.c", Some("k1"));
    assert_eq!((other.status, other.body["error"]["type"].as_str()), (400, Some("idempotency_error")));
    ask(&mut model, "POST", "/v1/customers", "", "email=a%40b.c", Some("k2"));
    assert_eq!(model.customers(), 27);
}

#[test]
fn errors_are_stripes() {
    let mut model = model();
    let check = |model: &mut Model, method: &str, path: &str, body: &str, status: u16| {
        let answer = ask(model, method, path, "", body, None);
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.body["error"]["message"].is_string(), "{method} {path}");
    };
    check(&mut model, "GET", "/v1/customers/cus_9999", "", 404);
    check(&mut model, "POST", "/v1/customers/cus_9999", "name=x", 404);
    check(&mut model, "POST", "/v1/customers", "email=nonsense", 400);
    check(&mut model, "POST", "/v1/payment_intents", "amount=5", 400);
    check(&mut model, "POST", "/v1/invoices", "", 404);
    check(&mut model, "GET", "/v2/customers", "", 404);
    check(&mut model, "GET", "/v1/customers/cus_0001/extra", "", 404);
    let updated = ask(&mut model, "POST", "/v1/customers/cus_0001", "", "name=New&balance=7", None);
    assert_eq!((updated.body["name"].as_str(), updated.body["balance"].as_i64()), (Some("New"), Some(7)));
}
