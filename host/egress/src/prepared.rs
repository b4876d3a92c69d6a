//! The requests inside the pipeline: as asked, as parsed, as authorised, and one attempt of it.
use crate::{Payload, Request, echo::Needles, payload::Segments, request::Wanted, state::CallState};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_grants::AuthorizedRequest;
use portcullis_secrets::Attachment;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// As the guest handed it over.
#[derive(Clone)]
pub(crate) struct Asked {
    pub request: Arc<Request>,
    pub call: Arc<CallState>,
    /// The place of an unsafe request among those of the call, where it was given one before it began.
    pub ordinal: Option<u32>,
    pub wanted: Wanted,
}

/// Well formed and within bounds; nothing is decided yet. Method, URL and slot are still the guest's text.
pub(crate) struct Parsed {
    pub asked: Asked,
    pub headers: HeaderMap,
    /// Monotonic time at which all of it is over.
    pub deadline: Duration,
    pub response_bytes_max: u64,
}

/// What the host adds. Apart from the authorised request, which nothing changes.
#[derive(Default)]
pub(crate) struct Additions {
    /// `Accept-Encoding`, `User-Agent`, the idempotency header. The guest can't have set any of them, but for the
    /// agent's name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The idempotency key that is sent.
    pub key: Option<String>,
}

/// Authorised. Only `dial` renders it onto the wire.
pub(crate) struct Prepared {
    pub call: Arc<CallState>,
    pub authorized: AuthorizedRequest,
    /// The guest's.
    pub headers: HeaderMap,
    pub additions: Additions,
    pub body: Option<Bytes>,
    pub payload: Option<Payload>,
    /// The payload as it goes out; set with the key, which its boundary follows from.
    pub segments: Option<Segments>,
    pub guest_key: Option<String>,
    /// See `Asked`.
    pub ordinal: Option<u32>,
    pub deadline: Duration,
    pub response_bytes_max: u64,
    pub wanted: Wanted,
    /// An attempt of this request left and its answer was lost, now or before a crash.
    pub lost: AtomicBool,
    /// An attempt of this request was answered otherwise than with a refusal.
    pub acted: AtomicBool,
    /// Monotonic time from which on it may not be sent again where only the rule's `idempotency` allows that.
    pub repeats_until: Option<Duration>,
    left: AtomicBool,
}

impl Prepared {
    pub fn new(parsed: Parsed, authorized: AuthorizedRequest) -> Self {
        Self {
            authorized,
            headers: parsed.headers,
            additions: Additions::default(),
            body: parsed.asked.request.body.clone(),
            payload: parsed.asked.request.payload.clone(),
            segments: None,
            guest_key: parsed.asked.request.idempotency_key.clone(),
            ordinal: parsed.asked.ordinal,
            deadline: parsed.deadline,
            response_bytes_max: parsed.response_bytes_max,
            wanted: parsed.asked.wanted,
            lost: AtomicBool::new(false),
            acted: AtomicBool::new(false),
            repeats_until: None,
            left: AtomicBool::new(false),
            call: parsed.asked.call,
        }
    }

    /// It may have an effect, and this is a dry run: it is made ready and never leaves.
    pub fn is_withheld(&self) -> bool {
        self.call.context.dry_run && !self.authorized.is_safe()
    }

    /// Bytes of it may be written from now on: until an answer proves otherwise, an unsafe one has an unproven effect.
    pub fn leave(&self) {
        if !self.authorized.is_safe() && !self.left.swap(true, Ordering::SeqCst) {
            self.call.unproven.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// What became of it is known: an answer arrived, or no byte was ever written.
    pub fn prove(&self) {
        if self.left.swap(false, Ordering::SeqCst) {
            self.call.unproven.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// An earlier attempt may have had an effect: its answer was lost, or was no refusal.
    pub fn may_have_acted(&self) -> bool {
        self.lost.load(Ordering::SeqCst) || self.acted.load(Ordering::SeqCst)
    }

    /// Time that is left; zero where it is over.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_sub(self.call.now())
    }

    /// Bytes of the body.
    pub fn body_bytes(&self) -> u64 {
        match (&self.segments, &self.body) {
            (Some(segments), _) => segments.bytes(),
            (None, Some(body)) => body.len() as u64,
            (None, None) => 0,
        }
    }

    /// Bytes of one attempt, without the credential's.
    pub fn wire_bytes(&self) -> u64 {
        let own = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
        let added = self
            .additions
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum::<usize>();
        ((self.authorized.url().as_str().len() + own + added) as u64).saturating_add(self.body_bytes())
    }
}

/// One attempt.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub prepared: Arc<Prepared>,
    /// 1 = first.
    pub number: u32,
    /// What the credential layer attaches.
    pub credential: Option<Arc<Attachment>>,
    pub trace: Arc<Trace>,
}

impl Attempt {
    pub fn new(prepared: Arc<Prepared>, number: u32) -> Self {
        Self { prepared, number, credential: None, trace: Arc::default() }
    }
}

/// What the inner layers note for the exchange log, so that a failed or dropped attempt tells as much as a whole one.
#[derive(Default)]
pub(crate) struct Trace(Mutex<Noted>);

/// The notes.
#[derive(Default)]
pub(crate) struct Noted {
    /// The credential's name.
    pub credential: Option<String>,
    /// Live secrets of the connection.
    pub needles: Option<Arc<Needles>>,
    /// The request was handed to the transport.
    pub dialled: bool,
    pub peer: Option<SocketAddr>,
    pub protocol: Option<&'static str>,
    pub status: Option<u16>,
    /// Of an answer whose body failed.
    pub response_headers: Vec<(String, Vec<u8>)>,
    pub echoes: u32,
}

impl Trace {
    pub fn note<T>(&self, note: impl FnOnce(&mut Noted) -> T) -> T {
        note(&mut crate::state::lock(&self.0))
    }
}
