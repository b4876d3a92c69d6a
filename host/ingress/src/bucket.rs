//! How many requests a route takes: buckets that fill with time, told and not read. One for what is proven, and one for each sender
//! before anything is: who proves nothing uses up nobody's rate but his own.

use crate::{
    limits::{BURST, SENDERS_MAX},
    room::of_one,
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The rate of a route.
pub(crate) struct Rate {
    all: Bucket,
    of: Mutex<HashMap<IpAddr, Bucket>>,
}

impl Rate {
    pub(crate) fn new(per_second: f64) -> Self {
        Self { all: Bucket::new(per_second), of: Mutex::default() }
    }

    /// Whether it fills as fast.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.all.per_second.to_bits() == other.all.per_second.to_bits()
    }

    /// For a request of which nothing is known but who sent it.
    pub(crate) fn ask(&self, sender: IpAddr, now: Duration) -> Result<(), Duration> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sender = of_one(sender);
        if of.len() >= SENDERS_MAX && !of.contains_key(&sender) {
            of.retain(|_, bucket| !bucket.is_full(now));
            if of.len() >= SENDERS_MAX {
                // All whom there is no room for are one.
                sender = Ipv4Addr::UNSPECIFIED.into();
            }
        }
        of.entry(sender).or_insert_with(|| Bucket::new(self.all.per_second)).take(now)
    }

    /// For one that is a delivery.
    pub(crate) fn take(&self, now: Duration) -> Result<(), Duration> {
        self.all.take(now)
    }
}

/// Requests a second, with a burst above it.
struct Bucket {
    per_second: f64,
    state: Mutex<State>,
}

struct State {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// Full.
    fn new(per_second: f64) -> Self {
        let tokens = most(per_second);
        Self { per_second, state: Mutex::new(State { tokens, at: Duration::ZERO }) }
    }

    /// Whether it is as a new one would be.
    fn is_full(&self, now: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_sub(state.at).as_secs_f64();
        state.tokens + passed * self.per_second >= most(self.per_second)
    }

    /// Takes one at this moment, or says after which time there is one.
    fn take(&self, now: Duration) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_sub(state.at).as_secs_f64();
        state.tokens = (state.tokens + passed * self.per_second).min(most(self.per_second));
        state.at = state.at.max(now);
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - state.tokens) / self.per_second;
        Err(Duration::try_from_secs_f64(missing).unwrap_or(Duration::MAX))
    }
}

fn most(per_second: f64) -> f64 {
    (per_second * BURST.as_secs_f64()).max(1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let bucket = Bucket::new(2.0);
        let start = Duration::from_secs(100);
        assert!((0..10).all(|_| bucket.take(start).is_ok()));
        assert_eq!(bucket.take(start), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(start + Duration::from_millis(500)), Ok(()));
        assert!(bucket.take(start + Duration::from_millis(600)).is_err());
        // Time that does not pass, or goes back, brings nothing.
        assert!(bucket.take(start).is_err());
        let later = start + Duration::from_secs(1_000);
        assert_eq!((0..20).filter(|_| bucket.take(later).is_ok()).count(), 10);
        // Less than one a second has a burst of one.
        let slow = Bucket::new(0.01);
        assert!(slow.take(start).is_ok() && slow.take(start).is_err());
    }

    #[test]
    fn who_proves_nothing_uses_up_his_own() {
        let (rate, start) = (Rate::new(1.0), Duration::from_secs(100));
        let sender = |number: u32| IpAddr::from(Ipv4Addr::from(number));
        assert_eq!((0..9).filter(|_| rate.ask(sender(1), start).is_ok()).count(), 5);
        assert!(rate.ask(sender(2), start).is_ok());
        assert_eq!((0..9).filter(|_| rate.take(start).is_ok()).count(), 5);
        // There are only so many senders; one whose bucket is full again is forgotten.
        for number in 0..u32::try_from(SENDERS_MAX).unwrap() * 2 {
            let _ = rate.ask(sender(number + 10), start);
        }
        assert!(rate.of.lock().unwrap().len() <= SENDERS_MAX + 1);
        assert!(rate.ask(sender(5), start).is_err(), "one of all whom there is no room for");
        assert!(rate.ask(sender(5), start + Duration::from_secs(1_000)).is_ok());
        assert_eq!(rate.of.lock().unwrap().len(), 1);
    }
}
