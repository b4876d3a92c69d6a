//! Exchanges as one HAR 1.2 document, which browsers' developer tools and many others read. Masked as they are stored; what
//! HAR has no field for goes under `_portcullis`.
use portcullis_store::ExchangeRow;
use serde_json::{Value, json};

/// The document.
pub fn document(rows: &[ExchangeRow]) -> Value {
    json!({
        "log": {
            "version": "1.2",
            "creator": { "name": "portcullis", "version": env!("CARGO_PKG_VERSION") },
            "entries": rows.iter().map(entry).collect::<Vec<_>>(),
        }
    })
}

fn entry(row: &ExchangeRow) -> Value {
    let milliseconds = row.duration_us as f64 / 1000.0;
    let mut entry = json!({
        "startedDateTime": row.started_at.to_string(),
        "time": milliseconds,
        "request": request(row),
        "response": response(row),
        "cache": {},
        "timings": { "send": 0, "wait": milliseconds, "receive": 0 },
        "_portcullis": {
            "exchange_id": row.exchange_id,
            "run_id": row.run_id,
            "step": row.step,
            "call": row.call,
            "correlation_id": row.correlation_id,
            "connection": row.connection,
            "attempt": row.attempt,
            "manifest_place": row.manifest_place,
            "operator_place": row.operator_place,
            "credential": row.credential,
            "idempotency_key": row.idempotency_key,
            "outcome": row.outcome,
            "reason": row.reason,
            "detail": row.detail,
            "remedy": row.remedy,
            "echoes": row.echoes,
            "bodies_dropped": row.bodies_dropped,
        },
    });
    if let Some(address) = row.peer.as_ref().and_then(|peer| peer.parse::<std::net::SocketAddr>().ok()) {
        entry["serverIPAddress"] = json!(address.ip().to_string());
        entry["connection"] = json!(address.port().to_string());
    }
    entry
}

fn request(row: &ExchangeRow) -> Value {
    let mut request = json!({
        "method": row.method,
        "url": row.url,
        "httpVersion": version(row),
        "cookies": [],
        "headers": headers(&row.request_headers),
        "queryString": query(&row.url),
        "headersSize": -1,
        "bodySize": row.request_bytes,
    });
    if let Some(body) = &row.request_body {
        request["postData"] = json!({ "mimeType": content_type(&row.request_headers), "text": body });
    }
    request
}

/// Status 0 where no answer came, as browsers write it.
fn response(row: &ExchangeRow) -> Value {
    let mut content = json!({ "size": row.response_bytes, "mimeType": content_type(&row.response_headers) });
    if let Some(body) = &row.response_body {
        content["text"] = json!(body);
    }
    let mut response = json!({
        "status": row.status.unwrap_or(0),
        "statusText": "",
        "httpVersion": version(row),
        "cookies": [],
        "headers": headers(&row.response_headers),
        "content": content,
        "redirectURL": header(&row.response_headers, "location"),
        "headersSize": -1,
        "bodySize": -1,
    });
    if row.status.is_none() {
        response["_error"] = json!(row.reason.as_deref().unwrap_or(&row.outcome));
    }
    response
}

fn version(row: &ExchangeRow) -> &str {
    row.protocol.as_deref().unwrap_or_default()
}

fn headers(headers: &[(String, String)]) -> Vec<Value> {
    headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn header<'h>(headers: &'h [(String, String)], wanted: &str) -> &'h str {
    let found = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    found.map_or("", |(_, value)| value)
}

fn content_type(headers: &[(String, String)]) -> &str {
    match header(headers, "content-type") {
        "" => "application/octet-stream",
        text => text,
    }
}

/// The pairs as they stand in the URL: decoding could show what masking left encoded.
fn query(url: &str) -> Vec<Value> {
    let Some((_, query)) = url.split_once('?') else { return Vec::new() };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            json!({ "name": name, "value": value })
        })
        .collect()
}
