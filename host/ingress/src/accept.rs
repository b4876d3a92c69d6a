//! One request: bounded, then verified over the raw bytes, then stored, then answered. What is refused is answered in a word:
//! who sent it may be anybody.

use crate::{
    Handshake,
    handshake::Answer,
    idle::Turn,
    limits::{BODY_TIME, HEADERS_BYTES_MAX, RETRY_AFTER, TARGET_BYTES_MAX},
    listen::Shared,
    peer,
    room::{self, Part},
    route::{Check, Route},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use portcullis_clock::new_id;
use portcullis_secrets::webhook::Delivered;
use portcullis_store::{Accepted, NewDelivery};
use std::{error::Error, net::IpAddr, sync::Arc, time::Duration};

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Stored,
    /// A vendor's question has its answer.
    Answered(Answer),
    NoRoute,
    /// What is allowed.
    NotPost(&'static str),
    TargetTooLong,
    HeadersTooLarge,
    Coding,
    TooLarge,
    TooSlow,
    Broken,
    TooMany(Duration),
    Unsigned,
    NoRoom(Duration),
    NotStored,
}

/// Credentials of somebody: no connector needs them, and no row keeps them.
const NEVER_KEPT: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// Takes a delivery, or says no. The answer never says why a signature does not fit.
pub(crate) async fn answer<B>(
    shared: &Shared,
    from: IpAddr,
    turn: &Turn,
    request: Request<B>,
) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    response(&take(shared, from, turn, &head, body).await)
}

async fn take<B>(shared: &Shared, from: IpAddr, turn: &Turn, head: &Parts, body: B) -> Verdict
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let routes = shared.routes();
    let path = head.uri.path();
    if let Some(verdict) = malformed(head) {
        return verdict;
    }
    if head.uri.to_string().len() > TARGET_BYTES_MAX {
        return Verdict::TargetTooLong;
    }
    // A form with an authority is for a proxy, and we are none.
    let Some(route) = routes.at(path).filter(|_| head.uri.authority().is_none()) else {
        return Verdict::NoRoute;
    };
    let query = head.uri.query().unwrap_or_default();
    let has_body = body.size_hint().exact() != Some(0);
    let asked = route.handshake.as_ref();
    let asked = asked.and_then(|handshake| handshake.unsigned(&head.method, query, has_body));
    if head.method != Method::POST && asked.is_none() {
        let asks_by_get = matches!(route.handshake, Some(Handshake::Meta(_)));
        return Verdict::NotPost(if asks_by_get { "GET, POST" } else { "POST" });
    }
    if matches!(route.check, Check::NotReady) {
        return Verdict::NoRoom(RETRY_AFTER);
    }
    let sender = peer::sender(from, &head.headers, &routes.trusted_proxies);
    let (rate, now) = (route.rate.as_ref(), shared.clock.monotonic());
    let too_many = |pause| refused(route, sender, "more requests than its rate", Verdict::TooMany(pause));
    if let Some(Err(pause)) = rate.map(|rate| rate.ask(sender, now)) {
        return too_many(pause);
    }
    if let Some(answer) = asked {
        return answered(route, sender, answer);
    }
    let body = match whole(shared, route, sender, body).await {
        Ok(body) => body,
        Err(verdict) => return refused(route, sender, "its body", verdict),
    };
    // Until here its connection only waits, and may have to make room.
    let _under_way = turn.begin();
    let headers = named(&head.headers);
    let mut holder = None;
    if let Some(verifier) = route.check.verifier() {
        let url = routes.public(path, query);
        let delivered =
            Delivered { method: head.method.as_str(), url: &url, headers: &headers, body: &body.bytes };
        match verifier.verify(&delivered, shared.clock.now()) {
            Ok(found) => holder = Some(found),
            Err(error) => return refused(route, sender, &error.to_string(), Verdict::Unsigned),
        }
    }
    if let Some(Err(pause)) = rate.map(|rate| rate.take(shared.clock.monotonic())) {
        return too_many(pause);
    }
    let asked = route.handshake.as_ref();
    let asked = asked.and_then(|handshake| handshake.signed(holder.as_ref(), &body.bytes));
    if let Some(answer) = asked {
        return answered(route, sender, answer);
    }
    let target = (path, query);
    let delivery = delivery(shared, route, sender, head, target, headers, &body.bytes);
    store(shared, route, sender, delivery).await
}

fn delivery(
    shared: &Shared,
    route: &Route,
    sender: IpAddr,
    head: &Parts,
    (path, query): (&str, &str),
    headers: Vec<(String, Vec<u8>)>,
    body: &[u8],
) -> NewDelivery {
    NewDelivery {
        delivery_id: new_id("dlv", &*shared.clock, &*shared.random),
        route: route.name.clone(),
        connection: route.connection.clone(),
        received_at: shared.clock.now(),
        peer: sender.to_string(),
        method: head.method.as_str().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: kept(route, headers),
        body: body.to_vec(),
    }
}

