#![allow(clippy::unwrap_used, clippy::expect_used)]
//! What leaves the builder, and what an answer becomes.
use super::*;
use serde_json::json;

fn body(request: RequestBuilder) -> (String, String) {
    let request = request.build().unwrap();
    let content_type = request.headers.iter().find(|header| header.name == "content-type").unwrap();
    let wit::Body::Bytes(bytes) = request.body else { panic!("no body") };
    (String::from_utf8(content_type.value.clone()).unwrap(), String::from_utf8(bytes).unwrap())
}

#[test]
fn queries_are_appended_and_encoded() {
    let none: Option<&str> = None;
    for (request, expected) in [
        (get("https://a.b/c"), "https://a.b/c"),
        (
            get("https://a.b/c").query("created[gte]", 5).query("q", "a b&c=é/~"),
            "https://a.b/c?created%5Bgte%5D=5&q=a%20b%26c%3D%C3%A9%2F~",
        ),
        (get("https://a.b/c?x=1#f").query_opt("y", Some(2)).query_opt("z", none), "https://a.b/c?x=1&y=2#f"),
        (get("https://a.b/c?").query_pairs([("a", "1"), ("b", "2")]), "https://a.b/c?a=1&b=2"),
        (get("https://a.b/c?x&").query("y", true), "https://a.b/c?x&y=true"),
        (get("https://a.b/c#?").query("y", 1.5), "https://a.b/c?y=1.5#?"),
    ] {
        assert_eq!(request.build().unwrap().url, expected);
    }
    assert_eq!(segment("../é?#%"), "..%2F%C3%A9%3F%23%25");
    assert_eq!((segment(".."), segment("."), segment("...")), ("%2E%2E".into(), "%2E".into(), "...".into()));
}

