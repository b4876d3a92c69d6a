//! The engine: which WebAssembly is understood, the pool of slots, and what makes a process hard to look
//! into. The compile child has the same settings but for the pool, which does not change compiled code.

use crate::{CompileError, limits};
use std::hash::{Hash, Hasher};
use wasmtime::{Config, Enabled, Engine, OptLevel, PoolingAllocationConfig, Strategy, WasmFeatures};

/// The features that guests may use, written out: what the toolchains emit, and nothing besides.
pub(crate) fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::CALL_INDIRECT_OVERLONG
        | WasmFeatures::BULK_MEMORY_OPT
        | WasmFeatures::SIMD
        | WasmFeatures::FLOATS
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL
}

/// The engine that runs guests. Must be made before `harden_process`: see there.
pub(crate) fn pooling(instances_max: u32) -> Result<Engine, CompileError> {
    let mut config = settings();
    config.allocation_strategy(pool(instances_max)).async_stack_size(limits::FIBER_STACK_BYTES);
    Engine::new(&config).map_err(|error| CompileError::Engine(format!("{error:#}")))
}

/// The engine of the compile child: the same code, no pool, whose reservations would not fit its limits.
pub(crate) fn compiling() -> Result<Engine, CompileError> {
    Engine::new(&settings()).map_err(|error| CompileError::Engine(format!("{error:#}")))
}

/// Instances that this machine can map at once, at most `instances_max`.
pub fn instances_bound(instances_max: u32) -> u32 {
    instances_max.clamp(1, (map_count_max() / limits::MAPS_PER_INSTANCE).max(1))
}

/// Whether the kernel can tell which pages were written (≥ 6.7), and this process may ask it: a process that is not dumpable
/// and not root may not, and would silently lose the fast way of resetting memory.
pub fn pagemap_scan_available() -> bool {
    PoolingAllocationConfig::is_pagemap_scan_available()
}

/// No core dumps, and no other process of this user may read this one's memory. Call it after `Runtime::new`, before the
/// first secret is read.
pub fn harden_process() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Stable within one build of one engine: part of the cache's key.
pub(crate) fn compatibility(engine: &Engine, digest: impl FnMut(&[u8])) {
    struct Bytes<F>(F);
    impl<F: FnMut(&[u8])> Hasher for Bytes<F> {
        fn write(&mut self, bytes: &[u8]) {
            (self.0)(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    engine.precompile_compatibility_hash().hash(&mut Bytes(digest));
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_features(WasmFeatures::all() - features(), false)
        .wasm_features(features(), true)
        .epoch_interruption(true)
        .max_wasm_stack(limits::STACK_BYTES_MAX)
        // Only debuggers read it, and registering it takes a lock of the whole process.
        .native_unwind_info(false)
        .memory_init_cow(true)
        .parallel_compilation(true);
    config
}

fn pool(instances_max: u32) -> PoolingAllocationConfig {
    let scan = pagemap_scan_available();
    let resident = if scan { limits::RESIDENT_BYTES_SCANNED } else { limits::RESIDENT_BYTES_UNSCANNED };
    let share = instances_max.saturating_mul(limits::POOL_SHARE);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(limits::CORE_INSTANCES_MAX))
        .total_memories(share.max(limits::MEMORIES_MAX))
        .total_tables(instances_max.saturating_mul(2 * limits::POOL_SHARE).max(limits::TABLES_MAX))
        .total_stacks(instances_max)
        .max_core_instances_per_component(limits::CORE_INSTANCES_MAX)
        .max_memories_per_component(limits::MEMORIES_MAX)
        .max_tables_per_component(limits::TABLES_MAX)
        .max_memory_size(usize::try_from(limits::MEMORY_BYTES_CEILING).unwrap_or(usize::MAX))
        .table_elements(limits::TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(limits::WARM_SLOTS_MAX)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(limits::RESIDENT_TABLE_BYTES)
        // Never `Auto`: it falls back to resetting 2 MiB by hand, the slowest of all.
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}

fn map_count_max() -> u32 {
    let mut text = [0_u8; 16];
    rustix::fs::open("/proc/sys/vm/max_map_count", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty())
        .and_then(|file| rustix::io::read(&file, &mut text))
        .ok()
        .and_then(|read| std::str::from_utf8(&text[..read]).ok()?.trim().parse().ok())
        .unwrap_or(limits::MAP_COUNT_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_stay_below_what_can_be_mapped() {
        assert_eq!(instances_bound(0), 1);
        assert_eq!(instances_bound(10), 10);
        assert!(instances_bound(u32::MAX) <= map_count_max() / limits::MAPS_PER_INSTANCE);
    }
}
