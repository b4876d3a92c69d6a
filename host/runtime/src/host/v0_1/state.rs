//! `state`: passes keys and values to the connection's own state. Which connection that is, the guest can't say.

use super::imports::state::{Entry, Host};
use super::imports::types::StorageError;
use crate::{State, instance::CallState, limits};
use std::sync::Arc;

type Answer<T> = wasmtime::Result<Result<T, StorageError>>;

impl Host for CallState {
    async fn get(&mut self, key: String) -> Answer<Option<Entry>> {
        let state = self.own_state();
        self.enter(async move {
            let entry = state?.get(&key).await?;
            Ok(entry.map(|entry| Entry { value: entry.value, version: entry.version }))
        })
        .await
    }

    async fn set(&mut self, key: String, value: Vec<u8>, expected: Option<u64>) -> Answer<u64> {
        let state = self.own_state();
        self.enter(async move {
            if value.len() as u64 > limits::BODY_BYTES_MAX {
                return Err(StorageError::TooLarge(limits::BODY_BYTES_MAX));
            }
            Ok(state?.set(&key, value, expected).await?)
        })
        .await
    }

    async fn delete(&mut self, key: String) -> Answer<()> {
        let state = self.own_state();
        self.enter(async move { Ok(state?.delete(&key).await?) }).await
    }

    async fn list_keys(&mut self, prefix: String, after: Option<String>, max: u32) -> Answer<Vec<String>> {
        let state = self.own_state();
        self.enter(async move { Ok(state?.list_keys(&prefix, after.as_deref(), max).await?) }).await
    }
}

impl CallState {
    fn own_state(&self) -> Result<Arc<dyn State>, StorageError> {
        self.state.clone().ok_or_else(|| StorageError::Unavailable("a migration is pure".to_owned()))
    }
}
