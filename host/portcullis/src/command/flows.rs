//! `flows` and `run`: what flows there are and how each is, a run of one that somebody begins, and one without effects.
mod test;

use super::{
    asked::{self, Writer},
    call, report,
};
use crate::{
    cli::{Arguments, Flows, FlowsCommand, RunFlow},
    config::Config,
    exit::{Exit, Failure, Result, at_database},
    output,
    wiring::Host,
};
use portcullis_clock::{Clock, RealClock, Timestamp};
use portcullis_engine::{CallOptions, EngineError, Flow, Flowed, Outcome, Timing};
use portcullis_manifest::diagnose::nearest;
use portcullis_server::{Answered, Asked};
use portcullis_store::{FlowOverview, RejectedOverview, RunRow, StateReader, StoreError};
use serde_json::{Value, json};
use std::time::Duration;

/// Between two looks at a run that another process has.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Lists flows, or tries one.
pub async fn command(arguments: &Arguments, options: &Flows) -> Result<Exit> {
    match &options.command {
        None => list(arguments).await,
        Some(FlowsCommand::Test(options)) => test::run(arguments, options).await,
    }
}

async fn list(arguments: &Arguments) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let names: Vec<String> = config.flows.keys().cloned().collect();
    let data = config.data.clone();
    let read = move || -> std::result::Result<Vec<(FlowOverview, RejectedOverview)>, StoreError> {
        let Some(reader) = StateReader::open(&data)? else { return Ok(Vec::new()) };
        names.iter().map(|name| Ok((reader.flow_overview(name)?, reader.rejected_overview(name)?))).collect()
    };
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| Failure::fault("the reader failed").because(&error))?;
    let overviews = read.map_err(|error| at_database("read", "state.db", &error))?;
    let overview = |at: usize| overviews.get(at).cloned().unwrap_or_default();
    let flows = || config.flows.values().enumerate().map(|(at, flow)| (flow, overview(at)));
    if arguments.json {
        flows().for_each(|(flow, overview)| output::json_line(&as_json(flow, &overview)));
        return Ok(Exit::Success);
    }
    let rows: Vec<_> = flows().map(|(flow, overview)| row(flow, &overview)).collect();
    output::line(&output::table(
        &["FLOW", "BEGUN BY", "NEXT", "WAITING", "RUNNING", "DEAD", "REFUSED"],
        &rows,
    ));
    Ok(Exit::Success)
}

fn row(flow: &Flow, (overview, rejected): &(FlowOverview, RejectedOverview)) -> Vec<String> {
    vec![
        flow.name.clone(),
        begun_by(flow).join(", "),
        overview.next_at.map_or("-".to_owned(), |at| at.to_string()),
        overview.queued.to_string(),
        overview.running.to_string(),
        overview.dead.to_string(),
        rejected.count.to_string(),
    ]
}

fn as_json(flow: &Flow, (overview, rejected): &(FlowOverview, RejectedOverview)) -> Value {
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "flow": flow.name, "begun_by": begun_by(flow), "steps": flow.steps.iter().map(|step| &step.name).collect::<Vec<_>>(),
        "next_at": moment(overview.next_at), "waiting": overview.queued, "waiting_since": moment(overview.queued_since),
        "running": overview.running, "dead": overview.dead, "dead_since": moment(overview.dead_since),
        "refused": rejected.count, "refused_since": moment(rejected.since),
    })
}

fn begun_by(flow: &Flow) -> Vec<String> {
    let schedule = flow.triggers.schedule.as_ref().map(|schedule| match &schedule.timing {
        Timing::Cron(_) => "cron".to_owned(),
        Timing::Every(every) => format!("every {}", portcullis_manifest::diagnose::print_duration(*every)),
    });
    let webhook = flow.triggers.webhook.as_ref().map(|webhook| format!("webhook {}", webhook.route));
    let after = flow.triggers.after.as_ref().map(|after| format!("after {}", after.flow));
    let found: Vec<_> = [schedule, webhook, after].into_iter().flatten().collect();
    if found.is_empty() { vec!["run".to_owned()] } else { found }
}

/// Begins a run, and waits for its end: here, or in the `serve` that runs.
pub async fn run(arguments: &Arguments, options: &RunFlow) -> Result<Exit> {
    let input = call::input(options.input.as_deref(), options.input_file.as_deref())?;
    serde_json::from_str::<serde::de::IgnoredAny>(&input)
        .map_err(|error| Failure::new(Exit::Usage, "the input is not JSON").because(&error))?;
    let config = Config::read(&arguments.config)?;
    if !config.flows.contains_key(&options.flow) {
        return Err(no_such_flow(&config, &options.flow));
    }
    let cancelled = report::cancel_on_signal();
    let run_id = match asked::writer(&config).await {
        Writer::Serve(socket) => {
            let asked = Asked::Run { flow: options.flow.clone(), input };
            match asked::of(&socket, &asked).await? {
                Answered::Begun { run } => {
                    if !options.detach {
                        watch(&config, &run, cancelled).await?;
                    }
                    run
                }
                other => return asked::told(other).map(|()| Exit::Success),
            }
        }
        Writer::Nobody => here(arguments, &options.flow, &input, options.detach, cancelled).await?,
    };
    if options.detach {
        match arguments.json {
            true => output::json_line(&json!({ "run_id": run_id })),
            false => output::line(&run_id),
        }
        return Ok(Exit::Success);
    }
    end(arguments, &config, &run_id).await
}

