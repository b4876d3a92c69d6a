//! Authorise: one approved manifest rule and one operator rule must match, and the operation's own list where it has one. A
//! `from-response` matches what an answer of the run named.
//!
//! Why here: directly behind the parse and before anything is added, stored or waited for. Its outcome is
//! evidence, an `AuthorizedRequest`, that only `grants` can make and without which nothing further in exists.
use crate::{
    Response,
    prepared::{Parsed, Prepared},
    request::Wanted,
    service::{Answering, Failure, Inner},
    state::lock,
};
use portcullis_grants::Redirect;
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
            Ok(prepared) => {
                let follow = prepared.authorized.attributes().redirect == Redirect::Follow;
                let (safe, in_pieces) = (prepared.authorized.is_safe(), prepared.wanted != Wanted::Whole);
                let answering = self.inner.call(prepared);
                if !follow && !in_pieces {
                    return answering;
                }
                Box::pin(async move { Ok(Response { follow, safe, ..answering.await? }) })
            }
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }
}

fn authorize(parsed: Parsed) -> Result<Prepared, Failure> {
    let (request, call) = (&*parsed.asked.request, &*parsed.asked.call);
    let settings = &call.connection.settings;
    let (grants, operation) = (&settings.grants, call.context.operation_rules.as_deref());
    let (method, url, slot) = (&request.method, &request.url, request.credential.as_deref());
    // To find words for a refusal, and the line to paste, costs more than to refuse: only where somebody will read them.
    let named = lock(&call.budget.named);
    let run = grants.in_run(&named);
    let authorized = if call.budget.lists_refusals() {
        run.authorize(&settings.name, method, url, operation, slot)
    } else {
        run.authorize_tersely(method, url, operation, slot)
    };
    drop(named);
    let authorized = authorized.map_err(|denial| Failure::denied(denial.to_string(), denial.remedy))?;
    Ok(Prepared::new(parsed, authorized))
}
