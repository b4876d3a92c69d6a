//! Requests as senders make them, against a store on disk: what is stored, what is answered, and what is kept.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::{
    Handshake, Routes,
    limits::{BODY_BYTES_DEFAULT, SENDER_BYTES_MAX},
};
use http_body_util::StreamBody;
use hyper::body::Frame;
use portcullis_clock::{Clock, SeededClock, SeededRandom, Timestamp};
use portcullis_manifest::signing::{Proof, Signing};
use portcullis_secrets::{
    Secret,
    webhook::{Sample, Signer, Verifier},
};
use portcullis_store::{Backlog, DataLock, DeliveryFilter, DeliveryRow, SqliteStore, Store};
use std::{collections::BTreeSet, convert::Infallible};

const ROOM: Backlog = Backlog { deliveries_max: 1_000, bytes_max: 64 << 20 };
const SENDER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9));
#[expect(clippy::cast_possible_truncation, reason = "a quarter of 128 MiB")]
const ALL_OF_ONE: usize = SENDER_BYTES_MAX as usize;
const PUBLIC: &str = "https://hooks.example.com";

struct Setting {
    shared: Shared,
    store: Arc<SqliteStore>,
    clock: SeededClock,
    signer: Signer,
    _data: tempfile::TempDir,
}

impl Setting {
    /// One route, `/in`, whose deliveries are signed by this scheme.
    async fn new(scheme: &str, room: Backlog, body_bytes_max: u64, per_second: Option<f64>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock = SeededClock::new(Timestamp::from_millis(1_700_000_000_000));
        let lock = DataLock::acquire(data.path(), Duration::ZERO, &clock).await.unwrap();
        let (timed, random) = (Arc::new(clock.clone()), Arc::new(SeededRandom::new(1)));
        let store = Arc::new(SqliteStore::open(Arc::new(lock), timed.clone(), random.clone()).unwrap());
        let signing = Signing::named(scheme).unwrap();
        let signer = Signer::made_up(signing.scheme(), [7; 32]).unwrap();
        let verifier = Verifier::new(signing.scheme(), std::slice::from_ref(signer.secret())).unwrap();
        let secret_header =
            matches!(signing.scheme().proof, Proof::Secret(_)).then(|| signing.scheme().header.clone());
        let check = Check::Signed { verifier: Box::new(verifier), secret_header };
        let handshake = match scheme {
            "slack" => Some(Handshake::Slack),
            "zoom" => Some(Handshake::Zoom),
            _ => None,
        };
        let signed =
            Route::new("one", "billing", check, body_bytes_max, per_second).with_handshake(handshake);
        let open = Route::new("open", "billing", Check::Unsigned, body_bytes_max, None);
        let early = Route::new("early", "billing", Check::NotReady, body_bytes_max, None);
        let asked = |name: &str, handshake| {
            Route::new(name, "billing", Check::Unsigned, body_bytes_max, None).with_handshake(Some(handshake))
        };
        let graph = asked("graph", Handshake::Graph);
        let meta = asked("meta", Handshake::Meta(Secret::new(b"tok en+0123".to_vec())));
        let routes =
            [("/in", signed), ("/open", open), ("/early", early), ("/graph", graph), ("/meta", meta)];
        let routes = routes.map(|(path, route)| (path.to_owned(), route));
        let routes = Routes::new(PUBLIC, vec!["10.0.0.0/8".parse().unwrap()], routes).unwrap();
        let shared = Shared::new(store.clone(), timed, random, room, Arc::default(), routes);
        Self { shared, store, clock, signer, _data: data }
    }

    async fn usual(scheme: &str) -> Self {
        Self::new(scheme, ROOM, BODY_BYTES_DEFAULT, None).await
    }

    /// A delivery as the vendor sends it.
    fn signed(&self, target: &str, body: &[u8]) -> Request<Full<Bytes>> {
        let mut sample = Sample {
            method: "POST".to_owned(),
            url: format!("{PUBLIC}{target}"),
            headers: vec![("content-type".to_owned(), b"application/json".to_vec())],
            body: body.to_vec(),
        };
        self.signer.sign(&mut sample, self.clock.now()).unwrap();
        let target = sample.url.strip_prefix(PUBLIC).unwrap();
        let mut request = to("POST", target);
        for (name, value) in &sample.headers {
            request = request.header(name, value.as_slice());
        }
        request.body(Full::new(Bytes::from(sample.body))).unwrap()
    }

