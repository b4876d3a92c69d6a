//! The compile child as a program, for the tests of this crate; the product's own binary is its own child. Two arguments
//! lower the limits: CPU seconds and bytes of memory; `check` compiles nothing.

use portcullis_runtime::{ChildLimits, check_child_main, compile_child_main_within};
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == "check") {
        return ExitCode::from(u8::try_from(check_child_main()).unwrap_or(u8::MAX));
    }
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().ok());
    let mut limits = ChildLimits::default();
    if let Some(Some(seconds)) = arguments.next() {
        limits.cpu_seconds_max = seconds;
    }
    if let Some(Some(bytes)) = arguments.next() {
        limits.memory_bytes_max = bytes;
    }
    ExitCode::from(u8::try_from(compile_child_main_within(limits)).unwrap_or(u8::MAX))
}
