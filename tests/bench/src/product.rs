//! The product's crates joined as the binary joins them: store, exchange log, egress, runtime, the probe prepared.

use anyhow::ensure;
use async_trait::async_trait;
use portcullis_clock::{Clock, RealClock, RealRandom, new_id};
use portcullis_egress::{
    CallContext, Connection, ConnectionSettings, Egress, Exchange, ExchangeSink, Intent, IntentEnd,
    IntentError, Intents, NetworkSettings, Outcome, Prior,
};
use portcullis_grants::{AddressPolicy, Attributes, Grants, ManifestRule, OperatorRules};
use portcullis_runtime::{
    CallSettings, Debt, Entry, Limits, LogLevel, Logs, Operation, Output, Prepared, Runtime, RuntimeSettings,
    Spool, State, StorageError,
};
use portcullis_secrets::{Credential, Providers, Scheme};
use portcullis_store::{
    DataLock, ExchangeLog, ExchangeRow, IntentKey, NewAttempt, NewIntent, NewRun, PriorIntent, Retention,
    RunKind, SqliteStore, Store,
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// The step that every request belongs to.
pub const STEP: &str = "call:send-many";
/// The name of the credential.
pub const CREDENTIAL: &str = "bench";
/// Longer than whatever is measured: 1 GiB on a busy machine takes half a minute.
const TIMEOUT: Duration = Duration::from_secs(600);
const INSTANCES_MAX: u32 = 256;

/// Everything that lives as long as the process.
#[derive(Clone)]
pub struct Product {
    /// `state.db`.
    pub store: Arc<dyn Store>,
    /// `exchanges.db`.
    pub exchanges: Arc<ExchangeLog>,
    /// The sandbox.
    pub runtime: Arc<Runtime>,
    /// The probe.
    pub prepared: Arc<Prepared>,
    /// The run of all requests, begun before any clock starts.
    pub run_id: String,
    folder: PathBuf,
    logged: Arc<Egress>,
    unlogged: Arc<Egress>,
    limits: Limits,
    assets: Arc<BTreeMap<String, Vec<u8>>>,
    cancel: Arc<watch::Sender<bool>>,
    debt: Arc<Debt>,
}

/// What a connection of the bench has.
#[derive(Clone, Copy)]
pub struct Way {
    /// Exchanges go to `exchanges.db`.
    pub logged: bool,
    /// A credential is attached, and looked for in answers.
    pub credential: bool,
}

impl Product {
    /// Opens a data folder and compiles the probe in the child, as the binary does.
    pub async fn open(folder: &Path, component: &[u8]) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let random = Arc::new(RealRandom);
        let data = folder.join("data");
        let lock = Arc::new(DataLock::acquire(&data, Duration::ZERO, &*clock).await?);
        let runtime = Runtime::new(RuntimeSettings {
            cache: data.join("cache"),
            instances_max: INSTANCES_MAX,
            compile_child: (std::env::current_exe()?, vec![crate::COMPILE_CHILD.to_owned()]),
        })?;
        let hex: String = Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect();
        let prepared = runtime.prepare(&format!("sha256:{hex}"), component).await?;
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(lock.clone(), clock.clone(), random.clone())?);
        let exchanges = Arc::new(ExchangeLog::open(lock, clock.clone(), Retention::EXCHANGES)?);
        let intents = Arc::new(StoredIntents(store.clone()));
        let logged =
            Egress::new(clock.clone(), random.clone(), Arc::new(Sink(exchanges.clone())), intents.clone());
        let unlogged = Egress::new(clock, random, Arc::new(Nowhere), intents);
        let secret =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join("key"))?;
        std::io::Write::write_all(&mut &secret, crate::server::SECRET.as_bytes())?;
        let run_id = new_id("run", &RealClock, &RealRandom);
        store.begin_run(new_run(&run_id), first_attempt(&run_id)).await?;
        Ok(Self {
            store,
            exchanges,
            runtime,
            prepared,
            run_id,
            folder: folder.to_owned(),
            logged,
            unlogged,
            limits: Limits {
                memory_bytes_max: 64 << 20,
                timeout: TIMEOUT,
                cpu: Duration::from_secs(10),
                log_bytes_max: 1 << 20,
            },
            assets: Arc::default(),
            cancel: Arc::new(watch::channel(false).0),
            debt: Arc::default(),
        })
    }

    /// The same, with one asset beside the code.
    pub fn with_asset(self: Arc<Self>, name: &str, bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { assets: Arc::new([(name.to_owned(), bytes)].into()), ..Self::clone(&self) })
    }

    /// Another connection of it, with other limits of a call.
    pub fn with_limits(self: Arc<Self>, limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, debt: Arc::default(), ..Self::clone(&self) })
    }

    /// Another connection of it, which owes nothing.
    pub fn apart(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { debt: Arc::default(), ..Self::clone(self) })
    }

    /// One operation in a fresh instance.
    pub async fn call(
        &self,
        egress: Option<Arc<portcullis_egress::Call>>,
        operation: Operation,
    ) -> anyhow::Result<Output> {
        self.call_with(egress, self.spool(1 << 20), operation).await
    }

    /// The blobs of one run, on the disk of the data folder.
    pub fn spool(&self, bytes_max: u64) -> Arc<Spool> {
        let folder = self.folder.join("data/spool").join(&self.run_id);
        Spool::new(folder, bytes_max, Arc::new(RealRandom))
    }

    /// The same, with blobs that calls of one run share.
    pub async fn call_with(
        &self,
        egress: Option<Arc<portcullis_egress::Call>>,
        spool: Arc<Spool>,
        operation: Operation,
    ) -> anyhow::Result<Output> {
        let settings = CallSettings {
            limits: self.limits.clone(),
            egress,
            state: Arc::new(Empty),
            spool,
            logs: Arc::new(Quiet),
            assets: self.assets.clone(),
            folders: Arc::default(),
            seed: [7; 32],
            clock: Arc::new(RealClock),
            debt: self.debt.clone(),
            cancelled: self.cancel.subscribe(),
        };
        Ok(self.runtime.call(&self.prepared, settings, operation).await.0?)
    }

    /// The context of one call of the one run.
    pub fn context(&self) -> CallContext {
        CallContext {
            run_id: self.run_id.clone(),
            step: STEP.to_owned(),
            call: "0".to_owned(),
            correlation_id: self.run_id.clone(),
            operation_rules: None,
            dry_run: false,
            cancelled: self.cancel.subscribe(),
        }
    }

    /// A connection that may reach the server: approved and operator's rule, address, credential, revocation file.
    pub fn connection(&self, way: Way, port: u16) -> anyhow::Result<Arc<Connection>> {
        let slot = "key".to_owned();
        let rule = ManifestRule {
            place: "http[0].allow[0]".to_owned(),
            rule: format!("GET,POST http://127.0.0.1:{port}/**").parse()?,
            attributes: Attributes {
                credentials: way.credential.then(|| slot.clone()).into_iter().collect(),
                ..Attributes::default()
            },
            why: "the bench".to_owned(),
        };
        let credential = Credential {
            name: CREDENTIAL.to_owned(),
            scheme: Scheme::Bearer { secret: "file:key".parse()? },
            short: false,
            requests_per_second: None,
        };
        let revoked = self.revocation_file();
        let settings = ConnectionSettings {
            name: "bench".to_owned(),
            connection_id: "conn_bench".to_owned(),
            connector: "portcullis/probe".to_owned(),
            connector_version: "0.1.0".to_owned(),
            grants: Grants::new(vec![rule], OperatorRules::Requested)?,
            credentials: way.credential.then_some((slot, credential)).into_iter().collect(),
            providers: Providers::new(self.folder.clone(), BTreeMap::new()),
            network: NetworkSettings {
                addresses: AddressPolicy::new(vec!["127.0.0.1/32".parse()?])?,
                ..NetworkSettings::default()
            },
            sensitive: vec!["password".to_owned()],
            capture: portcullis_egress::Capture::default(),
            timeout: TIMEOUT,
            response_bytes_max: 8 << 20,
            requests_max: u64::MAX,
            bytes_out_max: u64::MAX,
            streamed_bytes_max: u64::MAX,
            revoked: Arc::new(move || revoked.exists()),
        };
        let egress = if way.logged { &self.logged } else { &self.unlogged };
        Ok(egress.connection(settings)?)
    }

    /// The file that is looked for before each attempt; here it never appears.
    pub fn revocation_file(&self) -> PathBuf {
        self.folder.join("data/revoked/apr_bench")
    }
}

