//! The key of a scheme, read from an operator's secret once. An empty one is refused here, when a route is set up, and not by each
//! delivery; neither is a public key ever taken for a shared one.
use super::same;
use crate::{Secret, limits::WEBHOOK_SECRETS_MAX};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use portcullis_manifest::signing::{Algorithm, Encoding, Proof, Scheme};
use ring::{
    hmac,
    signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey},
};

/// Why a secret is no key of a scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Without a secret nothing could be verified.
    #[error("{0} secrets: 1 to {WEBHOOK_SECRETS_MAX} can be verified with")]
    Count(usize),
    /// Everybody knows it.
    #[error("the secret is empty")]
    Empty,
    /// Not what the vendor gave.
    #[error("the secret is not {0}, as this scheme's vendor gives it")]
    Form(&'static str),
    /// Not a key of this length.
    #[error("the public key has not 32 bytes")]
    Public,
    /// Only the vendor can sign.
    #[error("what is signed with a private key can't be signed with the public one")]
    Private,
}

/// A key.
pub(super) enum Key {
    Hmac(hmac::Key),
    Public(Vec<u8>),
    Pair(Ed25519KeyPair),
    Shared(Secret),
}

impl Key {
    pub(super) fn read(scheme: &Scheme, secret: &Secret) -> Result<Self, KeyError> {
        let Proof::Signature(signature) = &scheme.proof else {
            return if secret.is_empty() { Err(KeyError::Empty) } else { Ok(Self::Shared(secret.clone())) };
        };
        let written = secret.expose();
        let written = written.strip_prefix(signature.key.prefix.as_bytes()).unwrap_or(written);
        let form = match signature.key.encoding {
            Encoding::Text => "text",
            Encoding::Hex => "lower-case hexadecimal digits",
            Encoding::Base64 => "base64",
        };
        let bytes = decoded(written, signature.key.encoding).ok_or(KeyError::Form(form))?;
        let bytes = Secret::new(bytes);
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        match hash(signature.algorithm) {
            Some(hash) => Ok(Self::Hmac(hmac::Key::new(hash, bytes.expose()))),
            None if bytes.len() == 32 => Ok(Self::Public(bytes.expose().to_vec())),
            None => Err(KeyError::Public),
        }
    }

    /// Whether one of the signatures is this key's.
    pub(super) fn signed(&self, parts: &[std::borrow::Cow<'_, [u8]>], given: &[Vec<u8>]) -> bool {
        match self {
            Self::Hmac(key) => {
                let tag = tag(key, parts);
                given.iter().fold(false, |found, given| found | same(tag.as_ref(), given))
            }
            Self::Public(key) => {
                let (key, message) = (UnparsedPublicKey::new(&ED25519, key), parts.concat());
                given.iter().any(|given| key.verify(&message, given).is_ok())
            }
            Self::Pair(_) | Self::Shared(_) => false,
        }
    }

    pub(super) fn is_secret(&self, given: &[u8]) -> bool {
        matches!(self, Self::Shared(secret) if secret.same_bytes(given))
    }

    /// What a sender puts into the header.
    pub(super) fn sign(&self, parts: &[std::borrow::Cow<'_, [u8]>]) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::Hmac(key) => Ok(tag(key, parts).as_ref().to_vec()),
            Self::Pair(pair) => Ok(pair.sign(&parts.concat()).as_ref().to_vec()),
            Self::Shared(secret) => Ok(secret.expose().to_vec()),
            Self::Public(_) => Err(KeyError::Private),
        }
    }
}

fn tag(key: &hmac::Key, parts: &[std::borrow::Cow<'_, [u8]>]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

fn hash(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HmacSha1 => Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        Algorithm::HmacSha256 => Some(hmac::HMAC_SHA256),
        Algorithm::HmacSha512 => Some(hmac::HMAC_SHA512),
        Algorithm::Ed25519 => None,
    }
}

/// Bytes from how they are written: one way alone, so that no two texts are one signature.
pub(super) fn decoded(written: &[u8], encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Text => Some(written.to_vec()),
        Encoding::Base64 => STANDARD.decode(written).ok(),
        Encoding::Hex => {
            let digit = |byte: u8| match byte {
                b'0'..=b'9' => Some(byte - b'0'),
                b'a'..=b'f' => Some(byte - b'a' + 10),
                _ => None,
            };
            let pairs = written.chunks(2).map(|pair| match pair {
                [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
                _ => None,
            });
            pairs.collect()
        }
    }
}

/// How bytes are written.
pub(super) fn encoded(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Text => bytes.to_vec(),
        Encoding::Base64 => STANDARD.encode(bytes).into_bytes(),
        Encoding::Hex => {
            let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
            digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0') as u8).collect()
        }
    }
}
