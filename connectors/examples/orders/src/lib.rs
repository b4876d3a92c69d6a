//! Orders as a shop delivers them: the kind and the id of a delivery stand in its headers, its body is the order.
//!
//! The host has checked the signature over the raw bytes before it calls this, and drops a second event with the same id.

use portcullis_sdk::{
    Config, Delivery, Error, ErrorKind, Event, Handled, Lifecycle, Result, Webhook, connector, json,
};
use serde::de::IgnoredAny;

#[cfg(test)]
mod tests;

struct Connector;
connector!(Connector: webhook);

impl Lifecycle for Connector {}

impl Webhook for Connector {
    fn handle(_: Config, delivery: Delivery) -> Result<Handled> {
        let name = header(&delivery, "x-shop-topic")?;
        let id = header(&delivery, "x-shop-event-id")?;
        let payload = String::from_utf8(delivery.body).map_err(|_| drift("a body that is not UTF-8"))?;
        json::parse::<IgnoredAny>(&payload)?;
        Ok(Handled { events: vec![Event { name, id: Some(id), payload }], reply: None })
    }
}

fn header(delivery: &Delivery, name: &str) -> Result<String> {
    let (_, value) = delivery
        .headers
        .iter()
        .find(|(known, _)| known == name)
        .ok_or_else(|| drift(format!("a delivery without `{name}`")))?;
    String::from_utf8(value.clone()).map_err(|_| drift(format!("`{name}` is not UTF-8")))
}

fn drift(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::ContractDrift, why)
}
