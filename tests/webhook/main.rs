//! What `serve` takes from vendors, and what it does not lose.

mod accepted;
mod flows;
mod kills;
mod served;
mod supervisor;
mod sync_files;
mod syncs;
