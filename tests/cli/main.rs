//! The command line: help, errors and exit codes as snapshots, with what changes from run to run filtered out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod announced;
mod approvals;
mod bad_input;
mod cassettes;
mod config;
mod deliveries;
mod demo;
mod denials;
mod doctor;
mod dry_run;
mod explain;
mod flows;
mod fresh;
mod handed;
mod help;
mod history;
mod init;
mod manual;
mod origins;
mod output;
mod pins;
mod revoke;
mod schemas;
mod signatures;
mod status;
mod store;
mod updates;

use portcullis_tests::{Project, Ran};

/// Exit code, stdout and stderr as one text, without paths, ids, times, digests and ports.
fn shown(project: &Project, ran: &Ran) -> String {
    let folder = project.path("").display().to_string();
    let code = ran.status.map_or("killed".to_owned(), |status| status.to_string());
    let text = format!("exit: {code}\n--- stdout\n{}--- stderr\n{}", ran.stdout, ran.stderr);
    text.replace(folder.trim_end_matches('/'), "[FOLDER]")
}

/// Compares with the snapshot of this name.
macro_rules! snapshot {
    ($name:expr, $project:expr, $ran:expr) => {{
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_snapshot_path("snapshots");
        settings.add_filter(r"sha256([:-])[0-9a-f]{64}", "sha256${1}[DIGEST]");
        settings.add_filter(r"\b(run|exch|cor|corr|apr|conn)_[0-9A-Za-z]{8,}", "${1}_[ID]");
        settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]");
        settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]");
        settings.add_filter(r"\b\d+ ms\b", "[MS] ms");
        settings.add_filter(r"\b\d+ bytes\b", "[SIZE] bytes");
        settings.add_filter(r"process \d+", "process [PID]");
        settings.add_filter(r"[ \t]+\n", "\n");
        settings.bind(|| insta::assert_snapshot!($name, crate::shown(&$project, &$ran)));
    }};
}
use snapshot;
