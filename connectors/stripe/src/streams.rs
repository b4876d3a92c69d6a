//! The streams. Stripe lists every kind of object the same way: newest first by `created`, a page after a given id with
//! `starting_after`, and only what was created at or after a second with `created[gte]`.
//!
//! An incremental read loses nothing that was created, for this reason. Let `max` be the greatest `created` that a read saw.
//! 1. Whatever exists when its first page is answered, and is not older than the read's `since`, is listed by this read:
//!    the pages follow each other by id to the end, so an object that appears in front meanwhile moves none of them.
//! 2. Whatever is created after that is not older than `max`, since Stripe's clock does not run backwards. It may share
//!    the second of `max`; the next read asks for `created[gte]=max` and not `created[gt]`, so it is listed then.
//!
//! The objects of that one second are read again, under the same ids: nothing new to a reader that upserts by `id`.
//!
//! The pages descend, so until the last one there are unread objects below `max`. Only the last page carries a checkpoint;
//! a read that is broken off resumes at its `next`, which holds `since`, the last id and `max`.
use crate::request;
use portcullis_sdk::{
    Error, ErrorKind, Page, ReadRequest, Result, StreamDescriptor, http::Response, json, paging,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What Stripe sends at most in one page.
pub(crate) const PAGE_RECORDS_MAX: u32 = 100;

/// One stream: a list of Stripe's.
pub(crate) struct Stream {
    pub(crate) name: &'static str,
    /// Its path below `/v1/`.
    path: &'static str,
    schema: &'static str,
    /// Without it Stripe would leave something out.
    everything: Option<(&'static str, &'static str)>,
}

/// All streams, in the order of `connector.toml`.
pub(crate) const ALL: [Stream; 6] = [
    Stream::new("customers", "customers", include_str!("../schemas/customer.json")),
    Stream::new("invoices", "invoices", include_str!("../schemas/invoice.json")),
    Stream::new("charges", "charges", include_str!("../schemas/charge.json")),
    Stream {
        // Unasked, Stripe lists no subscription that was cancelled.
        everything: Some(("status", "all")),
        ..Stream::new("subscriptions", "subscriptions", include_str!("../schemas/subscription.json"))
    },
    Stream::new("payment-intents", "payment_intents", include_str!("../schemas/payment-intent.json")),
    Stream::new("events", "events", include_str!("../schemas/event.json")),
];

/// A page of any list. The records stay text: no digit or key of theirs is printed anew.
#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    has_more: bool,
}

/// What this connector reads of a record.
#[derive(Deserialize)]
struct Key<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    created: i64,
}

impl Stream {
    const fn new(name: &'static str, path: &'static str, schema: &'static str) -> Self {
        Self { name, path, schema, everything: None }
    }

    pub(crate) fn descriptor(&self) -> StreamDescriptor {
        StreamDescriptor::new(self.name, self.schema).primary_key(["id"]).cursor_field("created")
    }

    /// Reads the page at the request's position.
    pub(crate) fn read(&self, request: &ReadRequest, page_size: u32) -> Result<Page> {
        let read = paging::Read::<i64>::of(request)?;
        let limit = page_size.min(request.max_records.unwrap_or(PAGE_RECORDS_MAX)).clamp(1, PAGE_RECORDS_MAX);
        let response = request::get(self.path)
            .query("limit", limit)
            .query_pairs(self.everything)
            .query_opt("created[gte]", read.since())
            .query_opt("starting_after", read.token())
            .send()?;
        if read.token().is_some() && forgot_position(&response) {
            return Err(Error::new(
                ErrorKind::PositionExpired,
                "the object that this read stood at was deleted",
            ));
        }
        page(read, response.error_for_status()?.text()?)
    }
}

/// Stripe can't go on after an object that it no longer has; the host then reads again from the last checkpoint.
fn forgot_position(response: &Response) -> bool {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        error: Fault<'a>,
    }
    #[derive(Deserialize)]
    struct Fault<'a> {
        #[serde(borrow)]
        code: Option<Cow<'a, str>>,
        #[serde(borrow)]
        param: Option<Cow<'a, str>>,
    }
    matches!(response.status(), 400 | 404)
        && response.text().and_then(json::parse::<Answer>).is_ok_and(|answer| {
            answer.error.code.as_deref() == Some("resource_missing")
                && answer.error.param.as_deref() == Some("starting_after")
        })
}

/// The page that Stripe's answer holds, and where the read goes on.
fn page(mut read: paging::Read<i64>, answer: &str) -> Result<Page> {
    let list: List = json::parse(answer)?;
    let mut page = Page::new();
    let mut last = None;
    for record in list.data {
        let key: Key = json::parse(record.get())?;
        page.push_raw(record);
        read.see(key.created);
        last = Some(key.id.into_owned());
    }
    match (list.has_more, last) {
        // To call this the end would make a checkpoint above what was never read.
        (true, None) => {
            Err(Error::new(ErrorKind::ContractDrift, "`has_more` is true on a page without records"))
        }
        (true, last) => read.finish(page, last),
        (false, _) => read.finish(page, None),
    }
}

#[cfg(test)]
mod tests;
