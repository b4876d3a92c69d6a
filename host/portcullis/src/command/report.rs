//! What a run's end looks like: on the terminal, as JSON, as an exit code.
use super::withheld;
use crate::{
    cli::Arguments,
    exit::{Exit, Failure, Result},
    output,
};
use portcullis_engine::{EngineError, Outcome, RunReport};
use portcullis_manifest::diagnose::{nearest, shown};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// The exit code that belongs to an outcome.
pub fn exit(report: &RunReport) -> Exit {
    match report.outcome {
        Outcome::Succeeded if report.written.as_ref().is_some_and(|written| !written.rejected.is_empty()) => {
            Exit::Rejected
        }
        Outcome::Succeeded | Outcome::DryRun => Exit::Success,
        Outcome::Cancelled => Exit::Cancelled,
        Outcome::Unknown => Exit::Unknown,
        _ if report.retry_at.is_some() => Exit::RateLimited,
        _ => Exit::Failed,
    }
}

/// The whole report as one JSON object.
pub fn as_json(report: &RunReport) -> Value {
    let denials = report.denials.iter().map(
        |denied| json!({ "exchange": denied.exchange, "reason": denied.reason, "remedy": denied.remedy }),
    );
    json!({
        "run_id": report.run_id,
        "correlation_id": report.correlation_id,
        "outcome": report.outcome.as_str(),
        "reason": report.reason,
        "error": report.failure.as_ref().map(|failure| json!({
            "kind": failure.kind,
            "message": failure.message,
            "retry_after_ms": failure.retry_after_ms,
            "details": failure.details.as_deref().map(json_or_text),
        })),
        "retry_at": report.retry_at.map(|at| at.to_string()),
        "denials": denials.collect::<Vec<_>>(),
        "withheld": report.withheld.requests.iter().map(withheld::as_json).collect::<Vec<_>>(),
        "withheld_total": report.withheld.count,
        "output": report.output.as_deref().map(json_or_text),
        "drift": report.drift.iter().map(|fault| json!({ "pointer": fault.pointer, "message": fault.message })).collect::<Vec<_>>(),
        "requests": report.requests,
        "pages": report.pages,
        "records": report.records,
    })
}

/// A JSON text as a value with every digit kept; what is no JSON as a string.
pub fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// Tells the person what did not go well; data on stdout is the command's.
pub fn explain(report: &RunReport) {
    for fault in &report.drift {
        let what = match report.reason.as_deref() {
            Some("not-judged") => "could not be held against its schema".to_owned(),
            _ => format!("differs from its schema at `{}`", fault.place()),
        };
        output::note(&format!("warning: the output {what}: {}", fault.message));
    }
    if report.outcome == Outcome::Succeeded {
        return;
    }
    if report.outcome == Outcome::DryRun {
        denials(report);
        return;
    }
    let what = match &report.failure {
        Some(failure) => format!("{}: {}", failure.kind, output::shown_line(&failure.message)),
        None => report.reason.clone().unwrap_or_else(|| report.outcome.as_str().to_owned()),
    };
    output::note(&format!("error: the run ended as `{}`: {what}", report.outcome.as_str()));
    if report.outcome == Outcome::Unknown {
        output::note("  something that it sent may have had an effect: ask the vendor before you repeat it");
    }
    if let Some(at) = report.retry_at {
        output::note(&format!("  not before {at}"));
    }
    denials(report);
    output::note("");
    match report.denials.iter().find_map(|denied| denied.remedy.as_ref()) {
        Some(remedy) => output::note(&format!("hint: to allow it:\n\n{remedy}\n")),
        None => output::note(&format!("hint: portcullis logs --run {}", report.run_id)),
    }
}

fn denials(report: &RunReport) {
    for denied in &report.denials {
        output::note(&format!("  denied `{}`: {}", denied.exchange, denied.reason));
    }
}

