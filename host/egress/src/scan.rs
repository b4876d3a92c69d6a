//! Echo scan: every live secret of the connection, in its usual encodings, is masked out of headers and body.
//!
//! Why here: the last on an answer's way back before it is logged and handed over, and inside the credential
//! layer, which knows the secrets: so neither the log nor the guest can see what it removes.
use crate::{
    Error, Response,
    echo::{Needles, Running},
    limits::SCANNED_INLINE_BYTES_MAX,
    pieces::{Pieces, Piecewise},
    prepared::{Attempt, Trace},
    service::{Answering, Failure, Inner},
};
use bytes::Bytes;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::Semaphore;
use tower::Service;

/// The layer.
#[derive(Clone)]
pub(crate) struct Scan<S> {
    inner: S,
}

impl<S> Scan<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Attempt, Response>> Service<Attempt> for Scan<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let Some(needles) =
            attempt.trace.note(|noted| noted.needles.clone()).filter(|needles| !needles.is_empty())
        else {
            return self.inner.call(attempt);
        };
        let mut inner = self.inner.clone();
        Box::pin(async move {
            let (prepared, trace) = (Arc::clone(&attempt.prepared), Arc::clone(&attempt.trace));
            let mut response = inner.call(attempt).await?;
            let searches = &prepared.call.connection.searches;
            let headers = std::mem::take(&mut response.headers);
            let (headers, mut echoes) = scanned_headers(headers, &needles, searches).await?;
            response.headers = headers;
            if let Some(inner) = response.pieces.take().map(Piecewise::into_inner) {
                let scan = Some(Running::new(Arc::clone(&needles)));
                let (trace, searches) = (Arc::clone(&trace), Arc::clone(searches));
                response.pieces = Some(Piecewise::new(Scanned { inner, scan, searches, trace, over: false }));
            }
            let (body, in_body) = scanned(std::mem::take(&mut response.body), &needles, searches).await?;
            response.body = body;
            echoes = echoes.saturating_add(in_body);
            if echoes > 0 {
                trace.note(|noted| noted.echoes = echoes);
                let connection = &prepared.call.connection.settings.name;
                tracing::warn!(%connection, echoes, "a peer sent a secret back; it was masked");
            }
            Ok(response)
        })
    }
}

/// A long body is searched beside the threads that serve everybody: a vendor that sends what is slow to search delays its
/// own connection alone, and the attempt still ends when its time is over.
async fn scanned(
    body: Bytes,
    needles: &Arc<Needles>,
    searches: &Arc<Semaphore>,
) -> Result<(Bytes, u32), Failure> {
    if body.len() < SCANNED_INLINE_BYTES_MAX && !Needles::is_slow(&body) {
        return Ok(needles.mask_bytes(body));
    }
    let needles = Arc::clone(needles);
    beside(searches, move || needles.mask_bytes(body)).await
}

type Headers = Vec<(String, Vec<u8>)>;

/// The same for them: they are bounded, but may be slow to search.
async fn scanned_headers(
    headers: Headers,
    needles: &Arc<Needles>,
    searches: &Arc<Semaphore>,
) -> Result<(Headers, u32), Failure> {
    let size = headers.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut all = Vec::with_capacity(size);
    for (name, value) in &headers {
        all.extend_from_slice(name.as_bytes());
        all.push(b'\n');
        all.extend_from_slice(value);
        all.push(b'\n');
    }
    if !Needles::is_slow(&all) {
        return Ok(mask_headers(headers, all, needles));
    }
    let needles = Arc::clone(needles);
    beside(searches, move || mask_headers(headers, all, &needles)).await
}

/// Whose time is over while it waits for its turn, or for its end, waits no longer; the search itself goes on to its end.
pub(crate) async fn beside<T: Send + 'static>(
    searches: &Arc<Semaphore>,
    search: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let permit = Arc::clone(searches).acquire_owned().await.map_err(|_| unsearched())?;
    let searched = tokio::task::spawn_blocking(move || {
        let found = search();
        drop(permit);
        found
    });
    searched.await.map_err(|_| unsearched())
}

fn unsearched() -> Failure {
    Failure::sent(Error::Malformed("the answer could not be searched".to_owned()))
}

/// The next piece, or what was held back at the end.
fn search(mut scan: Running, piece: Option<Bytes>) -> (Running, (Bytes, u32)) {
    let found = match piece {
        Some(piece) => scan.push(piece),
        None => scan.finish(),
    };
    (scan, found)
}

/// A body whose secrets are masked as it passes.
struct Scanned {
    inner: Box<dyn Pieces>,
    scan: Option<Running>,
    searches: Arc<Semaphore>,
    trace: Arc<Trace>,
    over: bool,
}

#[async_trait::async_trait]
impl Pieces for Scanned {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while !self.over {
            let piece = self.inner.next().await?;
            let last = piece.is_none();
            // A search that nobody waited for took it along: what follows must not pass for the end.
            let Some(scan) = self.scan.take() else { return Err(unsearched()) };
            let slow = scan.is_slow(piece.as_deref());
            let (scan, (piece, echoes)) = if slow {
                beside(&self.searches, move || search(scan, piece)).await?
            } else {
                search(scan, piece)
            };
            (self.scan, self.over) = (Some(scan), last);
            if echoes > 0 {
                self.trace.note(|noted| noted.echoes = noted.echoes.saturating_add(echoes));
                tracing::warn!(echoes, "a peer sent a secret back; it was masked");
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// Searches all of them at once, and looks closer only where there is something to mask. Names come lower-cased, whatever was
/// sent.
fn mask_headers(mut headers: Headers, all: Vec<u8>, needles: &Needles) -> (Headers, u32) {
    let mut echoes = 0_u32;
    for (name, _) in headers.iter_mut() {
        let mut bytes = std::mem::take(name).into_bytes();
        echoes = echoes.saturating_add(needles.mask_any_case(&mut bytes));
        // A header's name is ASCII, and so is the mask.
        *name = String::from_utf8_lossy(&bytes).into_owned();
    }
    let (_, found) = needles.mask_bytes(Bytes::from(all));
    if found > 0 {
        for (_, value) in headers.iter_mut() {
            echoes = echoes.saturating_add(needles.mask(value));
        }
        // At least one: where only the joined text matched, nothing is lost by saying so.
        echoes = echoes.max(1);
    }
    (headers, echoes)
}

#[cfg(test)]
mod tests;
