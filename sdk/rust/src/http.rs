//! Requests, built and sent. The host judges each by the connection's grants, attaches the credential, retries, waits and
//! logs: a connector does none of that.
//!
//! ```no_run
//! # use portcullis_sdk::{Result, http};
//! # fn example() -> Result<()> {
//! let response = http::get("https://api.example.com/v1/customers")
//!     .query("limit", 100)
//!     .query("created[gte]", 1_700_000_000)
//!     .send()?               // fails only where no answer arrived
//!     .error_for_status()?;  // fails where the answer is not 2xx
//! let list: Vec<&serde_json::value::RawValue> = response.json()?;
//! # Ok(()) }
//! ```

mod encode;
mod multipart;
mod response;
mod stream;
mod vendor;

pub use encode::segment;
pub use multipart::{Multipart, Part};
pub use response::Response;
pub use stream::{BodyStream, Downloaded, Opened};

use crate::{
    Error, ErrorKind, Result, bindings::imports::portcullis::connector::http as wit, blobs::Blob, json,
};
use serde::Serialize;
use std::fmt::Display;

/// A `GET` request.
pub fn get(url: impl Into<String>) -> RequestBuilder {
    request("GET", url)
}

/// A `POST` request.
pub fn post(url: impl Into<String>) -> RequestBuilder {
    request("POST", url)
}

/// A `PUT` request.
pub fn put(url: impl Into<String>) -> RequestBuilder {
    request("PUT", url)
}

/// A `PATCH` request.
pub fn patch(url: impl Into<String>) -> RequestBuilder {
    request("PATCH", url)
}

/// A `DELETE` request.
pub fn delete(url: impl Into<String>) -> RequestBuilder {
    request("DELETE", url)
}

/// A `HEAD` request.
pub fn head(url: impl Into<String>) -> RequestBuilder {
    request("HEAD", url)
}

/// A request with any method. The URL is absolute; its path is sent as written: see [`segment`].
pub fn request(method: impl Into<String>, url: impl Into<String>) -> RequestBuilder {
    RequestBuilder {
        method: method.into(),
        url: url.into(),
        query: String::new(),
        headers: Vec::new(),
        content_type: None,
        body: wit::Body::None,
        timeout_ms: None,
        max_response: None,
        credential: None,
        idempotency_key: None,
        fault: None,
    }
}

/// A request that is being built. A fault on the way (a body that does not serialize) is what `send` returns.
#[derive(Clone, Debug)]
#[must_use = "a request that is not sent does nothing"]
pub struct RequestBuilder {
    method: String,
    url: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    content_type: Option<String>,
    body: wit::Body,
    timeout_ms: Option<u32>,
    max_response: Option<u64>,
    credential: Option<String>,
    idempotency_key: Option<String>,
    fault: Option<Error>,
}

