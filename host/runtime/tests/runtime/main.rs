//! The runtime with a real guest: roles, host functions, failures, limits, compiling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, clippy::disallowed_types)]

mod compile;
mod failures;
mod functions;
mod hardened;
mod limits;
mod roles;
mod support;
