//! The runtime of a process: engine, links, compiled components, and how many calls run at once.

use crate::{
    CallError, CallSettings, CompileError, Operation, Output, RuntimeSettings,
    background::Background,
    budget::{Call, Meter, Panicked},
    cache::{self, Folder, Key},
    call::Usage,
    compile, component, engine,
    epoch::Epochs,
    exports::Roles,
    failure::{self, Scene, millis},
    host::{v0_1, wasi, wasi_http},
    instance::{CallState, Instance},
    limits, text,
};
use portcullis_clock::{Clock, RealClock};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};
use wasmtime::{
    Engine,
    component::{Component, InstancePre, Linker},
};

/// wasmtime engine, pool, epoch thread, background, semaphore, compile cache.
pub struct Runtime {
    engine: Engine,
    linker: Linker<CallState>,
    folder: Arc<Folder>,
    memory: cache::Memory,
    /// One lock for the digests that fall on it: a component is compiled once, however many ask for it.
    preparing: [Mutex<()>; 16],
    compiles: Semaphore,
    compile_child: (PathBuf, Vec<String>),
    instances: Semaphore,
    instances_max: u32,
    epochs: Epochs,
    background: Background,
}

/// A compiled, linked component.
pub struct Prepared {
    pre: InstancePre<CallState>,
    roles: Roles,
}

impl Runtime {
    /// Builds the pooling engine (before the process is made non-dumpable) and starts the epoch thread.
    pub fn new(settings: RuntimeSettings) -> Result<Arc<Self>, CompileError> {
        let instances_max = engine::instances_bound(settings.instances_max);
        let engine = engine::pooling(instances_max)?;
        let epochs = Epochs::start(&engine)?;
        let mut linker = Linker::new(&engine);
        wasi::link(&mut linker)
            .and_then(|()| v0_1::link(&mut linker))
            .map_err(|error| CompileError::Engine(format!("{error:#}")))?;
        Ok(Arc::new(Self {
            epochs,
            engine,
            linker,
            folder: Arc::new(Folder::open(&settings.cache)?),
            memory: cache::Memory::default(),
            preparing: Default::default(),
            compiles: Semaphore::new(limits::COMPILES_MAX),
            compile_child: settings.compile_child,
            instances: Semaphore::new(instances_max as usize),
            instances_max,
            background: Background::default(),
        }))
    }

    /// Live instances at most: the setting, lowered to what this machine can map.
    pub fn instances_max(&self) -> u32 {
        self.instances_max
    }

    /// From the cache, or compiled in a child process. `code` = component bytes without `portcullis:*` sections,
    /// `code_digest` = their `sha256:HEX`.
    pub async fn prepare(&self, code_digest: &str, code: &[u8]) -> Result<Arc<Prepared>, CompileError> {
        self.prepare_with(code_digest, code, &BTreeSet::new()).await
    }

    /// The same for a manifest that lists capabilities: what they stand for is linked beside the rest.
    pub async fn prepare_with(
        &self,
        code_digest: &str,
        code: &[u8],
        capabilities: &BTreeSet<String>,
    ) -> Result<Arc<Prepared>, CompileError> {
        // Two manifests may stand over the same code.
        let linked = capabilities.iter().fold(code_digest.to_owned(), |key, name| key + " " + name);
        if let Some(prepared) = self.memory.find(&linked) {
            return Ok(prepared);
        }
        component::check_names(code, capabilities)?;
        let place =
            code_digest.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let _one = self.preparing[place % self.preparing.len()].lock().await;
        if let Some(prepared) = self.memory.find(&linked) {
            return Ok(prepared);
        }
        let component = self.component(code_digest, code).await?;
        let pre = self.linker(capabilities)?.instantiate_pre(&component).map_err(|error| invalid(&error))?;
        let prepared = Arc::new(Prepared { roles: Roles::of(&pre)?, pre });
        self.memory.keep(&linked, &prepared);
        Ok(prepared)
    }

    fn linker(&self, capabilities: &BTreeSet<String>) -> Result<Linker<CallState>, CompileError> {
        let mut linker = self.linker.clone();
        if capabilities.contains("files") {
            v0_1::link_files(&mut linker).map_err(|error| CompileError::Engine(format!("{error:#}")))?;
        }
        if capabilities.contains("wasi-http") {
            wasi_http::link(&mut linker).map_err(|error| CompileError::Engine(format!("{error:#}")))?;
        }
        Ok(linker)
    }

    /// One call in one fresh instance.
    pub async fn call(
        &self,
        prepared: &Arc<Prepared>,
        settings: CallSettings,
        operation: Operation,
    ) -> (Result<Output, CallError>, Usage) {
        let began = RealClock.monotonic();
        let meter = Meter::new(settings.limits.cpu);
        let result = match prepared.roles.missing(&operation) {
            Some(role) => Err(CallError::NoSuchRole(role)),
            None => self.admitted(prepared, settings, operation, &meter).await,
        };
        let wall = RealClock.monotonic().saturating_sub(began);
        (result, Usage { cpu: meter.spent(), wall, host_calls: meter.host_calls() })
    }

