//! What is handed over, what is told, and what is held.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use std::time::Duration;

fn shared() -> Shared {
    Shared {
        egress: None,
        under_way: Arc::new(Semaphore::new(1)),
        sent: Semaphore::new(1),
        held: Arc::default(),
        exhausted: Mutex::default(),
    }
}

fn head(headers: &[(&str, &str)]) -> http::request::Parts {
    let mut request = http::Request::builder().method("POST").uri("https://api.vendor.test/v1/a?b=c");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_request_arrives_without_what_is_not_the_guests() {
    let options = RequestOptions {
        first_byte_timeout: Some(Duration::from_secs(3)),
        connect_timeout: Some(Duration::from_secs(1)),
        between_bytes_timeout: None,
    };
    let headers =
        [("X-A", "1"), ("Expect", "100-continue"), ("Content-Length", "9"), ("Idempotency-Key", "k")];
    let request = parse(&head(&headers), Some(options)).unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://api.vendor.test/v1/a?b=c"));
    assert_eq!(request.headers, [("x-a".to_owned(), b"1".to_vec())]);
    assert_eq!(
        (request.idempotency_key.as_deref(), request.timeout),
        (Some("k"), Some(Duration::from_secs(3)))
    );
    assert!(parse(&head(&[]), None).unwrap().idempotency_key.is_none());
    let twice = parse(&head(&[("Idempotency-Key", "k"), ("idempotency-key", "k")]), None);
    assert!(matches!(twice, Err(Error::HttpRequestDenied)));
}

#[test]
fn no_error_carries_a_text() {
    let shared = shared();
    let text = || "10.0.0.7:443".to_owned();
    let denial = egress::error::DenialDetail { reason: text(), remedy: None };
    let denied = egress::Error::Denied { exchange: text(), denial: Box::new(denial) };
    for error in [
        denied,
        egress::Error::Connect(text()),
        egress::Error::Tls(text()),
        egress::Error::Malformed(text()),
        egress::Error::RateLimited(7),
        egress::Error::Timeout,
        egress::Error::Withheld,
        egress::Error::TooLarge(7),
    ] {
        let told = format!("{:?}", shared.told(error.clone()));
        assert!(!told.contains("10.0.0.7"), "{error:?}: {told}");
    }
    assert!(shared.exhausted().is_none());
    shared.told(egress::Error::Exhausted { connection: text(), requests_max: 1 });
    assert!(shared.exhausted().is_some());
}

#[test]
fn an_answer_counts_until_it_is_read() {
    let shared = shared();
    let answer = |bytes: usize| {
        let mut held = Held { all: Arc::clone(&shared.held), bytes: 0 };
        held.more(bytes as u64).then(|| Bytes::from_owner(Kept { bytes: vec![0; bytes].into(), _held: held }))
    };
    let half = usize::try_from(limits::FETCH_BYTES_MAX / 2).unwrap();
    let (mut first, second) = (answer(half).unwrap(), answer(half).unwrap());
    assert!(answer(1).is_none());
    let piece = first.split_to(10);
    drop(first);
    assert!(answer(1).is_none(), "a piece of it is still held");
    drop(piece);
    assert!(answer(half).is_some());
    drop(second);
    assert_eq!(shared.held.load(Relaxed), 0);
}

#[tokio::test]
async fn a_body_is_collected_within_its_bound() {
    let shared = shared();
    let body = |bytes: usize| {
        Full::new(Bytes::from(vec![b'x'; bytes])).map_err(|never| match never {}).boxed_unsync()
    };
    let most = usize::try_from(limits::BODY_BYTES_MAX).unwrap();
    let collected = collect(&shared, body(most)).await.unwrap();
    assert_eq!((collected.len(), shared.held.load(Relaxed)), (most, limits::BODY_BYTES_MAX));
    drop(collected);
    assert!(matches!(collect(&shared, body(most + 1)).await, Err(Error::HttpRequestBodySize(_))));
    assert_eq!(shared.held.load(Relaxed), 0);
}
