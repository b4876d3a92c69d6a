//! What a vendor asks of a webhook's address before it delivers there.
use super::WordError;
use std::str::FromStr;

/// By the vendor that asks so. The host answers; nothing of it reaches the connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// A signed body whose `type` is `url_verification`: its `challenge` is said back.
    Slack,
    /// A signed body whose `event` is `endpoint.url_validation`: its `plainToken` is signed.
    Zoom,
    /// A `POST` with `validationToken` in the query, which is said back.
    Graph,
    /// A `GET` with `hub.challenge` in the query, which is said back to who knows the operator's `verify-token`.
    Meta,
}

impl Handshake {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Slack, Self::Zoom, Self::Graph, Self::Meta];
    /// As they are written.
    pub const WORDS: [&str; 4] = ["slack", "zoom", "graph", "meta"];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl FromStr for Handshake {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or(WordError::Handshake)
    }
}
