//! The whole of an exchange, for who records it: as the guest saw it, masked by the same names and secrets as the exchange log,
//! and never shortened. What is larger than is asked for, or can't be masked, is said to be so and is not there.
//!
//! Built beside the row, so that it is of what left; without what a credential adds. Nothing of it exists unless the sink
//! asks for it.
use crate::{
    Connection,
    echo::Needles,
    exchange_log::{Ended, content_type},
    mask::Masker,
    prepared::Attempt,
};

/// An exchange that was answered, all of it.
#[derive(Clone, Debug)]
pub struct Whole {
    /// As the guest asked for it: without what a credential adds.
    pub url: String,
    /// Of the request.
    pub request_body: Content,
    /// Headers of the answer.
    pub headers: Vec<(String, String)>,
    /// Of the answer, decoded.
    pub body: Content,
    /// Where something was masked: `url`, `request body`, `header location`, `body`.
    pub masked: Vec<String>,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it, masked.
    Masked {
        /// It.
        bytes: Vec<u8>,
        /// It is neither JSON nor a form: properties could not be masked by their names.
        unnamed: bool,
    },
    /// More than is asked for.
    TooLarge(u64),
    /// It lies outside memory: a blob, or parts.
    Held(u64),
    /// It may name URLs that are the right to what lies there, and can't be read as JSON to mask them.
    Hidden,
}

impl Whole {
    /// Of an attempt that was answered; a body of at most `bytes_max`.
    pub(crate) fn of(
        attempt: &Attempt,
        ended: &Ended<'_>,
        needles: &Needles,
        bytes_max: usize,
    ) -> Option<Self> {
        let (_, headers, body, bytes) = ended.answered()?;
        let (prepared, connection) = (&attempt.prepared, &attempt.prepared.call.connection);
        let (masker, authorized) = (&connection.masker, &prepared.authorized);
        let asked = authorized.url().as_str();
        let url = masker.sent_url(asked, authorized.is_named(), needles, usize::MAX);
        let mut masked = Vec::new();
        if url != asked {
            masked.push("url".to_owned());
        }
        let shown = masker.whole_headers(headers, needles);
        let differing = headers.iter().zip(&shown).filter(|((_, was), (_, is))| *was != is.as_bytes());
        masked.extend(differing.map(|((name, _), _)| format!("header {name}")));
        let mut content = |what: &str, kind: Option<&str>, body: &[u8]| {
            let (content, hides) = Content::of(masker, kind, body, needles);
            if hides {
                masked.push(what.to_owned());
            }
            content
        };
        let request_body = match (&prepared.segments, &prepared.body) {
            (Some(segments), _) => Content::Held(segments.bytes()),
            (None, Some(sent)) if sent.len() > bytes_max => Content::TooLarge(sent.len() as u64),
            (None, sent) => {
                let kind =
                    prepared.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
                content("request body", kind, sent.as_deref().unwrap_or_default())
            }
        };
        let body = match bytes > bytes_max as u64 || body.len() as u64 != bytes {
            true => Content::TooLarge(bytes),
            false => content("body", content_type(headers), body),
        };
        Some(Self { url, request_body, headers: shown, body, masked })
    }
}

impl Content {
    /// And whether something in it was masked.
    fn of(masker: &Masker, kind: Option<&str>, body: &[u8], needles: &Needles) -> (Self, bool) {
        let Some(whole) = masker.whole_body(kind, body, needles) else { return (Self::Hidden, false) };
        let hides = whole.bytes != body;
        (Self::Masked { bytes: whole.bytes, unnamed: whole.unnamed }, hides)
    }
}

impl Connection {
    /// A JSON text with its sensitive properties, and every live secret of the connection, masked. What is no JSON has the
    /// secrets masked alone.
    pub async fn masked(&self, text: &str) -> String {
        let needles = self.state.attachments.refresh_scanned(&self.state).await;
        let whole = self.state.masker.whole_body(Some("application/json"), text.as_bytes(), &needles);
        whole.map_or_else(String::new, |whole| String::from_utf8_lossy(&whole.bytes).into_owned())
    }

    /// Has every secret of the connection at hand for [`Connection::masked_now`].
    pub async fn know_secrets(&self) {
        self.state.attachments.refresh_scanned(&self.state).await;
    }

    /// A text without the secrets that are at hand, for who can't wait.
    pub fn masked_now(&self, text: &str) -> String {
        self.state.attachments.needles().mask_text(text)
    }

    /// Whether a live secret of the connection stands in these bytes, in any of its usual encodings.
    pub async fn holds_secret(&self, bytes: &[u8]) -> bool {
        let needles = self.state.attachments.refresh_scanned(&self.state).await;
        needles.mask_cow(bytes).1 > 0
    }
}

#[cfg(test)]
mod tests;
