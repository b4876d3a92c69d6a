//! Hops, and what goes along.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::testing::{Kit, SECRET, Server, reply, request, with_body};
use portcullis_grants::{Attributes, Redirect};
use std::time::Duration;

fn hop(status: u16, location: &str, request: Request) -> Result<Request, Failure> {
    next(&request, status, location.as_bytes())
}

const HERE: &str = "https://a.test/v1/items?page=1";

fn post() -> Request {
    let mut request = with_body("POST", HERE, "{}");
    for (name, value) in
        [("Accept", "a/b"), ("Content-Type", "a/b"), ("X-Mine", "1"), ("Authorization", "mine")]
    {
        request.headers.push((name.to_owned(), value.as_bytes().to_vec()));
    }
    (request.credential, request.idempotency_key) = (Some("key".to_owned()), Some("k".to_owned()));
    request
}

#[test]
fn what_goes_along() {
    fn check(status: u16, location: &str, method: &str, body: bool, headers: &[&str], chosen: (bool, bool)) {
        let next = hop(status, location, post()).unwrap();
        let names: Vec<_> = next.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((next.method.as_str(), next.body.is_some()), (method, body), "{status} {location}");
        assert_eq!(names, headers, "{status} {location}");
        assert_eq!(
            (next.credential.is_some(), next.idempotency_key.is_some()),
            chosen,
            "{status} {location}"
        );
    }
    let all = ["Accept", "Content-Type", "X-Mine", "Authorization"];
    check(307, "/x", "POST", true, &all, (true, true));
    check(308, "/x", "POST", true, &all, (true, true));
    for status in [301, 302, 303] {
        check(status, "/x", "GET", false, &["Accept", "X-Mine", "Authorization"], (true, false));
        check(status, "https://b.test/x", "GET", false, &["Accept"], (false, false));
    }
    // Another host, port or scheme is another origin.
    for other in ["https://b.test/x", "https://a.test:8443/x", "http://a.test/x", "//b.test/x"] {
        check(307, other, "POST", true, &["Accept", "Content-Type"], (false, false));
    }
    let put = || Request { method: "PUT".to_owned(), ..post() };
    assert_eq!(hop(302, "/x", put()).unwrap().method, "PUT");
    assert_eq!(hop(303, "/x", put()).unwrap().method, "GET");
    let head = Request { method: "HEAD".to_owned(), ..post() };
    assert_eq!(hop(303, "/x", head).unwrap().method, "HEAD");
    assert!(hop(302, "\\\\b.test/", post()).is_err());
    assert!(next(&post(), 302, b"\xff").is_err());
}

/// A vendor that leads from `/hop/N` to `/hop/N-1`, and from `/to/URL` to another place.
async fn kit(rules: &[(&'static str, Attributes)]) -> (Kit, Server) {
    let server = Server::tls("a.test", |_, text| {
        let path = text.split(' ').nth(1).unwrap_or_default();
        match path.strip_prefix("/hop/").and_then(|n| n.parse::<u32>().ok()) {
            Some(0) | None => reply(200, &[], &format!("at {path}")),
            Some(n) => reply(302, &[&format!("Location: /hop/{}", n - 1)], ""),
        }
    })
    .await;
    let mut kit = Kit::seeded(rules);
    kit.reach("a.test", 443, &server);
    (kit, server)
}

fn following() -> Attributes {
    Attributes { redirect: Redirect::Follow, ..Attributes::default() }
}

#[tokio::test]
async fn every_hop_is_a_request_and_their_number_is_bounded() {
    let (kit, server) = kit(&[("GET https://a.test/**", following())]).await;
    let response = kit.call().send(request("GET", "https://a.test/hop/3")).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"at /hop/0"[..]));
    assert_eq!((server.requests().len(), kit.rows().len()), (4, 4));
    let outcome = kit.call().send(request("GET", "https://a.test/hop/200")).await;
    assert!(matches!(&outcome, Err(Error::Malformed(text)) if text.contains("redirects")), "{outcome:?}");
    assert_eq!(server.requests().len(), 4 + 1 + REDIRECTS_MAX);
}

#[tokio::test]
async fn a_rule_that_does_not_say_so_hands_the_3xx_over() {
    let (kit, server) = kit(&[
        ("GET https://a.test/hop/1", following()),
        ("GET https://a.test/hop/2", Attributes::default()),
    ])
    .await;
    assert_eq!(kit.call().send(request("GET", "https://a.test/hop/2")).await.unwrap().status, 302);
    // The next hop is judged by the rules: nothing allows `/hop/0`.
    let outcome = kit.call().send(request("GET", "https://a.test/hop/1")).await;
    assert!(matches!(outcome, Err(Error::Denied { .. })), "{outcome:?}");
    assert_eq!(server.requests().len(), 2);
    let denied = kit.rows().into_iter().last().unwrap();
    assert!(
        denied.url.ends_with("/hop/0") && matches!(denied.outcome, crate::Outcome::Denied { .. }),
        "{denied:?}"
    );
}

#[tokio::test]
async fn the_credential_is_that_of_the_hop() {
    let with = |slots: &[&str]| Attributes {
        credentials: slots.iter().map(|s| (*s).to_owned()).collect(),
        ..following()
    };
    let rules = [("GET https://a.test/hop/1", with(&["key"])), ("GET https://a.test/hop/0", with(&[]))];
    let (mut kit, server) = kit(&rules).await;
    kit.bearer("key", None);
    kit.call().send(request("GET", "https://a.test/hop/1")).await.unwrap();
    let seen = server.requests();
    assert!(seen[0].contains(SECRET) && !seen[1].contains(SECRET), "{seen:?}");
    assert!(!seen[1].to_ascii_lowercase().contains("referer"), "{seen:?}");
}

#[tokio::test]
async fn all_hops_share_one_timeout() {
    // Each hop takes ten seconds of the clock that counts.
    let clock = Arc::new(std::sync::OnceLock::<portcullis_clock::SeededClock>::new());
    let ticking = Arc::clone(&clock);
    let server = Server::tls("a.test", move |number, _| {
        ticking.get().unwrap().advance(Duration::from_secs(10));
        reply(302, &[&format!("Location: /hop/{number}")], "")
    })
    .await;
    let mut kit = Kit::seeded(&[("GET https://a.test/**", following())]);
    assert!(clock.set(kit.clock.clone()).is_ok());
    kit.reach("a.test", 443, &server);
    kit.settings.timeout = Duration::from_secs(25);
    let mut asked = request("GET", "https://a.test/hop");
    asked.timeout = Some(Duration::from_secs(99));
    let outcome = kit.call().send(asked).await;
    assert!(matches!(outcome, Err(Error::Timeout)), "{outcome:?}");
    assert_eq!(server.requests().len(), 3);
}
