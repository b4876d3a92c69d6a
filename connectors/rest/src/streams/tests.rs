#![allow(clippy::unwrap_used)]
//! Reads over a list that the test keeps: nothing is lost, whatever shares the last second.
use crate::Rest;
use portcullis_sdk::{
    Config, ErrorKind, Page, Position, ReadRequest, Result, Source,
    harness::{Sent, with_vendor},
    http::Response,
    json::Json,
};
use serde_json::{Value, json};
use std::{cell::RefCell, collections::BTreeSet, rc::Rc};

fn config(stream: Value) -> Config {
    let config =
        json!({ "base-url": "https://api.test", "query": { "v": 1 }, "streams": { "rows": stream } });
    Config::new(config.to_string())
}

fn read(config: &Config, position: Position) -> Result<Page> {
    let request = ReadRequest { stream_name: "rows".into(), position, max_records: Some(2) };
    Rest::read(config.clone(), request)
}

/// The records of the whole read, its last checkpoint, and how many pages there were.
fn drain(config: &Config, mut position: Position) -> (Vec<Value>, Option<Json>, usize) {
    let (mut records, mut checkpoint) = (Vec::new(), None);
    for pages in 1..100 {
        let page = read(config, position).unwrap();
        records.extend(page.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        checkpoint = page.checkpoint_position().cloned().or(checkpoint);
        match page.next_position() {
            Some(next) => position = Position::Next(next.clone()),
            None => return (records, checkpoint, pages),
        }
    }
    panic!("the read has no end")
}

fn pairs(request: &Sent) -> Vec<(&str, &str)> {
    let query = request.url.split_once('?').unwrap().1;
    query.split('&').map(|pair| pair.split_once('=').unwrap()).collect()
}

fn number(request: &Sent, name: &str) -> Option<i64> {
    pairs(request).into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.parse().unwrap())
}

/// A list of `(id, changed)` that is paged by offset.
fn vendor(
    rows: Rc<RefCell<Vec<(i64, i64)>>>,
    compare: fn(i64, i64) -> bool,
) -> impl FnMut(&Sent) -> Response {
    move |request| {
        assert_eq!(number(request, "v"), Some(1));
        let since = number(request, "since").unwrap_or(i64::MIN);
        let (offset, limit) = (number(request, "offset").unwrap_or(0), number(request, "limit").unwrap());
        let rows = rows.borrow();
        let after = rows.iter().filter(|(_, changed)| compare(*changed, since));
        let page = after.skip(offset.try_into().unwrap()).take(limit.try_into().unwrap());
        let records: Vec<Value> = page.map(|(id, changed)| json!({ "id": id, "changed": changed })).collect();
        Response::new(200, &[], json!({ "data": { "rows": records } }).to_string())
    }
}

fn incremental(order: &str, exclusive: bool) -> Config {
    config(json!({
        "path": "/rows", "records": "/data/rows", "paging": { "by": "offset", "parameter": "offset" },
        "page-size": { "parameter": "limit", "records": 3 }, "primary-key": ["id"],
        "cursor": { "field": "changed", "parameter": "since", "order": order, "exclusive": exclusive }
    }))
}

#[test]
fn no_record_of_the_last_second_is_lost() {
    for (order, exclusive) in [("any", false), ("ascending", false), ("any", true), ("ascending", true)] {
        let config = incremental(order, exclusive);
        let rows = Rc::new(RefCell::new((0..7).map(|id| (id, 100 + id / 3)).collect::<Vec<_>>()));
        if order == "any" {
            rows.borrow_mut().reverse();
        }
        let compare = if exclusive { |a, b| a > b } else { |a, b| a >= b };
        with_vendor(vendor(Rc::clone(&rows), compare), || {
            let (records, checkpoint, pages) = drain(&config, Position::Start);
            assert_eq!((records.len(), pages), (7, 5), "two records a page, and one without");
            assert_eq!(checkpoint, Some(Json::new("102")));
            // Another one in the second that was the last, and one after it.
            rows.borrow_mut().extend([(7, 102), (8, 103)]);
            let (records, checkpoint, _) = drain(&config, Position::Checkpoint(checkpoint.unwrap()));
            let ids: BTreeSet<i64> = records.iter().map(|row| row["id"].as_i64().unwrap()).collect();
            assert_eq!((ids, checkpoint), (BTreeSet::from([6, 7, 8]), Some(Json::new("103"))), "{order}");
        });
    }
}

#[test]
fn a_list_in_any_order_has_no_checkpoint_before_its_end() {
    let rows = Rc::new(RefCell::new(vec![(1, 9), (2, 8), (3, 7)]));
    with_vendor(vendor(Rc::clone(&rows), |a, b| a >= b), || {
        let page = read(&incremental("any", false), Position::Start).unwrap();
        assert_eq!((page.len(), page.checkpoint_position()), (2, None));
        let page = read(&incremental("ascending", false), Position::Start).unwrap();
        assert_eq!(page.checkpoint_position(), Some(&Json::new("9")));
    });
}

