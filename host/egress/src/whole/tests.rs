//! What a recorder gets of the whole pipeline, against servers on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Call, Egress, Exchange, ExchangeSink, Request,
    state::lock,
    testing::{Kit, SECRET, Server, reply, request, slot},
};
use bytes::Bytes;
use portcullis_clock::SeededRandom;
use portcullis_secrets::Scheme;
use std::sync::{Arc, Mutex};

const NAME: &str = "api.vendor.test";
const RULE: &str = "GET,POST https://api.vendor.test/**";
const BYTES_MAX: usize = 200_000;

#[derive(Default)]
struct Recorder(Mutex<Vec<Exchange>>);

#[async_trait::async_trait]
impl ExchangeSink for Recorder {
    async fn record(&self, exchange: Exchange) {
        lock(&self.0).push(exchange);
    }

    fn whole_bytes_max(&self) -> Option<usize> {
        Some(BYTES_MAX)
    }
}

/// A call whose every exchange is wanted whole, with a credential in the query and a sensitive property.
async fn recorded(body: String) -> (Kit, Arc<Call>, Arc<Recorder>, Arc<Connection>) {
    let lines =
        ["Content-Type: application/json", "Set-Cookie: session=abc", "Location: https://x.test/y?token=t"];
    let server = Server::tls(NAME, move |_, _| reply(200, &lines, &body)).await;
    let mut kit = Kit::seeded(&[(RULE, slot("key"))]);
    kit.reach(NAME, 443, &server);
    let secret = kit.secret("key", SECRET);
    kit.bind("key", "vendor-live", Scheme::ApiKeyQuery { name: "api_key".to_owned(), secret }, None);
    let recorder = Arc::new(Recorder::default());
    let (clock, random) = (Arc::new(kit.clock.clone()), Arc::new(SeededRandom::new(1)));
    kit.egress = Egress::new(clock, random, recorder.clone(), kit.intents.clone());
    let mut settings = kit.connection_settings();
    settings.sensitive = vec!["email".to_owned()];
    let connection = kit.egress.connection(settings).unwrap();
    let call = connection.call(kit.context());
    (kit, call, recorder, connection)
}

fn masked(content: &Content) -> &str {
    let Content::Masked { bytes, unnamed: false } = content else { panic!("{content:?}") };
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn all_of_it_is_there_but_for_what_is_masked() {
    let filler = "x".repeat(100_000);
    let body = format!("{{ \"email\": \"ada@x.test\",\n \"key\": \"{SECRET}\", \"filler\": \"{filler}\" }}");
    let (_kit, call, recorder, _) = recorded(body).await;
    let sent = Request {
        body: Some(Bytes::from_static(b"{\"email\":\"bob@x.test\",\"n\":1}")),
        ..request("POST", "https://api.vendor.test/v1/a?email=eve%40x.test&n=1")
    };
    call.send(sent).await.unwrap();
    let rows = lock(&recorder.0);
    let whole = rows[0].whole.as_ref().unwrap();
    assert_eq!(whole.url, "https://api.vendor.test/v1/a?email=***&n=1", "and nothing of the credential");
    assert_eq!(masked(&whole.request_body), "{\"email\":\"***\",\"n\":1}");
    let stars = "*".repeat(SECRET.len());
    assert_eq!(
        masked(&whole.body),
        format!("{{\"email\":\"***\",\"key\":\"{stars}\",\"filler\":\"{filler}\"}}")
    );
    let header = |name: &str| whole.headers.iter().find(|(known, _)| known == name).unwrap().1.as_str();
    assert_eq!((header("set-cookie"), header("location")), ("***", "https://x.test/y?***"));
    assert_eq!(whole.masked, ["url", "header set-cookie", "header location", "request body", "body"]);
    assert!(rows[0].response_body.as_ref().unwrap().len() < 20_000, "the row is as short as ever");
}

#[tokio::test]
async fn what_is_not_masked_is_the_same_to_the_byte() {
    let body = "{ \"a\" : [1,\n2], \"b\": \"\u{2028}\" }".to_owned();
    let (_kit, call, recorder, _) = recorded(body.clone()).await;
    call.send(request("GET", "https://api.vendor.test/v1/a")).await.unwrap();
    let rows = lock(&recorder.0);
    let whole = rows[0].whole.as_ref().unwrap();
    assert_eq!(masked(&whole.body), body);
    assert_eq!(masked(&whole.request_body), "");
}

#[tokio::test]
async fn more_than_is_asked_for_is_said_and_is_not_there() {
    for (bytes, in_pieces) in
        [(BYTES_MAX, false), (BYTES_MAX, true), (BYTES_MAX + 1, false), (BYTES_MAX + 1, true)]
    {
        let (_kit, call, recorder, _) = recorded("y".repeat(bytes)).await;
        let asked = request("GET", "https://api.vendor.test/v1/a");
        if in_pieces {
            let (_, mut body) = call.open(asked).await.unwrap();
            while body.next().await.unwrap().is_some() {}
            drop(body);
        } else {
            call.send(asked).await.unwrap();
        }
        call.close().await;
        let rows = lock(&recorder.0);
        let whole = rows[0].whole.as_ref().unwrap();
        // Not compared as a whole: nobody reads 200,000 bytes of a failed test.
        let kept = match &whole.body {
            Content::Masked { bytes, unnamed: true } => Ok(bytes.len()),
            Content::TooLarge(bytes) => Err(*bytes),
            _ => panic!("another one"),
        };
        let expected = if bytes == BYTES_MAX { Ok(bytes) } else { Err(bytes as u64) };
        assert_eq!(kept, expected, "in pieces: {in_pieces}");
    }
}

#[tokio::test]
async fn other_texts_are_masked_by_the_same_names_and_secrets() {
    let (_kit, _, _, connection) = recorded(String::new()).await;
    let input = format!("{{\"email\":\"ada@x.test\",\"note\":\"is {SECRET}\"}}");
    let stars = "*".repeat(SECRET.len());
    assert_eq!(connection.masked(&input).await, format!("{{\"email\":\"***\",\"note\":\"is {stars}\"}}"));
    assert_eq!(connection.masked("[1, 2]").await, "[1, 2]");
    assert!(connection.holds_secret(input.as_bytes()).await);
    assert!(!connection.holds_secret(stars.as_bytes()).await);
}

#[test]
fn values_in_a_row_stay_on_their_lines() {
    let masker = Masker::new(&["email".to_owned()], &[]);
    let none = Needles::new([]);
    let rows = b"{\"email\":1}\n{\"n\":2}\n";
    let whole = masker.whole_body(None, rows, &none).unwrap();
    assert_eq!(whole.bytes, b"{\"email\":\"***\"}\n{\"n\":2}");
    let form =
        masker.whole_body(Some("application/x-www-form-urlencoded"), b"a=1&email=b%40c", &none).unwrap();
    assert_eq!(form.bytes, b"a=1&email=***");
}

#[tokio::test]
async fn nothing_is_kept_whole_unless_somebody_asks() {
    let server = Server::tls(NAME, |_, _| reply(200, &[], "{}")).await;
    let mut kit = Kit::seeded(&[(RULE, slot("key"))]);
    kit.reach(NAME, 443, &server);
    kit.bearer("key", None);
    kit.call().send(request("GET", "https://api.vendor.test/v1/a")).await.unwrap();
    assert!(kit.rows()[0].whole.is_none());
}
