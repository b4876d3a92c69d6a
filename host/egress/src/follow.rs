//! Follow: a redirect of a rule that says `redirect = "follow"` is a new request through the whole pipeline.
//!
//! Why here: around everything, so that each hop is parsed, authorised, guarded, counted and logged like any other.
//! Nothing of the old hop goes along but what the guest asked for: the credential is that of the new hop's own rule,
//! or none; there is no Referer; to another origin go no headers but a few that mean the same everywhere. Methods and
//! bodies change as in RFC 9110 section 15.4 and the Fetch standard.
use crate::{
    Error, Request, Response,
    limits::REDIRECTS_MAX,
    prepared::Asked,
    service::{Answering, Failure, Inner},
};
use portcullis_grants::CanonicalUrl;
use std::{
    sync::Arc,
    task::{Context, Poll},
};
use tower::Service;

/// Headers that may go to another origin.
const ANYWHERE: [&str; 7] =
    ["accept", "accept-language", "content-type", "if-none-match", "if-range", "range", "user-agent"];

/// The layer.
#[derive(Clone)]
pub(crate) struct Follow<S> {
    inner: S,
}

impl<S> Follow<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Asked, Response>> Service<Asked> for Follow<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, asked: Asked) -> Self::Future {
        let mut inner = self.inner.clone();
        Box::pin(async move { follow(&mut inner, asked).await })
    }
}

async fn follow<S: Inner<Asked, Response>>(inner: &mut S, mut asked: Asked) -> Result<Response, Failure> {
    let (call, wanted) = (Arc::clone(&asked.call), asked.wanted);
    let timeout = call.connection.settings.timeout;
    let deadline = call.now().saturating_add(asked.request.timeout.unwrap_or(timeout).min(timeout));
    for _ in 0..=REDIRECTS_MAX {
        let request = Arc::clone(&asked.request);
        let response = inner.call(asked).await?;
        let Some(location) = response.location() else { return Ok(response) };
        let mut next = next(&request, response.status, location)?;
        next.timeout = Some(deadline.saturating_sub(call.now()));
        // An unsafe hop has a place of its own among those of the call.
        asked = Asked { request: Arc::new(next), call: Arc::clone(&call), ordinal: None, wanted };
    }
    Err(broken(format!("more than {REDIRECTS_MAX} redirects")))
}

fn next(request: &Request, status: u16, location: &[u8]) -> Result<Request, Failure> {
    let here = CanonicalUrl::parse(&request.url).map_err(|_| broken("the redirect leads nowhere"))?;
    let location = std::str::from_utf8(location).map_err(|_| broken("the `location` is not ASCII"))?;
    let there =
        here.resolve(location).map_err(|error| broken(format!("the `location` is refused: {error}")))?;
    let same_origin =
        (here.scheme(), here.host(), here.port()) == (there.scheme(), there.host(), there.port());
    let becomes_get = match status {
        303 => !matches!(request.method.as_str(), "GET" | "HEAD"),
        301 | 302 => request.method == "POST",
        _ => false,
    };
    let goes_along = |name: &str| {
        let name = name.to_ascii_lowercase();
        let of_a_body = name.starts_with("content-");
        (same_origin || ANYWHERE.contains(&name.as_str())) && !(becomes_get && of_a_body)
    };
    let headers = request.headers.iter().filter(|(name, _)| goes_along(name)).cloned().collect();
    Ok(Request {
        method: if becomes_get { "GET".to_owned() } else { request.method.clone() },
        url: there.as_str().to_owned(),
        headers,
        body: request.body.clone().filter(|_| !becomes_get),
        payload: request.payload.clone().filter(|_| !becomes_get),
        timeout: request.timeout,
        response_bytes_max: request.response_bytes_max,
        // The old hop's choice; the new hop's rule decides.
        credential: request.credential.clone().filter(|_| same_origin),
        idempotency_key: request.idempotency_key.clone().filter(|_| !becomes_get && same_origin),
    })
}

/// The answer before it had arrived whole: nothing is in doubt that was not before.
fn broken(text: impl Into<String>) -> Failure {
    Failure { recorded: true, ..Failure::sent(Error::Malformed(text.into())) }
}

impl Response {
    /// Where the host is to follow.
    fn location(&self) -> Option<&[u8]> {
        if !self.follow || !matches!(self.status, 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let found = self.headers.iter().find(|(name, _)| name == "location");
        found.map(|(_, value)| value.as_slice())
    }
}

#[cfg(test)]
mod tests;
