//! What vendors ask of an address before they deliver there. The answer has to be there at once, so it is the host's: nothing of it
//! reaches a connector or a row.

use crate::limits::{HANDSHAKE_BODY_BYTES_MAX, HANDSHAKE_TEXT_BYTES_MAX};
use http::Method;
use portcullis_secrets::{Secret, webhook::Holder};
use serde_json::{Value, json};

/// By the vendor that asks so.
pub enum Handshake {
    /// <https://docs.slack.dev/reference/events/url_verification>
    Slack,
    /// <https://developers.zoom.us/docs/api/webhooks/#validate-your-webhook-endpoint>
    Zoom,
    /// <https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks>
    Graph,
    /// With the operator's verify token. <https://developers.facebook.com/docs/graph-api/webhooks/getting-started>
    Meta(Secret),
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Text(String),
    Json(String),
    /// It was asked, and not as somebody would who may.
    Refused,
}

impl Handshake {
    /// To a request that nobody signs; none where it is no handshake. What has a body is a delivery.
    pub(crate) fn unsigned(&self, method: &Method, query: &str, has_body: bool) -> Option<Answer> {
        if has_body {
            return None;
        }
        let value = |name: &str| {
            let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            values.next().map(|(_, value)| value.into_owned())
        };
        match self {
            Self::Graph if method == Method::POST => value("validationToken").map(|token| said_back(&token)),
            Self::Meta(token) if method == Method::GET => {
                value("hub.mode").filter(|mode| mode == "subscribe")?;
                let knows = value("hub.verify_token").is_some_and(|given| token.same_bytes(given.as_bytes()));
                let challenge = value("hub.challenge").filter(|_| knows);
                Some(challenge.map_or(Answer::Refused, |challenge| said_back(&challenge)))
            }
            _ => None,
        }
    }

    /// To a delivery that may be one, once it is known who sent it; none where it is not.
    pub(crate) fn signed(&self, holder: Option<&Holder<'_>>, body: &[u8]) -> Option<Answer> {
        if !matches!(self, Self::Slack | Self::Zoom) || body.len() > HANDSHAKE_BODY_BYTES_MAX {
            return None;
        }
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        match self {
            Self::Slack if text("/type") == Some("url_verification") => text("/challenge").map(said_back),
            Self::Zoom if text("/event") == Some("endpoint.url_validation") => {
                let plain = text("/payload/plainToken")?;
                let tag = holder?.sign(plain.as_bytes())?;
                let encrypted: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
                Some(Answer::Json(json!({ "plainToken": plain, "encryptedToken": encrypted }).to_string()))
            }
            _ => None,
        }
    }
}

/// A token of printable characters: what is said back is nobody's page.
fn said_back(token: &str) -> Answer {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte);
    match token.len() <= HANDSHAKE_TEXT_BYTES_MAX && token.bytes().all(is_plain) {
        true => Answer::Text(token.to_owned()),
        false => Answer::Refused,
    }
}
