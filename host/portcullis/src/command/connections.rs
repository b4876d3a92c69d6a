//! `connections`: what is stored for a connection. `forget` removes it.
use super::confirm::confirmed;
use crate::{
    approvals,
    cli::{Arguments, ConnectionsCommand, ConnectionsForget},
    config::Config,
    exit::{Exit, Failure, Result, at_database},
    output, wiring,
};
use portcullis_clock::{Clock, RealClock, RealRandom};
use portcullis_store::{Holdings, SqliteStore, Store, StoreError};
use serde_json::json;
use std::sync::Arc;

/// Runs one of them.
pub async fn run(arguments: &Arguments, command: &ConnectionsCommand) -> Result<Exit> {
    match command {
        ConnectionsCommand::Forget(options) => forget(arguments, options).await,
    }
}

async fn forget(arguments: &Arguments, options: &ConnectionsForget) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let name = &options.connection;
    let (data, of) = (config.data.clone(), name.clone());
    let stored = blocking(move || Holdings::of(&data, &of)).await?;
    if stored.is_empty() {
        if Holdings::is_unfinished(&config.data) {
            let lock = wiring::acquire(&config, arguments.wait(), &RealClock).await?;
            if blocking(move || Holdings::finish(&lock)).await? {
                output::note("what was forgotten before is out of the files now: that had been cut off");
                if config.connections.contains_key(name) {
                    return Ok(Exit::Success);
                }
            }
        }
        let message = format!("nothing is stored for a connection `{}`", output::shown_line(name));
        return Err(Failure::new(Exit::Usage, message).with_help("portcullis connectors"));
    }
    if !arguments.json {
        output::line(&text(name, &stored));
    }
    let instead = format!("portcullis connections forget {name} --yes");
    if !options.yes && !confirmed("forget it? Type `yes`:", Exit::Usage, &instead)? {
        return Err(Failure::new(Exit::Cancelled, "nothing was removed"));
    }
    let lock = wiring::acquire(&config, arguments.wait(), &RealClock).await?;
    // No run of it may stay open: who closes it then would look for what is gone.
    let store = SqliteStore::open(lock.clone(), Arc::new(RealClock), Arc::new(RealRandom));
    let store = store.map_err(|error| at_database("used", "state.db", &error))?;
    let closed = store.close_interrupted(RealClock.now()).await;
    closed.map_err(|error| at_database("used", "state.db", &error))?;
    drop(store);
    let of = name.clone();
    let forgotten = blocking(move || Holdings::forget(&lock, &of, RealClock.now())).await?;
    if arguments.json {
        output::json_line(&json!({
            "connection": name,
            "connectors": forgotten.connectors,
            "values": forgotten.values,
            "positions": forgotten.positions,
            "exchanges": forgotten.exchanges,
            "announcements": forgotten.announcements,
            "runs": forgotten.runs,
            "deliveries": forgotten.deliveries,
        }));
    } else {
        output::line(&format!("`{name}` is forgotten"));
    }
    if approvals::read_lock(&config).is_ok_and(|lock| lock.approvals.contains_key(name)) {
        output::note(&format!("what is approved for it stays: portcullis revoke {name}"));
    }
    Ok(Exit::Success)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::result::Result<T, StoreError> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| Failure::fault("the store failed").because(&error))?;
    done.map_err(|error| Failure::fault("the databases can't be used").because(&error))
}

fn text(name: &str, stored: &Holdings) -> String {
    let rows = [
        ("values of its state", stored.values),
        ("positions of its readers", stored.positions),
        ("exchanges", stored.exchanges),
        ("announced ends of endpoints", stored.announcements),
        ("deliveries with their events", stored.deliveries),
        ("runs, of which stays that they were, and how they ended", stored.runs),
    ];
    let mut lines = vec![format!("stored for `{name}` ({}):", stored.connectors.join(", "))];
    lines.extend(rows.iter().map(|(what, count)| format!("{count:>9}  {what}")));
    lines.join("\n")
}
