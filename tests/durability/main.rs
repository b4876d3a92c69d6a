//! What survives `kill -9`, a failed disk and another version, and what `revoke` ends: checked against a vendor that keeps its own
//! books.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fsync;
mod growth;
mod kills;
mod outcomes;
mod revoke;
mod schedules;
mod versions;

use portcullis_tests::{
    Project,
    guests::{self, Installed},
    model::{KEY, Model},
};

/// The shipped Stripe connector at this model, approved.
fn project(model: &Model) -> (Project, Installed) {
    let connector = guests::connector("stripe");
    let project = Project::new();
    project
        .config(&model.config())
        .secret("stripe.key", KEY)
        .install(&connector)
        .approve("billing", &connector);
    // Compiled once: the kills below then meet the run and not the compiler.
    project.run(&["check", "billing"]).exits(0);
    (project, connector)
}

/// A sequence of numbers that looks random and is the same each time (splitmix64).
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}
