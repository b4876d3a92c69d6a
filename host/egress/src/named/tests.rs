//! What is read out of answers, and what a run may ask for after them.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::testing::{Kit, Server, reply, request};
use portcullis_grants::{Attributes, ManifestRule};

fn found(at: &[&str], body: &str) -> Vec<String> {
    let steps = |at: &&str| match at.parse::<UrlPlace>().unwrap() {
        UrlPlace::Pointer(steps) => (0, steps),
        UrlPlace::Header(name) => panic!("{name}"),
    };
    let ways: Vec<Way> = at.iter().map(steps).collect();
    urls(&ways, body.as_bytes()).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn pointers_lead_through_objects_and_lists() {
    let none: [&str; 0] = [];
    assert_eq!(
        found(&["/url"], r#"{"a":[1,{"url":"http:no"}],"url":"https:\/\/a","n":1.5e99}"#),
        ["https://a"]
    );
    assert_eq!(
        found(&["/f/*/u"], r#"{"f":[{"u":"http1"},{"u":2},3,{"u":"http2"},null]}"#),
        ["http1", "http2"]
    );
    assert_eq!(found(&["/f/1/u"], r#"{"f":[{"u":"http1"},{"u":"http2"}]}"#), ["http2"]);
    assert_eq!(found(&["/f/1/u"], r#"{"f":{"1":{"u":"http3"}}}"#), ["http3"]);
    assert_eq!(found(&["/a", "/b/c"], r#"{"b":{"c":"http2"},"a":"http1"}"#), ["http2", "http1"]);
    assert_eq!(found(&["/a~1b"], r#"{"a/b":"http1","\u0061":"http2"}"#), ["http1"]);
    assert_eq!(found(&["/a"], r#"{"\u0061":"http2"}"#), ["http2"]);
    for body in [
        "",
        "x",
        "null",
        "7",
        "\"http\"",
        "[]",
        "{}",
        r#"{"url":7}"#,
        r#"{"url":["http1"]}"#,
        r#"{"url":{"url":"http1"}}"#,
        r#"{"url":"ftp1"}"#,
        r#"{"URL":"http1"}"#,
        // Cut off, followed by more, or read in two ways.
        r#"{"url":"http1""#,
        r#"{"url":"http1"} {}"#,
        r#"{"url":"http1","url":"http2"}"#,
        "{\"url\":\"http1\",\"x\":\"\u{1}\"}",
    ] {
        assert_eq!(found(&["/url"], body), none, "{body}");
    }
    assert_eq!(found(&["/url"], r#"{"x":1,"x":2,"url":"http1"}"#), ["http1"], "not on the way");
}

#[test]
fn hostile_documents_are_bounded() {
    let deep = format!("{{\"x\":{}1{},\"url\":\"http1\"}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert_eq!(found(&["/url"], &deep), ["http1"]);
    let deep_on_the_way = format!("{}1{}", "{\"a\":".repeat(1 << 16), "}".repeat(1 << 16));
    assert!(found(&["/a/a/a/a"], &deep_on_the_way).is_empty());
    let many = format!("{{\"u\":[{}\"http\"]}}", "\"http\",".repeat(NAMED_FOUND_MAX * 4));
    assert_eq!(found(&["/u/*"], &many).len(), NAMED_FOUND_MAX);
    let long = format!("{{\"u\":\"http{}\"}}", "x".repeat(URL_BYTES_MAX));
    assert!(found(&["/u"], &long).is_empty());
}

const OF: &str = "GET https://api.vendor.test/v1/exports";
const FILE: &str = "https://api.vendor.test/files/1?sig=s3cr3t-of-the-url";

async fn kit(status: u16, headers: &'static [&'static str], body: &'static str) -> (Kit, Server) {
    let server = Server::tls("api.vendor.test", move |_, text| match text.contains(" /v1/") {
        true => reply(status, headers, body),
        false => reply(200, &[], "the file"),
    })
    .await;
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/v1/**", Attributes::default())]);
    kit.settings.from_response = vec![FromResponse {
        rule: ManifestRule {
            place: "http[1].from-response".to_owned(),
            rule: "GET,PUT https://api.vendor.test/files/**".parse().unwrap(),
            attributes: Attributes::default(),
            why: "test".to_owned(),
        },
        of: OF.parse().unwrap(),
        at: vec!["/url".parse().unwrap(), "header:x-file".parse().unwrap()],
    }];
    kit.reach("api.vendor.test", 443, &server);
    (kit, server)
}

#[tokio::test]
async fn what_a_success_named_may_be_asked_for_in_the_run() {
    const JSON: &[&str] = &["Content-Type: application/json"];
    const BODY: &str = "{\"url\":\"https://api.vendor.test/files/1?sig=s3cr3t-of-the-url\"}";
    const RELATIVE: &[&str] = &["X-File: /files/1?sig=s3cr3t-of-the-url", "Content-Type: text/plain"];
    for (status, headers, body, allowed) in [
        (200, JSON, BODY, true),
        (201, &[][..], BODY, true),
        (200, RELATIVE, "", true),
        (404, JSON, BODY, false),
        (302, RELATIVE, BODY, false),
        (200, &["Content-Type: text/html"][..], BODY, false),
        (200, JSON, "{\"url\":\"/files/1?sig=s3cr3t-of-the-url\"}", false),
    ] {
        let (kit, server) = kit(status, headers, body).await;
        let connection = kit.egress.connection(kit.connection_settings()).unwrap();
        let call = connection.call(kit.context());
        assert!(call.send(request("GET", FILE)).await.is_err(), "nothing has named it");
        call.send(request("GET", "https://api.vendor.test/v1/exports")).await.unwrap();
        // Another call of the run, in pieces; another run may not.
        let (again, other) = (
            connection.call(kit.context()),
            crate::CallContext { run_id: "run_2".to_owned(), ..kit.context() },
        );
        assert_eq!(again.open(request("GET", FILE)).await.is_ok(), allowed, "{status} {headers:?} {body}");
        assert!(connection.call(other).send(request("GET", FILE)).await.is_err());
        assert!(again.send(request("DELETE", FILE)).await.is_err());
        assert_eq!(again.send(request("PUT", FILE)).await.is_ok(), allowed);
        again.close().await;
        assert_eq!(server.requests().len(), if allowed { 3 } else { 1 });
        let told = format!("{:?} {:?}", kit.rows(), lock(&kit.intents.begun));
        assert!(!told.contains("s3cr3t-of-the-url"), "{told}");
    }
}

#[tokio::test]
async fn an_answer_that_is_read_in_pieces_is_taken_before_the_guest_has_it() {
    let (kit, _server) = kit(
        200,
        &["Content-Type: application/json"],
        "{\"url\":\"https://api.vendor.test/files/1?sig=s3cr3t-of-the-url\"}",
    )
    .await;
    let call = kit.call();
    let (_head, _unread) = call.open(request("GET", "https://api.vendor.test/v1/exports")).await.unwrap();
    assert_eq!(call.send(request("GET", FILE)).await.unwrap().body, "the file");
}
