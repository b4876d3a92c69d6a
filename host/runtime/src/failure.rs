//! What a failing guest looks like from the host, and which readable error it becomes.

use crate::{
    CallError,
    instance::Halt,
    limits::{self, MESSAGE_BYTES_MAX},
    text,
};
use portcullis_egress as egress;
use std::time::Duration;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

/// What the classification needs to know of the call.
pub(crate) struct Scene<'a> {
    pub(crate) cpu: Duration,
    pub(crate) instances_max: u32,
    /// The last of stderr.
    pub(crate) stderr: &'a [u8],
}

pub(crate) fn classify(error: &Error, scene: &Scene<'_>) -> CallError {
    if let Some(halt) = error.downcast_ref::<Halt>() {
        return halt.into();
    }
    if let Some(egress::Error::Exhausted { connection, requests_max }) = error.downcast_ref() {
        return CallError::Requests { connection: connection.clone(), requests_max: *requests_max };
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return CallError::Exited(*code);
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return CallError::AtCapacity(scene.instances_max);
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return CallError::Limit { limit: "handles", bound: limits::HANDLES_MAX as u64 };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => CallError::CpuBudget(millis(scene.cpu)),
        Some(Trap::UnreachableCodeReached) => CallError::Panicked(text::panic_message(scene.stderr)),
        Some(Trap::StackOverflow) => CallError::StackOverflow,
        // A Rust or C guest keeps its big variables on a stack of its own in linear memory, which ends at address 0.
        Some(Trap::MemoryOutOfBounds) => {
            CallError::Trapped("out-of-bounds memory access (often a stack overflow)".to_owned())
        }
        Some(trap) => {
            let name = trap.to_string();
            CallError::Trapped(name.strip_prefix("wasm trap: ").unwrap_or(&name).to_owned())
        }
        None => by_message(error),
    }
}

/// Errors of the engine that have no public type; tests provoke each.
fn by_message(error: &Error) -> CallError {
    let message = error.root_cause().to_string();
    let limit = |limit, bound| CallError::Limit { limit, bound };
    if message.contains("fuel allocated for hostcalls has been exhausted") {
        return limit("transfer-bytes", limits::TRANSFER_BYTES_MAX as u64);
    }
    if message.contains("store handle limit exceeded") {
        return limit("handles", limits::HANDLES_MAX as u64);
    }
    if message.starts_with("requested len ") {
        return limit("random-bytes", limits::RANDOM_BYTES_MAX);
    }
    if message.starts_with("resource limit exceeded: instance") {
        return limit("core-instances", limits::CORE_INSTANCES_MAX.into());
    }
    CallError::Trapped(text::shown(&message, MESSAGE_BYTES_MAX))
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_error() {
        fn check(error: Error, expected: &str) {
            let scene = Scene { cpu: Duration::from_secs(1), instances_max: 7, stderr: b"boom\n" };
            assert_eq!(classify(&error, &scene).to_string(), expected);
        }
        check(Halt::Memory(5).into(), "the connector asked for more than its 5 bytes of memory");
        check(Halt::Limit("x", 5).into(), "the connector went over the limit `x` of 5");
        check(
            egress::Error::Exhausted { connection: "billing".to_owned(), requests_max: 5 }.into(),
            "the connector went on asking over the limit `requests` of 5 a run; to allow more, raise `requests` in \
             `[connections.billing.limits]`",
        );
        check(I32Exit(3).into(), "the connector called exit(3)");
        check(ResourceTableError::Full.into(), "the connector went over the limit `handles` of 4096");
        check(Trap::Interrupt.into(), "the connector used up its CPU budget of 1000 ms");
        check(Trap::UnreachableCodeReached.into(), "the connector panicked: boom");
        check(Trap::StackOverflow.into(), "the connector overflowed its stack");
        check(
            Trap::MemoryOutOfBounds.into(),
            "the connector trapped: out-of-bounds memory access (often a stack overflow)",
        );
        check(Trap::IntegerDivisionByZero.into(), "the connector trapped: integer divide by zero");
        check(Error::msg("odd\u{1b}"), "the connector trapped: odd\\u{1b}");
    }
}
