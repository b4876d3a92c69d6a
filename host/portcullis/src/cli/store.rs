//! Arguments of the commands that are about the data folder as a whole.
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `store`
#[derive(Subcommand, Debug)]
pub enum StoreCommand {
    /// Look through both databases, page by page, and say what is wrong; beside a `serve` too
    Check,
    /// Copy both databases, as of one moment each, and what was approved and revoked, into a new folder; beside a `serve` too
    Backup(StoreBackup),
    /// Put a backup in place of what there is, which is kept; what waited in it is a person's to decide then
    Restore(StoreRestore),
}

/// `store backup`
#[derive(Args, Debug)]
pub struct StoreBackup {
    /// The folder, which is made
    pub dir: PathBuf,
}

/// `store restore`
#[derive(Args, Debug)]
pub struct StoreRestore {
    /// What `store backup` made
    pub dir: PathBuf,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
