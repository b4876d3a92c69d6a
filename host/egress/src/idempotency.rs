//! Keys and intents: what was going to be sent is durable before it is sent.
//!
//! Why here: behind every refusal, so that an intent means "this was about to leave", and before retry, so that
//! all attempts of one request carry one key and are one intent.
//!
//! When an effect counts as unproven: an unsafe request left (some byte of it may have been written), and nothing
//! says what became of it. Any HTTP status is an answer, a 5xx too: the vendor said how it ended. A lost answer is
//! none, with a key or without. After a loss a later attempt's answer settles the matter only where it speaks of
//! the operation itself: not 409 (the first one may still run), 425, 429 or 5xx.
//!
//! When an effect is ruled out: nothing of the request was ever written, or every attempt of it was refused (4xx). A
//! 4xx that follows a lost answer or a 5xx rules nothing out: a `DELETE` that worked is answered 404 the second time.
//!
//! A vendor forgets keys: a repetition that only the rule's `idempotency` allows is bound to the rule's `window`,
//! counted from the first time that the intent was stored. `retry` looks at it before each attempt.
use crate::{
    Error, Payload, Response,
    limits::{INTENT_URL_BYTES_MAX, KEY_BYTES_MAX},
    prepared::Prepared,
    service::{Answering, Failure, Inner},
};
use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use sha2::{Digest, Sha256};
use std::{
    fmt::Write,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

/// An unsafe request that is about to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Run.
    pub run_id: String,
    /// Step.
    pub step: String,
    /// Call.
    pub call: String,
    /// Ordinal of the unsafe request in the call, from 0.
    pub ordinal: u32,
    /// Method.
    pub method: String,
    /// Masked URL, for people, shortened: the exchange log has more of it.
    pub url: String,
    /// Hash of the exact URL and body: a repeat with other bytes is refused.
    pub request_hash: String,
    /// Key that is sent (the guest's or derived); None where the rule declares no idempotency.
    pub key: Option<String>,
    /// May it be sent again without an answer (rule has idempotency, or the method is idempotent by RFC 9110)?
    pub repeatable: bool,
}

/// What was stored before for this (call, ordinal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prior {
    /// Nothing: this one was stored.
    New,
    /// The same request: send with this key.
    Same {
        /// The stored key.
        key: Option<String>,
        /// Since it was first stored.
        age: Duration,
        /// What came of it before rules an effect out: it is proven, and a refusal.
        refused: bool,
    },
    /// Other bytes: refuse; the step becomes `unknown`.
    Different,
}

/// How an unsafe request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentEnd {
    /// It is known how: an HTTP status arrived, or no byte was written.
    pub proven: bool,
    /// An effect is ruled out: the vendor refused every attempt (4xx), or no byte was written. Never without `proven`.
    pub refused: bool,
    /// For people.
    pub outcome: String,
}

/// The intent could not be stored: nothing may be sent.
#[derive(Debug, thiserror::Error)]
#[error("the intent could not be stored: {0}")]
pub struct IntentError(pub String);

/// Durable intents and audit rows of one data folder.
#[async_trait::async_trait]
pub trait Intents: Send + Sync {
    /// Durable when it returns.
    async fn begin(&self, intent: Intent) -> Result<Prior, IntentError>;
    /// The request is over, and how it ended.
    async fn end(
        &self,
        run_id: &str,
        step: &str,
        call: &str,
        ordinal: u32,
        end: IntentEnd,
    ) -> Result<(), IntentError>;
    /// An audit row per (step, credential, rule), durable before the first use; cheap when it is there already.
    async fn secret_use(
        &self,
        run_id: &str,
        step: &str,
        credential: &str,
        rule: &str,
    ) -> Result<(), IntentError>;
}

/// The layer.
#[derive(Clone)]
pub(crate) struct Idempotency<S> {
    inner: S,
}

impl<S> Idempotency<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Arc<Prepared>, Response>> Service<Prepared> for Idempotency<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, prepared: Prepared) -> Self::Future {
        let mut inner = self.inner.clone();
        Box::pin(async move { send(&mut inner, prepared).await })
    }
}

async fn send<S: Inner<Arc<Prepared>, Response>>(
    inner: &mut S,
    mut prepared: Prepared,
) -> Result<Response, Failure> {
    if prepared.guest_key.is_some() && prepared.authorized.attributes().idempotency.is_none() {
        // Silently dropping it would let the guest believe that a repeat is harmless.
        let reason = format!(
            "the request brings an idempotency key, but {} declares no idempotency",
            prepared.authorized.manifest_place()
        );
        let remedy = "# connector.toml, in the rule's [[http]] table\nidempotency = { header = \"Idempotency-Key\", window = \"24h\" }";
        return Err(Failure::denied(reason, Some(remedy.to_owned())));
    }
    if prepared.authorized.is_safe() {
        let key = prepared.guest_key.take();
        lay_out(&mut prepared, key.as_deref(), 0)?;
        attach(&mut prepared, key)?;
        return inner.call(Arc::new(prepared)).await;
    }
    if prepared.is_withheld() {
        // It never leaves, so there is nothing to store; it shows the key that it would have.
        let (ordinal, key) = place_and_key(&mut prepared);
        lay_out(&mut prepared, key.as_deref(), ordinal)?;
        attach(&mut prepared, key)?;
        return inner.call(Arc::new(prepared)).await;
    }
    let ordinal = begin(&mut prepared).await?;
    let prepared = Arc::new(prepared);
    let outcome = inner.call(Arc::clone(&prepared)).await;
    end(&prepared, ordinal, &outcome).await;
    outcome
}

