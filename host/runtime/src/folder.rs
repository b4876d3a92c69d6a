//! A folder that an operator granted: opened once, and everything a guest names is below it. A file is whole or absent: written
//! under a name of the host's, fsynced, renamed. Refuses paths that are no plain relative ones, what leads out of the folder
//! (cap-std judges each step), what is no plain file, and files with another name, which may lie outside.

use crate::{StorageError, limits};
use cap_std::{
    ambient_authority,
    fs::{Dir, File, MetadataExt, OpenOptions, OpenOptionsExt},
};
use portcullis_clock::{RealClock, RealRandom, new_id};
use portcullis_manifest::Access;
use rustix::fs::{FlockOperation, flock};
use std::{
    collections::BinaryHeap,
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

mod path;

use path::FilePath;

/// Where files lie while they are written, at the top of the folder; no guest can name it.
const PARTIAL: &str = ".portcullis-partial";
/// What their names begin with.
const PART: &str = "part";
/// How often a file is begun anew where another process tidies up at that moment.
const BEGIN_TRIES_MAX: u32 = 16;

/// One granted folder.
#[derive(Debug)]
pub struct Folder {
    dir: Dir,
    access: Access,
    /// In a dry run: what is written is gone with its writer, and nothing is replaced or removed.
    dry: bool,
}

impl Folder {
    /// Opens it, and removes what killed processes were writing in it.
    pub fn open(path: &Path, access: Access) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        if access.writes() {
            sweep(&dir)?;
        }
        Ok(Self { dir, access, dry: false })
    }

    /// The same folder for a dry run: everything is judged as ever, and nothing of it has an effect.
    pub fn dry(&self) -> io::Result<Self> {
        Ok(Self { dir: self.dir.try_clone()?, access: self.access, dry: true })
    }

    /// At most `max` bytes from `offset`.
    pub(crate) fn read(&self, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, StorageError> {
        self.reads()?;
        let path = FilePath::parse(path)?;
        if u64::from(max) > limits::FILE_READ_BYTES_MAX {
            return Err(StorageError::TooLarge(limits::FILE_READ_BYTES_MAX));
        }
        let mut file = self.plain_file(path.as_path()).map_err(fault)??;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(max.into()).read_to_end(&mut bytes))
            .map_err(fault)?;
        Ok(bytes)
    }

    /// Looked at before it is opened, since opening a device may do something, and again after.
    fn plain_file(&self, path: &Path) -> io::Result<Result<File, StorageError>> {
        let seen = self.dir.metadata(path)?;
        if !seen.is_file() {
            return Ok(Err(invalid("it is no plain file")));
        }
        let options = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).clone();
        let file = self.dir.open_with(path, &options)?;
        let opened = file.metadata()?;
        Ok(if !opened.is_file() {
            Err(invalid("it is no plain file"))
        } else if opened.nlink() > 1 {
            Err(invalid("the file has another name, which may lie outside the folder"))
        } else {
            Ok(file)
        })
    }

    /// The first `max` names after `after`, in order of their bytes. What no path can name is left out.
    pub(crate) fn list(
        &self,
        path: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, StorageError> {
        self.reads()?;
        let max = (max as usize).min(limits::FOLDER_ENTRIES_MAX);
        let entries = if path.is_empty() {
            self.dir.entries()
        } else {
            self.dir.read_dir(FilePath::parse(path)?.as_path())
        };
        // A folder may hold millions: no more of them than are asked for are in memory.
        let mut first = BinaryHeap::new();
        for entry in entries.map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if FilePath::parse(&name).is_err() {
                continue;
            }
            if entry.file_type().map_err(fault)?.is_dir() {
                name.push('/');
            }
            if after.is_none_or(|after| name.as_str() > after) {
                first.push(name);
                if first.len() > max {
                    first.pop();
                }
            }
        }
        Ok(first.into_sorted_vec())
    }

    /// Begins a file that nobody sees.
    pub(crate) fn create(self: &Arc<Self>, path: &str) -> Result<Writing, StorageError> {
        self.writes()?;
        let path = FilePath::parse(path)?;
        let (partial, name, file) = self.begin().map_err(fault)?;
        Ok(Writing { folder: Arc::clone(self), path, partial, name, file, size: 0, done: false })
    }

    /// Removes a plain file; true = it was there. It goes by the folder that holds it, which is opened step by step and then
    /// fsynced: a link that somebody puts there meanwhile is refused, or is itself what goes.
    pub(crate) fn remove(&self, path: &str) -> Result<bool, StorageError> {
        self.writes()?;
        let path = FilePath::parse(path)?;
        match self.removed(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            removed => removed.map_err(fault)?,
        }
    }

    fn removed(&self, path: &FilePath) -> io::Result<Result<bool, StorageError>> {
        let (folders, name) = path.split();
        let mut parent = self.dir.try_clone()?;
        for folder in folders {
            parent = parent.open_dir(folder)?;
        }
        let there = parent.symlink_metadata(name)?;
        if !there.is_file() {
            return Ok(Err(invalid("it is no plain file")));
        }
        if there.nlink() > 1 {
            return Ok(Err(invalid("the file has another name, which may lie outside the folder")));
        }
        if !self.dry {
            parent.remove_file(name)?;
            sync(&parent)?;
        }
        Ok(Ok(true))
    }

    fn begin(&self) -> io::Result<(Dir, String, File)> {
        for _ in 0..BEGIN_TRIES_MAX {
            match self.dir.create_dir(PARTIAL) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let name = new_id(PART, &RealClock, &RealRandom);
            let begun = partial_of(&self.dir).and_then(|partial| {
                let file = partial.open_with(&name, OpenOptions::new().write(true).create_new(true))?;
                Ok((partial, file))
            });
            let (partial, file) = match begun {
                Ok(begun) => begun,
                // Another process found it empty and removed it.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // The lock says that this process lives; who sweeps removes what nobody has locked.
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() && file.metadata()?.nlink() == 1
            {
                return Ok((partial, name, file));
            }
        }
        Err(io::Error::from(ErrorKind::ResourceBusy))
    }

    fn writes(&self) -> Result<(), StorageError> {
        if self.access.writes() { Ok(()) } else { Err(invalid("the folder is granted for reading alone")) }
    }

    fn reads(&self) -> Result<(), StorageError> {
        if self.access.reads() { Ok(()) } else { Err(invalid("the folder is granted for writing alone")) }
    }
}

