//! Arguments of the commands that are about positions.
use clap::{Args, Subcommand};

/// `positions`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Positions {
    /// Only of this connection
    pub connection: Option<String>,
    /// Without one, they are listed
    #[command(subcommand)]
    pub command: Option<PositionsCommand>,
}

/// What to do with one.
#[derive(Subcommand, Debug)]
pub enum PositionsCommand {
    /// Have a reader go on at a checkpoint
    Set(PositionsSet),
    /// Have a reader begin at the start: what it reads it has read before
    Reset(PositionsReset),
}

/// Whose position.
#[derive(Args, Debug)]
pub struct PositionsReset {
    /// Name in `[connections.*]`
    pub connection: String,
    /// The stream
    pub stream: String,
    /// `flow:NAME`, or the name given to `read --resume`
    #[arg(long, value_name = "NAME")]
    pub reader: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// `positions set`
#[derive(Args, Debug)]
pub struct PositionsSet {
    /// Whose
    #[command(flatten)]
    pub of: PositionsReset,
    /// JSON, as `positions` shows it
    pub checkpoint: String,
}
