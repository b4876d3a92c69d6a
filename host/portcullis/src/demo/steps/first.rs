//! From the registry to the first answered request.
use super::{claim, since};
use crate::{
    approvals,
    command::approve,
    demo::{Shown, stage::Stage},
    exit::Exit,
};
use anyhow::{Context, anyhow};
use portcullis_engine::{CallOptions, Outcome};
use std::time::Duration;

/// Reads the component without running it.
pub async fn asks(stage: &mut Stage) -> Shown {
    let config = stage.config()?;
    let text = approve::ask(&config, "billing")?.text();
    claim(text.contains("POST https://api.stripe.com/v1/customers"), "the rules are not shown")?;
    claim(text.contains("header authorization"), "the place of the secret is not shown")?;
    claim(stage.double.received().is_empty(), "something reached the vendor")?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Nothing runs that the lock does not hold.
pub async fn refused_before(stage: &mut Stage) -> Shown {
    let host = stage.host().await?;
    let refusal = match host.require("billing", &tokio::sync::watch::channel(false).1).await {
        Ok(()) => return Err(anyhow!("the connection ran without approval")),
        Err(refusal) => refusal,
    };
    claim(refusal.exit == Exit::NotApproved, format!("refused for another reason: {}", refusal.message))?;
    let report = host
        .engine
        .call("billing", "create-customer", r#"{"email":"a@example.com"}"#, CallOptions::default())
        .await;
    claim(report.is_err(), "the engine ran the connection")?;
    claim(stage.double.received().is_empty(), "something reached the vendor")?;
    let remedy = refusal.help.clone().unwrap_or_default();
    Ok(vec![
        format!("error: {}", refusal.message),
        format!("hint: {remedy}"),
        "the vendor received nothing".to_owned(),
    ])
}

/// Approves both connections of the demo.
pub async fn approve(stage: &mut Stage) -> Shown {
    let config = stage.config()?;
    let mut lines = Vec::new();
    for connection in ["billing", "mallory"] {
        let asked = approve::ask(&config, connection)?;
        let digest = asked.approval.digest.clone();
        approve::grant(&config, asked, Duration::from_secs(10), None)?;
        claim(approvals::kept_file(&config.data, &digest).exists(), "the approved bytes are not kept")?;
        lines.push(format!("{connection}: {digest}"));
    }
    let lock = std::fs::read_to_string(config.lock_file())?;
    claim(
        lines.iter().all(|line| lock.contains(line.rsplit(": ").next().unwrap_or("?"))),
        "the lock lacks a digest",
    )?;
    claim(!lock.contains(&stage.key), "the lock holds the key")?;
    claim(stage.double.received().is_empty(), "something reached the vendor")?;
    lines.push("pinned in portcullis.lock; the approved bytes are kept, and are what runs".to_owned());
    Ok(lines)
}

/// One request, with the key that the guest never had.
pub async fn check(stage: &mut Stage) -> Shown {
    let before = stage.double.received().len();
    let host = stage.host().await?;
    let report = host.engine.check("billing", CallOptions::default()).await?;
    claim(report.outcome == Outcome::Succeeded, format!("the check ended as {}", super::ended(&report)))?;
    let received = since(stage, before);
    let first = received.first().context("the vendor received nothing")?;
    let expected = format!("Bearer {}", stage.key);
    claim(first.header("authorization") == Some(&expected), "the vendor did not receive the key")?;
    Ok(vec![
        format!(
            "the vendor received {} https://{}{} over {}",
            first.method, first.host, first.path, first.protocol
        ),
        "with `Authorization: Bearer ***`, which the connector never had".to_owned(),
    ])
}

/// The streams that the connector names.
pub async fn discover(stage: &mut Stage) -> Shown {
    let host = stage.host().await?;
    let report = host.engine.discover("billing", CallOptions::default()).await?;
    claim(report.outcome == Outcome::Succeeded, format!("discover ended as {}", super::ended(&report)))?;
    let names: Vec<_> = report.streams.iter().map(|stream| stream.name.clone()).collect();
    claim(names.iter().any(|name| name == "customers"), "no stream `customers`")?;
    Ok(vec![names.join(", ")])
}
