//! Bodies in pieces: what a reader gets of an answer that never lies in memory whole.
//!
//! The layers that hold a bound over a whole body hold it here over each piece: each puts its own `Pieces` around the
//! inner one's, in the order in which an answer passes them. Refuses more open bodies than a call may have.
use crate::{Error, limits::BODIES_OPEN_MAX, service::Failure, state::CallState};
use bytes::Bytes;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

/// The rest of a body. After an error or the end it is not asked again.
#[async_trait::async_trait]
pub(crate) trait Pieces: Send {
    /// The next piece, never an empty one; none = the body is whole.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure>;
}

/// A body of an answer, as the layers hand it on.
pub(crate) struct Piecewise {
    /// Never contended: it makes what only one can read something that several may hold a reference to.
    pieces: Mutex<Box<dyn Pieces>>,
}

impl Piecewise {
    pub fn new(pieces: impl Pieces + 'static) -> Self {
        Self { pieces: Mutex::new(Box::new(pieces)) }
    }

    pub fn into_inner(self) -> Box<dyn Pieces> {
        self.pieces.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&mut self) -> &mut Box<dyn Pieces> {
        self.pieces.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Piecewise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Piecewise")
    }
}

/// An answer's body that is read piece by piece: decoded, bounded, scanned. Dropping it ends the exchange.
#[derive(Debug)]
pub struct Body {
    state: Reading,
    /// Held as long as the exchange is.
    _open: Option<Open>,
}

#[derive(Debug)]
enum Reading {
    Whole(Bytes),
    Pieces(Piecewise),
    Over(Result<(), Failure>),
}

impl Body {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { state: Reading::Whole(bytes), _open: None }
    }

    pub(crate) fn of(pieces: Piecewise, open: Open) -> Self {
        Self { state: Reading::Pieces(pieces), _open: Some(open) }
    }

    /// The next piece, never an empty one; none = the body has ended. An error is the end, whoever asks again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.advance().await.map_err(|failure| failure.error)
    }

    pub(crate) async fn advance(&mut self) -> Result<Option<Bytes>, Failure> {
        let next = match &mut self.state {
            Reading::Whole(bytes) => Ok(Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty())),
            Reading::Pieces(pieces) => pieces.exclusive().next().await,
            Reading::Over(how) => return how.clone().map(|()| None),
        };
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => self.end(Ok(())),
            Err(failure) => self.end(Err(failure.clone())),
        }
        next
    }

    fn end(&mut self, how: Result<(), Failure>) {
        self.state = Reading::Over(how);
        self._open = None;
    }
}

/// One of the bodies that a call may have open.
pub(crate) struct Open(Arc<CallState>);

impl fmt::Debug for Open {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Open")
    }
}

impl Open {
    pub fn new(call: &Arc<CallState>) -> Result<Self, Error> {
        let more = |open| (open < BODIES_OPEN_MAX).then_some(open + 1);
        match call.open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more) {
            Ok(_) => Ok(Self(Arc::clone(call))),
            Err(_) => Err(Error::Malformed(format!("more than {BODIES_OPEN_MAX} bodies are open"))),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
