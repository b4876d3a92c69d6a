//! Small durable values of the connection. Each write takes effect at once, also where the call fails later; what must move
//! together with records belongs in the checkpoint.

use crate::{Error, Result, json};
use serde::{Serialize, de::DeserializeOwned};

#[cfg(target_arch = "wasm32")]
use crate::bindings::imports::portcullis::connector::state as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::harness::state as host;

/// A value and the count of its writes, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// For [`set`].
    pub version: u64,
}

/// None = no such key.
pub fn get(key: &str) -> Result<Option<Entry>> {
    let entry = host::get(key)?;
    Ok(entry.map(|entry| Entry { value: entry.value, version: entry.version }))
}

/// Writes and returns the new version. `expected_version`: `Some(0)` = must not exist; `None` = whatever is there; where
/// something else is there the error is `Conflict`.
pub fn set(key: &str, value: &[u8], expected_version: Option<u64>) -> Result<u64> {
    Ok(host::set(key, value, expected_version)?)
}

/// Removes; no such key is no error.
pub fn delete(key: &str) -> Result<()> {
    Ok(host::delete(key)?)
}

/// At most `max` keys that begin with `prefix`, in order, the first one after `after`.
pub fn list_keys(prefix: &str, after: Option<&str>, max: u32) -> Result<Vec<String>> {
    Ok(host::list_keys(prefix, after, max)?)
}

/// As [`get`], of a value that [`set_json`] wrote.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
    let Some(entry) = host::get(key)? else { return Ok(None) };
    serde_json::from_slice(&entry.value)
        .map(Some)
        .map_err(|error| Error::internal(format!("the state under `{key}` is not as expected: {error}")))
}

/// As [`set`], whatever is there.
pub fn set_json(key: &str, value: &impl Serialize) -> Result<u64> {
    set(key, json::to_string(value)?.as_bytes(), None)
}
