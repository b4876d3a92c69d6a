//! One call's store: what the host functions see of the call, and the limits of its instance.

use crate::{
    CallError, CallSettings, Folder, Logs, Spool, State,
    budget::Meter,
    host::{
        stdio::Output,
        wasi,
        wasi_http::{Ending, Outgoing},
    },
    limits,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::oneshot;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// What lives as long as the call: never shared with another one.
pub(crate) struct CallState {
    wasi: WasiCtx,
    table: ResourceTable,
    limiter: Limiter,
    pub(crate) meter: Arc<Meter>,
    pub(crate) output: Output,
    pub(crate) egress: Option<Arc<portcullis_egress::Call>>,
    /// Made by the first use of `wasi:http`.
    pub(crate) outgoing: Option<Outgoing>,
    /// `None` in a migration, which is pure.
    pub(crate) state: Option<Arc<dyn State>>,
    /// Likewise.
    pub(crate) spool: Option<Arc<Spool>>,
    pub(crate) assets: Arc<BTreeMap<String, Vec<u8>>>,
    pub(crate) folders: Arc<BTreeMap<String, Arc<Folder>>>,
    /// Written into files so far.
    pub(crate) files_bytes: u64,
    /// Being written.
    pub(crate) files_open: u32,
}

/// A host function, or a limit, ends the call: its error is not for the guest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
    #[error("memory")]
    Memory(u64),
    #[error("limit `{0}` of {1}")]
    Limit(&'static str, u64),
}

impl From<&Halt> for CallError {
    fn from(halt: &Halt) -> Self {
        match *halt {
            Halt::Memory(bytes) => Self::Memory(bytes),
            Halt::Limit(limit, bound) => Self::Limit { limit, bound },
        }
    }
}

/// A store that says when it is gone, and with it the memory of its guest.
pub(crate) struct Instance {
    pub(crate) store: Store<CallState>,
    gone: Gone,
}

/// After the store in `Instance`, and so dropped after it.
struct Gone(Option<oneshot::Sender<Option<Ending>>>, Option<Ending>);

impl Instance {
    /// A fresh one, and what comes when it is gone: what it left under way. `pure`: every import that reaches outside the
    /// component is denied.
    pub(crate) fn new(
        engine: &Engine,
        settings: CallSettings,
        meter: &Arc<Meter>,
        pure: bool,
    ) -> (Self, oneshot::Receiver<Option<Ending>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { store: store(engine, settings, meter, pure), gone: Gone(Some(sender), None) }, receiver)
    }

    /// Where its standard streams go.
    pub(crate) fn output(&self) -> Output {
        self.store.data().output.clone()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.gone.1 = self.store.data_mut().outgoing.take().map(Outgoing::ending);
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        // Nobody waits for it where the call itself was dropped.
        let _ = self.0.take().map(|gone| gone.send(self.1.take()));
    }
}

fn store(engine: &Engine, settings: CallSettings, meter: &Arc<Meter>, pure: bool) -> Store<CallState> {
    let memory_bytes_max = settings.limits.memory_bytes_max.min(limits::MEMORY_BYTES_CEILING);
    let logs: Arc<dyn Logs> = settings.logs;
    let output = Output::new(logs, settings.limits.log_bytes_max);
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits::HANDLES_MAX);
    let state = CallState {
        wasi: wasi::context(&output, settings.seed, &settings.clock),
        table,
        limiter: Limiter { memory_bytes_max, memory_bytes: 0 },
        meter: Arc::clone(meter),
        output,
        egress: settings.egress.filter(|_| !pure),
        outgoing: None,
        state: (!pure).then_some(settings.state),
        spool: (!pure).then_some(settings.spool),
        assets: settings.assets,
        folders: if pure { Arc::default() } else { settings.folders },
        files_bytes: 0,
        files_open: 0,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(limits::TRANSFER_BYTES_MAX);
    store.set_max_component_handles(limits::HANDLES_MAX);
    store.set_epoch_deadline(1);
    let meter = Arc::clone(meter);
    store.epoch_deadline_callback(move |context| {
        if let Some(error) = context.data().outgoing.as_ref().and_then(Outgoing::exhausted) {
            return Err(error.into());
        }
        Ok(if meter.is_spent() { UpdateDeadline::Interrupt } else { UpdateDeadline::Yield(1) })
    });
    store
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let egress = &self.egress;
        let outgoing = self.outgoing.get_or_insert_with(|| Outgoing::new(egress.clone()));
        outgoing.view(&mut self.table)
    }
}

impl CallState {
    /// What the guest holds handles of; what lies here when the call ends is dropped with it.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

/// Typed errors where `StoreLimits` would let the growth fail: a guest that aborts then looks like one that panicked.
struct Limiter {
    memory_bytes_max: u64,
    /// Of all memories together.
    memory_bytes: u64,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = self.memory_bytes.saturating_add((desired as u64).saturating_sub(current as u64));
        if grown > self.memory_bytes_max {
            return Err(Halt::Memory(self.memory_bytes_max).into());
        }
        self.memory_bytes = grown;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _max: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > limits::TABLE_ELEMENTS_MAX {
            return Err(Halt::Limit("table-elements", limits::TABLE_ELEMENTS_MAX as u64).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        limits::TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        limits::MEMORIES_MAX as usize
    }
}
