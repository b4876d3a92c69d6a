//! `serve`: takes what vendors deliver, stores it before they have their 2xx, and has it handed over, until it is told to stop.
//!
//! It begins to accept when the data folder is its own and what a crash left open is closed. SIGTERM: no more connections, requests
//! under way are answered, runs are cancelled and end in a stored state, and what they had waits again. SIGHUP and a saved config:
//! read anew, all of it or nothing; what is under way keeps what it began with.
use super::{asked, report};
use crate::{
    cli::Arguments,
    config::Config,
    exit::{Exit, Failure, Result, at_file},
    heap, output,
    watch::Watcher,
    wiring::{
        Host,
        routes::{self, NotReady},
    },
};
use portcullis_clock::{Clock, RealClock, RealRandom};
use portcullis_engine::{CallOptions, Dispatcher, FlowDispatcher};
use portcullis_ingress::{Ingress, Shared};
use portcullis_server::{Answered, Asked, Control, Health, Question, Ready, supervisor};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc, watch},
};

/// Between two looks for history that is over its bounds.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Between two looks whether something can be stored again.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// A route whose connection can't run is looked at again after this time.
const ROUTES_EVERY: Duration = Duration::from_secs(30);

/// Serves until it is told to stop.
pub async fn run(arguments: &Arguments) -> Result<Exit> {
    let (ready, readiness) = watch::channel(Ready::Starting);
    let stop = report::stop_on_signal();
    // From now on it is no reason to end, though nothing is read anew before it serves.
    let hangup = signal(SignalKind::hangup())
        .map_err(|error| Failure::fault("SIGHUP can't be heard").because(&error))?;
    // Before it reads: what is saved meanwhile is a change.
    let mut watcher = watcher(arguments);
    let config = Arc::new(Config::read(&arguments.config)?);
    watcher.also(routes::files(&config));
    let health = Health::bind(config.serve.operator, readiness).await;
    let health = health.map_err(|error| listening("serve.operator", config.serve.operator, &error))?;
    let operator = health.address().map_err(at_file("listen at", Path::new("serve.operator")))?;
    let mut host = Host::with(config.clone(), arguments.wait(), None).await?;
    let tls = routes::certificate(&config).await?.map(watch::channel);
    let (certificate, tls) = tls.map_or((None, None), |(sender, receiver)| (Some(sender), Some(receiver)));
    let found = routes::found(&config, &host).await?;
    found.warn(&BTreeMap::new(), &BTreeSet::new());
    let not_ready = found.not_ready;
    let stored = Arc::new(Notify::new());
    let (clock, random): (Arc<dyn Clock>, _) = (Arc::new(RealClock), Arc::new(RealRandom));
    let room = config.serve.backlog;
    let store = host.store.clone();
    let shared = Shared::new(store, clock.clone(), random, room, stored.clone(), found.routes);
    let shared = Arc::new(shared);
    let ingress = Ingress::bind(config.serve.ingress, tls, shared.clone()).await;
    let ingress = ingress.map_err(|error| listening("serve.ingress", config.serve.ingress, &error))?;
    let address = ingress.address().map_err(at_file("listen at", Path::new("serve.ingress")))?;
    let (engine, engines) = watch::channel(host.engine.clone());
    let flows = FlowDispatcher::new(engines.clone(), host.store.clone(), clock.clone(), host.begun());
    let dispatcher = Dispatcher::new(engines, host.store.clone(), clock.clone(), stored.clone());
    let (names, connections) = watch::channel(found.connections);

    let control = Control::bind(&asked::socket(&config));
    let control = control.map_err(at_file("listen at", &asked::socket(&config)))?;
    let (sender, questions) = mpsc::channel(1);
    let control = tokio::spawn(control.serve(sender));
    let health = tokio::spawn(health.serve());
    let accepting = tokio::spawn(ingress.serve(stop.clone()));
    let stopping = stop.clone();
    let dispatching = tokio::spawn(async move { dispatcher.run(connections, stopping).await });
    let flowing = tokio::spawn(flows.run(stop.clone()));
    drop(tokio::task::spawn_blocking(heap::give_back));
    ready.send_replace(Ready::Yes);
    announce(arguments, address, operator, &config);

    let mut served = Served {
        arguments,
        config,
        shared,
        engine,
        names,
        certificate,
        questions,
        stored,
        not_ready,
        kept: BTreeSet::new(),
        ready,
    };
    served.until(&mut host, watcher, hangup, stop).await?;
    served.ready.send_replace(Ready::Stopping);
    supervisor::stops();
    control.abort();
    let _ = tokio::join!(accepting, dispatching, flowing);
    drop(served);
    host.close().await;
    health.abort();
    output::note("stopped: what was accepted is stored");
    Ok(Exit::Success)
}

