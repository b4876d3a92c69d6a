//! Assembles the layers, in the order of the design: the first sees the request first.
//!
//! Owns the three lives of state: the process's (`Egress`), a connection's and a call's. Refuses settings that
//! can't work before anything is sent.
use crate::{
    CallContext, ConnectionSettings, Error, ExchangeSink, Intents, Request, Response, SettingsError,
    Withheld,
    admit::{self, Admit},
    authorize::Authorize,
    bound::Bound,
    breaker::Break,
    credential::AttachCredential,
    dial::{Dial, Routes, connect::Clients, tls::RootStores},
    error::DenialDetail,
    exchange_log::{LogAttempts, LogRefusals, refusals},
    follow::Follow,
    headers::{HeaderPolicy, Headers},
    idempotency::Idempotency,
    limits::{
        BUCKETS_MAX, SEARCHES_MAX, SEND_ALL_BODY_BYTES_MAX, SEND_ALL_CONCURRENT_MAX, SEND_ALL_REQUESTS_MAX,
    },
    mask::Masker,
    named::TakeUrls,
    parse::Parse,
    pieces::{Body, Open},
    prepared::Asked,
    rate_limit::{Bucket, RateLimit, Share},
    receive::Receive,
    request::{Head, Wanted},
    retry::Retry,
    scan::Scan,
    service::Failure,
    state::{CallState, ConnectionState, lock},
};
use futures_util::StreamExt;
use portcullis_clock::{Clock, Random};
use portcullis_secrets::Place;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Semaphore;
use tower::{Service, ServiceBuilder, layer::layer_fn, util::BoxCloneSyncService};

type Stack = BoxCloneSyncService<Asked, Response, Failure>;

/// Process-wide: ports, root stores, shared credential buckets.
pub struct Egress {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) sink: Arc<dyn ExchangeSink>,
    pub(crate) intents: Arc<dyn Intents>,
    pub(crate) clients: Clients,
    roots: RootStores,
    buckets: Mutex<HashMap<String, Arc<Bucket>>>,
    connections: AtomicU64,
    stack: Stack,
    front: Stack,
}

/// One connection's clients, buckets and rules.
pub struct Connection {
    pub(crate) state: Arc<ConnectionState>,
}

/// One call of one run: counts ordinals and budgets.
pub struct Call {
    pub(crate) state: Arc<CallState>,
}

/// The pipeline. `ServiceBuilder` puts the first layer outermost. The layers that work on the answer stand
/// around `Dial` so that the answer passes them in the design's order: dial, bounded decode, echo scan; then URLs are taken.
fn stack() -> Stack {
    let service = ServiceBuilder::new()
        .layer(layer_fn(Follow::new))
        // From here on once per hop.
        .layer(layer_fn(LogRefusals::new))
        .layer(layer_fn(Parse::new))
        .layer(layer_fn(Authorize::new))
        .layer(layer_fn(Headers::new))
        .layer(layer_fn(Idempotency::new))
        .layer(layer_fn(Retry::new))
        // From here on once per attempt.
        .layer(layer_fn(LogAttempts::new))
        .layer(layer_fn(Break::new))
        .layer(layer_fn(Bound::new))
        .layer(layer_fn(RateLimit::new))
        .layer(layer_fn(AttachCredential::new))
        .layer(layer_fn(TakeUrls::new))
        .layer(layer_fn(Scan::new))
        .layer(layer_fn(Receive::new))
        .service(Dial);
    BoxCloneSyncService::new(service)
}

/// Its first layers alone.
fn front() -> Stack {
    let service = ServiceBuilder::new()
        .layer(layer_fn(LogRefusals::new))
        .layer(layer_fn(Parse::new))
        .layer(layer_fn(Authorize::new))
        .layer(layer_fn(Headers::new))
        .service(Admit);
    BoxCloneSyncService::new(service)
}

impl Egress {
    /// Joins the ports.
    pub fn new(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        sink: Arc<dyn ExchangeSink>,
        intents: Arc<dyn Intents>,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock,
            random,
            sink,
            intents,
            clients: Clients::default(),
            roots: RootStores::default(),
            buckets: Mutex::default(),
            connections: AtomicU64::new(0),
            stack: stack(),
            front: front(),
        })
    }

    /// Makes a connection's side.
    pub fn connection(
        self: &Arc<Self>,
        settings: ConnectionSettings,
    ) -> Result<Arc<Connection>, SettingsError> {
        let headers =
            HeaderPolicy::new(&settings.credentials, &settings.connector, &settings.connector_version)?;
        let serial = self.connections.fetch_add(1, Ordering::Relaxed);
        let routes = Routes::new(serial, &settings.network, self.roots.of(&settings.network)?)?;
        let places = settings.credentials.values().map(|credential| match credential.place() {
            Place::Header(name) | Place::Query(name) => name,
        });
        let named = settings.grants.from_response().iter().flat_map(|from| &from.at);
        let masker = Masker::new(&settings.sensitive, &places.collect::<Vec<_>>()).naming(named);
        let mut buckets = BTreeMap::new();
        for (slot, credential) in &settings.credentials {
            buckets.insert(slot.clone(), self.share(&credential.name, credential.requests_per_second)?);
        }
        let state = ConnectionState {
            egress: Arc::clone(self),
            headers,
            masker,
            routes,
            attachments: Default::default(),
            buckets,
            breakers: Default::default(),
            runs: Default::default(),
            searches: Arc::new(Semaphore::new(SEARCHES_MAX)),
            settings,
        };
        Ok(Arc::new(Connection { state: Arc::new(state) }))
    }

    /// This connection's share of a credential's bucket: one bucket for all connections, whatever rate each asks for.
    fn share(&self, credential: &str, per_second: Option<f64>) -> Result<Share, SettingsError> {
        let mut buckets = lock(&self.buckets);
        if let Some(bucket) = buckets.get(credential) {
            return Ok(Share::of(bucket, per_second));
        }
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1);
        }
        if buckets.len() >= BUCKETS_MAX {
            return Err(SettingsError::Invalid(format!("more than {BUCKETS_MAX} credentials")));
        }
        let bucket = Arc::new(Bucket::new(self.clock.monotonic()));
        buckets.insert(credential.to_owned(), Arc::clone(&bucket));
        Ok(Share::of(&bucket, per_second))
    }
}