/// What HTTP itself refuses: no `Host`, or two (RFC 9112 section 3.2), a coding that we can't undo (section 6.1), and headers beyond
/// their bound, which hyper has for what it reads at once.
fn malformed(head: &Parts) -> Option<Verdict> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    if head.version == Version::HTTP_11 && (hosts.next().is_none() || hosts.next().is_some()) {
        return Some(Verdict::Broken);
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Some(Verdict::Coding);
    }
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (bytes > HEADERS_BYTES_MAX).then_some(Verdict::HeadersTooLarge)
}

async fn store(shared: &Shared, route: &Arc<Route>, sender: IpAddr, delivery: NewDelivery) -> Verdict {
    let id = delivery.delivery_id.clone();
    match shared.store.accept_delivery(delivery, shared.room).await {
        Ok(Accepted::Stored) => {
            shared.could_store(true);
            shared.stored.notify_one();
            tracing::debug!(route = route.name, delivery = id, "accepted");
            Verdict::Stored
        }
        Ok(Accepted::Full) => refused(route, sender, "as much waits as may", Verdict::NoRoom(RETRY_AFTER)),
        Err(error) => {
            shared.could_store(false);
            tracing::error!(route = route.name, %error, "a delivery could not be stored: its sender is told to come again");
            Verdict::NotStored
        }
    }
}

fn answered(route: &Arc<Route>, sender: IpAddr, answer: Answer) -> Verdict {
    match answer {
        Answer::Refused => refused(route, sender, "a handshake of somebody else", Verdict::Unsigned),
        answer => {
            tracing::info!(route = route.name, %sender, "a handshake is answered");
            Verdict::Answered(answer)
        }
    }
}

fn refused(route: &Arc<Route>, sender: IpAddr, why: &str, verdict: Verdict) -> Verdict {
    tracing::info!(route = route.name, %sender, why, "a delivery is refused");
    verdict
}

/// A body, and the room among all bodies that it takes while it is held.
struct Whole {
    bytes: Bytes,
    _room: Part,
}

/// Read to its end, within its size, its time and what bodies may take together. What did not come yet takes nothing.
async fn whole<B>(shared: &Shared, route: &Route, sender: IpAddr, mut body: B) -> Result<Whole, Verdict>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let most = usize::try_from(route.body_bytes_max).unwrap_or(usize::MAX);
    if body.size_hint().lower() > route.body_bytes_max {
        return Err(Verdict::TooLarge);
    }
    let (mut bytes, mut room) = (BytesMut::new(), shared.bodies.part(sender));
    let read = async {
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Verdict::Broken)?.into_data() else { continue };
            if bytes.len() + data.len() > most {
                return Err(Verdict::TooLarge);
            }
            room.grow(data.len()).map_err(|room::Full| Verdict::NoRoom(RETRY_AFTER))?;
            bytes.extend_from_slice(&data);
        }
        Ok(())
    };
    tokio::select! {
        biased;
        read = read => read?,
        () = shared.clock.sleep(BODY_TIME) => return Err(Verdict::TooSlow),
    }
    Ok(Whole { bytes: bytes.freeze(), _room: room })
}

/// In the order in which they came; names are lower-case already.
fn named(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// Without what is a secret.
fn kept(route: &Route, mut headers: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let secret = match &route.check {
        Check::Signed { secret_header, .. } => secret_header.as_deref(),
        Check::Unsigned | Check::NotReady => None,
    };
    headers.retain(|(name, _)| !NEVER_KEPT.contains(&name.as_str()) && Some(name.as_str()) != secret);
    headers
}

fn response(verdict: &Verdict) -> Response<Full<Bytes>> {
    let (status, after) = match verdict {
        Verdict::Stored | Verdict::Answered(_) => (StatusCode::OK, None),
        Verdict::NoRoute => (StatusCode::NOT_FOUND, None),
        Verdict::NotPost(_) => (StatusCode::METHOD_NOT_ALLOWED, None),
        Verdict::TargetTooLong => (StatusCode::URI_TOO_LONG, None),
        Verdict::HeadersTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, None),
        Verdict::Coding => (StatusCode::NOT_IMPLEMENTED, None),
        Verdict::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
        Verdict::TooSlow => (StatusCode::REQUEST_TIMEOUT, None),
        Verdict::Broken => (StatusCode::BAD_REQUEST, None),
        Verdict::Unsigned => (StatusCode::UNAUTHORIZED, None),
        Verdict::TooMany(pause) => (StatusCode::TOO_MANY_REQUESTS, Some(*pause)),
        Verdict::NoRoom(pause) => (StatusCode::SERVICE_UNAVAILABLE, Some(*pause)),
        Verdict::NotStored => (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_AFTER)),
    };
    let (kind, body) = match verdict {
        Verdict::Answered(Answer::Text(text)) => (Some("text/plain; charset=utf-8"), text.clone()),
        Verdict::Answered(Answer::Json(text)) => (Some("application/json"), text.clone()),
        _ => (None, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        // What is said back is nobody's page, whatever it looks like.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if let Verdict::NotPost(allowed) = verdict {
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    if let Some(pause) = after {
        let seconds = pause.as_secs().max(1);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    // What is left of a body that was not read is not read either.
    let is_left = matches!(
        verdict,
        Verdict::TooLarge | Verdict::TooSlow | Verdict::Broken | Verdict::Coding | Verdict::NoRoom(_)
    );
    if is_left {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests;
