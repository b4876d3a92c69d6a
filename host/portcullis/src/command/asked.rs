//! What a command asks of the process that holds the data folder: by its control socket where `serve` runs, else done here, under the
//! lock. There is never a second writer.
use crate::{
    cli::Arguments,
    config::Config,
    exit::{Exit, Failure, Result, at_database},
    output, wiring,
};
use portcullis_clock::{Clock, RealClock, RealRandom};
use portcullis_engine::Flows;
use portcullis_server::{Answered, Asked, ask};
use portcullis_store::{DataLock, LockError, SqliteStore, Store, StoreError};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Where `serve` is asked.
pub fn socket(config: &Config) -> PathBuf {
    config.data.join("portcullis.sock")
}

/// What a `serve` says of itself.
pub struct Serving {
    /// It accepts deliveries.
    pub ready: bool,
    /// Routes that are not as they should be, and why.
    pub not_ready: BTreeMap<String, String>,
}

/// None where none answers.
pub async fn serving(config: &Config) -> Option<Serving> {
    match ask(&socket(config), &Asked::Status {}).await {
        Ok(Answered::Status { ready, not_ready }) => Some(Serving { ready, not_ready }),
        Ok(Answered::Done | Answered::Begun { .. } | Answered::Refused { .. }) | Err(_) => None,
    }
}

/// `reload`: only a process that runs has something to read anew.
pub async fn reload(arguments: &Arguments) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    match ask(&socket(&config), &Asked::Reload {}).await {
        Ok(answered) => told(answered)?,
        Err(error) => {
            return Err(Failure::fault("no `serve` answers").because(&error).with_help("portcullis serve"));
        }
    }
    output::note("read anew");
    Ok(Exit::Success)
}

/// Who decides on dead deliveries: whoever writes.
pub enum Decider {
    /// A `serve` that runs, by its socket.
    Serve(PathBuf),
    /// This process, under the lock.
    Ours(SqliteStore),
}

impl Decider {
    /// Wherever the writer is.
    pub async fn of(arguments: &Arguments, config: &Config) -> Result<Self> {
        // Where it is ours, or of a command that ends, it is taken below, with the wait that was asked for.
        if let Writer::Serve(socket) = writer(config).await {
            return Ok(Self::Serve(socket));
        }
        let lock = wiring::acquire(config, arguments.wait(), &RealClock).await?;
        let store = SqliteStore::open(lock, Arc::new(RealClock), Arc::new(RealRandom));
        Ok(Self::Ours(store.map_err(|error| at_database("used", "state.db", &error))?))
    }

    /// Lets one wait again, or gives it up.
    pub async fn decide(&self, delivery: &str, replay: bool) -> Result<()> {
        let answered = match self {
            Self::Ours(store) => decided(store, delivery, replay).await,
            Self::Serve(socket) => {
                let delivery = delivery.to_owned();
                let asked = if replay { Asked::Replay { delivery } } else { Asked::Discard { delivery } };
                of(socket, &asked).await?
            }
        };
        told(answered)
    }

    /// Where a reader goes on.
    pub async fn decide_position(&self, wanted: Wanted) -> Result<()> {
        let answered = match self {
            Self::Ours(store) => decided_position(store, &wanted).await,
            Self::Serve(socket) => {
                let Wanted { connection, reader, stream, checkpoint } = wanted;
                of(socket, &Asked::Position { connection, reader, stream, checkpoint }).await?
            }
        };
        told(answered)
    }

    /// The same of a run of a flow, which is tried by the steps that the config has now.
    pub async fn decide_run(&self, flows: &Flows, run: &str, replay: bool) -> Result<()> {
        let answered = match self {
            Self::Ours(store) => decided_run(store, flows, run, replay).await,
            Self::Serve(socket) => {
                let run = run.to_owned();
                let asked = if replay { Asked::ReplayRun { run } } else { Asked::DiscardRun { run } };
                of(socket, &asked).await?
            }
        };
        told(answered)
    }
}

/// Where a reader is to go on.
pub struct Wanted {
    /// The connection's name.
    pub connection: String,
    /// Its reader.
    pub reader: String,
    /// The stream.
    pub stream: String,
    /// JSON text; none = the start.
    pub checkpoint: Option<String>,
}

