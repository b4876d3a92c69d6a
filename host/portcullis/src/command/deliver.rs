//! `deliver`: one stored webhook delivery, handed to a connector without a server.
use super::{report, withheld};
use crate::{
    cli::{Arguments, Deliver},
    delivery::{self, DOCUMENT_BYTES_MAX},
    exit::{Exit, Failure, Result},
    files, output,
    wiring::Host,
};
use portcullis_engine::{CallOptions, Delivery, RunReport};
use serde_json::{Value, json};
use std::path::Path;

/// Said with every run: what an operator must not take for a check.
const UNVERIFIED: &str =
    "no signature was verified: the delivery was read from a file, and received by nobody";

/// Hands it over.
pub async fn run(arguments: &Arguments, options: &Deliver) -> Result<Exit> {
    let delivery = read(&options.file)?;
    let host = Host::open(&arguments.config, arguments.wait()).await?;
    let cancelled = report::cancel_on_signal();
    host.require(&options.connection, &cancelled).await?;
    let call = CallOptions { correlation_id: None, cancelled: Some(cancelled) };
    let report = host.engine.deliver(&options.connection, delivery, options.dry_run, call).await;
    host.close().await;
    let report = report.map_err(report::refused)?;
    if arguments.json {
        let mut value = report::as_json(&report);
        value["signature"] = "not verified".into();
        output::json_line(&value);
        return report::told(&report);
    }
    if options.dry_run {
        withheld::show(&report);
    }
    // What follows a request that was held back is no output.
    if report.withheld.count == 0 {
        held(&report);
    }
    if report.output.is_some() || options.dry_run {
        output::note(UNVERIFIED);
    }
    report::show(arguments, &report)
}

fn read(file: &Path) -> Result<Delivery> {
    let shown = file.display();
    let bytes = files::read_given(file, DOCUMENT_BYTES_MAX)?;
    delivery::parse(&bytes).map_err(|error| {
        let failure = Failure::new(Exit::Usage, format!("`{shown}` is no delivery")).because(&error);
        failure.with_help(error.help().unwrap_or("`portcullis deliver --help` shows one"))
    })
}

/// A line of JSON for each event, and one for the reply.
fn held(report: &RunReport) {
    let Some(text) = &report.output else { return };
    let held = report::json_or_text(text);
    let events = held["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().for_each(output::json_line);
    let replied = held["reply"] != Value::Null;
    if replied {
        output::json_line(&json!({ "reply": held["reply"] }));
    }
    let reply = if replied { "a reply" } else { "no reply of its own" };
    output::note(&format!("{}, {reply}, run {}", output::count(events.len(), "event"), report.run_id));
}
