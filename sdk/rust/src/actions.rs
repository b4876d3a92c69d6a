//! The types of the `actions` role.

use crate::{Config, Input, Result, json, json::Json};
use serde::Serialize;

/// Single operations: the manifest's `[actions.NAME]`.
pub trait Actions {
    /// Runs `action`. `resume`: what the earlier [`Outcome::pending`] of this invocation held. Make unsafe requests in the
    /// same order when called again: their idempotency keys depend on it.
    fn invoke(config: Config, action: &str, input: Input, resume: Option<Json>) -> Result<Outcome>;
}

/// What an action gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome(pub(crate) Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Done(String),
    Pending { resume: Json, after_ms: u64 },
}

impl Outcome {
    /// Done, with this output.
    pub fn done(output: &impl Serialize) -> Result<Self> {
        Ok(Self(Kind::Done(json::to_string(output)?)))
    }

    /// Done, with an output that is JSON already; what is none is `ContractDrift`.
    pub fn done_raw(output: String) -> Result<Self> {
        json::parse::<serde::de::IgnoredAny>(&output)?;
        Ok(Self(Kind::Done(output)))
    }

    /// Not done yet: the action is called again with `resume` after this time.
    pub fn pending(resume: &impl Serialize, after_ms: u64) -> Result<Self> {
        Ok(Self(Kind::Pending { resume: Json::of(resume)?, after_ms }))
    }

    /// The output where it is done: for tests.
    pub fn output(&self) -> Option<&str> {
        match &self.0 {
            Kind::Done(output) => Some(output),
            Kind::Pending { .. } => None,
        }
    }
}
