//! Exchange log: one row for every attempt, and one for every request that was refused before it became one.
//!
//! Why here: `LogRefusals` is the outermost layer, since any other may refuse; `LogAttempts` is the outermost of an
//! attempt, so that what is told is what left, was cut short or was refused, after all of it was masked. A row is
//! also written where the caller dropped the request halfway: what left is never invisible. Of refusals only the
//! first have a row each (`exchange_log/refusals.rs`), and of what a guest wrote there no more than a bit is kept.

pub(crate) mod refusals;

use crate::{
    Announced, Announcement, Capture, Error, Exchange, Outcome, Request, Response, Whole, Withheld, announce,
    echo::Needles,
    limits::{
        CAPTURE_KEPT_BYTES_MAX, CAPTURE_LINE_BYTES_MAX, DENIAL_REASON_BYTES_MAX, DENIAL_REMEDY_BYTES_MAX,
        REFUSED_URL_BYTES_MAX, URL_BYTES_MAX,
    },
    mask::Masker,
    pieces::{Pieces, Piecewise},
    prepared::{Asked, Attempt, Noted},
    service::{Answering, Failure, Inner},
    state::CallState,
};
use bytes::{Bytes, BytesMut};
use portcullis_clock::{Timestamp, new_id};
use portcullis_secrets::Place;
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

/// The layer around everything.
#[derive(Clone)]
pub(crate) struct LogRefusals<S> {
    inner: S,
}

impl<S> LogRefusals<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Asked, Response>> Service<Asked> for LogRefusals<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, asked: Asked) -> Self::Future {
        let (call, request) = (Arc::clone(&asked.call), Arc::clone(&asked.request));
        let answering = self.inner.call(asked);
        Box::pin(async move {
            let mut failure = match answering.await {
                Err(failure) if !failure.recorded => failure,
                outcome => return outcome,
            };
            if !call.budget.list_refusal() {
                refusals::count(&call, &mut failure);
                return Err(failure);
            }
            // Made here, not before: the requests that are refused are few, and a refusal takes no time worth a column.
            let began = Began::now(&call);
            // What the guest wrote may be a secret that no request has asked for yet.
            call.connection.attachments.refresh_scanned(&call.connection).await;
            hide_parts(&call, &request, &mut failure);
            bound_denial(&call, &mut failure);
            let row = refusal(&call, &request, &began, &failure);
            call.egress().sink.record(row).await;
            Err(told(failure, began.exchange_id, &call))
        })
    }
}

/// The layer around each attempt.
#[derive(Clone)]
pub(crate) struct LogAttempts<S> {
    inner: S,
}

impl<S> LogAttempts<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Attempt, Response>> Service<Attempt> for LogAttempts<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let began = Began::now(&attempt.prepared.call);
        let answering = self.inner.call(attempt.clone());
        Box::pin(async move {
            let mut dropped = Dropped(Some((attempt, began)));
            let mut outcome = answering.await;
            let Some((attempt, began)) = dropped.0.take() else { return outcome };
            if let Ok(response) = &mut outcome
                && let Some(inner) = response.pieces.take().map(Piecewise::into_inner)
            {
                let headers = response.headers.clone();
                let whole = attempt.prepared.call.egress().sink.whole_bytes_max().unwrap_or(0);
                let kept_bytes_max = CAPTURE_KEPT_BYTES_MAX.max(whole);
                let (status, kept) = (response.status, BytesMut::new());
                let passed = Passed { status, headers, kept, kept_bytes_max, bytes: 0 };
                let logged = Logged { inner, left: Some((attempt, began, passed)) };
                response.pieces = Some(Piecewise::new(logged));
                return outcome;
            }
            let call = &attempt.prepared.call;
            if let Err(failure) = &mut outcome {
                bound_denial(call, failure);
            }
            let row = row(&attempt, &began, &Ended::of(&outcome));
            if matches!(&outcome, Err(Failure { error: Error::Withheld, .. })) {
                call.keep_withheld(|after_withheld| withheld(&attempt, &row, after_withheld));
            }
            call.egress().sink.record(row).await;
            outcome.map_err(|failure| told(failure, began.exchange_id, call))
        })
    }
}

/// What passed of a body that is read in pieces.
struct Passed {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    /// As much as is captured of it.
    kept: BytesMut,
    kept_bytes_max: usize,
    bytes: u64,
}

