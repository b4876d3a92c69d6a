//! `portcullis:connector@0.1.0`: its bindings, and one file an interface. `files` is linked only where the manifest lists the
//! capability: another component that imports it is refused before it is compiled.

mod assets;
mod blobs;
pub mod files;
mod http;
mod log;
mod state;

use crate::{
    StorageError, budget,
    instance::{CallState, Halt},
    limits,
};
use std::future::Future;
use wasmtime::component::{HasSelf, Linker};

#[allow(missing_docs, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "full-connector",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "portcullis:connector/blobs.writer": crate::spool::SpoolWriter,
            "portcullis:connector/files.writer": super::files::FileWriter,
            "portcullis:connector/http.body-stream": crate::host::v0_1::http::Reading,
        },
    });
}

pub(crate) use bindings::exports::portcullis::connector as exports;
pub(crate) use bindings::portcullis::connector as imports;

pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    type Own = HasSelf<CallState>;
    imports::types::add_to_linker::<_, Own>(linker, |state| state)?;
    imports::http::add_to_linker::<_, Own>(linker, |state| state)?;
    imports::blobs::add_to_linker::<_, Own>(linker, |state| state)?;
    imports::state::add_to_linker::<_, Own>(linker, |state| state)?;
    imports::assets::add_to_linker::<_, Own>(linker, |state| state)?;
    imports::log::add_to_linker::<_, Own>(linker, |state| state)
}

/// What a capability of the manifest adds.
pub(crate) fn link_files(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    imports::files::add_to_linker::<_, HasSelf<CallState>>(linker, |state| state)
}

impl imports::types::Host for CallState {}

impl CallState {
    /// Every host function goes through here: it is counted, and its time is not the guest's.
    fn enter<F: Future + Send>(
        &self,
        work: F,
    ) -> impl Future<Output = wasmtime::Result<F::Output>> + Send + use<F>
    where
        F::Output: Send,
    {
        let meter = self.meter.clone();
        let count = meter.count();
        async move {
            if count > limits::HOST_CALLS_MAX {
                return Err(Halt::Limit("host-calls", limits::HOST_CALLS_MAX).into());
            }
            Ok(budget::host(meter, work).await)
        }
    }
}

impl From<StorageError> for imports::types::StorageError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound => Self::NotFound,
            StorageError::Conflict(version) => Self::Conflict(version),
            StorageError::TooLarge(bytes) => Self::TooLarge(bytes),
            StorageError::Quota(bound) => Self::Quota(bound),
            StorageError::Invalid(why) => Self::Invalid(why),
            StorageError::Unavailable(why) => Self::Unavailable(why),
            StorageError::Unsupported => Self::Unsupported,
        }
    }
}
