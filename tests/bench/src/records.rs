//! Row 3: a guest parses an answer of 1,000 records into types and returns them as a page; the host checks and counts the
//! lines. Then also validated by a JSON Schema. The peer does the same in native Rust.

use crate::{
    measure::{self, Work},
    product::Product,
    report::Report,
};
use anyhow::{Context, ensure};
use portcullis_runtime::{Operation, Output, Position};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::{hint::black_box, sync::Arc, time::Duration};

#[path = "../../guests/probe/src/typed_record.rs"]
#[allow(missing_docs)]
mod typed_record;

const WINDOW: Duration = Duration::from_millis(500);
const ROUNDS: usize = 7;
const PAGE: usize = 1_000;

/// Measures and prints.
pub async fn measure(product: &Arc<Product>, report: &mut Report) -> anyhow::Result<()> {
    let answer = answer();
    let record_bytes = (answer.len() - 11) / PAGE;
    ensure!((290..=310).contains(&record_bytes), "a record has {record_bytes} bytes");
    let schema = Arc::new(portcullis_manifest::schema::compile(&schema())?);
    let native = |validator| Arc::new(Native { answer: answer.clone(), validator }) as Arc<dyn Work>;
    let guest = |validator| -> Arc<dyn Work> {
        Arc::new(Guest { product: product.clone().with_asset("answer", answer.clone()), validator })
    };
    let works = [
        ("native Rust".to_owned(), native(None)),
        ("guest, page by page".to_owned(), guest(None)),
        ("native Rust, validated".to_owned(), native(Some(schema.clone()))),
        ("guest, validated by the host".to_owned(), guest(Some(schema))),
    ];
    let cells = measure::rounds(&works, 1, WINDOW, ROUNDS).await?;
    report.records(&cells, record_bytes);
    Ok(())
}

struct Native {
    answer: Vec<u8>,
    validator: Option<Arc<jsonschema::Validator>>,
}

#[async_trait::async_trait]
impl Work for Native {
    fn units(&self) -> u64 {
        PAGE as u64
    }

    async fn once(&self) -> anyhow::Result<()> {
        let lines = typed_record::lines(&self.answer)?;
        // As the host does with what a guest says: each line is JSON.
        let mut count = 0;
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            black_box(serde_json::from_slice::<IgnoredAny>(line)?);
            count += 1;
        }
        ensure!(count == PAGE, "{count} records");
        validate(self.validator.as_deref(), &lines)
    }
}

struct Guest {
    product: Arc<Product>,
    validator: Option<Arc<jsonschema::Validator>>,
}

#[async_trait::async_trait]
impl Work for Guest {
    fn units(&self) -> u64 {
        PAGE as u64
    }

    async fn once(&self) -> anyhow::Result<()> {
        let read = Operation::Read {
            config: "{}".to_owned(),
            stream_name: "typed".to_owned(),
            position: Position::Start,
            max_records: None,
        };
        let Output::Page(page) = self.product.call(None, read).await? else { anyhow::bail!("no page") };
        ensure!(page.count == PAGE as u64, "{} records", page.count);
        validate(self.validator.as_deref(), &page.records)
    }
}

fn validate(validator: Option<&jsonschema::Validator>, lines: &[u8]) -> anyhow::Result<()> {
    let Some(validator) = validator else { return Ok(()) };
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record: Value = serde_json::from_slice(line).context("no JSON")?;
        ensure!(validator.is_valid(&record), "a record does not fit");
    }
    Ok(())
}

fn answer() -> Vec<u8> {
    let data: Vec<Value> = (0..PAGE).map(record).collect();
    json!({ "data": data }).to_string().into_bytes()
}

fn record(n: usize) -> Value {
    json!({
        "id": format!("cus_9s6XKzkNRiz8i{n:06}"), "object": "customer", "created": 1_760_000_000 + n,
        "email": format!("jenny.rosen{n:06}@example.com"), "name": "Jenny Rosen", "currency": null,
        "balance": -120, "delinquent": false, "livemode": false,
        "metadata": { "order": format!("{n:06}") },
        "address": { "city": "Wien", "country": "AT", "line1": null, "postal_code": "1020" },
    })
}

/// As a connector ships it for its stream.
fn schema() -> Value {
    let text = || json!({ "type": ["string", "null"] });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["id", "object", "created"],
        "properties": {
            "id": { "type": "string" }, "object": { "const": "customer" }, "created": { "type": "integer" },
            "email": text(), "name": text(), "currency": text(), "balance": { "type": "integer" },
            "delinquent": { "type": "boolean" }, "livemode": { "type": "boolean" },
            "metadata": { "type": "object", "additionalProperties": { "type": "string" } },
            "address": {
                "type": ["object", "null"],
                "properties": { "city": text(), "country": text(), "line1": text(), "postal_code": text() },
            },
        },
    })
}
