//! Whether a delivery was signed by whom it says: verification of every scheme that a manifest may declare, over the raw bytes,
//! before anything else looks at them; and `sample`, which signs. Pure: the time is given. Any of several signatures fits any
//! of several secrets, so that both can be rotated; a header that is there twice is refused, since two readers would choose
//! differently. Compares in constant time; no error holds a secret or what a signature should have been.
//! RFC 2104, RFC 8032, RFC 6750, RFC 7617.
use crate::{Secret, limits::*};
use portcullis_clock::Timestamp;
use portcullis_manifest::{
    json,
    signing::{Encoding, Place, Proof, Scheme, Signature, Timestamp as Time, Unit},
};
use subtle::ConstantTimeEq as _;

mod key;
mod message;
mod sample;

pub use key::KeyError;
use key::{Key, decoded};
pub use sample::{Sample, Signer};

/// What arrived.
#[derive(Clone, Copy)]
pub struct Delivered<'a> {
    /// As sent.
    pub method: &'a str,
    /// The public one, with the query as sent. Its origin and path come from the config, never from a header.
    pub url: &'a str,
    /// Names in any case.
    pub headers: &'a [(String, Vec<u8>)],
    /// As sent.
    pub body: &'a [u8],
}

/// Why a delivery is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// A header that the scheme needs.
    #[error("header `{0}` is missing")]
    Missing(String),
    /// Two readers would choose differently.
    #[error("header `{0}` is there more than once")]
    Repeated(String),
    /// Nothing in it that could be a signature of this scheme.
    #[error("header `{header}` has no signature as this scheme writes it: {wanted}")]
    Form {
        /// The header.
        header: String,
        /// What would be one.
        wanted: String,
    },
    /// More signatures than anybody sends.
    #[error("header `{0}` has more than {WEBHOOK_SIGNATURES_MAX} items")]
    TooMany(String),
    /// No moment, none at all, or two of them.
    #[error("{place} has no time of signing in {unit}, or more than one")]
    Time {
        /// Where it is looked for.
        place: String,
        /// How it is written.
        unit: &'static str,
    },
    /// Too long ago, or in the future.
    #[error(
        "it was signed {} s {}, and {} s are allowed: it is a replay, or one of the two clocks is wrong",
        away.as_secs(), if *later { "from now" } else { "ago" }, tolerance.as_secs()
    )]
    Window {
        /// How far from now.
        away: std::time::Duration,
        /// Whether it lies in the future.
        later: bool,
        /// What the scheme allows.
        tolerance: std::time::Duration,
    },
    /// A body that is not what the signed URL says it is.
    #[error("the body is neither a form nor what `bodySHA256` in the URL says")]
    Body,
    /// Well-formed, and of somebody else, or of something else.
    #[error("no signature fits: it was made with another secret, or of something else than what arrived")]
    Signature,
}

/// Who signed a delivery: one that knows this secret of the route, and maybe no other one.
pub struct Holder<'v>(&'v Key);

impl Holder<'_> {
    /// What they would make of it: nothing that they could not make themselves. None where the scheme's key makes no HMAC.
    pub fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        matches!(self.0, Key::Hmac(_)).then(|| self.0.sign(&[text.into()]).ok())?
    }
}

/// Verifies deliveries of one route.
pub struct Verifier {
    scheme: Scheme,
    keys: Vec<Key>,
}

impl Verifier {
    /// The secrets of a route: several during a rotation.
    pub fn new(scheme: &Scheme, secrets: &[Secret]) -> Result<Self, KeyError> {
        if !(1..=WEBHOOK_SECRETS_MAX).contains(&secrets.len()) {
            return Err(KeyError::Count(secrets.len()));
        }
        let keys = secrets.iter().map(|secret| Key::read(scheme, secret)).collect::<Result<_, _>>()?;
        Ok(Self { scheme: scheme.clone(), keys })
    }

    /// Whether the sender knew one of the secrets, and signed this, now. The body is read by nothing but the signature before that
    /// fits.
    pub fn verify(&self, delivered: &Delivered<'_>, now: Timestamp) -> Result<Holder<'_>, WebhookError> {
        let header = one(delivered, &self.scheme.header)?;
        let signature = match &self.scheme.proof {
            Proof::Secret(encoding) => {
                let given = self.secret(header, *encoding).ok_or_else(|| self.form("the secret"))?;
                return self.holder(|key| key.is_secret(&given));
            }
            Proof::Signature(signature) => signature,
        };
        let given = self.signatures(header, signature)?;
        let (written, at) = self.time(signature, delivered)?;
        let parts = message::parts(signature, delivered, written)?;
        let holder = self.holder(|key| key.signed(&parts, &given))?;
        if let Some(time) = &signature.timestamp {
            near(time, at.map_or_else(|| in_body(time, delivered), Ok)?, now)?;
        }
        Ok(holder)
    }

    /// Whose key fits; every key is looked at, whichever does.
    fn holder(&self, fits: impl Fn(&Key) -> bool) -> Result<Holder<'_>, WebhookError> {
        let fitting = self.keys.iter().fold(None, |found, key| {
            let fits = fits(key);
            found.or(fits.then_some(Holder(key)))
        });
        fitting.ok_or(WebhookError::Signature)
    }