/// What one read of one page asks, and gives.
fn once(stream: Value, position: Position, answer: &'static str) -> (Vec<Sent>, Result<Page>) {
    let sent = Rc::new(RefCell::new(Vec::new()));
    let wire = Rc::clone(&sent);
    let vendor = move |request: &Sent| {
        wire.borrow_mut().push(request.clone());
        Response::new(200, &[("link", "</rows?page=2>; rel=next")], answer)
    };
    let page = with_vendor(vendor, || read(&config(stream), position));
    (sent.take(), page)
}

#[test]
fn requests_are_as_the_config_says() {
    let stream = json!({
        "path": "/rows", "query": { "state": "all" }, "paging": { "by": "link" },
        "cursor": { "field": "at", "parameter": "filter", "value": "at ge '{since}'" }
    });
    let position = Position::Checkpoint(Json::new(r#""2026-01-01T00:00:00Z""#));
    let answer = r#"[{"at": "2026-01-02T00:00:00Z", "n": 1.10}, {"at": null}]"#;
    let (sent, page) = once(stream, position, answer);
    let url = "https://api.test/rows?v=1&state=all&filter=at%20ge%20%272026-01-01T00%3A00%3A00Z%27";
    assert_eq!(sent[0].url, url);
    let page = page.unwrap();
    assert_eq!(page.lines().next(), Some(r#"{"at": "2026-01-02T00:00:00Z", "n": 1.10}"#));
    let next = page.next_position().unwrap().as_str();
    assert!(next.contains("https://api.test/rows?page=2") && next.contains("2026-01-02"), "{next}");

    // A page of numbers is always of one size, whatever was wished for.
    let stream = json!({
        "path": "/rows", "paging": { "by": "page", "parameter": "p", "first": 0 },
        "page-size": { "parameter": "size", "records": 50 }
    });
    let (sent, page) = once(stream, Position::Start, "[]");
    assert_eq!(sent[0].url, "https://api.test/rows?v=1&size=50&p=0");
    assert!(page.unwrap().next_position().is_none());
}

#[test]
fn what_is_no_page() {
    let by = |field: &str| json!({ "path": "/rows", "cursor": { "field": field, "parameter": "since" } });
    for (stream, answer, kind) in [
        (json!({ "path": "/rows" }), "{}", ErrorKind::ContractDrift),
        (json!({ "path": "/rows", "records": "/rows" }), r#"{"row":[]}"#, ErrorKind::ContractDrift),
        (by("at"), r#"[{"id":1}]"#, ErrorKind::ContractDrift),
        (by("at"), r#"[{"at":1.5}]"#, ErrorKind::ContractDrift),
        (by("at"), r#"[{"at":1},{"at":"2"}]"#, ErrorKind::ContractDrift),
    ] {
        assert_eq!(once(stream, Position::Start, answer).1.unwrap_err().kind(), kind, "{answer}");
    }
    let exclusive =
        json!({ "path": "/rows", "cursor": { "field": "at", "parameter": "s", "exclusive": true } });
    let since = Position::Checkpoint(Json::new("\"2026\""));
    let (sent, page) = once(exclusive, since, "[]");
    assert_eq!((sent.len(), page.unwrap_err().kind()), (0, ErrorKind::InvalidConfig));
    for cursor in [
        json!({ "field": "at", "exclusive": true }),
        json!({ "field": "at", "parameter": "s", "value": "x" }),
    ] {
        let (sent, page) = once(json!({ "path": "/rows", "cursor": cursor }), Position::Start, "[]");
        assert_eq!((sent.len(), page.unwrap_err().kind()), (0, ErrorKind::InvalidConfig));
    }
}

#[test]
fn streams_are_those_of_the_config() {
    let stream = json!({
        "path": "/rows", "primary-key": ["id"], "cursor": { "field": "at" }, "deleted-field": "gone",
        "complete-reads": true, "schema": { "type": "object", "required": ["id"] }
    });
    let found = Rest::discover(config(stream)).unwrap();
    assert_eq!(found.len(), 1);
    let rows = &found[0];
    assert_eq!(
        (rows.name.as_str(), rows.schema.as_str()),
        ("rows", r#"{"type":"object","required":["id"]}"#)
    );
    assert_eq!((rows.primary_key.clone(), rows.cursor_field.as_deref()), (vec!["id".to_owned()], Some("at")));
    assert_eq!((rows.deleted_field.as_deref(), rows.complete_reads), (Some("gone"), true));
    assert_eq!(Rest::discover(config(json!({ "path": "/r" }))).unwrap()[0].schema, r#"{"type":"object"}"#);
}
