//! Plain settings, as the binary resolved them from config and lock.
use portcullis_grants::{AddressPolicy, Grants, Rule};
use portcullis_secrets::Credential;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// One connection, resolved.
pub struct ConnectionSettings {
    /// Operator's name of it, for remedies and logs.
    pub name: String,
    /// `conn_…`
    pub connection_id: String,
    /// `acme/stripe`
    pub connector: String,
    /// `1.2.0`
    pub connector_version: String,
    /// Both sides of the grants.
    pub grants: Grants,
    /// Slot → credential.
    pub credentials: BTreeMap<String, Credential>,
    /// Where secrets come from.
    pub providers: portcullis_secrets::Providers,
    /// Network.
    pub network: NetworkSettings,
    /// Names masked in bodies, of all operations and of the connection.
    pub sensitive: Vec<String>,
    /// Body capture.
    pub capture: Capture,
    /// Total time of one request, retries and waits included.
    pub timeout: Duration,
    /// Ceiling of a decoded body.
    pub response_bytes_max: u64,
    /// Ceiling of a decoded body that is read in pieces or goes to the spool.
    pub streamed_bytes_max: u64,
    /// Requests a run may make.
    pub requests_max: u64,
    /// Bytes a run may send.
    pub bytes_out_max: u64,
    /// True where the approval behind this connection was revoked: asked before each attempt (a file may appear at any time).
    pub revoked: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// `[connections.X.network]`.
#[derive(Clone, Default)]
pub struct NetworkSettings {
    /// (host, port of the URL) → (host or literal, port dialled).
    pub connect_to: Vec<((String, u16), (String, u16))>,
    /// PEM that replaces the roots.
    pub ca_pem: Option<Vec<u8>>,
    /// The guard.
    pub addresses: AddressPolicy,
    /// Which roots.
    pub roots: Roots,
    /// Nothing is dialled but what `connect_to` maps: for one that plays, and whose requests must not reach anybody.
    pub mapped_alone: bool,
}

/// TLS roots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// webpki-roots.
    #[default]
    Bundled,
    /// The system's bundle.
    System,
}

/// Which bodies the exchange log keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Capture {
    /// None.
    None,
    /// Of failed exchanges (status ≥ 400 or error).
    #[default]
    Errors,
    /// All.
    All,
}

/// What one call brings along.
#[derive(Clone)]
pub struct CallContext {
    /// `run_…`
    pub run_id: String,
    /// Step within the run, durable name.
    pub step: String,
    /// Durable place of the call in its step (page ordinal, …): part of derived idempotency keys.
    pub call: String,
    /// Correlation id: shown by `logs`.
    pub correlation_id: String,
    /// `http` list of the running action or stream; None = all approved rules.
    pub operation_rules: Option<Vec<Rule>>,
    /// Cancelled when this resolves/flips.
    pub cancelled: tokio::sync::watch::Receiver<bool>,
    /// Requests that may have an effect are made ready and shown, and never leave.
    pub dry_run: bool,
}
