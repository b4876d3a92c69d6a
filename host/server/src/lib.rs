//! The operator's door, apart from that of webhooks: a listener that tells whether the process lives and is ready, and a socket by
//! which commands ask the process that holds the data folder. It knows no other crate of the host: what is asked is answered elsewhere.

mod control;
mod health;
pub mod limits;
pub mod supervisor;

pub use control::{Answered, Asked, Control, Question, ask};
pub use health::{Health, Ready};
