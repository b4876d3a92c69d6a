//! Credential: fetches what the slot's credential attaches, and knows every live secret of the connection.
//!
//! Why here: inside retry and rate limit, so that a rotated secret is picked up by the next attempt and none is
//! held while waiting; outside the echo scan, which needs to know what to look for. The value travels beside the
//! authorised request in a type without `Debug`, and only `dial` renders it.
//!
//! Refuses: a slot without a binding, a secret that can't be had, a credential that would attach nothing, and a
//! use whose audit row could not be stored.
use crate::{
    Response,
    echo::Needles,
    limits::{ATTACHMENT_AGE_MAX, PREDECESSORS_MAX, SCANNED_AGE_MAX},
    prepared::{Attempt, Prepared},
    service::{Answering, Failure, Inner},
    state::{ConnectionState, lock},
};
use portcullis_secrets::{Attachment, Secret, SecretError};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tower::Service;

/// The layer.
#[derive(Clone)]
pub(crate) struct AttachCredential<S> {
    inner: S,
}

impl<S> AttachCredential<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Attempt, Response>> Service<Attempt> for AttachCredential<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut attempt: Attempt) -> Self::Future {
        let mut inner = self.inner.clone();
        Box::pin(async move {
            attempt.credential = attach(&attempt).await?;
            inner.call(attempt).await
        })
    }
}

async fn attach(attempt: &Attempt) -> Result<Option<Arc<Attachment>>, Failure> {
    let prepared = &attempt.prepared;
    let connection = &prepared.call.connection;
    let Some(slot) = prepared.authorized.credential() else {
        let needles = connection.attachments.refresh_scanned(connection).await;
        attempt.trace.note(|noted| noted.needles = Some(needles));
        return Ok(None);
    };
    let credential = connection.bound(slot)?;
    let refreshed = connection.attachments.refresh(connection, slot).await;
    let (attachment, needles) = refreshed.map_err(|error| {
        let reason = format!("credential `{}` of slot `{slot}`: {}", credential.name, chain(&error));
        Failure::denied(reason, error.remedy())
    })?;
    attempt.trace.note(|noted| {
        noted.credential = Some(credential.name.clone());
        noted.needles = Some(needles);
    });
    if attachment.header.is_none() && attachment.query.is_none() {
        return Err(Failure::denied(
            format!("credential `{}` of slot `{slot}` attaches nothing", credential.name),
            None,
        ));
    }
    // What is held back uses none.
    if !prepared.is_withheld() {
        audit(prepared, &credential.name).await?;
    }
    Ok(Some(attachment))
}

/// The audit row of (step, credential, rule) is durable before the first use; the store counts the later ones.
async fn audit(prepared: &Prepared, credential: &str) -> Result<(), Failure> {
    let (call, rule) = (&prepared.call, prepared.authorized.manifest_rule());
    let context = &call.context;
    let stored = call.egress().intents.secret_use(&context.run_id, &context.step, credential, rule).await;
    stored.map_err(|error| {
        Failure::denied(format!("no audit row for credential `{credential}`: {error}"), None)
    })
}

