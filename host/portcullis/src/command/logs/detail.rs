//! One exchange whole, for a person: where it belongs, what let it pass, what went over the wire, masked as it is stored.
use crate::output;
use portcullis_store::ExchangeRow;

/// Headers and bodies as `curl -v` shows them.
pub fn text(row: &ExchangeRow) -> String {
    let mut lines = vec![
        format!("{}  {}", row.exchange_id, row.started_at),
        field("connection", &row.connection),
        field("run", &format!("{}, step {} call {} attempt {}", row.run_id, row.step, row.call, row.attempt)),
        field("correlation", &row.correlation_id),
    ];
    let optional = [
        ("requested by", Some(&row.manifest_place).filter(|place| !place.is_empty())),
        ("allowed by", Some(&row.operator_place).filter(|place| !place.is_empty())),
        ("credential", row.credential.as_ref()),
        ("key", row.idempotency_key.as_ref()),
        ("address", row.peer.as_ref()),
        ("protocol", row.protocol.as_ref()),
    ];
    lines.extend(optional.into_iter().filter_map(|(name, value)| Some(field(name, value?))));
    lines.push(String::new());
    lines.push(format!("> {} {}", row.method, row.url));
    lines.extend(message('>', &row.request_headers, row.request_body.as_deref(), row.request_bytes, row));
    lines.push(String::new());
    let reason = row.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let milliseconds = row.duration_us / 1000;
    match row.status {
        Some(status) => {
            lines.push(format!("< {status} after {milliseconds} ms, {}{reason}", row.outcome));
            lines.extend(message(
                '<',
                &row.response_headers,
                row.response_body.as_deref(),
                row.response_bytes,
                row,
            ));
        }
        None => lines.push(format!("{} after {milliseconds} ms{reason}", row.outcome)),
    }
    if let Some(detail) = row.detail.as_ref().filter(|detail| !detail.is_empty()) {
        lines.push(field("detail", detail));
    }
    if row.echoes > 0 {
        lines.push(field("echoes", &format!("{} secret(s) masked in the answer", row.echoes)));
    }
    if let Some(remedy) = &row.remedy {
        lines.push("to allow it:".to_owned());
        lines.extend(remedy.lines().map(|line| format!("  {line}")));
    }
    lines.push(String::new());
    lines.push(format!("portcullis runs show {}", row.run_id));
    lines.join("\n")
}

fn field(name: &str, value: &str) -> String {
    format!("{name:<13}{}", output::shown_line(value))
}

fn message(
    mark: char,
    headers: &[(String, String)],
    body: Option<&str>,
    bytes: u64,
    row: &ExchangeRow,
) -> Vec<String> {
    let line = |text: &str| format!("{mark} {}", output::shown_line(text)).trim_end().to_owned();
    let mut lines: Vec<_> = headers.iter().map(|(name, value)| line(&format!("{name}: {value}"))).collect();
    match body {
        Some(body) => {
            lines.push(mark.to_string());
            lines.extend(body.lines().map(line));
        }
        None if bytes == 0 => {}
        None if row.bodies_dropped => {
            lines.push(line(&format!("({bytes} bytes, dropped: the log could not keep up)")))
        }
        None => lines.push(line(&format!("({bytes} bytes, not captured: see `capture`)"))),
    }
    lines
}
