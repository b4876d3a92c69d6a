//! Bound: whether this attempt may still be made at all, and how long it may take.
//!
//! Why here: directly inside the exchange log, which then tells how an attempt was cut short, and around all that
//! can wait. An approval that was revoked between two attempts stops the second one here.
use crate::{
    ConnectionSettings, Error, Response,
    pieces::{Pieces, Piecewise},
    prepared::Attempt,
    service::{Answering, Failure, Inner},
    state::CallState,
};
use bytes::Bytes;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::Instant;
use tower::Service;

/// The layer.
#[derive(Clone)]
pub(crate) struct Bound<S> {
    inner: S,
}

impl<S> Bound<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Attempt, Response>> Service<Attempt> for Bound<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let (prepared, trace) = (Arc::clone(&attempt.prepared), Arc::clone(&attempt.trace));
            let settings = &prepared.call.connection.settings;
            refuse_revoked(settings)?;
            // What has no time left is not begun: it would leave, and nobody would wait for its answer.
            let remaining = prepared.remaining();
            if remaining.is_zero() {
                return Err(Failure::unsent(Error::Timeout));
            }
            prepared.call.budget.spend(&settings.name, prepared.wire_bytes(), settings.bytes_out_max)?;
            let cut = |error| {
                let (dialled, status) = trace.note(|noted| (noted.dialled, noted.status));
                Failure { unsent: !dialled, status, ..Failure::unsent(error) }
            };
            tokio::select! {
                biased;
                () = prepared.call.cancelled() => Err(cut(Error::Cancelled)),
                outcome = tokio::time::timeout(remaining, inner.call(attempt)) => match outcome {
                    Ok(outcome) => outcome.map(|mut response| {
                        if let Some(inner) = response.pieces.take().map(Piecewise::into_inner) {
                            let until = Instant::now() + prepared.remaining();
                            let (call, status) = (Arc::clone(&prepared.call), response.status);
                            let bounded = Bounded { inner, call, status, until };
                            response.pieces = Some(Piecewise::new(bounded));
                        }
                        response
                    }),
                    Err(_) => Err(cut(Error::Timeout)),
                },
            }
        })
    }
}

/// A body whose pieces come before the request's time is over and the call is cancelled, or not at all.
struct Bounded {
    inner: Box<dyn Pieces>,
    call: Arc<CallState>,
    status: u16,
    until: Instant,
}

#[async_trait::async_trait]
impl Pieces for Bounded {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let cut = |error| Failure { status: Some(self.status), ..Failure::sent(error) };
        tokio::select! {
            biased;
            () = self.call.cancelled() => Err(cut(Error::Cancelled)),
            outcome = tokio::time::timeout_at(self.until, self.inner.next()) => match outcome {
                Ok(outcome) => outcome,
                Err(_) => Err(cut(Error::Timeout)),
            },
        }
    }
}

/// Asked here, before anything is spent on the attempt, and once more by `dial`, after every wait and before the first byte.
pub(crate) fn refuse_revoked(settings: &ConnectionSettings) -> Result<(), Failure> {
    if (settings.revoked)() {
        let reason = format!("approval was revoked: connection `{}` may send nothing more", settings.name);
        return Err(Failure::denied(reason, None));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
