//! What the fuzz targets of `tests/fuzz` reach of the layers themselves. Exists under `cfg(fuzzing)` alone, which cargo-fuzz sets:
//! no build that ships holds it. Owns no logic.

use crate::{
    Capture, Error,
    decode::{self, DecodeLimits, PieceDecoder},
    echo::{Needles, Running},
    headers::HeaderPolicy,
    mask::Masker,
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_grants::Attributes;
use portcullis_secrets::{Credential, Scheme, Secret};
use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

/// A body of this coding that arrives in these pieces.
pub fn decode(coding: &str, pieces: &[&[u8]], body_bytes_max: u64) -> Result<Vec<u8>, Error> {
    thread_local!(static RUNTIME: Option<tokio::runtime::Runtime> =
        tokio::runtime::Builder::new_current_thread().enable_time().build().ok());
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(coding) {
        headers.insert(http::header::CONTENT_ENCODING, value);
    }
    let chunks: Vec<Result<Bytes, io::Error>> =
        pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let limits = DecodeLimits { body_bytes_max, idle: Duration::from_secs(5) };
    RUNTIME.with(|runtime| {
        let Some(runtime) = runtime else { return Err(Error::Cancelled) };
        runtime.block_on(decode::collect(&headers, stream::iter(chunks), &limits)).map(|body| body.to_vec())
    })
}

/// The same, as a guest reads it that asked for pieces.
pub fn decode_in_pieces(coding: &str, pieces: &[&[u8]], body_bytes_max: u64) -> Result<Vec<u8>, Error> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(coding) {
        headers.insert(http::header::CONTENT_ENCODING, value);
    }
    let mut decoder = PieceDecoder::new(&headers, body_bytes_max)?;
    let mut body = Vec::new();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        decoder.push(Bytes::copy_from_slice(piece))?;
        while let Some(piece) = decoder.take()? {
            body.extend_from_slice(&piece);
        }
    }
    decoder.end()?;
    while let Some(piece) = decoder.take()? {
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The echo scan for one secret.
pub struct Scan(Arc<Needles>);

impl Scan {
    /// For these bytes.
    pub fn of(secret: &[u8]) -> Self {
        Self(Arc::new(Needles::new([&Secret::new(secret.to_vec())])))
    }

    /// As a guest gets the body.
    pub fn mask(&self, body: &[u8]) -> Vec<u8> {
        self.0.mask_cow(body).0.into_owned()
    }

    /// As a guest gets a body that arrives in these pieces.
    pub fn mask_in_pieces(&self, pieces: &[&[u8]]) -> Vec<u8> {
        let mut scan = Running::new(Arc::clone(&self.0));
        let mut body = Vec::new();
        for piece in pieces {
            body.extend_from_slice(&scan.push(Bytes::copy_from_slice(piece)).0);
        }
        body.extend_from_slice(&scan.finish().0);
        body
    }
}

/// What the exchange log keeps of a failed answer's body, where one property is sensitive.
pub fn captured(sensitive: &str, content_type: Option<&str>, body: &[u8]) -> Option<String> {
    let masker = Masker::new(&[sensitive.to_owned()], &[]);
    masker.body(content_type, body, Capture::Errors, true, &Needles::new([]))
}

/// The header policy of a connection whose one slot is a header.
pub struct Headers(HeaderPolicy);

impl Headers {
    /// With this header for its credential.
    pub fn with_slot(header: &str) -> Option<Self> {
        let (name, secret) = (header.to_owned(), "file:key".parse().ok()?);
        let scheme = Scheme::ApiKeyHeader { name, prefix: None, secret };
        let credential =
            Credential { name: "live".to_owned(), scheme, short: false, requests_per_second: None };
        HeaderPolicy::new(&BTreeMap::from([("key".to_owned(), credential)]), "acme/vendor", "1.0.0")
            .ok()
            .map(Self)
    }

    /// Whether a guest may set it under a rule that lists nothing; none where it is no header name at all.
    pub fn passes(&self, name: &str) -> Option<bool> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some(self.0.check_header(name.as_str(), &Attributes::default(), Some("key")).is_ok())
    }
}
