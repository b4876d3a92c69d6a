//! Deliveries as the shop sends them.

use crate::Connector;
use portcullis_sdk::{Config, Delivery, ErrorKind, Handled, Result, Webhook};

fn handle(headers: &[(&str, &str)], body: &[u8]) -> Result<Handled> {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), value.as_bytes().to_vec()));
    let delivery = Delivery {
        id: "d1".into(),
        method: "POST".into(),
        path: "/orders".into(),
        query: String::new(),
        headers: headers.collect(),
        body: body.to_vec(),
    };
    Connector::handle(Config::new("{}"), delivery)
}

const HEAD: [(&str, &str); 2] = [("x-shop-topic", "orders/create"), ("x-shop-event-id", "e1")];

#[test]
fn a_delivery_is_one_event() {
    let order = r#"{"id": 12345678901234567890, "total": 1.10}"#;
    let handled = handle(&HEAD, order.as_bytes()).unwrap();
    let [event] = handled.events.as_slice() else { panic!("{handled:?}") };
    assert_eq!((event.name.as_str(), event.id.as_deref()), ("orders/create", Some("e1")));
    assert_eq!(event.payload, order, "as the shop wrote it, each digit");
}

#[test]
fn what_is_no_order_is_drift() {
    for (headers, body) in [(&HEAD[..1], &b"{}"[..]), (&HEAD, b"{"), (&HEAD, b"\"\xff\"")] {
        assert_eq!(handle(headers, body).unwrap_err().kind(), ErrorKind::ContractDrift);
    }
}