/// The probe's action `action`.
pub fn invoke(action: &str, input: &serde_json::Value) -> Operation {
    Operation::Invoke {
        config: "{}".to_owned(),
        action: action.to_owned(),
        input: input.to_string(),
        resume: None,
    }
}

/// The output of an action that is done.
pub fn done(output: Output) -> anyhow::Result<serde_json::Value> {
    let Output::Done(json) = output else { anyhow::bail!("not done: {output:?}") };
    let value: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(value["failed"].is_null(), "a request failed: {value}");
    Ok(value)
}

/// A run as the engine opens it.
pub fn new_run(run_id: &str) -> NewRun {
    NewRun {
        run_id: run_id.to_owned(),
        kind: RunKind::Call,
        connection: "bench".to_owned(),
        connection_id: "conn_bench".to_owned(),
        connector: "portcullis/probe".to_owned(),
        version: "0.1.0".to_owned(),
        digest: format!("sha256:{}", "0".repeat(64)),
        correlation_id: run_id.to_owned(),
        subject: "send-many".to_owned(),
        input: Some("{\"n\":100}".to_owned()),
        parent: None,
        started_at: RealClock.now(),
    }
}

/// Its first attempt.
pub fn first_attempt(run_id: &str) -> NewAttempt {
    NewAttempt {
        run_id: run_id.to_owned(),
        step: STEP.to_owned(),
        call: "0".to_owned(),
        attempt: 1,
        started_at: RealClock.now(),
    }
}

