//! The breaker against a model, and in its place in the pipeline.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::testing::{Kit, Script, request, response, state};
use proptest::prelude::*;

const URL: &str = "https://api.vendor.test/v1/items";

fn kit() -> Kit {
    Kit::seeded(&[("GET https://*.vendor.test/**", Default::default())])
}

fn connect() -> Result<Response, Failure> {
    Err(Failure::unsent(Error::Connect("refused".to_owned())).passing())
}

fn lost() -> Result<Response, Failure> {
    Err(Failure::sent(Error::Timeout))
}

/// Sends these answers' worth of attempts; which of them were let through.
async fn through(kit: &Kit, url: &str, answers: Vec<Result<Response, Failure>>) -> Vec<bool> {
    let state = state(kit);
    let mut passed = Vec::new();
    for answer in answers {
        let script = Script::new([answer]);
        let prepared = Arc::new(kit.prepared(&state, request("GET", url)));
        let outcome = Break::new(script.service()).call(Attempt::new(prepared, 1)).await;
        let shut = matches!(&outcome, Err(Failure { error: Error::RateLimited(_), unsent: true, .. }));
        assert_eq!(shut, script.asked() == 0, "{outcome:?}");
        passed.push(!shut);
    }
    passed
}

#[tokio::test]
async fn what_counts_as_a_failure() {
    let max = BREAKER_FAILURES_MAX as usize;
    let ok = |status| Ok(response(status, &[]));
    for failing in [connect, lost, || Ok(response(500, &[])), || Ok(response(503, &[]))] {
        let mut answers: Vec<_> = (0..max).map(|_| failing()).collect();
        answers.push(ok(200));
        let passed = through(&kit(), URL, answers).await;
        assert_eq!(passed.iter().filter(|passed| **passed).count(), max);
        assert!(!passed[max]);
    }
    // Refusals are answers; what never left shows nothing; one success wipes the count.
    for harmless in [
        || Ok(response(429, &[])),
        || Ok(response(404, &[])),
        || Err(Failure::denied("no", None)),
        || Err(Failure::unsent(Error::Timeout)),
        || Err(Failure::sent(Error::Cancelled)),
    ] {
        assert!(through(&kit(), URL, (0..3 * max).map(|_| harmless()).collect()).await.iter().all(|ok| *ok));
    }
    let mut answers: Vec<_> = (1..max).map(|_| connect()).collect();
    answers.push(ok(404));
    answers.extend((1..max).map(|_| lost()));
    answers.push(ok(200));
    assert!(through(&kit(), URL, answers).await.iter().all(|passed| *passed));
}

#[tokio::test]
async fn one_origin_and_no_other() {
    let (kit, max) = (kit(), BREAKER_FAILURES_MAX as usize);
    let state = state(&kit);
    for at in 0..max {
        let url = format!("{URL}/{at}?page={at}");
        let prepared = Arc::new(kit.prepared(&state, request("GET", &url)));
        let _failed = Break::new(Script::new([connect()]).service()).call(Attempt::new(prepared, 1)).await;
    }
    for (url, asked) in [(URL, 0), ("https://files.vendor.test/v1/items", 1)] {
        let script = Script::new([Ok(response(200, &[]))]);
        let prepared = Arc::new(kit.prepared(&state, request("GET", url)));
        let _outcome = Break::new(script.service()).call(Attempt::new(prepared, 1)).await;
        assert_eq!(script.asked(), asked, "{url}");
    }
}

#[test]
fn one_tries_and_the_others_wait() {
    let breaker = Arc::new(Breaker::default());
    let at = Duration::from_secs;
    for _ in 0..BREAKER_FAILURES_MAX {
        breaker.admit(at(0)).ok().unwrap().failed(at(0));
    }
    assert_eq!(breaker.admit(at(5)).err(), Some(BREAKER_PAUSE_MIN - at(5)));
    let one = breaker.admit(BREAKER_PAUSE_MIN).ok().unwrap();
    assert!(breaker.admit(BREAKER_PAUSE_MIN).is_err());
    // It was cancelled: another one may try.
    drop(one);
    let one = breaker.admit(BREAKER_PAUSE_MIN).ok().unwrap();
    one.failed(BREAKER_PAUSE_MIN);
    assert_eq!(breaker.admit(BREAKER_PAUSE_MIN).err(), Some(BREAKER_PAUSE_MIN * 2));
    let one = breaker.admit(BREAKER_PAUSE_MIN * 3).ok().unwrap();
    one.well();
    assert!((0..3).all(|_| breaker.admit(BREAKER_PAUSE_MIN * 3).is_ok()));
}

proptest! {
    /// As the sentence says it: open for the pause after so many failures in a row, the pause doubling.
    #[test]
    fn it_is_the_model(steps in proptest::collection::vec((0u64..40, 0u8..8), 0..400)) {
        let breaker = Arc::new(Breaker::default());
        let (mut now, mut failures, mut open) = (0, 0, None::<(u64, u64)>);
        for (seconds, answer) in steps {
            now += seconds;
            let at = Duration::from_secs(now);
            let admitted = breaker.admit(at);
            let shut = open.is_some_and(|(until, _)| now < until);
            prop_assert_eq!(admitted.is_err(), shut);
            let Ok(admitted) = admitted else { continue };
            if answer == 0 {
                admitted.well();
                (failures, open) = (0, None);
            } else {
                admitted.failed(at);
                failures += 1;
                let pause = match open {
                    Some((_, pause)) => Some((pause * 2).min(BREAKER_PAUSE_MAX.as_secs())),
                    None => (failures >= BREAKER_FAILURES_MAX).then_some(BREAKER_PAUSE_MIN.as_secs()),
                };
                open = pause.map(|pause| (now + pause, pause));
            }
        }
    }
}
