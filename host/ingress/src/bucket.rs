//! How many requests a route takes: a bucket that fills with time, told and not read.

use crate::limits::BURST;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Requests a second, with a burst above it.
pub(crate) struct Bucket {
    per_second: f64,
    state: Mutex<State>,
}

struct State {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// Full.
    pub(crate) fn new(per_second: f64) -> Self {
        let tokens = most(per_second);
        Self { per_second, state: Mutex::new(State { tokens, at: Duration::ZERO }) }
    }

    /// Takes one at this moment, or says after which time there is one.
    pub(crate) fn take(&self, now: Duration) -> Result<(), Duration> {
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
}
