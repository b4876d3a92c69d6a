//! `build --watch`: builds at each change of a connector's folder. One after the other, never two at once; what is saved meanwhile is
//! built next.
use super::{build, report};
use crate::{
    cli::{Arguments, Build},
    exit::{Exit, Result},
    output,
    watch::Watcher,
};
use portcullis_clock::{Clock, RealClock};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

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
