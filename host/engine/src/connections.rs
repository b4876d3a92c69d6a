//! The port through which the engine learns what a connection is, and whether it may run at all.

use crate::{
    Schema,
    limits::{OPERATION_BYTES_MAX, SCHEMA_WORK_MAX},
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Semaphore;

/// The connections there are: today the config file, later also an API.
#[async_trait::async_trait]
pub trait Connections: Send + Sync {
    /// The facts of a connection that is approved and may run now, or why not.
    async fn ready(&self, name: &str) -> Result<Arc<ConnectionFacts>, Refused>;
}

/// Why a connection does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What is wrong.
    pub message: String,
    /// What to type.
    pub help: Option<String>,
}

/// The name of an operation that stands for every name that the manifest does not have: which ones there are says the
/// connection's config, and the connector reads it.
pub const ANY_NAME: &str = "*";

/// What the engine needs to know of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// Name in the config.
    pub name: String,
    /// `conn_…`
    pub connection_id: String,
    /// `PUBLISHER/NAME`.
    pub connector: String,
    /// Version.
    pub version: String,
    /// `sha256:…`
    pub digest: String,
    /// Actions by name; see [`ANY_NAME`].
    pub actions: BTreeMap<String, ActionFacts>,
    /// Streams by name; see [`ANY_NAME`].
    pub streams: BTreeMap<String, StreamFacts>,
    /// Positions and state values of another number mean something else.
    pub position_version: u32,
    /// Does it play the role `migration`?
    pub migrates: bool,
    /// Does it play the role `source`?
    pub has_source: bool,
    /// Does it play the role `actions`?
    pub has_actions: bool,
    /// Who may work on its schemas.
    pub schema_work: SchemaWork,
    /// Does it play the role `webhook`?
    pub has_webhook: bool,
    /// Does it play the role `destination`?
    pub has_destination: bool,
    /// What becomes at it, as a destination, of what was deleted at a source.
    pub deletes: Deletes,
    /// How much of a stream may be removed from it at once, in millionths.
    pub removed_share_max: u32,
    /// Streams of it are read from the start where it does not know a checkpoint any more.
    pub restarts: bool,
}

/// What becomes at a destination of what was deleted at its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deletes {
    /// It is removed.
    Hard,
    /// It stays, and its record says that it was deleted.
    #[default]
    Soft,
    /// Nothing.
    Ignore,
}

impl Deletes {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Hard, Self::Soft, Self::Ignore];

    /// As the config writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::Ignore => "ignore",
        }
    }
}

/// The turns of one connection's schema work. A piece of work keeps its turn until it ends, whoever waits for it: a schema that
/// never comes to an end holds up its own connection and nobody else.
#[derive(Clone, Debug)]
pub struct SchemaWork(pub(crate) Arc<Semaphore>);

impl Default for SchemaWork {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SCHEMA_WORK_MAX)))
    }
}

impl ConnectionFacts {
    /// The action of this name.
    pub fn action(&self, name: &str) -> Option<&ActionFacts> {
        self.actions.get(name).or_else(|| self.actions.get(ANY_NAME).filter(|_| is_operation(name)))
    }

    /// The stream of this name, where there may be one.
    pub fn stream(&self, name: &str) -> Option<&StreamFacts> {
        self.streams.get(name).or_else(|| self.streams.get(ANY_NAME).filter(|_| is_operation(name)))
    }
}

/// What a manifest could have named: it stands in the store and in file names of tools.
pub fn is_operation(name: &str) -> bool {
    name.len() <= OPERATION_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// An action of the manifest.
#[derive(Clone, Debug)]
pub struct ActionFacts {
    /// Of its input.
    pub input: Schema,
    /// Of its output.
    pub output: Schema,
    /// `delivery = "at-least-once"`.
    pub at_least_once: bool,
}

/// A stream of the manifest.
#[derive(Clone, Debug)]
pub struct StreamFacts {
    /// Of its records.
    pub schema: Schema,
    /// Properties that name a record.
    pub primary_key: Vec<String>,
    /// Property that grows.
    pub cursor_field: Option<String>,
}
