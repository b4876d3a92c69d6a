//! Rate limit: a token bucket per credential, shared by every connection that is bound to it. Where they ask for
//! different rates, the smallest holds for all. A 429 or a `Retry-After` empties it until then.
//!
//! Why here: inside retry, so that every attempt pays, and before the credential is fetched, so that a secret is
//! not held while waiting. A bucket belongs to a credential, not to a vendor's host: one hostile connector can cut
//! off those that share its credential, and no others.
use crate::{
    Error, Response,
    limits::WAIT_MAX,
    prepared::Attempt,
    retry::retry_after,
    service::{Answering, Failure, Inner},
    state::lock,
};
use std::{
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

/// One credential's budget.
#[derive(Debug)]
pub(crate) struct Bucket {
    state: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    /// What the living connections ask for; the smallest counts.
    rates: Vec<f64>,
    /// Below zero: that many are promised to those who wait. Infinite: full, whatever the rate will be.
    tokens: f64,
    /// Monotonic time of `tokens`; in the future while the bucket is shut.
    at: Duration,
}

impl Level {
    fn rate(&self) -> Option<f64> {
        self.rates.iter().copied().min_by(f64::total_cmp)
    }

    /// What was gained since the last time.
    fn gain(&mut self, rate: f64, now: Duration) {
        if now > self.at {
            let gained = (now - self.at).as_secs_f64() * rate;
            self.tokens = (self.tokens + gained).min(rate.max(1.0));
            self.at = now;
        }
    }
}

/// What one connection holds of a credential's bucket: its rate counts for as long as the connection lives.
#[derive(Debug)]
pub(crate) struct Share {
    /// The bucket.
    pub bucket: Arc<Bucket>,
    rate: Option<f64>,
}

impl Share {
    /// Joins. A rate that is no rate asks for none.
    pub fn of(bucket: &Arc<Bucket>, per_second: Option<f64>) -> Self {
        let rate = per_second.filter(|rate| rate.is_finite() && *rate > 0.0);
        if let Some(rate) = rate {
            let mut level = lock(&bucket.state);
            level.rates.push(rate);
            level.tokens = level.tokens.min(rate.max(1.0));
        }
        Self { bucket: Arc::clone(bucket), rate }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(rate) = self.rate else { return };
        let mut level = lock(&self.bucket.state);
        if let Some(at) = level.rates.iter().position(|known| *known == rate) {
            level.rates.swap_remove(at);
        }
    }
}

impl Bucket {
    /// Full. Without a rate it only ever shuts.
    pub fn new(now: Duration) -> Self {
        Self { state: Mutex::new(Level { rates: Vec::new(), tokens: f64::INFINITY, at: now }) }
    }

    /// Takes a token that may be used after the wait that is returned, or none where that wait is longer than
    /// `wait_max`, and returns the wait as the error.
    pub fn take(&self, now: Duration, wait_max: Duration) -> Result<Duration, Duration> {
        let mut level = lock(&self.state);
        let shut = level.at.saturating_sub(now);
        let Some(rate) = level.rate() else {
            return if shut > wait_max { Err(shut) } else { Ok(shut) };
        };
        level.gain(rate, now);
        let missing = (1.0 - level.tokens).max(0.0) / rate;
        let wait = shut.saturating_add(Duration::try_from_secs_f64(missing).unwrap_or(Duration::MAX));
        if wait > wait_max {
            return Err(wait);
        }
        level.tokens -= 1.0;
        Ok(wait)
    }

    /// Nothing more until `wait` from now has passed.
    pub fn empty(&self, now: Duration, wait: Duration) {
        let mut level = lock(&self.state);
        // First: the time that passed has paid for those who wait.
        if let Some(rate) = level.rate() {
            level.gain(rate, now);
        }
        level.tokens = level.tokens.min(0.0);
        level.at = level.at.max(now.saturating_add(wait));
    }
}

/// The layer.
#[derive(Clone)]
pub(crate) struct RateLimit<S> {
    inner: S,
}

impl<S> RateLimit<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Attempt, Response>> Service<Attempt> for RateLimit<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let prepared = Arc::clone(&attempt.prepared);
        let slot = prepared.authorized.credential();
        let share = slot.and_then(|slot| prepared.call.connection.buckets.get(slot));
        let Some(bucket) = share.map(|share| Arc::clone(&share.bucket)) else {
            return self.inner.call(attempt);
        };
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let egress = prepared.call.egress();
            match bucket.take(egress.clock.monotonic(), WAIT_MAX.min(prepared.remaining())) {
                Ok(Duration::ZERO) => {}
                Ok(wait) => egress.clock.sleep(wait).await,
                Err(wait) => {
                    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                    return Err(Failure::unsent(Error::RateLimited(ms))
                        .detail("the credential's rate budget is used up"));
                }
            }
            let outcome = inner.call(attempt).await;
            if let Ok(response) = &outcome {
                let asked = retry_after(response, egress.clock.now());
                if response.status == 429 || asked.is_some() {
                    bucket.empty(egress.clock.monotonic(), asked.unwrap_or_default());
                }
            }
            outcome
        })
    }
}

#[cfg(test)]
mod tests;