/// An engine's refusal in words.
pub fn refused(error: EngineError) -> Failure {
    let message = error.to_string();
    match error {
        EngineError::Refused { help, .. } => {
            let failure = Failure::new(Exit::Fault, message);
            match help {
                Some(help) => failure.with_help(help),
                None => failure,
            }
        }
        EngineError::NoSuchAction { known, .. }
        | EngineError::NoSuchStream { known, .. }
        | EngineError::NoSuchFlow { known, .. } => {
            Failure::new(Exit::Usage, message).with_help(format!("it has {}", known.join(", ")))
        }
        EngineError::InvalidInput { faults, .. } => {
            let mut failure = Failure::new(Exit::Usage, message);
            let line = |fault: portcullis_engine::Fault| {
                let pointer = if fault.pointer.is_empty() {
                    "the whole input".to_owned()
                } else {
                    format!("`{}`", fault.place())
                };
                let near =
                    near_property(&fault).map_or(String::new(), |near| format!(", did you mean `{near}`?"));
                format!("{pointer}: {}{near}", fault.message)
            };
            failure.causes = faults.into_iter().map(line).collect();
            failure
        }
        EngineError::NoPrimaryKey { .. } => Failure::new(Exit::Usage, message)
            .with_help("name the properties that name a record: `--primary-key id`"),
        EngineError::NoSuchRole { .. }
        | EngineError::InputTooLarge { .. }
        | EngineError::ReaderHasFile { .. } => Failure::new(Exit::Usage, message),
        EngineError::Cancelled(_) => Failure::new(Exit::Cancelled, message).with_help("nothing was run"),
        EngineError::Sink(error) => Failure::fault(message).because(&error),
        EngineError::Store(error) => Failure::fault(message).because(&error),
        EngineError::LeftOpen { run_id, possible_effect, source } => {
            left_open(message, &run_id, possible_effect, &*source)
        }
        other => Failure::fault(other.to_string()),
    }
}

/// The name that stands in the schema and was most likely meant.
pub fn near_property(fault: &portcullis_engine::Fault) -> Option<String> {
    let name = fault.pointer.rsplit('/').next()?.replace("~1", "/").replace("~0", "~");
    nearest(&name, fault.known.iter().map(String::as_str)).map(shown)
}

/// A run that has an end neither in the store nor in a report.
fn left_open(
    message: String,
    run_id: &str,
    possible_effect: bool,
    source: &(dyn std::error::Error + 'static),
) -> Failure {
    let (exit, what) = if possible_effect {
        let what = "something that it sent may have had an effect: ask the vendor before you repeat it. The next `check`, \
                    `call` or `read` closes it as `unknown`";
        (Exit::Unknown, what)
    } else {
        (
            Exit::Fault,
            "nothing that it sent can have had an effect. The next `check`, `call` or `read` closes it",
        )
    };
    Failure::new(exit, message)
        .of_run(run_id)
        .because(source)
        .with_help(format!("{what}; then: portcullis runs show {run_id}"))
}

/// Turns true at Ctrl-C, Ctrl-\, SIGTERM and at the end of the terminal: the run ends in a stored state instead of in the
/// middle. What whoever started the process ignores (`nohup`) stays ignored.
pub fn cancel_on_signal() -> watch::Receiver<bool> {
    true_on(&[SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate(), SignalKind::hangup()])
}

/// The same for what goes on by itself: to it, SIGHUP says something else.
pub fn stop_on_signal() -> watch::Receiver<bool> {
    true_on(&[SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()])
}

fn true_on(signals: &[SignalKind]) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let sender = Arc::new(sender);
    // Where all are ignored, nothing is sent; it must not look as if nobody were left to send it.
    let held = Arc::clone(&sender);
    tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(held);
    });
    let ignored = ignored_signals();
    for kind in signals.iter().copied() {
        if ignored & (1 << (kind.as_raw_value() - 1)) != 0 {
            continue;
        }
        // Heard from here on: a signal before the task below runs is not lost.
        let Ok(mut heard) = signal(kind) else { continue };
        let sender = Arc::clone(&sender);
        tokio::spawn(async move {
            heard.recv().await;
            // Nobody listens where the run has ended already.
            let _ = sender.send(true);
        });
    }
    receiver
}

/// The mask of the signals that this process ignores; none where the kernel does not say.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The exit code, where stdout took what was said of the run; the run is over in any case.
pub fn told(report: &RunReport) -> Result<Exit> {
    let ended = exit(report);
    output::delivered().map(|()| ended).map_err(|lost| {
        let (run, outcome) = (&report.run_id, report.outcome.as_str());
        Failure {
            exit: if ended == Exit::Success { lost.exit } else { ended },
            message: format!("the run `{run}` ended as `{outcome}`, but stdout can't be written"),
            ..lost
        }
        .of_run(run)
        .with_help(format!("do not repeat it for its output: portcullis --json runs show {run}"))
    })
}

/// Prints the report as JSON, or explains it.
pub fn show(arguments: &Arguments, report: &RunReport) -> Result<Exit> {
    if arguments.json {
        output::json_line(&as_json(report));
    } else {
        explain(report);
    }
    told(report)
}
