//! Reading, writing, being denied, and seeing it afterwards.
use super::{call, claim, ended, since};
use crate::demo::{
    Shown,
    double::Fault,
    stage::{CUSTOMERS, Stage},
};
use anyhow::{Context, anyhow};
use async_trait::async_trait;
use portcullis_engine::{FileMark, Outcome, PageSink, ReadOptions};
use portcullis_store::{ExchangeFilter, ExchangeReader};
use std::{collections::BTreeSet, io};

/// Keeps records in memory.
#[derive(Default)]
struct Collected(Vec<u8>);

#[async_trait]
impl PageSink for Collected {
    async fn open(&mut self, _mark: Option<&FileMark>) -> io::Result<Option<FileMark>> {
        Ok(None)
    }
    async fn write(&mut self, records: Vec<u8>) -> io::Result<Option<FileMark>> {
        self.0.extend(records);
        Ok(None)
    }
    async fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
    async fn discard(&mut self) {}
}

/// The double answers 429 once; the host waits as told and asks again.
pub async fn read(stage: &mut Stage) -> Shown {
    let before = stage.double.received().len();
    stage.double.script(Fault::RateLimit);
    let mut records = Collected::default();
    let host = stage.host().await?;
    let report = host.engine.read("billing", "customers", ReadOptions::default(), &mut records).await;
    let report = report?;
    claim(report.outcome == Outcome::Succeeded, format!("the read ended as {}", ended(&report)))?;
    let ids: BTreeSet<String> = records.0.split(|byte| *byte == b'\n').filter_map(id).collect();
    claim(ids.len() == CUSTOMERS, format!("{} customers arrived, the vendor has {CUSTOMERS}", ids.len()))?;
    let received = since(stage, before);
    let limited: Vec<_> = received.iter().filter(|request| request.status == Some(429)).collect();
    let [limited] = limited.as_slice() else { return Err(anyhow!("{} answers were 429", limited.len())) };
    let again = received.iter().find(|request| {
        request.status == Some(200) && request.path == limited.path && request.query == limited.query
    });
    let again = again.context("the limited request was not sent again")?;
    let waited = again.at.since(limited.at);
    claim(waited.as_millis() >= 900, format!("sent again after {} ms, told 1 s", waited.as_millis()))?;
    Ok(vec![
        format!("{} customers in {} pages, {} requests on the wire", ids.len(), report.pages, received.len()),
        format!("429 with `Retry-After: 1`: asked again after {} ms", waited.as_millis()),
    ])
}

fn id(line: &[u8]) -> Option<String> {
    let record: serde_json::Value = serde_json::from_slice(line).ok()?;
    Some(record.get("id")?.as_str()?.to_owned())
}

/// The double performs the effect and closes the connection; the repeat carries the same key.
pub async fn create(stage: &mut Stage) -> Shown {
    let (before, customers) = (stage.double.received().len(), stage.double.customers());
    stage.double.script(Fault::LoseAnswer);
    let report =
        call(stage, "billing", "create-customer", r#"{"email":"ada@example.com","name":"Ada"}"#).await?;
    claim(report.outcome == Outcome::Succeeded, format!("the call ended as {}", ended(&report)))?;
    let posts: Vec<_> = since(stage, before).into_iter().filter(|request| request.method == "POST").collect();
    claim(posts.len() == 2, format!("the vendor received {} requests, not 2", posts.len()))?;
    let keys: BTreeSet<_> = posts.iter().filter_map(|request| request.header("idempotency-key")).collect();
    claim(keys.len() == 1, format!("{} idempotency keys", keys.len()))?;
    let effects = stage.double.customers() - customers;
    claim(effects == 1, format!("{effects} customers were created"))?;
    let output =
        report.output.as_deref().and_then(|output| id(output.as_bytes())).context("no customer came back")?;
    claim(stage.double.customer(&output).is_some(), format!("the vendor does not know `{output}`"))?;
    stage.correlation_id = Some(report.correlation_id.clone());
    Ok(vec![
        format!(
            "created `{output}`: 2 requests on the wire, 1 idempotency key, 1 customer more at the vendor"
        ),
        format!("run {}", report.run_id),
    ])
}

/// The manifest asks for refunds, the operator's list does not hold them.
pub async fn denied(stage: &mut Stage) -> Shown {
    let before = stage.double.received().len();
    let report = call(stage, "billing", "create-refund", r#"{"charge":"ch_0001"}"#).await?;
    claim(report.outcome == Outcome::Failed, format!("the call ended as {}", ended(&report)))?;
    claim(since(stage, before).is_empty(), "the vendor received the request")?;
    let denied = report.denials.first().context("no denial is on record")?;
    let remedy = denied.remedy.clone().context("the denial has no remedy")?;
    claim(remedy.contains("POST https://api.stripe.com/v1/refunds"), format!("the remedy is {remedy}"))?;
    Ok(vec![format!("denied `{}`: {}", denied.exchange, denied.reason), "to allow it:".to_owned(), remedy])
}

/// What `portcullis logs --correlation ID` shows, beside what the vendor received.
pub async fn logs(stage: &mut Stage) -> Shown {
    let correlation_id = stage.correlation_id.clone().context("the create step did not run")?;
    stage.close_host().await;
    let reader = ExchangeReader::open(&stage.folder.join("data"))?;
    let reader = reader.context("there is no exchanges.db")?;
    let filter = ExchangeFilter { correlation_id: Some(correlation_id.clone()), ..ExchangeFilter::default() };
    let rows = reader.exchanges(&filter)?;
    claim(rows.len() == 2, format!("{} exchanges are on record, 2 were sent", rows.len()))?;
    let row = |row: &portcullis_store::ExchangeRow| {
        let status = row.status.map_or("no answer".to_owned(), |status| status.to_string());
        format!("attempt {}  {} {}  {status}", row.attempt, row.method, row.url)
    };
    let mut lines = vec![format!("portcullis logs --correlation {correlation_id}")];
    lines.extend(rows.iter().map(row));
    Ok(lines)
}
