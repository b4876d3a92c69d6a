//! What the machine brings along: the kernel and the clock.
use super::Findings;
use crate::{config::Config, wiring::INSTANCES_MAX};
use portcullis_clock::{Clock, RealClock, Timestamp};
use std::{fs, path::Path, time::Duration};

/// No machine that runs this is older.
const BUILT_AFTER: &str = "2026-01-01T00:00:00.000Z";
/// How far a file's time may lie ahead: file servers have clocks of their own.
const AHEAD_MAX: Duration = Duration::from_secs(300);

const SET_CLOCK: &str = "set the clock: `timedatectl set-ntp true` has the network keep it; approvals, certificates and positions depend on it";

pub fn kernel(findings: &mut Findings) {
    if portcullis_runtime::pagemap_scan_available() {
        findings.ok("kernel", "it can tell which pages were written (PAGEMAP_SCAN)");
    } else {
        findings.warning(
            "kernel",
            "it can't tell which pages were written (PAGEMAP_SCAN): each call takes longer to clean up",
            "run Linux 6.7 or newer; a container must let the process open /proc/self/pagemap",
        );
    }
    let bound = portcullis_runtime::instances_bound(INSTANCES_MAX);
    if bound == INSTANCES_MAX {
        findings.ok("kernel", format!("`vm.max_map_count` is enough for {bound} instances at once"));
    } else {
        findings.warning(
            "kernel",
            format!(
                "`vm.max_map_count` is enough for {bound} instances at once, {INSTANCES_MAX} are possible"
            ),
            "sysctl -w vm.max_map_count=65530",
        );
    }
}

pub fn clock(config: &Config, findings: &mut Findings) {
    let now = RealClock.now();
    if *now.to_string() < *BUILT_AFTER {
        findings.error("clock", format!("it says {now}, which is before this version was made"), SET_CLOCK);
        return;
    }
    let written = ["state.db", "exchanges.db"].map(|name| config.data.join(name));
    let files = [config.file.clone(), config.lock_file()].into_iter().chain(written);
    let newest = files.filter_map(|file| Some((modified(&file)?, file))).max();
    match newest {
        Some((then, file)) if then > now.plus(AHEAD_MAX) => findings.warning(
            "clock",
            format!(
                "it says {now}, and `{}` was written at {then}: it went back, or that was written elsewhere",
                file.display()
            ),
            SET_CLOCK,
        ),
        _ => findings.ok("clock", format!("it says {now}, and nothing here was written later")),
    }
}

fn modified(file: &Path) -> Option<Timestamp> {
    let since = fs::metadata(file).ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}
