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
mod response;
mod vendor;

pub use encode::segment;
pub use response::Response;

use crate::{Error, ErrorKind, Result, bindings::imports::portcullis::connector::http as wit, json};
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
        body: None,
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
    body: Option<Vec<u8>>,
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
        self.body = Some(bytes.into());
        self
    }

    /// The body's type, in place of the one that `json` or `form` chose.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    fn with_body(mut self, bytes: Vec<u8>, content_type: &str) -> Self {
        self.body = Some(bytes);
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
        let what = format!("{} {}", self.method, self.url.split(['?', '#']).next().unwrap_or_default());
        let request = self.build()?;
        match transport(request) {
            Ok(response) => Ok(Response::from(response)),
            Err(error) => Err(unanswered(&what, error)),
        }
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
            body: self.body.map_or(wit::Body::None, wit::Body::Bytes),
            timeout_ms: self.timeout_ms,
            max_response: self.max_response,
            credential: self.credential,
            idempotency_key: self.idempotency_key,
        })
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

#[cfg(target_arch = "wasm32")]
fn transport(request: wit::Request) -> std::result::Result<wit::Response, wit::HttpError> {
    wit::send(&request)
}

#[cfg(not(target_arch = "wasm32"))]
fn transport(request: wit::Request) -> std::result::Result<wit::Response, wit::HttpError> {
    crate::harness::answer(request)
}

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