/// What may change while it serves.
struct Served<'a> {
    arguments: &'a Arguments,
    config: Arc<Config>,
    shared: Arc<Shared>,
    engine: watch::Sender<Arc<portcullis_engine::Engine>>,
    names: watch::Sender<Vec<String>>,
    certificate: Option<watch::Sender<Arc<rustls::ServerConfig>>>,
    questions: mpsc::Receiver<Question>,
    /// Told when something waits that did not.
    stored: Arc<Notify>,
    /// Routes that take nothing, and why: said once.
    not_ready: BTreeMap<String, NotReady>,
    /// Of these, those that go on with what was read before.
    kept: BTreeSet<String>,
    ready: watch::Sender<Ready>,
}

fn watcher(arguments: &Arguments) -> Watcher {
    // No connector's folder: a place without one.
    let mut watcher = Watcher::new(Path::new("/proc/self/fdinfo/none"), vec![arguments.config.clone()]);
    watcher.begin();
    watcher
}

impl Served<'_> {
    /// Looks after history, config and routes until it is to stop.
    async fn until(
        &mut self,
        host: &mut Host,
        mut watcher: Watcher,
        mut hangup: Signal,
        mut stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let (mut prune, mut look) = (tokio::time::interval(PRUNE_EVERY), tokio::time::interval(ROUTES_EVERY));
        let mut probe = tokio::time::interval(PROBE_EVERY);
        look.reset();
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                Some((asked, answer)) = self.questions.recv() => {
                    // Who asked may be gone.
                    let _ = answer.send(self.answered(host, &mut watcher, asked).await);
                }
                _ = hangup.recv() => drop(self.reload(host, &mut watcher).await),
                _ = watcher.changed(&RealClock) => drop(self.reload(host, &mut watcher).await),
                _ = look.tick() => self.look_again(host).await,
                _ = probe.tick() => self.probe(host).await,
                _ = prune.tick() => {
                    if let Err(failure) = host.prune(&self.config).await {
                        tracing::warn!(error = failure.message, "history could not be looked after");
                    }
                }
            }
        }
    }

    /// Who could not store a delivery is not ready until something can be stored.
    async fn probe(&self, host: &Host) {
        if !self.shared.fails() {
            return;
        }
        if host.store.probe().await.is_ok() {
            self.shared.recovers();
        }
        let ready = if self.shared.fails() { Ready::Failing } else { Ready::Yes };
        self.ready.send_replace(ready);
    }

    async fn answered(&mut self, host: &mut Host, watcher: &mut Watcher, asked: Asked) -> Answered {
        let (delivery, replay) = match asked {
            Asked::Run { flow, input } => {
                let begun = host.engine.begin_flow(&flow, &input, &CallOptions::default()).await;
                return match begun {
                    Ok(run) => Answered::Begun { run },
                    Err(error) => {
                        let failure = report::refused(error);
                        Answered::Refused { message: failure.line(), help: failure.help }
                    }
                };
            }
            Asked::ReplayRun { run } => return self.decided_run(host, &run, true).await,
            Asked::DiscardRun { run } => return self.decided_run(host, &run, false).await,
            Asked::Position { connection, reader, stream, checkpoint } => {
                let wanted = asked::Wanted { connection, reader, stream, checkpoint };
                return asked::decided_position(&*host.store, &wanted).await;
            }
            Asked::Status {} => {
                let why = |(route, not): (&String, &NotReady)| (route.clone(), not.why.clone());
                let ready = *self.ready.borrow() == Ready::Yes;
                return Answered::Status { ready, not_ready: self.not_ready.iter().map(why).collect() };
            }
            Asked::Replay { delivery } => (delivery, true),
            Asked::Discard { delivery } => (delivery, false),
            Asked::Reload {} => {
                return match self.reload(host, watcher).await {
                    Ok(()) => Answered::Done,
                    Err(failure) => {
                        let message = format!("nothing was changed: {}", failure.line());
                        Answered::Refused { message, help: failure.help }
                    }
                };
            }
        };
        let answered = asked::decided(&*host.store, &delivery, replay).await;
        self.stored.notify_one();
        answered
    }

    async fn decided_run(&self, host: &Host, run: &str, replay: bool) -> Answered {
        let answered = asked::decided_run(&*host.store, &self.config.flows, run, replay).await;
        host.begun().notify_one();
        answered
    }

    /// All of it, or nothing.
    async fn reload(&mut self, host: &mut Host, watcher: &mut Watcher) -> Result<()> {
        let mut next = self::watcher(self.arguments);
        supervisor::reloads();
        let read = self.read_anew(host, &mut next).await;
        // Also where nothing was changed: it serves on.
        supervisor::is_ready();
        match &read {
            Ok(()) => output::note("read anew"),
            Err(failure) => {
                output::failure(failure, self.arguments.json);
                output::note("nothing was changed: it serves on as before");
            }
        }
        next.also(routes::files(&self.config));
        *watcher = next;
        // Not waited for: nobody needs it now.
        drop(tokio::task::spawn_blocking(heap::give_back));
        read
    }

    async fn read_anew(&mut self, host: &mut Host, watcher: &mut Watcher) -> Result<()> {
        let config = Arc::new(Config::read(&self.arguments.config)?);
        watcher.also(routes::files(&config));
        for (key, now, then) in [
            ("ingress", config.serve.ingress, self.config.serve.ingress),
            ("operator", config.serve.operator, self.config.serve.operator),
        ] {
            if now != then {
                return Err(fixed(key));
            }
        }
        if config.data != self.config.data {
            return Err(
                Failure::new(Exit::Fault, "`data` is read when `serve` starts").with_help("start it again")
            );
        }
        if config.serve.certificate.is_some() != self.certificate.is_some() {
            return Err(fixed("certificate"));
        }
        let certificate = routes::certificate(&config).await?;
        let next = host.over(config.clone());
        let found = routes::found(&config, &next).await?;
        if let Some(route) = found.lost().iter().find(|route| self.takes(route)) {
            let why = found.not_ready.get(route).map(|not| output::shown_line(&not.why)).unwrap_or_default();
            return Err(Failure::fault(format!("the route `{route}` would take nothing: {why}"))
                .with_help("mend that, or take the route out of the config"));
        }
        // From here on nothing fails.
        if let (Some(sender), Some(certificate)) = (&self.certificate, certificate) {
            let _ = sender.send(certificate);
        }
        found.warn(&self.not_ready, &BTreeSet::new());
        (self.not_ready, self.kept) = (found.not_ready, BTreeSet::new());
        *host = next;
        let _ = self.engine.send(host.engine.clone());
        self.shared.replace(found.routes, &BTreeSet::new());
        let _ = self.names.send(found.connections);
        self.config = config;
        Ok(())
    }

    /// Whether a route takes something now.
    fn takes(&self, route: &str) -> bool {
        let is_ready = !self.not_ready.contains_key(route) || self.kept.contains(route);
        self.config.webhooks.contains_key(route) && is_ready
    }

    /// A connection that could not run may have been approved meanwhile.
    async fn look_again(&mut self, host: &Host) {
        match routes::found(&self.config, host).await {
            Ok(found) => {
                // What was read before is what its vendor still signs with, as far as anybody knows.
                let mut kept = found.lost();
                kept.retain(|route| self.takes(route));
                found.warn(&self.not_ready, &kept);
                self.shared.replace(found.routes, &kept);
                (self.not_ready, self.kept) = (found.not_ready, kept);
            }
            Err(failure) => tracing::warn!(error = failure.message, "routes could not be looked at"),
        }
    }
}

