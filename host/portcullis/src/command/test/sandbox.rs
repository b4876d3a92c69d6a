//! Where a cassette is played: the real sandbox and the real pipeline, over a vendor on loopback, with a clock that stands, seeded
//! randomness, and nothing kept.
use crate::{
    cassette::{
        Called, Cassette,
        player::{MADE_UP, Player},
    },
    config::pinned::origins::Narrowed,
    exit::{Failure, Result, at_file},
    registry::Package,
    wiring::{Scratch, runtime},
};
use async_trait::async_trait;
use portcullis_clock::{Clock, SeededClock, SeededRandom};
use portcullis_egress::{
    CallContext, Capture, ConnectionSettings, Egress, Exchange, ExchangeSink, Intent, IntentEnd, IntentError,
    Intents, NetworkSettings, Prior, Roots,
};
use portcullis_engine::ANY_NAME;
use portcullis_grants::{AddressPolicy, Grants, OperatorRules, Rule};
use portcullis_manifest::{Component, Connector};
use portcullis_runtime::{
    CallError, CallSettings, Entry, Folder, Limits, LogLevel, Logs, Operation, Output, Prepared, Runtime,
    Spool, State, StorageError,
};
use portcullis_secrets::{Credential, Providers, Scheme, UserName};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Bytes of blobs that a test may hold.
const SPOOL_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// What the host itself waits for, at most.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A compiled connector.
pub struct Sandbox {
    /// What was built.
    pub component: Component,
    runtime: Arc<Runtime>,
    prepared: Arc<Prepared>,
    folder: tempfile::TempDir,
}

/// What the world gives a connector that it can't choose.
#[derive(Clone, Copy)]
pub struct Chance {
    seed: [u8; 32],
    /// After the moment at which the clock usually stands.
    later: Duration,
}

impl Chance {
    /// The same for every play that is compared with what a cassette says.
    pub const USUAL: Self = Self { seed: [7; 32], later: Duration::ZERO };
    /// Other randomness, by which the order of a map is another one too: a small map has few, so it is tried more than once.
    pub const OTHER_RANDOMNESS: [Self; 3] = [
        Self { seed: [11; 32], ..Self::USUAL },
        Self { seed: [23; 32], ..Self::USUAL },
        Self { seed: [42; 32], ..Self::USUAL },
    ];
    /// In another year, month and week, at another time of the day.
    pub const LATER: Self = Self { later: Duration::from_secs(400 * 24 * 3600 + 4321), ..Self::USUAL };

    fn clock(self) -> Arc<dyn Clock> {
        let start = SeededClock::default().now();
        Arc::new(SeededClock::new(start.plus(self.later)))
    }
}

/// One cassette's connection. Each call of it begins afresh but for what the connector stored.
pub struct Connected<'s> {
    sandbox: &'s Sandbox,
    connection: Arc<portcullis_egress::Connection>,
    narrowed: Narrowed,
    config: String,
    call: Called,
    rows: Arc<Rows>,
    meant: Arc<Meant>,
    state: Arc<dyn State>,
    folders: Arc<BTreeMap<String, Arc<Folder>>>,
    seed: [u8; 32],
    clock: Arc<dyn Clock>,
    cancel: tokio::sync::watch::Sender<bool>,
}

/// What a call may reach.
struct Surroundings {
    egress: Option<Arc<portcullis_egress::Call>>,
    state: Arc<dyn State>,
    logs: Arc<dyn Logs>,
    folders: Arc<BTreeMap<String, Arc<Folder>>>,
    seed: [u8; 32],
    clock: Arc<dyn Clock>,
    cancelled: tokio::sync::watch::Receiver<bool>,
}

/// What came of one call, and what it did on the way.
pub struct Ended {
    /// The result.
    pub result: std::result::Result<Output, CallError>,
    /// Requests that left or were refused, in order.
    pub exchanges: Vec<Exchange>,
    /// Hashes of the requests that were meant to have an effect, in the order in which the connector made them.
    pub meant: Vec<String>,
    /// What it logged, a line each, fields included.
    pub logged: Vec<String>,
}

