//! The words of a description, each in one place.
use super::{Algorithm, Encoding, Unit};
use std::str::FromStr;

/// Why a text is none of the words that may stand there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// No such algorithm.
    #[error("expected `hmac-sha256`, `hmac-sha512`, `hmac-sha1`, `ed25519` or `secret`")]
    Algorithm,
    /// A later version knows it.
    #[error("`jwt` is not supported yet")]
    Later,
    /// No such encoding.
    #[error("expected `hex`, `base64` or `text`")]
    Encoding,
    /// No such unit.
    #[error("expected `seconds`, `milliseconds` or `rfc3339`")]
    Unit,
    /// No such handshake.
    #[error("expected `slack`, `zoom`, `graph` or `meta`")]
    Handshake,
    /// No such separator.
    #[error("expected `,`, `;` or a space")]
    Separator,
}

/// What `algorithm` says where the header holds the secret itself.
pub const SECRET: &str = "secret";

impl Algorithm {
    const ALL: [Self; 4] = [Self::HmacSha1, Self::HmacSha256, Self::HmacSha512, Self::Ed25519];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha512 => "hmac-sha512",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Bytes of a signature.
    pub fn signature_bytes(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha512 | Self::Ed25519 => 64,
        }
    }
}

impl FromStr for Algorithm {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text);
        known.ok_or(if text == "jwt" { WordError::Later } else { WordError::Algorithm })
    }
}

impl Encoding {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Hex => "hex",
            Self::Base64 => "base64",
        }
    }
}

impl FromStr for Encoding {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let all = [Self::Text, Self::Hex, Self::Base64];
        all.into_iter().find(|encoding| encoding.as_str() == text).ok_or(WordError::Encoding)
    }
}

impl Unit {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Rfc3339 => "rfc3339",
        }
    }
}

impl FromStr for Unit {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let all = [Self::Seconds, Self::Milliseconds, Self::Rfc3339];
        all.into_iter().find(|unit| unit.as_str() == text).ok_or(WordError::Unit)
    }
}

/// Between several items of a header.
pub(crate) fn separator(text: &str) -> Result<char, WordError> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one @ (',' | ';' | ' ')), None) => Ok(one),
        _ => Err(WordError::Separator),
    }
}
