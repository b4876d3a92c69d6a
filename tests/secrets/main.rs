//! Where secrets go, and where they never do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod canary;
mod echo;
mod process;
mod wire;
