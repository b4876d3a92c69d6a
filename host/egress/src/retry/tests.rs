//! What is sent again, and when, over a scripted inner service.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::testing::{Kit, Script, keyed, request, response, state, with_body};
use portcullis_clock::SeededRandom;
use portcullis_grants::Attributes;
use proptest::prelude::*;

const URL: &str = "https://api.vendor.test/v1/items";

fn kit() -> Kit {
    Kit::seeded(&[
        ("GET,PUT,DELETE https://api.vendor.test/**", Attributes::default()),
        ("POST https://api.vendor.test/v1/items", Attributes::default()),
        ("POST https://api.vendor.test/v1/keyed", keyed()),
        ("POST https://api.vendor.test/v1/search", Attributes { safe: true, ..Attributes::default() }),
    ])
}

fn refused() -> Result<Response, Failure> {
    Err(Failure::unsent(Error::Connect("could not connect".to_owned())).passing())
}

fn lost() -> Result<Response, Failure> {
    Err(Failure::sent(Error::Connect("lost".to_owned())).passing())
}

async fn sent(
    kit: &Kit,
    method: &str,
    url: &str,
    answers: Vec<Result<Response, Failure>>,
) -> (Result<Response, Failure>, usize) {
    let script = Script::new(answers);
    let prepared = Arc::new(kit.prepared(&state(kit), with_body(method, url, "{}")));
    let outcome = Retry::new(script.service()).call(prepared).await;
    (outcome, script.asked())
}

async fn check(method: &str, path: &str, first: fn() -> Result<Response, Failure>, again: bool) {
    let kit = kit();
    let url = format!("https://api.vendor.test/v1/{path}");
    let (_, asked) = sent(&kit, method, &url, vec![first(), Ok(response(200, &[]))]).await;
    assert_eq!(asked, if again { 2 } else { 1 }, "{method} {path}");
}

