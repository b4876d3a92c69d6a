//! `engine::Connections`: joins config, lock and approved bytes into a connection that may run, once a process.
use crate::{
    approvals::{self, LastLock, ended},
    config::{
        self, Config,
        pinned::{self, folders, origins::Narrowed},
    },
    exit::Failure,
    registry::{self, Package},
};
use async_trait::async_trait;
use portcullis_contract::Schemas;
use portcullis_egress::{ConnectionSettings, Egress, NetworkSettings};
use portcullis_engine::{ActionFacts, ConnectionFacts, Connections, Refused, SchemaWork, StreamFacts};
use portcullis_grants::{AddressPolicy, Grants};
use portcullis_manifest::{Approval, Component, Delivery, Diagnostic, Role, connector::Webhook};
use portcullis_runtime::{Debt, Folder, Limits, Prepared, Runtime};
use portcullis_store::Store;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

/// A connection that was approved, checked, compiled and joined to egress.
pub struct Loaded {
    approval_id: String,
    /// What the engine sees.
    pub facts: Arc<ConnectionFacts>,
    /// How its vendor signs what it delivers, and what it asks first.
    pub webhook: Option<Webhook>,
    /// The literal `http` lists of its operations.
    pub narrowed: Narrowed,
    /// The compiled component.
    pub prepared: Arc<Prepared>,
    /// Its way out.
    pub egress: Arc<portcullis_egress::Connection>,
    /// The assets, shared with every call.
    pub assets: Arc<BTreeMap<String, Vec<u8>>>,
    /// Its folders, open.
    pub folders: Arc<BTreeMap<String, Arc<Folder>>>,
    /// Its config, JSON text.
    pub config: String,
    /// Blobs of a run.
    pub spool_bytes_max: u64,
    /// Bounds of a call.
    pub limits: Limits,
    /// Calls at once.
    pub concurrency: Arc<Semaphore>,
    /// What its guests computed lately.
    pub debt: Arc<Debt>,
}

/// Loads connections on first use.
pub struct Loader {
    config: Arc<Config>,
    store: Arc<dyn Store>,
    egress: Arc<Egress>,
    runtime: Arc<Runtime>,
    lock: LastLock,
    loaded: Places<Arc<Loaded>>,
}

/// Connections by name, once they are loaded, each with a lock of its own: what takes long to load holds up nobody else.
struct Places<T>(std::sync::Mutex<BTreeMap<String, Arc<Mutex<Option<T>>>>>);

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self(std::sync::Mutex::default())
    }
}

impl<T> Places<T> {
    fn of(&self, name: &str) -> Arc<Mutex<Option<T>>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }
}

#[async_trait]
impl Connections for Loader {
    async fn ready(&self, name: &str) -> Result<Arc<ConnectionFacts>, Refused> {
        match self.load(name).await {
            Ok(loaded) => Ok(loaded.facts.clone()),
            Err(failure) => Err(refused(failure)),
        }
    }
}

/// The engine's port carries one line and one remedy; what else a failure holds is folded into them.
fn refused(failure: Failure) -> Refused {
    let message = failure.line();
    let help =
        failure.help.or_else(|| failure.diagnostics.into_iter().find_map(|diagnostic| diagnostic.help));
    Refused { message, help }
}

impl Loader {
    /// A loader over one config and the lock beside it.
    pub fn new(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        egress: Arc<Egress>,
        runtime: Arc<Runtime>,
    ) -> Self {
        let (lock, loaded) = (LastLock::default(), Places::default());
        Self { config, store, egress, runtime, lock, loaded }
    }

