//! The documents: `connector.toml`, the manifest embedded in a component, `portcullis.lock`. Parses each into
//! types that cannot hold a bad value; decides nothing.

pub mod connector;
pub mod diagnose;
pub mod embed;
pub mod embedded;
pub mod json;
pub mod keys;
pub mod limits;
pub mod lock;
pub mod schema;
pub mod signatures;
pub mod signing;
pub mod world;

pub use connector::{
    Access, Action, Connector, ConnectorName, Delivery, Folder, RequestedFolder, Role, Slot, Stream, Webhook,
};
pub use diagnose::{Diagnostic, Location};
pub use embedded::{Component, EmbeddedError};
pub use lock::{Approval, Lock};
