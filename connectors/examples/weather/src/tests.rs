//! The source against a vendor in memory.

use crate::Connector;
use portcullis_sdk::{
    Config, ErrorKind, Page, Position, ReadRequest, Result, Source, harness, http::Response,
};

fn read(status: u16, answer: &'static str) -> Result<Page> {
    let vendor = move |sent: &harness::Sent| {
        let query = "latitude=52.5&longitude=13.4&hourly=temperature_2m";
        assert_eq!(sent.url, format!("https://api.open-meteo.com/v1/forecast?{query}"));
        Response::new(status, &[], answer)
    };
    let config = Config::new(r#"{"latitude": 52.5, "longitude": 13.4}"#);
    let (stream_name, position) = ("hours".into(), Position::Start);
    let request = ReadRequest { stream_name, position, max_records: None };
    harness::with_vendor(vendor, || Connector::read(config, request))
}

#[test]
fn columns_become_records() {
    let answer = r#"{"hourly": {"time": ["T14:00", "T15:00"], "temperature_2m": [7.25, null]}}"#;
    let page = read(200, answer).unwrap();
    let records: Vec<_> = page.lines().collect();
    assert_eq!(records, [r#"{"time":"T14:00","celsius":7.25}"#, r#"{"time":"T15:00","celsius":null}"#]);
    assert_eq!(page.next_position(), None);
}

#[test]
fn what_is_no_forecast_is_no_empty_page() {
    let missing = read(200, r#"{"hourly": {"time": ["T14:00"], "temperature_2m": []}}"#);
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::ContractDrift);
    assert_eq!(read(200, "{}").unwrap_err().kind(), ErrorKind::ContractDrift);
    let refused = read(400, r#"{"error": true, "reason": "no such place"}"#);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
}
