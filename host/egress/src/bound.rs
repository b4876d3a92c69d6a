//! Bound: whether this attempt may still be made at all, and how long it may take.
//!
//! Why here: directly inside the exchange log, which then tells how an attempt was cut short, and around all that
//! can wait. An approval that was revoked between two attempts stops the second one here.
use crate::{
    ConnectionSettings, Error, Response,
    prepared::Attempt,
    service::{Answering, Failure, Inner},
};
use std::{
    sync::Arc,
    task::{Context, Poll},
};
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
                    Ok(outcome) => outcome,
                    Err(_) => Err(cut(Error::Timeout)),
                },
            }
        })
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
