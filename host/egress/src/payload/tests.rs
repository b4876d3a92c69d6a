//! Bodies outside memory, as they reach a server.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Request,
    state::lock,
    testing::{Kit, Reply, Server, keyed, reply, request, with_header},
};
use portcullis_grants::Attributes;
use std::time::Duration;

const URL: &str = "http://api.vendor.test/files";

struct Memory(Vec<u8>);

#[async_trait::async_trait]
impl Held for Memory {
    async fn read(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        let rest = &self.0[usize::try_from(offset).unwrap()..];
        // Less than was asked for, as a file may give.
        Ok(Bytes::copy_from_slice(&rest[..rest.len().min(max).min(7)]))
    }

    async fn sha256(&self, offset: u64, size: u64) -> io::Result<[u8; 32]> {
        let offset = usize::try_from(offset).unwrap();
        Ok(Sha256::digest(&self.0[offset..offset + usize::try_from(size).unwrap()]).into())
    }
}

fn held(text: &str, offset: u64, size: u64) -> Content {
    Content::Held { held: Arc::new(Memory(text.as_bytes().to_vec())), offset, size }
}

fn part(name: &str, file_name: Option<&str>, content_type: Option<&str>, content: Content) -> Part {
    Part {
        name: name.to_owned(),
        file_name: file_name.map(str::to_owned),
        content_type: content_type.map(str::to_owned),
        content,
    }
}

fn with(method: &str, payload: Payload) -> Request {
    Request { payload: Some(payload), ..request(method, URL) }
}

async fn vendor(
    attributes: Attributes,
    answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
) -> (Kit, Server) {
    let server = Server::plain(answer).await;
    let mut kit = Kit::seeded(&[("POST,PUT http://api.vendor.test/**", attributes)]);
    kit.reach("api.vendor.test", 80, &server);
    (kit, server)
}

fn parts(text: &str) -> (&str, &str) {
    text.split_once("\r\n\r\n").unwrap()
}

#[tokio::test]
async fn a_slice_has_its_length_and_is_read_anew_for_each_attempt() {
    let answer = |number: usize, _: &str| if number == 0 { Reply::Drop } else { reply(200, &[], "") };
    let (kit, server) = vendor(Attributes::default(), answer).await;
    let call = kit.call();
    let slice = Payload::Content(held("0123456789abcdefghij", 2, 15));
    call.send(with("PUT", slice)).await.unwrap();
    let seen = server.requests();
    assert_eq!(seen.len(), 2);
    for text in &seen {
        let (head, body) = parts(text);
        assert!(head.contains("content-length: 15") && !head.contains("transfer-encoding"), "{head}");
        assert_eq!(body, "23456789abcdefg");
    }
    assert!(kit.rows().iter().all(|row| row.request_bytes == 15 && row.request_body.is_none()));
}

#[tokio::test]
async fn an_intent_holds_the_bytes() {
    let (kit, _server) = vendor(Attributes::default(), |_, _| reply(200, &[], "")).await;
    for (text, same) in [("abc", true), ("abc", true), ("abd", false)] {
        let outcome = kit.call().send(with("PUT", Payload::Content(held(text, 0, 3)))).await;
        assert_eq!(outcome.is_ok(), same, "{text}");
    }
    assert_eq!(lock(&kit.intents.begun).len(), 1);
}

#[tokio::test]
async fn multipart_as_browsers_write_it() {
    let (kit, server) = vendor(keyed(), |_, _| reply(200, &[], "")).await;
    let of = || {
        Payload::Multipart(vec![
            part("a\"b\r\nc", None, None, Content::Bytes(Bytes::from("x"))),
            part("file", Some("q\"\n.txt"), Some("text/plain"), held("0123456789", 3, 4)),
        ])
    };
    let asked = |key: &str| Request { idempotency_key: Some(key.to_owned()), ..with("POST", of()) };
    kit.call().send(asked("k1")).await.unwrap();
    kit.call().send(asked("k1")).await.unwrap();
    let seen = server.requests();
    assert_eq!(seen[0], seen[1], "a repetition has the same boundary");
    let (head, body) = parts(&seen[0]);
    let boundary = head.split("boundary=").nth(1).unwrap().split("\r\n").next().unwrap();
    assert!(head.contains(&format!("content-type: multipart/form-data; boundary={boundary}")));
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let expected = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"a%22b%0D%0Ac\"\r\n\r\nx\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"q%22%0A.txt\"\r\n\
         Content-Type: text/plain\r\n\r\n3456\r\n--{boundary}--\r\n"
    );
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_a_multipart_may_not_be() {
    let (kit, server) = vendor(Attributes::default(), |_, _| reply(200, &[], "")).await;
    let call = kit.call();
    let bytes = || Content::Bytes(Bytes::from("x"));
    let typed = Payload::Multipart(vec![part("a", None, Some("a\r\nX: y"), bytes())]);
    assert!(matches!(call.send(with("POST", typed)).await, Err(Error::Denied { .. })));
    let many = Payload::Multipart((0..=PARTS_MAX).map(|_| part("a", None, None, bytes())).collect());
    assert!(matches!(call.send(with("POST", many)).await, Err(Error::Denied { .. })));
    let long = Payload::Multipart(vec![part(&"a".repeat(PART_HEAD_BYTES_MAX), None, None, bytes())]);
    assert!(matches!(call.send(with("POST", long)).await, Err(Error::TooLarge(_))));
    let own =
        with_header(with("POST", Payload::Multipart(Vec::new())), "Content-Type", "multipart/form-data");
    assert!(matches!(call.send(own).await, Err(Error::Denied { .. })));
    assert_eq!(server.connects(), 0);
    assert!(lock(&kit.intents.begun).is_empty(), "what is refused leaves no intent");
}

#[tokio::test]
async fn bytes_out_counts_it_and_a_lost_file_is_no_short_body() {
    let (kit, server) = vendor(Attributes::default(), |_, _| reply(200, &[], "")).await;
    let large = Payload::Content(held(&"x".repeat(2 << 20), 0, 2 << 20));
    assert!(
        matches!(kit.call().send(with("PUT", large)).await, Err(Error::Denied { .. })),
        "`bytes-out` is 1 MiB"
    );
    assert_eq!(server.connects(), 0);
    struct Gone;
    #[async_trait::async_trait]
    impl Held for Gone {
        async fn read(&self, _: u64, _: usize) -> io::Result<Bytes> {
            Ok(Bytes::new())
        }
        async fn sha256(&self, _: u64, _: u64) -> io::Result<[u8; 32]> {
            Ok([0; 32])
        }
    }
    let gone = Content::Held { held: Arc::new(Gone), offset: 0, size: 5 };
    let asked = Request { timeout: Some(Duration::from_secs(5)), ..with("POST", Payload::Content(gone)) };
    assert!(kit.call().send(asked).await.is_err());
    assert!(server.requests().is_empty(), "no whole request arrived");
}
