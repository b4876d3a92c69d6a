//! Ratios to native reqwest and to bare wasmtime, measured in one run: `just bench`. It prints what it measured and keeps
//! the raw figures; it asserts no time, because a figure of one machine is a promise of none.

mod bare;
mod bytes;
mod growth;
mod guest;
mod idle;
mod instances;
mod layers;
mod measure;
mod native;
mod neighbours;
mod pipeline;
mod plot;
mod product;
mod records;
mod report;
mod requests;
mod server;
mod start;
mod steps;

use anyhow::Context;
use portcullis_clock::{Clock, RealClock};
use report::Report;
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
};

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
        Some("") | None => return every_row(),
        Some(side) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(bench(side))?
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Each in a process of its own: what one leaves behind in memory, or owes for computing, is no part of the next.
fn every_row() -> anyhow::Result<ExitCode> {
    for row in ROWS {
        let ended = Command::new(std::env::current_exe()?).arg(row).status()?;
        anyhow::ensure!(ended.success(), "row `{row}`: {ended}");
    }
    Ok(ExitCode::SUCCESS)
}

/// One row, or one side alone for as long as a profiler wants to look at it.
async fn bench(side: &str) -> anyhow::Result<()> {
    let target = checkout().join("target");
    let kept = target.join("bench");
    std::fs::create_dir_all(&kept)?;
    // On the disk of the checkout: where it lies in memory, a commit costs nothing.
    let folder = tempfile::Builder::new().prefix("data-").tempdir_in(&kept)?;
    let component = guest::built(&target)?;
    let product = Arc::new(product::Product::open(folder.path(), &component).await?);
    let bench = Bench { product, component, folder: folder.path().to_owned() };
    if !ROWS.contains(&side) {
        return layers::profile(&bench.product, &server::Server::start()?, side).await;
    }
    let mut report = Report::new();
    bench.row(side, &mut report).await.with_context(|| format!("row `{side}`"))?;
    let name = RealClock.now().to_string().replace(':', "-");
    let file = kept.join(format!("{name}-{side}.json"));
    report.keep(&file).with_context(|| format!("cannot write `{}`", file.display()))
}

/// In the order in which they are measured, each also by its name.
const ROWS: [&str; 10] = [
    "instances",
    "records",
    "requests",
    "layers",
    "steps",
    "neighbours",
    "start",
    "idle-connections",
    "bytes",
    "growth",
];

/// What every row needs.
struct Bench {
    product: Arc<product::Product>,
    component: Vec<u8>,
    folder: PathBuf,
}

impl Bench {
    async fn row(&self, row: &str, report: &mut Report) -> anyhow::Result<()> {
        let product = &self.product;
        match row {
            "instances" => instances::measure(product, &self.component, report).await?,
            "records" => records::measure(product, report).await?,
            "requests" => {
                let server = server::Server::start()?;
                requests::measure(product, &server, report).await?;
                report.server(server.counts()?);
            }
            // A server of its own: one of the layers goes without the credential, on purpose.
            "layers" => layers::measure(product, &server::Server::start()?, report).await?,
            "steps" => steps::measure(product, report).await?,
            "start" => report.keep_value(row, start::measure(&self.folder, &self.component)?),
            "idle-connections" => {
                report.keep_value(row, idle::measure(product, &server::Server::start()?).await?);
            }
            "bytes" => {
                report
                    .keep_value(row, bytes::measure(product, &server::Server::start()?, &self.folder).await?);
            }
            "neighbours" => {
                report.keep_value(row, neighbours::measure(product, &server::Server::start()?).await?);
            }
            "growth" => {
                let plots = checkout().join("docs/plots");
                let server = server::Server::start()?;
                report.keep_value(row, growth::measure(product, &server, &self.folder, &plots).await?);
            }
            other => anyhow::bail!("no row `{other}`: {}", ROWS.join(", ")),
        }
        Ok(())
    }
}

fn checkout() -> &'static Path {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.ancestors().nth(2).unwrap_or(folder)
}