/// Error and causes, which name references and never bytes.
fn chain(error: &SecretError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What the slots of one connection attach, fetched a short time ago, and the needles of all of them.
#[derive(Default)]
pub(crate) struct Attachments(Mutex<Fetched>);

#[derive(Default)]
struct Fetched {
    slots: BTreeMap<String, Slot>,
    needles: Option<Arc<Needles>>,
}

#[derive(Default)]
struct Slot {
    at: Duration,
    attachment: Option<Arc<Attachment>>,
    /// Rotated secrets: a vendor may honour, and repeat, an old one for a while.
    predecessors: VecDeque<Secret>,
}

impl Attachments {
    /// The needles as they are known now.
    pub fn needles(&self) -> Arc<Needles> {
        let mut fetched = lock(&self.0);
        Arc::clone(fetched.needles.get_or_insert_with(|| Arc::new(Needles::new([]))))
    }

    /// The attachment of `slot`, at most a second old, and the needles of all slots.
    async fn refresh(
        &self,
        connection: &ConnectionState,
        slot: &str,
    ) -> Result<(Arc<Attachment>, Arc<Needles>), SecretError> {
        for name in self.due(connection, Some(slot)) {
            self.fetch(connection, &name, name == slot).await?;
        }
        // Bound first: a guard in the condition would live through the body, which locks again.
        let held = lock(&self.0).slots.get(slot).and_then(|slot| slot.attachment.clone());
        if let Some(attachment) = held {
            return Ok((attachment, self.needles()));
        }
        // Another request's failed fetch came between: this one asks for itself.
        let attachment = self.fetch(connection, slot, true).await?;
        Ok((attachment.unwrap_or_else(|| Arc::new(nothing())), self.needles()))
    }

    /// The needles of all slots, for a request that uses none.
    pub async fn refresh_scanned(&self, connection: &ConnectionState) -> Arc<Needles> {
        for name in self.due(connection, None) {
            // Not needed here; a secret that can't be had is in no answer either.
            let _ = self.fetch(connection, &name, false).await;
        }
        self.needles()
    }

    fn due(&self, connection: &ConnectionState, used: Option<&str>) -> Vec<String> {
        let (now, fetched) = (connection.egress.clock.monotonic(), lock(&self.0));
        let mut due = Vec::new();
        for name in connection.settings.credentials.keys() {
            let age_max = if used == Some(name) { ATTACHMENT_AGE_MAX } else { SCANNED_AGE_MAX };
            let fresh = fetched.slots.get(name).is_some_and(|slot| {
                now.saturating_sub(slot.at) < age_max && (slot.attachment.is_some() || used != Some(name))
            });
            if !fresh {
                due.push(name.clone());
            }
        }
        due
    }

    async fn fetch(
        &self,
        connection: &ConnectionState,
        name: &str,
        used: bool,
    ) -> Result<Option<Arc<Attachment>>, SecretError> {
        let Some(credential) = connection.settings.credentials.get(name) else { return Ok(None) };
        let outcome = credential.attachment(&connection.settings.providers).await;
        let at = connection.egress.clock.monotonic();
        let mut guard = lock(&self.0);
        let fetched = &mut *guard;
        let slot = fetched.slots.entry(name.to_owned()).or_default();
        slot.at = at;
        let attachment = match outcome {
            Ok(attachment) => Arc::new(attachment),
            Err(error) if used => {
                if let Some(old) = slot.attachment.take() {
                    slot.keep(&old);
                }
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(connection = %connection.settings.name, slot = name, %error, "not scanned for");
                return Ok(None);
            }
        };
        let old = slot.attachment.replace(Arc::clone(&attachment));
        let same = old.as_ref().is_some_and(|old| same_secrets(&old.needles, &attachment.needles));
        if let Some(old) = old.filter(|_| !same) {
            slot.keep(&old);
        }
        if !same || fetched.needles.is_none() {
            let secrets = fetched.slots.values().flat_map(|slot| {
                let live = slot.attachment.iter().flat_map(|attachment| &attachment.needles);
                live.chain(&slot.predecessors)
            });
            fetched.needles = Some(Arc::new(Needles::new(secrets)));
        }
        Ok(Some(attachment))
    }
}

impl Slot {
    fn keep(&mut self, old: &Attachment) {
        for secret in &old.needles {
            if self.predecessors.iter().any(|known| known.expose() == secret.expose()) {
                continue;
            }
            if self.predecessors.len() >= PREDECESSORS_MAX {
                self.predecessors.pop_front();
            }
            self.predecessors.push_back(secret.clone());
        }
    }
}

fn same_secrets(a: &[Secret], b: &[Secret]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.expose() == b.expose())
}

fn nothing() -> Attachment {
    Attachment { header: None, query: None, needles: Vec::new() }
}

#[cfg(test)]
mod tests;
