//! A delivery, handed to `webhook.handle` as a run of its own. It is called again where nothing can happen twice: a delivery
//! has no key that a vendor knows.

use super::{Engine, once::Errand};
use crate::{
    CallOptions, Delivery, EngineError, Event, Handled, Operation, Reply, RunReport, delivery::Held,
    limits::DELIVERY_BODY_BYTES_MAX,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis_store::{NewDelivery, RunKind, StoreError};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

impl Engine {
    /// Hands a delivery to the connector, whoever sent it: its signature is not looked at here.
    pub async fn deliver(
        &self,
        connection: &str,
        delivery: Delivery,
        dry_run: bool,
        options: CallOptions,
    ) -> Result<RunReport, EngineError> {
        let bytes = delivery.body.len();
        if bytes > DELIVERY_BODY_BYTES_MAX {
            return Err(EngineError::InputTooLarge { bytes, bytes_max: DELIVERY_BODY_BYTES_MAX });
        }
        let facts = self.ready(connection, options.cancelled.as_ref()).await?;
        if !facts.has_webhook {
            return Err(EngineError::NoSuchRole { connection: connection.to_owned(), role: "webhook" });
        }
        let (kind, subject) = match dry_run {
            true => (RunKind::DryRun, format!("deliver {}", delivery.id)),
            false => (RunKind::Deliver, delivery.id.clone()),
        };
        let run = self.draft(&facts, kind, &subject, options).await?;
        let input = Some(described(&delivery));
        let errand = Errand { operation: Operation::Handle(delivery), input, output: None, keyed: false };
        self.once(run, errand).await
    }
}

impl Engine {
    /// Hands a stored delivery over, in a run that is stored with it. Refused where it does not wait, or another run has it.
    pub async fn hand_over(&self, delivery_id: &str, options: CallOptions) -> Result<RunReport, EngineError> {
        let not_found = || StoreError::NotFound { what: "delivery", id: delivery_id.to_owned() };
        let row = self.store.delivery(delivery_id).await?.ok_or_else(not_found)?;
        let (connection, runs) = (row.summary.connection, row.summary.runs);
        let facts = self.ready(&connection, options.cancelled.as_ref()).await?;
        if !facts.has_webhook {
            return Err(EngineError::NoSuchRole { connection, role: "webhook" });
        }
        let NewDelivery { route, method, path, query, headers, body, .. } = row.delivery;
        let delivery = Delivery { id: delivery_id.to_owned(), method, path, query, headers, body };
        let mut run = self.draft(&facts, RunKind::Deliver, delivery_id, options).await?;
        run.held = Some(Held { delivery_id: delivery_id.to_owned(), runs: runs.saturating_add(1), route });
        let input = Some(described(&delivery));
        let errand = Errand { operation: Operation::Handle(delivery), input, output: None, keyed: false };
        self.once(run, errand).await
    }
}

/// What the store keeps of it: enough to know it again. Query, headers and body hold tokens, signatures and people.
fn described(delivery: &Delivery) -> String {
    let described = json!({
        "id": delivery.id,
        "method": delivery.method,
        "path": delivery.path,
        "body-bytes": delivery.body.len(),
        "body-sha256": hex(&Sha256::digest(&delivery.body)),
    });
    described.to_string()
}

/// Events and reply as one JSON text; payloads as they came.
pub(super) fn handled_json(handled: &Handled) -> String {
    let event = |Event { name, id, payload }: &Event| {
        format!("{{\"name\":{},\"id\":{},\"payload\":{payload}}}", json!(name), json!(id))
    };
    let events: Vec<_> = handled.events.iter().map(event).collect();
    let reply = handled.reply.as_ref().map_or(Value::Null, reply_json);
    format!("{{\"events\":[{}],\"reply\":{reply}}}", events.join(","))
}

/// `body`, or `body-base64` where it is no text.
fn reply_json(reply: &Reply) -> Value {
    let header = |(name, value): &(String, Vec<u8>)| json!([name, String::from_utf8_lossy(value)]);
    let mut shown = json!({
        "status": reply.status,
        "headers": reply.headers.iter().map(header).collect::<Vec<_>>(),
    });
    match std::str::from_utf8(&reply.body) {
        Ok(text) => shown["body"] = text.into(),
        Err(_) => shown["body-base64"] = STANDARD.encode(&reply.body).into(),
    }
    shown
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