    /// The time of signing in a header: as it is written, and what it says.
    fn time<'a>(
        &self,
        signature: &Signature,
        delivered: &Delivered<'a>,
    ) -> Result<(&'a [u8], Option<Timestamp>), WebhookError> {
        let Some(Time { place: Place::Header { name, prefix }, unit, .. }) = &signature.timestamp else {
            return Ok((&[], None));
        };
        let value = one(delivered, name)?;
        let shared = *name == self.scheme.header;
        let items = items(value, signature.separator.filter(|_| shared));
        let mut behind = items.into_iter().filter_map(|item| item.strip_prefix(prefix.as_bytes()));
        let (first, second) = (behind.next(), behind.next());
        let place = || WebhookError::Time { place: format!("header `{name}`"), unit: unit.as_str() };
        let written = first.filter(|_| second.is_none()).ok_or_else(place)?;
        Ok((written, Some(read(written, *unit).ok_or_else(place)?)))
    }

    /// The name of a scheme of `Authorization` has no case (RFC 9110 section 11.1).
    fn secret(&self, header: &[u8], encoding: Encoding) -> Option<Vec<u8>> {
        let prefix = self.scheme.prefix.as_bytes();
        let (before, given) = header.split_at_checked(prefix.len())?;
        if !before.eq_ignore_ascii_case(prefix) {
            return None;
        }
        decoded(given, encoding)
    }

    /// Those in the header that could be one; what is of another version is nobody's.
    fn signatures(&self, header: &[u8], signature: &Signature) -> Result<Vec<Vec<u8>>, WebhookError> {
        let bytes = signature.algorithm.signature_bytes();
        let items = items(header, signature.separator);
        if items.len() > WEBHOOK_SIGNATURES_MAX {
            return Err(WebhookError::TooMany(self.scheme.header.clone()));
        }
        let of_scheme = items.into_iter().filter_map(|item| {
            let given = decoded(item.strip_prefix(self.scheme.prefix.as_bytes())?, signature.encoding)?;
            (given.len() == bytes).then_some(given)
        });
        let found: Vec<_> = of_scheme.collect();
        if found.is_empty() {
            return Err(self.form(&format!("{bytes} bytes in {}", signature.encoding.as_str())));
        }
        Ok(found)
    }

    fn form(&self, wanted: &str) -> WebhookError {
        let Scheme { header, prefix, .. } = &self.scheme;
        let behind = if prefix.is_empty() { String::new() } else { format!("`{prefix}`, then ") };
        WebhookError::Form { header: header.clone(), wanted: format!("{behind}{wanted}") }
    }
}

/// The value of a header that is there once.
fn one<'a>(delivered: &Delivered<'a>, name: &str) -> Result<&'a [u8], WebhookError> {
    let mut found = delivered.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Ok(value),
        (Some(_), Some(_)) => Err(WebhookError::Repeated(name.to_owned())),
        (None, _) => Err(WebhookError::Missing(name.to_owned())),
    }
}

fn items(header: &[u8], separator: Option<char>) -> Vec<&[u8]> {
    match separator {
        Some(separator) => {
            header.split(|byte| char::from(*byte) == separator).take(WEBHOOK_SIGNATURES_MAX + 1).collect()
        }
        None => vec![header],
    }
}

/// The time of signing in the body, which is what was signed.
fn in_body(time: &Time, delivered: &Delivered<'_>) -> Result<Timestamp, WebhookError> {
    let Place::Body(pointer) = &time.place else { return Err(WebhookError::Signature) };
    let body = json::parse(delivered.body, WEBHOOK_BODY_BYTES_MAX).ok();
    let found = body.as_ref().and_then(|body| body.pointer(pointer));
    let text = found.map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned));
    text.and_then(|text| read(text.as_bytes(), time.unit)).ok_or_else(|| WebhookError::Time {
        place: format!("the body, at `{pointer}`,"),
        unit: time.unit.as_str(),
    })
}

fn near(time: &Time, at: Timestamp, now: Timestamp) -> Result<(), WebhookError> {
    let later = at > now;
    let away = if later { at.since(now) } else { now.since(at) };
    if away > time.tolerance {
        return Err(WebhookError::Window { away, later, tolerance: time.tolerance });
    }
    Ok(())
}

/// Digits alone: no sign, no exponent, nothing that overflows.
fn read(written: &[u8], unit: Unit) -> Option<Timestamp> {
    const DIGITS_MAX: usize = 15;
    let text = std::str::from_utf8(written).ok()?;
    if unit == Unit::Rfc3339 {
        return Timestamp::parse(text);
    }
    if text.is_empty() || text.len() > DIGITS_MAX || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    let factor = if unit == Unit::Seconds { 1000 } else { 1 };
    Some(Timestamp::from_millis(number.checked_mul(factor)?))
}

/// The time taken tells nothing but whether the lengths are the same.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests;