    async fn sent(&self, request: Request<Full<Bytes>>) -> u16 {
        answer(&self.shared, SENDER, &Turn::default(), request).await.status().as_u16()
    }

    /// Status, type and body of the answer.
    async fn asked(&self, request: Request<Full<Bytes>>) -> (u16, String, String) {
        let answered = answer(&self.shared, SENDER, &Turn::default(), request).await;
        let kind = answered.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        assert_eq!(answered.headers().contains_key("x-content-type-options"), kind.is_some());
        let status = answered.status().as_u16();
        let body = answered.into_body().collect().await.unwrap().to_bytes();
        (status, kind.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
    }

    async fn rows(&self) -> Vec<DeliveryRow> {
        let mut rows = Vec::new();
        for summary in self.store.deliveries(DeliveryFilter::default()).await.unwrap() {
            rows.push(self.store.delivery(&summary.delivery_id).await.unwrap().unwrap());
        }
        rows
    }
}

/// What HTTP asks of each request is there; whose name stands in it says nothing.
fn to(method: &str, target: &str) -> http::request::Builder {
    Request::builder().method(method).uri(target).header("host", "evil.example")
}

#[tokio::test]
async fn what_is_signed_is_stored_as_it_came_before_it_is_acknowledged() {
    let setting = Setting::usual("stripe").await;
    let body = [0xff, 0, b'{'];
    let mut request = setting.signed("/in?a=%20&b", &body);
    let headers = request.headers_mut();
    headers.insert("x-forwarded-for", "198.51.100.7".parse().unwrap());
    for name in NEVER_KEPT {
        headers.insert(name, "Bearer somebody".parse().unwrap());
    }
    assert_eq!(setting.sent(request).await, 200);
    let rows = setting.rows().await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    let delivery = &row.delivery;
    assert_eq!((delivery.route.as_str(), delivery.connection.as_str()), ("one", "billing"));
    assert_eq!((delivery.method.as_str(), delivery.path.as_str()), ("POST", "/in"));
    assert_eq!((delivery.query.as_str(), delivery.body.as_slice()), ("a=%20&b", body.as_slice()));
    assert_eq!(delivery.peer, "198.51.100.7");
    let names: Vec<_> = delivery.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"stripe-signature") && names.contains(&"content-type"), "{names:?}");
    assert!(NEVER_KEPT.iter().all(|name| !names.contains(name)), "{names:?}");
}

#[tokio::test]
async fn what_is_not_signed_is_stored_nowhere() {
    let setting = Setting::usual("stripe").await;
    let mut other = setting.signed("/in", b"{}");
    *other.body_mut() = Full::new(Bytes::from_static(b"{ }"));
    assert_eq!(setting.sent(other).await, 401);
    let mut bare = setting.signed("/in", b"{}");
    bare.headers_mut().remove("stripe-signature");
    assert_eq!(setting.sent(bare).await, 401);
    let mut twice = setting.signed("/in", b"{}");
    let signature = twice.headers()["stripe-signature"].clone();
    twice.headers_mut().append("stripe-signature", signature);
    assert_eq!(setting.sent(twice).await, 401);
    let late = setting.signed("/in", b"{}");
    setting.clock.advance(Duration::from_secs(301));
    assert_eq!(setting.sent(late).await, 401);
    assert_eq!(setting.rows().await, []);
    // The same route takes what is right, and a route that says so what has no signature.
    assert_eq!(setting.sent(setting.signed("/in", b"{}")).await, 200);
    let open = to("POST", "/open").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    assert_eq!(setting.sent(open).await, 200);
    assert_eq!(setting.rows().await.len(), 2);
}

#[tokio::test]
async fn the_url_that_is_signed_is_the_configured_one() {
    // Square signs the URL; `Host` is the sender's word, here another one.
    let setting = Setting::usual("square").await;
    assert_eq!(setting.sent(setting.signed("/in?x=1", b"{}")).await, 200);
    let mut moved = setting.signed("/in?x=1", b"{}");
    *moved.uri_mut() = "/in?x=2".parse().unwrap();
    assert_eq!(setting.sent(moved).await, 401);
}

