//! `http`: hands requests to egress and answers back. Decides nothing itself; without egress every request is denied.

use super::imports::http::{
    Body, BodyStream, Content, Host, HostBodyStream, HttpError, Part, Request, Response, ResponseHead, Slice,
};
use super::imports::types::Header;
use crate::{
    StorageError, budget,
    instance::CallState,
    limits,
    spool::{self, Blob, Spool},
};
use bytes::Bytes;
use portcullis_egress::{self as egress, Payload};
use std::{sync::Arc, time::Duration};
use wasmtime::component::Resource;

/// Stands where the exchange id would: no pipeline saw the request.
const NO_GRANTS: &str = "no-grants";

impl Host for CallState {
    async fn send(&mut self, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        let (call, spool) = (self.egress.clone(), self.own_spool());
        self.enter(async move {
            match send(call, spool, request).await {
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
        let (call, spool) = (self.egress.clone(), self.own_spool());
        self.enter(async move { send_all(call, spool, requests).await }).await?
    }

    async fn download(
        &mut self,
        request: Request,
    ) -> wasmtime::Result<Result<(ResponseHead, String), HttpError>> {
        let (call, spool) = (self.egress.clone(), self.own_spool());
        self.enter(async move {
            match download(call, spool, request).await {
                Err(Refused::Ended(error)) => Err(error.into()),
                Err(Refused::Told(error)) => Ok(Err(error)),
                Ok(kept) => Ok(Ok(kept)),
            }
        })
        .await?
    }

    async fn open(
        &mut self,
        request: Request,
    ) -> wasmtime::Result<Result<(ResponseHead, Resource<BodyStream>), HttpError>> {
        let (call, spool) = (self.egress.clone(), self.own_spool());
        let opened = self.enter(async move { open(call, spool, request).await }).await?;
        let (head, body) = match opened {
            Err(Refused::Ended(error)) => return Err(error.into()),
            Err(Refused::Told(error)) => return Ok(Err(error)),
            Ok(opened) => opened,
        };
        let stream = self.table().push(Reading { body, left: Bytes::new() })?;
        Ok(Ok((head, stream)))
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

/// The run's spool, where the call has one.
type Blobs = Result<Arc<Spool>, StorageError>;

async fn send(call: Option<Arc<egress::Call>>, spool: Blobs, request: Request) -> Result<Response, Refused> {
    let call = call.ok_or_else(denied)?;
    Ok(respond(call.send(parse(request, &spool)?).await?))
}

/// Those that can be handed over go together, and each answer to the place of its request.
async fn send_all(
    call: Option<Arc<egress::Call>>,
    spool: Blobs,
    requests: Vec<Request>,
) -> wasmtime::Result<Vec<Result<Response, HttpError>>> {
    let Some(call) = call else { return Ok(requests.iter().map(|_| Err(denied())).collect()) };
    let (mut answers, mut handed) = (Vec::with_capacity(requests.len()), Vec::new());
    for request in requests {
        answers.push(match parse(request, &spool) {
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

async fn download(
    call: Option<Arc<egress::Call>>,
    spool: Blobs,
    request: Request,
) -> Result<(ResponseHead, String), Refused> {
    let call = call.ok_or_else(denied)?;
    let request = parse(request, &spool)?;
    let mut writer = spool.map_err(as_http)?.create().await.map_err(as_http)?;
    let head = call.download(request, &mut writer).await?;
    Ok((respond_head(head), writer.finish().await.map_err(as_http)?))
}

async fn open(
    call: Option<Arc<egress::Call>>,
    spool: Blobs,
    request: Request,
) -> Result<(ResponseHead, egress::Body), Refused> {
    let call = call.ok_or_else(denied)?;
    let (head, body) = call.open(parse(request, &spool)?).await?;
    Ok((respond_head(head), body))
}

fn respond_head(head: egress::Head) -> ResponseHead {
    let headers = head.headers.into_iter().map(|(name, value)| Header { name, value }).collect();
    ResponseHead { status: head.status, headers }
}

/// A body that the guest reads, and what of its last piece the guest had no room for.
pub struct Reading {
    body: egress::Body,
    left: Bytes,
}

impl Reading {
    async fn read(&mut self, max: u32) -> Result<Option<Vec<u8>>, Refused> {
        // A piece enters the guest at once, like a whole body.
        let max = usize::try_from(u64::from(max.max(1)).min(limits::BODY_BYTES_MAX)).unwrap_or(1);
        if self.left.is_empty() {
            match self.body.next().await? {
                Some(piece) => self.left = piece,
                None => return Ok(None),
            }
        }
        let taken = self.left.split_to(self.left.len().min(max));
        Ok(Some(taken.into()))
    }
}

impl HostBodyStream for CallState {
    async fn read(
        &mut self,
        stream: Resource<BodyStream>,
        max: u32,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, HttpError>> {
        let counted = self.enter(std::future::ready(())).await;
        counted?;
        let meter = self.meter.clone();
        let reading = self.table().get_mut(&stream)?;
        match budget::host(meter, reading.read(max)).await {
            Err(Refused::Ended(error)) => Err(error.into()),
            Err(Refused::Told(error)) => Ok(Err(error)),
            Ok(piece) => Ok(Ok(piece)),
        }
    }

    async fn drop(&mut self, stream: Resource<BodyStream>) -> wasmtime::Result<()> {
        self.table().delete(stream)?;
        Ok(())
    }
}

fn denied() -> HttpError {
    HttpError::Denied(NO_GRANTS.to_owned())
}

fn parse(request: Request, spool: &Blobs) -> Result<egress::Request, HttpError> {
    let (body, payload) = match request.body {
        Body::None => (None, None),
        Body::Bytes(bytes) => (Some(in_memory(bytes)?), None),
        Body::Blob(blob) => (None, Some(Payload::Content(whole(spool, &blob)?))),
        Body::Slice(slice) => (None, Some(Payload::Content(part_of(spool, &slice)?))),
        Body::Multipart(parts) => {
            let parts: Result<_, HttpError> = parts.into_iter().map(|part| parse_part(part, spool)).collect();
            (None, Some(Payload::Multipart(parts?)))
        }
    };
    Ok(egress::Request {
        method: request.method,
        url: request.url,
        headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        body,
        payload,
        timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        response_bytes_max: request.max_response,
        credential: request.credential,
        idempotency_key: request.idempotency_key,
    })
}

fn parse_part(part: Part, spool: &Blobs) -> Result<egress::Part, HttpError> {
    let content = match part.content {
        Content::Bytes(bytes) => egress::Content::Bytes(in_memory(bytes)?),
        Content::Blob(blob) => whole(spool, &blob)?,
        Content::Slice(slice) => part_of(spool, &slice)?,
    };
    Ok(egress::Part { name: part.name, file_name: part.file_name, content_type: part.content_type, content })
}

fn in_memory(bytes: Vec<u8>) -> Result<Bytes, HttpError> {
    if bytes.len() as u64 > limits::BODY_BYTES_MAX {
        return Err(HttpError::TooLarge(limits::BODY_BYTES_MAX));
    }
    Ok(bytes.into())
}

fn whole(spool: &Blobs, id: &str) -> Result<egress::Content, HttpError> {
    let held = find(spool, id)?;
    let size = held.size;
    Ok(egress::Content::Held { held, offset: 0, size })
}

/// All of it has to be there: the length is told before the first byte.
fn part_of(spool: &Blobs, slice: &Slice) -> Result<egress::Content, HttpError> {
    let held = find(spool, &slice.blob)?;
    let (offset, size) = (slice.offset, slice.size);
    if offset.checked_add(size).is_none_or(|end| end > held.size) {
        return Err(HttpError::Malformed(format!(
            "the slice ends after the {} bytes of its blob",
            held.size
        )));
    }
    Ok(egress::Content::Held { held, offset, size })
}

fn find(spool: &Blobs, id: &str) -> Result<Arc<Blob>, HttpError> {
    let spool = spool.as_ref().map_err(|error| HttpError::Malformed(error.to_string()))?;
    spool.blob(id).map_err(|_| HttpError::Malformed("the body names no blob of this run".to_owned()))
}

/// A fault of the spool, for the guest.
fn as_http(error: StorageError) -> Refused {
    spool::as_http(error).into()
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
    use super::*;
    use portcullis_clock::RealRandom;

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
        let folder = tempfile::tempdir().unwrap();
        let spool = Ok(Spool::new(folder.path().join("run"), 0, Arc::new(RealRandom)));
        let parsed = parse(request(Body::Bytes(b"b".to_vec())), &spool).expect("is handed over");
        assert_eq!((parsed.method.as_str(), parsed.url.as_str()), ("POST", "https://a.test/"));
        assert_eq!(parsed.headers, [("x".to_owned(), vec![0xff])]);
        assert_eq!(parsed.body.as_deref(), Some(&b"b"[..]));
        assert_eq!((parsed.timeout, parsed.response_bytes_max), (Some(Duration::from_millis(5)), Some(6)));
        assert_eq!(
            (parsed.credential.as_deref(), parsed.idempotency_key.as_deref()),
            (Some("key"), Some("k"))
        );
        assert!(parse(request(Body::None), &spool).expect("is handed over").body.is_none());
    }

    #[tokio::test]
    async fn bodies_outside_memory_are_of_this_run_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path().join("run"), 99, Arc::new(RealRandom));
        let mut writer = spool.create().await.unwrap();
        writer.append(b"0123456789").await.unwrap();
        let id = writer.finish().await.unwrap();
        let spool = Ok(spool);
        let slice = |offset, size| Body::Slice(Slice { blob: id.clone(), offset, size });
        let part = |content| Part { name: "n".to_owned(), file_name: None, content_type: None, content };
        let bytes_of = |body| match parse(request(body), &spool) {
            Ok(egress::Request { payload: Some(Payload::Content(content)), .. }) => Ok(content.size()),
            Ok(_) => Ok(0),
            Err(error) => Err(error),
        };
        assert!(matches!(bytes_of(Body::Blob(id.clone())), Ok(10)));
        assert!(matches!(bytes_of(slice(3, 7)), Ok(7)));
        for wrong in
            [slice(3, 8), slice(11, 0), slice(u64::MAX, 1), slice(1, u64::MAX), Body::Blob("b".into())]
        {
            assert!(matches!(bytes_of(wrong), Err(HttpError::Malformed(_))));
        }
        let wrong = Body::Multipart(vec![part(Content::Bytes(Vec::new())), part(Content::Blob("b".into()))]);
        assert!(matches!(bytes_of(wrong), Err(HttpError::Malformed(_))));
        let large = vec![0; limits::BODY_BYTES_MAX as usize + 1];
        assert!(matches!(bytes_of(Body::Bytes(large)), Err(HttpError::TooLarge(limits::BODY_BYTES_MAX))));
    }

    #[test]
    fn of_a_denial_the_guest_learns_the_exchange_alone() {
        let denial =
            egress::error::DenialDetail { reason: "no rule".to_owned(), remedy: Some("allow".to_owned()) };
        let error = egress::Error::Denied { exchange: "exch_1".to_owned(), denial: Box::new(denial) };
        assert!(matches!(Refused::from(error), Refused::Told(HttpError::Denied(text)) if text == "exch_1"));
    }
}