/// Makes the intent durable and sets the key that holds: the stored one, where this is a repetition.
async fn begin(prepared: &mut Prepared) -> Result<u32, Failure> {
    let call = Arc::clone(&prepared.call);
    let declared = prepared.authorized.attributes().idempotency.is_some();
    let (ordinal, key) = place_and_key(prepared);
    // What can't be sent leaves no intent behind.
    lay_out(prepared, None, ordinal)?;
    let needles = call.connection.attachments.needles();
    let intent = Intent {
        run_id: call.context.run_id.clone(),
        step: call.context.step.clone(),
        call: call.context.call.clone(),
        ordinal,
        method: prepared.authorized.method().as_str().to_owned(),
        url: call.connection.masker.sent_url(
            prepared.authorized.url().as_str(),
            prepared.authorized.is_named(),
            &needles,
            INTENT_URL_BYTES_MAX,
        ),
        request_hash: request_hash(prepared).await?,
        key: key.clone(),
        repeatable: declared || prepared.authorized.method().is_idempotent(),
    };
    let asked_at = call.now();
    match call.egress().intents.begin(intent).await {
        Ok(Prior::New) => {
            prepared.repeats_until = repeats_until(prepared, asked_at, Duration::ZERO);
            if key.is_some() {
                lay_out(prepared, key.as_deref(), ordinal)?;
            }
            attach(prepared, key)?;
        }
        Ok(Prior::Same { key: stored, age, refused }) => {
            prepared.repeats_until = repeats_until(prepared, asked_at, age);
            if !refused {
                // It may have done something before: only an answer that speaks of the operation settles it now.
                prepared.lost.store(true, Ordering::SeqCst);
                prepared.leave();
            }
            if stored.is_some() {
                lay_out(prepared, stored.as_deref(), ordinal)?;
            }
            attach(prepared, stored)?;
        }
        Ok(Prior::Different) => {
            call.unproven.fetch_add(1, Ordering::SeqCst);
            let reason = format!(
                "unsafe request {ordinal} of this call was stored with other bytes before: a repetition must be the same"
            );
            return Err(Failure::denied(reason, None));
        }
        Err(error) => return Err(Failure::denied(error.to_string(), None)),
    }
    Ok(ordinal)
}

/// Its place among the unsafe requests of the call, and its key: the guest's, or derived where the rule declares one.
fn place_and_key(prepared: &mut Prepared) -> (u32, Option<String>) {
    let ordinal = prepared.ordinal.unwrap_or_else(|| prepared.call.ordinal.fetch_add(1, Ordering::SeqCst));
    let declared = prepared.authorized.attributes().idempotency.is_some();
    let key = match prepared.guest_key.take() {
        Some(key) => Some(key),
        None => declared.then(|| derived_key(prepared, ordinal)),
    };
    (ordinal, key)
}

/// When the last repetition may leave that only the rule's `idempotency` allows; none where repeating needs none.
fn repeats_until(prepared: &Prepared, stored_at: Duration, age: Duration) -> Option<Duration> {
    let declared = prepared.authorized.attributes().idempotency.as_ref()?;
    let bound = !prepared.authorized.method().is_idempotent();
    bound.then(|| stored_at.saturating_add(declared.window.saturating_sub(age)))
}

/// Refuses a repetition whose key the vendor may have forgotten.
pub(crate) fn refuse_after_window(prepared: &Prepared) -> Result<(), Failure> {
    let late = prepared.repeats_until.is_some_and(|until| prepared.call.now() >= until);
    match &prepared.authorized.attributes().idempotency {
        Some(declared) if late && prepared.may_have_acted() => {
            let reason = format!(
                "the idempotency window of {:?} in {} is over: the vendor may have forgotten the key, and the request would count as another one",
                declared.window,
                prepared.authorized.manifest_place()
            );
            Err(Failure::denied(reason, None))
        }
        _ => Ok(()),
    }
}

