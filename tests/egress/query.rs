//! Promise: where a rule lists a query, no other name and no other value leaves, however it is spelled.

use crate::willing;
use portcullis_tests::case::{Case, http, is_denied, order};

const URL: &str = "https://api.vendor.test/v1/items";

#[test]
fn only_what_is_listed_leaves() {
    let vendor = willing(&["api.vendor.test"]);
    let manifest = http(
        &["GET https://api.vendor.test/v1/items"],
        "query = { limit = \"*\", \"expand[]\" = \"data.*\", mode = \"fast\" }",
    );
    let project = Case { manifest, ..Case::default() }.to(&vendor, &["api.vendor.test"]).approved();
    let allowed = [
        "",
        "?limit=10",
        "?limit=10&limit=11",
        "?expand[]=data.customer&mode=fast",
        "?expand%5B%5D=data.x",
        "?%6Cimit=1",
    ];
    let denied = [
        "?admin=1",
        "?limit=10&admin=1",
        "?limit=10;admin=1",
        "?limit=10%00&mode=fast",
        "?Limit=1",
        "?limit%20=1",
        "?expand[]=customer",
        "?expand[0]=data.customer",
        "?mode=fastest",
        "?mode=fast&mode=slow",
        "?mode",
        "?=1",
        "?limit=%",
        "?limit=%ff",
    ];
    let orders: Vec<_> =
        allowed.iter().chain(&denied).map(|query| order("GET", &format!("{URL}{query}"))).collect();
    let answers = project.send_each(&orders);
    let (passed, refused) = answers.split_at(allowed.len());
    for (query, answer) in allowed.iter().zip(passed) {
        assert_eq!(answer["status"], 200, "{query}: {answer}");
    }
    for (query, answer) in denied.iter().zip(refused) {
        assert!(is_denied(answer) || answer["error"] == "malformed", "{query}: {answer}");
    }
    let targets: Vec<String> = vendor.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(
        targets,
        allowed.map(|query| format!("/v1/items{query}")),
        "what passed arrived as it was written"
    );
    let reasons: Vec<_> =
        project.logs(&["--status", "denied"]).iter().map(|row| row["reason"].to_string()).collect();
    assert!(reasons[0].contains("the query name `admin` is not listed"), "{reasons:#?}");
}
