//! What every layer shares: the shape of a service, and the one error that travels back through all of them.
//!
//! The layers here hold nothing but the next one: what they need of clock, ports and connection comes with the
//! request, so that one stack serves every connection. None of them pushes back through `poll_ready` (bounds on
//! concurrency sit in `runtime`), which is why a layer may `call` its inner service at once.
use crate::{Error, error::DenialDetail};
use std::{future::Future, pin::Pin};
use tower::Service;

/// A boxed answer.
pub(crate) type Answering<A> = Pin<Box<dyn Future<Output = Result<A, Failure>> + Send>>;

/// An inner service: from `Q` to `A`, with the one error.
pub(crate) trait Inner<Q, A>:
    Service<Q, Response = A, Error = Failure, Future = Answering<A>> + Clone + Send + Sync + 'static
{
}

impl<Q, A, S> Inner<Q, A> for S where
    S: Service<Q, Response = A, Error = Failure, Future = Answering<A>> + Clone + Send + Sync + 'static
{
}

/// Whether a failed attempt may be followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It would fail in the same way.
    Never,
    /// The fault may pass.
    Passing,
}

/// What goes wrong inside the pipeline: what the guest will read, and what only the operator may.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// For the guest. A denial's exchange id is filled in where its row is written.
    pub error: Error,
    /// For the operator, where `error` says less than is known.
    pub detail: Option<String>,
    /// No byte of the request was written: sending it (again) can't do anything twice.
    pub unsent: bool,
    /// The status, where one arrived before the failure.
    pub status: Option<u16>,
    /// Whether another attempt may help.
    pub again: Again,
    /// A row of the exchange log tells of it already.
    pub recorded: bool,
}

impl Failure {
    /// Failed before a byte was written, and for good.
    pub fn unsent(error: Error) -> Self {
        Self { error, detail: None, unsent: true, status: None, again: Again::Never, recorded: false }
    }

    /// Failed when bytes may have been written.
    pub fn sent(error: Error) -> Self {
        Self { unsent: false, ..Self::unsent(error) }
    }

    /// Refused before a byte left.
    pub fn denied(reason: impl Into<String>, remedy: Option<String>) -> Self {
        let denial = Box::new(DenialDetail { reason: reason.into(), remedy });
        Self::unsent(Error::Denied { exchange: String::new(), denial })
    }

    /// Adds what the operator reads.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The fault may pass.
    pub fn passing(mut self) -> Self {
        self.again = Again::Passing;
        self
    }
}
