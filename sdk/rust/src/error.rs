//! How a call fails: a kind that the host acts on and a message that a person reads.

use crate::bindings::imports::portcullis::connector::types as wit;
use serde::Serialize;
use std::fmt;

/// What every function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Longest message that the host takes.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Longest `details` that the host takes.
const DETAILS_BYTES_MAX: usize = 64 << 10;

/// What went wrong, as the host, the operator and a flow treat it. Documented in `types.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input can't be right.
    InvalidInput,
    /// The connection's config can't be right.
    InvalidConfig,
    /// The vendor did not accept the credential.
    Unauthorized,
    /// The credential may not do this.
    Forbidden,
    /// What was asked for does not exist.
    NotFound,
    /// It exists already, or changed meanwhile.
    Conflict,
    /// Too many requests.
    RateLimited,
    /// The vendor can't answer now.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// The vendor's answer is not what the schemas say.
    ContractDrift,
    /// The host refused the request.
    Denied,
    /// The vendor no longer knows this position.
    PositionExpired,
    /// The run was cancelled.
    Cancelled,
    /// This connector or this host does not do that.
    Unsupported,
    /// A fault of the connector itself.
    Internal,
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after_ms: Option<u64>,
    details: Option<String>,
}

impl Error {
    /// An error of any kind. Say what was wrong and with which value.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after_ms: None, details: None }
    }

    /// Not before this many milliseconds; for `RateLimited` and `Unavailable`.
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }

    /// The vendor's own error, as JSON. Left out where it does not serialize or has more than 64 KiB.
    #[must_use]
    pub fn details(mut self, details: &impl Serialize) -> Self {
        self.details = serde_json::to_string(details).ok().filter(|text| text.len() <= DETAILS_BYTES_MAX);
        self
    }

    /// The input can't be right.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// The connection's config can't be right.
    pub fn invalid_config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidConfig, message)
    }

    /// What was asked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// It exists already, or changed meanwhile.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// This connector does not do that.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// A fault of the connector itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// For the last arm of a `match` over actions.
    pub fn unsupported_action(name: &str) -> Self {
        Self::unsupported(format!("no action `{name}`"))
    }

    /// For the last arm of a `match` over streams.
    pub fn unknown_stream(name: &str) -> Self {
        Self::not_found(format!("no stream `{name}`"))
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Its message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What `retry_after_ms` set.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after_ms
    }

    /// What `details` set.
    pub fn details_json(&self) -> Option<&str> {
        self.details.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// `text` with at most `bytes_max` bytes, cut at a character.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl From<Error> for wit::Error {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind.into(),
            message: cut(&error.message, MESSAGE_BYTES_MAX).to_owned(),
            retry_after_ms: error.retry_after_ms,
            details: error.details,
        }
    }
}

impl From<ErrorKind> for wit::ErrorKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidInput => Self::InvalidInput,
            ErrorKind::InvalidConfig => Self::InvalidConfig,
            ErrorKind::Unauthorized => Self::Unauthorized,
            ErrorKind::Forbidden => Self::Forbidden,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::RateLimited => Self::RateLimited,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::ContractDrift => Self::ContractDrift,
            ErrorKind::Denied => Self::Denied,
            ErrorKind::PositionExpired => Self::PositionExpired,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Internal => Self::Internal,
        }
    }
}

impl From<wit::StorageError> for Error {
    fn from(error: wit::StorageError) -> Self {
        use wit::StorageError as Storage;
        match error {
            Storage::NotFound => Self::not_found("no such entry"),
            Storage::Conflict(version) => Self::conflict(format!("the entry has version {version}")),
            Storage::TooLarge(bytes) => Self::invalid_input(format!("larger than {bytes} bytes")),
            Storage::Quota(all) => {
                Self::new(ErrorKind::Unavailable, format!("the quota of {all} is used up"))
            }
            Storage::Invalid(what) => Self::invalid_input(what),
            Storage::Unavailable(why) => Self::new(ErrorKind::Unavailable, why),
            Storage::Unsupported => Self::unsupported("not in this version of the host"),
        }
    }
}
