//! `portcullis.toml`: the one config file, parsed into types that cannot hold a bad value. Nothing secret is in it.

pub mod authored;
pub mod diagnose;
pub mod keys;
pub mod pinned;
mod place;
pub mod resolved;

pub use place::Place;

use crate::publisher::PublicKey;
use ipnet::IpNet;
use portcullis_egress::{Capture, Roots};
use portcullis_engine::{Deletes, Flows};
use portcullis_grants::{Boundary, OperatorRules, Origin, Rule};
use portcullis_manifest::{ConnectorName, Diagnostic, diagnose::Document};
use portcullis_secrets::{Credential, Providers, Reference, SecretError};
use portcullis_store::{Backlog, Retention};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The whole config.
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    text: Arc<str>,
    /// `registry`, absolute.
    pub registry: PathBuf,
    /// `data`, absolute.
    pub data: PathBuf,
    /// `[credentials.*]`.
    pub credentials: BTreeMap<String, Credential>,
    /// Folders and files that `[secrets.*]` names.
    pub secret_folders: BTreeMap<String, PathBuf>,
    /// Built-in and named providers.
    pub providers: Providers,
    /// `[boundary]`: what no approval may exceed.
    pub boundary: Boundary,
    /// `[publishers.*]`: their keys.
    pub publishers: BTreeMap<String, PublicKey>,
    /// `[retention]`: how much history is kept.
    pub retention: History,
    /// `[connections.*]`.
    pub connections: BTreeMap<String, Connection>,
    /// `[serve]`.
    pub serve: Serve,
    /// `[webhooks.*]`.
    pub webhooks: BTreeMap<String, Webhook>,
    /// `[flows.*]`.
    pub flows: Flows,
}

/// `[serve]`: where it listens, and how much it takes.
#[derive(Clone, Debug)]
pub struct Serve {
    /// Where vendors deliver to.
    pub ingress: SocketAddr,
    /// Where an operator's tools ask.
    pub operator: SocketAddr,
    /// The origin under which vendors know `ingress`, and what stands in front of each path there.
    pub public_url: Option<String>,
    /// None = plain HTTP.
    pub certificate: Option<Certificate>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How much may wait.
    pub backlog: Backlog,
}

/// What `ingress` is shaken hands with.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM.
    pub chain: PathBuf,
    /// PEM.
    pub private_key: Reference,
}

/// One `[webhooks.*]` table.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Whose connector reads what comes.
    pub connection: String,
    /// As it is sent.
    pub path: String,
    /// Any of them may sign; none = nothing is signed, and that is meant.
    pub secrets: Vec<Reference>,
    /// Known to a vendor that shows it when it first asks (`meta`).
    pub verify_token: Option<Reference>,
    /// Of one delivery.
    pub body_bytes_max: u64,
    /// Taken of this route.
    pub requests_per_second: Option<f64>,
}

/// How much history is kept, of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The exchange log.
    pub exchanges: Retention,
    /// Runs.
    pub runs: Retention,
    /// Deliveries.
    pub deliveries: Retention,
}

/// One `[connections.*]` table.
#[derive(Clone)]
pub struct Connection {
    /// Its name.
    pub name: String,
    /// Which connector.
    pub connector: ConnectorName,
    /// Which versions.
    pub version: semver::VersionReq,
    /// Slot → credential.
    pub credentials: BTreeMap<String, String>,
    /// Origins that stand in the connector's rules, by name.
    pub origins: BTreeMap<String, Origin>,
    /// Granted folders by the names of the manifest.
    pub folders: BTreeMap<String, GrantedFolder>,
    /// The operator's side of the grants.
    pub allow: OperatorRules,
    /// The connector's own config, a JSON object.
    pub config: serde_json::Value,
    /// Limits.
    pub limits: Limits,
    /// Network.
    pub network: Network,
    /// Body capture.
    pub capture: Capture,
    /// More names to mask.
    pub sensitive: Vec<String>,
    /// What `update` may take by itself.
    pub updates: Updates,
    /// What becomes at it, as a destination, of what was deleted at a source.
    pub deletes: Deletes,
    /// How much of a stream may be removed from it at once, in millionths.
    pub removed_share_max: u32,
    /// Streams of it are read from the start where an earlier position has expired.
    pub restarts: bool,
    /// Who to ask.
    pub owner: Option<String>,
    /// What to do.
    pub runbook: Option<String>,
}

/// `updates`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Updates {
    /// Nothing: every newer version waits for an approval.
    #[default]
    Ask,
    /// A newer version that asks for nothing beyond what is approved.
    SameGrants,
}

/// One of `folders`.
#[derive(Clone, Debug)]
pub struct GrantedFolder {
    /// As written: what is pinned.
    pub written: String,
    /// From the config's folder on.
    pub path: PathBuf,
}

/// `[connections.X.limits]`, with the defaults that hold where a key is absent.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Linear memory of one instance.
    pub memory_bytes_max: u64,
    /// Wall time of one call or page.
    pub timeout: Duration,
    /// Guest CPU of one call or page.
    pub cpu: Duration,
    /// Requests of one run, refused ones too.
    pub requests_max: u64,
    /// Body bytes sent in one run.
    pub bytes_out_max: u64,
    /// Blobs of one run, and one body that is read in pieces or goes to a blob.
    pub spool_bytes_max: u64,
    /// Decoded body of one response.
    pub response_bytes_max: u64,
    /// Instances of this connection at once.
    pub concurrency_max: u32,
    /// Log bytes of one call or page.
    pub log_bytes_max: u64,
}

