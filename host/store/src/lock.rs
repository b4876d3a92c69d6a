//! The lock on the data folder: one writer at a time, and a name for the one who holds it.
//!
//! An advisory `flock` on `data/lock`, which the kernel drops with the process, however that ends. What is written
//! in the file is for people alone; nothing is decided by it.

use crate::{
    StoreError,
    limits::{LOCK_FILE_BYTES_MAX, LOCK_RETRY},
};
use portcullis_clock::Clock;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// Held: this process alone may write to the data folder. Released when dropped, also by a kill.
#[derive(Debug)]
pub struct DataLock {
    data: PathBuf,
    _file: File,
}

/// The data folder can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Someone else holds it.
    #[error("`{}` is in use by {holder}", data.display())]
    Held {
        /// The folder.
        data: PathBuf,
        /// Process id, command and since when, as far as it wrote that down.
        holder: String,
    },
    /// Others may write to it: what they put there would be trusted.
    #[error("`{}` belongs to user {owner} with mode {mode:03o}: others may write to it; {remedy}", folder.display())]
    Shared {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permissions.
        mode: u32,
        /// What to type.
        remedy: String,
    },
    /// The folder or its lock file can't be made or opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl DataLock {
    /// Makes the folder (0700) where it is missing and takes its lock, trying for up to `wait`.
    pub async fn acquire(data: &Path, wait: Duration, clock: &dyn Clock) -> Result<Self, LockError> {
        let path = data.join("lock");
        DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(|source| fault(data, source))?;
        refuse_shared(data)?;
        let mut file = open(&path)?;
        let end = clock.monotonic().saturating_add(wait);
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(fault(&path, errno.into()).into()),
            }
            let left = end.saturating_sub(clock.monotonic());
            if left.is_zero() {
                return Err(LockError::Held { data: data.to_owned(), holder: holder(&mut file) });
            }
            clock.sleep(LOCK_RETRY.min(left)).await;
        }
        sign(&mut file, clock).map_err(|source| fault(&path, source))?;
        Ok(Self { data: data.to_owned(), _file: file })
    }

    /// The folder.
    pub fn data(&self) -> &Path {
        &self.data
    }
}

/// Refuses a folder to which others than this user and root may write; one that is not there is nobody's.
pub fn refuse_shared(folder: &Path) -> Result<(), LockError> {
    let metadata = match folder.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(fault(folder, source).into()),
    };
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let us = rustix::process::geteuid().as_raw();
    let shown = folder.display().to_string();
    let shown = shell_words::quote(&shown);
    let remedy = match (owner == us || owner == 0, mode & 0o022 == 0) {
        (true, true) => return Ok(()),
        (true, false) => format!("`chmod go-w {shown}`"),
        (false, _) => format!("`chown {us} {shown} && chmod go-w {shown}`"),
    };
    Err(LockError::Shared { folder: folder.to_owned(), owner, mode, remedy })
}

fn open(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| fault(path, source))
}

/// Program and command alone: the arguments after them may hold what is nobody's business.
fn sign(file: &mut File, clock: &dyn Clock) -> io::Result<()> {
    let words: Vec<_> = std::env::args_os().take(2).map(|word| word.to_string_lossy().into_owned()).collect();
    let command: String = words.join(" ").chars().filter(|c| !c.is_control()).take(200).collect();
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "process {} (`{command}`), since {}", std::process::id(), clock.now())?;
    file.flush()
}

fn holder(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.take(LOCK_FILE_BYTES_MAX).read_to_end(&mut bytes));
    let text: String = String::from_utf8_lossy(&bytes).chars().filter(|c| !c.is_control()).collect();
    match read {
        Ok(_) if !text.is_empty() => text,
        // It holds the lock and has not come to write its name yet.
        _ => "another process".to_owned(),
    }
}

fn fault(path: &Path, source: io::Error) -> StoreError {
    StoreError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use portcullis_clock::SeededClock;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn a_second_one_waits_and_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("some/data");
        let clock = SeededClock::default();
        let first = DataLock::acquire(&data, Duration::ZERO, &clock).await.unwrap();
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::metadata(data.join("lock")).unwrap().permissions().mode() & 0o777, 0o600);

        let refused = DataLock::acquire(&data, Duration::from_secs(10), &clock).await.unwrap_err();
        assert_eq!(clock.slept(), Duration::from_secs(10));
        let text = refused.to_string();
        assert!(text.contains(&format!("process {} (`", std::process::id())), "{text}");
        assert!(text.ends_with(", since 2026-01-01T00:00:00.000Z"), "{text}");

        drop(first);
        DataLock::acquire(&data, Duration::ZERO, &clock).await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_others_may_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let clock = SeededClock::default();
        drop(DataLock::acquire(&data, Duration::ZERO, &clock).await.unwrap());
        for (mode, taken) in
            [(0o700, true), (0o755, true), (0o770, false), (0o702, false), (0o777, false), (0o1777, false)]
        {
            std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
            let asked = DataLock::acquire(&data, Duration::ZERO, &clock).await;
            assert_eq!(asked.is_ok(), taken, "{mode:o}");
            if let Err(error) = asked {
                let remedy = format!("chmod go-w {}", data.display());
                assert!(error.to_string().contains(&remedy), "{error}");
            }
        }
        refuse_shared(&folder.path().join("absent")).unwrap();
    }
}
