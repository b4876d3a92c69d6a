//! The whole pipeline against servers on loopback; what counts is what reached them.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Outcome, Payload,
    testing::{Kit, Reply, SECRET, Server, acceptor, keyed, reply, request, slot, with_body, with_header},
};
use portcullis_grants::{AddressPolicy, Attributes};
use portcullis_secrets::Scheme;
use std::time::Duration;

const NAME: &str = "api.vendor.test";
const RULE: &str = "GET,POST https://api.vendor.test/**";
const URL: &str = "https://api.vendor.test/v1/items";

async fn vendor(
    attributes: Attributes,
    answer: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
) -> (Kit, Server) {
    let server = Server::tls(NAME, answer).await;
    let mut kit = Kit::seeded(&[(RULE, attributes)]);
    kit.reach(NAME, 443, &server);
    (kit, server)
}

fn denial(call: &Call, outcome: Result<Response, Error>) -> DenialDetail {
    let Err(Error::Denied { exchange, .. }) = &outcome else { panic!("not denied: {outcome:?}") };
    let denials = call.denials();
    let (id, detail) = denials.last().unwrap();
    assert_eq!(id, exchange);
    detail.clone()
}

#[tokio::test]
async fn a_credential_arrives_under_the_vendors_name_and_never_comes_back() {
    let echo = |_: usize, text: &str| {
        let header =
            text.lines().find(|line| line.starts_with("authorization")).unwrap_or_default().to_owned();
        reply(
            200,
            &[&format!("X-Echo: {header}"), "Content-Type: application/json"],
            &format!("{{\"you\":\"{header}\"}}"),
        )
    };
    let (mut kit, server) = vendor(slot("key"), echo).await;
    kit.bearer("key", None);
    let call = kit.call();
    let response = call.send(with_header(request("GET", URL), "X-Request-Id", "7")).await.unwrap();
    let seen = &server.requests()[0];
    assert!(seen.contains(&format!("authorization: Bearer {SECRET}\r\n")), "{seen}");
    assert!(seen.starts_with("GET /v1/items HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("host: api.vendor.test\r\n"), "{seen}");
    assert!(seen.contains("user-agent: portcullis/"), "{seen}");
    assert!(seen.contains("accept-encoding: gzip, deflate, br, zstd\r\n"), "{seen}");
    assert!(seen.contains("x-request-id: 7\r\n"), "{seen}");
    let guest = format!("{:?} {}", response.headers, String::from_utf8_lossy(&response.body));
    assert_eq!(response.status, 200);
    assert!(!guest.contains(SECRET) && guest.contains("***"), "{guest}");
    let rows = kit.rows();
    assert_eq!(rows.len(), 1);
    assert!(!format!("{rows:?}").contains(SECRET), "{rows:?}");
    assert_eq!(rows[0].credential.as_deref(), Some("vendor-live"));
    assert_eq!(rows[0].outcome, Outcome::Answered);
    assert_eq!(rows[0].peer.as_deref(), Some(format!("127.0.0.1:{}", server.port).as_str()));
    assert_eq!(rows[0].manifest_place, "http[0].allow[0]");
    assert!(rows[0].echoes >= 2);
    assert_eq!(lock(&kit.intents.uses).len(), 1);
    call.send(request("GET", URL)).await.unwrap();
    assert_eq!(lock(&kit.intents.uses).len(), 2, "each use is counted; the store keeps one row for them");
}

#[tokio::test]
async fn a_query_credential_reaches_the_wire_and_no_row() {
    let (mut kit, server) = vendor(slot("key"), |_, _| reply(200, &[], "{}")).await;
    let secret = kit.secret("key", SECRET);
    kit.bind("key", "vendor-live", Scheme::ApiKeyQuery { name: "api_key".to_owned(), secret }, None);
    kit.call().send(request("GET", &format!("{URL}?limit=1"))).await.unwrap();
    assert!(server.requests()[0].starts_with(&format!("GET /v1/items?limit=1&api_key={SECRET} HTTP/1.1")));
    let row = &kit.rows()[0];
    assert!(row.url.starts_with("https://api.vendor.test/v1/items?limit=1&api_key="), "{}", row.url);
    assert!(!row.url.contains(SECRET), "{}", row.url);
}

#[tokio::test]
async fn a_secret_of_another_slot_is_masked_too() {
    let (mut kit, _server) =
        vendor(Attributes::default(), |_, _| reply(200, &[], &format!("x{SECRET}x"))).await;
    kit.bearer("unused", None);
    let response = kit.call().send(request("GET", URL)).await.unwrap();
    assert_eq!(response.body, format!("x{}x", "*".repeat(SECRET.len())));
}

#[tokio::test]
async fn a_guests_authorization_is_refused_and_nothing_leaves() {
    let (mut kit, server) = vendor(slot("key"), |_, _| reply(200, &[], "{}")).await;
    kit.bearer("key", None);
    let call = kit.call();
    let outcome = call.send(with_header(request("GET", URL), "Authorization", "Bearer mine")).await;
    assert!(denial(&call, outcome).reason.contains("`authorization`"));
    assert_eq!(server.connects(), 0);
    let rows = kit.rows();
    assert_eq!(rows.len(), 1);
    assert!(matches!(rows[0].outcome, Outcome::Denied { .. }));
    assert!(!format!("{rows:?}").contains("Bearer mine"));
    assert!(call.send(request("GET", URL)).await.is_ok(), "the allowed twin");
}

#[tokio::test]
async fn a_redirect_goes_to_the_guest() {
    let (kit, server) =
        vendor(Attributes::default(), |_, _| reply(302, &["Location: https://evil.test/?token=x"], "")).await;
    let response = kit.call().send(request("GET", URL)).await.unwrap();
    assert_eq!(response.status, 302);
    assert!(
        response
            .headers
            .iter()
            .any(|(name, value)| name == "location" && value == b"https://evil.test/?token=x")
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn loopback_that_is_not_listed_is_never_connected_to() {
    let (mut kit, server) = vendor(Attributes::default(), |_, _| reply(200, &[], "{}")).await;
    kit.settings.network.addresses = AddressPolicy::default();
    let call = kit.call();
    let outcome = call.send(request("GET", URL)).await;
    let detail = denial(&call, outcome);
    assert!(detail.reason.contains("127.0.0.1"), "{detail:?}");
    assert_eq!(
        detail.remedy.as_deref(),
        Some("[connections.billing.network]\naddresses = [\"127.0.0.1/32\"]")
    );
    assert_eq!(server.connects(), 0);
    assert_eq!(kit.rows().len(), 1);
}

#[tokio::test]
async fn a_literal_is_judged_without_a_resolver() {
    let server = Server::plain(|_, _| reply(200, &[], "{}")).await;
    let rule: &'static str = format!("GET http://127.0.0.1:{}/**", server.port).leak();
    let url = format!("http://127.0.0.1:{}/", server.port);
    let mut kit = Kit::seeded(&[(rule, Attributes::default())]);
    let call = kit.call();
    let outcome = call.send(request("GET", &url)).await;
    denial(&call, outcome);
    assert_eq!(server.connects(), 0);
    kit.settings.network.addresses = AddressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]).unwrap();
    assert_eq!(kit.call().send(request("GET", &url)).await.unwrap().status, 200);
}

#[tokio::test]
async fn outside_the_rules_nothing_is_asked() {
    let (kit, server) = vendor(Attributes::default(), |_, _| reply(200, &[], "{}")).await;
    let call = kit.call();
    for (method, url) in
        [("DELETE", URL), ("GET", "https://other.vendor.test/"), ("GET", "nonsense"), ("TRACE", URL)]
    {
        let outcome = call.send(request(method, url)).await;
        denial(&call, outcome);
    }
    assert_eq!((server.connects(), call.requests(), kit.rows().len()), (0, 4, 4));
    assert!(!call.has_unproven_effect());
}

#[tokio::test]
async fn a_429_is_waited_for_and_asked_again() {
    let answer = |number, _: &str| match number {
        0 => reply(429, &["Retry-After: 1"], "slow down"),
        _ => reply(200, &[], "{}"),
    };
    let (kit, server) = vendor(Attributes::default(), answer).await;
    let response = kit.call().send(request("GET", URL)).await.unwrap();
    assert_eq!((response.status, server.requests().len()), (200, 2));
    let rows = kit.rows();
    assert_eq!(
        rows.iter().map(|row| (row.attempt, row.status)).collect::<Vec<_>>(),
        [(1, Some(429)), (2, Some(200))]
    );
}

#[tokio::test]
async fn a_lost_answer_is_asked_again_with_one_key_and_one_intent() {
    let answer = |number, _: &str| if number == 0 { Reply::Drop } else { reply(201, &[], "{}") };
    let (kit, server) = vendor(keyed(), answer).await;
    let call = kit.call();
    let response = call.send(with_body("POST", URL, "{\"a\":1}")).await.unwrap();
    assert_eq!(response.status, 201);
    let keys: Vec<_> = server
        .requests()
        .iter()
        .map(|text| text.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
    assert_eq!(lock(&kit.intents.begun).len(), 1);
    assert_eq!(*lock(&kit.intents.ended), [(0, crate::testing::ended(true, false, "status 201"))]);
    assert!(!call.has_unproven_effect());
    assert!(matches!(&kit.rows()[0].outcome, Outcome::Failed { kind: "connect", .. }), "{:?}", kit.rows()[0]);
}

#[tokio::test]
async fn without_a_key_a_lost_answer_is_unproven_and_final() {
    let (kit, server) = vendor(Attributes::default(), |_, _| Reply::Drop).await;
    let call = kit.call();
    assert!(matches!(call.send(with_body("POST", URL, "{}")).await, Err(Error::Connect(_))));
    assert_eq!(server.requests().len(), 1);
    assert!(call.has_unproven_effect());
}

#[tokio::test]
async fn silence_ends_with_the_timeout() {
    let (mut kit, _server) = vendor(Attributes::default(), |_, _| Reply::Silence).await;
    kit.settings.timeout = Duration::from_millis(300);
    let call = kit.call();
    assert!(matches!(call.send(request("GET", URL)).await, Err(Error::Timeout)));
    assert!(matches!(call.send(with_body("POST", URL, "{}")).await, Err(Error::Timeout)));
    assert!(call.has_unproven_effect());
    assert!(matches!(&kit.rows()[0].outcome, Outcome::Failed { kind: "timeout", .. }));
}

#[tokio::test]
async fn cancelling_ends_a_request_at_once() {
    let arrived = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&arrived);
    let silent = move |_: usize, _: &str| {
        notify.notify_one();
        Reply::Silence
    };
    let (kit, _server) = vendor(Attributes::default(), silent).await;
    let call = kit.call();
    let (outcome, ()) = tokio::join!(call.send(request("GET", URL)), async {
        arrived.notified().await;
        kit.cancel.send_replace(true);
    });
    assert!(matches!(outcome, Err(Error::Cancelled)));
}

#[tokio::test]
async fn a_request_that_is_dropped_halfway_has_its_row() {
    let arrived = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&arrived);
    let silent = move |_: usize, _: &str| {
        notify.notify_one();
        Reply::Silence
    };
    let (kit, server) = vendor(Attributes::default(), silent).await;
    let call = kit.call();
    tokio::select! {
        _ = call.send(with_body("POST", URL, "{}")) => panic!("answered"),
        () = arrived.notified() => {}
    }
    tokio::task::yield_now().await;
    assert_eq!((server.requests().len(), kit.rows().len()), (1, 1));
    assert!(matches!(&kit.rows()[0].outcome, Outcome::Failed { kind: "cancelled", .. }));
    assert!(call.has_unproven_effect());
}

#[tokio::test]
async fn a_revoked_approval_stops_the_next_attempt() {
    let (kit, server) = vendor(Attributes::default(), |_, _| reply(200, &[], "{}")).await;
    let call = kit.call();
    call.send(request("GET", URL)).await.unwrap();
    kit.settings.revoked.store(true, Ordering::SeqCst);
    let outcome = call.send(request("GET", URL)).await;
    assert!(denial(&call, outcome).reason.contains("approval was revoked"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn the_request_budget_ends() {
    let (mut kit, server) = vendor(Attributes::default(), |_, _| reply(200, &[], "{}")).await;
    kit.settings.requests_max = 1;
    let call = kit.call();
    call.send(request("GET", URL)).await.unwrap();
    let outcome = call.send(request("GET", URL)).await;
    assert!(denial(&call, outcome).reason.contains("`requests`"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_missing_secret_or_audit_row_fails_closed() {
    let (mut kit, server) = vendor(slot("key"), |_, _| reply(200, &[], "{}")).await;
    kit.bearer("key", None);
    let path = kit.folder.path().join("key");
    std::fs::rename(&path, kit.folder.path().join("aside")).unwrap();
    let call = kit.call();
    let outcome = call.send(request("GET", URL)).await;
    assert!(denial(&call, outcome).reason.contains("file:key"));
    std::fs::rename(kit.folder.path().join("aside"), &path).unwrap();
    kit.intents.broken.store(true, Ordering::SeqCst);
    let outcome = call.send(request("GET", URL)).await;
    assert!(denial(&call, outcome).reason.contains("audit"));
    assert_eq!(server.connects(), 0);
    kit.intents.broken.store(false, Ordering::SeqCst);
    assert!(call.send(request("GET", URL)).await.is_ok());
}

#[tokio::test]
async fn a_strange_authority_or_name_is_a_tls_error() {
    let (mut kit, server) = vendor(Attributes::default(), |_, _| reply(200, &[], "{}")).await;
    let good = kit.settings.network.ca_pem.replace(acceptor(NAME, &[]).1.into_bytes());
    assert!(matches!(kit.call().send(request("GET", URL)).await, Err(Error::Tls(_))));
    kit.settings.network.ca_pem = None;
    assert!(matches!(kit.call().send(request("GET", URL)).await, Err(Error::Tls(_))));
    kit.settings.network.ca_pem = good;
    assert_eq!(kit.call().send(request("GET", URL)).await.unwrap().status, 200);
    kit.settings.rules = vec![("GET https://other.vendor.test/**", Attributes::default())];
    kit.reach("other.vendor.test", 443, &server);
    let outcome = kit.call().send(request("GET", "https://other.vendor.test/")).await;
    assert!(matches!(outcome, Err(Error::Tls(_))), "{outcome:?}");
    assert_eq!(server.requests().len(), 1);
    // A certificate that is not accepted is not tried four times.
    assert_eq!(server.connects(), 4);
}

#[tokio::test]
async fn what_is_no_http_is_malformed_and_too_many_headers_are_too_large() {
    let answer = |number, _: &str| match number {
        0 => Reply::Bytes(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        1 => {
            let lines: String = (0..100_000).map(|n| format!("x-{n}: y\r\n")).collect();
            Reply::Bytes(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes())
        }
        _ => reply(200, &[], &"x".repeat(2 << 20)),
    };
    let (kit, server) = vendor(Attributes::default(), answer).await;
    let call = kit.call();
    assert!(matches!(call.send(request("GET", URL)).await, Err(Error::Malformed(_))));
    let outcome = call.send(request("GET", URL)).await;
    assert!(matches!(outcome, Err(Error::TooLarge(_))), "{outcome:?}");
    let outcome = call.send(request("GET", URL)).await;
    assert!(matches!(outcome, Err(Error::TooLarge(_))), "{outcome:?}");
    assert_eq!(server.requests().len(), 3);
    assert_eq!(kit.rows()[2].status, Some(200));
}

#[tokio::test]
async fn head_and_304_have_no_body() {
    let answer = |number, _: &str| match number {
        0 => Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n".to_vec()),
        _ => Reply::Bytes(b"HTTP/1.1 304 X\r\nContent-Length: 5000\r\n\r\n".to_vec()),
    };
    let (mut kit, _server) = vendor(Attributes::default(), answer).await;
    kit.settings.rules = vec![("HEAD,GET https://api.vendor.test/**", Attributes::default())];
    let call = kit.call();
    assert_eq!(call.send(request("HEAD", URL)).await.unwrap().status, 200);
    assert_eq!(call.send(request("GET", URL)).await.unwrap().status, 304);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_lost_and_asked_again() {
    let answer = |number, _: &str| match number {
        0 => Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc".to_vec()),
        _ => reply(200, &[], "whole"),
    };
    let (kit, server) = vendor(Attributes::default(), answer).await;
    let response = kit.call().send(request("GET", URL)).await.unwrap();
    assert_eq!((response.body.as_ref(), server.requests().len()), (&b"whole"[..], 2));
}

#[tokio::test]
async fn http_2_through_alpn() {
    let (tls, authority) = acceptor(NAME, &[b"h2"]);
    let listener = crate::testing::listener().await;
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<Mutex<Vec<http::request::Parts>>> = Arc::default();
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(tls.accept(socket).await.unwrap()).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let number = {
                let mut kept = lock(&kept);
                kept.push(request.into_parts().0);
                kept.len()
            };
            let mut response = http::Response::builder().status(200);
            if number == 2 {
                for n in 0..1000 {
                    response = response.header(format!("x-{n}"), "y".repeat(200));
                }
            }
            let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
            stream.send_data("two".into(), true).unwrap();
        }
    });
    let mut kit = Kit::seeded(&[(RULE, slot("key"))]);
    kit.bearer("key", None);
    let server =
        Server { port, authority: Some(authority), requests: Arc::default(), connects: Arc::default() };
    kit.reach(NAME, 443, &server);
    let call = kit.call();
    let response = call.send(request("GET", URL)).await.unwrap();
    assert_eq!(response.body.as_ref(), b"two");
    let row = kit.rows().pop().unwrap();
    assert_eq!(row.protocol.as_deref(), Some("HTTP/2"));
    {
        let seen = lock(&seen);
        assert_eq!(seen[0].uri.to_string(), URL);
        assert_eq!(seen[0].headers["authorization"], format!("Bearer {SECRET}"));
        assert!(seen[0].headers.get("host").is_none());
    }
    let outcome = call.send(request("GET", URL)).await;
    assert!(matches!(outcome, Err(Error::Malformed(_) | Error::TooLarge(_))), "{outcome:?}");
    assert_eq!(lock(&seen).len(), 2, "not asked again");
}

#[tokio::test]
async fn a_rotated_secret_is_used_within_a_second_and_the_old_one_still_masked() {
    let (mut kit, server) = vendor(slot("key"), |_, _| reply(200, &[], &format!("old {SECRET}"))).await;
    kit.bearer("key", None);
    let call = kit.call();
    call.send(request("GET", URL)).await.unwrap();
    kit.secret("key", "sk_live_rotated_0123456789");
    kit.clock.advance(crate::limits::ATTACHMENT_AGE_MAX);
    let response = call.send(request("GET", URL)).await.unwrap();
    assert!(server.requests()[1].contains("Bearer sk_live_rotated_0123456789"));
    assert_eq!(response.body, format!("old {}", "*".repeat(SECRET.len())));
}

#[tokio::test]
async fn a_name_without_an_address_is_a_connect_error() {
    let kit = Kit::seeded(&[("GET https://localhost.invalid/**", Attributes::default())]);
    let outcome = kit.call().send(request("GET", "https://localhost.invalid/")).await;
    assert!(matches!(&outcome, Err(Error::Connect(text)) if !text.contains("localhost")), "{outcome:?}");
}

#[tokio::test]
async fn the_hosts_file_is_judged_like_any_answer() {
    let server = Server::tls("localhost", |_, _| reply(200, &[], "{}")).await;
    let rule: &'static str = format!("GET https://localhost:{}/**", server.port).leak();
    let url = format!("https://localhost:{}/", server.port);
    let mut kit = Kit::seeded(&[(rule, Attributes::default())]);
    let call = kit.call();
    let outcome = call.send(request("GET", &url)).await;
    denial(&call, outcome);
    assert_eq!(server.connects(), 0);
    let listed = ["127.0.0.1/32", "::1/128"].map(|range| range.parse().unwrap());
    kit.settings.network.addresses = AddressPolicy::new(listed.to_vec()).unwrap();
    kit.settings.network.ca_pem = server.authority.clone().map(String::into_bytes);
    assert_eq!(kit.call().send(request("GET", &url)).await.unwrap().status, 200);
}

/// Everything the process traces, at the finest level, as text.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_trace_holds_a_secret() {
    let traced = Traced::default();
    let writer = traced.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let answer = |number, _: &str| match number {
        0 => reply(200, &[&format!("X-Echo: {SECRET}")], SECRET),
        _ => Reply::Drop,
    };
    let (mut kit, server) = vendor(slot("key"), answer).await;
    let secret = kit.secret("key", SECRET);
    kit.bind("key", "vendor-live", Scheme::ApiKeyQuery { name: "api_key".to_owned(), secret }, None);
    let call = kit.call();
    call.send(request("GET", URL)).await.unwrap();
    let failed = call.send(request("GET", URL)).await.unwrap_err();
    assert!(server.requests().iter().all(|text| text.contains(SECRET)));
    let text = String::from_utf8_lossy(&lock(&traced.0)).into_owned();
    assert!(text.contains("it was masked"), "the trace is read at all");
    assert!(!text.contains(SECRET), "{text}");
    assert!(!format!("{failed:?} {failed} {:?}", kit.rows()).contains(SECRET));
}

/// Answers with the request's first line, once eight are there or five seconds are over.
fn together() -> impl Fn(usize, &str) -> Reply + Send + Sync {
    let here = AtomicU64::new(0);
    move |_, text| {
        here.fetch_add(1, Ordering::SeqCst);
        for _ in 0..500 {
            if here.load(Ordering::SeqCst) >= SEND_ALL_CONCURRENT_MAX as u64 {
                return reply(200, &[], text.lines().next().unwrap());
            }
            // The other tasks of this thread go on in another one.
            tokio::task::block_in_place(|| std::thread::park_timeout(Duration::from_millis(10)));
        }
        reply(500, &[], "alone")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
async fn several_at_once_are_answered_in_order() {
    let (kit, server) = vendor(Attributes::default(), together()).await;
    let requests: Vec<_> = (0..20).map(|n| request("GET", &format!("{URL}/{n}"))).collect();
    let answers = kit.call().send_all(requests).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.as_ref().unwrap().body, format!("GET /v1/items/{n} HTTP/1.1"));
    }
    assert_eq!((answers.len(), server.requests().len()), (20, 20));
    assert!(kit.call().send_all(Vec::new()).await.is_empty());
    let many = (0..=SEND_ALL_REQUESTS_MAX).map(|_| request("GET", URL)).collect();
    assert!(kit.call().send_all(many).await.iter().all(|one| matches!(one, Err(Error::Malformed(_)))));
    assert_eq!(server.requests().len(), 20);
}

#[tokio::test]
async fn each_of_several_keeps_its_key_whatever_ends_first() {
    let (kit, server) = vendor(keyed(), |_, _| reply(201, &[], "{}")).await;
    let posts = || (0..9).map(|n| with_body("POST", &format!("{URL}/{n}"), "{}")).collect::<Vec<_>>();
    let all = |outcomes: Vec<Result<Response, Error>>| assert!(outcomes.iter().all(Result::is_ok));
    all(kit.call().send_all(posts()).await);
    all(kit.call().send_all(posts()).await);
    let key =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap().to_owned();
    let mut seen = std::collections::BTreeMap::<String, std::collections::BTreeSet<String>>::new();
    for text in server.requests() {
        seen.entry(text.lines().next().unwrap().to_owned()).or_default().insert(key(&text));
    }
    assert!(seen.len() == 9 && seen.values().all(|keys| keys.len() == 1), "{seen:#?}");
    assert_eq!(seen.values().flatten().collect::<std::collections::BTreeSet<_>>().len(), 9, "{seen:#?}");
    // A single one after them has a place of its own.
    let call = kit.call();
    all(call.send_all(posts()).await);
    call.send(with_body("POST", &format!("{URL}/0"), "{}")).await.unwrap();
    let last = key(server.requests().last().unwrap());
    assert!(!seen.values().any(|keys| keys.contains(&last)));
}

#[tokio::test]
async fn the_bodies_of_several_are_bounded_together() {
    let body = "x".repeat((SEND_ALL_BODY_BYTES_MAX / 8) as usize);
    let (kit, _server) = vendor(Attributes::default(), move |_, _| reply(200, &[], &body)).await;
    let requests = |count| (0..count).map(|_| request("GET", URL)).collect();
    assert!(kit.call().send_all(requests(8)).await.iter().all(Result::is_ok));
    let answers = kit.call().send_all(requests(10)).await;
    let large = |one: &&Result<Response, Error>| matches!(one, Err(Error::TooLarge(SEND_ALL_BODY_BYTES_MAX)));
    assert_eq!(answers.iter().filter(large).count(), 2, "{answers:?}");
}

#[tokio::test]
async fn of_a_dry_run_nothing_leaves_that_may_have_an_effect() {
    let attributes = Attributes { credentials: slot("key").credentials, ..keyed() };
    let (mut kit, server) = vendor(attributes, |_, _| reply(200, &[], "{}")).await;
    kit.bearer("key", None);
    let context = CallContext { dry_run: true, ..kit.context() };
    let call = kit.egress.connection(kit.connection_settings()).unwrap().call(context);
    let posted = call.send(with_body("POST", URL, "{\"a\":1}")).await;
    assert!(matches!(posted, Err(Error::Withheld)), "{posted:?}");
    assert_eq!(server.connects(), 0);
    assert!(!call.has_unproven_effect());
    assert_eq!(lock(&kit.intents.begun).len(), 0, "an intent says that something was about to leave");
    assert_eq!(lock(&kit.intents.uses).len(), 0, "no secret was used");
    let (held, count) = call.withheld();
    assert_eq!((held.len(), count), (1, 1));
    assert_eq!(held[0].exchange.credential.as_deref(), Some("vendor-live"));
    assert_eq!(held[0].place.as_deref(), Some("header authorization"));
    assert!(held[0].exchange.idempotency_key.is_some() && !held[0].after_withheld);
    assert_eq!(kit.rows()[0].outcome, Outcome::Withheld);
    assert!(!format!("{held:?}").contains(SECRET));
    let form = Request { payload: Some(Payload::Multipart(Vec::new())), ..request("POST", URL) };
    assert!(matches!(call.open(form).await, Err(Error::Withheld)));
    let (held, count) = call.withheld();
    assert_eq!((held.len(), count, server.connects()), (2, 2, 0));
    assert!(held[1].after_withheld && held[1].exchange.request_bytes > 0);
    assert_eq!(call.send(request("GET", URL)).await.unwrap().status, 200);
    assert_eq!((server.requests().len(), lock(&kit.intents.uses).len()), (1, 1));
    kit.settings.revoked.store(true, std::sync::atomic::Ordering::SeqCst);
    let refused = call.send(with_body("POST", URL, "{}")).await;
    assert!(matches!(refused, Err(Error::Denied { .. })), "it would not leave: {refused:?}");
}

#[tokio::test]
async fn what_is_admitted_is_not_sent_and_counts_once() {
    let (mut kit, server) = vendor(Attributes::default(), |_, _| reply(200, &[], "{}")).await;
    kit.settings.requests_max = 2;
    let call = kit.call();
    call.admit(request("POST", URL)).await.unwrap();
    call.admit(request("GET", URL)).await.unwrap();
    assert_eq!((server.connects(), kit.rows().len(), call.requests()), (0, 0, 0));
    assert!(lock(&kit.intents.begun).is_empty());
    let outcome = call.admit(request("GET", "https://evil.test/")).await.map(|()| unreachable!());
    denial(&call, outcome);
    let smuggled = call.admit(with_header(request("GET", URL), "Authorization", "x")).await;
    assert!(matches!(smuggled, Err(Error::Denied { .. })), "{smuggled:?}");
    let over = call.admit(request("GET", URL)).await.map(|()| unreachable!());
    assert!(denial(&call, over).reason.contains("`requests`"), "those that were refused count");
    assert!(kit.rows().iter().all(|row| matches!(row.outcome, Outcome::Denied { .. })));
}
