//! The steps, in order. Each acts as an operator's command does, then asks the double what arrived.
use super::{Shown, double::Received, stage::Stage};
use anyhow::anyhow;
use portcullis_clock::BoxFuture;
use portcullis_engine::{CallOptions, RunReport};

mod contained;
mod exchange;
mod first;

/// One step.
pub struct Step {
    /// What it claims.
    pub title: &'static str,
    /// Shows it.
    pub play: for<'s> fn(&'s mut Stage) -> BoxFuture<'s, Shown>,
}

/// All of them.
pub const ALL: &[Step] = &[
    Step { title: "What the connector asks for", play: |stage| Box::pin(first::asks(stage)) },
    Step { title: "A call before approval is refused", play: |stage| Box::pin(first::refused_before(stage)) },
    Step {
        title: "Approve: the request is pinned with the component's digest",
        play: |stage| Box::pin(first::approve(stage)),
    },
    Step { title: "Check: the host attaches the credential", play: |stage| Box::pin(first::check(stage)) },
    Step { title: "Discover the streams", play: |stage| Box::pin(first::discover(stage)) },
    Step {
        title: "A stream over several pages, through a 429 with Retry-After",
        play: |stage| Box::pin(exchange::read(stage)),
    },
    Step {
        title: "A record created while the first answer is lost: one effect, one key",
        play: |stage| Box::pin(exchange::create(stage)),
    },
    Step {
        title: "A request outside the grant, and the line that would allow it",
        play: |stage| Box::pin(exchange::denied(stage)),
    },
    Step {
        title: "A secret that the vendor repeats reaches neither guest nor log",
        play: |stage| Box::pin(contained::echo(stage)),
    },
    Step {
        title: "A hostile connector is contained while a good call goes on",
        play: |stage| Box::pin(contained::hostile(stage)),
    },
    Step { title: "The exchanges of one correlation id", play: |stage| Box::pin(exchange::logs(stage)) },
];

/// A claim of a step; `why` says what was seen instead.
fn claim(holds: bool, why: impl std::fmt::Display) -> anyhow::Result<()> {
    if holds { Ok(()) } else { Err(anyhow!("{why}")) }
}

/// What the double received since `before` requests.
fn since(stage: &Stage, before: usize) -> Vec<Received> {
    stage.double.received().split_off(before)
}

async fn call(stage: &mut Stage, connection: &str, action: &str, input: &str) -> anyhow::Result<RunReport> {
    let host = stage.host().await?;
    host.require(connection, &tokio::sync::watch::channel(false).1).await?;
    Ok(host.engine.call(connection, action, input, CallOptions::default()).await?)
}

/// `succeeded`, or the kind of failure.
fn ended(report: &RunReport) -> String {
    match &report.failure {
        Some(failure) => format!("{} ({})", report.outcome.as_str(), failure.kind),
        None => report.outcome.as_str().to_owned(),
    }
}
