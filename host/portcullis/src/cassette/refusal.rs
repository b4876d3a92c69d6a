//! What a vendor may answer in place of what a cassette says, and the kind of error that has to come of it.
use super::SUCCEEDS;
use portcullis_runtime::ErrorKind;
use std::fmt;

/// Instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Another status.
    Status(u16),
    /// The connection ends once the request is there.
    ConnectionLost,
}

const CONNECTION_LOST: &str = "connection-lost";

impl Refusal {
    /// What each has to become where a cassette says nothing else: the table of docs/authors/errors.md.
    pub const USUAL: [(Self, ErrorKind); 12] = [
        (Self::Status(400), ErrorKind::InvalidInput),
        (Self::Status(401), ErrorKind::Unauthorized),
        (Self::Status(403), ErrorKind::Forbidden),
        (Self::Status(404), ErrorKind::NotFound),
        (Self::Status(409), ErrorKind::Conflict),
        (Self::Status(422), ErrorKind::InvalidInput),
        (Self::Status(429), ErrorKind::RateLimited),
        (Self::Status(500), ErrorKind::Unavailable),
        (Self::Status(502), ErrorKind::Unavailable),
        (Self::Status(503), ErrorKind::Unavailable),
        (Self::Status(504), ErrorKind::Unavailable),
        (Self::ConnectionLost, ErrorKind::Unavailable),
    ];

    /// A key of `statuses`: one that is played.
    pub fn of_key(key: &str) -> Option<Self> {
        Self::USUAL.into_iter().map(|(refusal, _)| refusal).find(|refusal| refusal.key() == key)
    }

    /// The same, back.
    pub fn key(self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::ConnectionLost => CONNECTION_LOST.to_owned(),
        }
    }

    /// For people.
    pub fn words(self) -> String {
        match self {
            Self::Status(status) => status.to_string(),
            Self::ConnectionLost => "a lost connection".to_owned(),
        }
    }

    /// Whether it says something of what was asked for: one line of a batch can be what is wrong, and a connector may well ask for
    /// something else, because what is not there can be made. After every other one the same call may go well later.
    pub fn is_of_what_was_asked(self) -> bool {
        matches!(self, Self::Status(400 | 404 | 409 | 422))
    }
}

/// The name of its check.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::ConnectionLost => f.write_str("connection lost"),
        }
    }
}

/// Whether `[statuses]` may name it.
pub fn is_kind(word: &str) -> bool {
    word == SUCCEEDS || ErrorKind::ALL.iter().any(|kind| kind.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_printed() {
        for (refusal, _) in Refusal::USUAL {
            assert_eq!(Refusal::of_key(&refusal.key()), Some(refusal));
        }
        for key in ["399", "418", "600", "-404", "connection_lost", ""] {
            assert_eq!(Refusal::of_key(key), None, "{key}");
        }
    }

    #[test]
    fn how_a_call_broke_off_is_no_kind() {
        assert!(is_kind("succeeds") && is_kind("rate-limited"));
        assert!(!is_kind("failed") && !is_kind("loop") && !is_kind("unauthorised"));
    }
}
