//! `runs`: what ran, and how it ended. Opens the database read-only and needs no lock.
mod syncs;

use super::{asked::Decider, confirm::confirmed, named, period, report::json_or_text};
use crate::{
    cli::{Arguments, DecideRun, Runs, RunsCommand, RunsShow},
    config::Config,
    exit::{Exit, Failure, Result, at_database},
    output,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_store::{Outcome, RunFilter, RunRow, RunSummary, StateReader};
use serde_json::{Value, json};

/// Runs of the steps of one flow's run that are shown with it.
const STEPS_SHOWN: u32 = 1_000;

/// Lists runs, or shows one.
pub async fn run(arguments: &Arguments, options: &Runs) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let filter = filter(options)?;
    let wanted = match &options.command {
        Some(RunsCommand::Show(RunsShow { run })) => Some(run.clone()),
        Some(RunsCommand::Replay(which)) => return decide(arguments, &config, which, true).await,
        Some(RunsCommand::Discard(which)) => return decide(arguments, &config, which, false).await,
        None => None,
    };
    let run = wanted.clone();
    let data = config.data.clone();
    let read = move || -> std::result::Result<_, portcullis_store::StoreError> {
        let Some(reader) = StateReader::open(&data)? else { return Ok((None, Vec::new(), Vec::new())) };
        match run {
            // Those of its steps, where it is of a flow, in the order in which they began.
            Some(run) => {
                let of_it =
                    RunFilter { parent: Some(run.clone()), limit: STEPS_SHOWN, ..RunFilter::default() };
                let mut steps = reader.runs(&of_it)?;
                steps.reverse();
                let found = reader.run(&run)?;
                let synced = syncs::of(&reader, found.as_ref(), &steps)?;
                Ok((found, steps, synced))
            }
            None => Ok((None, reader.runs(&filter)?, Vec::new())),
        }
    };
    let read = tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| Failure::fault("the reader failed").because(&error))?;
    let (one, many, synced) = read.map_err(|error| at_database("read", "state.db", &error))?;
    // Runs of a connection that is not in the config any more are shown all the same.
    if let Some(connection) = options.connection.as_ref().filter(|_| many.is_empty()) {
        named::connection(&config, connection).await?;
    }
    match (&wanted, one) {
        (Some(_), Some(row)) if arguments.json => {
            let mut value = row_json(&row);
            value["runs"] = many.iter().map(summary_json).collect();
            value["syncs"] = syncs::as_json(&synced);
            output::json_line(&value);
        }
        (Some(run), Some(row)) => {
            output::line(&row_text(&row));
            if !many.is_empty() {
                output::line(&format!("\n{}", list(&many)));
            }
            syncs::text(&synced, run).iter().for_each(|line| output::line(line));
        }
        (Some(run), None) => {
            let message = format!("no run `{}`", output::shown_line(run));
            return Err(Failure::new(Exit::Usage, message).with_help("portcullis runs"));
        }
        (None, _) if arguments.json => many.iter().for_each(|run| output::json_line(&summary_json(run))),
        (None, _) => output::line(&list(&many)),
    }
    Ok(Exit::Success)
}

async fn known(config: &Config, run: &str) -> Result<()> {
    let (data, id) = (config.data.clone(), run.to_owned());
    let read = tokio::task::spawn_blocking(move || match StateReader::open(&data)? {
        Some(reader) => reader.flow_run(&id),
        None => Ok(None),
    });
    let read = read.await.map_err(|error| Failure::fault("the reader failed").because(&error))?;
    match read.map_err(|error: portcullis_store::StoreError| at_database("read", "state.db", &error))? {
        Some(_) => Ok(()),
        None => {
            let message = format!("`{}` is no run of a flow", output::shown_line(run));
            Err(Failure::new(Exit::Usage, message).with_help("portcullis runs --outcome dead-lettered"))
        }
    }
}

