//! What the fuzz targets of `tests/fuzz` reach of the binary's crate. Exists under `cfg(fuzzing)` alone, which cargo-fuzz sets: no
//! build that ships holds it. Owns no logic.

use crate::{
    batch::Records,
    cassette::Cassette,
    config::{authored, diagnose},
    delivery,
};
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

/// Reads a stored delivery; what was read passes its own checks unchanged. The words of a refusal.
pub fn delivery(bytes: &[u8]) -> Result<(), Vec<String>> {
    let read = delivery::parse(bytes)
        .map_err(|error| vec![error.to_string(), error.help().unwrap_or("no help").to_owned()])?;
    assert_eq!(delivery::checked(read.clone()), Ok(read));
    Ok(())
}

/// Reads a batch; what was read is the same bytes, and a line each. The words of a refusal.
pub fn batch(bytes: &[u8]) -> Result<(), Vec<String>> {
    let read = Records::parse(bytes.to_vec()).map_err(|error| vec![error.to_string()])?;
    let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n').count();
    assert_eq!(read.lines().count(), lines);
    assert_eq!(read.into_bytes(), bytes);
    Ok(())
}

/// Reads a cassette. The words of the faults.
pub fn cassette(text: &str) -> Result<(), Vec<String>> {
    let file = Path::new("/nowhere/tests/cassettes/one.toml");
    match Cassette::parse(file, text) {
        Ok(read) => {
            // Named, or refused by name.
            let _ = read.hosts();
            Ok(())
        }
        Err(faults) => Err(faults.into_iter().map(|fault| fault.message).collect()),
    }
}
