//! Dial: renders the authorised request and its additions onto the wire, to a checked address.
//!
//! Why here: the innermost, and the only code that holds a network client. It takes nothing but an
//! `AuthorizedRequest`, and asserts that what it rendered is still what was authorised. Refuses an address the
//! guard refuses, before the connect (literals here, names in the resolver) and once more after it (the peer).

mod answer;
pub(crate) mod connect;
pub(crate) mod fault;
mod handshake;
pub(crate) mod resolve;
pub(crate) mod tls;

pub(crate) use answer::{Chunks, Raw};

use crate::{
    Error, SettingsError,
    prepared::{Attempt, Prepared},
    service::{Answering, Failure},
    settings::NetworkSettings,
    state::ConnectionState,
};
use connect::ClientKey;
use http::{HeaderName, HeaderValue, Version};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_grants::{CanonicalUrl, host::Host};
use portcullis_secrets::Attachment;
use resolve::{CheckedResolver, Guard, Target};
use rustls::RootCertStore;
use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};
use tower::Service;

/// How one connection's URLs become addresses.
pub(crate) struct Routes {
    /// Serial number of these settings in the process.
    pub serial: u64,
    pub roots: Arc<RootCertStore>,
    connect_to: Vec<((String, u16), Target)>,
    mapped_alone: bool,
    https: Guard,
    http: Guard,
}

impl Routes {
    /// Refuses mappings that the transport can't be held to.
    pub fn new(
        serial: u64,
        network: &NetworkSettings,
        roots: Arc<RootCertStore>,
    ) -> Result<Self, SettingsError> {
        let mut connect_to = Vec::new();
        for ((host, port), (target, target_port)) in &network.connect_to {
            let host = host.trim_end_matches('.').to_ascii_lowercase();
            let entry = format!("connect-to `{host}:{port}` = `{target}:{target_port}`");
            let refuse = |why: &str| Err(SettingsError::Invalid(format!("{entry}: {why}")));
            if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
                return refuse("an address is dialled as it stands; only a name can be mapped");
            }
            if *target_port == 0 {
                return refuse("port 0 can't be dialled");
            }
            if !matches!(port, 443 | 80) && port != target_port {
                return refuse(
                    "a URL with an explicit port is dialled at that port, so the target's must be the same",
                );
            }
            if connect_to.iter().any(|(from, _)| *from == (host.clone(), *port)) {
                return refuse("mapped twice");
            }
            let target = Target { host: target.trim_matches(['[', ']']).to_owned(), port: *target_port };
            connect_to.push(((host, *port), target));
        }
        let guard = |plain| Guard { policy: network.addresses.clone(), plain };
        let mapped_alone = network.mapped_alone;
        Ok(Self { serial, roots, connect_to, mapped_alone, https: guard(false), http: guard(true) })
    }

    fn guard(&self, plain: bool) -> &Guard {
        if plain { &self.http } else { &self.https }
    }

    /// The mapping of a name, where there is one.
    fn mapping(&self, url: &CanonicalUrl, name: &str) -> Result<Option<usize>, Failure> {
        let port = url.port();
        let found = self.connect_to.iter().position(|((host, from), _)| host == name && *from == port);
        let Some(found) = found else { return Ok(None) };
        let target = &self.connect_to[found].1;
        if url.as_url().port().is_some() && target.port != port {
            let reason = format!(
                "connect-to of `{name}:{port}` has another port, which works for a scheme's default port alone"
            );
            return Err(Failure::denied(reason, None));
        }
        Ok(Some(found))
    }
}

/// The innermost service.
#[derive(Clone)]
pub(crate) struct Dial;

impl Service<Attempt> for Dial {
    type Response = Raw;
    type Error = Failure;
    type Future = Answering<Raw>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        Box::pin(async move { dial(&attempt).await })
    }
}

