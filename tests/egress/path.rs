//! Promise: where a rule has a path, nothing that a server could read as another path goes out. Nothing is normalised and then
//! forwarded: what passes arrives as it was written.

use crate::willing;
use portcullis_tests::case::{Case, http, is_denied, order};

const HOST: &str = "https://api.vendor.test";

#[track_caller]
fn check(rule: &str, allowed: &[&str], denied: &[&str]) {
    let vendor = willing(&["api.vendor.test"]);
    let rule = format!("GET {HOST}{rule}");
    let case = Case { manifest: http(&[&rule], ""), allow: Some(vec![rule.clone()]), ..Case::default() };
    let project = case.to(&vendor, &["api.vendor.test"]).approved();
    let orders: Vec<_> =
        allowed.iter().chain(denied).map(|path| order("GET", &format!("{HOST}{path}"))).collect();
    let answers = project.send_each(&orders);
    let (passed, refused) = answers.split_at(allowed.len());
    for (path, answer) in allowed.iter().zip(passed) {
        assert_eq!(answer["status"], 200, "{path} under {rule}: {answer}");
    }
    for (path, answer) in denied.iter().zip(refused) {
        assert!(is_denied(answer) || answer["error"] == "malformed", "{path} under {rule}: {answer}");
    }
    let targets: Vec<String> = vendor.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(targets, allowed, "what passed arrived as it was written, and nothing else did");
}

#[test]
fn one_segment_is_one_segment() {
    check(
        "/v1/customers/*",
        &[
            "/v1/customers/cus_1",
            "/v1/customers/a%20b",
            "/v1/customers/cus_1?expand=a%2Fb&x=..",
            "/v1/customers/...",
        ],
        &[
            "/v1/customers",
            "/v1/customers/",
            "/v1/customers/cus_1/",
            "/v1/customers/cus_1/sources",
            "/v1/customers/a%2Fb",
            "/v1/customers/a%2fb",
            "/v1/customers/%2e%2e",
            "/v1/customers/..",
            "/v1/customers/.",
            "/v1/customers/%2E",
            "/v1/customers/..%2fadmin",
            "/v1/customers/..%5cadmin",
            "/v1/customers/a%5cb",
            "/v1/customers/a\\b",
            "/v1/customers/%252e%252e",
            "/v1/customers/a%252fb",
            "/v1/customers/a;b",
            "/v1/customers/a%3bb",
            "/v1/customers/..;/admin",
            "/v1/customers/a%00",
            "/v1/customers/a%0d%0ab",
            "/v1//customers/cus_1",
            "//v1/customers/cus_1",
            "/v1/./customers/cus_1",
            "/v1/x/../customers/cus_1",
            "/v1/%2e/customers/cus_1",
            "/V1/Customers/cus_1",
            "/%76%31/customers/cus_1",
            "?/v1/customers/cus_1",
            "/?/v1/customers/cus_1",
            "/https://api.vendor.test/v1/customers/cus_1",
            "*",
            "/*",
        ],
    );
}

#[test]
fn two_stars_are_the_rest_without_hidden_turns() {
    check(
        "/v1/open/**",
        &["/v1/open", "/v1/open/", "/v1/open/a", "/v1/open/a/b/", "/v1/open/a.b/c~d"],
        &[
            "/v1/opening",
            "/v1",
            "/v1/open/../admin",
            "/v1/open/%2e%2e/admin",
            "/v1/open/a/..%2f..%2fadmin",
            "/v1/open\\..\\admin",
            "/v1/open//a",
            "/v1/open/a;x=1",
            "/v1/open/%u002e%u002e/admin",
        ],
    );
}

#[test]
fn a_segment_may_hold_a_slash_where_the_rule_says_so() {
    check(
        "/files/*+/raw",
        &["/files/a%2Fb/raw", "/files/a/raw"],
        &["/files/a/b/raw", "/files/..%2Fx/raw", "/files/a%252Fb/raw", "/files//raw"],
    );
}
