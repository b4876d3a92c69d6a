//! What the fuzz targets of `tests/fuzz` reach of the binary's crate. Exists under `cfg(fuzzing)` alone, which cargo-fuzz sets: no
//! build that ships holds it. Owns no logic.

use crate::config::{authored, diagnose};
use std::path::Path;

/// What a config text reads to, in as far as it can be compared, or its faults: each rendered, and its words alone.
pub fn config(text: &str) -> Result<Vec<String>, Vec<(String, String)>> {
    match authored::parse(Path::new("/nowhere/portcullis.toml"), text) {
        Ok(config) => Ok(config
            .connections
            .iter()
            .map(|(name, one)| {
                format!("{name} {} {} {:?} {:?}", one.connector, one.version, one.limits, one.network)
            })
            .collect()),
        Err(faults) => {
            Err(faults.iter().map(|fault| (diagnose::render(fault), fault.message.clone())).collect())
        }
    }
}
