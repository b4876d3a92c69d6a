//! Create, read back, 404 and 400 against `emulate`, a stateful double by others.

use crate::{HOST, project};
use portcullis_tests::servers;
use serde_json::json;

#[test]
fn create_read_back_and_typed_errors() {
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

    let (ran, missing) =
        project.call("billing", "retrieve-customer", &json!({"customer": "cus_that_is_not_there"}));
    ran.exits(1);
    assert_eq!(missing["error"]["kind"], "not-found", "{missing:#}");
    // A refund of a charge that does not exist.
    let (_, wrong) = project.call("billing", "create-refund", &json!({"charge": "ch_that_is_not_there"}));
    assert_eq!(wrong["outcome"], "failed", "{wrong:#}");
    assert!(["invalid-input", "not-found"].contains(&wrong["error"]["kind"].as_str().unwrap()), "{wrong:#}");
}
