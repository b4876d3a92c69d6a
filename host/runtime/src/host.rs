//! What a guest may call: one folder a version of the WIT, and WASI that grants nothing.

pub(crate) mod stdio;
pub(crate) mod v0_1;
pub(crate) mod wasi;
pub(crate) mod wasi_http;
