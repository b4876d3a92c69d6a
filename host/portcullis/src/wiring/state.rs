//! `runtime::State` of one connection over the store: the guest never names a connection.
use async_trait::async_trait;
use portcullis_runtime::{Entry, State, StorageError};
use portcullis_store::{StateSpace, StateWrite, Store, StoreError};
use std::sync::Arc;

/// The values of one connection, under its connector's `position-version`.
pub struct ConnectionState {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Whose values.
    pub space: StateSpace,
}

#[async_trait]
impl State for ConnectionState {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StorageError> {
        let entry = self.store.state_get(&self.space, key).await.map_err(unavailable)?;
        Ok(entry.map(|entry| Entry { value: entry.value, version: entry.version }))
    }

    async fn set(&self, key: &str, value: Vec<u8>, expected: Option<u64>) -> Result<u64, StorageError> {
        match self.store.state_set(&self.space, key, value, expected).await.map_err(unavailable)? {
            StateWrite::Stored(version) => Ok(version),
            StateWrite::Conflict(version) => Err(StorageError::Conflict(version)),
            StateWrite::TooLarge(bound) => Err(StorageError::TooLarge(bound)),
            StateWrite::Quota(bound) => Err(StorageError::Quota(bound)),
            StateWrite::Invalid(why) => Err(StorageError::Invalid(why.to_owned())),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StorageError> {
        match self.store.state_delete(&self.space, key).await.map_err(unavailable)? {
            true => Ok(()),
            false => Err(StorageError::NotFound),
        }
    }

    async fn list_keys(
        &self,
        prefix: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, StorageError> {
        self.store.state_list(&self.space, prefix, after, max).await.map_err(unavailable)
    }
}

/// The guest learns that, not why: a database's words are the operator's.
fn unavailable(error: StoreError) -> StorageError {
    tracing::error!(%error, "a state value could not be reached");
    StorageError::Unavailable("the store failed".to_owned())
}
