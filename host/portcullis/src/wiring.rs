//! Joins the crates: adapters for their ports, and the host that holds them for the time of one command.

mod caller;
pub mod connections;
mod exchanges;
pub mod explain;
mod intents;
mod logs;
mod rehearsal;
pub mod routes;
mod scratch;
mod state;
mod transform;

use crate::{
    config::Config,
    exit::{Exit, Failure, Result, at_database},
};
pub use caller::operation;
pub use connections::refuse_differences;
use connections::{Loaded, Loader};
use portcullis_clock::{Clock, Random, RealClock, RealRandom};
use portcullis_egress::{Egress, ExchangeSink};
use portcullis_engine::Engine;
use portcullis_manifest::connector::Webhook;
use portcullis_runtime::{Runtime, RuntimeSettings};
use portcullis_store::{DataLock, ExchangeLog, Holdings, LockError, SqliteStore, Store, StoreError};
pub use rehearsal::{Rehearsal, Rehearsed, StandIns, UNANSWERED};
pub use scratch::Scratch;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Notify, OnceCell, watch};
use transform::Programs;

/// Instances that may live at once in one process, far below what `vm.max_map_count` lets the machine map.
pub const INSTANCES_MAX: u32 = 256;

/// Looks for old history to remove, before something else goes on.
const PRUNE_ROUNDS: u32 = 20;

/// Everything a running command holds.
pub struct Host {
    /// What happens next.
    pub engine: Arc<Engine>,
    /// What was.
    pub store: Arc<dyn Store>,
    loader: Arc<Loader>,
    exchanges: Arc<ExchangeLog>,
    egress: Arc<Egress>,
    runtime: Arc<Runtime>,
    programs: Arc<Programs>,
    /// Told when a run of a flow was stored.
    begun: Arc<Notify>,
}

impl Host {
    /// Opens the data folder for writing and closes the runs that a crash left open.
    pub async fn open(config_file: &Path, wait: Duration) -> Result<Self> {
        Self::open_beside(config_file, wait, None).await
    }

    /// The same, with somebody who sees each exchange as it ends.
    pub async fn open_beside(
        config_file: &Path,
        wait: Duration,
        beside: Option<Arc<dyn ExchangeSink>>,
    ) -> Result<Self> {
        Self::with(Arc::new(Config::read(config_file)?), wait, beside).await
    }

    /// The same of a config that was read.
    pub async fn with(
        config: Arc<Config>,
        wait: Duration,
        beside: Option<Arc<dyn ExchangeSink>>,
    ) -> Result<Self> {
        let runtime = runtime(&config.data)?;
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let random: Arc<dyn Random> = Arc::new(RealRandom);
        let data = acquire(&config, wait, &*clock).await?;
        // Somebody was told that it is gone.
        let held = data.clone();
        let finished = tokio::task::spawn_blocking(move || Holdings::finish(&held)).await;
        match finished.map_err(|error| Failure::fault("the store failed").because(&error))? {
            Ok(true) => tracing::info!("what was forgotten before is out of the files now"),
            Ok(false) => {}
            // It is tried again by whoever writes next.
            Err(error) => tracing::warn!(%error, "what was forgotten before may still lie in the files"),
        }
        // Under the lock: no run is under way that could still need it.
        let spool = portcullis_runtime::spool_folder(&config.data);
        portcullis_runtime::sweep(&config.data).map_err(crate::exit::at_file("clear", &spool))?;
        let store = SqliteStore::open(data.clone(), clock.clone(), random.clone());
        let store: Arc<dyn Store> = Arc::new(store.map_err(|error| at_database("used", "state.db", &error))?);
        prune(&*store, &*clock, &config).await?;
        let exchanges = ExchangeLog::open(data, clock.clone(), config.retention.exchanges);
        let exchanges = Arc::new(exchanges.map_err(|error| at_database("used", "exchanges.db", &error))?);
        let egress = Egress::new(
            clock.clone(),
            random.clone(),
            Arc::new(exchanges::Sink { log: exchanges.clone(), beside }),
            Arc::new(intents::StoredIntents::new(store.clone(), clock.clone())),
        );
        let programs =
            Arc::new(Programs { runtime: runtime.clone(), clock, random, spool, prepared: OnceCell::new() });
        let host = Self::joined(config, store, exchanges, egress, runtime, programs, Arc::new(Notify::new()));
        let closed = host
            .engine
            .start()
            .await
            .map_err(|error| Failure::fault("cannot close interrupted runs").because(&error))?;
        for run in closed {
            tracing::warn!(run = run.run_id, outcome = run.outcome.as_str(), "an interrupted run was closed");
        }
        Ok(host)
    }

    /// The same process under another config: what is under way keeps what it began with.
    pub fn over(&self, config: Arc<Config>) -> Self {
        Self::joined(
            config,
            self.store.clone(),
            self.exchanges.clone(),
            self.egress.clone(),
            self.runtime.clone(),
            self.programs.clone(),
            self.begun.clone(),
        )
    }

