//! `http`: hands requests to egress and answers back. Decides nothing itself; without egress every request is denied.

use super::imports::http::{
    Body, BodyStream, Host, HostBodyStream, HttpError, Request, Response, ResponseHead,
};
use super::imports::types::Header;
use crate::{instance::CallState, limits};
use portcullis_egress as egress;
use std::{sync::Arc, time::Duration};
use wasmtime::component::Resource;

/// Stands where the exchange id would: no pipeline saw the request.
const NO_GRANTS: &str = "no-grants";

impl Host for CallState {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        let call = self.egress.clone();
        self.enter(async move {
            match send(call, request).await {
                // Not for the guest, which took no denial for an answer: this ends its call.
                Err(Refused::Ended(error)) => Err(error.into()),
                Err(Refused::Told(error)) => Ok(Err(error)),
                Ok(response) => Ok(Ok(response)),
            }
        })
        .await?
    }

    async fn send_all(
        &mut self,
        requests: Vec<Request>,
    ) -> wasmtime::Result<Vec<Result<Response, HttpError>>> {
        let call = self.egress.clone();
        self.enter(async move { send_all(call, requests).await }).await?
    }

    async fn download(
        &mut self,
        _request: Request,
    ) -> wasmtime::Result<Result<(ResponseHead, String), HttpError>> {
        let error = self.unbuilt();
        self.enter(async move { Err(error) }).await
    }

    async fn open(
        &mut self,
        _request: Request,
    ) -> wasmtime::Result<Result<(ResponseHead, Resource<BodyStream>), HttpError>> {
        let error = self.unbuilt();
        self.enter(async move { Err(error) }).await
    }
}

/// How a request ends without an answer.
enum Refused {
    Told(HttpError),
    Ended(egress::Error),
}

impl From<HttpError> for Refused {
    fn from(error: HttpError) -> Self {
        Self::Told(error)
    }
}

async fn send(call: Option<Arc<egress::Call>>, request: Request) -> Result<Response, Refused> {
    let call = call.ok_or_else(denied)?;
    Ok(respond(call.send(parse(request)?).await?))
}

/// Those that can be handed over go together, and each answer to the place of its request.
async fn send_all(
    call: Option<Arc<egress::Call>>,
    requests: Vec<Request>,
) -> wasmtime::Result<Vec<Result<Response, HttpError>>> {
    let Some(call) = call else { return Ok(requests.iter().map(|_| Err(denied())).collect()) };
    let (mut answers, mut handed) = (Vec::with_capacity(requests.len()), Vec::new());
    for request in requests {
        answers.push(match parse(request) {
            Ok(request) => {
                handed.push(request);
                None
            }
            Err(error) => Some(Err(error)),
        });
    }
    let mut sent = call.send_all(handed).await.into_iter();
    let mut answered = Vec::with_capacity(answers.len());
    for answer in answers {
        answered.push(match answer {
            Some(refused) => refused,
            None => match sent.next().map(|result| result.map(respond).map_err(Refused::from)) {
                Some(Ok(response)) => Ok(response),
                Some(Err(Refused::Told(error))) => Err(error),
                Some(Err(Refused::Ended(error))) => return Err(error.into()),
                None => Err(HttpError::Malformed("no answer".to_owned())),
            },
        });
    }
    Ok(answered)
}

fn respond(response: egress::Response) -> Response {
    Response {
        status: response.status,
        headers: response.headers.into_iter().map(|(name, value)| Header { name, value }).collect(),
        body: response.body.into(),
    }
}

