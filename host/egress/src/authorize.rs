//! Authorise: one approved manifest rule and one operator rule must match, and the operation's own list where it has one.
//!
//! Why here: directly behind the parse and before anything is added, stored or waited for. Its outcome is
//! evidence, an `AuthorizedRequest`, that only `grants` can make and without which nothing further in exists.
use crate::{
    Response,
    prepared::{Parsed, Prepared},
    service::{Answering, Failure, Inner},
};
use std::{
    future::ready,
    task::{Context, Poll},
};
use tower::Service;

/// The layer.
#[derive(Clone)]
pub(crate) struct Authorize<S> {
    inner: S,
}

impl<S> Authorize<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Prepared, Response>> Service<Parsed> for Authorize<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, parsed: Parsed) -> Self::Future {
        match authorize(parsed) {
            Ok(prepared) => self.inner.call(prepared),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }
}

fn authorize(parsed: Parsed) -> Result<Prepared, Failure> {
    let (request, call) = (&*parsed.asked.request, &*parsed.asked.call);
    let settings = &call.connection.settings;
    let authorized = settings
        .grants
        .authorize(
            &settings.name,
            &request.method,
            &request.url,
            call.context.operation_rules.as_deref(),
            request.credential.as_deref(),
        )
        .map_err(|denial| Failure::denied(denial.to_string(), denial.remedy))?;
    Ok(Prepared::new(parsed, authorized))
}