fn fixed(key: &str) -> Failure {
    Failure::new(Exit::Fault, format!("`serve.{key}` is read when `serve` starts"))
        .with_help("start it again")
}

fn listening(key: &str, address: SocketAddr, error: &std::io::Error) -> Failure {
    Failure::fault(format!("`{key}`: nothing can listen at {address}"))
        .because(error)
        .with_help("another process may have it: ss -ltnp")
}

/// To whoever began it, and whoever looks.
fn announce(arguments: &Arguments, ingress: SocketAddr, operator: SocketAddr, config: &Config) {
    supervisor::is_ready();
    let scheme = if config.serve.certificate.is_some() { "https" } else { "http" };
    if arguments.json {
        output::json_line(&json!({
            "event": "serving",
            "ingress": format!("{scheme}://{ingress}"),
            "operator": format!("http://{operator}"),
        }));
        return;
    }
    output::note(&format!("webhooks at {scheme}://{ingress}, health at http://{operator}/health"));
    let public = config.serve.public_url.as_deref().unwrap_or_default();
    for webhook in config.webhooks.values() {
        output::note(&format!("  {}: {public}{} → {}", webhook.name, webhook.path, webhook.connection));
    }
    if !config.flows.is_empty() {
        output::note(&format!("  {}", output::count(config.flows.len(), "flow")));
    }
}
