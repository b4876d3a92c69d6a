//! What a hostile guest, or a hostile file that claims to be one, can't do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod compile_bombs;
mod default_deny;
mod dos;
mod files;
mod generated;
mod malicious_binary;
mod wasi_http;
