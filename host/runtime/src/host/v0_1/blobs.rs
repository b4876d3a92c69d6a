//! `blobs`: the spool of the call's run. Which run that is, the guest can't say.

use super::imports::blobs::{Host, HostWriter, Info, Writer};
use super::imports::types::StorageError;
use crate::{
    StorageError as Fault, budget,
    instance::CallState,
    limits,
    spool::{self, Spool, SpoolWriter},
};
use std::sync::Arc;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, StorageError>>;

impl Host for CallState {
    async fn stat(&mut self, blob: String) -> Answer<Info> {
        let spool = self.own_spool();
        self.enter(async move {
            let blob = spool?.blob(&blob)?;
            Ok(Info { size: blob.size, sha256: blob.sha256_hex() })
        })
        .await
    }

    async fn read(&mut self, blob: String, offset: u64, max: u32) -> Answer<Vec<u8>> {
        let spool = self.own_spool();
        self.enter(async move {
            let blob = spool?.blob(&blob)?;
            let max = usize::try_from(u64::from(max).min(limits::BODY_BYTES_MAX)).unwrap_or(0);
            Ok(blob.read_at(offset, max).await.map_err(|error| spool::unavailable(&error))?)
        })
        .await
    }

    async fn create(&mut self) -> Answer<Resource<Writer>> {
        let spool = self.own_spool();
        let created = self.enter(async move { spool?.create().await }).await?;
        match created {
            Ok(writer) => Ok(Ok(self.table().push(writer)?)),
            Err(error) => Ok(Err(error.into())),
        }
    }

    async fn finish(&mut self, writer: Resource<Writer>) -> Answer<String> {
        let writer: SpoolWriter = self.table().delete(writer)?;
        self.enter(async move { Ok(writer.finish().await?) }).await
    }
}

impl HostWriter for CallState {
    async fn write(&mut self, writer: Resource<Writer>, bytes: Vec<u8>) -> Answer<()> {
        self.enter(std::future::ready(())).await?;
        if bytes.len() as u64 > limits::BODY_BYTES_MAX {
            return Ok(Err(StorageError::TooLarge(limits::BODY_BYTES_MAX)));
        }
        let meter = self.meter.clone();
        let writer = self.table().get_mut(&writer)?;
        Ok(budget::host(meter, writer.append(&bytes)).await.map_err(StorageError::from))
    }

    async fn drop(&mut self, writer: Resource<Writer>) -> wasmtime::Result<()> {
        self.table().delete(writer)?;
        Ok(())
    }
}

impl CallState {
    pub(super) fn own_spool(&self) -> Result<Arc<Spool>, Fault> {
        self.spool.clone().ok_or_else(|| Fault::Unavailable("a migration is pure".to_owned()))
    }
}