#[tokio::test]
async fn a_header_that_holds_the_secret_itself_is_not_kept() {
    for scheme in ["bearer", "basic"] {
        let setting = Setting::usual(scheme).await;
        assert_eq!(setting.sent(setting.signed("/in", b"{}")).await, 200);
        let rows = setting.rows().await;
        let names: Vec<_> = rows[0].delivery.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["host", "content-type"], "{scheme}");
    }
}

#[tokio::test]
async fn what_is_no_delivery_is_refused_before_any_work() {
    let setting = Setting::usual("stripe").await;
    let check = async |method: &str, target: &str, expected: u16| {
        let mut request = setting.signed("/in", b"{}");
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = target.parse().unwrap();
        assert_eq!(setting.sent(request).await, expected, "{method} {target}");
    };
    check("POST", "/", 404).await;
    check("POST", "/in/", 404).await;
    check("POST", "//in", 404).await;
    check("POST", "/%69n", 404).await;
    check("POST", "/IN", 404).await;
    check("POST", "/x/../in", 404).await;
    check("POST", "http://hooks.example.com/in", 404).await;
    check("GET", "/in", 405).await;
    check("PUT", "/in", 405).await;
    let long = format!("/in?{}", "a".repeat(TARGET_BYTES_MAX));
    check("POST", &long, 414).await;
    assert_eq!(setting.rows().await, []);
}

#[tokio::test]
async fn sizes_are_bounded_whether_announced_or_not() {
    let setting = Setting::new("stripe", ROOM, 1000, None).await;
    assert_eq!(setting.sent(setting.signed("/in", &[b'a'; 1000])).await, 200);
    assert_eq!(setting.sent(setting.signed("/in", &[b'a'; 1001])).await, 413);
    let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'a'; 100])));
    let endless = StreamBody::new(futures_stream(piece));
    let request = to("POST", "/in").body(endless).unwrap();
    let answered = answer(&setting.shared, "192.0.2.1".parse().unwrap(), &Turn::default(), request).await;
    assert_eq!(answered.status(), 413);
    assert_eq!(answered.headers()["connection"], "close");
    assert_eq!(setting.rows().await.len(), 1);
}

/// As many pieces as anybody wants.
fn futures_stream<T: Unpin>(piece: impl Fn() -> T + Unpin) -> impl futures_util::Stream<Item = T> + Unpin {
    futures_util::stream::poll_fn(move |_| std::task::Poll::Ready(Some(piece())))
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let setting = Setting::usual("stripe").await;
    let never = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let request = to("POST", "/in").body(never).unwrap();
    let answered = answer(&setting.shared, "192.0.2.1".parse().unwrap(), &Turn::default(), request).await;
    assert_eq!(answered.status(), 408);
    // What did not come took no room.
    assert_eq!(setting.shared.bodies.part(SENDER).grow(ALL_OF_ONE), Ok(()));
}

#[tokio::test]
async fn who_finds_no_room_is_told_to_come_again() {
    let two = Backlog { deliveries_max: 2, ..ROOM };
    let setting = Setting::new("stripe", two, BODY_BYTES_DEFAULT, None).await;
    for expected in [200, 200, 503] {
        assert_eq!(setting.sent(setting.signed("/in", b"{}")).await, expected);
    }
    let request = setting.signed("/in", b"{}");
    let answered = answer(&setting.shared, "192.0.2.1".parse().unwrap(), &Turn::default(), request).await;
    assert_eq!(answered.headers()["retry-after"], "30");
    // Nor for what nobody can verify yet.
    assert_eq!(setting.sent(setting.signed("/early", b"{}")).await, 503);
    // Nor has one sender more room than its share, for what comes at the same time; the others have theirs.
    let setting = Setting::usual("stripe").await;
    let mut held = setting.shared.bodies.part(SENDER);
    held.grow(ALL_OF_ONE).unwrap();
    assert_eq!(setting.sent(setting.signed("/in", b"{}")).await, 503);
    let other =
        answer(&setting.shared, "192.0.2.1".parse().unwrap(), &Turn::default(), setting.signed("/in", b"{}"))
            .await;
    assert_eq!(other.status(), 200);
    drop(held);
    assert_eq!(setting.sent(setting.signed("/in", b"{}")).await, 200);
}

