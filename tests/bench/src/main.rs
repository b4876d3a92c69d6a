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
        Some(other) => anyhow::bail!("no argument `{other}`: the bench takes none"),
        None => tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(bench())?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn bench() -> anyhow::Result<()> {
    let target = checkout().join("target");
    let kept = target.join("bench");
    std::fs::create_dir_all(&kept)?;
    // On the disk of the checkout: where it lies in memory, a commit costs nothing.
    let folder = tempfile::Builder::new().prefix("data-").tempdir_in(&kept)?;
    let mut report = Report::new();

    let component = guest::built(&target)?;
    let product = Arc::new(product::Product::open(folder.path(), &component).await?);
    let bare = instances::measure(&product, &component, &mut report).await?;
    drop(bare);
    let server = server::Server::start()?;
    requests::measure(&product, &server, &mut report).await?;
    layers::measure(&product, &server, &mut report).await?;
    steps::measure(&product, &mut report).await?;
    report.server(server.counts().await?);

    let name = RealClock.now().to_string().replace(':', "-");
    let file = kept.join(format!("{name}.json"));
    report.keep(&file).with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(())
}

fn checkout() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).unwrap_or(folder)
}