/// None can exist before `open` is built.
impl HostBodyStream for CallState {
    async fn read(
        &mut self,
        _stream: Resource<BodyStream>,
        _max: u32,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, HttpError>> {
        self.enter(async { Err(HttpError::Unsupported) }).await
    }

    async fn drop(&mut self, _stream: Resource<BodyStream>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl CallState {
    /// With empty grants a function denies, also one whose turn has not come.
    fn unbuilt(&self) -> HttpError {
        if self.egress.is_some() { HttpError::Unsupported } else { denied() }
    }
}

fn denied() -> HttpError {
    HttpError::Denied(NO_GRANTS.to_owned())
}

fn parse(request: Request) -> Result<egress::Request, HttpError> {
    let body = match request.body {
        Body::None => None,
        Body::Bytes(bytes) => Some(bytes),
        Body::Blob(_) | Body::Slice(_) | Body::Multipart(_) => return Err(HttpError::Unsupported),
    };
    if body.as_ref().is_some_and(|body| body.len() as u64 > limits::BODY_BYTES_MAX) {
        return Err(HttpError::TooLarge(limits::BODY_BYTES_MAX));
    }
    Ok(egress::Request {
        method: request.method,
        url: request.url,
        headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        body: body.map(Into::into),
        payload: None,
        timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        response_bytes_max: request.max_response,
        credential: request.credential,
        idempotency_key: request.idempotency_key,
    })
}

impl From<egress::Error> for Refused {
    fn from(error: egress::Error) -> Self {
        Self::Told(match error {
            egress::Error::Exhausted { .. } => return Self::Ended(error),
            // The reason is the operator's.
            egress::Error::Denied { exchange, .. } => HttpError::Denied(exchange),
            egress::Error::Timeout => HttpError::Timeout,
            egress::Error::Connect(why) => HttpError::Connect(why),
            egress::Error::Tls(why) => HttpError::Tls(why),
            egress::Error::TooLarge(bytes) => HttpError::TooLarge(bytes),
            egress::Error::Malformed(why) => HttpError::Malformed(why),
            egress::Error::RateLimited(ms) => HttpError::RateLimited(ms),
            // Nothing came of it, and nothing was refused.
            egress::Error::Cancelled | egress::Error::Withheld => HttpError::Cancelled,
            egress::Error::Unsupported => HttpError::Unsupported,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::imports::http::Slice;
    use super::*;

    fn request(body: Body) -> Request {
        Request {
            method: "POST".to_owned(),
            url: "https://a.test/".to_owned(),
            headers: vec![Header { name: "x".to_owned(), value: vec![0xff] }],
            body,
            timeout_ms: Some(5),
            max_response: Some(6),
            credential: Some("key".to_owned()),
            idempotency_key: Some("k".to_owned()),
        }
    }

    #[test]
    fn a_request_arrives_as_it_was_handed_over() {
        let parsed = parse(request(Body::Bytes(b"b".to_vec()))).expect("is handed over");
        assert_eq!((parsed.method.as_str(), parsed.url.as_str()), ("POST", "https://a.test/"));
        assert_eq!(parsed.headers, [("x".to_owned(), vec![0xff])]);
        assert_eq!(parsed.body.as_deref(), Some(&b"b"[..]));
        assert_eq!((parsed.timeout, parsed.response_bytes_max), (Some(Duration::from_millis(5)), Some(6)));
        assert_eq!(
            (parsed.credential.as_deref(), parsed.idempotency_key.as_deref()),
            (Some("key"), Some("k"))
        );
        assert!(parse(request(Body::None)).expect("is handed over").body.is_none());
    }

    #[test]
    fn bodies_that_are_not_built_or_too_large_are_refused() {
        let slice = Slice { blob: "b".to_owned(), offset: 0, size: 1 };
        for body in [Body::Blob("b".to_owned()), Body::Slice(slice), Body::Multipart(Vec::new())] {
            assert!(matches!(parse(request(body)), Err(HttpError::Unsupported)));
        }
        let large = vec![0; limits::BODY_BYTES_MAX as usize + 1];
        assert!(matches!(
            parse(request(Body::Bytes(large))),
            Err(HttpError::TooLarge(limits::BODY_BYTES_MAX))
        ));
    }

    #[test]
    fn of_a_denial_the_guest_learns_the_exchange_alone() {
        let denial =
            egress::error::DenialDetail { reason: "no rule".to_owned(), remedy: Some("allow".to_owned()) };
        let error = egress::Error::Denied { exchange: "exch_1".to_owned(), denial: Box::new(denial) };
        assert!(matches!(Refused::from(error), Refused::Told(HttpError::Denied(text)) if text == "exch_1"));
    }
}
