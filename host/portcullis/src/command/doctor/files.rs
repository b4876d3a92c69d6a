//! Who may write to what decides: config, lock, `data`, registry; and who may read `data`.
use super::Findings;
use crate::{
    approvals,
    config::{Config, folder_of},
    exit::Failure,
    output, registry,
    remedy::quoted,
};
use portcullis_store::LockError;
use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

pub fn look(config: &Config, findings: &mut Findings) {
    data(config, findings);
    let mut safe = true;
    for (what, path) in [
        ("the folder of the config", folder_of(&config.file)),
        ("the config", config.file.as_path()),
        ("the lock", config.lock_file().as_path()),
        ("the registry", config.registry.as_path()),
    ] {
        safe &= writable(what, path, findings);
    }
    if safe {
        findings.ok("files", "nobody else may write to config, lock or the folder of the registry");
    }
    if !config.registry.is_dir() {
        findings.warning(
            "files",
            format!(
                "the registry `{}` is no folder: no connector can be approved",
                config.registry.display()
            ),
            format!("mkdir {}", quoted(&config.registry)),
        );
    }
    foreign(config, findings);
}

/// What lies at the place of a version and is not that version.
fn foreign(config: &Config, findings: &mut Findings) {
    let entries = match registry::list(&config.registry) {
        Ok(listed) => {
            listed
                .unread
                .iter()
                .for_each(|failure| findings.failure("registry", failure, "make it readable"));
            for failure in listed.misplaced {
                findings.warning("registry", failure.line(), failure.help.clone().unwrap_or_default());
            }
            listed.entries
        }
        Err(failure) => return findings.failure("registry", &failure, "make it readable"),
    };
    let mut usable = 0;
    for entry in entries.into_iter().filter(|entry| !entry.carried) {
        match registry::read(&entry) {
            Ok(_) => usable += 1,
            Err(failure) => {
                let remedy = failure.help.clone().unwrap_or_default();
                findings.warning("registry", failure.line(), remedy);
            }
        }
    }
    findings.ok("registry", format!("it holds {}", output::count(usable, "version")));
}

fn data(config: &Config, findings: &mut Findings) {
    let data = &config.data;
    let metadata = match fs::metadata(data) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("`{}` does not exist yet: the first approval makes it", data.display());
            return findings.ok("data", what);
        }
        Err(error) => {
            let what = format!("`{}` can't be looked at: {error}", data.display());
            return findings.error("data", what, "run `doctor` as the user who runs portcullis");
        }
    };
    if !metadata.is_dir() {
        let remedy = "move it away, or name another folder: `data = \"PATH\"`";
        return findings.error("data", format!("`{}` is no folder", data.display()), remedy);
    }
    if portcullis_store::Holdings::is_unfinished(data) {
        findings.warning(
            "data",
            "a `connections forget` was cut off: what it removed is in unused pages of the databases still",
            "run it again, or anything that runs a connection: both write the files anew",
        );
    }
    let before = findings.list.len();
    for folder in approvals::deciding_folders(data) {
        match portcullis_store::refuse_shared(&folder) {
            Ok(()) => {}
            Err(LockError::Shared { folder, owner, mode, remedy }) => findings.error(
                "data",
                format!("others may write to `{}` (user {owner}, mode {mode:04o}), and what they put there would be trusted", folder.display()),
                remedy.replace('`', ""),
            ),
            Err(error) => {
                let failure = Failure::fault("it can't be judged").because(&error);
                findings.failure("data", &failure, "run `doctor` as the user who runs portcullis");
            }
        }
    }
    if findings.list.len() > before {
        return;
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 == 0 {
        findings.ok("data", format!("nobody else may read or write `{}`", data.display()));
    } else {
        findings.warning(
            "data",
            format!(
                "others may look into `{}` (mode {mode:04o}), which holds what vendors answered",
                data.display()
            ),
            format!("chmod 700 {}", quoted(data)),
        );
    }
}

/// Whether nobody else may write to it. What is not there is nobody's.
fn writable(what: &str, path: &Path, findings: &mut Findings) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return true };
    let (mode, shown) = (metadata.mode() & 0o7777, path.display());
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us && metadata.uid() != 0 {
        let owner = metadata.uid();
        findings.warning(
            "files",
            format!("{what} `{shown}` belongs to user {owner}, who may change it"),
            format!("chown {us} {}", quoted(path)),
        );
        return false;
    }
    // In a sticky folder nobody replaces what is another's.
    let all = mode & 0o002 != 0 && mode & 0o1000 == 0;
    if all {
        findings.error(
            "files",
            format!("everybody may write to {what} `{shown}` (mode {mode:04o})"),
            format!("chmod go-w {}", quoted(path)),
        );
    } else if mode & 0o020 != 0 {
        findings.warning(
            "files",
            format!("its group may write to {what} `{shown}` (mode {mode:04o})"),
            format!("chmod g-w {}", quoted(path)),
        );
    }
    !all && mode & 0o020 == 0
}