/// Has a dead run of a flow tried once more, or gives it up; or the records that a run could not write.
async fn decide(arguments: &Arguments, config: &Config, which: &DecideRun, replay: bool) -> Result<Exit> {
    let DecideRun { run, yes } = which;
    let command = if replay { "replay" } else { "discard" };
    if replay && !yes {
        // Nobody is asked about what is not there.
        known(config, run).await?;
        let instead = format!("portcullis runs replay {run} --yes");
        output::note(
            "it goes on from the step that failed, by the steps that the config has now; what that step sent may have happened, and may \
             happen a second time",
        );
        if !confirmed("try it once more? Type `yes`:", Exit::Usage, &instead)? {
            return Ok(Exit::Cancelled);
        }
    }
    Decider::of(arguments, config).await?.decide_run(&config.flows, run, replay).await?;
    match arguments.json {
        true => output::json_line(&json!({ "run_id": run, "decided": command })),
        false => output::note(if replay { "it waits for its turn" } else { "it is given up" }),
    }
    Ok(Exit::Success)
}

fn filter(options: &Runs) -> Result<RunFilter> {
    let open = options.outcome.as_deref() == Some("open");
    let outcome = match options.outcome.as_deref() {
        None | Some("open") => None,
        Some(text) => Some(Outcome::parse(text).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("no outcome `{}`", output::shown_line(text)))
                .with_help("one of succeeded, failed, dead-lettered, cancelled, unknown, dry-run, open")
        })?),
    };
    let (since, until) = period::parse(&options.period, RealClock.now())?;
    Ok(RunFilter {
        connection: options.connection.clone(),
        flow: options.flow.clone(),
        outcome,
        open,
        correlation_id: options.correlation.clone(),
        since,
        until,
        limit: options.limit,
        ..RunFilter::default()
    })
}

fn outcome(run: &RunSummary) -> &'static str {
    run.outcome.map_or("open", |outcome| outcome.as_str())
}

