//! One attempt: made, stopped when the run is, and contained when it panics.

use super::Engine;
use crate::{CallReport, CallRequest, Failure, Withheld, limits::CANCEL_GRACE};
use std::{
    future::{self, Future},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::sync::watch;

/// Whether a run is to stop.
pub(super) struct Cancellation(watch::Receiver<bool>);

impl Cancellation {
    pub(super) fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(receiver)
    }

    pub(super) fn receiver(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }

    pub(super) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when the run is to stop; never, where nobody is left to say so.
    pub(super) async fn wait(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|cancelled| *cancelled).await.is_err() {
            future::pending::<()>().await;
        }
    }
}

impl Engine {
    /// Calls once. A cancelled call gets a moment to come back and say what it did; then it is dropped.
    pub(super) async fn attempt(&self, request: CallRequest, cancellation: &Cancellation) -> CallReport {
        let mut call = pin!(contain(self.caller.call(request)));
        tokio::select! {
            biased;
            report = &mut call => return report,
            () = cancellation.wait() => {}
        }
        tokio::select! {
            biased;
            report = &mut call => report,
            () = self.clock.sleep(CANCEL_GRACE) => nothing_known(Failure::cancelled()),
        }
    }

    /// False where the run was stopped meanwhile.
    pub(super) async fn pause(&self, duration: Duration, cancellation: &Cancellation) -> bool {
        tokio::select! {
            biased;
            () = cancellation.wait() => false,
            () = self.clock.sleep(duration) => true,
        }
    }
}

/// A panic under the caller fails the run, not the process.
async fn contain(call: impl Future<Output = CallReport>) -> CallReport {
    let mut call = pin!(call);
    future::poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context))) {
        Ok(poll) => poll,
        Err(_) => Poll::Ready(nothing_known(Failure::new("host", "the host failed under this call"))),
    })
    .await
}

impl CallReport {
    /// Of a call that was never made.
    pub(super) fn stopped() -> Self {
        nothing_known(Failure::cancelled())
    }
}

/// The store alone knows then what left: `unproven_effect` adds nothing to it.
fn nothing_known(failure: Failure) -> CallReport {
    CallReport {
        result: Err(failure),
        unproven_effect: false,
        requests: 0,
        denials: Vec::new(),
        withheld: Withheld::default(),
        cpu: Duration::ZERO,
    }
}
