//! What is signed, part by part, from what arrived: nothing is normalised but what the vendor's own documentation normalises.
use super::{Delivered, WebhookError, key::encoded, one, same};
use percent_encoding::percent_decode;
use portcullis_manifest::signing::{Encoding, Part, Signature};
use ring::digest;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// In order; `time` as it is written.
pub(super) fn parts<'a>(
    signature: &'a Signature,
    delivered: &Delivered<'a>,
    time: &'a [u8],
) -> Result<Vec<Cow<'a, [u8]>>, WebhookError> {
    let part = |part: &'a Part| {
        Ok(match part {
            Part::Text(text) => Cow::Borrowed(text.as_bytes()),
            Part::Method => Cow::Borrowed(delivered.method.as_bytes()),
            Part::Url => Cow::Borrowed(delivered.url.as_bytes()),
            Part::DecodedUrl => Cow::Owned(decoded_url(delivered.url).into_bytes()),
            Part::Body => Cow::Borrowed(delivered.body),
            Part::Form => Cow::Owned(form(delivered)?),
            Part::Timestamp => Cow::Borrowed(time),
            Part::Header(name) => Cow::Borrowed(one(delivered, name)?),
        })
    };
    signature.signed.0.iter().map(part).collect()
}

/// The characters that HubSpot decodes before it signs, and no others.
const HUBSPOT: [(&str, &str); 12] = [
    ("%3A", ":"),
    ("%2F", "/"),
    ("%3F", "?"),
    ("%40", "@"),
    ("%21", "!"),
    ("%24", "$"),
    ("%27", "'"),
    ("%28", "("),
    ("%29", ")"),
    ("%2A", "*"),
    ("%2C", ","),
    ("%3B", ";"),
];

/// In one pass: what a decoded character and its neighbours look like is not decoded again.
fn decoded_url(url: &str) -> String {
    let (mut decoded, mut rest) = (String::with_capacity(url.len()), url);
    while let Some(at) = rest.find('%') {
        let (before, found) = rest.split_at(at);
        let (written, plain) =
            HUBSPOT.iter().copied().find(|(written, _)| found.starts_with(written)).unwrap_or(("%", "%"));
        decoded.push_str(before);
        decoded.push_str(plain);
        rest = &found[written.len()..];
    }
    decoded + rest
}

/// The name of the pair in which Twilio puts the digest of a body that is no form.
pub(super) const BODY_SHA256: &str = "bodySHA256";

pub(super) fn body_sha256(body: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, body);
    String::from_utf8_lossy(&encoded(digest.as_ref(), Encoding::Hex)).into_owned()
}

/// What Twilio signs of a body: names and values of a form, sorted, each value of a name once. Where the URL has a digest, the
/// body is what it says, whatever its type says; any other body is not signed, and there may be none.
fn form(delivered: &Delivered<'_>) -> Result<Vec<u8>, WebhookError> {
    let query = delivered.url.split_once('?').map_or("", |(_, query)| query);
    let mut digests =
        query.split('&').filter_map(|pair| pair.split_once('=').filter(|(name, _)| *name == BODY_SHA256));
    if let Some((_, digest)) = digests.next() {
        let is_it =
            digests.next().is_none() && same(body_sha256(delivered.body).as_bytes(), digest.as_bytes());
        return if is_it { Ok(Vec::new()) } else { Err(WebhookError::Body) };
    }
    if !is_form(delivered) {
        return if delivered.body.is_empty() { Ok(Vec::new()) } else { Err(WebhookError::Body) };
    }
    let mut pairs: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for pair in delivered.body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = (&pair[..at], pair.get(at + 1..).unwrap_or_default());
        pairs.entry(plain(name)).or_default().insert(plain(value));
    }
    let mut signed = Vec::new();
    for (name, values) in pairs {
        for value in values {
            signed.extend_from_slice(&name);
            signed.extend_from_slice(&value);
        }
    }
    Ok(signed)
}

pub(super) fn is_form(delivered: &Delivered<'_>) -> bool {
    let kind = one(delivered, "content-type").unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

fn plain(written: &[u8]) -> Vec<u8> {
    let spaces: Vec<u8> = written.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaces).collect()
}
