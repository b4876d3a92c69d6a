//! A guest that brings its own `fetch`: its actions take their orders from `input` and send them by `wasi:http`. Errors come back
//! as answers with the code's name.

wit_bindgen::generate!({
    path: "../../../wit/0.1.0",
    inline: r#"
        package portcullis:fetch;
        world fetch {
            include portcullis:connector/action-connector@0.1.0;
        }
    "#,
    world: "portcullis:fetch/fetch",
    generate_all,
});

use exports::portcullis::connector::{actions, lifecycle};
use portcullis::connector::types::{Error, ErrorKind};
use serde_json::{Value, json};
use wasip2::{
    http::{
        outgoing_handler,
        types::{
            ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody,
            OutgoingRequest, RequestOptions, Scheme,
        },
    },
    io::streams::StreamError,
};

struct Fetch;

export!(Fetch);

impl lifecycle::Guest for Fetch {
    fn check(_config: String) -> Result<(), Error> {
        Ok(())
    }
}

impl actions::Guest for Fetch {
    fn invoke(
        _config: String,
        action: String,
        input: String,
        _resume: Option<String>,
    ) -> Result<actions::Outcome, Error> {
        let order: Value = serde_json::from_str(&input).unwrap_or_default();
        let orders = order["requests"].as_array().cloned().unwrap_or_default();
        let output: Value = match action.as_str() {
            "fetch" => orders.iter().map(|order| hand_over(order).and_then(answer)).map(told).collect(),
            "fetch-all" => {
                let handed: Vec<_> = orders.iter().map(hand_over).collect();
                let answers: Vec<_> = handed.into_iter().map(|handed| handed.and_then(wait)).collect();
                answers.into_iter().map(|answer| told(answer.and_then(whole))).collect()
            }
            "forget" => {
                let handed: Vec<_> = orders.iter().map(hand_over).collect();
                json!({ "handed": handed.iter().filter(|handed| handed.is_ok()).count() })
            }
            "ask-on" => loop {
                let _ = hand_over(&orders[0]).and_then(answer);
            },
            "hoard" => hoard(),
            other => {
                let message = format!("no action {other}");
                return Err(Error {
                    kind: ErrorKind::Unsupported,
                    message,
                    retry_after_ms: None,
                    details: None,
                });
            }
        };
        Ok(actions::Outcome::Done(output.to_string()))
    }
}

fn told(answer: Result<Value, String>) -> Value {
    answer.unwrap_or_else(|error| json!({ "error": error }))
}

/// `method url headers[[name, value]] body | body-bytes length trailer first-byte-ms`; the URL is given in its parts, as a
/// language's own parser would: `scheme authority path`.
fn hand_over(order: &Value) -> Result<FutureIncomingResponse, String> {
    let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
    let fields = Fields::new();
    for pair in order["headers"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let (name, value) = (pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default());
        fields.append(name, value.as_bytes()).map_err(|error| format!("header {error:?}"))?;
    }
    let request = OutgoingRequest::new(fields);
    let method = match text("method").as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(|()| "method")?;
    let scheme = match text("scheme").as_str() {
        "" | "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    request.set_authority(Some(&text("authority"))).map_err(|()| "authority")?;
    request.set_path_with_query(Some(&text("path"))).map_err(|()| "path")?;
    let options = RequestOptions::new();
    if let Some(ms) = order["first-byte-ms"].as_u64() {
        options.set_first_byte_timeout(Some(ms * 1_000_000)).map_err(|()| "timeout")?;
    }
    let bytes = match order["body-bytes"].as_u64() {
        Some(size) => vec![b'x'; usize::try_from(size).unwrap_or_default()],
        None => text("body").into_bytes(),
    };
    if bytes.is_empty() && order["trailer"].is_null() {
        return outgoing_handler::handle(request, Some(options)).map_err(code);
    }
    let body = request.body().map_err(|()| "body")?;
    let handed = outgoing_handler::handle(request, Some(options)).map_err(code)?;
    write(&body, &bytes);
    if order["abandon"].is_boolean() {
        return Ok(handed);
    }
    let trailers = order["trailer"].as_str().map(|value| {
        let trailers = Fields::new();
        let _ = trailers.append("x-trailer", value.as_bytes());
        trailers
    });
    OutgoingBody::finish(body, trailers).map_err(code)?;
    Ok(handed)
}

/// Until all is written, or nobody reads it any more: why, the answer says.
fn write(body: &OutgoingBody, bytes: &[u8]) -> u64 {
    let Ok(stream) = body.write() else { return 0 };
    let mut written = 0;
    while written < bytes.len() {
        let room = match stream.check_write() {
            Ok(0) => {
                stream.subscribe().block();
                continue;
            }
            Ok(room) => usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len() - written),
            Err(_) => break,
        };
        if stream.write(&bytes[written..written + room]).is_err() {
            break;
        }
        written += room;
    }
    let _ = stream.blocking_flush();
    written as u64
}

fn answer(future: FutureIncomingResponse) -> Result<Value, String> {
    wait(future).and_then(whole)
}

fn wait(future: FutureIncomingResponse) -> Result<IncomingResponse, String> {
    loop {
        match future.get() {
            Some(Ok(Ok(response))) => return Ok(response),
            Some(Ok(Err(error))) => return Err(code(error)),
            Some(Err(())) => return Err("taken".to_owned()),
            None => future.subscribe().block(),
        }
    }
}

fn whole(response: IncomingResponse) -> Result<Value, String> {
    let (status, headers) = (response.status(), response.headers().entries());
    let headers: Vec<Value> =
        headers.iter().map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect();
    let body = read(response)?;
    Ok(json!({
        "status": status, "headers": headers, "body-bytes": body.len(),
        "body": String::from_utf8_lossy(&body[..body.len().min(4_096)]),
    }))
}

fn read(response: IncomingResponse) -> Result<Vec<u8>, String> {
    let body: IncomingBody = response.consume().map_err(|()| "consumed")?;
    let stream = body.stream().map_err(|()| "streamed")?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

fn code(error: ErrorCode) -> String {
    format!("{error:?}").split("::").last().unwrap_or_default().to_owned()
}

/// How many bytes could be left with the host before it said no more.
fn hoard() -> Value {
    let (mut kept, mut bytes) = (Vec::new(), 0_u64);
    for _ in 0..10_000 {
        let request = OutgoingRequest::new(Fields::new());
        let Ok(body) = request.body() else { break };
        let Ok(stream) = body.write() else { break };
        while let Ok(room @ 1..) = stream.check_write() {
            if stream.write(&vec![b'x'; usize::try_from(room).unwrap_or_default()]).is_err() {
                break;
            }
            bytes += room;
        }
        kept.push((request, stream, body));
    }
    json!({ "bodies": kept.len(), "bytes": bytes })
}
