//! Bodies that are opened, against servers on loopback: each bound of a whole body holds over its pieces.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Exchange, Outcome, Request,
    testing::{Kit, Reply, SECRET, Server, reply, request},
};
use flate2::{Compression, write::GzEncoder};
use portcullis_grants::Attributes;
use std::{io::Write, time::Duration};

const NAME: &str = "api.vendor.test";
const URL: &str = "https://api.vendor.test/v1/items";

async fn vendor(answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> (Kit, Server) {
    let server = Server::tls(NAME, answer).await;
    let mut kit = Kit::seeded(&[("GET,POST https://api.vendor.test/**", Attributes::default())]);
    kit.reach(NAME, 443, &server);
    (kit, server)
}

async fn read(body: &mut Body) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = body.next().await? {
        assert!(!piece.is_empty());
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

fn kind(row: &Exchange) -> &'static str {
    match &row.outcome {
        Outcome::Failed { kind, .. } => kind,
        Outcome::Answered => "answered",
        Outcome::Denied { .. } => "denied",
        Outcome::Withheld => "withheld",
    }
}

#[tokio::test]
async fn a_row_is_written_when_the_body_has_ended() {
    let (kit, server) = vendor(|_, _| reply(200, &["Content-Type: text/plain"], "hello")).await;
    let call = kit.call();
    let (head, mut body) = call.open(request("GET", URL)).await.unwrap();
    assert_eq!(head.status, 200);
    assert!(server.requests()[0].contains("accept-encoding: gzip, deflate, br\r\n"));
    assert!(kit.rows().is_empty());
    assert_eq!(read(&mut body).await.unwrap(), b"hello");
    assert_eq!(body.next().await.unwrap(), None);
    let rows = kit.rows();
    assert_eq!((rows.len(), rows[0].response_bytes, kind(&rows[0])), (1, 5, "answered"));
    assert_eq!(rows[0].response_body.as_deref(), Some("hello"));
}

#[tokio::test]
async fn a_dropped_body_has_its_row_and_frees_its_place() {
    let text = "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhello";
    let (kit, _server) = vendor(move |_, _| Reply::Stall(text.as_bytes().to_vec())).await;
    let call = kit.call();
    let mut open = Vec::new();
    for _ in 0..BODIES_OPEN_MAX {
        open.push(call.open(request("GET", URL)).await.unwrap().1);
    }
    assert!(matches!(call.open(request("GET", URL)).await, Err(Error::Malformed(_))));
    assert_eq!(open[0].next().await.unwrap().unwrap(), "hello");
    open.clear();
    drop(call.open(request("GET", URL)).await.unwrap());
    call.close().await;
    let rows = kit.rows();
    assert_eq!(rows.len(), BODIES_OPEN_MAX as usize + 1);
    assert!(rows.iter().all(|row| kind(row) == "cancelled" && row.status == Some(200)));
    assert_eq!(rows.iter().map(|row| row.response_bytes).sum::<u64>(), 5);
}

#[tokio::test]
async fn a_broken_body_is_an_error_and_stays_one() {
    let text = "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhello";
    let (kit, server) = vendor(move |_, _| Reply::Bytes(text.as_bytes().to_vec())).await;
    let (_, mut body) = kit.call().open(request("GET", URL)).await.unwrap();
    assert_eq!(body.next().await.unwrap().unwrap(), "hello");
    assert!(matches!(body.next().await, Err(Error::Connect(_))));
    assert!(matches!(body.next().await, Err(Error::Connect(_))));
    let rows = kit.rows();
    assert_eq!((rows.len(), kind(&rows[0]), rows[0].response_bytes), (1, "connect", 5));
    assert_eq!(server.requests().len(), 1, "once the head was handed over nothing is sent again");
}

#[tokio::test]
async fn before_its_head_a_request_is_sent_again() {
    let answer = |number: usize, _: &str| match number {
        0 => reply(503, &[], "later"),
        _ => reply(200, &[], "hello"),
    };
    let (kit, _server) = vendor(answer).await;
    let (head, mut body) = kit.call().open(request("GET", URL)).await.unwrap();
    assert_eq!((head.status, read(&mut body).await.unwrap()), (200, b"hello".to_vec()));
    let rows = kit.rows();
    assert_eq!(rows.iter().map(|row| row.status).collect::<Vec<_>>(), [Some(503), Some(200)]);
    assert_eq!(rows[0].response_body.as_deref(), Some("later"));
}

#[tokio::test]
async fn silence_ends_with_the_requests_time_and_a_cancel_at_once() {
    let text = "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    let (mut kit, _server) = vendor(move |_, _| Reply::Stall(text.as_bytes().to_vec())).await;
    kit.bearer("key", None);
    let call = kit.call();
    let asked = Request { timeout: Some(Duration::from_millis(600)), ..request("GET", URL) };
    let (_, mut body) = call.open(asked).await.unwrap();
    assert_eq!(body.next().await.unwrap().unwrap(), "data: 1\n\n", "an event is not held back");
    assert!(matches!(body.next().await, Err(Error::Timeout)));
    let (_, mut body) = call.open(request("GET", URL)).await.unwrap();
    body.next().await.unwrap();
    kit.cancel.send(true).unwrap();
    assert!(matches!(body.next().await, Err(Error::Cancelled)));
    assert_eq!(kit.rows().iter().map(kind).collect::<Vec<_>>(), ["timeout", "cancelled"]);
}

#[tokio::test]
async fn a_secret_is_masked_over_every_border() {
    let answer = |number: usize, _: &str| {
        let body = format!("{{\"you\": \"{SECRET}\"}}");
        let (first, second) = body.split_at(number % body.len());
        let mut text = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_owned();
        for chunk in [first, second].into_iter().filter(|chunk| !chunk.is_empty()) {
            text.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        }
        Reply::Bytes((text + "0\r\n\r\n").into_bytes())
    };
    let (mut kit, _server) = vendor(answer).await;
    kit.bearer("key", None);
    let call = kit.call();
    for _ in 0..SECRET.len() + 11 {
        let (_, mut body) = call.open(request("GET", URL)).await.unwrap();
        let text = String::from_utf8(read(&mut body).await.unwrap()).unwrap();
        assert_eq!(text, format!("{{\"you\": \"{}\"}}", "*".repeat(SECRET.len())));
    }
    assert!(kit.rows().iter().all(|row| row.echoes == 1));
    assert!(!format!("{:?}", kit.rows()).contains(SECRET));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn caps_hold_over_pieces() {
    async fn check(
        head: &'static str,
        wire: Vec<u8>,
        response_bytes_max: Option<u64>,
        ends: Result<usize, &str>,
    ) {
        let answer = move |_: usize, _: &str| {
            let mut text = format!("HTTP/1.1 200 X\r\n{head}Connection: close\r\n\r\n").into_bytes();
            text.extend_from_slice(&wire);
            Reply::Bytes(text)
        };
        let server = Server::plain(answer).await;
        let mut kit = Kit::seeded(&[("GET http://api.vendor.test/**", Attributes::default())]);
        kit.reach(NAME, 80, &server);
        let asked = Request { response_bytes_max, ..request("GET", "http://api.vendor.test/") };
        let ended = match kit.call().open(asked).await {
            Ok((_, mut body)) => read(&mut body).await,
            Err(error) => Err(error),
        };
        let ended = ended.map(|all| all.len()).map_err(|error| error.to_string());
        assert_eq!(ended, ends.map_err(str::to_owned), "{head}");
        let row = &kit.rows()[0];
        assert!(row.response_bytes <= response_bytes_max.unwrap_or(16 << 20), "{row:?}");
    }
    let random: Vec<u8> = (0..3_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    check("", random.clone(), None, Ok(3 << 20)).await;
    check("", random.clone(), Some(1 << 20), Err("larger than 1048576 bytes")).await;
    check("Content-Length: 3145728\r\n", random.clone(), Some(1 << 20), Err("larger than 1048576 bytes"))
        .await;
    check("Content-Encoding: gzip\r\n", gzip(&random), None, Ok(3 << 20)).await;
    check("Content-Encoding: gzip\r\n", gzip(&random), Some(1 << 20), Err("larger than 1048576 bytes")).await;
    let bomb = gzip(&vec![0; 12 << 20]);
    check("Content-Encoding: gzip\r\n", bomb, None, Err("malformed: compressed more than 200 to 1")).await;
    let cut = gzip(&random);
    let cut = cut[..cut.len() / 2].to_vec();
    check("Content-Encoding: gzip\r\n", cut, None, Err("malformed: the gzip body is cut short or corrupt"))
        .await;
    let members = gzip(b"").repeat(1_001);
    check("Content-Encoding: gzip\r\n", members, None, Err("malformed: more than 1000 gzip members")).await;
    check("Content-Encoding: gzip, br\r\n", Vec::new(), None, Err("malformed: more than one content coding"))
        .await;
}