#[test]
fn bodies_and_their_types() {
    let form = "application/x-www-form-urlencoded".to_owned();
    assert_eq!(body(post("u").form([("a b", "c+d"), ("e", "")])), (form.clone(), "a%20b=c%2Bd&e=".into()));
    let nested = json!({ "metadata": { "a b": "c" }, "expand": ["x", { "y": 1 }], "no": null, "e": {}, "f": [], "t": true, "n": 1.10 });
    let expected = "metadata%5Ba%20b%5D=c&expand%5B0%5D=x&expand%5B1%5D%5By%5D=1&t=true&n=1.1";
    assert_eq!(body(post("u").form_nested(&nested)), (form, expected.into()));
    let digits: serde_json::Value =
        serde_json::from_str(r#"{"n":1.10,"m":123456789012345678901234567890}"#).unwrap();
    assert_eq!(body(post("u").form_nested(&digits)).1, "n=1.10&m=123456789012345678901234567890");
    assert_eq!(body(post("u").json(&json!({ "a": 1 }))), ("application/json".into(), r#"{"a":1}"#.into()));
    assert_eq!(body(post("u").json("x").content_type("text/json")).0, "text/json");
    assert_eq!(body(post("u").content_type("text/json").json("x")).0, "text/json");
    assert_eq!(post("u").form_nested(&[1]).send().unwrap_err().kind(), ErrorKind::Internal);
    let request = post("u").header("Content-Type", "a/b").json("x").build().unwrap();
    assert_eq!(request.headers.len(), 1);
}

#[test]
fn a_whole_number_in_a_form_is_an_integer() {
    fn check(written: &str, sent: &str) {
        let value: serde_json::Value =
            serde_json::from_str(&format!(r#"{{"a":{{"n":[{written}]}}}}"#)).unwrap();
        assert_eq!(body(post("u").form_nested(&value)).1, format!("a%5Bn%5D%5B0%5D={sent}"), "{written}");
    }
    for (written, sent) in [
        ("1000", "1000"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("1000.0", "1000"),
        ("1000.00e0", "1000"),
        ("10000e-1", "1000"),
        ("1.5e1", "15"),
        ("-1e2", "-100"),
        ("0.0", "0"),
        ("-0.0", "0"),
        ("0e99999", "0"),
        ("9007199254740992.0", "9007199254740992"),
        // A fraction, and what is larger, as it was written.
        ("1.10", "1.10"),
        ("0.5", "0.5"),
        ("1000.00000000000000000001", "1000.00000000000000000001"),
        ("9007199254740993", "9007199254740993"),
        ("9007199254740993.0", "9007199254740993.0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ] {
        check(written, sent);
    }
    // Those of Rust, too.
    #[derive(serde::Serialize)]
    struct Fields {
        amount: f64,
        rate: f32,
    }
    assert_eq!(body(post("u").form_nested(&Fields { amount: 1e3, rate: 0.5 })).1, "amount=1000&rate=0.5");
    let text = body(post("u").form_nested(&json!({ "version": "1.0" }))).1;
    assert_eq!(text, "version=1.0", "a text is no number");
}

#[test]
fn statuses_are_kinds() {
    use ErrorKind::*;
    for (status, kind) in [
        (301, ContractDrift),
        (400, InvalidInput),
        (401, Unauthorized),
        (402, InvalidInput),
        (403, Forbidden),
        (404, NotFound),
        (408, Timeout),
        (409, Conflict),
        (410, NotFound),
        (412, Conflict),
        (422, InvalidInput),
        (429, RateLimited),
        (500, Unavailable),
        (503, Unavailable),
        (600, ContractDrift),
    ] {
        assert_eq!(Response::new(status, &[], "").error_for_status().unwrap_err().kind(), kind, "{status}");
    }
    for status in [200, 201, 204, 299] {
        assert!(Response::new(status, &[], "").error_for_status().is_ok());
    }
}

#[test]
fn the_vendors_words_are_kept() {
    for (body, expected) in [
        (
            r#"{"error":{"message":"No such customer: 'x'","code":"resource_missing"}}"#,
            "vendor answered 400: No such customer: 'x'",
        ),
        (r#"{"error":"invalid_grant","error_description":"expired"}"#, "vendor answered 400: expired"),
        (r#"{"error":"invalid_grant"}"#, "vendor answered 400: invalid_grant"),
        (r#"{"errors":[{"detail":"bad\nline\u001b"}]}"#, "vendor answered 400: bad line"),
        (r#"{"errors":["x"]}"#, "vendor answered 400: x"),
        (r#"[{"message":"m","errorCode":"E"}]"#, "vendor answered 400: m"),
        ("<html>", "vendor answered 400"),
        (r#"{"message":""}"#, "vendor answered 400"),
    ] {
        assert_eq!(Response::new(400, &[], body).error_for_status().unwrap_err().message(), expected);
    }
    let long = json!({ "message": "é".repeat(9000) }).to_string();
    let error = Response::new(400, &[], long).error_for_status().unwrap_err();
    assert!(error.message().chars().count() < 600);
    assert_eq!(error.details_json(), Some(r#"{"status":400,"error":null}"#));
    let error = Response::new(404, &[], r#"{"error":{"code":"c","n":1.10}}"#).error_for_status().unwrap_err();
    assert_eq!(error.details_json(), Some(r#"{"status":404,"error":{"code":"c","n":1.10}}"#));
}

#[test]
fn retry_after_is_whole_seconds() {
    for (text, expected) in
        [("3", Some(3000)), ("-1", None), ("1.5", None), ("", None), ("99999999999999999999", Some(u64::MAX))]
    {
        let response = Response::new(429, &[("Retry-After", text)], "");
        assert_eq!(response.retry_after_ms(), expected);
        assert_eq!(response.error_for_status().unwrap_err().retry_after(), expected);
    }
}

#[test]
fn no_answer_is_an_error_that_names_the_request_without_its_query() {
    for (fault, kind) in [
        (wit::HttpError::Denied("exch_1".into()), ErrorKind::Denied),
        (wit::HttpError::Timeout, ErrorKind::Timeout),
        (wit::HttpError::Connect("refused".into()), ErrorKind::Unavailable),
        (wit::HttpError::Tls("expired".into()), ErrorKind::Unavailable),
        (wit::HttpError::TooLarge(8), ErrorKind::Internal),
        (wit::HttpError::Malformed("x".into()), ErrorKind::Internal),
        (wit::HttpError::RateLimited(7), ErrorKind::RateLimited),
        (wit::HttpError::Cancelled, ErrorKind::Cancelled),
        (wit::HttpError::Unsupported, ErrorKind::Unsupported),
    ] {
        assert_eq!(unanswered("GET x", fault).kind(), kind);
    }
    assert_eq!(unanswered("GET x", wit::HttpError::RateLimited(7)).retry_after(), Some(7));
    let error = get("https://a.b/c?token=t").send().unwrap_err();
    assert_eq!(error.message(), "GET https://a.b/c: not in this version of the host");
}

#[test]
fn a_vendor_of_a_tests_own_answers() {
    let seen = crate::harness::with_vendor(
        |request| Response::new(200, &[("Link", "<n>; rel=next")], request.url.clone()),
        || {
            let response = get("https://a.b/").query("x", 1).send().unwrap();
            assert_eq!(crate::paging::next_link(&response).as_deref(), Some("n"));
            response.into_text().unwrap()
        },
    );
    assert_eq!(seen, "https://a.b/?x=1");
}

mod bodies {
    //! Bodies that are not bytes, answers that are not whole, and several requests at once.
    use super::*;
    use crate::{
        blobs,
        harness::{Sent, with_vendor},
        sse::Event,
    };
    use std::io::Read;

    fn echo(request: &Sent) -> Response {
        let parts = request.parts.iter().map(|part| {
            let text = String::from_utf8_lossy(&part.body).into_owned();
            json!([part.name, part.file_name, part.content_type, text])
        });
        let body = String::from_utf8_lossy(&request.body);
        let seen = json!({ "url": request.url, "body": body, "parts": parts.collect::<Vec<_>>() });
        Response::new(200, &[], seen.to_string())
    }

    #[test]
    fn blobs_and_parts() {
        let mut writer = blobs::create().unwrap();
        writer.append(b"0123456789").unwrap();
        let blob = writer.finish().unwrap();
        let sent = |request: RequestBuilder| {
            with_vendor(echo, || request.send().unwrap().json::<serde_json::Value>().unwrap())
        };
        assert_eq!(sent(put("u").body_blob(&blob))["body"], "0123456789");
        assert_eq!(sent(put("u").body_slice(&blob, 2, 3))["body"], "234");
        let form = Multipart::new()
            .text("title", "é")
            .part(Part::blob("file", &blob).file_name("a.txt").content_type("text/plain"))
            .part(Part::slice("rest", &blob, 8, 2))
            .part(Part::bytes("raw", *b"x"));
        let expected = json!([
            ["title", null, null, "é"],
            ["file", "a.txt", "text/plain", "0123456789"],
            ["rest", null, null, "89"],
            ["raw", null, null, "x"]
        ]);
        assert_eq!(sent(post("u").multipart(form))["parts"], expected);
        let past = with_vendor(echo, || put("u").body_slice(&blob, 9, 2).send().unwrap_err());
        assert_eq!(past.kind(), ErrorKind::Internal);
    }

    #[test]
    fn answers_come_in_pieces() {
        let text = "id: 1\ndata: a b c d e f\n\nevent: end\ndata: {}\n\n";
        let vendor = move |request: &Sent| {
            let status = if request.url.ends_with("no") { 404 } else { 200 };
            let body = if status == 200 { text } else { r#"{"message":"no such run"}"# };
            Response::new(status, &[("x", "y")], body)
        };
        with_vendor(vendor, || {
            let opened = get("u").open().unwrap().error_for_status().unwrap();
            assert_eq!((opened.head().status(), opened.head().header("X")), (200, Some("y")));
            let events: Vec<Event> = opened.events().collect::<Result<_>>().unwrap();
            let seen: Vec<_> = events.iter().map(|event| (&*event.name, &*event.data, &*event.id)).collect();
            assert_eq!(seen, [("message", "a b c d e f", "1"), ("end", "{}", "1")]);
            let (mut read, mut body) = (String::new(), get("u").open().unwrap().into_body());
            assert_eq!(body.read(&mut [0; 3]).unwrap(), 3);
            assert_eq!(body.read_chunk(2).unwrap().unwrap(), b" 1", "what was held goes first");
            body.read_to_string(&mut read).unwrap();
            assert_eq!(read, &text[5..]);
            let error = get("no").open().unwrap().error_for_status().unwrap_err();
            assert_eq!(
                (error.kind(), error.message()),
                (ErrorKind::NotFound, "vendor answered 404: no such run")
            );

            let kept = get("u").download().unwrap().error_for_status().unwrap();
            assert_eq!(kept.blob().read_at(0, 99).unwrap(), text.as_bytes());
            assert_eq!((kept.head().status(), kept.head().body()), (200, &b""[..]));
            let error = get("no").download().unwrap().error_for_status().unwrap_err();
            assert_eq!(error.message(), "vendor answered 404: no such run");
        });
    }

    #[test]
    fn several_at_once_keep_their_order() {
        let broken = post("broken").form_nested(&[1]);
        let requests = (0..150).map(|at| if at == 70 { broken.clone() } else { get(format!("u{at}")) });
        let answers = with_vendor(echo, || send_all(requests.collect::<Vec<_>>()));
        assert_eq!(answers.len(), 150);
        for (at, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(answer) => {
                    assert_eq!(answer.json::<serde_json::Value>().unwrap()["url"], format!("u{at}"))
                }
                Err(error) => assert_eq!((at, error.kind()), (70, ErrorKind::Internal)),
            }
        }
        assert!(send_all([]).is_empty());
        assert_eq!(send_all([get("u")])[0].as_ref().unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
