//! What a dry run held back, for people and as JSON: each request as it would have left, masked.
use super::report::json_or_text;
use crate::output::{self, shown_line};
use portcullis_engine::{RunReport, WithheldRequest};
use serde_json::{Value, json};

/// One request.
pub fn as_json(request: &WithheldRequest) -> Value {
    json!({
        "exchange": request.exchange,
        "method": request.method,
        "url": request.url,
        "headers": request.headers,
        "body": request.body.as_deref().map(json_or_text),
        "body_bytes": request.body_bytes,
        "rule": request.rule,
        "manifest_place": request.manifest_place,
        "operator_place": request.operator_place,
        "slot": request.slot,
        "credential": request.credential,
        "place": request.place,
        "idempotency_key": request.idempotency_key,
        "after_withheld": request.after_withheld,
    })
}

/// For the person who asked for a dry run.
pub fn show(report: &RunReport) {
    output::note(&summary(report));
    if report.withheld.count > 0 {
        output::line(&text(report));
    }
}

/// What the person reads first.
fn summary(report: &RunReport) -> String {
    match report.withheld.count {
        0 => "dry run: no request that may have an effect was asked for".to_owned(),
        1 => "dry run: 1 request was withheld".to_owned(),
        count => format!("dry run: {count} requests were withheld"),
    }
}

/// All of them, one paragraph each.
fn text(report: &RunReport) -> String {
    let withheld = &report.withheld;
    let mut paragraphs = Vec::new();
    let mut told = false;
    for request in &withheld.requests {
        if request.after_withheld && !told {
            told = true;
            paragraphs.push(
                "what follows was asked for without an answer to the above, and may be something else with one"
                    .to_owned(),
            );
        }
        paragraphs.push(paragraph(request));
    }
    let shown = withheld.requests.len() as u64;
    if withheld.count > shown {
        paragraphs.push(format!("{} more are not shown", withheld.count - shown));
    }
    paragraphs.join("\n\n")
}

fn paragraph(request: &WithheldRequest) -> String {
    let mut lines = vec![format!("{} {}", request.method, shown_line(&request.url))];
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<12}{value}"));
    line("exchange", request.exchange.clone());
    line("rule", format!("{}  {}", request.manifest_place, shown_line(&request.rule)));
    line("allowed by", request.operator_place.clone());
    if let (Some(slot), Some(credential), Some(place)) = (&request.slot, &request.credential, &request.place)
    {
        line("credential", format!("{credential} for slot {slot}, in {place}"));
    }
    if let Some(key) = &request.idempotency_key {
        line("idempotency", key.clone());
    }
    for (name, value) in &request.headers {
        line("header", format!("{name}: {}", shown_line(value)));
    }
    match &request.body {
        Some(body) => {
            line("body", format!("{} bytes", request.body_bytes));
            lines.extend(body.lines().map(|line| format!("    {line}")));
        }
        None if request.body_bytes > 0 => {
            let why = "neither JSON nor a form: shown with `capture = \"all\"`";
            line("body", format!("{} bytes, {why}", request.body_bytes));
        }
        None => line("body", "none".to_owned()),
    }
    lines.join("\n")
}
