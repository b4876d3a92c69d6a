//! Header policy: what a guest may never set, remove or shadow (RFC 9110 sections 5.6.2, 7.2 and 7.6.1; RFC 9112
//! section 6; RFC 7239), and what the host sets itself.
//!
//! Why here: behind the decision, because a rule's `guest-headers` and `idempotency` say what holds for this
//! request, and before idempotency, because a request that is refused must leave no intent behind.
use crate::{
    Payload, Response, SettingsError,
    prepared::Prepared,
    request::Wanted,
    service::{Answering, Failure, Inner},
};
use http::{HeaderValue, header};
use portcullis_grants::{Attributes, ReservedName};
use portcullis_secrets::{Credential, Place};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    future::ready,
    task::{Context, Poll},
};
use tower::Service;

/// Framing, routing and hop-by-hop: the transport's alone. No rule can hand these to a guest.
const TRANSPORT: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "trailers",
    "connection",
    "proxy-connection",
    "keep-alive",
    "upgrade",
    "expect",
    "http2-settings",
    "accept-encoding",
];

const AUTHORIZATION: &str = "authorization";

/// What is meant by a guest that sets `authorization`.
const SLOT_REMEDY: &str = "\
# connector.toml: a slot, to which the operator binds a credential; the host attaches it, and no guest sees it
[credentials.key]
schemes = [\"bearer\"]
why = \"WHY\"

# and in the rule's [[http]] table
credential = \"key\"";

/// Refused unless the rule lists them in `guest-headers`: credentials, what makes a proxy or a framework read another
/// method, host, path, client or origin than the one that was judged, and what names a second path that no rule judged.
const DENIED: &[&str] = &[
    "authorization",
    "cookie",
    "referer",
    "via",
    // CGI makes `HTTP_PROXY` of it.
    "proxy",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-host",
    "x-http-host-override",
    "x-http-path-override",
    "x-override-url",
    "x-proxy-url",
    "x-rewrite-url",
    "x-matched-path",
    "x-now-route-matches",
    "x-waws-unencoded-url",
    "x-ms-original-url",
    "client-ip",
    "x-client-ip",
    "x-real-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-originating-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "fastly-client-ip",
    // A second path: WebDAV (RFC 4918 section 10.3), Swift, Azure. S3 and its kin: see `DENIED_SUFFIXES`.
    "destination",
    "x-copy-from",
    "x-ms-rename-source",
];

/// Likewise, all that begin so.
const DENIED_PREFIXES: &[&str] = &[
    "cf-connecting-ip",
    "forwarded",
    "proxy-",
    "x-envoy-",
    "x-forwarded",
    "x-invoke-",
    "x-middleware-",
    "x-original-",
];

/// Likewise, all that end so: the other object of a copy.
const DENIED_SUFFIXES: &[&str] = &["-copy-source"];

/// The policy of one connection.
pub(crate) struct HeaderPolicy {
    /// Twin form of each slot's header, and the slot.
    slot_headers: Vec<(String, String)>,
    /// Each slot's query name in all its spellings, and the slot.
    slot_queries: Vec<(ReservedName, String)>,
    user_agent: HeaderValue,
}

impl HeaderPolicy {
    pub fn new(
        credentials: &BTreeMap<String, Credential>,
        connector: &str,
        connector_version: &str,
    ) -> Result<Self, SettingsError> {
        let agent = format!("portcullis/{} ({connector} {connector_version})", env!("CARGO_PKG_VERSION"));
        let user_agent = HeaderValue::try_from(agent)
            .map_err(|_| SettingsError::Invalid(format!("`{connector}` fits no User-Agent header")))?;
        let (mut slot_headers, mut slot_queries) = (Vec::new(), Vec::new());
        for (slot, credential) in credentials {
            match credential.place() {
                Place::Header(name) => {
                    http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                        SettingsError::Invalid(format!(
                            "credential `{}`: `{name}` is no header name",
                            credential.name
                        ))
                    })?;
                    let twin = header_twin(&name).into_owned();
                    if TRANSPORT.contains(&twin.as_str()) {
                        let text = format!(
                            "credential `{}`: header `{name}` belongs to the transport",
                            credential.name
                        );
                        return Err(SettingsError::Invalid(text));
                    }
                    slot_headers.push((twin, slot.clone()));
                }
                Place::Query(name) => slot_queries.push((ReservedName::new(&name), slot.clone())),
            }
        }
        Ok(Self { slot_headers, slot_queries, user_agent })
    }

    /// Checks the guest's part and adds the host's.
    fn apply(&self, prepared: &mut Prepared) -> Result<(), Failure> {
        for name in prepared.headers.keys() {
            self.check_header(
                name.as_str(),
                prepared.authorized.attributes(),
                prepared.authorized.credential(),
            )?;
        }
        if let Some(query) = prepared.authorized.url().query() {
            self.check_query(query)?;
        }
        if matches!(prepared.payload, Some(Payload::Multipart(_)))
            && prepared.headers.contains_key(header::CONTENT_TYPE)
        {
            let reason = "header `content-type` of a multipart body is the host's: it names the boundary";
            return Err(Failure::denied(reason, None));
        }
        let additions = &mut prepared.additions.headers;
        let codings = match prepared.wanted {
            Wanted::Whole => "gzip, deflate, br, zstd",
            // zstd is decoded when it is whole.
            Wanted::Pieces => "gzip, deflate, br",
            // A part of a coded body is a part of another body.
            Wanted::Parts => "identity",
        };
        additions.push((header::ACCEPT_ENCODING, HeaderValue::from_static(codings)));
        if !prepared.headers.contains_key(header::USER_AGENT) {
            additions.push((header::USER_AGENT, self.user_agent.clone()));
        }
        if !prepared.headers.contains_key(header::ACCEPT) {
            additions.push((header::ACCEPT, HeaderValue::from_static("*/*")));
        }
        Ok(())
    }

    pub(crate) fn check_header(
        &self,
        name: &str,
        attributes: &Attributes,
        attached: Option<&str>,
    ) -> Result<(), Failure> {
        let twin = header_twin(name);
        let twin = twin.as_ref();
        if TRANSPORT.contains(&twin) {
            return Err(Failure::denied(
                format!("header `{name}` is the host's: a guest never sets it"),
                None,
            ));
        }
        if attributes.idempotency.as_ref().is_some_and(|declared| header_twin(&declared.header) == twin) {
            let reason = format!(
                "header `{name}` carries the idempotency key: set the request's `idempotency-key` instead"
            );
            return Err(Failure::denied(reason, None));
        }
        let listed = attributes.guest_headers.iter().any(|listed| header_twin(listed) == twin);
        if let Some((_, slot)) = self.slot_headers.iter().find(|(of_slot, _)| of_slot == twin) {
            // A listed header passes where another slot's credential is attached, or none: never beside its own.
            if !listed || attached == Some(slot) {
                return Err(Failure::denied(
                    format!(
                        "header `{name}` is where slot `{slot}` puts its credential: leave it out, the host attaches it"
                    ),
                    None,
                ));
            }
            return Ok(());
        }
        let denied = DENIED.contains(&twin)
            || DENIED_PREFIXES.iter().any(|prefix| twin.starts_with(prefix))
            || DENIED_SUFFIXES.iter().any(|suffix| twin.ends_with(suffix));
        if denied && !listed {
            let remedy = match twin {
                AUTHORIZATION => SLOT_REMEDY.to_owned(),
                _ => format!("# connector.toml, in the rule's [[http]] table\nguest-headers = [\"{twin}\"]"),
            };
            return Err(Failure::denied(format!("header `{name}` is refused to guests"), Some(remedy)));
        }
        Ok(())
    }

    /// Names that are read as a method were refused by `grants`.
    pub(crate) fn check_query(&self, query: &str) -> Result<(), Failure> {
        for (name, slot) in &self.slot_queries {
            if let Some(spelled) = name.found_in(query) {
                let reason = format!(
                    "query name `{}` is where slot `{slot}` puts its credential: leave it out, the host attaches it",
                    spelled.escape_debug()
                );
                return Err(Failure::denied(reason, None));
            }
        }
        Ok(())
    }
}

/// One spelling for all that a server may read as the same header. CGI-like ones turn `-` into `_`, some of them
/// whatever is neither letter nor digit.
fn header_twin(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
        return Cow::Borrowed(name);
    }
    let fold = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    Cow::Owned(name.chars().map(fold).collect())
}

/// The layer.
#[derive(Clone)]
pub(crate) struct Headers<S> {
    inner: S,
}

impl<S> Headers<S> {
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Inner<Prepared, Response>> Service<Prepared> for Headers<S> {
    type Response = Response;
    type Error = Failure;
    type Future = Answering<Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut prepared: Prepared) -> Self::Future {
        let connection = std::sync::Arc::clone(&prepared.call.connection);
        match connection.headers.apply(&mut prepared) {
            Ok(()) => self.inner.call(prepared),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }
}

#[cfg(test)]
mod tests;
