//! Keys and intents over a scripted inner service.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Error, Request,
    state::{CallState, lock},
    testing::{Kit, Script, ended, keyed, request, response, state, with_body},
};
use portcullis_grants::Attributes;

const PLAIN: &str = "https://api.vendor.test/v1/items";
const KEYED: &str = "https://api.vendor.test/v1/keyed";
const SEARCH: &str = "https://api.vendor.test/v1/search";

fn kit() -> Kit {
    Kit::seeded(&[
        ("GET https://api.vendor.test/**", Attributes::default()),
        ("POST,DELETE https://api.vendor.test/v1/items", Attributes::default()),
        ("POST,PUT https://api.vendor.test/v1/keyed", keyed()),
        ("POST https://api.vendor.test/v1/search", Attributes { safe: true, ..keyed() }),
    ])
}

/// Sends through the layer; the inner service marks the request as left, as `dial` does, and answers.
async fn sent(
    kit: &Kit,
    state: &Arc<CallState>,
    asked: Request,
    outcome: Result<Response, Failure>,
) -> (Result<Response, Failure>, Option<String>) {
    let script = Script::new([outcome]);
    let inner = Leaving(script.service());
    let outcome = Idempotency::new(inner).call(kit.prepared(state, asked)).await;
    let key = lock(&script.asked).first().and_then(|prepared: &Arc<Prepared>| prepared.additions.key.clone());
    (outcome, key)
}

#[derive(Clone)]
struct Leaving(crate::testing::Scripted<Arc<Prepared>>);

impl Service<Arc<Prepared>> for Leaving {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, prepared: Arc<Prepared>) -> Self::Future {
        prepared.leave();
        self.0.call(prepared)
    }
}

fn lost() -> Result<Response, Failure> {
    Err(Failure::sent(Error::Connect("lost".to_owned())))
}

