//! Named: takes the URLs out of an answer that a `from-response` rule reads, so that the run may ask for exactly these.
//!
//! Why here: outside the echo scan, so that what is taken is what the guest reads, to the byte; inside the credential layer and
//! once per attempt, so that only an answer counts that came whole and was a success (2xx). Of a body only JSON (RFC 8259) is
//! read, in one pass without a tree. Refuses all of a document that names a property twice on the way: it is read in two ways.
use crate::{
    Response,
    limits::{NAMED_FOUND_MAX, SCANNED_INLINE_BYTES_MAX},
    prepared::{Attempt, Prepared},
    scan,
    service::{Answering, Failure, Inner},
    state::lock,
};
use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use portcullis_grants::{FromResponse, Grants, Step, Taken, UrlPlace, limits::URL_BYTES_MAX};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::Semaphore;
use tower::Service;

/// The layer.
#[derive(Clone)]
pub(crate) struct TakeUrls<S> {
    inner: S,
}

impl<S> TakeUrls<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Attempt, Response>> Service<Attempt> for TakeUrls<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let prepared = Arc::clone(&attempt.prepared);
        let grants = &prepared.call.connection.settings.grants;
        if grants.reading(&prepared.authorized).next().is_none() {
            return self.inner.call(attempt);
        }
        let answering = self.inner.call(attempt);
        Box::pin(async move {
            let response = answering.await?;
            if (200..300).contains(&response.status) {
                take(&prepared, &response).await;
            }
            Ok(response)
        })
    }
}

/// Whether URLs are looked for in the body of this answer: it arrives whole, like one that is judged.
pub(crate) fn reads_body(prepared: &Prepared, headers: &HeaderMap) -> bool {
    let grants = &prepared.call.connection.settings.grants;
    let in_body = |from: &FromResponse| from.at.iter().any(|at| matches!(at, UrlPlace::Pointer(_)));
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    grants.reading(&prepared.authorized).any(|(_, from)| in_body(from)) && is_json(content_type)
}

/// Says that it is, or says nothing.
fn is_json(content_type: Option<&[u8]>) -> bool {
    let Some(written) = content_type else { return true };
    let essence = written.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    essence.to_ascii_lowercase().ends_with(b"json")
}

async fn take(prepared: &Prepared, response: &Response) {
    let grants = &prepared.call.connection.settings.grants;
    let mut found = Vec::new();
    for (rule, from) in grants.reading(&prepared.authorized) {
        for at in &from.at {
            let UrlPlace::Header(name) = at else { continue };
            let values = response.headers.iter().filter(|(known, _)| known == name);
            let texts = values.filter_map(|(_, value)| std::str::from_utf8(value).ok());
            found.extend(texts.map(|text| (rule, text.to_owned(), true)));
        }
    }
    let content_type = response.headers.iter().find(|(name, _)| name == "content-type");
    if is_json(content_type.map(|(_, value)| value.as_slice())) {
        let ways = ways(grants, prepared);
        let in_body = read(ways, response.body.clone(), &prepared.call.connection.searches).await;
        found.extend(in_body.into_iter().map(|(rule, text)| (rule, text, false)));
    }
    let mut named = lock(&prepared.call.budget.named);
    for (rule, text, may_be_relative) in found {
        let base = may_be_relative.then(|| prepared.authorized.url());
        if named.take(grants, rule, &text, base) == Taken::OverBound {
            tracing::warn!(connection = %prepared.call.connection.settings.name, "answers name more URLs than a run keeps");
        }
    }
}

/// A rule's number, and the steps that are left.
type Way = (usize, Vec<Step>);

fn ways(grants: &Grants, prepared: &Prepared) -> Vec<Way> {
    let pointer = |at: &UrlPlace| match at {
        UrlPlace::Pointer(steps) => Some(steps.clone()),
        UrlPlace::Header(_) => None,
    };
    let of = |(rule, from): (usize, &FromResponse)| {
        from.at.iter().filter_map(pointer).map(|steps| (rule, steps)).collect::<Vec<_>>()
    };
    grants.reading(&prepared.authorized).flat_map(of).collect()
}

/// A long body is read beside the threads that serve everybody.
async fn read(ways: Vec<Way>, body: Bytes, searches: &Arc<Semaphore>) -> Vec<(usize, String)> {
    if ways.is_empty() || body.is_empty() {
        return Vec::new();
    }
    if body.len() < SCANNED_INLINE_BYTES_MAX {
        return urls(&ways, &body);
    }
    scan::beside(searches, move || urls(&ways, &body)).await.unwrap_or_default()
}

/// What stands at the end of each way, where it may be a URL; nothing of what is no JSON document.
fn urls(ways: &[Way], body: &[u8]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let left = ways.iter().map(|(rule, steps)| (*rule, steps.as_slice())).collect();
    let mut document = serde_json::Deserializer::from_slice(body);
    let walked = Walk { left, found: &mut found }.deserialize(&mut document);
    match walked.and_then(|()| document.end()) {
        Ok(()) => found,
        Err(_) => Vec::new(),
    }
}

/// One value, and the ways that lead to or through it. It is as deep as the longest way: what no way leads through is skipped.
struct Walk<'a> {
    left: Vec<(usize, &'a [Step])>,
    found: &'a mut Vec<(usize, String)>,
}

impl<'a> Walk<'a> {
    fn onward(&self, takes: impl Fn(&Step) -> bool) -> Vec<(usize, &'a [Step])> {
        let through = |(rule, steps): &(usize, &'a [Step])| {
            let (first, rest) = steps.split_first()?;
            takes(first).then_some((*rule, rest))
        };
        self.left.iter().filter_map(through).collect()
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let left = self.onward(|step| step.takes_property(&name));
            if left.is_empty() {
                map.next_value::<IgnoredAny>()?;
            } else if seen.insert(name) {
                map.next_value_seed(Walk { left, found: &mut *self.found })?;
            } else {
                return Err(A::Error::custom("a property is named twice"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for number in 0.. {
            let left = self.onward(|step| step.takes_item(number));
            let more = if left.is_empty() {
                items.next_element::<IgnoredAny>()?.is_some()
            } else {
                items.next_element_seed(Walk { left, found: &mut *self.found })?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let maybe = text.len() <= URL_BYTES_MAX
            && text.as_bytes().get(..4).is_some_and(|http| http.eq_ignore_ascii_case(b"http"));
        for (rule, _) in self.left.iter().filter(|(_, steps)| maybe && steps.is_empty()) {
            if self.found.len() < NAMED_FOUND_MAX {
                self.found.push((*rule, text.to_owned()));
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
