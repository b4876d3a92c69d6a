//! Schemas and documents, by this process and by real children, among them those that are made to end one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

mod faults;
mod hostile;
mod life;
mod same;
mod support;
