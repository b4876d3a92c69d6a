//! Decides, explains and compares what a connection may do. Pure: no I/O, no async, no clock, no TOML, no secrets.

pub mod address;
pub mod authorize;
pub mod boundary;
pub mod cover;
pub mod explain;
pub mod from_response;
pub mod grant;
pub mod host;
pub mod limits;
pub mod origin;
pub mod path;
pub mod propose;
pub mod query;
mod remedy;
pub mod rule;
pub mod url;

pub use address::{AddressDenied, AddressPolicy};
pub use authorize::{AuthorizedRequest, Denial, DenialReason, ReservedName};
pub use boundary::{Boundary, BoundaryRule};
pub use from_response::{FromResponse, NamedUrls, Step, Taken, UrlPlace, UrlPlaceError};
pub use grant::{Attributes, Grants, Idempotency, ManifestRule, OperatorRules, Redirect};
pub use origin::{ExpandError, Origin, OriginError, RequestedRule};
pub use query::{QueryError, QueryRule, ValuePattern};
pub use rule::{Method, Rule, RuleError};
pub use url::{CanonicalUrl, UrlError};