async fn end(prepared: &Prepared, ordinal: u32, outcome: &Result<Response, Failure>) {
    let lost = prepared.lost.load(Ordering::SeqCst);
    let proven = match status(outcome) {
        Some(status) => !lost || settles(status),
        None => unsent(outcome) && !lost,
    };
    if proven {
        prepared.prove();
    }
    let refused = proven && !prepared.may_have_acted() && status(outcome).is_none_or(is_refusal);
    let end = IntentEnd { proven, refused, outcome: outcome_text(outcome) };
    let (call, context) = (&prepared.call, &prepared.call.context);
    let intents = &call.egress().intents;
    let ended = intents.end(&context.run_id, &context.step, &context.call, ordinal, end).await;
    if let Err(error) = ended {
        // The intent stays open, which errs to the safe side: after a crash it reads as unproven.
        tracing::error!(run = %context.run_id, ordinal, %error, "an intent could not be closed");
    }
}

/// Whether an answer that follows a lost one tells what became of the operation.
fn settles(status: u16) -> bool {
    status < 500 && !matches!(status, 409 | 425 | 429)
}

/// The vendor says that it did nothing.
pub(crate) fn is_refusal(status: u16) -> bool {
    (400..500).contains(&status)
}

pub(crate) fn status(outcome: &Result<Response, Failure>) -> Option<u16> {
    match outcome {
        Ok(response) => Some(response.status),
        Err(failure) => failure.status,
    }
}

pub(crate) fn unsent(outcome: &Result<Response, Failure>) -> bool {
    outcome.as_ref().is_err_and(|failure| failure.unsent)
}

fn outcome_text(outcome: &Result<Response, Failure>) -> String {
    match outcome {
        Ok(response) => format!("status {}", response.status),
        Err(failure) => match failure.status {
            Some(status) => format!("status {status}, then {}", crate::exchange_log::kind(&failure.error)),
            None => crate::exchange_log::kind(&failure.error).to_owned(),
        },
    }
}

fn attach(prepared: &mut Prepared, key: Option<String>) -> Result<(), Failure> {
    let Some(declared) = &prepared.authorized.attributes().idempotency else { return Ok(()) };
    let Some(key) = key else { return Ok(()) };
    let header = (HeaderName::from_bytes(declared.header.as_bytes()), HeaderValue::from_str(&key));
    let (Ok(name), Ok(value)) = header else {
        return Err(Failure::denied(format!("idempotency header `{}` can't be sent", declared.header), None));
    };
    prepared.additions.headers.push((name, value));
    prepared.additions.key = Some(key);
    Ok(())
}

/// Hash of (run, step, call, rule, ordinal), each with its length before it so that no two tuples read the same.
/// The position in a `send-all` is in the ordinal: see `Call::send_all`.
fn derived_key(prepared: &Prepared, ordinal: u32) -> String {
    let context = &prepared.call.context;
    let ordinal = ordinal.to_string();
    hash(&[
        b"portcullis idempotency key 1",
        context.run_id.as_bytes(),
        context.step.as_bytes(),
        context.call.as_bytes(),
        prepared.authorized.manifest_rule().as_bytes(),
        ordinal.as_bytes(),
    ])
}

/// The same for a repetition, which sends the same bytes.
fn boundary(key: &str) -> String {
    format!("portcullis-{}", &hash(&[b"portcullis boundary 1", key.as_bytes()])[..40])
}

/// The payload's segments, and the type that names its boundary: it follows from the key, or from the one that would be derived.
fn lay_out(prepared: &mut Prepared, key: Option<&str>, ordinal: u32) -> Result<(), Failure> {
    let Some(payload) = &prepared.payload else { return Ok(()) };
    let boundary = match key {
        Some(key) => boundary(key),
        None => boundary(&derived_key(prepared, ordinal)),
    };
    prepared.segments = Some(payload.segments(&boundary)?);
    if matches!(payload, Payload::Multipart(_)) {
        let value = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"));
        let value = value.map_err(|_| Failure::denied("the boundary can't be sent", None))?;
        let headers = &mut prepared.additions.headers;
        headers.retain(|(name, _)| name != CONTENT_TYPE);
        headers.push((CONTENT_TYPE, value));
    }
    Ok(())
}

async fn request_hash(prepared: &Prepared) -> Result<String, Failure> {
    let fingerprint = match &prepared.payload {
        Some(payload) => Some(payload.fingerprint().await.map_err(|error| {
            Failure::unsent(Error::Malformed("the body could not be read".to_owned()))
                .detail(error.to_string())
        })?),
        None => None,
    };
    let body = fingerprint.as_deref().or(prepared.body.as_deref());
    let kind: &[u8] = match (&fingerprint, body) {
        (Some(_), _) => b"payload",
        (None, Some(_)) => b"body",
        (None, None) => b"none",
    };
    Ok(hash(&[
        b"portcullis request 1",
        prepared.authorized.method().as_str().as_bytes(),
        prepared.authorized.url().as_str().as_bytes(),
        kind,
        body.unwrap_or_default(),
    ]))
}

/// SHA-256 in hex: 64 characters.
fn hash(fields: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for field in fields {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    let digest = hasher.finalize();
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

const _: () = assert!(64 <= KEY_BYTES_MAX);

#[cfg(test)]
mod tests;
