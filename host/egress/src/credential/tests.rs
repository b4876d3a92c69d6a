//! What is fetched again and when, and which secrets of a connection are looked for in its answers.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Error,
    testing::{Kit, Script, request, response, slot, state},
};
use portcullis_secrets::Scheme;

const RULE: &str = "GET https://api.vendor.test/**";
const URL: &str = "https://api.vendor.test/v1/items";

/// Two slots: `key`, which the rule lists, and `other`, which is scanned for alone.
fn kit() -> Kit {
    let mut kit = Kit::seeded(&[(RULE, slot("key"))]);
    for (slot, value) in [("key", "sk_live_first_0123"), ("other", "another_secret_0123")] {
        let secret = kit.secret(slot, value);
        kit.bind(slot, &format!("credential-{slot}"), Scheme::Bearer { secret }, None);
    }
    kit
}

/// A second later, `key` holds this.
fn rotated(kit: &Kit, value: &str) {
    kit.secret("key", value);
    kit.clock.advance(ATTACHMENT_AGE_MAX);
}

fn is_masked(needles: &Needles, secret: &str) -> bool {
    needles.mask_text(secret) == "*".repeat(secret.len())
}

#[tokio::test]
async fn what_is_fetched_again_and_when() {
    let kit = kit();
    let state = state(&kit);
    let (connection, held) = (&state.connection, &state.connection.attachments);
    let due = |used| held.due(connection, used);
    assert_eq!(due(Some("key")), ["key", "other"]);
    assert_eq!(due(None), ["key", "other"]);
    held.refresh(connection, "key").await.unwrap();
    let moment = Duration::from_millis(1);
    kit.clock.advance(ATTACHMENT_AGE_MAX - moment);
    assert_eq!((due(Some("key")), due(None)), (vec![], vec![]));
    kit.clock.advance(moment);
    assert_eq!(
        (due(Some("key")), due(Some("other")), due(None)),
        (vec!["key".to_owned()], vec!["other".to_owned()], vec![])
    );
    kit.clock.advance(SCANNED_AGE_MAX - ATTACHMENT_AGE_MAX - moment);
    assert_eq!(due(None), [""; 0]);
    kit.clock.advance(moment);
    assert_eq!(due(None), ["key", "other"]);
}

#[tokio::test]
async fn what_could_not_be_fetched_is_asked_for_again_where_it_is_used() {
    let kit = kit();
    std::fs::remove_file(kit.folder.path().join("key")).unwrap();
    let state = state(&kit);
    let (connection, held) = (&state.connection, &state.connection.attachments);
    let needles = held.refresh_scanned(connection).await;
    assert!(is_masked(&needles, "another_secret_0123") && !is_masked(&needles, "sk_live_first_0123"));
    assert_eq!(held.due(connection, None), [""; 0]);
    assert_eq!(held.due(connection, Some("key")), ["key"]);
    kit.secret("key", "sk_live_first_0123");
    let (attachment, needles) = held.refresh(connection, "key").await.unwrap();
    assert_eq!(attachment.header.as_ref().unwrap().1.expose(), b"Bearer sk_live_first_0123");
    assert!(is_masked(&needles, "sk_live_first_0123"));
}

#[tokio::test]
async fn so_many_predecessors_are_looked_for_and_the_oldest_goes_first() {
    let kit = kit();
    let state = state(&kit);
    let (connection, held) = (&state.connection, &state.connection.attachments);
    let secret = |number: usize| format!("sk_live_{number}_0123456789");
    for number in 0..=PREDECESSORS_MAX {
        rotated(&kit, &secret(number));
        let (attachment, _) = held.refresh(connection, "key").await.unwrap();
        assert_eq!(
            attachment.header.as_ref().unwrap().1.expose(),
            format!("Bearer {}", secret(number)).as_bytes()
        );
        // The same again is no predecessor of itself.
        rotated(&kit, &secret(number));
        held.refresh(connection, "key").await.unwrap();
    }
    for number in 0..=PREDECESSORS_MAX {
        assert!(is_masked(&held.needles(), &secret(number)), "{number}");
    }
    // Back and forth between two that are known: none of the others is forgotten.
    for number in [PREDECESSORS_MAX - 1, PREDECESSORS_MAX, PREDECESSORS_MAX - 1, PREDECESSORS_MAX] {
        rotated(&kit, &secret(number));
        held.refresh(connection, "key").await.unwrap();
    }
    assert!(!is_masked(&held.needles(), &secret(0)) && is_masked(&held.needles(), &secret(1)));
    rotated(&kit, &secret(PREDECESSORS_MAX + 1));
    held.refresh(connection, "key").await.unwrap();
    assert!(is_masked(&held.needles(), &secret(1)) && is_masked(&held.needles(), "another_secret_0123"));
    rotated(&kit, &secret(PREDECESSORS_MAX + 2));
    held.refresh(connection, "key").await.unwrap();
    assert!(!is_masked(&held.needles(), &secret(1)) && is_masked(&held.needles(), &secret(2)));
}

#[tokio::test]
async fn a_secret_that_is_gone_is_refused_in_words_and_still_looked_for() {
    let kit = kit();
    let state = state(&kit);
    let script = Script::new([Ok(response(200, &[]))]);
    let mut layer = AttachCredential::new(script.service());
    let prepared = || Arc::new(kit.prepared(&state, request("GET", URL)));
    layer.call(Attempt::new(prepared(), 1)).await.unwrap();
    std::fs::remove_file(kit.folder.path().join("key")).unwrap();
    kit.clock.advance(ATTACHMENT_AGE_MAX);
    let failure = layer.call(Attempt::new(prepared(), 2)).await.unwrap_err();
    let Error::Denied { denial, .. } = failure.error else { panic!("not denied") };
    let start = "credential `credential-key` of slot `key`: ";
    let words = denial.reason.strip_prefix(start).unwrap();
    let error = state.connection.attachments.refresh(&state.connection, "key").await.err().unwrap();
    assert_eq!(words, error.to_string());
    assert!(is_masked(&state.connection.attachments.needles(), "sk_live_first_0123"));
    assert_eq!(script.asked(), 1, "nothing leaves");
}

#[tokio::test]
async fn a_secret_that_is_scanned_for_alone_may_be_gone() {
    let kit = kit();
    std::fs::remove_file(kit.folder.path().join("other")).unwrap();
    let state = state(&kit);
    let (connection, held) = (&state.connection, &state.connection.attachments);
    let (attachment, needles) = held.refresh(connection, "key").await.unwrap();
    assert!(attachment.header.is_some() && is_masked(&needles, "sk_live_first_0123"));
}

#[test]
fn causes_follow_an_error() {
    let source = std::io::Error::other("the disk is gone");
    let error = SecretError::Unreadable { reference: "file:key".to_owned(), source };
    assert_eq!(chain(&error), "secret `file:key` can't be read: other error: the disk is gone");
}
