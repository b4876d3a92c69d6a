//! `completions` and `man`: the command line as shells and `man` read it, from the same definitions as `--help`.
use crate::{
    cli::{Arguments, Completions, Man},
    exit::{Exit, Failure, Result, at_file},
    output,
};
use clap::CommandFactory;
use serde_json::json;
use std::{fs, io};

/// Prints the script of a shell, as it is: its tabs and controls mean something to it.
pub fn completions(options: &Completions) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "portcullis", &mut script);
    match output::bytes(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::fault("stdout can't be written").because(&error))
        }
        _ => Ok(Exit::Success),
    }
}

/// Writes the pages.
pub fn pages(arguments: &Arguments, options: &Man) -> Result<Exit> {
    let dir = &options.dir;
    fs::create_dir_all(dir).map_err(at_file("create", dir))?;
    clap_mangen::generate_to(Arguments::command(), dir).map_err(at_file("write man pages to", dir))?;
    if arguments.json {
        output::json_line(&json!({ "written_to": dir.display().to_string() }));
    } else {
        output::line(&format!(
            "man pages are in `{0}`: `man '{0}/portcullis.1'` shows the first",
            dir.display()
        ));
    }
    Ok(Exit::Success)
}
