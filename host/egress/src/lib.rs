//! The only way out of the process: one pipeline, one file a layer, assembled in `pipeline.rs` alone.

mod admit;
pub mod announce;
mod authorize;
mod bound;
mod breaker;
mod budget;
mod credential;
pub(crate) mod decode;
mod dial;
mod download;
pub(crate) mod echo;
pub mod error;
pub mod exchange;
mod exchange_log;
pub mod explain;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod headers;
pub mod idempotency;
pub mod limits;
pub(crate) mod mask;
mod named;
mod parse;
mod payload;
mod pieces;
pub mod pipeline;
mod prepared;
mod rate_limit;
mod receive;
pub mod request;
mod retry;
mod scan;
mod service;
pub mod settings;
mod state;
#[cfg(test)]
mod testing;
pub mod whole;

pub use announce::Announcement;
pub use download::Keep;
pub use error::{Error, SettingsError};
pub use exchange::{Announced, Exchange, ExchangeSink, Outcome, Withheld};
pub use explain::{Explained, Found, Question};
pub use idempotency::{Intent, IntentEnd, IntentError, Intents, Prior};
pub use payload::{Content, Held, Part, Payload};
pub use pieces::Body;
pub use pipeline::{Call, Connection, Egress};
pub use request::{Head, Request, Response};
pub use settings::{CallContext, Capture, ConnectionSettings, NetworkSettings, Roots};
pub use whole::{Content as WholeContent, Whole};
