//! The compile child as a program, for the tests of this crate; the product's own binary is its own child. Two arguments
//! lower the limits: CPU seconds and bytes of memory.

use portcullis_runtime::{ChildLimits, compile_child_main_within};
use std::process::ExitCode;

fn main() -> ExitCode {
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
