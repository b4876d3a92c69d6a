//! What `dev` shows: each exchange as it ends, and of a result what is new in it.
use crate::{
    compared::{self, differences},
    output,
};
use async_trait::async_trait;
use portcullis_egress::{Exchange, ExchangeSink, Outcome};
use serde_json::{Value, json};

/// Values and differences of one result that are shown; the rest is counted.
const SHOWN_MAX: usize = 20;
const VALUE_CHARS_MAX: usize = 200;

/// Shows exchanges while they happen.
pub struct Shown {
    /// One JSON value each.
    pub as_json: bool,
}

#[async_trait]
impl ExchangeSink for Shown {
    async fn record(&self, exchange: Exchange) {
        show(&exchange, self.as_json);
    }
}

/// One exchange. All of it is masked already.
pub fn show(exchange: &Exchange, as_json: bool) {
    let (outcome, reason, remedy) = match &exchange.outcome {
        Outcome::Answered => ("answered", None, None),
        Outcome::Withheld => ("withheld", None, None),
        Outcome::Denied { reason, remedy } => ("denied", Some(reason), remedy.as_ref()),
        Outcome::Failed { detail, .. } => ("failed", Some(detail), None),
    };
    if as_json {
        output::json_line(&json!({
            "event": "exchange", "method": exchange.method, "url": exchange.url, "outcome": outcome,
            "status": exchange.status, "duration_us": exchange.duration_us, "rule": exchange.manifest_place,
            "attempt": exchange.attempt, "reason": reason, "remedy": remedy,
        }));
        return;
    }
    let mut line = format!("  {} {}", exchange.method, exchange.url);
    match (&exchange.outcome, exchange.status) {
        (Outcome::Answered, Some(status)) => line.push_str(&format!("  {status}")),
        _ => line.push_str(&format!("  {outcome}")),
    }
    if !matches!(exchange.outcome, Outcome::Denied { .. }) {
        line.push_str(&format!("  {} ms  {}", exchange.duration_us / 1000, exchange.manifest_place));
    }
    if exchange.attempt > 1 {
        line.push_str(&format!("  attempt {}", exchange.attempt));
    }
    output::line(&line);
    reason.iter().for_each(|reason| output::line(&format!("    {}", output::shown_line(reason))));
    for line in remedy.iter().flat_map(|remedy| remedy.lines()) {
        output::line(&format!("    {line}"));
    }
}

/// What came of a run or a cassette: the first time all of it, later what differs from the time before.
pub fn result(name: &str, is: &Value, was: Option<&Value>, as_json: bool) {
    let differing = was.map(|was| differences(was, is));
    if as_json {
        let differing = differing.map(|all| {
            let one = |found: &compared::Difference| json!({ "pointer": found.pointer, "was": found.was, "is": found.is });
            all.iter().map(one).collect::<Vec<_>>()
        });
        let whole = was.is_none().then_some(is);
        output::json_line(
            &json!({ "event": "result", "name": name, "result": whole, "differences": differing }),
        );
        return;
    }
    let lines: Vec<String> = match &differing {
        None => values(is),
        Some(all) if all.is_empty() => vec!["  the same as before".to_owned()],
        Some(all) => all
            .iter()
            .map(|found| {
                let place = if found.pointer.is_empty() { "all of it" } else { &found.pointer };
                format!("  {place}: {} → {}", value(found.was), value(found.is))
            })
            .collect(),
    };
    lines.iter().take(SHOWN_MAX).for_each(|line| output::line(line));
    if lines.len() > SHOWN_MAX {
        output::line(&format!("  and {} more", lines.len() - SHOWN_MAX));
    }
}

/// Records a line each.
fn values(is: &Value) -> Vec<String> {
    match is.get("records").and_then(Value::as_array) {
        Some(records) => {
            let head = format!("  {}", output::count(records.len(), "record"));
            std::iter::once(head)
                .chain(records.iter().map(|record| format!("  {}", value(Some(record)))))
                .collect()
        }
        None => vec![format!("  {}", value(Some(is)))],
    }
}

fn value(value: Option<&Value>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let text = output::inert(&value.to_string());
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