    async fn admitted(
        &self,
        prepared: &Arc<Prepared>,
        settings: CallSettings,
        operation: Operation,
        meter: &Arc<Meter>,
    ) -> Result<Output, CallError> {
        let (timeout, cpu) = (settings.limits.timeout, settings.limits.cpu);
        let mut cancel = settings.cancelled.clone();
        let _permit = tokio::select! {
            biased;
            () = cancelled(&mut cancel) => return Err(CallError::Cancelled),
            permit = self.permit(timeout) => permit?,
        };
        let pure = matches!(
            operation,
            Operation::MigratePosition { .. }
                | Operation::MigrateConfig { .. }
                | Operation::MigrateState { .. }
        );
        let _guest = self.epochs.guest();
        let debt = Arc::clone(&settings.debt);
        let (mut instance, gone) = Instance::new(&self.engine, settings, meter, pure);
        let (output, prepared) = (instance.output(), Arc::clone(prepared));
        let running = async move { prepared.roles.run(&prepared.pre, &mut instance.store, operation).await };
        let call = Call::new(meter, Arc::clone(&debt), (&self.background, &self.epochs), running);
        let ended = tokio::select! {
            biased;
            () = cancelled(&mut cancel) => Err(CallError::Cancelled),
            ended = tokio::time::timeout(timeout, call) => match ended {
                Err(_elapsed) => Err(CallError::Timeout(millis(timeout))),
                Ok(Err(Panicked)) => Err(panicked()),
                Ok(Ok(answer)) => Ok(answer),
            },
        };
        if matches!(ended, Ok(Err(_)) | Err(CallError::Timeout(_))) {
            debt.add_forced_end();
        }
        // What was under way ends with the instance; until it has ended, nobody knows what left.
        let exhausted = match gone.await {
            Ok(Some(ending)) => ending.ended().await,
            _ => None,
        };
        // Not the call's poll, so its own catch: `Logs` is code of the host too.
        let finished = catch_unwind(AssertUnwindSafe(|| output.finish()));
        let stderr = finished.map_err(|_payload| panicked())?;
        let ended = match exhausted {
            Some(error) if matches!(ended, Ok(Ok(_))) => Ok(Err(error.into())),
            _ => ended,
        };
        match ended? {
            Ok(answer) => answer,
            Err(error) => {
                let scene = Scene { cpu, instances_max: self.instances_max, stderr: &stderr };
                Err(failure::classify(&error, &scene))
            }
        }
    }

    async fn permit(&self, timeout: Duration) -> Result<SemaphorePermit<'_>, CallError> {
        if let Ok(permit) = self.instances.try_acquire() {
            return Ok(permit);
        }
        let wait = (timeout / 10).min(limits::CAPACITY_WAIT_MAX);
        match tokio::time::timeout(wait, self.instances.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(CallError::AtCapacity(self.instances_max)),
        }
    }

    async fn component(&self, code_digest: &str, code: &[u8]) -> Result<Component, CompileError> {
        let key = Key::new(&self.engine, code_digest);
        match self.load(&key).await? {
            Some(Ok(component)) => return Ok(component),
            Some(Err(error)) => tracing::warn!("cached code does not load: {error:#}"),
            None => {}
        }
        if format!("sha256:{}", cache::hex(&Sha256::digest(code))) != code_digest {
            return Err(CompileError::Digest(text::shown(code_digest, limits::DIGEST_BYTES_MAX)));
        }
        let compiled = {
            let _permit = self.compiles.acquire().await;
            compile::in_child(&self.compile_child, code).await?
        };
        let (folder, stored) = (Arc::clone(&self.folder), key.clone());
        blocking(move || folder.store(&stored, &compiled)).await??;
        // Mapped, not copied: and never code that the folder did not give back whole.
        match self.load(&key).await? {
            Some(Ok(component)) => Ok(component),
            // The pool knows limits that the compiler does not: instances, memories and tables of one component.
            Some(Err(error)) => Err(invalid(&error)),
            None => Err(CompileError::Stopped("the compiled code is not there".to_owned())),
        }
    }

    async fn load(&self, key: &Key) -> Result<Option<wasmtime::Result<Component>>, CompileError> {
        let (folder, engine, key) = (Arc::clone(&self.folder), self.engine.clone(), key.clone());
        blocking(move || folder.load(&engine, &key)).await
    }
}

/// Without what it said: that may hold anything, and the panic hook has shown it to the operator.
fn panicked() -> CallError {
    CallError::Host("a host function panicked".to_owned())
}

/// File work stays off the threads that run guests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CompileError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CompileError::Engine(format!("a task of the compile cache failed: {error}")))
}

fn invalid(error: &wasmtime::Error) -> CompileError {
    CompileError::Invalid(text::shown(&format!("{error:#}"), limits::MESSAGE_BYTES_MAX))
}

/// Ends when the call is cancelled; never where nobody is left who could.
async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancelled| *cancelled).await.is_err() {
        std::future::pending().await
    }
}
