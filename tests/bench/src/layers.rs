//! What dominates: the same request with one more layer each time, and the single pieces that can be had alone.

use crate::{
    measure::{self, Work},
    native::Native,
    pipeline::{Guest, HostCalls, Idle, MANY, Pipeline},
    product::{Product, Way},
    report::Report,
    server::Server,
};
use portcullis_clock::{RealClock, RealRandom, new_id};
use std::{hint::black_box, path::PathBuf, sync::Arc, time::Duration};

/// Enough that no core waits, few enough that queues stay short.
const CONCURRENCY: usize = 8;
const WINDOW: Duration = Duration::from_millis(400);
const ROUNDS: usize = 5;

/// Measures and prints.
pub async fn measure(product: &Arc<Product>, server: &Server, report: &mut Report) -> anyhow::Result<()> {
    let url = server.url(false);
    let pipeline = |logged, credential| -> anyhow::Result<Arc<dyn Work>> {
        let connection = product.connection(Way { logged, credential }, server.port)?;
        Ok(Arc::new(Pipeline { product: product.clone(), connection, url: url.clone() }))
    };
    let guest = |n| -> anyhow::Result<Arc<dyn Work>> {
        let connection = product.connection(Way { logged: true, credential: true }, server.port)?;
        Ok(Arc::new(Guest { product: product.clone(), connection, url: url.clone(), n }))
    };
    let stack: [(&str, Arc<dyn Work>); 6] = [
        ("native reqwest", Arc::new(Native::new(url.clone())?)),
        ("+ rules, guard, bounds, row of the log (not stored)", pipeline(false, false)?),
        ("+ credential and echo scan", pipeline(false, true)?),
        ("+ row stored in exchanges.db", pipeline(true, true)?),
        ("+ from a guest, 100 requests an instance", guest(MANY)?),
        ("+ a fresh instance each", guest(1)?),
    ];
    let pieces: [(&str, Arc<dyn Work>); 4] = [
        ("fresh instance that sends nothing", Arc::new(Idle(product.clone()))),
        ("host call that does nothing", Arc::new(HostCalls(product.apart()))),
        ("look for the revocation file", Arc::new(Revocation(product.revocation_file()))),
        ("id of an exchange", Arc::new(Ids)),
    ];
    let named = |(name, work): (&str, Arc<dyn Work>)| (name.to_owned(), work);
    let works: Vec<_> = stack.into_iter().map(named).collect();
    let stack = measure::rounds(&works, CONCURRENCY, WINDOW, ROUNDS).await?;
    let works: Vec<_> = pieces.into_iter().map(named).collect();
    let pieces = measure::rounds(&works, 1, WINDOW / 4, ROUNDS).await?;
    report.layers(&stack, &pieces);
    Ok(())
}

/// One side for ten seconds, for a profiler: `native`, `egress`, `many`, `fresh` or `idle`.
pub async fn profile(product: &Arc<Product>, server: &Server, side: &str) -> anyhow::Result<()> {
    let url = server.url(false);
    let connection = product.connection(Way { logged: true, credential: true }, server.port)?;
    let guest = |n| Guest { product: product.clone(), connection: connection.clone(), url: url.clone(), n };
    let work: Arc<dyn Work> = match side {
        "native" => Arc::new(Native::new(url)?),
        "egress" => Arc::new(Pipeline { product: product.clone(), connection: connection.clone(), url }),
        "many" => Arc::new(guest(MANY)),
        "fresh" => Arc::new(guest(1)),
        "idle" => Arc::new(Idle(product.clone())),
        other => anyhow::bail!("no side `{other}`: native, egress, many, fresh or idle"),
    };
    let sample = measure::window(&work, CONCURRENCY, Duration::from_secs(10)).await?;
    println!("{side}: {:.0} a second, {:.1} µs CPU each", sample.rate, sample.cpu_us);
    Ok(())
}

/// As before each attempt.
struct Revocation(PathBuf);

#[async_trait::async_trait]
impl Work for Revocation {
    fn units(&self) -> u64 {
        1_000
    }
    async fn once(&self) -> anyhow::Result<()> {
        for _ in 0..self.units() {
            black_box(self.0.exists());
        }
        Ok(())
    }
}

/// As for each attempt.
struct Ids;

#[async_trait::async_trait]
impl Work for Ids {
    fn units(&self) -> u64 {
        1_000
    }
    async fn once(&self) -> anyhow::Result<()> {
        for _ in 0..self.units() {
            black_box(new_id("exch", &RealClock, &RealRandom));
        }
        Ok(())
    }
}
