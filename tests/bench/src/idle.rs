//! Row 7: a thousand connections that do nothing, and a hundred of them called in turn: what stays resident.

use crate::{
    measure::Work,
    pipeline::Guest,
    product::{Product, Way},
    server::Server,
};
use serde_json::{Value, json};
use std::sync::Arc;

const CONNECTIONS: usize = 1_000;
const CALLED: usize = 100;
/// Calls of each of those before memory is looked at for the first time, and between two looks.
const WARM_CALLS: usize = 100;
const CALLS: u64 = 100_000;
const LOOKS: u64 = 5;

/// Measures, prints, and returns what is kept.
pub async fn measure(product: &Arc<Product>, server: &Server) -> anyhow::Result<Value> {
    println!("{CONNECTIONS} connections, {CALLED} of them called in turn, {CALLS} calls");
    let before = resident_bytes()?;
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        connections.push(product.connection(Way { logged: true, credential: true }, server.port)?);
    }
    let each = (resident_bytes()? - before) / CONNECTIONS as f64;
    println!("{:>40} {:8.1} KiB   aim < 64 KiB", "an idle connection", each / 1024.0);
    let called: Vec<_> = connections
        .iter()
        .take(CALLED)
        .map(|connection| Guest {
            product: product.clone(),
            connection: connection.clone(),
            url: server.url(false),
            n: 1,
        })
        .collect();
    for _ in 0..WARM_CALLS {
        for guest in &called {
            guest.once().await?;
        }
    }
    let warm = (resident_bytes()? - before) / CONNECTIONS as f64;
    println!("{:>40} {:8.1} KiB", format!("each, when {CALLED} have been called"), warm / 1024.0);
    let mut looks = vec![resident_bytes()?];
    for _ in 0..LOOKS {
        for n in 0..CALLS / LOOKS {
            called[n as usize % CALLED].once().await?;
        }
        product.exchanges.flush().await;
        looks.push(resident_bytes()?);
    }
    let mib: Vec<String> = looks.iter().map(|bytes| format!("{:.1}", bytes / 1048576.0)).collect();
    println!("{:>40} {} MiB resident\n", format!("every {} calls", CALLS / LOOKS), mib.join(" → "));
    Ok(json!({ "idle_bytes": each, "called_bytes": warm, "resident_bytes": looks }))
}

/// What the process holds in memory now (`proc(5)`, `statm`).
pub fn resident_bytes() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = text.split(' ').nth(1).unwrap_or_default().parse()?;
    Ok(pages * 4096.0)
}

/// The most that it held since the last `forget_peak` (`proc_pid_status(5)`, `VmHWM`).
pub fn peak_bytes() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024.0)
}

/// `proc_pid_clear_refs(5)`: the peak is what it holds now.
pub fn forget_peak() -> anyhow::Result<()> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}
