//! `blobs`: not built yet, so each function answers `unsupported`; no writer can exist.

use super::imports::blobs::{Host, HostWriter, Info, Writer};
use super::imports::types::StorageError;
use crate::instance::CallState;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, StorageError>>;

impl Host for CallState {
    async fn stat(&mut self, _blob: String) -> Answer<Info> {
        self.enter(async { Err(StorageError::Unsupported) }).await
    }

    async fn read(&mut self, _blob: String, _offset: u64, _max: u32) -> Answer<Vec<u8>> {
        self.enter(async { Err(StorageError::Unsupported) }).await
    }

    async fn create(&mut self) -> Answer<Resource<Writer>> {
        self.enter(async { Err(StorageError::Unsupported) }).await
    }

    async fn finish(&mut self, _writer: Resource<Writer>) -> Answer<String> {
        self.enter(async { Err(StorageError::Unsupported) }).await
    }
}

impl HostWriter for CallState {
    async fn write(&mut self, _writer: Resource<Writer>, _bytes: Vec<u8>) -> Answer<()> {
        self.enter(async { Err(StorageError::Unsupported) }).await
    }

    async fn drop(&mut self, _writer: Resource<Writer>) -> wasmtime::Result<()> {
        Ok(())
    }
}
