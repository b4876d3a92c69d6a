//! `PROVIDER:PATH[#KEY][@VERSION]`. What is no reference may be a pasted secret, and so no error repeats any of it.
use crate::limits::{PROVIDER_BYTES_MAX, REFERENCE_BYTES_MAX};
use std::fmt;

/// A parsed reference; holds no secret.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Name of a `[secrets.*]` block, or `file`, `directory`, `env`.
    pub provider: String,
    /// Provider's path.
    pub path: String,
    /// After `#`.
    pub key: Option<String>,
    /// After `@`.
    pub version: Option<String>,
}

/// Why a text is no reference. Must not repeat the text where it looks like a pasted secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No `PROVIDER:` in front: perhaps the secret itself.
    #[error("expected `PROVIDER:PATH`, for example `file:stripe.key`; a secret itself never stands here")]
    Invalid,
    /// Nothing after the colon.
    #[error("nothing follows `PROVIDER:`; expected `PROVIDER:PATH`, for example `file:stripe.key`")]
    NoPath,
    /// Nothing after `#`, or a second one.
    #[error("expected one key after `#`, for example `file:stripe.json#key`")]
    Key,
    /// Nothing useful after `@`.
    #[error("expected a version of letters, digits, `.`, `_` and `-` after `@`")]
    Version,
    /// Controls.
    #[error("a reference has no control characters and no spaces at its ends")]
    Control,
    /// Over the bound.
    #[error("a reference has at most {REFERENCE_BYTES_MAX} bytes")]
    TooLong,
}

impl std::str::FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(ReferenceError::TooLong);
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(ReferenceError::Control);
        }
        let (provider, rest) = text.split_once(':').ok_or(ReferenceError::Invalid)?;
        if !is_provider(provider) {
            return Err(ReferenceError::Invalid);
        }
        let (rest, version) = match rest.rsplit_once('@') {
            Some((rest, version)) if is_version(version) => (rest, Some(version.to_owned())),
            Some(_) => return Err(ReferenceError::Version),
            None => (rest, None),
        };
        let (path, key) = match rest.split_once('#') {
            Some((_, key)) if key.is_empty() || key.contains('#') => return Err(ReferenceError::Key),
            Some((path, key)) => (path, Some(key.to_owned())),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(ReferenceError::NoPath);
        }
        Ok(Self { provider: provider.to_owned(), path: path.to_owned(), key, version })
    }
}

fn is_provider(text: &str) -> bool {
    let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= PROVIDER_BYTES_MAX
        && text.bytes().next().is_some_and(byte)
        && text.bytes().all(|b| byte(b) || b == b'-')
}

fn is_version(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

impl fmt::Display for Reference {
    /// As written. Only for a reference whose provider exists: `user:password` parses as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.path)?;
        if let Some(key) = &self.key {
            write!(f, "#{key}")?;
        }
        if let Some(version) = &self.version {
            write!(f, "@{version}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reference {
    /// The provider alone, as `Display` may be called only where it exists.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reference({}:…)", self.provider_shown().unwrap_or("…"))
    }
}

impl Reference {
    /// The provider's name where it can't be part of a pasted secret: a plain word.
    pub fn provider_shown(&self) -> Option<&str> {
        let plain =
            self.provider.len() <= 32 && self.provider.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        plain.then_some(self.provider.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn parts() {
        let parse = |text: &str| text.parse::<Reference>().map(|r| (r.provider, r.path, r.key, r.version));
        let own = |text: &str| text.to_owned();
        assert_eq!(parse("file:stripe.key"), Ok((own("file"), own("stripe.key"), None, None)));
        assert_eq!(
            parse("vault:kv/stripe#key@3"),
            Ok((own("vault"), own("kv/stripe"), Some(own("key")), Some(own("3"))))
        );
        assert_eq!(parse("env:STRIPE_KEY@a"), Ok((own("env"), own("STRIPE_KEY"), None, Some(own("a")))));
        assert_eq!(parse("file:C:/x"), Ok((own("file"), own("C:/x"), None, None)));
        assert_eq!(
            "vault:kv/stripe#key@3".parse::<Reference>().unwrap().to_string(),
            "vault:kv/stripe#key@3"
        );
    }

    #[test]
    fn nothing_pasted_is_repeated() {
        let canaries = [
            "sk_live_canary",
            "Bearer canary",
            "canary",
            ":canary",
            "CANARY:canary",
            "sk_live:canary",
            "file:",
            "file:#canary",
            "file:x#",
            "file:x#canary#canary",
            "file:x@",
            "file:x@can ary",
            "file:canary\n",
            " file:canary",
            "",
            "https://user:canary@example.com/",
        ];
        for text in canaries {
            let error = text.parse::<Reference>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{text}: {error}");
        }
        assert!("x".repeat(REFERENCE_BYTES_MAX + 1).parse::<Reference>().is_err());
        assert_eq!(
            "sk_live_canary".parse::<Reference>().unwrap_err().to_string(),
            "expected `PROVIDER:PATH`, for example `file:stripe.key`; a secret itself never stands here"
        );
        let pasted: Reference = "admin:canary".parse().unwrap();
        assert_eq!(format!("{pasted:?}"), "Reference(admin:…)");
        let pasted: Reference = "a1b2c3:canary".parse().unwrap();
        assert_eq!(format!("{pasted:?}"), "Reference(…:…)");
    }
}
