//! From a reference to bytes, for egress. A secret is a type: no `Debug`, `Display`, `Serialize`; zeroized.

pub mod audit;
pub mod credential;
pub mod limits;
pub mod provider;
pub mod reference;
pub mod secret;
pub mod webhook;

pub use audit::{Audit, AuditError};
pub use credential::{Attachment, Credential, Place, PlaceError, Scheme, UserName};
pub use provider::{DirectoryProvider, EnvProvider, FileProvider, Provider, Providers, SecretError};
pub use reference::{Reference, ReferenceError};
pub use secret::Secret;
