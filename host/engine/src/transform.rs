//! The port through which the engine has jq evaluated. The wiring implements it over the runtime.

use crate::Failure;
use tokio::sync::watch;

/// Evaluates programs, somewhere where they can't do harm.
#[async_trait::async_trait]
pub trait Transform: Send + Sync {
    /// The outputs of the program for each input, in order. All is JSON text.
    async fn evaluate(&self, program: Program) -> Result<Vec<Vec<String>>, Failure>;
}

/// A program and what it is given.
#[derive(Clone, Debug)]
pub struct Program {
    /// jq.
    pub text: String,
    /// `$NAME` and its value.
    pub variables: Vec<(String, String)>,
    /// Each is `.` once.
    pub inputs: Vec<String>,
    /// Of one input: more are an error.
    pub outputs_max: u32,
    /// Turns true when nobody waits any more.
    pub cancelled: watch::Receiver<bool>,
}