/// No connection here has state.
struct Empty;

#[async_trait]
impl State for Empty {
    async fn get(&self, _key: &str) -> Result<Option<Entry>, StorageError> {
        Ok(None)
    }
    async fn set(&self, _: &str, _: Vec<u8>, _: Option<u64>) -> Result<u64, StorageError> {
        Err(StorageError::Unsupported)
    }
    async fn delete(&self, _key: &str) -> Result<(), StorageError> {
        Err(StorageError::NotFound)
    }
    async fn list_keys(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
}

struct Quiet;

impl Logs for Quiet {
    fn log(&self, _level: LogLevel, _message: &str, _fields: &[(String, String)]) {}
}

/// To see what the exchange log costs.
struct Nowhere;

#[async_trait]
impl ExchangeSink for Nowhere {
    async fn record(&self, _exchange: Exchange) {}
}

/// As the binary's adapter writes rows.
struct Sink(Arc<ExchangeLog>);

#[async_trait]
impl ExchangeSink for Sink {
    async fn record(&self, exchange: Exchange) {
        self.0.record(row(exchange)).await;
    }
}

/// An answered exchange, for filling the log: the `n`th, of a run, of a connection.
pub fn exchange_row(n: u64, run: u64, connection: u64) -> ExchangeRow {
    ExchangeRow {
        exchange_id: format!("exch_{n:020}"),
        run_id: format!("run_{run:020}"),
        step: STEP.to_owned(),
        call: "0".to_owned(),
        correlation_id: format!("run_{run:020}"),
        connection: format!("bench{connection}"),
        connection_id: format!("conn_bench{connection}"),
        started_at: RealClock.now(),
        duration_us: 1_234,
        attempt: 1,
        method: "GET".to_owned(),
        url: format!("https://api.vendor.example/v1/customers/cus_{n:012}"),
        manifest_place: "http[0].allow[0]".to_owned(),
        operator_place: "requested".to_owned(),
        credential: Some(CREDENTIAL.to_owned()),
        peer: Some("203.0.113.7:443".to_owned()),
        protocol: Some("HTTP/1.1".to_owned()),
        idempotency_key: None,
        request_headers: vec![("user-agent".to_owned(), "portcullis/0.1.0 (bench 0.1.0)".to_owned())],
        request_body: None,
        request_bytes: 120,
        status: Some(200),
        response_headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        response_body: None,
        response_bytes: 1_024,
        outcome: "answered".to_owned(),
        reason: None,
        detail: None,
        remedy: None,
        echoes: 0,
        bodies_dropped: false,
    }
}

fn row(exchange: Exchange) -> ExchangeRow {
    let (outcome, reason, detail, remedy) = match exchange.outcome {
        Outcome::Answered => ("answered", None, None, None),
        Outcome::Denied { reason, remedy } => ("denied", Some(reason), None, remedy),
        Outcome::Withheld => ("withheld", None, None, None),
        Outcome::Failed { kind, detail } => ("failed", Some(kind.to_owned()), Some(detail), None),
    };
    ExchangeRow {
        exchange_id: exchange.exchange_id,
        run_id: exchange.run_id,
        step: exchange.step,
        call: exchange.call,
        correlation_id: exchange.correlation_id,
        connection: exchange.connection,
        connection_id: exchange.connection_id,
        started_at: exchange.started_at,
        duration_us: exchange.duration_us,
        attempt: exchange.attempt,
        method: exchange.method,
        url: exchange.url,
        manifest_place: exchange.manifest_place,
        operator_place: exchange.operator_place,
        credential: exchange.credential,
        peer: exchange.peer,
        protocol: exchange.protocol,
        idempotency_key: exchange.idempotency_key,
        request_headers: exchange.request_headers,
        request_body: exchange.request_body,
        request_bytes: exchange.request_bytes,
        status: exchange.status,
        response_headers: exchange.response_headers,
        response_body: exchange.response_body,
        response_bytes: exchange.response_bytes,
        outcome: outcome.to_owned(),
        reason,
        detail,
        remedy,
        echoes: exchange.echoes,
        bodies_dropped: false,
    }
}

struct StoredIntents(Arc<dyn Store>);

#[async_trait]
impl Intents for StoredIntents {
    async fn begin(&self, intent: Intent) -> Result<Prior, IntentError> {
        let new = NewIntent {
            key: IntentKey {
                run_id: intent.run_id,
                step: intent.step,
                call: intent.call,
                ordinal: intent.ordinal,
            },
            method: intent.method,
            url: intent.url,
            request_hash: intent.request_hash,
            idempotency_key: intent.key,
            repeatable: intent.repeatable,
            started_at: RealClock.now(),
        };
        match self.0.begin_intent(new).await.map_err(|error| IntentError(error.to_string()))? {
            PriorIntent::New => Ok(Prior::New),
            PriorIntent::Same { idempotency_key, started_at, refused } => {
                let age = RealClock.now().since(started_at);
                Ok(Prior::Same { key: idempotency_key, age, refused })
            }
            PriorIntent::Different => Ok(Prior::Different),
        }
    }

    async fn end(
        &self,
        run_id: &str,
        step: &str,
        call: &str,
        ordinal: u32,
        end: IntentEnd,
    ) -> Result<(), IntentError> {
        let key =
            IntentKey { run_id: run_id.to_owned(), step: step.to_owned(), call: call.to_owned(), ordinal };
        let IntentEnd { proven, refused, outcome } = end;
        let end = portcullis_store::IntentEnd { proven, refused, outcome };
        let ended = self.0.end_intent(key, end, RealClock.now()).await;
        ended.map_err(|error| IntentError(error.to_string()))
    }

    async fn secret_use(
        &self,
        run_id: &str,
        step: &str,
        credential: &str,
        rule: &str,
    ) -> Result<(), IntentError> {
        let recorded = self.0.record_secret_use(run_id, step, credential, rule, RealClock.now()).await;
        recorded.map_err(|error| IntentError(error.to_string()))
    }
}
