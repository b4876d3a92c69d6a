//! Parse: the guest's record becomes a well-formed request within bounds (RFC 9110 sections 5.1 and 5.5).
//!
//! Why here: first, so that everything behind it works on bounded values, and before the decision, so that what
//! is no header can't be smuggled past the policy that reads headers. Method, URL and slot are parsed by `grants`
//! in the next layer, with the one URL type that also decides.
use crate::{
    Response, budget,
    limits::{
        DENIED_NAME_BYTES_MAX, KEY_BYTES_MAX, REQUEST_HEADER_BYTES_MAX, REQUEST_HEADERS_MAX, URL_BYTES_MAX,
    },
    prepared::{Asked, Parsed},
    request::Wanted,
    service::{Answering, Failure, Inner},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    future::ready,
    task::{Context, Poll},
};
use tower::Service;

/// The layer.
#[derive(Clone)]
pub(crate) struct Parse<S> {
    inner: S,
}

impl<S> Parse<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Parsed, Response>> Service<Asked> for Parse<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, asked: Asked) -> Self::Future {
        match parse(asked) {
            Ok(parsed) => self.inner.call(parsed),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }
}

fn parse(asked: Asked) -> Result<Parsed, Failure> {
    let (request, settings) = (&*asked.request, &asked.call.connection.settings);
    budget::ask(&asked.call)?;
    check_url(&request.url)?;
    if let Some(key) = &request.idempotency_key {
        check_key(key)?;
    }
    let headers = parse_headers(&request.headers)?;
    let timeout = request.timeout.unwrap_or(settings.timeout).min(settings.timeout);
    let deadline = asked.call.now().saturating_add(timeout);
    let ceiling = match asked.wanted {
        Wanted::Whole => settings.response_bytes_max,
        Wanted::Pieces | Wanted::Parts => settings.streamed_bytes_max,
    };
    let response_bytes_max = request.response_bytes_max.unwrap_or(u64::MAX).min(ceiling);
    Ok(Parsed { headers, deadline, response_bytes_max, asked })
}

pub(crate) fn check_url(url: &str) -> Result<(), Failure> {
    if url.len() > URL_BYTES_MAX {
        let reason = format!("a URL of {} bytes, which is more than {URL_BYTES_MAX}", url.len());
        return Err(Failure::denied(reason, None));
    }
    Ok(())
}

/// Visible ASCII alone: any vendor takes it, and it is one header value, whoever parses it.
fn check_key(key: &str) -> Result<(), Failure> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = format!("an idempotency key is 1 to {KEY_BYTES_MAX} visible ASCII characters");
        return Err(Failure::denied(reason, None));
    }
    Ok(())
}

fn parse_headers(headers: &[(String, Vec<u8>)]) -> Result<HeaderMap, Failure> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > REQUEST_HEADERS_MAX {
        let reason = format!("{} headers, which is more than {REQUEST_HEADERS_MAX}", headers.len());
        return Err(Failure::denied(reason, None));
    }
    if bytes > REQUEST_HEADER_BYTES_MAX {
        let reason = format!("{bytes} bytes of headers, which is more than {REQUEST_HEADER_BYTES_MAX}");
        return Err(Failure::denied(reason, None));
    }
    let mut map = HeaderMap::with_capacity(headers.len() + 8);
    for (name, value) in headers {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Failure::denied(format!("`{}` is no header name", named(name)), None))?;
        // CR, LF and NUL, and so obsolete folding too, are no part of a value for `http`; nor is any other control.
        let value = HeaderValue::from_bytes(value).map_err(|_| {
            Failure::denied(format!("the value of header `{}` holds a control character", named(name)), None)
        })?;
        map.append(parsed, value);
    }
    Ok(map)
}

/// A name of the guest's, inert, and no longer than a reason has room for.
pub(crate) fn named(name: &str) -> String {
    let end = name.floor_char_boundary(DENIED_NAME_BYTES_MAX);
    format!("{}{}", name[..end].escape_debug(), if end < name.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn check(name: &str, value: &[u8], allowed: bool) {
        let parsed = parse_headers(&[(name.to_owned(), value.to_vec())]);
        assert_eq!(parsed.is_ok(), allowed, "{name}: {value:?}");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        check("X-Ok", b"a\tb \xc3\xa9", true);
        check("x_ok", b"", true);
        check("", b"a", false);
        check("x y", b"a", false);
        check("x:y", b"a", false);
        check(":authority", b"a", false);
        check("x\r\ny", b"a", false);
        check("x\0", b"a", false);
        check("x-\u{e9}", b"a", false);
        check("x", b"a\r\nb: c", false);
        check("x", b"a\nb", false);
        check("x", b"a\r\n b", false);
        check("x", b"a\0", false);
        check("x", b"\x7f", false);
    }

    #[test]
    fn headers_are_bounded() {
        let many: Vec<_> = (0..=REQUEST_HEADERS_MAX).map(|n| (format!("x-{n}"), vec![])).collect();
        assert!(parse_headers(&many).is_err());
        assert!(parse_headers(&many[1..]).is_ok());
        assert!(parse_headers(&[("x".to_owned(), vec![b'a'; REQUEST_HEADER_BYTES_MAX])]).is_err());
        assert!(parse_headers(&[("x".to_owned(), vec![b'a'; REQUEST_HEADER_BYTES_MAX - 1])]).is_ok());
    }

    #[test]
    fn keys_are_visible_ascii() {
        assert!(check_key("a-B_9").is_ok());
        for key in ["", "a b", "a\n", "\u{e9}", &"a".repeat(KEY_BYTES_MAX + 1)] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }
}