/// A body whose row is written when it ends, breaks or is dropped.
struct Logged {
    inner: Box<dyn Pieces>,
    left: Option<(Attempt, Began, Passed)>,
}

#[async_trait::async_trait]
impl Pieces for Logged {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut next = self.inner.next().await;
        if let Ok(Some(piece)) = &next {
            if let Some((_, _, passed)) = &mut self.left {
                passed.bytes = passed.bytes.saturating_add(piece.len() as u64);
                let room = passed.kept_bytes_max.saturating_sub(passed.kept.len());
                passed.kept.extend_from_slice(&piece[..room.min(piece.len())]);
            }
            return next;
        }
        if let Some((attempt, began, passed)) = self.left.take() {
            let call = &attempt.prepared.call;
            if let Err(failure) = &mut next {
                bound_denial(call, failure);
            }
            let row = row(&attempt, &began, &Ended::passed(&passed, next.as_ref().err()));
            call.egress().sink.record(row).await;
            next = next.map_err(|failure| told(failure, began.exchange_id, call));
        }
        next
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let Some((attempt, began, passed)) = self.left.take() else { return };
        let text = "the connector stopped reading before the body ended";
        let cut = Failure { status: Some(passed.status), ..Failure::sent(Error::Cancelled) }.detail(text);
        let row = row(&attempt, &began, &Ended::passed(&passed, Some(&cut)));
        attempt.prepared.call.leave_row(row);
    }
}

/// How an attempt ended, as its row tells it.
pub(crate) struct Ended<'a> {
    failure: Option<&'a Failure>,
    answer: Option<Answered<'a>>,
}

/// Status, headers, the part of the body that is at hand, and the bytes of all of it.
pub(crate) type Answered<'a> = (u16, &'a [(String, Vec<u8>)], &'a [u8], u64);

impl<'a> Ended<'a> {
    fn of(outcome: &'a Result<Response, Failure>) -> Self {
        match outcome {
            Ok(response) => {
                let body = &response.body;
                let answer = (response.status, response.headers.as_slice(), &body[..], body.len() as u64);
                Self { failure: None, answer: Some(answer) }
            }
            Err(failure) => Self::cut(failure),
        }
    }

    /// The answer, where all of it arrived.
    pub(crate) fn answered(&self) -> Option<Answered<'a>> {
        self.answer.filter(|_| self.failure.is_none())
    }

    fn cut(failure: &'a Failure) -> Self {
        Self { failure: Some(failure), answer: None }
    }

    fn passed(passed: &'a Passed, failure: Option<&'a Failure>) -> Self {
        Self { failure, answer: Some((passed.status, &passed.headers, &passed.kept, passed.bytes)) }
    }
}

/// The guest reads the id of the row, the operator finds the rest there.
fn told(mut failure: Failure, exchange_id: String, call: &CallState) -> Failure {
    if let Error::Denied { exchange, denial } = &mut failure.error {
        call.keep_denial(&exchange_id, denial);
        *exchange = exchange_id;
    }
    failure.recorded = true;
    failure
}

/// A reason names parts of the request, cut where rules cut it, and half of a secret is known by nobody: where the request holds a
/// whole one, no part of it is told.
fn hide_parts(call: &CallState, request: &Request, failure: &mut Failure) {
    let Error::Denied { denial, .. } = &mut failure.error else { return };
    let needles = call.connection.attachments.needles();
    if [&request.url, &request.method].into_iter().any(|text| needles.mask_text(text) != *text) {
        denial.reason = "it holds a secret of its connection, so nothing else of it is told".to_owned();
        denial.remedy = None;
    }
}

/// What the operator reads of a denial may hold what the guest wrote: masked whole, then inert and short.
fn bound_denial(call: &CallState, failure: &mut Failure) {
    let Error::Denied { denial, .. } = &mut failure.error else { return };
    let (masker, needles) = (&call.connection.masker, call.connection.attachments.needles());
    denial.reason = masker.line(&denial.reason, &needles, DENIAL_REASON_BYTES_MAX);
    if let Some(remedy) = &mut denial.remedy {
        *remedy = masker.lines(remedy, &needles, DENIAL_REMEDY_BYTES_MAX);
    }
}

pub(crate) struct Began {
    exchange_id: String,
    at: Timestamp,
    monotonic: Duration,
}

impl Began {
    fn now(call: &CallState) -> Self {
        let egress = call.egress();
        let exchange_id = new_id("exch", &*egress.clock, &*egress.random);
        Self { exchange_id, at: egress.clock.now(), monotonic: egress.clock.monotonic() }
    }

