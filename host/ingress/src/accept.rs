//! One request: bounded, then verified over the raw bytes, then stored, then answered. What is refused is answered in a word:
//! who sent it may be anybody.

use crate::{
    handshake::Answer,
    limits::{BODY_TIME, RETRY_AFTER, TARGET_BYTES_MAX},
    listen::Shared,
    peer,
    route::{Check, Route},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
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
    NotPost,
    TargetTooLong,
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
pub(crate) async fn answer<B>(shared: &Shared, from: IpAddr, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    response(&take(shared, from, &head, body).await)
}

async fn take<B>(shared: &Shared, from: IpAddr, head: &Parts, body: B) -> Verdict
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let routes = shared.routes();
    let path = head.uri.path();
    if head.uri.to_string().len() > TARGET_BYTES_MAX {
        return Verdict::TargetTooLong;
    }
    // A form with an authority is for a proxy, and we are none.
    let Some(route) = routes.at(path).filter(|_| head.uri.authority().is_none()) else {
        return Verdict::NoRoute;
    };
    let query = head.uri.query().unwrap_or_default();
    let asked = route.handshake.as_ref().and_then(|handshake| handshake.unsigned(&head.method, query));
    if head.method != Method::POST && asked.is_none() {
        return Verdict::NotPost;
    }
    if matches!(route.check, Check::NotReady) {
        return Verdict::NoRoom(RETRY_AFTER);
    }
    let sender = peer::sender(from, &head.headers, &routes.trusted_proxies);
    if let Some(Err(pause)) = route.bucket.as_ref().map(|bucket| bucket.take(shared.clock.monotonic())) {
        return refused(route, sender, "more requests than its rate", Verdict::TooMany(pause));
    }
    if let Some(answer) = asked {
        return answered(route, sender, answer);
    }
    let body = match whole(shared, route, body).await {
        Ok(body) => body,
        Err(verdict) => return refused(route, sender, "its body", verdict),
    };
    let headers = named(&head.headers);
    let verifier = route.check.verifier();
    if let Some(verifier) = verifier {
        let url = routes.public(path, query);
        let delivered =
            Delivered { method: head.method.as_str(), url: &url, headers: &headers, body: &body.bytes };
        if let Err(error) = verifier.verify(&delivered, shared.clock.now()) {
            return refused(route, sender, &error.to_string(), Verdict::Unsigned);
        }
    }
    let asked = route.handshake.as_ref().and_then(|handshake| handshake.signed(verifier, &body.bytes));
    if let Some(answer) = asked {
        return answered(route, sender, answer);
    }
    let delivery = NewDelivery {
        delivery_id: new_id("dlv", &*shared.clock, &*shared.random),
        route: route.name.clone(),
        connection: route.connection.clone(),
        received_at: shared.clock.now(),
        peer: sender.to_string(),
        method: head.method.as_str().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: kept(route, headers),
        body: body.bytes.to_vec(),
    };
    store(shared, route, sender, delivery).await
}

async fn store(shared: &Shared, route: &Arc<Route>, sender: IpAddr, delivery: NewDelivery) -> Verdict {
    let id = delivery.delivery_id.clone();
    match shared.store.accept_delivery(delivery, shared.room).await {
        Ok(Accepted::Stored) => {
            shared.stored.notify_one();
            tracing::debug!(route = route.name, delivery = id, "accepted");
            Verdict::Stored
        }
        Ok(Accepted::Full) => refused(route, sender, "as much waits as may", Verdict::NoRoom(RETRY_AFTER)),
        Err(error) => {
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
    _room: tokio::sync::OwnedSemaphorePermit,
}

/// Read to its end, within its size, its time and what all bodies may take together.
async fn whole<B>(shared: &Shared, route: &Route, body: B) -> Result<Whole, Verdict>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let most = route.body_bytes_max;
    let announced = body.size_hint();
    if announced.lower() > most {
        return Err(Verdict::TooLarge);
    }
    // What it may become, until that is known.
    let taken = u32::try_from(announced.upper().unwrap_or(most).min(most)).unwrap_or(u32::MAX).max(1);
    let Ok(room) = Arc::clone(&shared.bodies).try_acquire_many_owned(taken) else {
        return Err(Verdict::NoRoom(RETRY_AFTER));
    };
    let read = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX)).collect();
    let read = tokio::select! {
        biased;
        read = read => read,
        () = shared.clock.sleep(BODY_TIME) => return Err(Verdict::TooSlow),
    };
    match read {
        Ok(read) => Ok(Whole { bytes: read.to_bytes(), _room: room }),
        Err(error) if error.is::<LengthLimitError>() => Err(Verdict::TooLarge),
        Err(_) => Err(Verdict::Broken),
    }
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
        Verdict::NotPost => (StatusCode::METHOD_NOT_ALLOWED, None),
        Verdict::TargetTooLong => (StatusCode::URI_TOO_LONG, None),
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
    if *verdict == Verdict::NotPost {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if let Some(pause) = after {
        let seconds = pause.as_secs().max(1);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    // What is left of a body that was not read is not read either.
    if matches!(verdict, Verdict::TooLarge | Verdict::TooSlow | Verdict::Broken) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests;
