//! Reads against a vendor in memory that lists as Stripe does. They must bring every object, and none twice but those that share
//! the checkpoint's second.
use crate::Stripe;
use portcullis_sdk::{
    Config, Error, ErrorKind, Page, Position, ReadRequest, Result, Source,
    harness::{Sent, with_vendor},
    http::Response,
    json::Json,
};
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// Objects as (id, created), oldest first, and what was asked.
#[derive(Default)]
struct Vendor {
    objects: Vec<(String, i64)>,
    asked: Vec<String>,
}

type Shared = Rc<RefCell<Vendor>>;

impl Vendor {
    fn with(created: &[i64]) -> Shared {
        let vendor = Shared::default();
        created.iter().for_each(|created| vendor.borrow_mut().create(*created));
        vendor
    }

    fn create(&mut self, created: i64) {
        self.objects.push((format!("cus_{}", self.objects.len()), created));
    }

    fn answer(&mut self, sent: &Sent) -> Response {
        self.asked.push(sent.url.replace("https://api.stripe.com/v1/", ""));
        let query = sent.url.split_once('?').map_or("", |(_, query)| query);
        let asked: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let since = asked.get("created%5Bgte%5D").map_or(0, |since| since.parse().unwrap());
        let mut rest: Vec<_> = self.objects.iter().rev().filter(|(_, created)| *created >= since).collect();
        if let Some(after) = asked.get("starting_after") {
            let Some(at) = rest.iter().position(|(id, _)| id == after) else { return missing(after) };
            rest.drain(..=at);
        }
        let limit: usize = asked["limit"].parse().unwrap();
        let records =
            rest.iter().take(limit).map(|(id, created)| format!(r#"{{"id":"{id}","created":{created}}}"#));
        let records: Vec<_> = records.collect();
        let body = format!(
            r#"{{"object":"list","has_more":{},"data":[{}]}}"#,
            rest.len() > limit,
            records.join(",")
        );
        Response::new(200, &[], body)
    }
}

fn missing(id: &str) -> Response {
    let body = format!(
        r#"{{"error":{{"code":"resource_missing","param":"starting_after","message":"No such customer: '{id}'"}}}}"#
    );
    Response::new(400, &[], body)
}

fn read(stream: &str, position: &Position, page_size: usize) -> Result<Page> {
    let request =
        ReadRequest { stream_name: stream.to_owned(), position: position.clone(), max_records: None };
    Stripe::read(Config::new(format!(r#"{{"page-size":{page_size}}}"#)), request)
}

fn read_from(vendor: &Shared, stream: &str, position: &Position, page_size: usize) -> Result<Page> {
    let vendor = Rc::clone(vendor);
    with_vendor(move |sent| vendor.borrow_mut().answer(sent), || read(stream, position, page_size))
}

fn answered(status: u16, body: &str, position: &Position) -> Result<Page> {
    let body = body.to_owned();
    with_vendor(move |_| Response::new(status, &[], body.clone()), || read("customers", position, 100))
}

/// Reads to the end; `meanwhile` objects appear after the first page, one a page. How often each id came, and the next position.
fn read_all(
    vendor: &Shared,
    mut position: Position,
    page_size: usize,
    meanwhile: &[i64],
) -> (BTreeMap<String, u32>, Position) {
    let (mut came, mut meanwhile) = (BTreeMap::new(), meanwhile.iter());
    loop {
        let page = read_from(vendor, "customers", &position, page_size).unwrap();
        for line in page.lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            *came.entry(record["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        match (page.next_position(), page.checkpoint_position()) {
            (Some(next), None) => position = Position::Next(next.clone()),
            (None, Some(checkpoint)) => return (came, Position::Checkpoint(checkpoint.clone())),
            (None, None) => return (came, Position::Start),
            (Some(_), Some(_)) => {
                panic!("a checkpoint before the last page of a list that comes newest first")
            }
        }
        if let Some(created) = meanwhile.next() {
            vendor.borrow_mut().create(*created);
        }
    }
}

#[test]
fn second_read_misses_nothing_of_the_last_second() {
    for page_size in [1, 2, 3, 100] {
        let vendor = Vendor::with(&[10, 10, 11, 12, 12]);
        let (first, checkpoint) = read_all(&vendor, Position::Start, page_size, &[]);
        assert_eq!(first.len(), 5);
        // In the same second as the newest of the first read, but after it.
        vendor.borrow_mut().create(12);
        vendor.borrow_mut().create(13);
        let (second, _) = read_all(&vendor, checkpoint, page_size, &[]);
        let ids: Vec<_> = second.keys().map(String::as_str).collect();
        assert_eq!(ids, ["cus_3", "cus_4", "cus_5", "cus_6"], "page of {page_size}");
        assert!(first.values().chain(second.values()).all(|times| *times == 1));
    }
}

#[test]
fn objects_created_while_paging_come_with_the_next_read() {
    let vendor = Vendor::with(&[0, 0, 1, 1, 2, 2]);
    let (first, checkpoint) = read_all(&vendor, Position::Start, 2, &[2, 3]);
    let (second, _) = read_all(&vendor, checkpoint, 2, &[]);
    assert_eq!(first.len(), 6, "each object that was there, however many appear in front");
    let mut all = first;
    all.extend(second);
    assert_eq!(all.len(), 8);
}

#[test]
fn a_read_of_nothing_new_keeps_the_checkpoint() {
    let vendor = Vendor::with(&[]);
    let (came, position) = read_all(&vendor, Position::Start, 10, &[]);
    assert!(came.is_empty() && position == Position::Start);
    vendor.borrow_mut().create(7);
    let (_, position) = read_all(&vendor, position, 10, &[]);
    vendor.borrow_mut().objects.clear();
    let (came, position) = read_all(&vendor, position, 10, &[]);
    assert!(came.is_empty());
    assert_eq!(position, Position::Checkpoint(Json::new("7")));
}

#[test]
fn a_deleted_object_ends_the_read_that_stood_at_it() {
    let vendor = Vendor::with(&[1, 2, 3]);
    let page = read_from(&vendor, "customers", &Position::Start, 1).unwrap();
    let next = Position::Next(page.next_position().unwrap().clone());
    vendor.borrow_mut().objects.pop();
    let error = read_from(&vendor, "customers", &next, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PositionExpired);
    // Other refusals at the same place are what they are.
    let other = r#"{"error":{"code":"resource_missing","param":"customer"}}"#;
    assert_eq!(answered(400, other, &next).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(answered(500, "", &next).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn requests_ask_for_the_page_at_the_position() {
    let vendor = Vendor::with(&[1, 1]);
    for stream in super::ALL {
        let page = read_from(&vendor, stream.name, &Position::Start, 1).unwrap();
        let next = Position::Next(page.next_position().unwrap().clone());
        let page = read_from(&vendor, stream.name, &next, 1).unwrap();
        let checkpoint = Position::Checkpoint(page.checkpoint_position().unwrap().clone());
        read_from(&vendor, stream.name, &checkpoint, 100).unwrap();
        let all = if stream.name == "subscriptions" { "&status=all" } else { "" };
        let path = stream.path;
        let expected = [
            format!("{path}?limit=1{all}"),
            format!("{path}?limit=1{all}&starting_after=cus_1"),
            format!("{path}?limit=100{all}&created%5Bgte%5D=1"),
        ];
        assert_eq!(std::mem::take(&mut vendor.borrow_mut().asked), expected);
    }
}

#[test]
fn unknown_streams_and_settings_ask_nothing() {
    let unasked = |result: Result<Page>| result.map_err(|error: Error| error.kind()).unwrap_err();
    assert_eq!(unasked(read("refunds", &Position::Start, 1)), Error::unknown_stream("refunds").kind());
    let request =
        ReadRequest { stream_name: "customers".to_owned(), position: Position::Start, max_records: None };
    let misspelt = Stripe::read(Config::new(r#"{"page-sise":1}"#), request);
    assert_eq!(unasked(misspelt), ErrorKind::InvalidConfig);
}

#[test]
fn records_pass_as_stripe_wrote_them() {
    let answer = r#"{"data": [ {"id":"cus_1", "created":1, "balance":12345678901234567890123, "rate":1.10} ], "has_more": false}"#;
    let page = answered(200, answer, &Position::Start).unwrap();
    let lines: Vec<_> = page.lines().collect();
    assert_eq!(lines, [r#"{"id":"cus_1", "created":1, "balance":12345678901234567890123, "rate":1.10}"#]);
}

#[test]
fn answers_that_break_the_contract_say_so() {
    for answer in [
        r#"{"data":[],"has_more":true}"#,
        r#"{"data":[{"id":"cus_1"}],"has_more":false}"#,
        r#"{"data":[{"created":1}],"has_more":false}"#,
        r#"{"data":[{"id":"cus_1","created":"1"}],"has_more":false}"#,
        r#"{"data":[]}"#,
        "[]",
        "",
    ] {
        let error = answered(200, answer, &Position::Start).err().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(error.kind(), ErrorKind::ContractDrift, "{answer}");
    }
}
