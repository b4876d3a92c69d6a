//! Breaker: after many failures in a row an origin is left alone for a while; then one attempt shows whether it is
//! well again. One a (connection, origin): no connection can cut another off a vendor.
//!
//! Why here: inside retry, so that each attempt counts, and around what an attempt spends, so that an open one costs
//! neither budget nor rate. A failure is a lost answer, no connection, or 5xx: a 4xx shows an origin that works.
use crate::{
    Error, Response,
    limits::{BREAKER_FAILURES_MAX, BREAKER_PAUSE_MAX, BREAKER_PAUSE_MIN, BREAKERS_MAX},
    prepared::Attempt,
    service::{Answering, Failure, Inner},
    state::lock,
};
use portcullis_grants::CanonicalUrl;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

/// One origin's.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    /// Open: until when, in monotonic time, and how long this time. After that one attempt may try.
    open: Option<(Duration, Duration)>,
    /// Somebody tries.
    trying: bool,
}

impl Breaker {
    /// Lets an attempt through, or says for how long none goes.
    fn admit(self: &Arc<Self>, now: Duration) -> Result<Admitted, Duration> {
        let mut state = lock(&self.state);
        match state.open {
            Some((until, _)) if now < until => return Err(until - now),
            // The one that tries has not come back.
            Some(_) if state.trying => return Err(BREAKER_PAUSE_MIN),
            Some(_) => state.trying = true,
            None => {}
        }
        Ok(Admitted { breaker: Arc::clone(self), tries: state.open.is_some() })
    }

    /// Nothing is known of it that has to be kept.
    fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        state.failures == 0 && state.open.is_none()
    }
}

/// An attempt that was let through. Dropped without a word (cancelled), it shows nothing.
struct Admitted {
    breaker: Arc<Breaker>,
    tries: bool,
}

impl Admitted {
    fn well(self) {
        *lock(&self.breaker.state) = State::default();
    }

    fn failed(self, now: Duration) {
        let mut state = lock(&self.breaker.state);
        state.failures = state.failures.saturating_add(1);
        let pause = match state.open {
            // One that had left before it opened says nothing new.
            Some(_) if !self.tries => return,
            Some((_, pause)) => pause.saturating_mul(2).min(BREAKER_PAUSE_MAX),
            None if state.failures < BREAKER_FAILURES_MAX => return,
            None => BREAKER_PAUSE_MIN,
        };
        state.open = Some((now.saturating_add(pause), pause));
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.tries {
            lock(&self.breaker.state).trying = false;
        }
    }
}

/// Those of a connection, by scheme, host and port.
#[derive(Debug, Default)]
pub(crate) struct Breakers(Mutex<HashMap<String, Arc<Breaker>>>);

impl Breakers {
    /// The origin's; none where a wildcard rule met more origins in trouble than are kept.
    fn of(&self, url: &CanonicalUrl) -> Option<Arc<Breaker>> {
        let whole = url.as_str();
        let path = url.path().len() + url.query().map_or(0, |query| query.len() + 1);
        let origin = &whole[..whole.len().saturating_sub(path)];
        let mut breakers = lock(&self.0);
        if let Some(breaker) = breakers.get(origin) {
            return Some(Arc::clone(breaker));
        }
        if breakers.len() >= BREAKERS_MAX {
            breakers.retain(|_, breaker| Arc::strong_count(breaker) > 1 || !breaker.is_idle());
        }
        if breakers.len() >= BREAKERS_MAX {
            return None;
        }
        Some(Arc::clone(breakers.entry(origin.to_owned()).or_default()))
    }
}

/// The layer.
#[derive(Clone)]
pub(crate) struct Break<S> {
    inner: S,
}

impl<S> Break<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Attempt, Response>> Service<Attempt> for Break<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let prepared = Arc::clone(&attempt.prepared);
        let Some(breaker) = prepared.call.connection.breakers.of(prepared.authorized.url()) else {
            return self.inner.call(attempt);
        };
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let admitted = breaker.admit(prepared.call.now()).map_err(open)?;
            let outcome = inner.call(attempt).await;
            match shows(&outcome) {
                Some(true) => admitted.well(),
                Some(false) => admitted.failed(prepared.call.now()),
                None => {}
            }
            outcome
        })
    }
}

/// What an attempt shows of its origin: that it works, that it does not, or nothing.
fn shows(outcome: &Result<Response, Failure>) -> Option<bool> {
    let status = match outcome {
        Ok(response) => Some(response.status),
        Err(failure) => failure.status,
    };
    match (status, outcome) {
        (Some(status), _) => Some(status < 500),
        (None, Err(failure)) => match failure.error {
            Error::Connect(_) | Error::Tls(_) => Some(false),
            // Before a byte was written, time ran out somewhere else.
            Error::Timeout if !failure.unsent => Some(false),
            Error::Malformed(_) if !failure.unsent => Some(false),
            _ => None,
        },
        (None, Ok(_)) => None,
    }
}

fn open(wait: Duration) -> Failure {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    Failure::unsent(Error::RateLimited(ms))
        .detail(format!("the circuit is open: {BREAKER_FAILURES_MAX} attempts in a row failed"))
}

#[cfg(test)]
mod tests;