/// `[connections.X.network]`.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// `host:port` → `host:port`, as written.
    pub connect_to: BTreeMap<(String, u16), (String, u16)>,
    /// The file's path and bytes.
    pub ca_file: Option<(PathBuf, Vec<u8>)>,
    /// Listed ranges.
    pub addresses: Vec<ipnet::IpNet>,
    /// Which roots.
    pub roots: Roots,
}

impl Config {
    /// Reads and parses a file.
    pub fn read(file: &Path) -> crate::exit::Result<Self> {
        let bytes = std::fs::read(file).map_err(|error| {
            crate::exit::at_file("read config", file)(error)
                .with_help(format!("name another with `--config FILE`, or create `{}`", file.display()))
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| crate::exit::Failure::fault(format!("`{}` is not UTF-8", file.display())))?;
        authored::parse(file, &text).map_err(crate::exit::Failure::documents)
    }

    /// Where its data and its lock lie.
    pub fn place(&self) -> Place {
        Place { folder: folder_of(&self.file).to_owned(), data: self.data.clone() }
    }

    /// `portcullis.lock` beside the config.
    pub fn lock_file(&self) -> PathBuf {
        self.place().lock_file()
    }

    /// A connection by name; the error suggests the nearest.
    pub fn connection(&self, name: &str) -> crate::exit::Result<&Connection> {
        self.connections.get(name).ok_or_else(|| {
            let known = self.connections.keys().map(String::as_str);
            let near = portcullis_manifest::diagnose::nearest(name, known);
            let failure = crate::exit::Failure::new(
                crate::exit::Exit::Usage,
                format!(
                    "no connection `{}` in `{}`",
                    portcullis_manifest::diagnose::shown(name),
                    self.file.display()
                ),
            );
            match near {
                Some(near) => failure.with_help(format!("did you mean `{near}`?")),
                None if authored::is_connection_name(name) => {
                    failure.with_help(format!("add a table `[connections.{name}]`"))
                }
                None => failure.with_help("`portcullis connectors` lists those that there are"),
            }
        })
    }

    /// How a person binds something: by a line of its own, or in the one that is there.
    pub fn to_bind(&self, connection: &str, table: &str, entry: &str) -> String {
        let is_there = |document: Document| document.has(&["connections", connection, table]);
        match self.document().is_ok_and(is_there) {
            true => format!("add `{entry}` to its `{table}`"),
            false => format!("{table} = {{ {entry} }}"),
        }
    }

    /// The files that these references name, where a built-in provider has them.
    pub fn secret_files<'r>(&self, references: impl IntoIterator<Item = &'r Reference>) -> Vec<PathBuf> {
        let own = folder_of(&self.file);
        let is_a_file = |reference: &&Reference| matches!(reference.provider.as_str(), "file" | "directory");
        references.into_iter().filter(is_a_file).map(|reference| own.join(&reference.path)).collect()
    }

    /// A fault at the value of this path, or at the key above it that is there.
    pub fn fault(&self, path: &[&str], message: impl Into<String>, help: Option<String>) -> Diagnostic {
        match self.document() {
            Ok(document) => document.diagnostic(document.span_of(path), message, help),
            Err(_) => Diagnostic { help, ..Diagnostic::of_file(&self.file, message) },
        }
    }

    /// The same at the key.
    pub fn fault_key(&self, path: &[&str], message: impl Into<String>, help: Option<String>) -> Diagnostic {
        match self.document() {
            Ok(document) => document.diagnostic(document.key_span_of(path), message, help),
            Err(_) => Diagnostic { help, ..Diagnostic::of_file(&self.file, message) },
        }
    }

    /// The same at the key, for a value that nobody may see: the excerpt shows neither it nor any other text of a
    /// connection's `config`, which is the connector's and may hold what is a person's.
    pub fn fault_masked(
        &self,
        path: &[&str],
        message: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        let Ok(document) = self.document() else {
            return Diagnostic { help, ..Diagnostic::of_file(&self.file, message) };
        };
        for connection in self.connections.keys() {
            if document.has(&["connections", connection, "config"]) {
                document.mask_at(&["connections", connection, "config"]);
            }
        }
        document.mask_at(path);
        document.diagnostic(document.key_span_of(path), message, help)
    }

    /// What is wrong with credentials, as far as that shows without their secrets. The excerpts show none of their strings.
    pub fn credential_faults(&self) -> Vec<Diagnostic> {
        let fault = |(name, credential): (&String, &Credential)| {
            let error = credential.check().err()?;
            let help = match &error {
                SecretError::Colon(_) => Some("the password goes into `password`, as a reference".to_owned()),
                SecretError::Place { .. } => Some("name another header or query pair".to_owned()),
                other => other.remedy(),
            };
            Some(self.fault_masked(&["credentials", name], error.to_string(), help))
        };
        self.credentials.iter().filter_map(fault).collect()
    }

    /// The text was read once already; places in it are looked for where there is a fault alone.
    fn document(&self) -> Result<Document, Vec<Diagnostic>> {
        Document::parse(&self.file, &self.text)
    }
}

/// A file's folder; `.` for a bare name.
pub fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Without `.` in the middle: the path is shown to people.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Rules of the operator's list; empty where everything approved is allowed.
pub fn operator_list(rules: &OperatorRules) -> &[(String, Rule)] {
    match rules {
        OperatorRules::Requested => &[],
        OperatorRules::Listed(rules) => rules,
    }
}
