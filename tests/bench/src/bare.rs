//! The peer of the sandbox: wasmtime with nothing around it but the pool setting that is fastest here. The same component,
//! the same WASI; what else it imports is linked as traps, since the measured call uses none of it.

use crate::measure::Work;
use anyhow::{anyhow, ensure};
use wasmtime::{
    Config, Enabled, Engine, PoolingAllocationConfig, Store, StoreLimits, StoreLimitsBuilder,
    component::{Component, InstancePre, Linker, ResourceType, types::ComponentItem},
};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

#[allow(missing_docs, dead_code, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "full-connector",
        imports: { default: async | trappable },
        exports: { default: async },
    });
}

use bindings::exports::portcullis::connector::lifecycle::GuestIndices;

const INSTANCES_MAX: u32 = 256;
const MEMORY_BYTES_MAX: usize = 256 << 20;

/// Instantiate, call `lifecycle.check`, drop.
pub struct Bare {
    engine: Engine,
    pre: InstancePre<Host>,
    lifecycle: GuestIndices,
    guarded: bool,
}

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl Bare {
    /// `guarded`: with epochs and wasmtime's own limits, which any host of foreign code needs.
    pub fn new(component: &[u8], guarded: bool) -> anyhow::Result<Self> {
        let scan = PoolingAllocationConfig::is_pagemap_scan_available();
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(INSTANCES_MAX)
            .total_core_instances(INSTANCES_MAX * 8)
            .total_memories(INSTANCES_MAX)
            .total_tables(INSTANCES_MAX * 8)
            .total_stacks(INSTANCES_MAX)
            .max_memory_size(MEMORY_BYTES_MAX)
            .linear_memory_keep_resident(if scan { 2 << 20 } else { 64 << 10 })
            .table_keep_resident(64 << 10)
            .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
        let mut config = Config::new();
        config.allocation_strategy(pool).epoch_interruption(guarded).native_unwind_info(false);
        let engine = Engine::new(&config).map_err(|error| anyhow!("{error:#}"))?;
        Self::linked(engine, component, guarded).map_err(|error| anyhow!("{error:#}"))
    }

    fn linked(engine: Engine, component: &[u8], guarded: bool) -> wasmtime::Result<Self> {
        let component = Component::new(&engine, component)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        trap_own_imports(&mut linker, &component)?;
        let pre = linker.instantiate_pre(&component)?;
        Ok(Self { lifecycle: GuestIndices::new(&pre)?, engine, pre, guarded })
    }

    async fn check(&self) -> wasmtime::Result<bool> {
        let limits = StoreLimitsBuilder::new().memory_size(64 << 20).build();
        let host = Host { wasi: WasiCtxBuilder::new().build(), table: ResourceTable::new(), limits };
        let mut store = Store::new(&self.engine, host);
        if self.guarded {
            store.limiter(|host| &mut host.limits);
            store.set_epoch_deadline(1 << 32);
        }
        let instance = self.pre.instantiate_async(&mut store).await?;
        let guest = self.lifecycle.load(&mut store, &instance)?;
        Ok(guest.call_check(&mut store, &"{}".to_owned()).await?.is_ok())
    }
}

/// The connector's own imports. wasmtime's stubs for all that is missing would also stand in for WASI, whose version the
/// linker finds by its rules of semantic versions.
fn trap_own_imports(linker: &mut Linker<Host>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        if !name.starts_with("portcullis:") {
            continue;
        }
        let mut instance = linker.instance(name)?;
        for (name, item) in interface.exports(&engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    instance.func_new(name, |_, _, _, _| Err(wasmtime::Error::msg("not linked")))?;
                }
                ComponentItem::Resource(_) => {
                    instance.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[async_trait::async_trait]
impl Work for Bare {
    async fn once(&self) -> anyhow::Result<()> {
        let passed = self.check().await.map_err(|error| anyhow!("{error:#}"))?;
        ensure!(passed, "the check fails");
        Ok(())
    }
}
