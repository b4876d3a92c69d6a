//! `demo`: the whole product at work, offline, in steps that a person can read. Each step is checked against what the vendor
//! double received on the wire, outside the product; a step that does not show what it claims ends the command with a failure.

pub mod double;
mod folder;
mod keep;
mod stage;
mod steps;

use crate::{
    cli,
    exit::{Exit, Failure, Result},
    output,
};
use serde_json::json;
use stage::Stage;
use std::path::Path;

/// The connectors that the demo runs, built and embedded by the build script.
const STRIPE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stripe.wasm"));
const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// Runs all steps.
pub fn run(options: &cli::Demo, as_json: bool) -> Result<Exit> {
    match &options.keep {
        Some(dir) => {
            folder::refuse_foreign(dir)?;
            crate::command::block_on(play(dir, as_json, true))
        }
        None => {
            let folder = tempfile::Builder::new().prefix("portcullis-demo-").tempdir();
            let folder = folder.map_err(|error| Failure::fault("no temporary folder").because(&error))?;
            crate::command::block_on(play(folder.path(), as_json, false))
        }
    }
}

async fn play(folder: &Path, as_json: bool, keep: bool) -> Result<Exit> {
    let mut stage = Stage::set(folder).await?;
    let mut failed = 0u32;
    for (number, step) in steps::ALL.iter().enumerate() {
        let shown = (step.play)(&mut stage).await;
        failed += u32::from(shown.is_err());
        tell(number + 1, step.title, &shown, as_json);
    }
    stage.close_host().await;
    if as_json {
        output::json_line(&json!({ "steps": steps::ALL.len(), "failed": failed }));
    } else {
        output::line(&format!(
            "\n{} of {} steps showed what they claim",
            steps::ALL.len() - failed as usize,
            steps::ALL.len()
        ));
    }
    if keep && failed == 0 {
        keep::until_interrupted(&stage, as_json).await;
    }
    stage.stop().await;
    Ok(if failed == 0 { Exit::Success } else { Exit::Failed })
}

/// What a step found, or why it did not show what it claims.
type Shown = anyhow::Result<Vec<String>>;

fn tell(number: usize, title: &str, shown: &Shown, as_json: bool) {
    let (status, lines) = match shown {
        Ok(lines) => ("ok", lines.clone()),
        Err(why) => ("failed", vec![format!("{why:#}")]),
    };
    if as_json {
        output::json_line(&json!({ "step": number, "title": title, "status": status, "shown": lines }));
        return;
    }
    output::line(&format!("\n{number:>2}. {title}"));
    for line in &lines {
        output::line(&format!("    {}", line.replace('\n', "\n    ")));
    }
    output::line(&format!("    [{status}]"));
}