async fn dial(attempt: &Attempt) -> Result<Raw, Failure> {
    let prepared = &*attempt.prepared;
    let connection = &*prepared.call.connection;
    let (routes, url) = (&connection.routes, prepared.authorized.url());
    let plain = is_plain(url);
    let mapping = route(connection, url)?;
    let slot = prepared.authorized.credential().and_then(|slot| connection.slot_index(slot));
    let key = ClientKey { connection: routes.serial, slot, plain, mapping };
    let clients = &connection.egress.clients;
    let client = clients.of(key, prepared.call.now(), || {
        let target = mapping.map(|index| routes.connect_to[index].1.clone());
        let guard = routes.guard(plain).clone();
        connect::client(
            CheckedResolver { lookup: clients.lookup.clone(), guard, target },
            Arc::clone(&routes.roots),
        )
    });
    let client = client.map_err(|error| Failure::denied(format!("{error}"), None))?;
    let request = render(prepared, attempt.credential.as_deref())?;
    // After every wait, and before the first byte.
    crate::bound::refuse_revoked(&connection.settings)?;
    crate::idempotency::refuse_after_window(prepared)?;
    // Here, where alone anything leaves: whatever way a request takes through the pipeline, a dry run ends it.
    if prepared.is_withheld() {
        return Err(Failure::unsent(Error::Withheld));
    }
    prepared.leave();
    attempt.trace.note(|noted| noted.dialled = true);
    let answered = client.execute(request).await;
    let response = answered.map_err(|error| fault::classify(error, &connection.settings.name))?;
    let (status, peer) = (response.status().as_u16(), response.remote_addr());
    let protocol = protocol(response.version());
    attempt.trace.note(|noted| {
        (noted.status, noted.peer, noted.protocol) = (Some(status), peer, Some(protocol));
    });
    let host = url.as_url().host_str().unwrap_or_default();
    Raw::take(response, routes.guard(plain), host, &connection.settings.name)
}

fn is_plain(url: &CanonicalUrl) -> bool {
    url.scheme() != "https"
}

/// The mapping of the URL's host, where it has one. No resolver is called for a literal, so it is judged here, on the value that
/// is handed over.
pub(crate) fn route(connection: &ConnectionState, url: &CanonicalUrl) -> Result<Option<usize>, Failure> {
    let routes = &connection.routes;
    let unmapped = || Failure::denied(format!("`{}` is nobody's here", url.as_url().authority()), None);
    let literal = match url.host() {
        Host::Name(name) => {
            let mapping = routes.mapping(url, &name)?;
            return if mapping.is_none() && routes.mapped_alone { Err(unmapped()) } else { Ok(mapping) };
        }
        _ if routes.mapped_alone => return Err(unmapped()),
        Host::V4(address) => IpAddr::V4(address),
        Host::V6(address) => IpAddr::V6(address),
    };
    let judged = routes.guard(is_plain(url)).check(&literal.to_string(), literal);
    judged.map(|()| None).map_err(|denied| fault::denied(&denied, &connection.settings.name))
}

/// What would be dialled for the URL, and what it means now where that is asked: judged as the resolver does it.
pub(crate) async fn lead(
    connection: &ConnectionState,
    url: &CanonicalUrl,
    mapping: Option<usize>,
    look_up: bool,
) -> Result<((String, u16), Vec<IpAddr>), Failure> {
    let routes = &connection.routes;
    let (host, port) = match mapping {
        Some(index) => (routes.connect_to[index].1.host.clone(), routes.connect_to[index].1.port),
        None => (url.host().to_string().trim_matches(['[', ']']).to_owned(), url.port()),
    };
    let addresses = match host.parse::<IpAddr>() {
        Ok(literal) => vec![literal],
        Err(_) if look_up => {
            let found = connection.egress.clients.lookup.addresses(&host).await;
            found.map_err(|error| Failure::unsent(Error::Connect(error.to_string())))?
        }
        Err(_) => Vec::new(),
    };
    let judged = routes.guard(is_plain(url)).check_all(&host, &addresses);
    judged.map_err(|denied| fault::denied(&denied, &connection.settings.name))?;
    Ok(((host, port), addresses))
}