    fn duration_us(&self, call: &CallState) -> u64 {
        u64::try_from(call.now().saturating_sub(self.monotonic).as_micros()).unwrap_or(u64::MAX)
    }
}

/// Writes the row of an attempt whose caller went away.
struct Dropped(Option<(Attempt, Began)>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let Some((attempt, began)) = self.0.take() else { return };
        // Without a runtime the process is ending, and the open intent tells of what left.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let cut = Failure::sent(Error::Cancelled).detail("the call ended while this request was under way");
        let row = row(&attempt, &began, &Ended::cut(&cut));
        runtime.spawn(async move { attempt.prepared.call.egress().sink.record(row).await });
    }
}

fn row(attempt: &Attempt, began: &Began, ended: &Ended<'_>) -> Exchange {
    let prepared = &attempt.prepared;
    let (call, authorized) = (&prepared.call, &prepared.authorized);
    let (masker, capture) = (&call.connection.masker, call.connection.settings.capture);
    let noted = attempt.trace.note(std::mem::take);
    let needles = noted.needles.clone().unwrap_or_else(|| call.connection.attachments.needles());
    let (status, headers, body, bytes) = match (ended.answer, ended.failure) {
        (Some((status, headers, body, bytes)), _) => (Some(status), headers, body, bytes),
        (None, failure) => {
            let status = failure.and_then(|failure| failure.status).or(noted.status);
            (status, noted.response_headers.as_slice(), &[][..], 0)
        }
    };
    let failed = status.is_none_or(|status| status >= 400) || ended.failure.is_some();
    let capture_body = |headers: &[(String, Vec<u8>)], body: &[u8]| {
        masker.body(content_type(headers), body, capture, failed, &needles)
    };
    let whole = call.egress().sink.whole_bytes_max();
    let whole = whole.and_then(|bytes_max| Whole::of(attempt, ended, &needles, bytes_max));
    let request_headers = request_headers(attempt, &noted);
    let response_headers = masker.headers(headers, &needles);
    let url = masker.sent_url(&sent_url(attempt), authorized.is_named(), &needles, CAPTURE_LINE_BYTES_MAX);
    let announced = Announcement::of(&response_headers).map(|announcement| Announced {
        endpoint: announce::endpoint(&url),
        rule: authorized.manifest_rule().to_owned(),
        announcement,
    });
    Exchange {
        url,
        announced,
        method: authorized.method().as_str().to_owned(),
        manifest_place: authorized.manifest_place().to_owned(),
        operator_place: authorized.operator_place().to_owned(),
        credential: noted.credential.clone(),
        peer: noted.peer.map(|peer| peer.to_string()),
        protocol: noted.protocol.map(str::to_owned),
        idempotency_key: prepared.additions.key.clone(),
        request_body: prepared.body.as_deref().and_then(|body| capture_body(&request_headers, body)),
        request_headers: masker.headers(&request_headers, &needles),
        request_bytes: prepared.body_bytes(),
        status,
        response_headers,
        response_body: capture_body(headers, body),
        response_bytes: bytes,
        outcome: outcome_of(ended.failure, masker, &needles),
        echoes: noted.echoes,
        attempt: attempt.number,
        whole: whole.map(Box::new),
        ..blank(call, began)
    }
}

pub(crate) fn content_type(headers: &[(String, Vec<u8>)]) -> Option<&str> {
    let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    found.and_then(|(_, value)| std::str::from_utf8(value).ok())
}

/// A row of a request that never became an attempt: what the guest wrote, masked.
fn refusal(call: &CallState, request: &Request, began: &Began, failure: &Failure) -> Exchange {
    let (masker, needles) = (&call.connection.masker, call.connection.attachments.needles());
    let shown = |text: &str, max: usize| {
        if text.len() <= max { text.to_owned() } else { format!("({} bytes)", text.len()) }
    };
    let url = shown(&request.url, URL_BYTES_MAX);
    Exchange {
        method: shown(&needles.mask_text(&request.method), 32).escape_debug().to_string(),
        url: masker.refused_url(&url, &needles, REFUSED_URL_BYTES_MAX),
        outcome: outcome_of(Some(failure), masker, &needles),
        ..blank(call, began)
    }
}

