//! For a connector's own tests, on the machine that builds it: a vendor that the test writes, and state in memory. Exists
//! only outside WebAssembly; without a vendor every request fails as `Unsupported`.

use crate::{bindings::imports::portcullis::connector::http as wit, http::Response};
use std::cell::RefCell;

/// A request as the host would get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Method.
    pub method: String,
    /// With its query.
    pub url: String,
    /// As set.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Empty where there is none.
    pub body: Vec<u8>,
    /// The slot that was named.
    pub credential: Option<String>,
    /// The key that was set.
    pub idempotency_key: Option<String>,
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

pub(crate) fn answer(request: wit::Request) -> Result<wit::Response, wit::HttpError> {
    let body = match request.body {
        wit::Body::None => Vec::new(),
        wit::Body::Bytes(bytes) => bytes,
        _ => return Err(wit::HttpError::Unsupported),
    };
    let sent = Sent {
        method: request.method,
        url: request.url,
        headers: request.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        body,
        credential: request.credential,
        idempotency_key: request.idempotency_key,
    };
    // Taken out meanwhile, so that a vendor may send requests without a panic.
    let Some(mut vendor) = VENDOR.take() else { return Err(wit::HttpError::Unsupported) };
    let response = vendor(&sent);
    VENDOR.set(Some(vendor));
    Ok(response.into())
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