/// Connects to what `lead` found, and shakes hands where the URL is `https`.
pub(crate) async fn reach(
    connection: &ConnectionState,
    url: &CanonicalUrl,
    (_, port): &(String, u16),
    addresses: &[IpAddr],
) -> std::io::Result<Option<&'static str>> {
    let roots = (!is_plain(url)).then(|| Arc::clone(&connection.routes.roots));
    let host = url.host().to_string();
    handshake::shake_hands(host.trim_matches(['[', ']']), addresses, *port, roots).await
}

/// The one place where the authorised request, the guest's headers, the host's and the credential meet.
fn render(prepared: &Prepared, credential: Option<&Attachment>) -> Result<reqwest::Request, Failure> {
    let authorized = &prepared.authorized;
    let refuse = |what: &str| {
        Failure::denied(format!("the rendered request differs from the authorised one: {what}"), None)
    };
    let method =
        http::Method::from_bytes(authorized.method().as_str().as_bytes()).map_err(|_| refuse("method"))?;
    let mut url = authorized.url().as_url().clone();
    let mut headers = prepared.headers.clone();
    for (name, value) in &prepared.additions.headers {
        headers.insert(name.clone(), value.clone());
    }
    if let Some(attachment) = credential {
        if let Some((name, value)) = &attachment.header {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("credential header name"))?;
            let mut value =
                HeaderValue::from_bytes(value.expose()).map_err(|_| refuse("credential header value"))?;
            // Neither shown by `Debug` nor kept in HPACK's table (RFC 7541 section 7.1.3).
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        if let Some((name, value)) = &attachment.query {
            let value = std::str::from_utf8(value.expose()).map_err(|_| refuse("credential query value"))?;
            let name = utf8_percent_encode(name, QUERY_NAME);
            let query = match url.query() {
                Some(query) if !query.is_empty() => format!("{query}&{name}={value}"),
                _ => format!("{name}={value}"),
            };
            url.set_query(Some(&query));
        }
    }
    assert_unchanged(authorized.url(), &url).map_err(refuse)?;
    let mut request = reqwest::Request::new(method, url);
    *request.headers_mut() = headers;
    if let Some(segments) = &prepared.segments {
        *request.body_mut() = Some(reqwest::Body::wrap(segments.body()));
    } else if let Some(body) = &prepared.body {
        *request.body_mut() = Some(body.clone().into());
    }
    Ok(request)
}

/// Unreserved characters of RFC 3986 stay as they are.
const QUERY_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Scheme, host, port and path are what was authorised, the query begins as it did, and the parser that the
/// transport uses reads the same origin and path.
fn assert_unchanged(authorized: &CanonicalUrl, rendered: &url::Url) -> Result<(), &'static str> {
    let allowed = authorized.as_url();
    let same = rendered.scheme() == allowed.scheme()
        && rendered.host() == allowed.host()
        && rendered.port() == allowed.port()
        && rendered.path() == allowed.path()
        && rendered.username().is_empty()
        && rendered.password().is_none();
    if !same {
        return Err("scheme, host, port or path");
    }
    let grown = match (allowed.query(), rendered.query()) {
        (None, _) => true,
        (Some(before), Some(after)) => after.starts_with(before),
        (Some(_), None) => false,
    };
    if !grown {
        return Err("query");
    }
    let uri: http::Uri = rendered.as_str().parse().map_err(|_| "a second parser refuses it")?;
    let read_same = uri.scheme_str() == Some(allowed.scheme())
        && uri.host() == allowed.host_str()
        && uri.port_u16() == allowed.port()
        && uri.path() == allowed.path();
    if read_same { Ok(()) } else { Err("a second parser reads it differently") }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests;
