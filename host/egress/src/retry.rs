//! Retry: full-jitter exponential backoff within a budget of attempts and time (RFC 9110 sections 9.2.2, 10.2.3).
//!
//! Why here: inside idempotency, so that every attempt carries the same key, and outside all that an attempt must
//! do anew: look whether the approval was revoked, pay the rate limit, fetch the credential, check the address.
//! This is the only place that sends anything again; the transport's own retries are off. (hyper itself takes
//! another connection where a pooled one closed before a byte of the request was written, which is case (a).)
//!
//! A request is sent again only if
//! (a) no byte of it was written: resolve, connect or TLS failed;
//! (b) the answer proves that it was refused: 429;
//! (c) its method is safe or idempotent, or its rule says `safe = true`; or
//! (d) its rule has `idempotency`.
//! For (c) and (d) that is after a lost answer, 502, 503 or 504. What (d) alone allows ends with the rule's window.
use crate::{
    Error, Response,
    idempotency::{is_refusal, refuse_after_window, status, unsent},
    limits::{ATTEMPTS_MAX, BACKOFF_BASE, BACKOFF_MAX, RETRY_AFTER_MAX, WAIT_MAX},
    prepared::{Attempt, Prepared},
    service::{Again, Answering, Failure, Inner},
};
use portcullis_clock::{Random, Timestamp};
use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tower::Service;

/// The layer.
#[derive(Clone)]
pub(crate) struct Retry<S> {
    inner: S,
}

impl<S> Retry<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Attempt, Response>> Service<Arc<Prepared>> for Retry<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, prepared: Arc<Prepared>) -> Self::Future {
        let mut inner = self.inner.clone();
        Box::pin(async move { send(&mut inner, prepared).await })
    }
}

async fn send<S: Inner<Attempt, Response>>(
    inner: &mut S,
    prepared: Arc<Prepared>,
) -> Result<Response, Failure> {
    let authorized = &prepared.authorized;
    let repeatable = authorized.is_safe()
        || authorized.method().is_idempotent()
        || authorized.attributes().idempotency.is_some();
    let egress = prepared.call.egress();
    let mut number = 1;
    // The first attempt here may repeat one of an earlier attempt of the call.
    refuse_after_window(&prepared)?;
    loop {
        let outcome = inner.call(Attempt::new(Arc::clone(&prepared), number)).await;
        let asked = outcome.as_ref().ok().and_then(|response| retry_after(response, egress.clock.now()));
        let verdict = judge(&outcome, repeatable, asked, number);
        let wait = match verdict {
            Verdict::End => return outcome,
            Verdict::Again => backoff(&*egress.random, number).max(asked.unwrap_or_default()),
        };
        let too_long_here =
            |asked: Duration| asked > WAIT_MAX || (!asked.is_zero() && asked >= prepared.remaining());
        if asked.is_some_and(too_long_here) {
            return Err(too_long(asked.unwrap_or_default(), &outcome));
        }
        if wait >= prepared.remaining() {
            return outcome;
        }
        tokio::select! {
            biased;
            () = prepared.call.cancelled() => return Err(cancelled(&outcome)),
            () = egress.clock.sleep(wait) => {}
        }
        remember(&prepared, &outcome);
        if let Err(late) = refuse_after_window(&prepared) {
            return Err(Failure { unsent: unsent(&outcome), status: status(&outcome), ..late });
        }
        number += 1;
    }
}

/// Keeps what an attempt that is followed by another may have done.
fn remember(prepared: &Prepared, outcome: &Result<Response, Failure>) {
    match status(outcome) {
        Some(status) if is_refusal(status) => {}
        Some(_) => prepared.acted.store(true, Ordering::SeqCst),
        None if unsent(outcome) => {}
        None => prepared.lost.store(true, Ordering::SeqCst),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    End,
    Again,
}

/// Cases (a) to (d), and nothing else.
fn judge(
    outcome: &Result<Response, Failure>,
    repeatable: bool,
    asked: Option<Duration>,
    number: u32,
) -> Verdict {
    let may_repeat = match outcome {
        Ok(response) => match response.status {
            429 => true,
            502..=504 => repeatable,
            _ => false,
        },
        Err(failure) => failure.again == Again::Passing && (failure.unsent || repeatable),
    };
    // A vendor that asks for a longer wait than happens here is not asked again, the last time included.
    let long = asked.is_some_and(|asked| asked > WAIT_MAX);
    if may_repeat && (long || number < ATTEMPTS_MAX) { Verdict::Again } else { Verdict::End }
}

/// The vendor asked for more patience than this layer has. The row of the answer is in the log already.
fn too_long(asked: Duration, outcome: &Result<Response, Failure>) -> Failure {
    let ms = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
    with_status(Error::RateLimited(ms), outcome)
}

fn cancelled(outcome: &Result<Response, Failure>) -> Failure {
    with_status(Error::Cancelled, outcome)
}

/// Ends the request with another error than the last attempt's, and keeps what that one proved.
fn with_status(error: Error, outcome: &Result<Response, Failure>) -> Failure {
    let (unsent, status) = (unsent(outcome), status(outcome));
    Failure { error, detail: None, unsent, status, again: Again::Never, recorded: true }
}

/// Between nothing and a bound that doubles with each attempt (full jitter).
pub(crate) fn backoff(random: &dyn Random, number: u32) -> Duration {
    let bound = BACKOFF_BASE.saturating_mul(1_u32 << (number - 1).min(16)).min(BACKOFF_MAX);
    let mut bytes = [0_u8; 8];
    random.fill(&mut bytes);
    let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(u64::from_le_bytes(bytes) % (micros + 1))
}

/// What a 429 or 503 asks for: whole seconds or an HTTP date, capped; a date in the past is 0; anything else
/// (negative, signed, fractional) is as if absent.
pub(crate) fn retry_after(response: &Response, now: Timestamp) -> Option<Duration> {
    if !matches!(response.status, 429 | 503) {
        return None;
    }
    let (_, value) = response.headers.iter().find(|(name, _)| name == "retry-after")?;
    parse_retry_after(std::str::from_utf8(value).ok()?, now)
}

fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if value.is_empty() {
        return None;
    }
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit is more than the cap.
        let seconds = value.parse::<u64>().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let since_epoch = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let at = Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).ok()?);
    Some(at.since(now).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
