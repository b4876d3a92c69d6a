//! Arguments of the commands that are about flows.
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `run`
#[derive(Args, Debug)]
pub struct RunFlow {
    /// Name in `[flows.*]`
    pub flow: String,
    /// Input as JSON; `-` reads it from stdin
    #[arg(value_name = "JSON")]
    pub input: Option<String>,
    /// Read the input from a file
    #[arg(long = "input", value_name = "FILE", conflicts_with = "input")]
    pub input_file: Option<PathBuf>,
    /// Print the run's id and do not wait: a `serve` goes on with it
    #[arg(long)]
    pub detach: bool,
}

/// `flows`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Flows {
    /// Without one, they are listed
    #[command(subcommand)]
    pub command: Option<FlowsCommand>,
}

/// What to do with flows.
#[derive(Subcommand, Debug)]
pub enum FlowsCommand {
    /// Do a flow's steps without effects, and show what each leaves: nothing is called, and nothing is kept
    Test(FlowsTest),
}

/// `flows test`
#[derive(Args, Debug)]
pub struct FlowsTest {
    /// Name in `[flows.*]`
    pub flow: String,
    /// Input as JSON; `-` reads it from stdin
    #[arg(value_name = "JSON")]
    pub input: Option<String>,
    /// Read the input from a file
    #[arg(long = "input", value_name = "FILE", conflicts_with = "input")]
    pub input_file: Option<PathBuf>,
    /// What stands for the answer to a step's calls: JSON in a file; for each step whose answer a later one needs
    #[arg(long = "output", value_name = "STEP=FILE")]
    pub outputs: Vec<String>,
}
