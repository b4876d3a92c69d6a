//! The schema child as a program, for the tests of this crate; the product's own binary is its own child.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(u8::try_from(portcullis_contract::schema_child_main()).unwrap_or(u8::MAX))
}
