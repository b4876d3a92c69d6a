//! Portcullis: config, commands and wiring behind the binary. Logic that another crate needs lives there, not here.

mod approvals;
mod cli;
mod command;
mod config;
pub mod demo;
mod exit;
mod files;
mod output;
mod registry;
mod trace;
mod wiring;

use clap::Parser;
use std::{ffi::OsString, process::ExitCode};

/// The argument that turns the process into the compile child of the runtime; never typed by a person.
const COMPILE_CHILD: &str = "compile-child";

/// The whole life of the process. `arguments` as the system gave them.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    if arguments.get(1).is_some_and(|argument| argument == COMPILE_CHILD) {
        return ExitCode::from(u8::try_from(portcullis_runtime::compile_child_main()).unwrap_or(1));
    }
    let arguments = match cli::Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    trace::start(arguments.log_level);
    match command::run(&arguments) {
        Ok(exit) => exit.into(),
        Err(error) => output::failure(&error, arguments.json),
    }
}