fn blank(call: &CallState, began: &Began) -> Exchange {
    let (context, settings) = (&call.context, &call.connection.settings);
    Exchange {
        exchange_id: began.exchange_id.clone(),
        run_id: context.run_id.clone(),
        step: context.step.clone(),
        call: context.call.clone(),
        correlation_id: context.correlation_id.clone(),
        connection: settings.name.clone(),
        connection_id: settings.connection_id.clone(),
        started_at: began.at,
        duration_us: began.duration_us(call),
        attempt: 0,
        method: String::new(),
        url: String::new(),
        manifest_place: String::new(),
        operator_place: String::new(),
        credential: None,
        peer: None,
        protocol: None,
        idempotency_key: None,
        request_headers: Vec::new(),
        request_body: None,
        request_bytes: 0,
        status: None,
        response_headers: Vec::new(),
        response_body: None,
        response_bytes: 0,
        outcome: Outcome::Answered,
        echoes: 0,
        announced: None,
        whole: None,
    }
}

/// As they went out, the credential's by its name alone: its bytes are not even handed to the masker.
fn request_headers(attempt: &Attempt, noted: &Noted) -> Vec<(String, Vec<u8>)> {
    let prepared = &attempt.prepared;
    let mut headers = Vec::with_capacity(prepared.headers.len() + prepared.additions.headers.len() + 1);
    let own =
        prepared.headers.iter().chain(prepared.additions.headers.iter().map(|(name, value)| (name, value)));
    headers.extend(own.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())));
    if noted.credential.is_some()
        && let Some(Place::Header(name)) = place(attempt)
    {
        headers.push((name, b"*".to_vec()));
    }
    headers
}

/// What the operator is shown of a request that was held back. Its body is shown where the log may keep none: it is asked for.
fn withheld(attempt: &Attempt, row: &Exchange, after_withheld: bool) -> Withheld {
    let prepared = &attempt.prepared;
    let connection = &prepared.call.connection;
    let capture = match connection.settings.capture {
        Capture::All => Capture::All,
        Capture::None | Capture::Errors => Capture::Errors,
    };
    let content_type = prepared.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let needles = connection.attachments.needles();
    let body = prepared.body.as_deref();
    Withheld {
        exchange: row.clone(),
        rule: prepared.authorized.manifest_rule().to_owned(),
        slot: prepared.authorized.credential().map(str::to_owned),
        place: place(attempt).map(|place| place.to_string()),
        body: body.and_then(|body| connection.masker.body(content_type, body, capture, true, &needles)),
        after_withheld,
    }
}

fn sent_url(attempt: &Attempt) -> String {
    let url = attempt.prepared.authorized.url();
    match place(attempt) {
        Some(Place::Query(name)) => {
            let join = if url.query().is_some() { '&' } else { '?' };
            format!("{}{join}{name}=*", url.as_str())
        }
        _ => url.as_str().to_owned(),
    }
}

fn place(attempt: &Attempt) -> Option<Place> {
    let prepared = &attempt.prepared;
    let slot = prepared.authorized.credential()?;
    prepared.call.connection.settings.credentials.get(slot).map(|credential| credential.place())
}

/// What others say of a failure repeats what a vendor, or a name, made them read: certificates, hosts, frames.
fn outcome_of(failure: Option<&Failure>, masker: &Masker, needles: &Needles) -> Outcome {
    let Some(failure) = failure else { return Outcome::Answered };
    match &failure.error {
        Error::Denied { denial, .. } => {
            Outcome::Denied { reason: denial.reason.clone(), remedy: denial.remedy.clone() }
        }
        Error::Withheld => Outcome::Withheld,
        error => {
            let detail = match &failure.detail {
                Some(detail) => format!("{error}: {detail}"),
                None => error.to_string(),
            };
            let detail = masker.line(&detail, needles, CAPTURE_LINE_BYTES_MAX);
            Outcome::Failed { kind: kind(error), detail }
        }
    }
}

/// The short kind of an error.
pub(crate) fn kind(error: &Error) -> &'static str {
    match error {
        Error::Denied { .. } => "denied",
        Error::Timeout => "timeout",
        Error::Connect(_) => "connect",
        Error::Tls(_) => "tls",
        Error::TooLarge(_) => "too-large",
        Error::Malformed(_) => "malformed",
        Error::RateLimited(_) => "rate-limited",
        Error::Cancelled => "cancelled",
        Error::Unsupported => "unsupported",
        Error::Withheld => "withheld",
        Error::Exhausted { .. } => "exhausted",
    }
}
