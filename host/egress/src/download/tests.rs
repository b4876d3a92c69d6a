//! Downloads from servers that cut the connection, and what may be put together.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Outcome,
    state::lock,
    testing::{Kit, Reply, SECRET, Server, request},
};
use portcullis_grants::Attributes;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const NAME: &str = "api.vendor.test";
const URL: &str = "http://api.vendor.test/file";

#[derive(Default)]
struct Kept(Vec<u8>, u32);

#[async_trait::async_trait]
impl Keep for Kept {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.0.extend_from_slice(&bytes);
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), Error> {
        self.0.clear();
        self.1 += 1;
        Ok(())
    }
}

fn body() -> Vec<u8> {
    (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Sends `cut` bytes of what was asked for, with the head of all of it.
fn part(text: &str, etag: &str, ranges: bool, cut: usize) -> Reply {
    let all = body();
    let from =
        header(text, "range").map(|range| range["bytes=".len()..range.len() - 1].parse::<usize>().unwrap());
    let from = from.filter(|_| ranges && header(text, "if-range") == Some(etag));
    let rest = &all[from.unwrap_or(0)..];
    let mut reply = match from {
        Some(from) => {
            format!("HTTP/1.1 206 X\r\nContent-Range: bytes {from}-{}/{}\r\n", all.len() - 1, all.len())
        }
        None => "HTTP/1.1 200 X\r\n".to_owned(),
    }
    .into_bytes();
    reply.extend(
        format!("ETag: {etag}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len()).bytes(),
    );
    reply.extend_from_slice(&rest[..rest.len().min(cut)]);
    Reply::Bytes(reply)
}

async fn vendor(answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> (Kit, Server) {
    let server = Server::plain(answer).await;
    let mut kit = Kit::seeded(&[("GET,POST http://api.vendor.test/**", Attributes::default())]);
    kit.reach(NAME, 80, &server);
    (kit, server)
}

async fn download(kit: &Kit, kept: &mut Kept) -> Result<Head, Error> {
    kit.call().download(request("GET", URL), kept).await
}

#[tokio::test]
async fn a_broken_one_goes_on_where_it_stopped() {
    let (kit, server) = vendor(|_, text| part(text, "\"v1\"", true, 400_000)).await;
    // Less than what counts as progress, so that the attempts end.
    assert!(matches!(download(&kit, &mut Kept::default()).await, Err(Error::Connect(_))));
    assert_eq!(server.requests().len(), ATTEMPTS_MAX as usize);
    let (kit, server) = vendor(|_, text| part(text, "\"v1\"", true, 1_100_000)).await;
    let mut kept = Kept::default();
    let head = download(&kit, &mut kept).await.unwrap();
    assert_eq!(head.status, 200);
    assert!(kept.0 == body() && kept.1 == 0);
    let seen = server.requests();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|text| text.contains("accept-encoding: identity\r\n")));
    assert_eq!(header(&seen[2], "if-range"), Some("\"v1\""));
    let outcomes: Vec<bool> = kit.rows().iter().map(|row| row.outcome == Outcome::Answered).collect();
    assert_eq!(outcomes, [false, false, true]);
    assert_eq!(kit.rows().iter().map(|row| row.response_bytes).sum::<u64>(), 3_000_000);
}

#[tokio::test]
async fn without_a_strong_etag_or_ranges_it_begins_again() {
    for (etag, ranges) in [("W/\"v1\"", true), ("\"v1\"", false), ("\"v1\"\r\nETag: \"v2\"", true)] {
        let (kit, server) = vendor(move |number, text| {
            part(text, etag, ranges, if number == 0 { 1_500_000 } else { usize::MAX })
        })
        .await;
        let mut kept = Kept::default();
        download(&kit, &mut kept).await.unwrap();
        assert!(kept.0 == body() && kept.1 == 1, "{etag}");
        assert_eq!(header(&server.requests()[1], "range").is_some(), !ranges, "{etag}");
    }
}

/// A vendor that breaks off again and again does not have a download ask without end.
#[tokio::test]
async fn what_is_read_again_is_no_progress() {
    let (kit, server) =
        vendor(|number, text| part(text, "W/\"v1\"", true, if number % 2 == 0 { 1_500_000 } else { 0 }))
            .await;
    assert!(download(&kit, &mut Kept::default()).await.is_err());
    assert_eq!(server.requests().len(), ATTEMPTS_MAX as usize, "none gets further than the first");
}

#[tokio::test]
async fn another_version_is_never_mixed_in() {
    let etags = Arc::new(Mutex::new(0));
    let (kit, _server) = vendor(move |number, text| {
        *lock(&etags) += 1;
        let etag = if number == 0 { "\"v1\"" } else { "\"v2\"" };
        part(text, etag, true, if number == 0 { 1_500_000 } else { usize::MAX })
    })
    .await;
    let mut kept = Kept::default();
    download(&kit, &mut kept).await.unwrap();
    assert!(kept.0 == body() && kept.1 == 1);
    // A 206 that is no answer to `If-Range`, of another version, place or size.
    for head in [
        "ETag: \"v2\"\r\nContent-Range: bytes 1000-2999999/3000000\r\n",
        "ETag: \"v1\"\r\nContent-Range: bytes 999-2999999/3000000\r\n",
        "ETag: \"v1\"\r\nContent-Range: bytes 1000-2999999/3000001\r\n",
        "ETag: \"v1\"\r\nContent-Range: bytes 1000-2000000/3000000\r\n",
        "ETag: \"v1\"\r\n",
    ] {
        let (kit, _server) = vendor(move |number, text| match number {
            0 => part(text, "\"v1\"", true, 1000),
            _ => Reply::Bytes(format!("HTTP/1.1 206 X\r\n{head}Content-Length: 3\r\n\r\nabc").into_bytes()),
        })
        .await;
        let outcome = download(&kit, &mut Kept::default()).await;
        assert!(matches!(outcome, Err(Error::Malformed(_))), "{head} {outcome:?}");
    }
}

/// Every part has three bytes, so that the length alone betrays none of them.
#[tokio::test]
async fn only_the_rest_of_the_same_whole_is_put_to_it() {
    let parts = [
        ("ETag: \"v1\"\r\nContent-Range: bytes 3-5/6\r\n", true),
        // Without the validator, or with two, nobody says what it is a part of.
        ("Content-Range: bytes 3-5/6\r\n", false),
        ("ETag: \"v1\"\r\nETag: \"v2\"\r\nContent-Range: bytes 3-5/6\r\n", false),
        ("ETag: \"v2\"\r\nContent-Range: bytes 3-5/6\r\n", false),
        ("ETag: \"v1\"\r\nContent-Range: bytes 0-5/6\r\n", false),
        ("ETag: \"v1\"\r\nContent-Range: bytes 2-5/6\r\n", false),
        ("ETag: \"v1\"\r\nContent-Range: bytes 3-4/6\r\n", false),
        ("ETag: \"v1\"\r\nContent-Range: bytes 3-2/6\r\n", false),
        ("ETag: \"v1\"\r\nContent-Encoding: br\r\nContent-Range: bytes 3-5/6\r\n", false),
        // Nobody tells how large the whole is, or two tell it.
        ("ETag: \"v1\"\r\nContent-Range: bytes 3-5/*\r\n", false),
        ("ETag: \"v1\"\r\nContent-Range: bytes 3-1999/*\r\n", false),
        ("ETag: \"v1\"\r\nContent-Range: bytes 3-5/6\r\nContent-Range: bytes 3-1999/*\r\n", false),
        ("ETag: \"v1\"\r\nContent-Range: bytes 3-1999/2000\r\n", false),
    ];
    for (head, whole) in parts {
        let (kit, _server) = vendor(move |number, _| {
            let reply = match number {
                // Without its length, and cut: the last chunk is missing.
                0 => "HTTP/1.1 200 X\r\nETag: \"v1\"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
                    .to_owned(),
                _ => format!("HTTP/1.1 206 X\r\n{head}Connection: close\r\n\r\ndef"),
            };
            Reply::Bytes(reply.into_bytes())
        })
        .await;
        let mut kept = Kept::default();
        match download(&kit, &mut kept).await {
            Ok(_) => assert!(whole && kept.0 == b"abcdef", "{head} {:?}", kept.0),
            Err(error) => assert!(!whole && matches!(error, Error::Malformed(_)), "{head} {error:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_success_is_kept_too_and_caps_hold() {
    let (kit, _server) = vendor(|_, _| crate::testing::reply(404, &[], "no such file")).await;
    let mut kept = Kept::default();
    assert_eq!(download(&kit, &mut kept).await.unwrap().status, 404);
    assert_eq!(kept.0, b"no such file");
    let (kit, _server) = vendor(|_, text| part(text, "\"v1\"", true, usize::MAX)).await;
    let asked = Request { response_bytes_max: Some(1_000_000), ..request("GET", URL) };
    let outcome = kit.call().download(asked, &mut Kept::default()).await;
    assert!(matches!(outcome, Err(Error::TooLarge(1_000_000))), "{outcome:?}");
}

#[tokio::test]
async fn an_unsafe_one_is_sent_once() {
    let (kit, server) = vendor(|_, text| part(text, "\"v1\"", true, 1_500_000)).await;
    let outcome = kit.call().download(request("POST", URL), &mut Kept::default()).await;
    assert!(outcome.is_err());
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_secret_is_masked_in_what_is_kept() {
    let (mut kit, _server) = vendor(|_, _| crate::testing::reply(200, &[], &format!("x{SECRET}x"))).await;
    kit.bearer("key", None);
    let mut kept = Kept::default();
    download(&kit, &mut kept).await.unwrap();
    assert_eq!(kept.0, format!("x{}x", "*".repeat(SECRET.len())).into_bytes());
}

#[tokio::test]
async fn all_of_it_has_one_time() {
    let (kit, server) =
        vendor(|_, _| Reply::Stall(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhello".to_vec())).await;
    let asked = Request { timeout: Some(Duration::from_millis(300)), ..request("GET", URL) };
    assert!(matches!(kit.call().download(asked, &mut Kept::default()).await, Err(Error::Timeout)));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_secret_is_masked_wherever_the_connection_breaks() {
    let whole = format!("{{\"you\": \"{SECRET}\"}} and the rest");
    let cuts = (0..whole.len()).map(|cut| {
        let (whole, sent) = (whole.clone(), whole.clone());
        async move {
            let answer = move |number: usize, text: &str| {
                let from = header(text, "range").map_or(0, |range| {
                    range["bytes=".len()..range.len() - 1].parse::<usize>().unwrap()
                });
                let (status, last) = (if from > 0 { 206 } else { 200 }, sent.len() - 1);
                let head = format!(
                    "HTTP/1.1 {status} X\r\nETag: \"v1\"\r\nContent-Range: bytes {from}-{last}/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    sent.len(),
                    sent.len() - from
                );
                let until = if number == 0 { cut } else { sent.len() };
                Reply::Bytes([head.as_bytes(), &sent.as_bytes()[from..until]].concat())
            };
            let (mut kit, server) = vendor(answer).await;
            kit.bearer("key", None);
            let mut kept = Kept::default();
            download(&kit, &mut kept).await.unwrap();
            let masked = whole.replace(SECRET, &"*".repeat(SECRET.len()));
            assert_eq!(String::from_utf8(kept.0).unwrap(), masked, "cut at {cut}");
            assert_eq!(server.requests().len(), 2, "cut at {cut}");
        }
    });
    futures_util::future::join_all(cuts).await;
}

#[tokio::test]
async fn a_bomb_is_no_file() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &vec![0; 12 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    let (kit, server) = vendor(move |_, text| {
        assert!(text.contains("accept-encoding: identity\r\n"), "what it sends was never asked for");
        let head =
            format!("HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len());
        Reply::Bytes([head.as_bytes(), &bomb].concat())
    })
    .await;
    let mut kept = Kept::default();
    let outcome = download(&kit, &mut kept).await;
    assert!(matches!(&outcome, Err(Error::Malformed(why)) if why.contains("200 to 1")), "{outcome:?}");
    assert!(kept.0.len() < 12 << 20);
    assert_eq!((server.requests().len(), kit.rows().len()), (1, 1));
}