#[tokio::test]
async fn a_route_has_its_rate() {
    let setting = Setting::new("stripe", ROOM, BODY_BYTES_DEFAULT, Some(1.0)).await;
    for expected in [200, 200, 200, 200, 200, 429] {
        assert_eq!(setting.sent(setting.signed("/in", b"{}")).await, expected);
    }
    let request = setting.signed("/in", b"{}");
    let answered = answer(&setting.shared, "192.0.2.1".parse().unwrap(), &Turn::default(), request).await;
    assert_eq!(answered.headers()["retry-after"], "1");
    // What it took before the routes were made anew it has taken; another rate begins afresh.
    let anew = |rate: f64| {
        let route = Route::new("one", "billing", Check::Unsigned, BODY_BYTES_DEFAULT, Some(rate));
        let routes = Routes::new(PUBLIC, Vec::new(), [("/in".to_owned(), route)]).unwrap();
        setting.shared.replace(routes, &BTreeSet::new());
    };
    anew(1.0);
    assert_eq!(setting.sent(setting.signed("/in", b"{}")).await, 429);
    anew(2.0);
    assert_eq!(setting.sent(setting.signed("/in", b"{}")).await, 200);
    anew(1.0);
    while setting.sent(setting.signed("/in", b"{}")).await == 200 {}
    setting.clock.advance(Duration::from_secs(2));
    assert_eq!(setting.sent(setting.signed("/in", b"{}")).await, 200);
}

const TEXT: &str = "text/plain; charset=utf-8";

#[tokio::test]
async fn what_a_vendor_asks_in_a_signed_body_is_answered_and_stored_nowhere() {
    let slack = Setting::usual("slack").await;
    let body = br#"{"token":"x","challenge":"3eZbrw1aB","type":"url_verification"}"#;
    assert_eq!(slack.asked(slack.signed("/in", body)).await, (200, TEXT.to_owned(), "3eZbrw1aB".to_owned()));
    // From nobody else, and nothing that moves a reader.
    let unsigned = to("POST", "/in").body(Full::new(Bytes::from_static(body))).unwrap();
    assert_eq!(slack.asked(unsigned).await.0, 401);
    for challenge in ["a\\nb", "\\u0000", "\u{e9}"] {
        let body = format!(r#"{{"challenge":"{challenge}","type":"url_verification"}}"#);
        assert_eq!(slack.asked(slack.signed("/in", body.as_bytes())).await.0, 401, "{challenge}");
    }
    let long = format!(r#"{{"challenge":"{}","type":"url_verification"}}"#, "a".repeat(3000));
    assert_eq!(slack.asked(slack.signed("/in", long.as_bytes())).await.0, 401);
    assert_eq!(slack.rows().await, []);
    // What only looks like it is a delivery: another type, none, no JSON, and what is too large for one.
    let large = format!(r#"{{"type":"url_verification","challenge":"a","x":"{}"}}"#, "a".repeat(9000));
    for body in [r#"{"type":"event_callback","challenge":"a"}"#, "{", r#"["url_verification"]"#, &large] {
        assert_eq!(
            slack.asked(slack.signed("/in", body.as_bytes())).await,
            (200, String::new(), String::new())
        );
    }
    assert_eq!(slack.rows().await.len(), 4);

    let zoom = Setting::usual("zoom").await;
    let body = br#"{"payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event":"endpoint.url_validation"}"#;
    let (status, kind, answer) = zoom.asked(zoom.signed("/in", body)).await;
    assert_eq!((status, kind.as_str()), (200, "application/json"));
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["plainToken"], "qgg8vlvZRS6UYooatFL8Aw");
    assert_eq!(answer["encryptedToken"], hmac_hex(zoom.signer.secret(), b"qgg8vlvZRS6UYooatFL8Aw"));
    // What that is, by another implementation (Python's `hmac`).
    let known = "4eea722bfa85266581d6ee4a04e27fa02d26feb7a94dc70d8740670ae128e942";
    assert_eq!(hmac_hex(&Secret::new(b"zoom-secret-0123".to_vec()), b"qgg8vlvZRS6UYooatFL8Aw"), known);
    assert_eq!(zoom.rows().await, []);
    // Nobody answers it where it was not said.
    let stripe = Setting::usual("stripe").await;
    assert_eq!(stripe.asked(stripe.signed("/in", body)).await, (200, String::new(), String::new()));
    assert_eq!(stripe.rows().await.len(), 1);
}

fn hmac_hex(secret: &Secret, text: &[u8]) -> String {
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.expose()), text);
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who has one secret of a route is told nothing that is made with another one, by which they could sign what they like.
#[tokio::test]
async fn while_secrets_are_rotated_each_is_answered_by_its_own() {
    let zoom = Setting::usual("zoom").await;
    let old = zoom.signer.secret();
    let new = Secret::new(b"another-secret-0123456789".to_vec());
    let scheme = Signing::named("zoom").unwrap();
    for secrets in [[&new, old], [old, &new]] {
        let secrets = secrets.map(|secret| Secret::new(secret.expose().to_vec()));
        let verifier = Box::new(Verifier::new(scheme.scheme(), &secrets).unwrap());
        let check = Check::Signed { verifier, secret_header: None };
        let route = Route::new("one", "billing", check, BODY_BYTES_DEFAULT, None);
        let route = route.with_handshake(Some(Handshake::Zoom));
        let routes = Routes::new(PUBLIC, Vec::new(), [("/in".to_owned(), route)]).unwrap();
        zoom.shared.replace(routes, &BTreeSet::new());
        let body = br#"{"payload":{"plainToken":"v0:1700000000:{}"},"event":"endpoint.url_validation"}"#;
        let (_, _, answer) = zoom.asked(zoom.signed("/in", body)).await;
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["encryptedToken"], hmac_hex(old, b"v0:1700000000:{}"));
    }
}

