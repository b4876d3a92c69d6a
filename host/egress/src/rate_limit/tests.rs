//! The bucket against a seeded clock.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::testing::{Kit, Script, request, response, slot, state};
use proptest::prelude::*;

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A bucket of one connection that asks for this rate.
fn bucket(per_second: Option<f64>) -> Share {
    Share::of(&Arc::new(Bucket::new(Duration::ZERO)), per_second)
}

#[test]
fn a_burst_of_a_second_then_the_rate() {
    let Share { bucket, .. } = &bucket(Some(2.0));
    let waits: Vec<_> = (0..5).map(|_| bucket.take(Duration::ZERO, WAIT_MAX).unwrap().as_millis()).collect();
    assert_eq!(waits, [0, 0, 500, 1000, 1500]);
    assert_eq!(bucket.take(seconds(10.0), WAIT_MAX), Ok(Duration::ZERO));
}

#[test]
fn a_wait_that_is_too_long_takes_no_token() {
    let Share { bucket, .. } = &bucket(Some(0.1));
    assert_eq!(bucket.take(Duration::ZERO, WAIT_MAX), Ok(Duration::ZERO));
    assert_eq!(bucket.take(Duration::ZERO, seconds(5.0)), Err(seconds(10.0)));
    assert_eq!(bucket.take(Duration::ZERO, WAIT_MAX), Ok(seconds(10.0)));
}

#[test]
fn emptied_it_stays_shut_until_then() {
    for rate in [None, Some(1000.0)] {
        let Share { bucket, .. } = &bucket(rate);
        bucket.empty(seconds(1.0), seconds(3.0));
        let wait = bucket.take(seconds(2.0), WAIT_MAX).unwrap();
        assert!(wait >= seconds(2.0) && wait < seconds(2.01), "{wait:?}");
        bucket.empty(seconds(2.0), seconds(60.0));
        assert!(bucket.take(seconds(2.0), WAIT_MAX).is_err());
        // A later, shorter wish does not open it earlier.
        bucket.empty(seconds(2.0), Duration::ZERO);
        assert!(bucket.take(seconds(2.0), WAIT_MAX).is_err());
        assert!(bucket.take(seconds(70.0), WAIT_MAX).unwrap() < seconds(0.01));
    }
}