#[tokio::test]
async fn safe_requests_leave_no_intent() {
    let kit = kit();
    let state = state(&kit);
    let (_, key) = sent(&kit, &state, request("GET", PLAIN), lost()).await;
    assert_eq!((key, lock(&kit.intents.begun).len()), (None, 0));
    assert_eq!(state.unproven.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_unsafe_one_is_durable_before_it_leaves_and_is_closed_after() {
    let kit = kit();
    let state = state(&kit);
    sent(&kit, &state, with_body("POST", PLAIN, "{}"), Ok(response(500, &[]))).await.0.unwrap();
    let begun = lock(&kit.intents.begun).clone();
    assert_eq!((begun[0].ordinal, begun[0].method.as_str(), begun[0].url.as_str()), (0, "POST", PLAIN));
    assert_eq!((begun[0].key.clone(), begun[0].repeatable), (None, false));
    // A 5xx is an answer.
    assert_eq!(*lock(&kit.intents.ended), [(0, ended(true, false, "status 500"))]);
    assert_eq!(state.unproven.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn without_a_durable_intent_nothing_is_sent() {
    let kit = kit();
    kit.intents.broken.store(true, Ordering::SeqCst);
    let state = state(&kit);
    let (outcome, _) = sent(&kit, &state, with_body("POST", PLAIN, "{}"), lost()).await;
    assert!(matches!(outcome.unwrap_err().error, Error::Denied { .. }));
    assert_eq!(state.unproven.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_lost_answer_is_unproven_with_a_key_too() {
    for url in [PLAIN, KEYED] {
        let kit = kit();
        let state = state(&kit);
        assert!(sent(&kit, &state, with_body("POST", url, "{}"), lost()).await.0.is_err());
        assert_eq!(state.unproven.load(Ordering::SeqCst), 1, "{url}");
        assert_eq!(*lock(&kit.intents.ended), [(0, ended(false, false, "connect"))]);
    }
}

#[tokio::test]
async fn the_url_of_an_intent_is_shortened_and_the_hash_is_of_the_whole() {
    let kit = kit();
    let state = state(&kit);
    let long = |end: &str| format!("https://api.vendor.test/v1/items?q={}{end}", "x".repeat(8_000));
    for (url, end) in [(long("1"), ""), (long("2"), ""), (PLAIN.to_owned(), "")] {
        sent(&kit, &state, with_body("POST", &url, end), Ok(response(400, &[]))).await.0.unwrap();
    }
    let begun = lock(&kit.intents.begun).clone();
    for (intent, url) in begun.iter().zip([long("1"), long("2")]) {
        let shown = intent.url.strip_suffix('…').expect("it is marked");
        assert!(intent.url.len() <= INTENT_URL_BYTES_MAX && url.starts_with(shown), "{}", intent.url);
        assert!(shown.len() > INTENT_URL_BYTES_MAX - 8);
    }
    assert_ne!(begun[0].request_hash, begun[1].request_hash);
    assert_eq!(begun[2].url, PLAIN);
}

#[tokio::test]
async fn what_never_left_is_proven() {
    let kit = kit();
    let state = state(&kit);
    let refused = Err(Failure::unsent(Error::Connect("refused".to_owned())));
    assert!(sent(&kit, &state, with_body("POST", PLAIN, "{}"), refused).await.0.is_err());
    assert_eq!(state.unproven.load(Ordering::SeqCst), 0);
    assert_eq!(*lock(&kit.intents.ended), [(0, ended(true, true, "connect"))]);
}

#[tokio::test]
async fn only_a_refusal_rules_an_effect_out() {
    let check = async |outcome: Result<Response, Failure>, refused: bool| {
        let kit = kit();
        let text = format!("{outcome:?}");
        let _ = sent(&kit, &state(&kit), with_body("POST", PLAIN, "{}"), outcome).await;
        let (_, end) = lock(&kit.intents.ended)[0].clone();
        assert_eq!((end.proven, end.refused), (true, refused), "{text}");
    };
    for (status, refused) in [(200, false), (303, false), (400, true), (404, true), (499, true), (500, false)]
    {
        check(Ok(response(status, &[])), refused).await;
        let broken = Failure::sent(Error::Malformed("x".to_owned()));
        check(Err(Failure { status: Some(status), ..broken }), refused).await;
    }
}

#[tokio::test]
async fn a_refusal_after_what_may_have_acted_rules_nothing_out() {
    let check = async |first: Result<Response, Failure>, refused: bool| {
        let kit = kit();
        let text = format!("{first:?}");
        let _ = sent(&kit, &state(&kit), request("DELETE", PLAIN), first).await;
        let _ = sent(&kit, &state(&kit), request("DELETE", PLAIN), Ok(response(404, &[]))).await;
        assert_eq!(lock(&kit.intents.ended)[1].1, ended(true, refused, "status 404"), "{text}");
    };
    // It worked, and its answer was lost: what it deleted is not found any more.
    check(lost(), false).await;
    check(Ok(response(503, &[])), false).await;
    check(Ok(response(429, &[])), true).await;
    check(Err(Failure::unsent(Error::Connect("refused".to_owned()))), true).await;
}

#[tokio::test]
async fn after_the_window_a_repetition_by_key_is_refused_and_unproven() {
    let window = keyed().idempotency.unwrap().window;
    let check = async |method: &str, url: &str, first: Result<Response, Failure>, age, again: bool| {
        let kit = kit();
        let _ = sent(&kit, &state(&kit), with_body(method, url, "{}"), first).await;
        *lock(&kit.intents.age) = age;
        let repeated = state(&kit);
        let script = Script::new([Ok(response(200, &[]))]);
        let mut layers = Idempotency::new(crate::retry::Retry::new(script.service()));
        let outcome = layers.call(kit.prepared(&repeated, with_body(method, url, "{}"))).await;
        assert_eq!(script.asked(), usize::from(again), "{method} {url} {age:?}");
        if !again {
            let Error::Denied { denial, .. } = outcome.unwrap_err().error else { panic!("not denied") };
            assert!(denial.reason.contains("window of 86400s in http[2].allow[0]"), "{}", denial.reason);
            assert_eq!(repeated.unproven.load(Ordering::SeqCst), 1);
            assert_eq!(lock(&kit.intents.ended)[1].1, ended(false, false, "denied"));
        }
    };
    let short = Duration::from_millis(1);
    check("POST", KEYED, lost(), window - short, true).await;
    check("POST", KEYED, lost(), window, false).await;
    check("POST", KEYED, Ok(response(200, &[])), window, false).await;
    // Nothing happened before: it is a first time, with a key or without.
    check("POST", KEYED, Ok(response(400, &[])), window, true).await;
    // Idempotent by itself, or harmless by its rule: the vendor need remember nothing.
    check("PUT", KEYED, lost(), window, true).await;
    check("POST", SEARCH, Ok(response(200, &[])), window, true).await;
}

#[tokio::test]
async fn derived_keys_differ_by_ordinal_and_hold_for_a_repetition() {
    let kit = kit();
    let (first, repeated) = (state(&kit), state(&kit));
    let ok = || Ok(response(200, &[]));
    let (_, a) = sent(&kit, &first, with_body("POST", KEYED, "{}"), ok()).await;
    let (_, b) = sent(&kit, &first, with_body("POST", KEYED, "{}"), ok()).await;
    let (_, again) = sent(&kit, &repeated, with_body("POST", KEYED, "{}"), ok()).await;
    assert_eq!(a.as_ref().unwrap().len(), 64);
    assert_ne!(a, b);
    assert_eq!(a, again);
}

#[tokio::test]
async fn a_repetition_is_sent_with_the_stored_key() {
    let kit = kit();
    let ask = |key: &str| Request { idempotency_key: Some(key.to_owned()), ..with_body("POST", KEYED, "{}") };
    let (_, key) = sent(&kit, &state(&kit), ask("first"), lost()).await;
    assert_eq!(key.as_deref(), Some("first"));
    let (_, key) = sent(&kit, &state(&kit), ask("second"), Ok(response(200, &[]))).await;
    assert_eq!(key.as_deref(), Some("first"));
}

#[tokio::test]
async fn other_bytes_are_refused_and_unproven() {
    let kit = kit();
    let _ = sent(&kit, &state(&kit), with_body("POST", KEYED, "{\"amount\":1}"), lost()).await;
    let repeated = state(&kit);
    let (outcome, key) = sent(&kit, &repeated, with_body("POST", KEYED, "{\"amount\":2}"), lost()).await;
    assert!(matches!(outcome.unwrap_err().error, Error::Denied { .. }));
    assert_eq!((key, repeated.unproven.load(Ordering::SeqCst)), (None, 1));
}

#[tokio::test]
async fn after_a_loss_only_an_answer_about_the_operation_settles() {
    for (status, proven) in [(200, true), (404, true), (409, false), (429, false), (500, false), (503, false)]
    {
        let kit = kit();
        let _ = sent(&kit, &state(&kit), with_body("POST", KEYED, "{}"), lost()).await;
        let repeated = state(&kit);
        let _ = sent(&kit, &repeated, with_body("POST", KEYED, "{}"), Ok(response(status, &[]))).await;
        assert_eq!(repeated.unproven.load(Ordering::SeqCst) == 0, proven, "{status}");
    }
}

#[tokio::test]
async fn a_key_that_no_rule_can_send_is_refused() {
    let kit = kit();
    let asked = Request { idempotency_key: Some("k".to_owned()), ..with_body("POST", PLAIN, "{}") };
    let (outcome, _) = sent(&kit, &state(&kit), asked, lost()).await;
    let Error::Denied { denial, .. } = outcome.unwrap_err().error else { panic!("not denied") };
    assert!(denial.remedy.unwrap().contains("idempotency = "));
}

#[tokio::test]
async fn idempotent_methods_are_repeatable() {
    let kit = kit();
    sent(&kit, &state(&kit), request("DELETE", PLAIN), Ok(response(204, &[]))).await.0.unwrap();
    assert!(lock(&kit.intents.begun)[0].repeatable);
}
