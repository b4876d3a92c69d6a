//! The transform connector: evaluates jq programs over JSON, for the steps of a flow that choose and reshape.
//!
//! It reaches nothing: no request, no clock, no environment, no folder. A program that is wrong is an output and no failure of the
//! call, so that a flow can say where. What a program may not do is refused before it runs (`functions.rs`); one that does not end
//! is ended by the sandbox.
mod delete;
mod evaluate;
mod fault;
mod functions;
mod limits;
mod nesting;
mod program;
mod read;
#[cfg(test)]
mod tests;
mod words;
mod write;

use portcullis_sdk::{Actions, Config, Error, Input, Lifecycle, Outcome, Result, connector, json::Json};

struct Transform;
connector!(Transform: actions);

impl Lifecycle for Transform {}

impl Actions for Transform {
    fn invoke(_config: Config, action: &str, input: Input, _resume: Option<Json>) -> Result<Outcome> {
        match action {
            "evaluate" => Outcome::done_raw(evaluate::evaluate(&input.parse()?)?),
            "compile" => Outcome::done_raw(evaluate::compile(&input.parse()?)?),
            other => Err(Error::unsupported_action(other)),
        }
    }
}