/// Never by a link: what is removed in it must be the host's own.
fn partial_of(dir: &Dir) -> io::Result<Dir> {
    if !dir.symlink_metadata(PARTIAL)?.is_dir() {
        return Err(io::Error::from(ErrorKind::NotADirectory));
    }
    dir.open_dir(PARTIAL)
}

/// Removes what nobody is writing any more.
fn sweep(dir: &Dir) -> io::Result<()> {
    let partial = match partial_of(dir) {
        Ok(partial) => partial,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in partial.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(PART));
        if !ours || !entry.file_type()?.is_file() {
            continue;
        }
        // Gone meanwhile, or another's to remove: both are well.
        let Ok(file) = partial.open(&name) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = partial.remove_file(&name);
        }
    }
    // It stays where something is in it.
    let _ = dir.remove_dir(PARTIAL);
    Ok(())
}

/// A file that is being written. Dropped before `commit`, it leaves nothing.
#[derive(Debug)]
pub struct Writing {
    folder: Arc<Folder>,
    path: FilePath,
    partial: Dir,
    name: String,
    file: File,
    size: u64,
    done: bool,
}

impl Writing {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        if self.done {
            return Err(invalid("the file is committed"));
        }
        let size = self.size.saturating_add(bytes.len() as u64);
        if size > limits::FILE_BYTES_MAX {
            return Err(StorageError::TooLarge(limits::FILE_BYTES_MAX));
        }
        self.file.write_all(bytes).map_err(fault)?;
        self.size = size;
        Ok(())
    }

    /// fsync of the file, rename, fsync of its folder: what was answered is there after a power cut.
    pub(crate) fn commit(mut self) -> Result<u64, StorageError> {
        if self.folder.dry {
            return Ok(self.size);
        }
        self.file.sync_all().map_err(fault)?;
        let (parent, name) = self.parent().map_err(fault)?;
        match parent.symlink_metadata(&name) {
            Ok(there) if !there.is_file() => {
                return Err(invalid("something else than a plain file is there"));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(fault(error)),
            _ => {}
        }
        self.partial.rename(&self.name, &parent, &name).map_err(fault)?;
        self.done = true;
        sync(&parent).map_err(fault)?;
        Ok(self.size)
    }

    /// The folder that the file goes to, made where it is not there: each step from the one before, so that no link that
    /// somebody puts there meanwhile leads anywhere else.
    fn parent(&self) -> io::Result<(Dir, String)> {
        let (folders, name) = self.path.split();
        let mut parent = self.folder.dir.try_clone()?;
        for folder in folders {
            parent = match parent.open_dir(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    match parent.create_dir(folder) {
                        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                        _ => sync(&parent)?,
                    }
                    parent.open_dir(folder)?
                }
                opened => opened?,
            };
        }
        Ok((parent, name.to_owned()))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.done {
            // What can't be removed now is removed when the folder is opened next.
            let _ = self.partial.remove_file(&self.name);
        }
        let _ = self.folder.dir.remove_dir(PARTIAL);
    }
}

/// Opened anew: a folder that was opened to be walked through can't be synced.
fn sync(dir: &Dir) -> io::Result<()> {
    dir.open(".")?.sync_all()
}

fn invalid(why: &str) -> StorageError {
    StorageError::Invalid(why.to_owned())
}

/// In words that hold nothing of the host: no path, no user.
fn fault(error: io::Error) -> StorageError {
    let unavailable = |why: &str| StorageError::Unavailable(why.to_owned());
    match error.kind() {
        ErrorKind::NotFound => StorageError::NotFound,
        // cap-std's own refusal has no number; the kernel's has.
        ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            invalid("the path leads out of the folder")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            unavailable("the folder does not let it")
        }
        ErrorKind::NotADirectory => invalid("a part of the path is no folder"),
        ErrorKind::IsADirectory => invalid("it is a folder"),
        ErrorKind::InvalidFilename | ErrorKind::InvalidInput => invalid("no file can have this path"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => unavailable("no room is left"),
        _ if error.raw_os_error() == Some(libc::ELOOP) => invalid("links lead in a circle"),
        _ => unavailable("the file system failed"),
    }
}

#[cfg(test)]
mod tests;
