//! Whatever is searched for long takes its turn among all that is searched of one connection, and there are two at once.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    limits::{SCANNED_INLINE_BYTES_MAX, SCANNED_INLINE_SIGNS_MAX},
    testing::{Kit, Server, reply, request, slot},
};
use portcullis_grants::{Attributes, FromResponse, ManifestRule};
use std::time::Duration;

const NAME: &str = "api.vendor.test";

/// Slow headers, a slow body, or a long one that names a URL.
async fn vendor() -> Server {
    Server::tls(NAME, |_, text| {
        let slow = "%".repeat(SCANNED_INLINE_SIGNS_MAX + 1);
        let long = format!("{{\"url\":\"{}\"}}", "x".repeat(SCANNED_INLINE_BYTES_MAX));
        match text.split(' ').nth(1).unwrap_or_default() {
            "/v1/headers" => reply(200, &[&format!("X-A: {slow}")], "ok"),
            "/v1/named" => reply(200, &["Content-Type: application/json"], &long),
            _ => reply(200, &[], &slow),
        }
    })
    .await
}

/// Without a secret nothing is looked for but URLs.
fn kit(with_secret: bool) -> Kit {
    let attributes = if with_secret { slot("key") } else { Attributes::default() };
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/v1/**", attributes)]);
    if with_secret {
        kit.bearer("key", None);
    }
    kit.settings.from_response = vec![FromResponse {
        rule: ManifestRule {
            place: "http[1].from-response".to_owned(),
            rule: "GET https://api.vendor.test/files/**".parse().unwrap(),
            attributes: Attributes::default(),
            why: "test".to_owned(),
        },
        of: "GET https://api.vendor.test/v1/named".parse().unwrap(),
        at: vec!["/url".parse().unwrap()],
    }];
    kit
}

async fn ask(kit: &Kit, connection: &Arc<Connection>, path: &str, timeout: Duration) -> Result<(), Error> {
    let call = connection.call(kit.context());
    let mut asked = request("GET", &format!("https://api.vendor.test/v1/{path}"));
    asked.timeout = Some(timeout);
    if path != "pieces" {
        return call.send(asked).await.map(drop);
    }
    let mut body = call.open(asked).await?.1;
    while body.next().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn bodies_pieces_headers_and_named_urls_take_turns() {
    let server = vendor().await;
    for path in ["body", "pieces", "headers", "named"] {
        let mut kit = kit(path != "named");
        kit.reach(NAME, 443, &server);
        let [connection, other] = [(); 2].map(|()| kit.egress.connection(kit.connection_settings()).unwrap());
        let searches = Arc::clone(&connection.state.searches);
        assert_eq!(searches.available_permits(), 2);
        let both = searches.acquire_many_owned(2).await.unwrap();
        let in_vain = ask(&kit, &connection, path, Duration::from_millis(500)).await;
        assert!(matches!(in_vain, Err(Error::Timeout)), "{path}: {in_vain:?}");
        let long = Duration::from_secs(20);
        ask(&kit, &other, path, long).await.expect("another connection has turns of its own");
        drop(both);
        ask(&kit, &connection, path, long).await.expect("its turn comes");
    }
}
