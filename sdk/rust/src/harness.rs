//! For a connector's own tests, on the machine that builds it: a vendor that the test writes; state, blobs and files in memory.
//! Exists only outside WebAssembly; without a vendor every request fails as `Unsupported`.

use crate::{bindings::imports::portcullis::connector::http as wit, http::Response};
use std::{cell::RefCell, collections::VecDeque};

pub mod destination;
mod storage;

pub use storage::cut_after;
pub(crate) use storage::{blobs, files};

/// A request as the host would get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Method.
    pub method: String,
    /// With its query.
    pub url: String,
    /// As set.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Empty where there is none, and where there are parts. Of a blob: its bytes.
    pub body: Vec<u8>,
    /// Of a multipart body.
    pub parts: Vec<SentPart>,
    /// The slot that was named.
    pub credential: Option<String>,
    /// The key that was set.
    pub idempotency_key: Option<String>,
}

/// One part of a multipart body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPart {
    /// The field.
    pub name: String,
    /// The file that it is called.
    pub file_name: Option<String>,
    /// Its type.
    pub content_type: Option<String>,
    /// Its bytes, of a blob too.
    pub body: Vec<u8>,
}

type Vendor = Box<dyn FnMut(&Sent) -> Response>;

thread_local! {
    static VENDOR: RefCell<Option<Vendor>> = const { RefCell::new(None) };
}

/// Runs `test`; every request that it sends on this thread is answered by `vendor`.
pub fn with_vendor<T>(vendor: impl FnMut(&Sent) -> Response + 'static, test: impl FnOnce() -> T) -> T {
    VENDOR.set(Some(Box::new(vendor)));
    let result = test();
    VENDOR.set(None);
    result
}

/// A body in pieces of a few bytes, so that whoever reads it meets them split.
#[derive(Debug)]
pub(crate) struct BodyStream {
    pieces: VecDeque<u8>,
}

impl BodyStream {
    const PIECE_BYTES: usize = 7;

    pub(crate) fn read(&mut self, max: u32) -> Result<Option<Vec<u8>>, wit::HttpError> {
        let size = self.pieces.len().min(max as usize).min(Self::PIECE_BYTES);
        Ok((size > 0).then(|| self.pieces.drain(..size).collect()))
    }
}

/// The host's side of [`crate::http`].
pub(crate) mod transport {
    use super::{BodyStream, Sent, SentPart, VENDOR, blobs, wit};
    use wit::{Body, Content, HttpError, Request, Response, ResponseHead};

    pub(crate) fn send(request: Request) -> Result<Response, HttpError> {
        let (body, parts) = match request.body {
            Body::None => (Vec::new(), Vec::new()),
            Body::Multipart(parts) => (Vec::new(), parts.into_iter().map(part).collect::<Result<_, _>>()?),
            Body::Bytes(bytes) => (bytes, Vec::new()),
            Body::Blob(blob) => (content(Content::Blob(blob))?, Vec::new()),
            Body::Slice(slice) => (content(Content::Slice(slice))?, Vec::new()),
        };
        let sent = Sent {
            method: request.method,
            url: request.url,
            headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            body,
            parts,
            credential: request.credential,
            idempotency_key: request.idempotency_key,
        };
        // Taken out meanwhile, so that a vendor may send requests without a panic.
        let Some(mut vendor) = VENDOR.take() else { return Err(HttpError::Unsupported) };
        let response = vendor(&sent);
        VENDOR.set(Some(vendor));
        Ok(response.into())
    }

    pub(crate) fn send_all(requests: Vec<Request>) -> Vec<Result<Response, HttpError>> {
        requests.into_iter().map(send).collect()
    }

    pub(crate) fn open(request: Request) -> Result<(ResponseHead, BodyStream), HttpError> {
        let Response { status, headers, body } = send(request)?;
        Ok((ResponseHead { status, headers }, BodyStream { pieces: body.into() }))
    }

    pub(crate) fn download(request: Request) -> Result<(ResponseHead, String), HttpError> {
        let Response { status, headers, body } = send(request)?;
        Ok((ResponseHead { status, headers }, blobs::keep(body)))
    }

    fn part(part: wit::Part) -> Result<SentPart, HttpError> {
        let wit::Part { name, file_name, content_type, content: bytes } = part;
        Ok(SentPart { name, file_name, content_type, body: content(bytes)? })
    }

    fn content(content: Content) -> Result<Vec<u8>, HttpError> {
        let missing = || HttpError::Malformed("no such part of a blob".to_owned());
        match content {
            Content::Bytes(bytes) => Ok(bytes),
            Content::Blob(blob) => blobs::all(&blob).ok_or_else(missing),
            Content::Slice(wit::Slice { blob, offset, size }) => {
                let bytes = blobs::all(&blob).ok_or_else(missing)?;
                let start = usize::try_from(offset).map_err(|_| missing())?;
                let size = usize::try_from(size).map_err(|_| missing())?;
                let end = start.checked_add(size).ok_or_else(missing)?;
                Ok(bytes.get(start..end).ok_or_else(missing)?.to_vec())
            }
        }
    }
}

/// The host's side of [`crate::state`], without its quotas.
pub(crate) mod state {
    use crate::bindings::imports::portcullis::connector::{state::Entry, types::StorageError};
    use std::{cell::RefCell, collections::BTreeMap};

    thread_local! {
        static ENTRIES: RefCell<BTreeMap<String, (Vec<u8>, u64)>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub(crate) fn get(key: &str) -> Result<Option<Entry>, StorageError> {
        Ok(ENTRIES.with_borrow(|entries| {
            entries.get(key).map(|(value, version)| Entry { value: value.clone(), version: *version })
        }))
    }

    pub(crate) fn set(key: &str, value: &[u8], expected_version: Option<u64>) -> Result<u64, StorageError> {
        ENTRIES.with_borrow_mut(|entries| {
            let version = entries.get(key).map_or(0, |(_, version)| *version);
            if expected_version.is_some_and(|expected| expected != version) {
                return Err(StorageError::Conflict(version));
            }
            entries.insert(key.to_owned(), (value.to_vec(), version + 1));
            Ok(version + 1)
        })
    }

    pub(crate) fn delete(key: &str) -> Result<(), StorageError> {
        ENTRIES.with_borrow_mut(|entries| entries.remove(key));
        Ok(())
    }

    pub(crate) fn list_keys(
        prefix: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, StorageError> {
        Ok(ENTRIES.with_borrow(|entries| {
            let keys = entries.keys().filter(|key| key.starts_with(prefix));
            let keys = keys.filter(|key| after.is_none_or(|after| key.as_str() > after));
            keys.take(max as usize).cloned().collect()
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{ErrorKind, state};

    #[test]
    fn state_in_memory_has_versions() {
        assert_eq!(state::set("a", b"1", Some(0)).unwrap(), 1);
        assert_eq!(state::set("a", b"2", Some(0)).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(state::set_json("ab", &[1]).unwrap(), 1);
        assert_eq!(state::get_json::<Vec<u8>>("ab").unwrap(), Some(vec![1]));
        assert_eq!(state::list_keys("a", Some("a"), 9).unwrap(), ["ab"]);
        state::delete("a").unwrap();
        assert_eq!(state::get("a").unwrap(), None);
    }
}
