//! State of a dry run: reads what the connection stored, and keeps what is written for the run alone. Bounded as the store is,
//! and gone with the call.
use super::state::ConnectionState;
use async_trait::async_trait;
use portcullis_runtime::{Entry, State, StorageError};
use portcullis_store::{limits, state_key_fault};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What is stored, under what the run wrote.
pub struct Scratch<S = ConnectionState> {
    stored: S,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    /// None = deleted.
    entries: BTreeMap<String, Option<Entry>>,
    bytes: u64,
    version_last: u64,
}

impl<S> Scratch<S> {
    /// Writes nothing to `stored`.
    pub fn over(stored: S) -> Self {
        Self { stored, written: Mutex::default() }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<S: State> State for Scratch<S> {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StorageError> {
        let written = self.written().entries.get(key).cloned();
        match written {
            Some(entry) => Ok(entry),
            None => self.stored.get(key).await,
        }
    }

    async fn set(&self, key: &str, value: Vec<u8>, expected: Option<u64>) -> Result<u64, StorageError> {
        if let Some(fault) = state_key_fault(key) {
            return Err(StorageError::Invalid(fault.to_owned()));
        }
        if value.len() > limits::STATE_VALUE_BYTES_MAX {
            return Err(StorageError::TooLarge(limits::STATE_VALUE_BYTES_MAX as u64));
        }
        let version = self.get(key).await?.map_or(0, |entry| entry.version);
        if expected.is_some_and(|expected| expected != version) {
            return Err(StorageError::Conflict(version));
        }
        let mut written = self.written();
        let before = match written.entries.get(key) {
            Some(Some(entry)) => (key.len() + entry.value.len()) as u64,
            _ => 0,
        };
        let bytes = written.bytes.saturating_sub(before) + (key.len() + value.len()) as u64;
        if bytes > limits::STATE_BYTES_MAX {
            return Err(StorageError::Quota(limits::STATE_BYTES_MAX));
        }
        if !written.entries.contains_key(key) && written.entries.len() as u64 >= limits::STATE_KEYS_MAX {
            return Err(StorageError::Quota(limits::STATE_KEYS_MAX));
        }
        let version = written.version_last.max(version) + 1;
        (written.bytes, written.version_last) = (bytes, version);
        written.entries.insert(key.to_owned(), Some(Entry { value, version }));
        Ok(version)
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        let Some(entry) = self.get(key).await? else { return Err(StorageError::NotFound) };
        let mut written = self.written();
        if !written.entries.contains_key(key) && written.entries.len() as u64 >= limits::STATE_KEYS_MAX {
            return Err(StorageError::Quota(limits::STATE_KEYS_MAX));
        }
        written.version_last = written.version_last.max(entry.version);
        if let Some(Some(_)) = written.entries.insert(key.to_owned(), None) {
            written.bytes = written.bytes.saturating_sub((key.len() + entry.value.len()) as u64);
        }
        Ok(())
    }

    async fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, StorageError> {
        let max = max.min(limits::STATE_LIST_KEYS_MAX);
        let mut keys = BTreeSet::new();
        let mut from = after.map(str::to_owned);
        // The least that are stored, without those that the run deleted.
        loop {
            let page = self.stored.list_keys(prefix, from.as_deref(), max).await?;
            let last = page.len() < max as usize;
            from = page.last().cloned();
            let written = self.written();
            keys.extend(page.into_iter().filter(|key| !matches!(written.entries.get(key), Some(None))));
            if last || keys.len() >= max as usize {
                break;
            }
        }
        let written = self.written();
        let own = written.entries.iter().filter(|(key, entry)| {
            entry.is_some() && key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        keys.extend(own.map(|(key, _)| key.clone()));
        Ok(keys.into_iter().take(max as usize).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn keys(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("k{n:04}")).collect()
    }

    /// A scratch over a scratch: what lies below is whatever was written there.
    async fn over(stored: &[String]) -> Scratch<Scratch<Nothing>> {
        let below = Scratch::over(Nothing);
        for key in stored {
            below.set(key, b"stored".to_vec(), None).await.unwrap();
        }
        Scratch::over(below)
    }

    struct Nothing;

    #[async_trait]
    impl State for Nothing {
        async fn get(&self, _: &str) -> Result<Option<Entry>, StorageError> {
            Ok(None)
        }
        async fn set(&self, _: &str, _: Vec<u8>, _: Option<u64>) -> Result<u64, StorageError> {
            panic!("a dry run wrote")
        }
        async fn delete(&self, _: &str) -> Result<(), StorageError> {
            panic!("a dry run deleted")
        }
        async fn list_keys(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<String>, StorageError> {
            Ok(Vec::new())
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_again_and_never_stored() {
        let scratch = over(&keys(2)).await;
        let stored = scratch.get("k0001").await.unwrap().unwrap();
        assert_eq!(
            scratch.set("k0001", b"x".to_vec(), Some(9)).await,
            Err(StorageError::Conflict(stored.version))
        );
        let version = scratch.set("k0001", b"mine".to_vec(), Some(stored.version)).await.unwrap();
        assert!(version > stored.version);
        assert_eq!(scratch.get("k0001").await.unwrap().unwrap().value, b"mine");
        scratch.delete("k0001").await.unwrap();
        assert_eq!(scratch.delete("k0001").await, Err(StorageError::NotFound));
        assert_eq!(scratch.get("k0001").await.unwrap(), None);
        let again = scratch.set("k0001", Vec::new(), Some(0)).await.unwrap();
        assert!(again > version, "versions never go back");
        assert_eq!(scratch.stored.get("k0001").await.unwrap(), Some(stored));
    }

    #[tokio::test]
    async fn keys_are_those_stored_and_written_less_those_deleted() {
        let stored = keys(2_500);
        let scratch = over(&stored).await;
        for key in &stored[..1_500] {
            scratch.delete(key).await.unwrap();
        }
        scratch.set("k1499x", Vec::new(), None).await.unwrap();
        scratch.set("other", Vec::new(), None).await.unwrap();
        let first = scratch.list_keys("k", None, u32::MAX).await.unwrap();
        assert_eq!(first.len(), limits::STATE_LIST_KEYS_MAX as usize);
        assert_eq!((first[0].as_str(), first[1].as_str()), ("k1499x", "k1500"));
        let rest = scratch.list_keys("k", first.last().map(String::as_str), u32::MAX).await.unwrap();
        assert_eq!(rest, ["k2499"]);
        assert_eq!(scratch.list_keys("", Some("k2499"), 5).await.unwrap(), ["other"]);
        assert!(scratch.list_keys("", None, 0).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn it_is_bounded_as_the_store_is() {
        let scratch = Scratch::over(Nothing);
        let large = vec![0; limits::STATE_VALUE_BYTES_MAX];
        assert!(matches!(
            scratch.set("a", vec![0; limits::STATE_VALUE_BYTES_MAX + 1], None).await,
            Err(StorageError::TooLarge(_))
        ));
        assert!(matches!(scratch.set("", Vec::new(), None).await, Err(StorageError::Invalid(_))));
        let mut stored = 0;
        while scratch.set(&format!("k{stored}"), large.clone(), None).await.is_ok() {
            stored += 1;
        }
        assert_eq!(stored, limits::STATE_BYTES_MAX / (limits::STATE_VALUE_BYTES_MAX as u64 + 3));
        // The same key again takes no more room.
        scratch.set("k0", large, None).await.unwrap();
    }
}
