//! What of a connector's folder counts as a change, and when it is over.
//!
//! It looks at names, sizes and times every 300 ms. A connector has some dozens of files, so that a look costs less than a
//! millisecond; and it works wherever files do, also on what is shared into a container, where the kernel's notices do not come. No
//! file is opened, no link to a folder is followed, and what vanishes while it looks is gone.
use portcullis_clock::Clock;
use portcullis_manifest::Folder;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Between two looks. A change is over when one finds what the last one found.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// A change that does not end counts as one after this time.
const SETTLE_MAX: Duration = Duration::from_secs(3);
/// Files that are looked at; a folder with more has something in it that is no source.
const FILES_MAX: usize = 4096;
const DEPTH_MAX: usize = 16;
/// Of a connector's folder. Not what building, testing and running write (`target`, `registry`, `data`, `Cargo.lock`), and not `sdk`.
const FILES: [&str; 3] = ["Cargo.toml", "connector.toml", "build.rs"];
const FOLDERS: [&str; 4] = ["src", "schemas", "assets", crate::cassette::FOLDER];

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    modified: (i64, i64),
    inode: u64,
}

/// What was there at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Look(BTreeMap<PathBuf, Seen>);

/// Waits for changes.
pub struct Watcher {
    dir: PathBuf,
    /// Files and folders beside those of the connector.
    more: Vec<PathBuf>,
    /// What the manifest names.
    named: Vec<PathBuf>,
    /// None before it begins.
    base: Option<Look>,
    settling: Option<Settling>,
}

struct Settling {
    since: Duration,
    last: Look,
}

impl Watcher {
    /// Of a connector's folder, and of these files and folders.
    pub fn new(dir: &Path, more: Vec<PathBuf>) -> Self {
        Self { dir: dir.to_owned(), more, named: Vec::new(), base: None, settling: None }
    }

    /// What is there now is taken in by what begins now; what changes from here on is a change.
    pub fn begin(&mut self) {
        if let Ok(folder) = Folder::read(&self.dir) {
            self.named = folder.files;
        }
        (self.base, self.settling) = (Some(self.look()), None);
    }

    /// Looks at these too, from now on.
    pub fn also(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        for file in files {
            if !self.more.contains(&file) {
                self.accept(&file);
                self.more.push(file);
            }
        }
    }

    /// Whether it has.
    pub fn has_begun(&self) -> bool {
        self.base.is_some()
    }

    /// A file that this process itself wrote is no change.
    pub fn accept(&mut self, file: &Path) {
        let Some(base) = &mut self.base else { return };
        match seen(file) {
            Some(seen) => base.0.insert(file.to_owned(), seen),
            None => base.0.remove(file),
        };
    }

    /// The next change since `begin`, when it is over: the files, by name.
    pub async fn changed(&mut self, clock: &dyn Clock) -> Vec<PathBuf> {
        loop {
            let look = self.look();
            if let Some(changed) = self.on(look, clock.monotonic()) {
                return changed;
            }
            clock.sleep(LOOK_EVERY).await;
        }
    }

    fn on(&mut self, look: Look, now: Duration) -> Option<Vec<PathBuf>> {
        let base = self.base.get_or_insert_with(|| look.clone());
        if look == *base {
            self.settling = None;
            return None;
        }
        let Some(settling) = &mut self.settling else {
            self.settling = Some(Settling { since: now, last: look });
            return None;
        };
        if settling.last != look && now.saturating_sub(settling.since) < SETTLE_MAX {
            settling.last = look;
            return None;
        }
        let changed = base.differing(&look);
        (self.base, self.settling) = (Some(look), None);
        Some(changed)
    }

    fn look(&self) -> Look {
        let mut look = Look::default();
        for file in FILES.iter().map(|file| self.dir.join(file)).chain(self.named.iter().cloned()) {
            look.add(&file);
        }
        for path in FOLDERS.iter().map(|folder| self.dir.join(folder)).chain(self.more.iter().cloned()) {
            // The first one may be a link: it was named.
            match path.is_dir() {
                true => look.enter(&path, 0),
                false => look.add(&path),
            }
        }
        look
    }
}

impl Look {
    fn add(&mut self, file: &Path) {
        if let Some(seen) = seen(file).filter(|_| self.0.len() < FILES_MAX) {
            self.0.insert(file.to_owned(), seen);
        }
    }

    fn enter(&mut self, folder: &Path, depth: usize) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            // What editors leave beside a file while it is open.
            if hidden || entry.file_name().as_encoded_bytes().ends_with(b"~") || self.0.len() >= FILES_MAX {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => self.enter(&entry.path(), depth + 1),
                Ok(kind) if !kind.is_dir() => self.add(&entry.path()),
                _ => {}
            }
        }
    }

    fn differing(&self, other: &Self) -> Vec<PathBuf> {
        let all: BTreeSet<&PathBuf> = self.0.keys().chain(other.0.keys()).collect();
        all.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path)).cloned().collect()
    }
}

/// Of a link, what it leads to; of one that leads nowhere, or to a folder, itself.
fn seen(file: &Path) -> Option<Seen> {
    let itself = fs::symlink_metadata(file).ok()?;
    let metadata = fs::metadata(file).ok().filter(fs::Metadata::is_file).unwrap_or(itself);
    Some(Seen {
        bytes: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        inode: metadata.ino(),
    })
}

#[cfg(test)]
mod tests;
