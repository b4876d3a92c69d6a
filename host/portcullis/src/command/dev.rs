//! `dev` and `build --watch`: build at each change of a connector's folder, then play or run one thing, and show what became of it.
//! One after the other, never two at once; what is saved meanwhile is built next. Ctrl-C ends it, and a run that is under way as
//! any other run is ended.
mod live;
mod plays;
mod sample;
mod shown;

use super::{build, live::Wanted, report};
use crate::{
    cli::{Arguments, Build, Dev},
    exit::{Exit, Failure, Result},
    output,
    watch::Watcher,
};
use portcullis_clock::{Clock, RealClock};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// `dev`
pub async fn run(arguments: &Arguments, options: &Dev) -> Result<Exit> {
    let wanted = Wanted::of(&options.run)?;
    let mut stop = report::cancel_on_signal();
    match (&options.connection, wanted) {
        (None, None) if options.deliver.is_some() => {
            let mut sample = sample::Samples::new(arguments, options);
            let mut watcher = Watcher::new(&options.dir, sample.files());
            while next(&mut watcher, &options.dir, &mut stop).await {
                let handed = sample.round(&mut stop).await;
                told(arguments, handed);
            }
        }
        (None, None) => {
            let mut plays = plays::Plays::new(arguments, options);
            let mut watcher = Watcher::new(&options.dir, Vec::new());
            while next(&mut watcher, &options.dir, &mut stop).await {
                let played = plays.round(&mut stop).await;
                told(arguments, played);
            }
        }
        (Some(connection), wanted) if wanted.is_some() || options.deliver.is_some() => {
            let mut live = live::Live::new(arguments, options, connection);
            let mut watcher = Watcher::new(&options.dir, live.files());
            while next(&mut watcher, &options.dir, &mut stop).await {
                let ran = live.round(&mut watcher, &mut stop).await;
                told(arguments, ran);
            }
        }
        (None, Some(_)) => {
            return Err(Failure::new(Exit::Usage, "`--action`, `--stream` and `--check` need a connection")
                .with_help("add `--connection CONNECTION`, or leave them out: then cassettes are played"));
        }
        (Some(_), _) => {
            return Err(Failure::new(Exit::Usage, "`--connection` is there, and nothing to run")
                .with_help("add `--stream NAME`, `--action NAME --input JSON`, `--deliver` or `--check`"));
        }
    }
    Ok(Exit::Success)
}

/// `build --watch`
pub async fn build(arguments: &Arguments, options: &Build) -> Result<Exit> {
    let mut stop = report::cancel_on_signal();
    let mut watcher = Watcher::new(&options.dir, Vec::new());
    while next(&mut watcher, &options.dir, &mut stop).await {
        let built = build_once(arguments, options, &mut stop).await;
        told(arguments, built);
    }
    Ok(Exit::Success)
}

async fn build_once(arguments: &Arguments, options: &Build, stop: &mut watch::Receiver<bool>) -> Result<()> {
    let began = RealClock.monotonic();
    let Some(built) = build::built_until(&options.dir, stop).await? else { return Ok(()) };
    build::put(arguments, options, &built.package(&options.dir)?, began)
}

/// What a round failed with is said, and the next change begins another.
fn told(arguments: &Arguments, round: Result<()>) {
    if let Err(failure) = round {
        // Its code is for a command that ends.
        let _ = output::failure(&failure, arguments.json);
    }
}

/// Waits for what begins a round: at first nothing. False where it is over.
async fn next(watcher: &mut Watcher, dir: &Path, stop: &mut watch::Receiver<bool>) -> bool {
    if watcher.has_begun() {
        if *stop.borrow() || output::is_closed() {
            return false;
        }
        output::note(&format!("\nwatching `{}`, until Ctrl-C", dir.display()));
        tokio::select! {
            changed = watcher.changed(&RealClock) => output::note(&format!("changed: {}", names(&changed, dir))),
            _ = stop.wait_for(|stopped| *stopped) => return false,
        }
    }
    watcher.begin();
    true
}

/// The first few.
fn names(changed: &[PathBuf], dir: &Path) -> String {
    const SHOWN: usize = 3;
    let name = |path: &PathBuf| path.strip_prefix(dir).unwrap_or(path).display().to_string();
    let mut names: Vec<String> = changed.iter().take(SHOWN).map(name).collect();
    if changed.len() > SHOWN {
        names.push(format!("{} more", changed.len() - SHOWN));
    }
    names.join(", ")
}
