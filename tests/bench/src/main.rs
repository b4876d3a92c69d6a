//! Ratios to native reqwest and to bare wasmtime, measured in one run: `just bench`. It prints what it measured and keeps
//! the raw figures; it asserts no time, because a figure of one machine is a promise of none.

mod bare;
mod guest;
mod instances;
mod layers;
mod measure;
mod native;
mod pipeline;
mod product;
mod report;
mod requests;
mod server;
mod steps;

use anyhow::Context;
use portcullis_clock::{Clock, RealClock};
use report::Report;
use std::{path::Path, process::ExitCode, sync::Arc};

/// Turns this process into the compile child of the runtime.
const COMPILE_CHILD: &str = "compile-child";
/// Turns it into the server, so that the server's CPU time is nobody else's.
const SERVER: &str = "server";

fn main() -> anyhow::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some(COMPILE_CHILD) => {
            return Ok(ExitCode::from(u8::try_from(portcullis_runtime::compile_child_main()).unwrap_or(1)));
        }
        Some(SERVER) => server::run()?,
        side => tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(bench(side))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything, or one side alone for as long as a profiler wants to look at it.
async fn bench(side: Option<&str>) -> anyhow::Result<()> {
    let target = checkout().join("target");
    let kept = target.join("bench");
    std::fs::create_dir_all(&kept)?;
    // On the disk of the checkout: where it lies in memory, a commit costs nothing.
    let folder = tempfile::Builder::new().prefix("data-").tempdir_in(&kept)?;
    let component = guest::built(&target)?;
    let product = Arc::new(product::Product::open(folder.path(), &component).await?);
    match side {
        Some(side) => layers::profile(&product, &server::Server::start()?, side).await,
        None => whole(&product, &component, &kept).await,
    }
}

async fn whole(product: &Arc<product::Product>, component: &[u8], kept: &Path) -> anyhow::Result<()> {
    let mut report = Report::new();
    instances::measure(product, component, &mut report).await?;
    let server = server::Server::start()?;
    requests::measure(product, &server, &mut report).await?;
    report.server(server.counts()?);
    // A server of its own: one of the layers goes without the credential, on purpose.
    layers::measure(product, &server::Server::start()?, &mut report).await?;
    steps::measure(product, &mut report).await?;

    let name = RealClock.now().to_string().replace(':', "-");
    let file = kept.join(format!("{name}.json"));
    report.keep(&file).with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(())
}

fn checkout() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).unwrap_or(folder)
}
