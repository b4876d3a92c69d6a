//! Signs as a vendor would, with a secret that is made up: for samples and tests. Owns no key of anybody's.
use super::{
    Delivered, KeyError, WebhookError,
    key::{Key, encoded},
    message::{self, BODY_SHA256},
};
use crate::Secret;
use portcullis_clock::Timestamp;
use portcullis_manifest::{
    json,
    signing::{self, Encoding, Part, Place, Proof, Scheme, Signature, Unit},
};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// A delivery to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// `POST`
    pub method: String,
    /// The public one.
    pub url: String,
    /// In any case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// As it is sent.
    pub body: Vec<u8>,
}

impl Sample {
    /// As it arrives.
    pub fn delivered(&self) -> Delivered<'_> {
        Delivered { method: &self.method, url: &self.url, headers: &self.headers, body: &self.body }
    }
}

/// A vendor.
pub struct Signer {
    scheme: Scheme,
    key: Key,
    secret: Secret,
}

impl Signer {
    /// One with a secret of its own, which follows from the seed.
    pub fn made_up(scheme: &Scheme, seed: [u8; 32]) -> Result<Self, KeyError> {
        let digits = encoded(&seed, Encoding::Hex);
        let form = match &scheme.proof {
            // A user name and a password, where it is `Basic`.
            Proof::Secret(Encoding::Base64) => {
                return Self::new(scheme, Secret::new([b"sample:".to_vec(), digits].concat()));
            }
            Proof::Secret(_) => return Self::new(scheme, Secret::new(digits)),
            Proof::Signature(signature) if signature.algorithm == signing::Algorithm::Ed25519 => {
                &signature.key
            }
            Proof::Signature(signature) => {
                let Signature { key: form, .. } = signature;
                let bytes = if form.encoding == Encoding::Text { digits } else { seed.to_vec() };
                let written = encoded(&bytes, form.encoding);
                return Self::new(scheme, Secret::new([form.prefix.as_bytes(), &written].concat()));
            }
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Public)?;
        let written = encoded(pair.public_key().as_ref(), form.encoding);
        let secret = Secret::new([form.prefix.as_bytes(), &written].concat());
        Ok(Self { scheme: scheme.clone(), key: Key::Pair(pair), secret })
    }

    /// One with this secret, where a secret signs.
    pub fn new(scheme: &Scheme, secret: Secret) -> Result<Self, KeyError> {
        match Key::read(scheme, &secret)? {
            Key::Public(_) => Err(KeyError::Private),
            key => Ok(Self { scheme: scheme.clone(), key, secret }),
        }
    }

    /// What verifies: the secret that is shared, or the public key.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Signs, in place of what signed it before: headers, and what the vendor puts into URL or body.
    pub fn sign(&self, sample: &mut Sample, now: Timestamp) -> Result<(), WebhookError> {
        remove(sample, &self.scheme.header);
        let written = match &self.scheme.proof {
            Proof::Secret(encoding) => encoded(&self.made(&[])?, *encoding),
            Proof::Signature(signature) => {
                let time = self.timed(signature, sample, now);
                announce(signature, sample);
                let delivered = sample.delivered();
                let parts = message::parts(signature, &delivered, time.as_bytes())?;
                encoded(&self.made(&parts)?, signature.encoding)
            }
        };
        let mut value = [self.scheme.prefix.as_bytes(), &written].concat();
        // Stripe has both in one header.
        let before = sample.headers.iter().position(|(name, _)| *name == self.scheme.header);
        if let (Some(before), Proof::Signature(Signature { separator: Some(between), .. })) =
            (before, &self.scheme.proof)
        {
            let (_, time) = sample.headers.remove(before);
            value = [time, between.to_string().into_bytes(), value].concat();
        }
        sample.headers.push((self.scheme.header.clone(), value));
        Ok(())
    }

    fn made(&self, parts: &[std::borrow::Cow<'_, [u8]>]) -> Result<Vec<u8>, WebhookError> {
        // `new` takes no key that can't sign.
        self.key.sign(parts).map_err(|_| WebhookError::Signature)
    }

    /// Puts the time of signing where the vendor does; as it is written.
    fn timed(&self, signature: &Signature, sample: &mut Sample, now: Timestamp) -> String {
        let Some(time) = &signature.timestamp else { return String::new() };
        let written = match time.unit {
            Unit::Seconds => (now.as_millis() / 1000).to_string(),
            Unit::Milliseconds => now.as_millis().to_string(),
            Unit::Rfc3339 => now.to_string(),
        };
        match &time.place {
            Place::Header { name, prefix } => {
                remove(sample, name);
                sample.headers.push((name.clone(), format!("{prefix}{written}").into_bytes()));
            }
            Place::Body(pointer) => {
                let parent = pointer.rsplit_once('/');
                let body = json::parse(&sample.body, crate::limits::WEBHOOK_BODY_BYTES_MAX);
                if let (Some((parent, name)), Ok(mut body)) = (parent, body)
                    && let Some(object) = body.pointer_mut(parent).and_then(|value| value.as_object_mut())
                {
                    let value = match time.unit {
                        Unit::Rfc3339 => written.clone().into(),
                        Unit::Seconds => (now.as_millis() / 1000).into(),
                        Unit::Milliseconds => now.as_millis().into(),
                    };
                    object.insert(name.replace("~1", "/").replace("~0", "~"), value);
                    sample.body = body.to_string().into_bytes();
                }
            }
        }
        written
    }
}

/// What a vendor sends beside and signs too: an id; the digest of a body that is no form.
fn announce(signature: &Signature, sample: &mut Sample) {
    for part in &signature.signed.0 {
        let missing = |name: &str| !sample.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        match part {
            Part::Header(name) if missing(name) => {
                sample.headers.push((name.clone(), b"msg_sample".to_vec()));
            }
            Part::Form if needs_digest(sample) => {
                let between = if sample.url.contains('?') { '&' } else { '?' };
                let digest = message::body_sha256(&sample.body);
                sample.url.push_str(&format!("{between}{BODY_SHA256}={digest}"));
            }
            _ => {}
        }
    }
}

fn needs_digest(sample: &Sample) -> bool {
    !sample.body.is_empty() && !message::is_form(&sample.delivered()) && !sample.url.contains(BODY_SHA256)
}

fn remove(sample: &mut Sample, name: &str) {
    sample.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
}
