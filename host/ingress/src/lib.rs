//! Webhooks in: untrusted bytes, bounded before anything looks at them, verified before anything reads them, stored before the
//! vendor has its 2xx. Decides nothing of what they mean, and has no route of an operator's.

mod accept;
mod bucket;
mod handshake;
mod idle;
pub mod limits;
mod listen;
mod peer;
mod room;
mod route;

pub use handshake::Handshake;
pub use listen::{Ingress, Shared};
pub use route::{Check, Route, RouteError, Routes};
