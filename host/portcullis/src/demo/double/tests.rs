//! The double over its own wire, asked by a bare TLS client.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, reason = "the test is the client")]

use super::{Double, Fault, Settings};
use portcullis_clock::RealClock;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn started() -> Double {
    let names = vec!["api.stripe.com".to_owned()];
    let clock = Arc::new(RealClock);
    Double::start(Settings { names, key: "sk_test_double".to_owned(), customers: 25, clock }).await.unwrap()
}

/// One request on one connection; empty where the double closed without an answer.
async fn ask(double: &Double, method: &str, target: &str, key: &str, more: &str, body: &str) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(double.ca_pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(double.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream =
        connector.connect(ServerName::try_from("api.stripe.com").unwrap(), stream).await.unwrap();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: api.stripe.com\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n{more}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut ends without TLS's own goodbye.
    let _cut = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn answers_and_logs_what_arrived() {
    let double = started().await;
    let answer = ask(&double, "GET", "/v1/customers?limit=3", "sk_test_double", "", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let refused = ask(&double, "GET", "/v1/customers", "sk_wrong", "", "").await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let received = double.received();
    let first = received.first().unwrap();
    assert_eq!(
        (first.method.as_str(), first.path.as_str(), first.query.as_str()),
        ("GET", "/v1/customers", "limit=3")
    );
    assert_eq!((first.sni.as_deref(), first.host.as_str()), (Some("api.stripe.com"), "api.stripe.com"));
    assert_eq!(first.header("authorization"), Some("Bearer sk_test_double"));
    assert_eq!(double.counters().unauthorized, 1);
    assert!(!format!("{received:?}").contains("sk_test_double"));
    double.stop().await;
}

#[tokio::test]
async fn plays_each_fault_once() {
    let double = started().await;
    double.script(Fault::RateLimit);
    double.script(Fault::LoseAnswer);
    let key = "Idempotency-Key: k1\r\n";
    let lost = ask(&double, "POST", "/v1/customers", "sk_test_double", key, "name=Ada").await;
    assert_eq!(lost, "");
    let limited = ask(&double, "GET", "/v1/customers", "sk_test_double", "", "").await;
    assert!(limited.starts_with("HTTP/1.1 429") && limited.contains("retry-after: 1"), "{limited}");
    let again = ask(&double, "POST", "/v1/customers", "sk_test_double", key, "name=Ada").await;
    assert!(again.starts_with("HTTP/1.1 200") && again.contains("idempotent-replayed: true"), "{again}");
    assert_eq!(double.customers(), 26);
    let counters = double.counters();
    assert_eq!((counters.effects, counters.replays, counters.lost, counters.rate_limited), (1, 1, 1, 1));
    double.stop().await;
}

#[tokio::test]
async fn plays_the_hostile_vendor() {
    let double = started().await;
    let echoed = ask(&double, "GET", "/v1/echo-secret", "sk_test_double", "", "").await;
    assert_eq!(echoed.matches("sk_test_double").count(), 3, "{echoed}");
    let moved = ask(&double, "GET", "/v1/redirect-loopback", "sk_test_double", "", "").await;
    assert!(moved.contains(&format!("location: http://{}/", double.trap_address())), "{moved}");
    assert_eq!(double.counters().trap_connects, 0);
    double.stop().await;
}
