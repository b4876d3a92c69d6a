//! WASI 0.2, linked because language runtimes ask for it, and granting nothing: no folder, variable, argument or socket;
//! stdin is closed, stdout and stderr are log lines, clocks are coarse, randomness is bounded and comes from the call's seed.

use super::stdio::{Output, Standard};
use crate::{instance::CallState, limits};
use portcullis_clock::Clock;
use rand::{SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use wasmtime::component::Linker;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder};

pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)
}

/// Every grant is written out, the defaults too.
pub(crate) fn context(output: &Output, seed: [u8; 32], clock: &Arc<dyn Clock>) -> WasiCtx {
    let insecure: [u8; 32] = Sha256::new().chain_update(b"insecure").chain_update(seed).finalize().into();
    let [low @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = insecure;
    WasiCtxBuilder::new()
        .stdin(tokio::io::empty())
        .stdout(output.stream(Standard::Out))
        .stderr(output.stream(Standard::Error))
        .socket_addr_check(|_, _| Box::pin(async { false }))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .wall_clock(Coarse(clock.clone()))
        .monotonic_clock(Coarse(clock.clone()))
        .secure_random(StdRng::from_seed(seed))
        .insecure_random(StdRng::from_seed(insecure))
        .insecure_random_seed(u128::from_le_bytes(low))
        .max_random_size(limits::RANDOM_BYTES_MAX)
        .build()
}

/// No finer than `CLOCK_RESOLUTION`: nothing to time a cache with.
struct Coarse(Arc<dyn Clock>);

impl Coarse {
    fn round(time: Duration) -> Duration {
        let step = limits::CLOCK_RESOLUTION.as_nanos();
        Duration::from_nanos(u64::try_from(time.as_nanos() / step * step).unwrap_or(u64::MAX))
    }
}

impl HostWallClock for Coarse {
    fn resolution(&self) -> Duration {
        limits::CLOCK_RESOLUTION
    }
    fn now(&self) -> Duration {
        Self::round(Duration::from_millis(u64::try_from(self.0.now().as_millis()).unwrap_or(0)))
    }
}

impl HostMonotonicClock for Coarse {
    fn resolution(&self) -> u64 {
        u64::try_from(limits::CLOCK_RESOLUTION.as_nanos()).unwrap_or(u64::MAX)
    }
    fn now(&self) -> u64 {
        u64::try_from(Self::round(self.0.monotonic()).as_nanos()).unwrap_or(u64::MAX)
    }
}