#[tokio::test]
async fn sent_again_only_in_the_four_cases() {
    // (a) No byte was written: whatever the method.
    check("POST", "items", refused, true).await;
    check("GET", "items", refused, true).await;
    // (b) The answer proves that it was refused.
    check("POST", "items", || Ok(response(429, &[])), true).await;
    // (c) Safe or idempotent, by method or by the rule.
    for method in ["GET", "PUT", "DELETE"] {
        check(method, "items", lost, true).await;
        check(method, "items", || Ok(response(502, &[])), true).await;
        check(method, "items", || Ok(response(503, &[])), true).await;
        check(method, "items", || Ok(response(504, &[])), true).await;
    }
    check("POST", "search", lost, true).await;
    // (d) The rule has idempotency.
    check("POST", "keyed", lost, true).await;
    check("POST", "keyed", || Ok(response(503, &[])), true).await;
    // Nothing else.
    check("POST", "items", lost, false).await;
    check("POST", "items", || Ok(response(502, &[])), false).await;
    check("POST", "items", || Ok(response(503, &[])), false).await;
    check("POST", "items", || Ok(response(503, &[("retry-after", "1")])), false).await;
    check("GET", "items", || Ok(response(500, &[])), false).await;
    check("GET", "items", || Ok(response(401, &[])), false).await;
    check("GET", "items", || Ok(response(302, &[])), false).await;
    check("GET", "items", || Err(Failure::sent(Error::Malformed("x".to_owned()))), false).await;
    check("GET", "items", || Err(Failure::denied("x", None)), false).await;
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for() {
    let kit = kit();
    let (outcome, asked) =
        sent(&kit, "GET", URL, vec![Ok(response(429, &[("retry-after", "3")])), Ok(response(200, &[]))])
            .await;
    assert_eq!((outcome.unwrap().status, asked), (200, 2));
    assert!(kit.clock.slept() >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_long_one_goes_to_the_engine() {
    let kit = kit();
    let (outcome, asked) = sent(&kit, "GET", URL, vec![Ok(response(429, &[("retry-after", "11")]))]).await;
    let failure = outcome.unwrap_err();
    assert!(matches!(failure.error, Error::RateLimited(11_000)), "{failure:?}");
    assert_eq!((asked, failure.status, failure.recorded), (1, Some(429), true));
    assert_eq!(kit.clock.slept(), Duration::ZERO);
}

/// The last time included: the engine learns when to come back.
#[tokio::test]
async fn a_long_one_goes_to_the_engine_whichever_attempt_meets_it() {
    let kit = kit();
    let mut answers: Vec<_> = (1..ATTEMPTS_MAX).map(|_| Ok(response(429, &[]))).collect();
    answers.push(Ok(response(429, &[("retry-after", "11")])));
    let (outcome, asked) = sent(&kit, "GET", URL, answers).await;
    assert!(matches!(outcome.unwrap_err().error, Error::RateLimited(11_000)));
    assert_eq!(asked, ATTEMPTS_MAX as usize);
}

#[tokio::test]
async fn a_wait_that_would_outlast_the_request_does_not_begin() {
    let mut kit = kit();
    kit.settings.timeout = Duration::ZERO;
    let (outcome, asked) = sent(&kit, "GET", URL, vec![lost(), Ok(response(200, &[]))]).await;
    assert!(matches!(outcome.unwrap_err().error, Error::Connect(_)));
    assert_eq!((asked, kit.clock.slept()), (1, Duration::ZERO));
}

#[tokio::test]
async fn attempts_end() {
    let kit = kit();
    let answers = (0..4).map(|_| Ok(response(429, &[]))).collect();
    let (outcome, asked) = sent(&kit, "GET", URL, answers).await;
    assert_eq!((outcome.unwrap().status, asked), (429, 4));
}

#[tokio::test]
async fn an_earlier_lost_answer_is_remembered() {
    let kit = kit();
    let script = Script::new([lost(), refused(), refused(), refused()]);
    let prepared =
        Arc::new(kit.prepared(&state(&kit), with_body("POST", "https://api.vendor.test/v1/keyed", "{}")));
    let outcome = Retry::new(script.service()).call(Arc::clone(&prepared)).await;
    assert!(outcome.is_err());
    assert!(prepared.lost.load(Ordering::SeqCst));
}

/// Sends a request with a key whose window ends two seconds from now.
async fn sent_in_window(
    answers: Vec<Result<Response, Failure>>,
) -> (Result<Response, Failure>, usize, Arc<Prepared>) {
    let kit = kit();
    let script = Script::new(answers);
    let url = "https://api.vendor.test/v1/keyed";
    let mut prepared = kit.prepared(&state(&kit), with_body("POST", url, "{}"));
    prepared.repeats_until = Some(prepared.call.now() + Duration::from_secs(2));
    let prepared = Arc::new(prepared);
    let outcome = Retry::new(script.service()).call(Arc::clone(&prepared)).await;
    (outcome, script.asked(), prepared)
}

#[tokio::test]
async fn what_only_a_key_allows_ends_with_its_window() {
    let long = |status: u16| Ok(response(status, &[("retry-after", "3")]));
    let short = |status: u16| Ok(response(status, &[("retry-after", "1")]));
    let done = || Ok(response(200, &[]));
    let (outcome, asked, _) = sent_in_window(vec![short(503), done()]).await;
    assert_eq!((outcome.unwrap().status, asked), (200, 2));
    // Refused so far: the next attempt repeats nothing, whatever the vendor forgot.
    let (outcome, asked, _) = sent_in_window(vec![long(429), done()]).await;
    assert_eq!((outcome.unwrap().status, asked), (200, 2));
    // An answer that is no refusal keeps its status; the rest stays unproven.
    let cases = [(vec![long(503), done()], Some(503)), (vec![lost(), long(429), done()], Some(429))];
    for (answers, status) in cases {
        let tries = answers.len() - 1;
        let (outcome, asked, _) = sent_in_window(answers).await;
        let failure = outcome.unwrap_err();
        let Error::Denied { denial, .. } = &failure.error else { panic!("{failure:?}") };
        assert!(denial.reason.contains("idempotency window"), "{}", denial.reason);
        assert_eq!((asked, failure.status, failure.unsent), (tries, status, false));
    }
    // An attempt that could not be made hides none that was lost.
    let answers = vec![lost(), refused(), long(429), done()];
    let (outcome, asked, prepared) = sent_in_window(answers).await;
    assert!(matches!(outcome.unwrap_err().error, Error::Denied { .. }));
    assert_eq!((asked, prepared.lost.load(Ordering::SeqCst)), (3, true));
}

#[tokio::test]
async fn cancelling_ends_the_wait() {
    let kit = kit();
    kit.cancel.send_replace(true);
    let (outcome, asked) = sent(&kit, "GET", URL, vec![refused()]).await;
    assert!(matches!(outcome.unwrap_err().error, Error::Cancelled));
    assert_eq!(asked, 1);
}

#[test]
fn retry_after_as_the_design_says() {
    let now = Timestamp::from_millis(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT
    let check = |value: &str, seconds: Option<u64>| {
        assert_eq!(parse_retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
    };
    check("0", Some(0));
    check("007", Some(7));
    check(" 120 ", Some(120));
    check("1000000000", Some(RETRY_AFTER_MAX.as_secs()));
    check("99999999999999999999999999", Some(RETRY_AFTER_MAX.as_secs()));
    check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10));
    check("Sunday, 06-Nov-94 08:49:47 GMT", Some(10));
    check("Sun, 06 Nov 1994 08:49:27 GMT", Some(0));
    check("Fri, 31 Dec 9999 23:59:59 GMT", Some(RETRY_AFTER_MAX.as_secs()));
    for absent in ["", " ", "-1", "+1", "1.5", "1e3", "0x10", "1 2", "soon", "\u{661}", "Sun, 06 Nov 1994"] {
        check(absent, None);
    }
}

proptest! {
    #[test]
    fn retry_after_is_never_beyond_its_cap(value in ".{0,40}", now in any::<i64>()) {
        let parsed = parse_retry_after(&value, Timestamp::from_millis(now));
        prop_assert!(parsed.is_none_or(|wait| wait <= RETRY_AFTER_MAX));
    }

    #[test]
    fn digits_are_seconds(seconds in 0_u64..3600) {
        let parsed = parse_retry_after(&seconds.to_string(), Timestamp::from_millis(0));
        prop_assert_eq!(parsed, Some(Duration::from_secs(seconds)));
        for prefix in ["-", "+", "."] {
            prop_assert_eq!(parse_retry_after(&format!("{prefix}{seconds}"), Timestamp::from_millis(0)), None);
        }
    }

    #[test]
    fn backoff_is_within_its_bound(seed in any::<u64>(), number in 1_u32..40) {
        let wait = backoff(&SeededRandom::new(seed), number);
        let bound = BACKOFF_BASE.saturating_mul(1 << (number - 1).min(16)).min(BACKOFF_MAX);
        prop_assert!(wait <= bound);
    }

    #[test]
    fn never_beyond_budget_nor_outside_the_cases(
        method in prop::sample::select(vec!["GET", "PUT", "DELETE", "POST"]),
        path in prop::sample::select(vec!["items", "keyed", "search"]),
        kinds in prop::collection::vec(0_usize..9, 8),
    ) {
        let path = if method == "POST" { path } else { "items" };
        let answer = |kind: &usize| match kind {
            0 => refused(),
            1 => lost(),
            2 => Ok(response(429, &[])),
            3 => Ok(response(503, &[("retry-after", "9")])),
            4 => Ok(response(502, &[])),
            5 => Ok(response(500, &[])),
            6 => Ok(response(200, &[])),
            7 => Err(Failure::denied("x", None)),
            _ => Ok(response(429, &[("retry-after", "9")])),
        };
        let kit = kit();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let url = format!("https://api.vendor.test/v1/{path}");
        let (_, asked) = runtime.block_on(sent(&kit, method, &url, kinds.iter().map(answer).collect()));
        prop_assert!(asked <= ATTEMPTS_MAX as usize);
        prop_assert!(kit.clock.slept() <= kit.settings.timeout);
        let repeatable = method != "POST" || path != "items";
        for kind in &kinds[..asked - 1] {
            let may = match kind { 0 | 2 | 8 => true, 1 | 3 | 4 => repeatable, _ => false };
            prop_assert!(may, "sent again after {kind}");
        }
    }
}

#[tokio::test]
async fn a_get_has_no_body_to_lose() {
    let kit = kit();
    let script = Script::new([Ok(response(200, &[]))]);
    let prepared = Arc::new(kit.prepared(&state(&kit), request("GET", URL)));
    assert!(Retry::new(script.service()).call(prepared).await.is_ok());
}
