//! `http`, as the order says: errors come back as answers with the variant's name.

use crate::{
    Header,
    actions::{size, text},
    blobs,
    http::{self, Body, Content, HttpError, Part, Request, Response, Slice},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

pub fn send(order: &Value) -> Value {
    http::send(&request(order)).map_or_else(error, answer)
}

/// The same request `n` times, one after another; a delay shows nothing here, only counts come back.
pub fn send_many(order: &Value) -> Value {
    let request = request(order);
    let mut failed = Value::Null;
    let mut ok = 0_u64;
    for _ in 0..size(order, "n") {
        match http::send(&request) {
            Ok(_) => ok += 1,
            Err(why) => failed = error(why),
        }
    }
    json!({ "ok": ok, "failed": failed })
}

/// `{"requests": [ORDER, …]}`: each one after another, with what came of it.
pub fn send_each(order: &Value) -> Value {
    let orders = order["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
    orders.iter().map(send_by).collect()
}

/// By `open`, `download` or `send-all` where the order says so.
pub fn send_by(order: &Value) -> Value {
    match text(order, "by") {
        "open" => open(order),
        "download" => download(order),
        "send-all" => http::send_all(&[request(order)]).remove(0).map_or_else(error, answer),
        _ => send(order),
    }
}

/// `{"requests": [ORDER, …]}`, or one order `n` times.
pub fn send_all(order: &Value) -> Value {
    let requests: Vec<Request> = match order["requests"].as_array() {
        Some(orders) => orders.iter().map(request).collect(),
        None => (0..size(order, "n")).map(|_| request(order)).collect(),
    };
    http::send_all(&requests).into_iter().map(|result| result.map_or_else(error, answer)).collect()
}

/// With size and hash of what is kept.
pub fn download(order: &Value) -> Value {
    http::download(&request(order)).map_or_else(error, |(head, blob)| {
        let info = blobs::stat(&blob).ok();
        let size = info.as_ref().map_or(0, |info| u32::try_from(info.size).unwrap_or(u32::MAX));
        let kept = order["keep"] == true;
        let body = kept.then(|| blobs::read(&blob, 0, size).unwrap_or_default());
        json!({
            "body": body.map(|body| String::from_utf8_lossy(&body).into_owned()),
            "status": head.status,
            "blob": blob,
            "size": info.as_ref().map(|info| info.size),
            "sha256": info.map(|info| info.sha256),
        })
    })
}

/// Read to its end, or to the error that ended it; of the bytes only their number is kept, or they too where the order says `keep`.
pub fn open(order: &Value) -> Value {
    http::open(&request(order)).map_or_else(error, |(head, stream)| {
        let (mut bytes, mut body) = (0, (order["keep"] == true).then(Vec::new));
        let ended = loop {
            match stream.read(64 << 10) {
                Ok(Some(piece)) => {
                    bytes += piece.len();
                    if let Some(body) = &mut body {
                        body.extend(piece);
                    }
                }
                Ok(None) => break Value::Null,
                Err(why) => break error(why),
            }
        };
        let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        json!({ "status": head.status, "bytes": bytes, "body": body, "ended": ended })
    })
}

/// `{"url": …, "slices": [SIZE, …]}`: the file comes down, its bytes go up in slices of these sizes in turn, and in one form.
pub fn large(order: &Value) -> Value {
    let ask = |method: &str, path: String, body: Body| Request {
        method: method.to_owned(),
        url: format!("{}{path}", text(order, "url")),
        headers: Vec::new(),
        body,
        timeout_ms: None,
        max_response: None,
        credential: None,
        idempotency_key: None,
    };
    let blob = match http::download(&ask("GET", "/file".to_owned(), Body::None)) {
        Ok((_, blob)) => blob,
        Err(why) => return error(why),
    };
    let Ok(info) = blobs::stat(&blob) else { return json!("no such blob") };
    let sizes = order["slices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sizes = sizes.iter().filter_map(Value::as_u64).filter(|size| *size > 0).cycle();
    let (mut offset, mut failed) = (0, Vec::new());
    for size in sizes {
        if offset == info.size {
            break;
        }
        let size = size.min(info.size - offset);
        let slice = Body::Slice(Slice { blob: blob.clone(), offset, size });
        match http::send(&ask("PUT", format!("/part?offset={offset}"), slice)) {
            Ok(response) if response.status == 200 => {}
            Ok(response) => failed.push(answer(response)),
            Err(why) => failed.push(error(why)),
        }
        offset += size;
    }
    let part =
        |name: &str, content| Part { name: name.to_owned(), file_name: None, content_type: None, content };
    let file = Part {
        file_name: Some("a\"b.bin".to_owned()),
        content_type: Some("application/octet-stream".to_owned()),
        ..part("file", Content::Blob(blob))
    };
    let form = Body::Multipart(vec![part("title", Content::Bytes(b"all of it".to_vec())), file]);
    let form = http::send(&ask("POST", "/form".to_owned(), form));
    json!({
        "size": info.size,
        "sha256": info.sha256,
        "failed": failed,
        "form": form.map_or_else(error, |response| json!(response.status)),
    })
}

/// `method url headers[[name, value]] body | body-base64 | body-bytes | blob | slice | form | multipart timeout-ms max-response
/// credential idempotency-key`.
fn request(order: &Value) -> Request {
    let headers = order["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let headers = headers
        .iter()
        .map(|pair| Header {
            name: pair[0].as_str().unwrap_or_default().to_owned(),
            value: header_value(&pair[1]),
        })
        .collect();
    Request {
        method: order["method"].as_str().unwrap_or("GET").to_owned(),
        // Written backwards by a test that looks for the URL where the run's input is as well.
        url: match order["url-backwards"].as_str() {
            Some(url) => url.chars().rev().collect(),
            None => text(order, "url").to_owned(),
        },
        headers,
        body: body(order),
        timeout_ms: order["timeout-ms"].as_u64().and_then(|ms| u32::try_from(ms).ok()),
        max_response: order["max-response"].as_u64(),
        credential: order["credential"].as_str().map(str::to_owned),
        idempotency_key: order["idempotency-key"].as_str().map(str::to_owned),
    }
}

/// A text, or `{"base64": …}` for bytes that no JSON text can hold.
fn header_value(value: &Value) -> Vec<u8> {
    match value["base64"].as_str() {
        Some(base64) => STANDARD.decode(base64).unwrap_or_default(),
        None => value.as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

fn body(order: &Value) -> Body {
    if let Some(body) = order["body"].as_str() {
        Body::Bytes(body.as_bytes().to_vec())
    } else if let Some(body) = order["body-base64"].as_str() {
        Body::Bytes(STANDARD.decode(body).unwrap_or_default())
    } else if order["body-bytes"].is_u64() {
        Body::Bytes(vec![b'x'; size(order, "body-bytes")])
    } else if let Some(blob) = order["blob"].as_str() {
        Body::Blob(blob.to_owned())
    } else if let Some(blob) = order["slice"].as_str() {
        Body::Slice(Slice { blob: blob.to_owned(), offset: 0, size: 1 })
    } else if let Some(blob) = order["form"].as_str() {
        let content = Content::Blob(blob.to_owned());
        let file_name = Some("file.bin".to_owned());
        Body::Multipart(vec![Part { name: "file".to_owned(), file_name, content_type: None, content }])
    } else if order["multipart"].is_boolean() {
        Body::Multipart(Vec::new())
    } else {
        Body::None
    }
}

fn answer(response: Response) -> Value {
    let headers: Vec<Value> = response
        .headers
        .iter()
        .map(|header| json!([header.name, String::from_utf8_lossy(&header.value)]))
        .collect();
    json!({
        "status": response.status,
        "headers": headers,
        "body-base64": STANDARD.encode(&response.body),
        "body": String::from_utf8_lossy(&response.body),
    })
}

fn error(error: HttpError) -> Value {
    let (name, detail) = match error {
        HttpError::Denied(exchange) => ("denied", exchange.into()),
        HttpError::Timeout => ("timeout", Value::Null),
        HttpError::Connect(why) => ("connect", why.into()),
        HttpError::Tls(why) => ("tls", why.into()),
        HttpError::TooLarge(bytes) => ("too-large", bytes.into()),
        HttpError::Malformed(why) => ("malformed", why.into()),
        HttpError::RateLimited(ms) => ("rate-limited", ms.into()),
        HttpError::Cancelled => ("cancelled", Value::Null),
        HttpError::Unsupported => ("unsupported", Value::Null),
    };
    json!({ "error": name, "detail": detail })
}
