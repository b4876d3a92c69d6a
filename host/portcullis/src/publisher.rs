//! Who published a component: a detached ed25519 signature (RFC 8032) of the file's bytes, beside it as `VERSION.wasm.sig`, by
//! the key that the operator has of the publisher. Keys and signatures are those that openssl makes.
use crate::{
    config::Config,
    exit::{Exit, Failure, Result},
    files,
    registry::Package,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use portcullis_manifest::ConnectorName;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;
/// What stands before the 32 bytes of an ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const KEY_INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A publisher's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Not one.
#[derive(Debug, thiserror::Error)]
#[error("no ed25519 key: it is the line between BEGIN and END that `openssl pkey -in KEY -pubout` prints")]
pub struct NoPublicKey;

impl FromStr for PublicKey {
    type Err = NoPublicKey;
    fn from_str(text: &str) -> std::result::Result<Self, NoPublicKey> {
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| NoPublicKey)?;
        let key = bytes.strip_prefix(&KEY_INFO).ok_or(NoPublicKey)?;
        key.try_into().map(Self).map_err(|_| NoPublicKey)
    }
}

impl PublicKey {
    fn made(&self, signature: &[u8], bytes: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, signature).is_ok()
    }
}

/// Whose work a component is, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// By the publisher's key.
    Verified,
    /// There is one, and no key to hold it against.
    NoKey,
    /// There is none.
    Unsigned,
    /// There is one, and the key of `[publishers.NAME]` did not make it of these bytes.
    Wrong,
}

impl Signature {
    /// Looks beside the component's file.
    pub fn of(keys: &BTreeMap<String, PublicKey>, package: &Package) -> Result<Self> {
        let file = signature_file(package);
        if file.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Ok(Self::Unsigned);
        }
        let Some(key) = keys.get(&package.component.manifest.name.publisher) else {
            return Ok(Self::NoKey);
        };
        let Ok(signature) = files::read_regular(&file, SIGNATURE_BYTES as u64) else {
            return Ok(Self::Wrong);
        };
        Ok(if key.made(&signature, &package.bytes) { Self::Verified } else { Self::Wrong })
    }

    /// The same where somebody is to approve it: a wrong one is refused.
    pub fn required(config: &Config, package: &Package) -> Result<Self> {
        match Self::of(&config.publishers, package)? {
            Self::Wrong => {
                let ConnectorName { publisher, .. } = &package.component.manifest.name;
                let (signature, file) = (signature_file(package), package.file.display());
                Err(Failure::new(
                    Exit::NotApproved,
                    format!(
                        "`{}` is no signature of `{file}` by the key of [publishers.{publisher}]",
                        signature.display()
                    ),
                )
                .with_help(format!(
                    "do not use the file; ask `{publisher}` which bytes and which key are theirs"
                )))
            }
            signature => Ok(signature),
        }
    }

    /// For programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::NoKey => "no-key",
            Self::Unsigned => "unsigned",
            Self::Wrong => "wrong",
        }
    }

    /// For people.
    pub fn words(self, publisher: &str) -> String {
        match self {
            Self::Verified => format!("by `{publisher}`: verified by the key of [publishers.{publisher}]"),
            Self::NoKey => format!("there is one that nobody checked: no [publishers.{publisher}]"),
            Self::Unsigned => "UNSIGNED".to_owned(),
            Self::Wrong => format!("WRONG: not of these bytes by the key of [publishers.{publisher}]"),
        }
    }
}

/// `VERSION.wasm.sig`
pub fn signature_file(package: &Package) -> PathBuf {
    let mut file = package.file.as_os_str().to_owned();
    file.push(".sig");
    PathBuf::from(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn keys_are_those_of_openssl() {
        // RFC 8410 section 10.1.
        let key = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
        assert_eq!(key.parse::<PublicKey>().unwrap().0[..4], [0x19, 0xbf, 0x44, 0x09]);
        let short = BASE64_STANDARD.encode([&KEY_INFO[..], &[1; 31]].concat());
        let long = BASE64_STANDARD.encode([&KEY_INFO[..], &[1; 33]].concat());
        let x25519 = key.replace("K2Vw", "K2Vu");
        for other in ["", "x", &key[1..], &short, &long, &x25519, &BASE64_STANDARD.encode([1; 32])] {
            assert!(other.parse::<PublicKey>().is_err(), "{other}");
        }
    }

    #[test]
    fn signatures_are_those_of_openssl() {
        // openssl pkeyutl -sign -rawin -inkey KEY -in FILE -out FILE.sig
        let key: PublicKey = "MCowBQYDK2VwAyEALF1/6tWZj5N+0RRXSdFLxHdYIqS6x/j1eoyuK150Ygs=".parse().unwrap();
        let signature =
            "rV8p4st+t3Sine6zRO0TgO/U5UksuENSLN+Dl0yDpMoQAWfwO+qnWZBffslgXrZL6WW1KhaFhAafGQK0WEpKCw==";
        let signature = BASE64_STANDARD.decode(signature).unwrap();
        assert!(key.made(&signature, b"the bytes of a component"));
        assert!(!key.made(&signature, b"the bytes of a Component"));
        assert!(!key.made(&signature[..63], b"the bytes of a component"));
        let mut other = signature.clone();
        other[40] ^= 1;
        assert!(!key.made(&other, b"the bytes of a component"));
    }
}
