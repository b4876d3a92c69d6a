//! `connector.toml` and its embedded JSON form: what the author declares. Both forms are read into the same type and held to
//! the same checks. Requests are declared here, never granted.
use portcullis_grants::{FromResponse, ManifestRule, RequestedRule};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    str::FromStr,
    time::Duration,
};

mod check;
mod folder;
mod from_response;
mod json;
pub mod keys;
mod toml;
mod webhook;

pub use check::{RateError, requests_per_second};
pub use folder::Folder;
pub use webhook::Webhook;

/// `publisher/name`, both `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectorName {
    /// Before the slash.
    pub publisher: String,
    /// After it.
    pub name: String,
}

/// Why a text names no connector, role or other word of a fixed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `publisher/name`.
    #[error("expected `publisher/name`, each of lower-case letters, digits and `-`, at most 63 long")]
    Connector,
    /// No such role.
    #[error(
        "unknown role; the roles are `actions`, `source`, `destination`, `webhook`, `subscriptions`, `migration`"
    )]
    Role,
    /// No such guarantee.
    #[error("expected `at-least-once` or `at-most-once`")]
    Delivery,
    /// No such access.
    #[error("expected `read`, `write` or `read-write`")]
    Access,
}

impl FromStr for ConnectorName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (publisher, name) = text.split_once('/').ok_or(NameError::Connector)?;
        if !is_label(publisher) || !is_label(name) {
            return Err(NameError::Connector);
        }
        Ok(Self { publisher: publisher.to_owned(), name: name.to_owned() })
    }
}

/// `[a-z0-9][a-z0-9-]{0,62}`
fn is_label(text: &str) -> bool {
    let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= 63 && text.bytes().next().is_some_and(byte) && text.bytes().all(|b| byte(b) || b == b'-')
}

impl fmt::Display for ConnectorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.publisher, self.name)
    }
}

/// What a component exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// `actions`
    Actions,
    /// `source`
    Source,
    /// `destination`
    Destination,
    /// `webhook`
    Webhook,
    /// `subscriptions`
    Subscriptions,
    /// `migration`
    Migration,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Actions, Self::Source, Self::Destination, Self::Webhook, Self::Subscriptions, Self::Migration];

    /// Its name in the manifest, and the name of the interface.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Actions => "actions",
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Webhook => "webhook",
            Self::Subscriptions => "subscriptions",
            Self::Migration => "migration",
        }
    }
}

impl FromStr for Role {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(NameError::Role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The whole manifest, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Connector {
    /// Identity.
    pub name: ConnectorName,
    /// Semantic version.
    pub version: semver::Version,
    /// See design: another number waits for approval.
    pub position_version: u32,
    /// See design.
    pub config_version: u32,
    /// Declared roles; `build` compares them with the component's exports.
    pub roles: BTreeSet<Role>,
    /// `files`, `wasi-http`: what the component may import beside the rest.
    pub capabilities: BTreeSet<String>,
    /// One line for people.
    pub summary: String,
    /// JSON Schema 2020-12 of the connection's `config`; absent = only `{}`.
    pub config_schema: Option<Value>,
    /// Credential slots by name.
    pub slots: BTreeMap<String, Slot>,
    /// All `[[http]]` tables, one entry per `allow` line.
    pub rules: Vec<ManifestRule<RequestedRule>>,
    /// Those with `from-response`: they let pass what an answer names, and nothing by themselves.
    pub from_response: Vec<FromResponse<RequestedRule>>,
    /// Folders that the operator grants, by name.
    pub folders: BTreeMap<String, RequestedFolder>,
    /// Actions by name.
    pub actions: BTreeMap<String, Action>,
    /// Streams by name.
    pub streams: BTreeMap<String, Stream>,
    /// How the vendor signs what it delivers.
    pub webhook: Option<Webhook>,
    /// Author's proposal: `[limits] requests-per-second`.
    pub requests_per_second: Option<f64>,
}

/// A credential slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// What the vendor accepts: `bearer`, `basic`, `api-key-header`, `api-key-query` … as written.
    pub schemes: Vec<String>,
    /// Proposed header or query name for API keys.
    pub place: Option<String>,
    /// The author's reason.
    pub why: String,
}

/// A folder that the operator has to grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedFolder {
    /// What is done in it.
    pub access: Access,
    /// The author's reason.
    pub why: String,
}

