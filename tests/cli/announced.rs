//! Promise: what a vendor announces of an endpoint's end (`Deprecation`, `Sunset`) is kept with the connection and shown.

use crate::snapshot;
use portcullis_tests::{
    Vendor,
    case::{Case, SLOT, http, order},
    vendor::reply,
};
use serde_json::{Value, json};

const SECRET: &str = "sk_live_0123456789abcdef";

#[test]
fn an_announced_end_is_kept_and_shown() {
    let link = format!("<https://vendor.test/old?key={SECRET}>; rel=\"sunset\"");
    let vendor = Vendor::tls(&["api.vendor.test"], move |asked, wire| {
        let (old, bare) = (asked.path().starts_with("/v1/old/"), asked.path() == "/v1/bare");
        let headers = [
            ("Deprecation", "@1688169599"),
            ("Sunset", "Sun, 30 Jun 2024 23:59:59 GMT"),
            ("Link", link.as_str()),
        ];
        let headers = if old {
            &headers[..]
        } else if bare {
            &[("Deprecation", "true")][..]
        } else {
            &[]
        };
        reply(wire, 200, headers, b"{}")
    });
    let manifest = [SLOT.to_owned(), http(&["GET https://api.vendor.test/**"], "credential = \"key\"")];
    let case = Case { manifest: manifest.concat(), ..Case::default() };
    let project = case.bearer().to(&vendor, &["api.vendor.test"]).approved_with(SECRET);
    let (_, before) = project.run_json(&["check", "probe"]);
    assert_eq!(before["announcements"], json!([]));
    let urls = ["old/cus_1", "old/cus_2", "bare", "fine"];
    let orders: Vec<Value> =
        urls.iter().map(|path| order("GET", &format!("https://api.vendor.test/v1/{path}"))).collect();
    project.send_each(&orders);
    let (_, after) = project.run_json(&["check", "probe"]);
    let announced = after["announcements"].as_array().unwrap();
    assert_eq!(announced.len(), 2, "one an endpoint: {after:#}");
    let shown = |name: &str| announced[0][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        [shown("method"), shown("endpoint"), shown("rule")],
        ["GET", "https://api.vendor.test/v1/old/*", "GET https://api.vendor.test/**"]
    );
    assert_eq!(
        [shown("deprecated_at"), shown("sunset_at")],
        ["2023-06-30T23:59:59.000Z", "2024-06-30T23:59:59.000Z"]
    );
    assert!(shown("first_seen") < shown("last_seen"));
    assert!(shown("link").starts_with("https://vendor.test/old?key=*"), "{after:#}");
    assert_eq!(
        (&announced[1]["endpoint"], &announced[1]["deprecated"], &announced[1]["sunset_at"]),
        (&json!("https://api.vendor.test/v1/bare"), &json!(true), &Value::Null)
    );
    let rows = project.logs(&["--connection", "probe"]);
    let last = rows.iter().find(|row| row["exchange_id"] == announced[0]["exchange_id"]).unwrap();
    assert!(last["url"].as_str().unwrap().ends_with("/old/cus_2"));
    assert_eq!(last["announced"]["sunset_at"], announced[0]["sunset_at"]);
    assert_eq!(rows.iter().filter(|row| row["announced"].is_null()).count(), 1, "the one that says nothing");
    for (path, bytes) in project.bytes_below("data") {
        assert!(!portcullis_tests::vendor::contains(&bytes, SECRET.as_bytes()), "{}", path.display());
    }
    snapshot!("announced-check", project, project.run(&["check", "probe"]));
    let id = last["exchange_id"].as_str().unwrap();
    snapshot!("announced-logs", project, project.run(&["logs", "--exchange", id]));
}