impl Sandbox {
    /// Compiles what was built.
    pub async fn new(package: Package) -> Result<Self> {
        Self::of(&package.bytes, package.component).await
    }

    /// The same of bytes that are somebody else's.
    pub async fn of(bytes: &[u8], component: Component) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(at_file("create", Path::new("a temporary folder")))?;
        let runtime = runtime(folder.path())?;
        let code =
            Component::code(bytes).map_err(|error| Failure::fault("the build is damaged").because(&error))?;
        let capabilities = &component.manifest.capabilities;
        let prepared = runtime.prepare_with(&component.code_digest, &code, capabilities).await;
        let prepared =
            prepared.map_err(|error| Failure::fault("the connector can't be compiled").because(&error))?;
        Ok(Self { component, runtime, prepared, folder })
    }

    /// One call of what reaches nothing: no network, no state, no file.
    pub async fn alone(&self, operation: Operation) -> std::result::Result<Output, CallError> {
        let (_open, cancelled) = tokio::sync::watch::channel(false);
        let settings = self.settings_of_a_call(Surroundings {
            egress: None,
            state: Arc::new(Scratch::over(Empty)),
            logs: Arc::new(Lines::default()),
            folders: Arc::default(),
            seed: Chance::USUAL.seed,
            clock: Chance::USUAL.clock(),
            cancelled,
        });
        self.runtime.call(&self.prepared, settings, operation).await.0
    }

    fn settings_of_a_call(&self, around: Surroundings) -> CallSettings {
        let limits = crate::config::Limits::default();
        let spool = self.folder.path().join("spool");
        CallSettings {
            limits: Limits {
                memory_bytes_max: limits.memory_bytes_max,
                timeout: limits.timeout,
                cpu: limits.cpu,
                log_bytes_max: limits.log_bytes_max,
            },
            egress: around.egress,
            state: around.state,
            spool: Spool::new(spool, SPOOL_BYTES_MAX, Arc::new(SeededRandom::new(2))),
            logs: around.logs,
            assets: Arc::new(self.component.assets.clone()),
            folders: around.folders,
            seed: around.seed,
            clock: around.clock,
            debt: Arc::default(),
            cancelled: around.cancelled,
        }
    }

    /// A connection for this cassette, whose every host is the player's.
    pub fn connect(&self, cassette: &Cassette, player: &Player, chance: Chance) -> Result<Connected<'_>> {
        let clock = chance.clock();
        let random = Arc::new(SeededRandom::new(1));
        let (rows, meant) = (Arc::new(Rows::default()), Arc::new(Meant::default()));
        let egress = Egress::new(clock.clone(), random, rows.clone(), meant.clone());
        let settings = self.settings(cassette, player)?;
        let connection = egress.connection(settings).map_err(|error| {
            Failure::fault(format!("`{}` can't be connected", cassette.file.display())).because(&error)
        })?;
        Ok(Connected {
            sandbox: self,
            connection,
            narrowed: Narrowed::of(&self.component.manifest, &cassette.origins)?,
            config: cassette.config.to_string(),
            call: cassette.call.clone(),
            rows,
            meant,
            state: Arc::new(Scratch::over(Empty)),
            folders: Arc::new(self.folders()?),
            seed: chance.seed,
            clock,
            cancel: tokio::sync::watch::channel(false).0,
        })
    }

    /// Everything that the manifest asks for is granted; every slot has a credential.
    fn settings(&self, cassette: &Cassette, player: &Player) -> Result<ConnectionSettings> {
        let manifest = &self.component.manifest;
        let origins = &cassette.origins;
        let rules = manifest.rules.iter().map(|rule| rule.expand(origins));
        let named = manifest.from_response.iter().map(|from| from.expand(origins));
        let missing = |error: portcullis_grants::ExpandError| {
            Failure::fault(format!("`{}`: {error}", cassette.file.display()))
                .with_help(format!("origins = {{ {} = \"https://HOST\" }}", error.name()))
        };
        let rules = rules.collect::<std::result::Result<Vec<_>, _>>().map_err(missing)?;
        let named = named.collect::<std::result::Result<Vec<_>, _>>().map_err(missing)?;
        let grants = Grants::new(rules, OperatorRules::Requested)
            .and_then(|grants| grants.with_from_response(named))
            .map_err(|error| Failure::fault("the manifest's rules disagree").because(&error))?;
        let hosts = cassette.hosts()?;
        let address = player.address();
        let to = |host: String| ((host, 443), (address.ip().to_string(), address.port()));
        let loopback = AddressPolicy::new(vec![ipnet::IpNet::from(address.ip())])
            .map_err(|error| Failure::fault("loopback can't be dialled").because(&error))?;
        Ok(ConnectionSettings {
            name: "test".to_owned(),
            connection_id: "conn_test".to_owned(),
            connector: manifest.name.to_string(),
            connector_version: manifest.version.to_string(),
            grants,
            credentials: credentials(manifest, self.folder.path())?,
            providers: Providers::new(self.folder.path().to_owned(), BTreeMap::new()),
            network: NetworkSettings {
                connect_to: hosts.into_iter().map(to).collect(),
                ca_pem: Some(player.authority().as_bytes().to_vec()),
                addresses: loopback,
                roots: Roots::Bundled,
                mapped_alone: true,
            },
            sensitive: Vec::new(),
            capture: Capture::None,
            timeout: TIMEOUT,
            response_bytes_max: crate::config::Limits::default().response_bytes_max,
            streamed_bytes_max: SPOOL_BYTES_MAX,
            requests_max: crate::config::Limits::default().requests_max,
            bytes_out_max: SPOOL_BYTES_MAX,
            revoked: Arc::new(|| false),
        })
    }

    /// An empty folder for each that is requested.
    fn folders(&self) -> Result<BTreeMap<String, Arc<Folder>>> {
        let mut open = BTreeMap::new();
        for (name, requested) in &self.component.manifest.folders {
            let path = self.folder.path().join("folders").join(name);
            fs::create_dir_all(&path).map_err(at_file("create", &path))?;
            let folder = Folder::open(&path, requested.access).map_err(at_file("open folder", &path))?;
            open.insert(name.clone(), Arc::new(folder));
        }
        Ok(open)
    }
}