/// What may be done in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Files are read, names listed.
    Read,
    /// Files are written, and replaced.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "read-write",
        }
    }

    /// Whether files may be read and names listed.
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Whether files may be written.
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

impl FromStr for Access {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let all = [Self::Read, Self::Write, Self::ReadWrite];
        all.into_iter().find(|access| access.as_str() == text).ok_or(NameError::Access)
    }
}

/// How often the host may perform an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Needs idempotency.
    AtLeastOnce,
    /// Intent before send, never repeated.
    AtMostOnce,
}

impl Delivery {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at-least-once",
            Self::AtMostOnce => "at-most-once",
        }
    }
}

impl FromStr for Delivery {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "at-least-once" => Ok(Self::AtLeastOnce),
            "at-most-once" => Ok(Self::AtMostOnce),
            _ => Err(NameError::Delivery),
        }
    }
}

/// One action.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// For people.
    pub summary: Option<String>,
    /// JSON Schema of the input.
    pub input: Value,
    /// JSON Schema of the output.
    pub output: Value,
    /// Narrowed rules; empty = all of the connector's.
    pub http: Vec<RequestedRule>,
    /// Delivery guarantee; `at-most-once` where the author says nothing.
    pub delivery: Delivery,
    /// Property names masked in the exchange log.
    pub sensitive: Vec<String>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// For people.
    pub summary: Option<String>,
    /// JSON Schema of a record.
    pub schema: Value,
    /// Property names.
    pub primary_key: Vec<String>,
    /// Property name.
    pub cursor_field: Option<String>,
    /// Narrowed rules; empty = all of the connector's.
    pub http: Vec<RequestedRule>,
    /// Property names masked in the exchange log.
    pub sensitive: Vec<String>,
}

/// Default time the host waits for a whole page or action, when the connection says nothing.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

impl Connector {
    /// Reads `DIR/connector.toml` and every schema it names; all faults that can be found at once.
    pub fn read_folder(dir: &Path) -> Result<Self, Vec<crate::Diagnostic>> {
        Folder::read(dir).map(|folder| folder.connector)
    }

    /// Reads the files that `[assets]` of `DIR/connector.toml` names.
    pub fn read_assets(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, Vec<crate::Diagnostic>> {
        Folder::read(dir).map(|folder| folder.assets)
    }

    /// Its schemas, each with where it stands in the document.
    pub fn schemas(&self) -> impl Iterator<Item = (Vec<&str>, &Value)> {
        let config = self.config_schema.iter().map(|schema| (vec!["connector", "config-schema"], schema));
        let actions = self.actions.iter().flat_map(|(name, action)| {
            [("input", &action.input), ("output", &action.output)]
                .map(|(key, schema)| (vec!["actions", name, key], schema))
        });
        let streams =
            self.streams.iter().map(|(name, stream)| (vec!["streams", name, "schema"], &stream.schema));
        config.chain(actions).chain(streams)
    }

    /// The canonical JSON document that is embedded, schemas inlined.
    pub fn to_json(&self) -> Vec<u8> {
        crate::json::canonical(json::print(self))
    }

    /// Parses the embedded document with the same checks; hostile until parsed.
    pub fn from_json(json: &[u8]) -> Result<Self, crate::EmbeddedError> {
        json::read(json)
    }
}

/// Sets of rules that a lock pins are printed and read like those of a manifest.
pub(crate) use self::{from_response::read as read_from_response, toml::attributes as read_attributes};

#[cfg(test)]
pub(crate) mod tests;