#[tokio::test]
async fn what_http_itself_refuses() {
    let setting = Setting::usual("stripe").await;
    let check = async |change: &dyn Fn(&mut HeaderMap), status: u16| {
        let mut request = setting.signed("/in", b"{}");
        change(request.headers_mut());
        assert_eq!(setting.sent(request).await, status);
    };
    check(&|_| {}, 200).await;
    check(&|headers| drop(headers.remove("host")), 400).await;
    check(&|headers| assert!(headers.append("host", "a.example".parse().unwrap())), 400).await;
    check(&|headers| drop(headers.insert("transfer-encoding", "gzip, chunked".parse().unwrap())), 501).await;
    check(&|headers| drop(headers.insert("transfer-encoding", "Chunked".parse().unwrap())), 200).await;
    let large = "a".repeat(HEADERS_BYTES_MAX);
    check(&|headers| drop(headers.insert("x-large", large.parse().unwrap())), 431).await;
    assert_eq!(setting.rows().await.len(), 2);
}

#[tokio::test]
async fn what_a_vendor_asks_in_a_query_is_answered_and_stored_nowhere() {
    let setting = Setting::usual("stripe").await;
    let send = async |method: &str, target: &str| {
        let request = to(method, target).body(Full::new(Bytes::new())).unwrap();
        setting.asked(request).await
    };
    let said = |text: &str| (200, TEXT.to_owned(), text.to_owned());
    assert_eq!(
        send("POST", "/graph?validationToken=Validation%3a+Testing%20it").await,
        said("Validation: Testing it")
    );
    assert_eq!(send("POST", "/graph?a=b&validationToken=%3Cscript%3E").await, said("<script>"));
    let asks = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=";
    assert_eq!(send("GET", &format!("/meta?{asks}tok%20en%2B0123")).await, said("1158201444"));
    for (method, target, status) in [
        ("POST", "/graph?validationToken=%0d%0a".to_owned(), 401),
        ("POST", format!("/graph?validationToken={}", "a".repeat(2049)), 401),
        ("GET", "/graph?validationToken=a".to_owned(), 405),
        ("GET", format!("/meta?{asks}tok+en+0123"), 401),
        ("GET", format!("/meta?{asks}"), 401),
        ("GET", "/meta?hub.mode=subscribe&hub.verify_token=tok%20en%2B0123".to_owned(), 401),
        (
            "GET",
            "/meta?hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=tok%20en%2B0123".to_owned(),
            405,
        ),
        ("GET", "/meta".to_owned(), 405),
        ("GET", format!("/in?{asks}tok%20en%2B0123"), 405),
    ] {
        assert_eq!(send(method, &target).await.0, status, "{method} {target:.80}");
    }
    assert_eq!(setting.rows().await, []);
    // A delivery is one, whatever its query says.
    assert_eq!(send("POST", "/graph").await, (200, String::new(), String::new()));
    assert_eq!(send("POST", &format!("/meta?{asks}tok%20en%2B0123")).await.0, 200);
    let request = to("POST", "/graph?validationToken=a").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    assert_eq!(setting.asked(request).await, (200, String::new(), String::new()));
    assert_eq!(setting.rows().await.len(), 3);
}