impl Connection {
    /// Begins a call.
    pub fn call(self: &Arc<Self>, context: CallContext) -> Arc<Call> {
        Arc::new(Call { state: Arc::new(CallState::new(Arc::clone(&self.state), context)) })
    }
}

impl Call {
    /// The whole pipeline.
    pub async fn send(&self, request: Request) -> Result<Response, Error> {
        let outcome = self.ask(request, None, Wanted::Whole).await;
        self.tell(matches!(outcome, Err(Error::Withheld)));
        outcome
    }

    /// The whole pipeline, with the body as it arrives where the answer is a success (2xx); any other comes whole. What
    /// bounds a whole body bounds it: its caps, idle time, the request's time, the call's end.
    pub async fn open(&self, request: Request) -> Result<(Head, Body), Error> {
        self.state.write_rows().await;
        let open = Open::new(&self.state)?;
        let outcome = self.ask(request, None, Wanted::Pieces).await;
        self.tell(matches!(outcome, Err(Error::Withheld)));
        Ok(outcome?.opened(open))
    }

    /// Several at once; answers in the order of the requests. What is over the bound on all bodies together is too large.
    ///
    /// Each has its ordinal before the first leaves: a repeated call finds the same, whatever ends first.
    pub async fn send_all(&self, requests: Vec<Request>) -> Vec<Result<Response, Error>> {
        if requests.len() > SEND_ALL_REQUESTS_MAX {
            let text = format!("more than {SEND_ALL_REQUESTS_MAX} requests at once");
            return requests.iter().map(|_| Err(Error::Malformed(text.clone()))).collect();
        }
        // The bound above makes it fit.
        let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        let first = self.state.ordinal.fetch_add(count, Ordering::SeqCst);
        let left = AtomicU64::new(SEND_ALL_BODY_BYTES_MAX);
        let asked = (first..).zip(requests).map(|(ordinal, request)| {
            let left = &left;
            async move {
                let response = self.ask(request, Some(ordinal), Wanted::Whole).await?;
                let take = |left: u64| left.checked_sub(response.body.len() as u64);
                match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
                    Ok(_) => Ok(response),
                    Err(_) => Err(Error::TooLarge(SEND_ALL_BODY_BYTES_MAX)),
                }
            }
        });
        let outcomes: Vec<_> =
            futures_util::stream::iter(asked).buffered(SEND_ALL_CONCURRENT_MAX).collect().await;
        self.tell(outcomes.iter().any(|outcome| matches!(outcome, Err(Error::Withheld))));
        outcomes
    }

    /// From here on the guest knows that something was held back.
    pub(crate) fn tell(&self, withheld: bool) {
        if withheld {
            lock(&self.state.withheld).told = true;
        }
    }

    /// Whether this may be sent, judged before its body is there; where not, it is refused like any other. What is
    /// admitted is still to be sent.
    pub async fn admit(&self, request: Request) -> Result<(), Error> {
        let mut front = self.state.egress().front.clone();
        let asked = Asked {
            request: Arc::new(request),
            call: Arc::clone(&self.state),
            ordinal: None,
            wanted: Wanted::Whole,
        };
        match front.call(asked).await {
            Err(failure) if admit::is_admitted(&failure) => Ok(()),
            Err(failure) => {
                self.state.requests.fetch_add(1, Ordering::Relaxed);
                Err(failure.error)
            }
            Ok(_) => Err(Error::Unsupported),
        }
    }

    pub(crate) async fn ask(
        &self,
        request: Request,
        ordinal: Option<u32>,
        wanted: Wanted,
    ) -> Result<Response, Error> {
        self.state.requests.fetch_add(1, Ordering::Relaxed);
        let mut stack = self.state.egress().stack.clone();
        let asked = Asked { request: Arc::new(request), call: Arc::clone(&self.state), ordinal, wanted };
        stack.call(asked).await.map_err(|failure| failure.error)
    }

    /// The call is over: writes the row that stands for its refusals without one of their own, and those of bodies that
    /// were dropped. Where nobody says so, they are written when the call is dropped, at some time.
    pub async fn close(&self) {
        refusals::close(&self.state).await;
        self.state.write_rows().await;
    }

    /// Whether an unsafe request left (some byte of it may have been written) without a proven answer, or one was
    /// refused because it was stored with other bytes before: the step is `unknown`. One with an idempotency key
    /// counts too; any HTTP status is an answer. What counts in detail: see `idempotency`.
    pub fn has_unproven_effect(&self) -> bool {
        self.state.unproven.load(Ordering::SeqCst) > 0
    }

    /// Requests that were asked for, refused ones included.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// What a dry run held back: the first of it, and how much in all.
    pub fn withheld(&self) -> (Vec<Withheld>, u64) {
        let held = lock(&self.state.withheld);
        (held.list.clone(), held.count)
    }

    /// Denials so far, for the operator (bounded).
    pub fn denials(&self) -> Vec<(String, DenialDetail)> {
        lock(&self.state.denials).clone()
    }
}

#[cfg(test)]
impl Call {
    pub(crate) fn state_for_tests(&self) -> Arc<CallState> {
        Arc::clone(&self.state)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod turns;
