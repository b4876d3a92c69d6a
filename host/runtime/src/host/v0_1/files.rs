//! `files`: passes folder names, paths and bytes to the connection's own folders. Which folders those are, the guest can't say.
//! Linked only where the manifest lists the capability.

use super::imports::files::{Host, HostWriter};
use super::imports::types::StorageError;
use crate::{
    Folder,
    folder::Writing,
    instance::{CallState, Halt},
    limits,
};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;

type Answer<T> = wasmtime::Result<Result<T, StorageError>>;

/// A file that is being written; none once it was committed.
pub struct FileWriter(Arc<Mutex<Option<Writing>>>);

impl Host for CallState {
    async fn create(&mut self, folder: String, path: String) -> Answer<Resource<FileWriter>> {
        if self.files_open >= limits::FILES_OPEN_MAX {
            return self.enter(async { Err(StorageError::Quota(limits::FILES_OPEN_MAX.into())) }).await;
        }
        let folder = self.folder(&folder);
        let work = move || folder?.create(&path).map_err(StorageError::from);
        match self.enter(blocking(work)).await?? {
            Err(error) => Ok(Err(error)),
            Ok(writing) => {
                let writer = FileWriter(Arc::new(Mutex::new(Some(writing))));
                let full = |_error| Halt::Limit("handles", limits::HANDLES_MAX as u64);
                let writer = self.ctx().table.push(writer).map_err(full)?;
                self.files_open += 1;
                Ok(Ok(writer))
            }
        }
    }

    async fn commit(&mut self, writer: Resource<FileWriter>) -> Answer<u64> {
        let FileWriter(writing) = self.ctx().table.delete(writer)?;
        self.files_open = self.files_open.saturating_sub(1);
        let work = move || match writing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(writing) => writing.commit().map_err(StorageError::from),
            None => Err(StorageError::Invalid("the file is committed".to_owned())),
        };
        self.enter(blocking(work)).await?
    }

    async fn read(&mut self, folder: String, path: String, offset: u64, max: u32) -> Answer<Vec<u8>> {
        let folder = self.folder(&folder);
        let work = move || folder?.read(&path, offset, max).map_err(StorageError::from);
        self.enter(blocking(work)).await?
    }

    async fn list_entries(
        &mut self,
        folder: String,
        path: String,
        after: Option<String>,
        max: u32,
    ) -> Answer<Vec<String>> {
        let folder = self.folder(&folder);
        let work = move || folder?.list(&path, after.as_deref(), max).map_err(StorageError::from);
        self.enter(blocking(work)).await?
    }

    async fn remove(&mut self, folder: String, path: String) -> Answer<bool> {
        let folder = self.folder(&folder);
        let work = move || folder?.remove(&path).map_err(StorageError::from);
        self.enter(blocking(work)).await?
    }
}

impl HostWriter for CallState {
    async fn write(&mut self, writer: Resource<FileWriter>, bytes: Vec<u8>) -> Answer<()> {
        let writing = Arc::clone(&self.ctx().table.get(&writer)?.0);
        let room = self.files_room(bytes.len() as u64);
        let work = move || {
            room?;
            match writing.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                Some(writing) => writing.write(&bytes).map_err(StorageError::from),
                None => Err(StorageError::Invalid("the file is committed".to_owned())),
            }
        };
        self.enter(blocking(work)).await?
    }

    async fn drop(&mut self, writer: Resource<FileWriter>) -> wasmtime::Result<()> {
        let writer = self.ctx().table.delete(writer)?;
        self.files_open = self.files_open.saturating_sub(1);
        self.enter(blocking(move || drop(writer))).await?
    }
}

impl CallState {
    fn folder(&self, name: &str) -> Result<Arc<Folder>, StorageError> {
        let no_such = || StorageError::Invalid("no folder of this name is granted".to_owned());
        self.folders.get(name).cloned().ok_or_else(no_such)
    }

    /// Takes this many bytes of what one call may write.
    fn files_room(&mut self, bytes: u64) -> Result<(), StorageError> {
        if bytes > limits::BODY_BYTES_MAX {
            return Err(StorageError::TooLarge(limits::BODY_BYTES_MAX));
        }
        let written = self.files_bytes.saturating_add(bytes);
        if written > limits::FILES_BYTES_MAX {
            return Err(StorageError::Quota(limits::FILES_BYTES_MAX));
        }
        self.files_bytes = written;
        Ok(())
    }
}

/// File work stays off the threads that run guests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> wasmtime::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
