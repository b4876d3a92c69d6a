//! When a revocation is looked for.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use crate::{
    Error,
    testing::{Kit, Server, reply, request},
};
use portcullis_grants::Attributes;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Sends one request while the approval is revoked after it was asked for `times` times.
async fn revoked_after(times: usize) -> (bool, usize) {
    let server = Server::tls("api.vendor.test", |_, _| reply(200, &[], "{}")).await;
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/**", Attributes::default())]);
    kit.reach("api.vendor.test", 443, &server);
    let asked = AtomicUsize::new(0);
    let mut settings = kit.connection_settings();
    settings.revoked = Arc::new(move || asked.fetch_add(1, Ordering::SeqCst) >= times);
    let call = kit.egress.connection(settings).unwrap().call(kit.context());
    let outcome = call.send(request("GET", "https://api.vendor.test/")).await;
    if let Err(error) = &outcome {
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        assert!(call.denials()[0].1.reason.contains("revoked"), "{:?}", call.denials());
    }
    (outcome.is_ok(), server.connects())
}

#[tokio::test]
async fn a_revocation_that_comes_while_an_attempt_waits_stops_it_before_its_first_byte() {
    assert_eq!(revoked_after(0).await, (false, 0));
    // After the attempt began: all its waits (rate limit, secret, lookup) lie between the two.
    assert_eq!(revoked_after(1).await, (false, 0));
    assert_eq!(revoked_after(2).await, (true, 1));
}