/// A made-up secret for each slot, in the first scheme that its author names and this version has.
fn credentials(manifest: &Connector, folder: &Path) -> Result<BTreeMap<String, Credential>> {
    let mut credentials = BTreeMap::new();
    for (name, slot) in &manifest.slots {
        let file = folder.join(format!("{name}.secret"));
        fs::write(&file, format!("{MADE_UP}{name}-0123456789")).map_err(at_file("write", &file))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).map_err(at_file("write", &file))?;
        let secret = format!("file:{name}.secret").parse::<portcullis_secrets::Reference>();
        let secret = secret.map_err(|error| {
            Failure::fault(format!("no secret can be made up for slot `{name}`")).because(&error)
        })?;
        let place = slot.place.clone();
        let scheme = slot.schemes.iter().find_map(|scheme| match scheme.as_str() {
            "bearer" => Some(Scheme::Bearer { secret: secret.clone() }),
            "basic" => Some(Scheme::Basic {
                username: UserName::Plain("user".to_owned()),
                password: Some(secret.clone()),
            }),
            "api-key-header" => Some(Scheme::ApiKeyHeader {
                name: place.clone().unwrap_or_else(|| "x-api-key".to_owned()),
                prefix: None,
                secret: secret.clone(),
            }),
            "api-key-query" => Some(Scheme::ApiKeyQuery {
                name: place.clone().unwrap_or_else(|| "api_key".to_owned()),
                secret: secret.clone(),
            }),
            _ => None,
        });
        let scheme = scheme.ok_or_else(|| {
            Failure::fault(format!("slot `{name}` has no scheme that this version can attach"))
                .with_help("one of `bearer`, `basic`, `api-key-header`, `api-key-query`")
        })?;
        let credential = Credential { name: name.clone(), scheme, short: false, requests_per_second: None };
        credentials.insert(name.clone(), credential);
    }
    Ok(credentials)
}