fn no_such_flow(config: &Config, flow: &str) -> Failure {
    let failure = Failure::new(Exit::Usage, format!("no flow `{}`", output::shown_line(flow)));
    match nearest(flow, config.flows.keys().map(String::as_str)) {
        Some(near) => failure.with_help(format!("did you mean `{near}`?")),
        None => failure.with_help("portcullis flows"),
    }
}

/// In this process, which goes on with it until it is over. What it leaves when it is told to stop, the next `serve` goes on with.
async fn here(
    arguments: &Arguments,
    flow: &str,
    input: &str,
    detach: bool,
    cancelled: tokio::sync::watch::Receiver<bool>,
) -> Result<String> {
    let host = Host::open(&arguments.config, arguments.wait()).await?;
    let begun = host.engine.begin_flow(flow, input, &CallOptions::default()).await;
    let run_id = begun.map_err(report::refused)?;
    let went = if detach { Ok(()) } else { to_its_end(&host, &run_id, &cancelled).await };
    host.close().await;
    went.map(|()| run_id)
}

/// Goes on with it until it is over, or left to a `serve`.
async fn to_its_end(host: &Host, run_id: &str, cancelled: &tokio::sync::watch::Receiver<bool>) -> Result<()> {
    loop {
        match host.engine.flow(run_id, Some(cancelled)).await {
            Ok(Flowed::Over(_)) => return Ok(()),
            Ok(Flowed::Waits(_)) if *cancelled.borrow() => return Err(left(run_id)),
            Ok(Flowed::Waits(until)) => wait(until, cancelled.clone()).await,
            // One of its key is before it: that is somebody else's to go on with.
            Err(EngineError::Store(StoreError::Conflict { .. })) => return Err(left(run_id)),
            Err(error) => return Err(report::refused(error).of_run(run_id)),
        }
    }
}

fn left(run_id: &str) -> Failure {
    Failure::new(
        Exit::Cancelled,
        format!("the run `{run_id}` waits: it is stored, and nothing of it is lost"),
    )
    .of_run(run_id)
    .with_help("`portcullis serve` goes on with it")
}

async fn wait(until: Timestamp, mut cancelled: tokio::sync::watch::Receiver<bool>) {
    tokio::select! {
        () = RealClock.sleep(until.since(RealClock.now())) => {}
        _ = cancelled.wait_for(|cancelled| *cancelled) => {}
    }
}

/// Looks until it is over, or a person decides.
async fn watch(config: &Config, run_id: &str, cancelled: tokio::sync::watch::Receiver<bool>) -> Result<()> {
    loop {
        if row_of(config, run_id).await?.is_some_and(|row| row.summary.outcome.is_some()) {
            return Ok(());
        }
        if *cancelled.borrow() {
            return Err(left(run_id));
        }
        wait(RealClock.now().plus(LOOK_EVERY), cancelled.clone()).await;
    }
}

async fn row_of(config: &Config, run_id: &str) -> Result<Option<RunRow>> {
    let (data, run) = (config.data.clone(), run_id.to_owned());
    let read = move || -> std::result::Result<Option<RunRow>, StoreError> {
        let Some(reader) = StateReader::open(&data)? else { return Ok(None) };
        reader.run(&run)
    };
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| Failure::fault("the reader failed").because(&error))?;
    read.map_err(|error| at_database("read", "state.db", &error))
}

/// How it ended, as `call` says it.
async fn end(arguments: &Arguments, config: &Config, run_id: &str) -> Result<Exit> {
    let Some(row) = row_of(config, run_id).await? else {
        return Err(Failure::fault(format!("the run `{run_id}` is not there any more")));
    };
    let run = &row.summary;
    let outcome = run.outcome.unwrap_or(Outcome::Unknown);
    if arguments.json {
        output::json_line(&json!({
            "run_id": run_id, "flow": run.flow, "outcome": outcome.as_str(), "error_kind": run.error_kind, "detail": run.detail,
            "output": row.output.as_deref().map(report::json_or_text),
        }));
    } else if let Some(output) = &row.output {
        output::json_text(output);
    }
    let exit = match outcome {
        Outcome::Succeeded => return Ok(Exit::Success),
        Outcome::Unknown => Exit::Unknown,
        Outcome::Cancelled => Exit::Cancelled,
        _ => Exit::Failed,
    };
    if !arguments.json {
        let why = run.detail.as_deref().or(run.error_kind.as_deref()).unwrap_or_default();
        output::note(&format!("error: the run ended as `{}`: {}", outcome.as_str(), output::shown_line(why)));
        output::note(&format!("\nhint: portcullis runs show {run_id}"));
    }
    Ok(exit)
}
