//! Keeps the cache folder below a bound: the entry that was unused longest goes first. Use is the time of the code file, set anew
//! by each load. A removed file that some process has mapped stays until that process unmaps it: nothing that runs breaks.

use crate::limits;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Says that the entry of this code was used now.
pub(super) fn touch(code: &File) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
    };
    if let Err(error) = rustix::fs::futimens(code, &times) {
        tracing::debug!("the use of cached code is not noted: {error}");
    }
}

/// The files of one key.
struct Entry {
    used: SystemTime,
    bytes: u64,
    files: Vec<PathBuf>,
}

/// Removes entries but the one of `keep`, which was stored just now, until all files together are at most `bytes_max`.
pub(super) fn make(folder: &Path, keep: &str, bytes_max: u64) -> io::Result<()> {
    let mut entries = entries(folder)?;
    let mut total: u64 = entries.values().map(|entry| entry.bytes).sum();
    // No clock is asked: the youngest file is of now.
    let now = entries.get(keep).map(|kept| kept.used);
    entries.remove(keep);
    let mut oldest: Vec<(String, Entry)> = entries.into_iter().collect();
    oldest.sort_by_key(|(_, entry)| entry.used);
    for (key, entry) in oldest {
        let unfinished = key.starts_with('.');
        let age = now.and_then(|now| now.duration_since(entry.used).ok()).unwrap_or_default();
        let remove = if unfinished { age > limits::CACHE_LEFTOVER_AGE } else { total > bytes_max };
        if remove {
            entry.files.iter().try_for_each(|file| gone(file))?;
            total -= entry.bytes;
        }
    }
    Ok(())
}

/// By their keys; a file that is still being written, or that a kill left, is an entry of its own name.
fn entries(folder: &Path) -> io::Result<HashMap<String, Entry>> {
    let mut entries: HashMap<String, Entry> = HashMap::new();
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let key = match name.strip_suffix(".code").or_else(|| name.strip_suffix(".sha256")) {
            Some(key) => key.to_owned(),
            None if name.starts_with('.') && name.ends_with(".new") => name,
            None => continue,
        };
        let metadata = match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata,
            // Another process made room meanwhile, or it is none of ours.
            _ => continue,
        };
        let used = metadata.modified()?;
        let entry = entries.entry(key).or_insert(Entry { used, bytes: 0, files: Vec::new() });
        entry.used = entry.used.max(used);
        entry.bytes = entry.bytes.saturating_add(metadata.len());
        // The hash first: without it the code no longer counts.
        let at = if path.extension().is_some_and(|extension| extension == "sha256") {
            0
        } else {
            entry.files.len()
        };
        entry.files.insert(at, path);
    }
    Ok(entries)
}

fn gone(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::time::Duration;

    /// Files of these names, with sizes and ages in seconds.
    fn folder(files: &[(&str, usize, u64)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let now = folder.path().metadata().unwrap().modified().unwrap();
        for (name, bytes, age) in files {
            std::fs::write(folder.path().join(name), vec![0; *bytes]).unwrap();
            let file = File::options().write(true).open(folder.path().join(name)).unwrap();
            file.set_modified(now - Duration::from_secs(*age)).unwrap();
        }
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_unused_longest_makes_room() {
        let files = [
            ("a.code", 100, 30),
            ("a.sha256", 64, 99),
            ("b.code", 100, 20),
            ("b.sha256", 64, 99),
            ("c.code", 100, 40),
            ("c.sha256", 64, 99),
            ("new.code", 100, 50),
            ("new.sha256", 64, 50),
        ];
        let folder = folder(&files);
        make(folder.path(), "new", 4 * 164).unwrap();
        assert_eq!(names(folder.path()).len(), 8);
        make(folder.path(), "new", 3 * 164).unwrap();
        assert_eq!(
            names(folder.path()),
            ["a.code", "a.sha256", "b.code", "b.sha256", "new.code", "new.sha256"]
        );
        // A use counts.
        touch(&File::open(folder.path().join("a.code")).unwrap());
        make(folder.path(), "new", 2 * 164).unwrap();
        assert_eq!(names(folder.path()), ["a.code", "a.sha256", "new.code", "new.sha256"]);
        // What was just stored stays, whatever the bound.
        make(folder.path(), "new", 1).unwrap();
        assert_eq!(names(folder.path()), ["new.code", "new.sha256"]);
    }

    #[test]
    fn only_what_a_kill_left_is_swept_away() {
        let files = [("new.code", 1, 0), (".7-1.new", 9, 4_000), (".8-1.new", 9, 60), ("notes", 9, 9_000)];
        let folder = folder(&files);
        make(folder.path(), "new", 0).unwrap();
        assert_eq!(names(folder.path()), [".8-1.new", "new.code", "notes"]);
    }

    #[test]
    fn a_mapped_file_lives_on() {
        let folder = folder(&[("old.code", 5, 9), ("new.code", 1, 0)]);
        let held = File::open(folder.path().join("old.code")).unwrap();
        make(folder.path(), "new", 1).unwrap();
        assert_eq!(names(folder.path()), ["new.code"]);
        assert_eq!(held.metadata().unwrap().len(), 5);
    }
}