impl Connected<'_> {
    /// One call in a fresh instance; `number` = its place in the run, so that it draws the same each time.
    pub async fn call(&self, operation: Operation, number: usize) -> Ended {
        let call = self.connection.call(CallContext {
            run_id: "run_test".to_owned(),
            step: "test".to_owned(),
            call: number.to_string(),
            correlation_id: "test".to_owned(),
            operation_rules: self.operation_rules(),
            dry_run: false,
            cancelled: self.cancel.subscribe(),
        });
        let sandbox = self.sandbox;
        let logs = Arc::new(Lines::default());
        let settings = sandbox.settings_of_a_call(Surroundings {
            egress: Some(call.clone()),
            state: self.state.clone(),
            logs: logs.clone(),
            folders: self.folders.clone(),
            seed: self.seed,
            clock: self.clock.clone(),
            cancelled: self.cancel.subscribe(),
        });
        let (result, _usage) = sandbox.runtime.call(&sandbox.prepared, settings, operation).await;
        call.close().await;
        Ended { result, exchanges: self.rows.take(), meant: self.meant.take(), logged: logs.take() }
    }

    /// The connection's config, JSON text.
    pub fn config(&self) -> String {
        self.config.clone()
    }

    fn operation_rules(&self) -> Option<Vec<Rule>> {
        let (lists, name) = match &self.call {
            Called::Check
            | Called::Discover
            | Called::Delivery(_)
            | Called::Batch(_)
            | Called::Complete { .. } => return None,
            Called::Action { name, .. } => (&self.narrowed.actions, name),
            Called::Stream(name) => (&self.narrowed.streams, name),
        };
        lists.get(name).or_else(|| lists.get(ANY_NAME)).cloned()
    }
}

/// Rows of the exchange log, in memory.
#[derive(Default)]
struct Rows(Mutex<Vec<Exchange>>);

impl Rows {
    fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl ExchangeSink for Rows {
    async fn record(&self, exchange: Exchange) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    }
}

/// Every request is the first of its kind: a cassette has no crash to recover from. Kept is what was meant to have an effect, by its
/// place among those of its call, whatever arrives first.
#[derive(Default)]
struct Meant(Mutex<BTreeMap<u32, String>>);

impl Meant {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_values().collect()
    }
}

#[async_trait]
impl Intents for Meant {
    async fn begin(&self, intent: Intent) -> std::result::Result<Prior, IntentError> {
        let mut meant = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        meant.insert(intent.ordinal, intent.request_hash);
        Ok(Prior::New)
    }

    async fn end(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: u32,
        _: IntentEnd,
    ) -> std::result::Result<(), IntentError> {
        Ok(())
    }

    async fn secret_use(&self, _: &str, _: &str, _: &str, _: &str) -> std::result::Result<(), IntentError> {
        Ok(())
    }
}

/// What a connector logged.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Logs for Lines {
    fn log(&self, _level: LogLevel, message: &str, fields: &[(String, String)]) {
        let fields = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{message}{fields}"));
    }
}

/// A connection that stored nothing yet.
struct Empty;

#[async_trait]
impl State for Empty {
    async fn get(&self, _: &str) -> std::result::Result<Option<Entry>, StorageError> {
        Ok(None)
    }

    async fn set(&self, _: &str, _: Vec<u8>, _: Option<u64>) -> std::result::Result<u64, StorageError> {
        Err(StorageError::Unsupported)
    }

    async fn delete(&self, _: &str) -> std::result::Result<(), StorageError> {
        Err(StorageError::NotFound)
    }

    async fn list_keys(
        &self,
        _: &str,
        _: Option<&str>,
        _: u32,
    ) -> std::result::Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
}