impl RequestBuilder {
    /// Adds a pair to the URL's query. Name and value are percent-encoded, brackets too.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        encode::push_pair(&mut self.query, name, &value.to_string());
        self
    }

    /// Adds a pair where there is a value.
    pub fn query_opt(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Adds pairs.
    pub fn query_pairs<N: AsRef<str>, V: Display>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        pairs.into_iter().fold(self, |request, (name, value)| request.query(name.as_ref(), value))
    }

    /// Adds a header. Those that only the host may set (`Host`, `Authorization` …) have the request denied.
    pub fn header(mut self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// A JSON body.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match json::to_string(value) {
            Ok(text) => self.with_body(text.into_bytes(), "application/json"),
            Err(fault) => {
                self.fault.get_or_insert(fault);
                self
            }
        }
    }

    /// A form body of flat pairs.
    pub fn form<N: AsRef<str>, V: Display>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut text = String::new();
        for (name, value) in pairs {
            encode::push_pair(&mut text, name.as_ref(), &value.to_string());
        }
        self.with_body(text.into_bytes(), FORM)
    }

    /// A form body of nested values: `{"metadata": {"a": "b"}, "expand": ["x"]}` is `metadata[a]=b&expand[0]=x`. Null and
    /// empty containers are left out; a whole number up to 2^53 is written as an integer (`1e3` as `1000`).
    pub fn form_nested(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match encode::form_nested(value) {
            Ok(text) => self.with_body(text.into_bytes(), FORM),
            Err(fault) => {
                self.fault.get_or_insert(fault);
                self
            }
        }
    }

    /// Any body; name its type with [`Self::content_type`].
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = wit::Body::Bytes(bytes.into());
        self
    }

    /// A blob as the body: its bytes never enter the connector.
    pub fn body_blob(mut self, blob: &Blob) -> Self {
        self.body = wit::Body::Blob(blob.id().to_owned());
        self
    }

    /// `size` bytes of a blob, from `offset`, as the body.
    pub fn body_slice(mut self, blob: &Blob, offset: u64, size: u64) -> Self {
        self.body = wit::Body::Slice(wit::Slice { blob: blob.id().to_owned(), offset, size });
        self
    }

    /// A body of parts. The host names its type, boundary included.
    pub fn multipart(mut self, multipart: Multipart) -> Self {
        self.body = wit::Body::Multipart(multipart.into_parts());
        self
    }

    /// The body's type, in place of the one that `json` or `form` chose.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    fn with_body(mut self, bytes: Vec<u8>, content_type: &str) -> Self {
        self.body = wit::Body::Bytes(bytes);
        self.content_type.get_or_insert_with(|| content_type.to_owned());
        self
    }

    /// Time for all of it, the host's retries included; at most the connection's.
    pub fn timeout_ms(mut self, milliseconds: u32) -> Self {
        self.timeout_ms = Some(milliseconds);
        self
    }

    /// Largest body that is wanted; at most the connection's.
    pub fn max_response(mut self, bytes: u64) -> Self {
        self.max_response = Some(bytes);
        self
    }

    /// Which credential slot, where the manifest's rule allows more than one.
    pub fn credential(mut self, slot: impl Into<String>) -> Self {
        self.credential = Some(slot.into());
        self
    }

    /// Same key = same operation. The host makes one where the manifest's rule asks for it; set it only where the
    /// operation has an identity of its own.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Sends it. Whatever the vendor answers is `Ok`; an error means that no answer arrived.
    pub fn send(self) -> Result<Response> {
        let what = self.what();
        match transport::send(self.build()?) {
            Ok(response) => Ok(Response::from(response)),
            Err(error) => Err(unanswered(&what, error)),
        }
    }

    /// Sends it and returns as soon as status and headers are here; the body is read piece by piece, or as events.
    pub fn open(self) -> Result<Opened> {
        let what = self.what();
        match transport::open(self.build()?) {
            Ok((head, body)) => Ok(Opened::new(head, BodyStream::new(body, what))),
            Err(error) => Err(unanswered(&what, error)),
        }
    }

    /// Sends it; the body goes to a blob of the host's and never enters the connector.
    pub fn download(self) -> Result<Downloaded> {
        let what = self.what();
        match transport::download(self.build()?) {
            Ok((head, blob)) => Ok(Downloaded::new(head, blob)),
            Err(error) => Err(unanswered(&what, error)),
        }
    }

    /// The URL that is asked, its query included.
    pub fn url(&self) -> String {
        encode::with_query(self.url.clone(), &self.query)
    }

    /// The same request to another URL; the query that was built for the old one stays behind.
    pub fn to(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self.query.clear();
        self
    }

    /// Method and URL without its query, for messages.
    fn what(&self) -> String {
        format!("{} {}", self.method, self.url.split(['?', '#']).next().unwrap_or_default())
    }

    fn build(self) -> Result<wit::Request> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut headers: Vec<wit::Header> =
            self.headers.into_iter().map(|(name, value)| wit::Header { name, value }).collect();
        if let Some(content_type) = self.content_type {
            let is_set = headers.iter().any(|header| header.name.eq_ignore_ascii_case("content-type"));
            if !is_set {
                headers.push(wit::Header { name: "content-type".into(), value: content_type.into_bytes() });
            }
        }
        Ok(wit::Request {
            method: self.method,
            url: encode::with_query(self.url, &self.query),
            headers,
            body: self.body,
            timeout_ms: self.timeout_ms,
            max_response: self.max_response,
            credential: self.credential,
            idempotency_key: self.idempotency_key,
        })
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Most that the host takes in one `send-all`.
const TOGETHER_MAX: usize = 64;

