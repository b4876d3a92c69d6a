//! Portcullis: config, commands and wiring behind the binary. Logic that another crate needs lives there, not here.

mod approvals;
mod batch;
mod carried;
mod cassette;
mod cli;
mod command;
mod compared;
mod config;
mod delivery;
pub mod demo;
mod difference;
mod exit;
mod files;
#[cfg(fuzzing)]
pub mod fuzzing;
mod guest;
mod heap;
mod machine;
mod output;
mod publisher;
mod registry;
mod remedy;
mod schema;
mod trace;
mod watch;
mod wiring;

use clap::Parser;
use std::{ffi::OsString, process::ExitCode};

/// The arguments that turn the process into a child of its own that compiles or checks a component, or holds documents against a
/// schema; never typed by a person.
const COMPILE_CHILD: &str = "compile-child";
const CHECK_CHILD: &str = "check-child";
const SCHEMA_CHILD: &str = "schema-child";
/// The program that runs.
const OURSELVES: &str = "/proc/self/exe";

/// The whole life of the process. `arguments` as the system gave them.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    match arguments.get(1) {
        Some(argument) if argument == COMPILE_CHILD => return child(portcullis_runtime::compile_child_main()),
        Some(argument) if argument == CHECK_CHILD => return child(portcullis_runtime::check_child_main()),
        Some(argument) if argument == SCHEMA_CHILD => return child(portcullis_contract::schema_child_main()),
        _ => {}
    }
    portcullis_contract::judge_apart(OURSELVES.into(), vec![SCHEMA_CHILD.to_owned()]);
    trace::quiet_panics();
    // Asked for before it is known whether the rest can be read.
    let as_json =
        arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let arguments = match cli::Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error, as_json),
    };
    remedy::reads(&arguments.config);
    trace::start(arguments.log_level);
    match machine::refuse_too_little().and_then(|()| command::run(&arguments)) {
        Ok(exit) => output::end(exit, arguments.json),
        Err(error) => output::failure(&error, arguments.json),
    }
}

fn child(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
