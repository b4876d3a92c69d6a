//! Attacks: a vendor that gives the key back, and a connector that means harm.
use super::{call, claim, ended, since};
use crate::demo::{Shown, stage::Stage};
use portcullis_engine::{CallOptions, Outcome};
use std::path::Path;

/// The vendor repeats the key in a header and in the body; the hostile connector returns both as its output.
pub async fn echo(stage: &mut Stage) -> Shown {
    let before = stage.double.received().len();
    let report = call(stage, "mallory", "keep-the-secret", "{}").await?;
    claim(report.outcome == Outcome::Succeeded, format!("the call ended as {}", ended(&report)))?;
    let received = since(stage, before);
    let sent = received.first().and_then(|request| request.header("authorization")).unwrap_or_default();
    claim(sent.contains(&stage.key), "the vendor had no key to repeat")?;
    let output = report.output.clone().unwrap_or_default();
    claim(!output.contains(&stage.key), "the connector received the key")?;
    let mask = "*".repeat(stage.key.len());
    claim(output.contains(&mask), "the answer was not masked at its place")?;
    let held = files_with(&stage.folder.join("data"), stage.key.as_bytes())?;
    claim(held.is_empty(), format!("the key lies in {}", held.join(", ")))?;
    Ok(vec![format!("the connector received {output}"), "no file below data/ holds the key".to_owned()])
}

fn files_with(folder: &Path, needle: &[u8]) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with(&path, needle)?);
        } else if std::fs::read(&path)?.windows(needle.len()).any(|window| window == needle) {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

/// Spins, eats memory, asks for the metadata service, follows a redirect to loopback; a good call runs beside the spinning.
pub async fn hostile(stage: &mut Stage) -> Shown {
    let before = stage.double.received().len();
    let mut lines = Vec::new();
    let host = stage.host().await?;
    let spin = host.engine.call("mallory", "spin", "{}", CallOptions::default());
    let good = host.engine.call(
        "billing",
        "create-customer",
        r#"{"email":"grace@example.com"}"#,
        CallOptions::default(),
    );
    let (spin, good) = tokio::join!(spin, good);
    let (spin, good) = (spin?, good?);
    claim(kind(&spin) == "cpu-budget", format!("spin ended as {}", ended(&spin)))?;
    claim(good.outcome == Outcome::Succeeded, format!("the good call ended as {}", ended(&good)))?;
    lines.push("spin: stopped at its CPU budget; a good call beside it succeeded".to_owned());
    for (action, expected) in [
        ("eat-memory", "memory"),
        ("ask-metadata", "denied"),
        ("follow-redirect", "denied"),
        ("steal-header", "denied"),
    ] {
        let report = call(stage, "mallory", action, "{}").await?;
        claim(kind(&report) == expected, format!("{action} ended as {}", ended(&report)))?;
        let reason = match report.denials.first() {
            Some(denied) => denied.reason.clone(),
            None => report.failure.map(|failure| failure.message).unwrap_or_default(),
        };
        lines.push(format!("{action}: {reason}"));
    }
    let connects = stage.double.counters().trap_connects;
    claim(connects == 0, format!("the redirect reached loopback {connects} times"))?;
    let received = since(stage, before);
    let expected = format!("Bearer {}", stage.key);
    let own = received.iter().all(|request| request.header("authorization") == Some(&expected));
    claim(own, "a request left with another key than the operator's")?;
    lines.push("the redirect's target was never connected to, and no foreign key left".to_owned());
    Ok(lines)
}

fn kind(report: &portcullis_engine::RunReport) -> &str {
    report.failure.as_ref().map_or("none", |failure| failure.kind.as_str())
}