/// Sends requests at once and waits for all; answers come in the order of the requests, each as [`RequestBuilder::send`]
/// would give it. More than 64 go in groups, one after the other. A request that can't be built is not sent, and the others
/// are. Keep the order of unsafe requests when called again: their idempotency keys depend on it.
pub fn send_all(requests: impl IntoIterator<Item = RequestBuilder>) -> Vec<Result<Response>> {
    let mut answers = Vec::new();
    let mut requests = requests.into_iter().peekable();
    while requests.peek().is_some() {
        let (mut sent, mut built, mut group) = (Vec::new(), Vec::new(), Vec::new());
        for request in requests.by_ref().take(TOGETHER_MAX) {
            let what = request.what();
            match request.build() {
                Ok(request) => {
                    sent.push(what);
                    built.push(request);
                    group.push(None);
                }
                Err(fault) => group.push(Some(fault)),
            }
        }
        let arrived = if built.is_empty() { Vec::new() } else { transport::send_all(built) };
        let mut arrived = sent.into_iter().zip(arrived);
        for fault in group {
            answers.push(match fault {
                Some(fault) => Err(fault),
                None => match arrived.next() {
                    Some((_, Ok(response))) => Ok(Response::from(response)),
                    Some((what, Err(error))) => Err(unanswered(&what, error)),
                    None => Err(Error::internal("the host answered fewer requests than were sent")),
                },
            });
        }
    }
    answers
}

#[cfg(target_arch = "wasm32")]
mod transport {
    use super::wit::{self, BodyStream, HttpError, Request, Response, ResponseHead};

    pub(super) fn send(request: Request) -> Result<Response, HttpError> {
        wit::send(&request)
    }

    pub(super) fn send_all(requests: Vec<Request>) -> Vec<Result<Response, HttpError>> {
        wit::send_all(&requests)
    }

    pub(super) fn open(request: Request) -> Result<(ResponseHead, BodyStream), HttpError> {
        wit::open(&request)
    }

    pub(super) fn download(request: Request) -> Result<(ResponseHead, String), HttpError> {
        wit::download(&request)
    }
}

#[cfg(not(target_arch = "wasm32"))]
use crate::harness::transport;

/// Why no answer arrived. `what` is method and URL without its query.
fn unanswered(what: &str, error: wit::HttpError) -> Error {
    use wit::HttpError as Fault;
    let new = |kind, why: String| Error::new(kind, format!("{what}: {why}"));
    match error {
        Fault::Denied(exchange) => {
            new(ErrorKind::Denied, format!("refused by the host; see exchange `{exchange}`"))
        }
        Fault::Timeout => new(ErrorKind::Timeout, "no answer in time".into()),
        Fault::Connect(why) => new(ErrorKind::Unavailable, format!("no connection: {why}")),
        Fault::Tls(why) => new(ErrorKind::Unavailable, format!("no trusted connection: {why}")),
        Fault::TooLarge(bytes) => new(ErrorKind::Internal, format!("larger than {bytes} bytes")),
        Fault::Malformed(why) => new(ErrorKind::Internal, format!("malformed: {why}")),
        Fault::RateLimited(milliseconds) => {
            new(ErrorKind::RateLimited, format!("to wait {milliseconds} ms")).retry_after_ms(milliseconds)
        }
        Fault::Cancelled => new(ErrorKind::Cancelled, "cancelled".into()),
        Fault::Unsupported => new(ErrorKind::Unsupported, "not in this version of the host".into()),
    }
}

#[cfg(test)]
mod tests;
