//! Promise: what the connector sends is what Stripe's own description allows: every stream over at least two pages, every action,
//! nothing rejected. The judge is `openapi-backend` over `specs/stripe`.

use crate::{HOST, KEY, project};
use portcullis_tests::{
    Project,
    servers::{self, Server},
    shared, skip,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const OBJECTS: usize = 250;

fn judged() -> Option<(Server, Project)> {
    let Some(spec) =
        shared().map(|shared| shared.join("specs/stripe/stripe-trimmed.json")).filter(|spec| spec.is_file())
    else {
        skip("no ../shared/specs/stripe beside the checkout");
        return None;
    };
    let server = servers::openapi(&spec, KEY, OBJECTS, &[HOST])?;
    let (project, _) = project(server.port);
    Some((server, project))
}

/// Everything was accepted; how many requests there were.
#[track_caller]
fn all_accepted(server: &Server) -> usize {
    let verdict = server.control("GET", "/");
    let requests = verdict["requests"].as_array().unwrap();
    assert_eq!(
        (&verdict["rejected"], &verdict["failed"], &verdict["unauthorised"]),
        (&json!(0), &json!(0), &json!(0)),
        "{verdict:#}"
    );
    requests.len()
}

#[test]
fn every_stream_over_its_pages() {
    let Some((server, project)) = judged() else { return };
    let (_, streams) = project.run_json(&["discover", "billing"]);
    let shown = streams.to_string();
    for stream in ["customers", "invoices", "charges", "subscriptions", "payment-intents", "events"] {
        assert!(shown.contains(stream), "{shown}");
        server.control("POST", "/reset");
        let ran = project.run(&["read", "billing", stream, "--validate"]);
        ran.exits(0);
        let ids: BTreeSet<String> =
            ran.lines().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!((ids.len(), ran.lines().len()), (OBJECTS, OBJECTS), "{stream}");
        assert!(all_accepted(&server) >= 2, "{stream} has pages");
    }
}

#[test]
fn an_incremental_read_loses_and_repeats_nothing() {
    let Some((server, project)) = judged() else { return };
    let file = project.path("customers.ndjson");
    let arguments = ["read", "billing", "customers", "--output", file.to_str().unwrap(), "--resume", "n"];
    project.run(&arguments).exits(0);
    project.run(&arguments).exits(0);
    let text = std::fs::read_to_string(&file).unwrap();
    let ids: BTreeSet<&str> = text.lines().map(|line| line.split("\"id\"").nth(1).unwrap()).collect();
    assert_eq!(ids.len(), OBJECTS, "by key: each once");
    // The second read asked again for the last second, which three objects share, and for no more than that.
    assert!(text.lines().count() <= OBJECTS + 3, "{}", text.lines().count());
    assert!(server.lines().iter().any(|line| {
        line["url"]
            .as_str()
            .is_some_and(|url| url.contains("created%5Bgte%5D") || url.contains("created[gte]"))
    }));
    all_accepted(&server);
}

fn inputs() -> Vec<(&'static str, Value)> {
    let address = json!({"line1": "1 Main St", "city": "Berlin", "postal_code": "10115", "country": "DE"});
    vec![
        (
            "create-customer",
            json!({"email": "ada@example.com", "name": "Ada L", "phone": "+49 30 1", "description": "a & b = c", "address": address,
            "shipping": {"name": "Ada", "address": address}, "preferred_locales": ["de", "en"], "tax_exempt": "none", "metadata": {"plan": "pro", "seat": "2"}}),
        ),
        ("update-customer", json!({"customer": "cus_000001", "name": "Grace", "metadata": {"plan": ""}})),
        ("retrieve-customer", json!({"customer": "cus_000001"})),
        (
            "create-payment-intent",
            json!({"amount": 1999, "currency": "eur", "customer": "cus_000001", "automatic_payment_methods": {"enabled": true}, "metadata": {"order": "6735"}}),
        ),
        (
            "create-refund",
            json!({"payment_intent": "pi_000001", "amount": 500, "reason": "requested_by_customer"}),
        ),
    ]
}

#[test]
fn every_action() {
    let Some((server, project)) = judged() else { return };
    for (action, input) in inputs() {
        server.control("POST", "/reset");
        let (ran, report) = project.call("billing", action, &input);
        assert_eq!(report["outcome"], "succeeded", "{action}: {report:#}\n{}", ran.stderr);
        assert_eq!(all_accepted(&server), 1, "{action}");
        let requests = server.control("GET", "/");
        let sent = &requests["requests"][0];
        assert_eq!(sent["idempotency-key"].is_string(), sent["method"] == "POST", "{sent}");
    }
    project.run(&["check", "billing"]).exits(0);
    all_accepted(&server);
}

#[test]
fn the_judge_does_reject() {
    let Some((server, project)) = judged() else { return };
    server.control("POST", "/reset");
    assert_eq!(raw_reject(&server), 400, "a field that Stripe does not know");
    assert_eq!(server.control("GET", "/")["rejected"], 1);
    // The twin goes through the product, whose own schema would have refused the wrong field before it left.
    let (_, report) = project.call("billing", "create-customer", &json!({"email": "ada@example.com"}));
    assert_eq!(report["outcome"], "succeeded", "{report:#}");
    let wrong = project.run(&["call", "billing", "create-customer", r#"{"emial":"ada@example.com"}"#]);
    wrong.exits(2);
    assert!(wrong.stderr.contains("emial"), "{}", wrong.stderr);
    let verdict = server.control("GET", "/");
    assert_eq!((&verdict["accepted"], &verdict["rejected"]), (&json!(1), &json!(1)), "{verdict:#}");
}

/// A wrong field sent past the product, over the same TLS.
fn raw_reject(server: &Server) -> u16 {
    use std::{
        io::{Read, Write},
        sync::Arc,
    };
    let mut roots = rustls::RootCertStore::empty();
    let pem = portcullis_tests::authority::authority().pem();
    let der = <rustls::pki_types::CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(
        pem.as_bytes(),
    )
    .unwrap();
    roots.add(der).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let session = rustls::ClientConnection::new(Arc::new(config), HOST.try_into().unwrap()).unwrap();
    let mut stream =
        rustls::StreamOwned::new(session, std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap());
    let body = "emial=ada%40example.com";
    write!(
        stream,
        "POST /v1/customers HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = Vec::new();
    // The server may leave without TLS's own goodbye.
    let _cut = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
}