    fn joined(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        exchanges: Arc<ExchangeLog>,
        egress: Arc<Egress>,
        runtime: Arc<Runtime>,
        programs: Arc<Programs>,
        begun: Arc<Notify>,
    ) -> Self {
        let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(RealClock), Arc::new(RealRandom));
        let spool = portcullis_runtime::spool_folder(&config.data);
        let flows = Arc::new(config.flows.clone());
        let loader = Arc::new(Loader::new(config, store.clone(), egress.clone(), runtime.clone()));
        let caller = Arc::new(caller::RuntimeCaller {
            loader: loader.clone(),
            runtime: runtime.clone(),
            store: store.clone(),
            spool,
            clock: clock.clone(),
            random: random.clone(),
            spools: Default::default(),
        });
        let engine = Engine::new(store.clone(), caller, loader.clone(), clock, random);
        let engine = Arc::new(engine.with_flows(flows, programs.clone(), begun.clone()));
        Self { engine, store, loader, exchanges, egress, runtime, programs, begun }
    }

    /// How the vendor of a connection delivers, where its connector says so.
    pub async fn webhook(&self, connection: &str) -> Result<Option<Webhook>> {
        self.loader.load(connection).await.map(|loaded| loaded.webhook.clone())
    }

    /// Told when a run of a flow was stored.
    pub fn begun(&self) -> Arc<Notify> {
        self.begun.clone()
    }

    /// Removes history that is over its bounds.
    pub async fn prune(&self, config: &Config) -> Result<()> {
        prune(&*self.store, &RealClock, config).await
    }

    /// Loads a connection, or says in full why it may not run: the engine's port carries less. Ends when `cancelled` turns true.
    pub async fn require(&self, connection: &str, cancelled: &watch::Receiver<bool>) -> Result<()> {
        self.loaded(connection, cancelled).await.map(|_| ())
    }

    async fn loaded(&self, connection: &str, cancelled: &watch::Receiver<bool>) -> Result<Arc<Loaded>> {
        let mut cancelled = cancelled.clone();
        let stopped = async {
            if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
                // Nobody is left to say so.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            loaded = self.loader.load(connection) => loaded,
            () = stopped => {
                let message = format!("cancelled while the connection `{connection}` was made ready");
                Err(Failure::new(Exit::Cancelled, message))
            }
        }
    }

    /// The id under which rows know a connection.
    pub async fn connection_id(&self, connection: &str) -> Result<String> {
        self.loader.load(connection).await.map(|loaded| loaded.facts.connection_id.clone())
    }

    /// What masks by the secrets and sensitive names of a connection. Ends when `cancelled` turns true.
    pub async fn way_out(
        &self,
        connection: &str,
        cancelled: &watch::Receiver<bool>,
    ) -> Result<Arc<portcullis_egress::Connection>> {
        self.loaded(connection, cancelled).await.map(|loaded| loaded.egress.clone())
    }

    /// Writes what the exchange log still holds in memory.
    pub async fn close(self) {
        self.exchanges.flush().await;
    }
}

/// The pooling engine comes first: a non-dumpable process can't open its pagemap, and would lose the fast setting.
pub fn runtime(data: &Path) -> Result<Arc<Runtime>> {
    crate::files::private_folder(data)?;
    let settings = RuntimeSettings {
        cache: data.join("cache"),
        instances_max: INSTANCES_MAX,
        compile_child: (PathBuf::from(crate::OURSELVES), vec![crate::COMPILE_CHILD.to_owned()]),
    };
    let runtime = Runtime::new(settings).map_err(|error| {
        Failure::fault("cannot start the sandbox").because(&error).with_help(
            "it reserves addresses for its guests, which takes no memory: `ulimit -v unlimited`, `ulimit -d unlimited`",
        )
    })?;
    portcullis_runtime::harden_process()
        .map_err(|error| Failure::fault("cannot switch core dumps off").because(&error))?;
    Ok(runtime)
}

/// Removes old runs and deliveries. Where there are very many, the rest waits for the next time.
async fn prune(store: &dyn Store, clock: &dyn Clock, config: &Config) -> Result<()> {
    let used = |error: StoreError| at_database("used", "state.db", &error);
    let (now, runs, deliveries) = (clock.now(), config.retention.runs, config.retention.deliveries);
    for _ in 0..PRUNE_ROUNDS {
        match store.prune_runs(now.minus(runs.age), runs.bytes).await.map_err(used)? {
            0 => break,
            runs => tracing::info!(runs, "old runs were removed"),
        }
    }
    for _ in 0..PRUNE_ROUNDS {
        let pruned = store.prune_deliveries(now.minus(deliveries.age), deliveries.bytes, now).await;
        match pruned.map_err(used)? {
            0 => break,
            deliveries => tracing::info!(deliveries, "old deliveries were removed"),
        }
    }
    Ok(())
}

/// Takes the lock on the data folder.
pub async fn acquire(config: &Config, wait: Duration, clock: &dyn Clock) -> Result<Arc<DataLock>> {
    match DataLock::acquire(&config.data, wait, clock).await {
        Ok(lock) => Ok(Arc::new(lock)),
        Err(error @ LockError::Held { .. }) => Err(Failure::new(Exit::Held, error.to_string())
            .with_help("wait for it to end, or give it longer with `--wait SECONDS`")),
        Err(error) => Err(Failure::fault(format!("cannot lock `{}`", config.data.display())).because(&error)),
    }
}
