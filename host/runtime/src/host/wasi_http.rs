//! `wasi:http/outgoing-handler` 0.2 for languages that bring their own `fetch`: what it hands over goes through egress like a
//! request of `http.send`. Linked only where the manifest lists the capability `wasi-http`.
//!
//! A request is parsed and authorised when it is handed over; then its body is collected, and only then it is sent. Trailers
//! are dropped, `Expect` is never sent, `Content-Length` is the host's, and the header `Idempotency-Key` is the request's key.
//! The answer is handed over whole, so that its first byte is there when all of it is: `first-byte-timeout` is the time of the
//! whole request. Errors are the nearest codes that have no text: a guest learns no address.

use crate::{instance::CallState, limits};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Full};
use portcullis_egress as egress;
use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::{Semaphore, mpsc};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks};

type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// The requests of one call.
pub(crate) struct Outgoing {
    context: WasiHttpCtx,
    hooks: Hooks,
    /// Ends when all that was under way has ended.
    living: mpsc::Receiver<Infallible>,
}

struct Hooks {
    shared: Arc<Shared>,
    /// Each request holds one.
    alive: mpsc::Sender<Infallible>,
}

/// What all requests of the call have in common.
struct Shared {
    /// None = empty grants.
    egress: Option<Arc<egress::Call>>,
    under_way: Arc<Semaphore>,
    sent: Semaphore,
    /// Bytes of bodies that are held.
    held: Arc<AtomicU64>,
    /// Not for the guest, which took no denial for an answer: this ends its call.
    exhausted: Mutex<Option<egress::Error>>,
}

impl Outgoing {
    pub(crate) fn new(egress: Option<Arc<egress::Call>>) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(limits::FETCH_FIELDS_BYTES_MAX);
        let (alive, living) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            egress,
            under_way: Arc::new(Semaphore::new(limits::FETCHES_MAX)),
            sent: Semaphore::new(limits::FETCHES_SENT_MAX),
            held: Arc::default(),
            exhausted: Mutex::default(),
        });
        Self { context, hooks: Hooks { shared, alive }, living }
    }

    pub(crate) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.hooks, table, ctx: &mut self.context }
    }

    /// Its run's `requests` are used up, and it went on asking.
    pub(crate) fn exhausted(&self) -> Option<egress::Error> {
        self.hooks.shared.exhausted()
    }

    /// The call is over: nothing more begins.
    pub(crate) fn ending(self) -> Ending {
        Ending { shared: self.hooks.shared, living: self.living }
    }
}

/// Requests that were under way when their call ended. Their tasks end with the store.
pub(crate) struct Ending {
    shared: Arc<Shared>,
    living: mpsc::Receiver<Infallible>,
}

impl Ending {
    /// Waits until none is left: what may have left by then is counted.
    pub(crate) async fn ended(mut self) -> Option<egress::Error> {
        // Nothing is ever sent: it ends when the last sender is gone.
        let _ = self.living.recv().await;
        self.shared.exhausted()
    }
}