/// A person's word on it, by whoever writes.
pub async fn decided_position(store: &dyn Store, wanted: &Wanted) -> Answered {
    let Wanted { connection, reader, stream, checkpoint } = wanted;
    let now = RealClock.now();
    let decided = store.decide_position(connection, reader, stream, checkpoint.as_deref(), now).await;
    let named = [connection, reader, stream].map(|name| output::shown_line(name));
    let [connection, reader, stream] = &named;
    let refused = |message: String, help: &str| Answered::Refused { message, help: Some(help.to_owned()) };
    match decided {
        Ok(true) => {
            let kind = if checkpoint.is_some() { "position-set" } else { "position-reset" };
            match store.audit(kind, &named.join("/"), "{}", now).await {
                Ok(()) => Answered::Done,
                Err(error) => Answered::Refused { message: format!("the store failed: {error}"), help: None },
            }
        }
        Ok(false) => refused(
            format!("the reader `{reader}` has no position in `{stream}` of `{connection}`"),
            "portcullis positions",
        ),
        Err(StoreError::Conflict { .. }) => refused(
            format!(
                "`{reader}` is in the midst of `{stream}` of `{connection}`: its run goes on where it is"
            ),
            "wait for the run to end, or give it up with `portcullis runs discard RUN`",
        ),
        Err(error) => Answered::Refused { message: format!("the store failed: {error}"), help: None },
    }
}

/// What a `serve` answers.
pub async fn of(socket: &Path, asked: &Asked) -> Result<Answered> {
    ask(socket, asked).await.map_err(|error| Failure::fault("`serve` does not answer").because(&error))
}

/// Who writes.
pub enum Writer {
    /// A `serve` that runs, by its socket.
    Serve(PathBuf),
    /// Nobody, or a command that ends.
    Nobody,
}

/// Looks who has the data folder.
pub async fn writer(config: &Config) -> Writer {
    match DataLock::acquire(&config.data, Duration::ZERO, &RealClock).await {
        Err(LockError::Held { .. }) if socket(config).exists() => Writer::Serve(socket(config)),
        Ok(_) | Err(_) => Writer::Nobody,
    }
}

/// The decision, by whoever writes.
pub async fn decided(store: &dyn Store, delivery: &str, replay: bool) -> Answered {
    let now = RealClock.now();
    let refused = |message: String, help: Option<String>| Answered::Refused { message, help };
    let failed = |error: StoreError| refused(format!("the store failed: {error}"), None);
    match store.decide_delivery(delivery, replay, now).await {
        Ok(true) => {
            let kind = if replay { "delivery-replayed" } else { "delivery-discarded" };
            match store.audit(kind, delivery, "{}", now).await {
                Ok(()) => Answered::Done,
                Err(error) => failed(error),
            }
        }
        Ok(false) => {
            let message = format!("`{}` is not dead: nothing was changed", output::shown_line(delivery));
            refused(message, Some("portcullis deliveries --state dead".to_owned()))
        }
        Err(error) => failed(error),
    }
}

/// The decision on a run of a flow, by whoever writes.
pub async fn decided_run(store: &dyn Store, flows: &Flows, run: &str, replay: bool) -> Answered {
    let now = RealClock.now();
    let refused = |message: String, help: &str| Answered::Refused { message, help: Some(help.to_owned()) };
    let failed =
        |error: StoreError| Answered::Refused { message: format!("the store failed: {error}"), help: None };
    let shown = output::shown_line(run);
    let flow = match store.flow_run(run).await {
        Ok(Some(found)) => found.flow,
        // Records that a stream's run could not write are given up by that, too.
        Ok(None) if !replay && matches!(store.sync(run).await, Ok(Some(_))) => String::new(),
        Ok(None) => {
            return refused(
                format!("`{shown}` is no run of a flow"),
                "portcullis runs --outcome dead-lettered",
            );
        }
        Err(error) => return failed(error),
    };
    let steps = match (replay, flows.get(&flow)) {
        (false, _) => None,
        (true, Some(flow)) => Some(flow.stored_steps()),
        (true, None) => {
            let message =
                format!("`{shown}` is of the flow `{flow}`, which the config does not have any more");
            return refused(message, "put the flow back, or give the run up: portcullis runs discard");
        }
    };
    match store.decide_flow_run(run, steps.as_deref(), now).await {
        Ok(true) => {
            let kind = if replay { "run-replayed" } else { "run-discarded" };
            match store.audit(kind, run, "{}", now).await {
                Ok(()) => Answered::Done,
                Err(error) => failed(error),
            }
        }
        Ok(false) => refused(
            format!("`{shown}` is not dead, and no record waits of it: nothing was changed"),
            "portcullis runs --outcome dead-lettered",
        ),
        Err(error) => failed(error),
    }
}

/// What was answered, to whoever asked.
pub fn told(answered: Answered) -> Result<()> {
    match answered {
        Answered::Done | Answered::Begun { .. } | Answered::Status { .. } => Ok(()),
        Answered::Refused { message, help } => {
            let failure = Failure::new(Exit::Usage, message);
            Err(match help {
                Some(help) => failure.with_help(help),
                None => failure,
            })
        }
    }
}
