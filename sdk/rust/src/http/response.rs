//! An answer, and what its status means.

use super::{vendor, wit};
use crate::{Error, ErrorKind, Result};
use serde::Deserialize;

/// A whole answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Response {
    /// An answer of a test's own making.
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        Self { status, headers: headers.collect(), body: body.into() }
    }

    /// The same head over another body.
    pub(super) fn with_body(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in any case; none also where its value is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        str::from_utf8(value).ok()
    }

    /// All headers, in the order of the wire.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The decoded body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The body as a type; it may borrow from the answer, such as `&RawValue`. A fault is `ContractDrift`.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        crate::json::parse(self.text()?)
    }

    /// The body as text; what is not UTF-8 is `ContractDrift`.
    pub fn text(&self) -> Result<&str> {
        str::from_utf8(&self.body).map_err(|_| not_text())
    }

    /// The body as text, without a copy.
    pub fn into_text(self) -> Result<String> {
        String::from_utf8(self.body).map_err(|_| not_text())
    }

    /// `Retry-After` in whole seconds, as milliseconds. Rarely needed: the host waits by itself where the time is short.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let text = self.header("retry-after")?.trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000))
    }

    /// The answer where its status is 2xx; else an error with the kind that the status means, and the vendor's own message
    /// where it sent one as JSON.
    pub fn error_for_status(self) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let mut text = format!("vendor answered {}", self.status);
        let found = vendor::Fault::of(&self.body);
        if let Some(message) = found.message {
            text.push_str(": ");
            text.push_str(&message);
        } else if self.status / 100 == 3 {
            text.push_str(", a redirect that is not followed");
        }
        let mut error = Error::new(kind(self.status), text)
            .details(&serde_json::json!({ "status": self.status, "error": found.error }));
        if let (429 | 503, Some(milliseconds)) = (self.status, self.retry_after_ms()) {
            error = error.retry_after_ms(milliseconds);
        }
        Err(error)
    }
}

fn kind(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 | 410 => ErrorKind::NotFound,
        408 => ErrorKind::Timeout,
        409 | 412 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        400..=499 => ErrorKind::InvalidInput,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::ContractDrift,
    }
}

fn not_text() -> Error {
    Error::new(ErrorKind::ContractDrift, "the vendor's answer is not UTF-8")
}

impl From<wit::Response> for Response {
    fn from(response: wit::Response) -> Self {
        let headers = response.headers.into_iter().map(|header| (header.name, header.value)).collect();
        Self { status: response.status, headers, body: response.body }
    }
}

impl From<wit::ResponseHead> for Response {
    fn from(head: wit::ResponseHead) -> Self {
        Self::from(wit::Response { status: head.status, headers: head.headers, body: Vec::new() })
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<Response> for wit::Response {
    fn from(response: Response) -> Self {
        let headers = response.headers.into_iter().map(|(name, value)| wit::Header { name, value }).collect();
        Self { status: response.status, headers, body: response.body }
    }
}