    /// The connection. The lock is read each time, so that an approval given or ended meanwhile counts; what follows from
    /// an approval is made once.
    pub async fn load(&self, name: &str) -> Result<Arc<Loaded>, Failure> {
        let connection = self.config.connection(name)?;
        let lock = self.lock.read(&self.config.lock_file())?;
        let approval = approvals::current(&self.config, &lock, name)?;
        let loaded = self.loaded.of(name).lock_owned().await;
        if let Some(found) = loaded.as_ref().filter(|found| found.approval_id == approval.approval_id) {
            return Ok(Arc::clone(found));
        }
        let (config, name, pinned) = (Arc::clone(&self.config), connection.name.clone(), approval.clone());
        let look =
            move || config.connection(&name).and_then(|connection| approved(&config, connection, &pinned));
        let (package, mut loaded) = looked_at(loaded, look).await?;
        let fresh = Arc::new(self.load_anew(connection, approval, package?).await?);
        *loaded = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    async fn load_anew(
        &self,
        connection: &config::Connection,
        approval: &Approval,
        Package { bytes, component, .. }: Package,
    ) -> Result<Loaded, Failure> {
        self.refuse_missing_secrets(connection).await?;
        let folders = Arc::new(folders::open(connection, &component.manifest)?);
        let narrowed = Narrowed::of(&component.manifest, &approval.origins)?;
        let code = Component::code(&bytes)
            .map_err(|error| Failure::fault("the approved component is damaged").because(&error))?;
        let capabilities = &component.manifest.capabilities;
        let prepared = self.runtime.prepare_with(&component.code_digest, &code, capabilities).await;
        let prepared =
            prepared.map_err(|error| Failure::fault("the connector can't be compiled").because(&error))?;
        let connector = format!("{}/{}", approval.connector.publisher, approval.connector.name);
        let connection_id = self.store.connection_id(&connection.name, &connector).await;
        let connection_id =
            connection_id.map_err(|error| Failure::fault("the store failed").because(&error))?;
        let settings =
            egress_settings(&self.config, connection, approval, &component, connection_id.clone())?;
        let egress = self.egress.connection(settings);
        let egress = egress.map_err(|error| {
            let message = format!("connection `{}` can't reach the network", connection.name);
            Failure::fault(message).because(&error)
        })?;
        // Last: nothing may refuse it from here on, so that an approval that does not run ends no other.
        ended::current::enter(&self.config.data, &connection.name, approval)?;
        Ok(Loaded {
            approval_id: approval.approval_id.clone(),
            facts: Arc::new(facts(connection, &component, connection_id)),
            webhook: component.manifest.webhook.clone(),
            narrowed,
            prepared,
            egress,
            assets: Arc::new(component.assets.clone()),
            folders,
            config: connection.config.to_string(),
            spool_bytes_max: connection.limits.spool_bytes_max,
            limits: Limits {
                memory_bytes_max: connection.limits.memory_bytes_max,
                timeout: connection.limits.timeout,
                cpu: connection.limits.cpu,
                log_bytes_max: connection.limits.log_bytes_max,
            },
            concurrency: Arc::new(Semaphore::new(connection.limits.concurrency_max as usize)),
            debt: Arc::default(),
        })
    }

    /// A missing or careless secret is found before a run begins, with the words of its provider.
    async fn refuse_missing_secrets(&self, connection: &config::Connection) -> Result<(), Failure> {
        for name in connection.credentials.values() {
            let Some(credential) = self.config.credentials.get(name) else { continue };
            if let Err(error) = credential.attachment(&self.config.providers).await {
                let failure = Failure::fault(format!("credential `{name}` can't be used")).because(&error);
                return Err(match error.remedy() {
                    Some(remedy) => failure.with_help(remedy),
                    None => failure,
                });
            }
        }
        Ok(())
    }
}

/// What `look` finds. Files are read, and the schemas of the connector's author are compiled and applied: not on a thread that serves.
/// The work keeps the connection's place, whoever waits for it: of what is given up, one piece goes on.
async fn looked_at<T: Send + 'static, R: Send + 'static>(
    place: OwnedMutexGuard<T>,
    look: impl FnOnce() -> R + Send + 'static,
) -> Result<(R, OwnedMutexGuard<T>), Failure> {
    let looking = tokio::task::spawn_blocking(move || (look(), place));
    looking.await.map_err(|error| Failure::fault("a connection can't be looked at").because(&error))
}

/// The approved bytes, where what is configured now is what was approved.
pub fn approved(
    config: &Config,
    connection: &config::Connection,
    approval: &Approval,
) -> Result<Package, Failure> {
    approvals::refuse_shared(&config.data)?;
    let package = approvals::approved_package(config, approval)?;
    refuse_differences(config, connection, approval, &package.component)?;
    Ok(package)
}

/// Refuses an approval that is not what the config and these bytes give today.
pub fn refuse_differences(
    config: &Config,
    connection: &config::Connection,
    approval: &Approval,
    component: &Component,
) -> Result<(), Failure> {
    let mut differences = Vec::new();
    if connection.connector != approval.connector {
        let name = &connection.connector;
        differences.push(format!("connector: the config names {}/{}", name.publisher, name.name));
    } else if !connection.version.matches(&approval.version) {
        differences.push(format!(
            "version: approved {}, the config asks for {}",
            approval.version, connection.version
        ));
    }
    // What a config of another connector or version says does not fit this one: that is no fault of its lines.
    let (id, time) = (approval.approval_id.clone(), approval.approved_at.clone());
    match pinned::approval(config, connection, component, id, time) {
        Ok(now) => differences.extend(pinned::differences(approval, &now)),
        Err(_) if !differences.is_empty() => {}
        Err(faults) => return Err(faults_or_newer(config, connection, approval, faults)),
    }
    if differences.is_empty() {
        return Ok(());
    }
    let message =
        format!("connection `{}` differs from what is approved: {}", connection.name, differences.join("; "));
    Err(Failure::new(crate::exit::Exit::NotApproved, message)
        .with_help(format!("portcullis approve {}", connection.name)))
}

/// What a newer version would have as it is, is no fault of the line: that version is not approved. The rest keeps its own remedy.
fn faults_or_newer(
    config: &Config,
    connection: &config::Connection,
    approval: &Approval,
    mut faults: Vec<Diagnostic>,
) -> Failure {
    let all = registry::versions(&config.registry, &connection.connector).unwrap_or_default();
    let fitting = |entry: &&registry::Entry| {
        entry.version > approval.version && connection.version.matches(&entry.version)
    };
    let (name, approved) = (&connection.name, &approval.version);
    for entry in all.iter().rev().filter(fitting).take(NEWER_LOOKED_AT_MAX) {
        let Ok(package) = registry::read(entry) else { continue };
        let of_newer = pinned::approval(config, connection, &package.component, String::new(), String::new());
        let of_newer = of_newer.err().unwrap_or_default();
        let place = |fault: &Diagnostic| fault.location.as_ref().map(|at| (at.line, at.column));
        let is_of_both = |fault: &Diagnostic| {
            of_newer.iter().any(|other| (place(other), &other.message) == (place(fault), &fault.message))
        };
        let mut explained: Vec<_> = faults.iter_mut().filter(|fault| !is_of_both(fault)).collect();
        if explained.is_empty() {
            continue;
        }
        for fault in &mut explained {
            let own = fault.help.take().filter(|help| help.starts_with("did you mean"));
            let newer = format!(
                "{approved} is approved, and the config is one of {}: `portcullis approve {name}` shows what the newest asks for, \
                 and pins it; {approved} runs with the config that it was approved with",
                entry.version
            );
            fault.help = Some(own.map_or_else(|| newer.clone(), |own| format!("{own} Or: {newer}")));
        }
        break;
    }
    Failure::documents(faults)
}

/// Newer versions that a config which does not fit is held against, the newest first.
const NEWER_LOOKED_AT_MAX: usize = 5;

/// What decides each request of the connection: the approved rules, the operator's and the boundary.
pub fn grants(
    config: &Config,
    connection: &config::Connection,
    approval: &Approval,
) -> Result<Grants, Failure> {
    let grants = Grants::new(approval.rules.clone(), connection.allow.clone())
        .and_then(|grants| grants.with_from_response(approval.from_response.clone()))
        .map_err(|error| Failure::fault("the approved rules disagree").because(&error))?;
    Ok(grants.within(config.boundary.clone()))
}

/// What decides each address that is dialled for the connection.
fn addresses(connection: &config::Connection) -> Result<AddressPolicy, Failure> {
    AddressPolicy::new(connection.network.addresses.clone())
        .map_err(|error| Failure::fault("`addresses` can't hold").because(&error))
}

/// What egress has to know of the connection.
pub fn egress_settings(
    config: &Config,
    connection: &config::Connection,
    approval: &Approval,
    component: &Component,
    connection_id: String,
) -> Result<ConnectionSettings, Failure> {
    let grants = grants(config, connection, approval)?;
    let addresses = addresses(connection)?;
    let manifest = &component.manifest;
    let credential = |(slot, name): (&String, &String)| {
        let mut credential = config.credentials.get(name)?.clone();
        // The author knows the vendor's limit; the operator's word goes first.
        credential.requests_per_second = credential.requests_per_second.or(manifest.requests_per_second);
        Some((slot.clone(), credential))
    };
    let declared = manifest.actions.values().map(|action| &action.sensitive);
    let declared = declared.chain(manifest.streams.values().map(|stream| &stream.sensitive)).flatten();
    let standing = ended::Standing::new(&config.data, &connection.name, approval);
    Ok(ConnectionSettings {
        name: connection.name.clone(),
        connection_id,
        connector: format!("{}/{}", approval.connector.publisher, approval.connector.name),
        connector_version: approval.version.to_string(),
        grants,
        credentials: connection.credentials.iter().filter_map(credential).collect(),
        providers: config.providers.clone(),
        network: NetworkSettings {
            connect_to: connection.network.connect_to.clone().into_iter().collect(),
            ca_pem: connection.network.ca_file.as_ref().map(|(_, bytes)| bytes.clone()),
            addresses,
            roots: connection.network.roots,
            mapped_alone: false,
        },
        sensitive: declared.chain(&connection.sensitive).cloned().collect(),
        capture: connection.capture,
        timeout: connection.limits.timeout,
        response_bytes_max: connection.limits.response_bytes_max,
        requests_max: connection.limits.requests_max,
        bytes_out_max: connection.limits.bytes_out_max,
        streamed_bytes_max: connection.limits.spool_bytes_max,
        revoked: Arc::new(move || standing.ended().is_some()),
    })
}

/// What the engine needs to know of a connection with this component.
pub fn facts(
    connection: &config::Connection,
    component: &Component,
    connection_id: String,
) -> ConnectionFacts {
    let manifest = &component.manifest;
    let schemas = Schemas::default();
    let action = |(name, action): (&String, &portcullis_manifest::Action)| {
        let facts = ActionFacts {
            input: schemas.schema(action.input.to_string()),
            output: schemas.schema(action.output.to_string()),
            at_least_once: action.delivery == Delivery::AtLeastOnce,
        };
        (name.clone(), facts)
    };
    let stream = |(name, stream): (&String, &portcullis_manifest::Stream)| {
        let facts = StreamFacts {
            schema: schemas.schema(stream.schema.to_string()),
            primary_key: stream.primary_key.clone(),
            cursor_field: stream.cursor_field.clone(),
        };
        (name.clone(), facts)
    };
    ConnectionFacts {
        name: connection.name.clone(),
        connection_id,
        connector: format!("{}/{}", manifest.name.publisher, manifest.name.name),
        version: manifest.version.to_string(),
        digest: component.digest.clone(),
        actions: manifest.actions.iter().map(action).collect(),
        streams: manifest.streams.iter().map(stream).collect(),
        position_version: manifest.position_version,
        migrates: component.roles.contains(&Role::Migration),
        has_source: component.roles.contains(&Role::Source),
        has_actions: component.roles.contains(&Role::Actions),
        has_webhook: component.roles.contains(&Role::Webhook),
        has_destination: component.roles.contains(&Role::Destination),
        schema_work: SchemaWork::default(),
        deletes: connection.deletes,
        removed_share_max: connection.removed_share_max,
        restarts: connection.restarts,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_that_takes_long_to_load_holds_up_no_other() {
        let places = Places::<u8>::default();
        let slow = places.of("slow");
        let mut held = slow.try_lock().unwrap();
        assert!(places.of("quick").try_lock().is_ok());
        assert!(places.of("slow").try_lock().is_err(), "it is loaded once");
        *held = Some(1);
        drop(held);
        assert_eq!(*places.of("slow").try_lock().unwrap(), Some(1));
    }

    /// However often it is given up, one piece of work of a connection is under way, and on no thread that serves.
    #[tokio::test]
    async fn a_look_that_is_given_up_keeps_its_place_until_it_ends() {
        let places = Places::<u8>::default();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let (told, thread) = std::sync::mpsc::channel();
        let look = move || {
            told.send(std::thread::current().id()).unwrap();
            gate.recv().is_ok()
        };
        let looking = tokio::spawn(looked_at(places.of("slow").lock_owned().await, look));
        tokio::task::yield_now().await;
        looking.abort();
        assert!(looking.await.unwrap_err().is_cancelled());
        assert_ne!(
            thread.recv_timeout(std::time::Duration::from_secs(60)).unwrap(),
            std::thread::current().id()
        );
        assert!(places.of("slow").try_lock().is_err());
        open.send(()).unwrap();
        let _free = places.of("slow").lock_owned().await;
    }
}