impl WasiHttpHooks for Hooks {
    /// The host sets its own.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let (shared, alive) = (Arc::clone(&self.shared), self.alive.clone());
        // Counted when it is handed over, not when its task first runs.
        let under_way = Arc::clone(&shared.under_way).try_acquire_owned();
        Box::new(async move {
            let _alive = alive;
            let Ok(_under_way) = under_way else { return Err(Error::ConnectionLimitReached) };
            let response = fetch(&shared, request, options).await?;
            Ok((response, Box::new(std::future::ready(Ok(()))) as _))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        limits::FETCH_PIECE_BYTES_MAX
    }
}

async fn fetch(
    shared: &Shared,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<http::Response<WasiBody>, Error> {
    let Some(call) = &shared.egress else { return Err(Error::HttpRequestDenied) };
    let (head, body) = request.into_parts();
    let mut request = parse(&head, options)?;
    call.admit(request.clone()).await.map_err(|error| shared.told(error))?;
    let body = collect(shared, body).await?;
    request.body = (!body.is_empty()).then_some(body);
    // It lives as long as the call: the semaphore is never closed.
    let _permit = shared.sent.acquire().await;
    let response = call.send(request).await.map_err(|error| shared.told(error))?;
    respond(shared, response)
}

/// As it was handed over, but for what is not the guest's: the length, `Expect`, and the key, which is a field of its own.
fn parse(head: &http::request::Parts, options: Option<RequestOptions>) -> Result<egress::Request, Error> {
    const KEY: &str = "idempotency-key";
    let mut keys = head.headers.get_all(KEY).iter();
    let idempotency_key = match (keys.next(), keys.next()) {
        (Some(key), None) => Some(String::from_utf8_lossy(key.as_bytes()).into_owned()),
        (None, _) => None,
        // Which one it means, nobody can say.
        (Some(_), Some(_)) => return Err(Error::HttpRequestDenied),
    };
    let is_guests = |name: &HeaderName| {
        *name != header::CONTENT_LENGTH && *name != header::EXPECT && name.as_str() != KEY
    };
    let headers = head.headers.iter().filter(|(name, _)| is_guests(name));
    Ok(egress::Request {
        method: head.method.as_str().to_owned(),
        url: head.uri.to_string(),
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect(),
        timeout: options.and_then(|options| options.first_byte_timeout),
        idempotency_key,
        ..egress::Request::default()
    })
}

/// All of it, within the bound on one body and the one on all of the call.
async fn collect(shared: &Shared, mut body: WasiBody) -> Result<Bytes, Error> {
    let mut collected = Vec::new();
    let mut held = Held { all: Arc::clone(&shared.held), bytes: 0 };
    while let Some(frame) = body.frame().await {
        // Trailers are dropped.
        let Ok(piece) = frame?.into_data() else { continue };
        if (collected.len() + piece.len()) as u64 > limits::BODY_BYTES_MAX || !held.more(piece.len() as u64) {
            return Err(Error::HttpRequestBodySize(Some(limits::BODY_BYTES_MAX)));
        }
        collected.extend_from_slice(&piece);
    }
    Ok(Bytes::from_owner(Kept { bytes: collected.into(), _held: held }))
}

fn respond(shared: &Shared, response: egress::Response) -> Result<http::Response<WasiBody>, Error> {
    let mut held = Held { all: Arc::clone(&shared.held), bytes: 0 };
    if !held.more(response.body.len() as u64) {
        return Err(Error::HttpResponseBodySize(Some(limits::FETCH_BYTES_MAX)));
    }
    let decoded = response.headers.iter().any(|(name, _)| name == header::CONTENT_ENCODING.as_str());
    let kept = Kept { bytes: response.body, _held: held };
    let body = Full::new(Bytes::from_owner(kept)).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut answer = http::Response::new(body);
    *answer.status_mut() =
        http::StatusCode::from_u16(response.status).map_err(|_| Error::HttpProtocolError)?;
    for (name, value) in response.headers {
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value))
        else {
            continue;
        };
        // The body is as the guest reads it: decoded, and of another length.
        if !(decoded && (name == header::CONTENT_ENCODING || name == header::CONTENT_LENGTH)) {
            answer.headers_mut().append(name, value);
        }
    }
    Ok(answer)
}

impl Shared {
    fn exhausted(&self) -> Option<egress::Error> {
        self.exhausted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the guest learns.
    fn told(&self, error: egress::Error) -> Error {
        match error {
            egress::Error::Denied { .. } => Error::HttpRequestDenied,
            egress::Error::Timeout => Error::HttpResponseTimeout,
            egress::Error::Connect(_) => Error::DestinationUnavailable,
            egress::Error::Tls(_) => Error::TlsProtocolError,
            egress::Error::TooLarge(bytes) => Error::HttpResponseBodySize(Some(bytes)),
            egress::Error::Malformed(_) => Error::HttpProtocolError,
            egress::Error::RateLimited(_) => Error::ConnectionLimitReached,
            // Nothing came of it, and nothing was refused.
            egress::Error::Cancelled | egress::Error::Withheld => Error::ConnectionTerminated,
            egress::Error::Unsupported => Error::ConfigurationError,
            egress::Error::Exhausted { .. } => {
                *self.exhausted.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Error::HttpRequestDenied
            }
        }
    }
}

/// A body that counts for as long as somebody holds a piece of it.
struct Kept {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A share of what the call may have the host hold.
struct Held {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Held {
    /// False where that were too much.
    fn more(&mut self, bytes: u64) -> bool {
        let add = |all: u64| all.checked_add(bytes).filter(|all| *all <= limits::FETCH_BYTES_MAX);
        let fits = self.all.fetch_update(Relaxed, Relaxed, add).is_ok();
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests;