fn list(runs: &[RunSummary]) -> String {
    let row = |run: &RunSummary| {
        vec![
            run.run_id.clone(),
            run.started_at.to_string(),
            run.connection.clone(),
            run.kind.as_str().to_owned(),
            run.subject.clone(),
            outcome(run).to_owned(),
            output::shown_line(run.reason.as_deref().unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    output::table(&["RUN", "STARTED", "CONNECTION", "KIND", "SUBJECT", "OUTCOME", "REASON"], &rows)
}

fn summary_json(run: &RunSummary) -> Value {
    json!({
        "run_id": run.run_id,
        "kind": run.kind.as_str(),
        "connection": run.connection,
        "connection_id": run.connection_id,
        "connector": run.connector,
        "version": run.version,
        "digest": run.digest,
        "correlation_id": run.correlation_id,
        "subject": run.subject,
        "flow": run.flow,
        "parent": run.parent,
        "started_at": run.started_at.to_string(),
        "ended_at": run.ended_at.map(|at| at.to_string()),
        "outcome": outcome(run),
        "suspicious": run.suspicious,
        "reason": run.reason,
        "error_kind": run.error_kind,
        "detail": run.detail,
        "retry_at": run.retry_at.map(|at| at.to_string()),
        "requests": run.counts.requests,
        "pages": run.counts.pages,
        "records": run.counts.records,
    })
}

fn row_json(row: &RunRow) -> Value {
    let mut value = summary_json(&row.summary);
    value["input"] = row.input.as_deref().map_or(Value::Null, json_or_text);
    value["output"] = row.output.as_deref().map_or(Value::Null, json_or_text);
    value["attempts_total"] = attempts_total(row).into();
    value["intents_total"] = intents_total(row).into();
    value["steps"] = row
        .steps
        .iter()
        .map(|step| {
            json!({ "step": step.step, "started_at": step.started_at.to_string(),
                    "ended_at": step.ended_at.map(|at| at.to_string()),
                    "outcome": step.outcome.map(|outcome| outcome.as_str()) })
        })
        .collect();
    value["attempts"] = row
        .attempts
        .iter()
        .map(|attempt| {
            json!({ "step": attempt.step, "call": attempt.call, "attempt": attempt.attempt,
                    "started_at": attempt.started_at.to_string(),
                    "ended_at": attempt.ended_at.map(|at| at.to_string()),
                    "outcome": attempt.outcome.map(|outcome| outcome.as_str()),
                    "error_kind": attempt.error_kind, "detail": attempt.detail, "requests": attempt.requests })
        })
        .collect();
    value["intents"] = row
        .intents
        .iter()
        .map(|intent| {
            json!({ "step": intent.step, "call": intent.call, "ordinal": intent.ordinal,
                    "method": intent.method, "url": intent.url, "idempotency_key": intent.idempotency_key,
                    "proven": intent.proven, "outcome": intent.outcome })
        })
        .collect();
    value
}

/// Those that are not kept included.
fn attempts_total(row: &RunRow) -> u64 {
    row.steps.iter().map(|step| step.attempts).sum()
}

fn intents_total(row: &RunRow) -> u64 {
    row.steps.iter().map(|step| step.intents).sum()
}

/// What stands before a list that is not whole.
fn shortened(shown: usize, total: u64, of: &str) -> Option<String> {
    ((shown as u64) < total).then(|| format!("  {shown} of {total} {of}"))
}

/// A flow is of no connection; its steps are.
fn of_whom(run: &RunSummary) -> String {
    if run.connection.is_empty() { String::new() } else { format!(" of `{}`", run.connection) }
}

fn made_by(run: &RunSummary) -> String {
    let connector = format!("connector    {} {} ({})", run.connector, run.version, run.digest);
    match &run.parent {
        _ if run.connection.is_empty() => format!("steps        {}", run.digest),
        Some(parent) => {
            let flow = run.flow.as_deref().unwrap_or_default();
            format!("{connector}\nflow         {flow}: portcullis runs show {parent}")
        }
        None => connector,
    }
}

fn row_text(row: &RunRow) -> String {
    let run = &row.summary;
    let mut lines = vec![
        format!("{}  {} {}{}", run.run_id, run.kind.as_str(), output::shown_line(&run.subject), of_whom(run)),
        made_by(run),
        format!("correlation  {}", run.correlation_id),
        format!("started      {}", run.started_at),
        format!("ended        {}", run.ended_at.map_or("-".to_owned(), |at| at.to_string())),
        format!("outcome      {} {}", outcome(run), run.reason.as_deref().unwrap_or_default())
            .trim_end()
            .to_owned(),
    ];
    if let Some(detail) = &run.detail {
        lines.push(format!("detail       {}", output::shown_line(detail)));
    }
    let counts = &run.counts;
    lines.push(format!(
        "counts       {} requests, {} pages, {} records",
        counts.requests, counts.pages, counts.records
    ));
    lines.extend(shortened(row.attempts.len(), attempts_total(row), "attempts, the newest"));
    for attempt in &row.attempts {
        let outcome = attempt.outcome.map_or("open", |outcome| outcome.as_str());
        let kind = attempt.error_kind.as_deref().unwrap_or_default();
        lines.push(
            format!("  {} call {} attempt {}  {outcome} {kind}", attempt.step, attempt.call, attempt.attempt)
                .trim_end()
                .to_owned(),
        );
    }
    let of = "effects, the newest and those that are unproven";
    lines.extend(shortened(row.intents.len(), intents_total(row), of));
    for intent in &row.intents {
        let proven = if intent.proven { "answered" } else { "unproven" };
        lines.push(format!(
            "  effect {} {}  {proven} {}",
            intent.method,
            intent.url,
            intent.outcome.as_deref().unwrap_or_default()
        ));
    }
    lines.push(String::new());
    lines.push(format!("portcullis logs --run {}", run.run_id));
    lines.join("\n")
}
