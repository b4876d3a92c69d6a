//! The component that both sides run: the probe, built as the tests build it.

use crate::checkout;
use anyhow::{Context, ensure};
use std::{path::Path, process::Command};

/// Its bytes: without a manifest, so they are its code.
pub fn built(target: &Path) -> anyhow::Result<Vec<u8>> {
    let target = target.join("guests");
    std::fs::create_dir_all(&target)?;
    // The tests build in the same folder.
    let lock = std::fs::File::create(target.join("lock"))?;
    lock.lock()?;
    let ran = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "probe",
            "--target",
            "wasm32-wasip2",
            "--manifest-path",
        ])
        .arg(checkout().join("tests/guests/Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .context("cargo does not start")?;
    ensure!(ran.success(), "the probe can't be built");
    let file = target.join("wasm32-wasip2/release/probe.wasm");
    std::fs::read(&file).with_context(|| format!("cannot read `{}`", file.display()))
}
