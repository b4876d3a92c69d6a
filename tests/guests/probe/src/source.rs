//! `source`: pages as `config` orders them.

use crate::{
    Error, ErrorKind, Probe, assets,
    exports::portcullis::connector::source::{Guest, Page, Position, ReadRequest},
    fault, parse,
    portcullis::connector::types::StreamDescriptor,
};
use serde::Deserialize;

/// Everything may be left out: then there is one page with one record.
#[derive(Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct Orders {
    /// How many pages a read from the start has.
    pages: u64,
    per_page: u64,
    /// Bytes of padding in each record.
    record_bytes: usize,
    /// The positions go A, B, A, B …
    #[serde(rename = "loop")]
    circle: bool,
    /// This page (from 0) holds so many bytes of one record.
    big_page: Option<u64>,
    big_bytes: usize,
    /// This page holds a line that is no object.
    invalid_page: Option<u64>,
    /// This page holds no records and asks to be called again after so many milliseconds.
    again_page: Option<u64>,
    again_after_ms: u64,
    /// This page answers an error of this kind.
    error_page: Option<u64>,
    /// A checkpoint on each page, or only on the last.
    checkpoints: bool,
    /// What `lifecycle.check` answers.
    check_fails: bool,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            pages: 1,
            per_page: 1,
            record_bytes: 0,
            circle: false,
            big_page: None,
            big_bytes: 0,
            invalid_page: None,
            again_page: None,
            again_after_ms: 1_000,
            error_page: None,
            checkpoints: true,
            check_fails: false,
        }
    }
}

impl crate::exports::portcullis::connector::lifecycle::Guest for Probe {
    fn check(config: String) -> Result<(), Error> {
        let orders: Orders = parse(&config, ErrorKind::InvalidConfig)?;
        if orders.check_fails { Err(fault(ErrorKind::Unauthorized, "told to fail")) } else { Ok(()) }
    }
}

impl Guest for Probe {
    fn discover(_config: String) -> Result<Vec<StreamDescriptor>, Error> {
        Ok(vec![StreamDescriptor {
            name: "rows".to_owned(),
            schema: r#"{"type":"object"}"#.to_owned(),
            primary_key: vec!["id".to_owned()],
            cursor_field: Some("id".to_owned()),
            deleted_field: None,
            complete_reads: true,
        }])
    }

    fn read(config: String, request: ReadRequest) -> Result<Page, Error> {
        if request.stream_name == "typed" {
            return typed::page();
        }
        let orders: Orders = parse(&config, ErrorKind::InvalidConfig)?;
        let page: u64 = match &request.position {
            Position::Start => 0,
            // A later read begins with the page after the one that the checkpoint names.
            Position::Checkpoint(json) => page_of(json)? + 1,
            Position::Next(json) => page_of(json)?,
        };
        if orders.error_page == Some(page) {
            return Err(fault(ErrorKind::Unavailable, "told to fail on this page"));
        }
        let waits = orders.again_page == Some(page);
        let records = if waits || page >= orders.pages { String::new() } else { records(&orders, page) };
        let next = if orders.circle {
            Some(1 + page % 2)
        } else {
            Some(page + 1).filter(|next| *next < orders.pages)
        };
        let last = next.is_none();
        Ok(Page {
            records: records.into_bytes(),
            next: next.map(|next| next.to_string()),
            checkpoint: (orders.checkpoints || last).then(|| page.to_string()),
            again_after_ms: waits.then_some(orders.again_after_ms),
        })
    }
}

/// A page's number, or what `migration` made of one.
fn page_of(position: &str) -> Result<u64, Error> {
    let position: serde_json::Value = parse(position, ErrorKind::PositionExpired)?;
    let page = position.as_u64().or_else(|| position["position"].as_u64());
    page.ok_or_else(|| fault(ErrorKind::PositionExpired, "no position of mine"))
}

/// What most connectors do with an answer: read it into their own types, write each record as a line.
mod typed {
    use super::{Error, ErrorKind, Page, assets, fault};

    include!("typed_record.rs");

    /// The asset `answer` as one page.
    pub fn page() -> Result<Page, Error> {
        let Some(answer) = assets::get("answer") else {
            return Err(fault(ErrorKind::NotFound, "no asset `answer`"));
        };
        let records = lines(&answer).map_err(|error| fault(ErrorKind::ContractDrift, error.to_string()))?;
        Ok(Page { records, next: None, checkpoint: None, again_after_ms: None })
    }
}

fn records(orders: &Orders, page: u64) -> String {
    if orders.big_page == Some(page) {
        return format!("{{\"id\":0,\"text\":\"{}\"}}\n", "x".repeat(orders.big_bytes));
    }
    let padding = "x".repeat(orders.record_bytes);
    let mut records = String::new();
    for row in 0..orders.per_page {
        let id = page * orders.per_page + row;
        records.push_str(&format!("{{\"id\":{id},\"page\":{page},\"text\":\"{padding}\"}}\n"));
    }
    if orders.invalid_page == Some(page) {
        records.push_str("[\"no object\"]\n");
    }
    records
}
