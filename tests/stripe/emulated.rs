//! Create, read back, change, and the typed errors of 404 and 400, against `emulate`, a stateful double by others.

use crate::{HOST, project};
use portcullis_tests::servers;
use serde_json::{Value, json};

#[test]
fn create_read_back_and_change() {
    let Some((front, _double)) = servers::emulate(&[HOST]) else { return };
    let (project, _) = project(front.port);
    let (_, made) =
        project.call("billing", "create-customer", &json!({"email": "ada@example.com", "name": "Ada"}));
    assert_eq!(made["outcome"], "succeeded", "{made:#}");
    let id = made["output"]["id"].as_str().unwrap();
    let (_, read) = project.call("billing", "retrieve-customer", &json!({"customer": id}));
    assert_eq!(read["output"]["email"], "ada@example.com", "{read:#}");
    let (_, changed) = project.call("billing", "update-customer", &json!({"customer": id, "name": "Grace"}));
    assert_eq!(changed["output"]["name"], "Grace", "{changed:#}");
    let listed = project.run(&["read", "billing", "customers"]);
    listed.exits(0);
    assert!(listed.lines().iter().any(|row| row["id"] == id));

    // An integer to JSON Schema, however it is written; in a form it has to be digits.
    for amount in ["1e3", "1000.0", "1000"] {
        let input = format!(r#"{{"amount":{amount},"currency":"eur"}}"#);
        project.run(&["call", "billing", "create-payment-intent", &input]).exits(0);
    }
    let log = project.logs(&[]);
    let sent: Vec<_> = log
        .iter()
        .filter(|row| row["url"] == "https://api.stripe.com/v1/payment_intents")
        .map(|row| &row["request_body"])
        .collect();
    assert_eq!(sent, ["amount=1000&currency=eur"; 3]);
}

#[test]
fn refusals_are_typed() {
    let Some((front, _double)) = servers::emulate(&[HOST]) else { return };
    let (project, _) = project(front.port);
    let refused = |action: &str, input: Value, kind: &str, status: u16| {
        let (ran, report) = project.call("billing", action, &input);
        ran.exits(1);
        assert_eq!(
            (&report["outcome"], &report["error"]["kind"]),
            (&json!("failed"), &json!(kind)),
            "{action}: {report:#}"
        );
        let log = project.logs(&[]);
        let rows: Vec<_> = log.iter().filter(|row| row["run_id"] == report["run_id"]).collect();
        assert_eq!((rows.len(), &rows[0]["status"]), (1, &json!(status)), "{action}: {rows:#?}");
        report
    };
    // What Stripe finds wrong with a request it answers with 400, and names the parameter.
    let input = json!({"amount": 1999, "currency": "eur", "customer": "cus_that_is_not_there"});
    let report = refused("create-payment-intent", input, "invalid-input", 400);
    let error = &report["error"]["details"]["error"];
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("resource_missing"), &json!("customer")),
        "{report:#}"
    );
    // What it does not have it answers with 404; the double has no refunds at all.
    let input = json!({"customer": "cus_that_is_not_there"});
    refused("retrieve-customer", input, "not-found", 404);
    refused("create-refund", json!({"charge": "ch_that_is_not_there"}), "not-found", 404);
}
