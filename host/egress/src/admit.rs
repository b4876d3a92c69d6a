//! Admit: the front of the pipeline alone, for a request whose body is not there yet. Parsed, authorised, and its headers judged
//! before a byte of the body is read; what passes goes through the whole pipeline once the body is there.
//!
//! Why a stack of its own: it ends where a request would be sent, so that nothing that is asked here can leave.
use crate::{
    Error, Response,
    prepared::Prepared,
    service::{Answering, Failure},
};
use std::{
    future::ready,
    task::{Context, Poll},
};
use tower::Service;

/// The innermost service: whoever comes here may be sent.
#[derive(Clone)]
pub(crate) struct Admit;

impl Service<Prepared> for Admit {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, prepared: Prepared) -> Self::Future {
        // It is asked for once more, with its body.
        prepared.call.budget.take_back();
        Box::pin(ready(Err(admitted())))
    }
}

/// Stands for "yes": an answer there is none.
pub(crate) fn is_admitted(failure: &Failure) -> bool {
    failure.recorded && failure.unsent && matches!(failure.error, Error::Unsupported)
}

fn admitted() -> Failure {
    Failure { recorded: true, ..Failure::unsent(Error::Unsupported) }
}
