//! Write Portcullis connectors in Rust.
//!
//! A connector is a WebAssembly component that holds no authority: it builds requests and reads answers, and the host
//! decides, attaches credentials, retries, waits and logs. So there is no signing here, no sleep, no retry and no secret.
//!
//! ```no_run
//! use portcullis_sdk::{Actions, Config, Error, Input, Lifecycle, Outcome, Result, connector, http, json::Json};
//!
//! struct Acme;
//! connector!(Acme: actions);
//!
//! impl Lifecycle for Acme {}
//!
//! impl Actions for Acme {
//!     fn invoke(_config: Config, action: &str, input: Input, _resume: Option<Json>) -> Result<Outcome> {
//!         match action {
//!             "create-customer" => {
//!                 let fields: serde_json::Value = input.parse()?;
//!                 let response = http::post("https://api.acme.example/v1/customers").json(&fields).send()?;
//!                 Outcome::done_raw(response.error_for_status()?.into_text()?)
//!             }
//!             other => Err(Error::unsupported_action(other)),
//!         }
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Build for `wasm32-wasip2` as `cdylib`, with `opt-level = 3`: JSON is what a connector spends its time on.

mod actions;
pub mod assets;
#[doc(hidden)]
pub mod bindings;
pub mod blobs;
#[doc(hidden)]
pub mod bridge;
mod error;
pub mod files;
#[cfg(not(target_arch = "wasm32"))]
pub mod harness;
pub mod http;
pub mod json;
pub mod log;
mod macros;
pub mod paging;
mod roles;
mod source;
pub mod sse;
pub mod state;
mod storage;

pub use actions::{Actions, Outcome};
pub use error::{Error, ErrorKind, Result};
pub use json::{Config, Input};
pub use roles::{
    Batch, Delivery, Destination, Event, Handled, Lifecycle, Migration, Mode, Rejected, Reply, Subscription,
    Subscriptions, Webhook,
};
pub use serde_json;
pub use source::{Page, Position, ReadRequest, Source, StreamDescriptor};