#[test]
fn of_different_rates_the_smallest_holds_for_all_that_share() {
    let bucket = Arc::new(Bucket::new(Duration::ZERO));
    let waits = |now: f64| {
        (0..4).map(|_| bucket.take(seconds(now), seconds(60.0)).unwrap().as_millis()).collect::<Vec<_>>()
    };
    let (_fast, _none) = (Share::of(&bucket, Some(100.0)), Share::of(&bucket, None));
    assert_eq!(waits(0.0), [0, 0, 0, 0]);
    let slow = Share::of(&bucket, Some(0.5));
    assert_eq!(waits(10.0), [0, 2000, 4000, 6000]);
    assert_eq!(waits(20.0), [0, 2000, 4000, 6000]);
    // It counts for as long as its connection lives.
    drop(slow);
    assert_eq!(waits(100.0), [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_429_is_shared_by_connections_with_different_rates() {
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/**", slot("key"))]);
    kit.bearer("key", Some(100.0));
    let one = state(&kit);
    kit.bearer("key", Some(50.0));
    let other = state(&kit);
    let script = Script::new([Ok(response(429, &[("retry-after", "7")])), Ok(response(200, &[]))]);
    let attempt =
        |state| Attempt::new(Arc::new(kit.prepared(state, request("GET", "https://api.vendor.test/"))), 1);
    let mut layer = RateLimit::new(script.service());
    layer.call(attempt(&one)).await.unwrap();
    layer.call(attempt(&other)).await.unwrap();
    assert!(kit.clock.slept() >= Duration::from_secs(7), "{:?}", kit.clock.slept());
}

proptest! {
    #[test]
    fn never_more_than_the_rate_and_a_burst(rate in 0.5_f64..50.0, steps in prop::collection::vec(0_u64..400, 1..200)) {
        let Share { bucket, .. } = &bucket(Some(rate));
        let (mut now, mut uses) = (Duration::ZERO, Vec::new());
        for step in steps {
            now += Duration::from_millis(step);
            if let Ok(wait) = bucket.take(now, WAIT_MAX) {
                uses.push((now + wait).as_secs_f64());
            }
        }
        uses.sort_by(f64::total_cmp);
        for from in 0..uses.len() {
            for to in from..uses.len() {
                let allowed = rate.max(1.0) + (uses[to] - uses[from]) * rate;
                prop_assert!(((to - from + 1) as f64) <= allowed + 1.001, "{} in {}", to - from + 1, uses[to] - uses[from]);
            }
        }
    }
}

proptest! {
    /// As virtual scheduling says it (ITU-T I.371, the same bucket without a level): a theoretical arrival time that each
    /// taken token moves on by `1 / rate`, and that `empty` moves to the end of the pause.
    #[test]
    fn it_is_the_model(
        rate in 0.2_f64..50.0,
        steps in prop::collection::vec((0_u64..3_000, 0_u8..12, 0_u64..20), 1..200),
    ) {
        let Share { bucket, .. } = &bucket(Some(rate));
        let burst = rate.max(1.0);
        let (mut now, mut full_at, mut shut_until) = (0.0_f64, f64::NEG_INFINITY, 0.0_f64);
        for (millis, what, pause) in steps {
            now += millis as f64 / 1000.0;
            if what == 0 {
                bucket.empty(seconds(now), Duration::from_secs(pause));
                // What is promised to those who wait is owed on top of the pause.
                let level = (burst - (full_at - now.max(shut_until)) * rate).min(0.0);
                shut_until = shut_until.max(now + pause as f64);
                full_at = shut_until + (burst - level) / rate;
                continue;
            }
            let from = now.max(shut_until);
            let next = full_at.max(from) + 1.0 / rate;
            let wait = (next - burst / rate - now).max(from - now).max(0.0);
            match bucket.take(seconds(now), WAIT_MAX) {
                Ok(waited) => {
                    prop_assert!((waited.as_secs_f64() - wait).abs() < 1e-4, "{waited:?}, but {wait}");
                    full_at = next;
                }
                Err(long) => {
                    prop_assert!(long > WAIT_MAX && (long.as_secs_f64() - wait).abs() < 1e-4, "{long:?}, but {wait}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_429_empties_the_bucket_of_every_connection_that_shares_it() {
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/**", slot("key"))]);
    kit.bearer("key", Some(100.0));
    let (one, other) = (state(&kit), state(&kit));
    let script = Script::new([Ok(response(429, &[("retry-after", "7")])), Ok(response(200, &[]))]);
    let attempt =
        |state| Attempt::new(Arc::new(kit.prepared(state, request("GET", "https://api.vendor.test/"))), 1);
    let mut layer = RateLimit::new(script.service());
    layer.call(attempt(&one)).await.unwrap();
    assert_eq!(kit.clock.slept(), Duration::ZERO);
    layer.call(attempt(&other)).await.unwrap();
    assert!(kit.clock.slept() >= Duration::from_secs(7));
    assert!(kit.clock.slept() < Duration::from_millis(7100));
}

#[tokio::test]
async fn a_bucket_that_is_shut_for_long_refuses_without_asking() {
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/**", slot("key"))]);
    kit.bearer("key", None);
    let state = state(&kit);
    let script = Script::new([Ok(response(429, &[("retry-after", "60")]))]);
    let attempt =
        || Attempt::new(Arc::new(kit.prepared(&state, request("GET", "https://api.vendor.test/"))), 1);
    let mut layer = RateLimit::new(script.service());
    layer.call(attempt()).await.unwrap();
    let failure = layer.call(attempt()).await.unwrap_err();
    assert!(matches!(failure.error, Error::RateLimited(60_000)), "{failure:?}");
    assert!(failure.unsent);
    assert_eq!(script.asked(), 1);
}
