//! Compiled code, in memory and in a folder. The folder holds native code that this process maps and runs: it belongs to this
//! user alone (0700), is never part of a backup, and what lies in it is refused unless it is a plain file of ours with the
//! hash that was stored beside it. A file that does not fit is compiled anew, never trusted.

use crate::{CompileError, Prepared, limits};
use rustix::fs::{FileType, Mode, OFlags};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use wasmtime::{Engine, component::Component};

mod room;

/// The folder.
pub(crate) struct Folder {
    path: PathBuf,
    bytes_max: u64,
}

/// One entry of the folder: the digest of code digest, engine and settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// Raise `CHECKS` when `component::check` gets stricter: code that passed the old checks is not reused.
    pub(crate) fn new(engine: &Engine, code_digest: &str) -> Self {
        const CHECKS: &[u8] = b"portcullis-checks-2";
        let mut sha = Sha256::new();
        sha.update(CHECKS);
        sha.update((code_digest.len() as u64).to_le_bytes());
        sha.update(code_digest.as_bytes());
        crate::engine::compatibility(engine, |bytes| sha.update(bytes));
        Self(hex(&sha.finalize()))
    }
}

impl Folder {
    /// Makes it where it is missing; refuses one that others own, or may look into.
    pub(crate) fn open(path: &Path) -> Result<Self, CompileError> {
        let folder = Self { path: path.to_owned(), bytes_max: limits::CACHE_BYTES_MAX };
        folder.make().map_err(|error| folder.fault(format!("can't be made: {error}")))?;
        let stat =
            rustix::fs::lstat(path).map_err(|error| folder.fault(format!("can't be read: {error}")))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(folder.fault("is not a folder".to_owned()));
        }
        let user = rustix::process::geteuid().as_raw();
        if stat.st_uid != user {
            return Err(folder.fault(format!("belongs to user {}, not to user {user}", stat.st_uid)));
        }
        if stat.st_mode & 0o077 != 0 {
            let mode = stat.st_mode & 0o7777;
            return Err(
                folder.fault(format!("has mode {mode:04o}, but others must not get in; `chmod 700` it"))
            );
        }
        Ok(folder)
    }

    /// The code under `key`, if it is there and whole, or why the engine does not take it.
    pub(crate) fn load(&self, engine: &Engine, key: &Key) -> Option<wasmtime::Result<Component>> {
        match self.checked(key) {
            Ok(path) => {
                #[expect(
                    unsafe_code,
                    reason = "the folder and the file are ours alone and the hash is the one we wrote"
                )]
                let loaded = unsafe { Component::deserialize_file(engine, path) };
                Some(loaded)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(key = key.0, "cached code is left aside: {error}");
                None
            }
        }
    }

    /// Whole or not at all: the code first, then the hash that makes it count. Makes room for what comes next.
    pub(crate) fn store(&self, key: &Key, code: &[u8]) -> Result<(), CompileError> {
        let hash = hex(&Sha256::digest(code));
        self.write(&self.code_path(key), code)
            .and_then(|()| self.write(&self.hash_path(key), hash.as_bytes()))
            .map_err(|error| self.fault(format!("can't be written: {error}")))?;
        if let Err(error) = room::make(&self.path, &key.0, self.bytes_max) {
            // Too large is no reason not to run.
            tracing::warn!("the compile cache can't be made smaller: {error}");
        }
        Ok(())
    }

    fn make(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        match std::fs::DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = self.path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::DirBuilder::new().mode(0o700).create(&self.path)
            }
            other => other,
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        static ORDINAL: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let ordinal = ORDINAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let temporary = self.path.join(format!(".{}-{ordinal}.new", std::process::id()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(&temporary, flags, Mode::RUSR | Mode::WUSR)?);
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&temporary, path))
            .and_then(|()| File::open(&self.path)?.sync_all());
        if written.is_err() {
            let _gone = std::fs::remove_file(&temporary);
        }
        written
    }

    /// The path of the code, once the file proved to be the one that was stored.
    fn checked(&self, key: &Key) -> io::Result<PathBuf> {
        let path = self.code_path(key);
        let mut hash = String::new();
        plain(&self.hash_path(key))?.take(64 + 1).read_to_string(&mut hash)?;
        let mut code = plain(&path)?;
        room::touch(&code);
        let (mut sha, mut chunk) = (Sha256::new(), vec![0_u8; 64 << 10]);
        loop {
            let read = code.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            sha.update(&chunk[..read]);
        }
        if hex(&sha.finalize()) != hash {
            return Err(io::Error::other("its hash is another"));
        }
        Ok(path)
    }

    fn code_path(&self, key: &Key) -> PathBuf {
        self.path.join(format!("{}.code", key.0))
    }

    fn hash_path(&self, key: &Key) -> PathBuf {
        self.path.join(format!("{}.sha256", key.0))
    }

    fn fault(&self, fault: String) -> CompileError {
        CompileError::Cache { folder: self.path.display().to_string(), fault }
    }
}

/// A regular file of this user that nobody else may write.
fn plain(path: &Path) -> io::Result<File> {
    let file = rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let stat = rustix::fs::fstat(&file)?;
    let ours = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o022 == 0;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !ours {
        return Err(io::Error::other("it is not a plain file of this user alone"));
    }
    Ok(File::from(file))
}

/// Compiled components by their code digest; the one that was unused longest makes room.
#[derive(Default)]
pub(crate) struct Memory {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    uses: u64,
    /// With the use that was their last.
    prepared: HashMap<String, (u64, Arc<Prepared>)>,
}

impl Memory {
    pub(crate) fn find(&self, code_digest: &str) -> Option<Arc<Prepared>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let uses = entries.uses;
        let (used, prepared) = entries.prepared.get_mut(code_digest)?;
        *used = uses;
        Some(Arc::clone(prepared))
    }

    pub(crate) fn keep(&self, code_digest: &str, prepared: &Arc<Prepared>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let uses = entries.uses;
        if entries.prepared.len() >= limits::PREPARED_MAX {
            let oldest = entries.prepared.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(digest, _)| digest.clone()) {
                entries.prepared.remove(&oldest);
            }
        }
        entries.prepared.insert(code_digest.to_owned(), (uses, Arc::clone(prepared)));
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _infallible = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn key() -> Key {
        Key("k".to_owned())
    }

    #[test]
    fn only_a_private_folder_will_do() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data/cache");
        Folder::open(&path).expect("is made");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
        for mode in [0o755, 0o710, 0o701, 0o702] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = Folder::open(&path).err().expect("is refused").to_string();
            assert!(error.contains("chmod 700"), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let link = place.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Folder::open(&link).err().expect("is refused").to_string().contains("is not a folder"));
    }

    #[test]
    fn the_folder_has_a_bound() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(&place.path().join("cache")).unwrap();
        assert_eq!(folder.bytes_max, 2 << 30);
        folder.bytes_max = 200;
        for name in ["a", "b", "c"] {
            folder.store(&Key(name.to_owned()), &[7; 100]).unwrap();
        }
        let there = ["a", "b", "c"].map(|name| folder.checked(&Key(name.to_owned())).is_ok());
        assert_eq!(there, [false, false, true]);
    }

    #[test]
    fn a_load_is_a_use() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("cache")).unwrap();
        folder.store(&key(), b"code").unwrap();
        let code = File::options().write(true).open(folder.code_path(&key())).unwrap();
        let before = code.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(60);
        code.set_modified(before).unwrap();
        folder.checked(&key()).expect("is whole");
        assert!(code.metadata().unwrap().modified().unwrap() > before);
    }

    #[test]
    fn what_was_changed_does_not_count() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("cache")).unwrap();
        assert_eq!(folder.checked(&key()).unwrap_err().kind(), io::ErrorKind::NotFound);
        folder.store(&key(), b"code").unwrap();
        let path = folder.checked(&key()).expect("is whole");
        std::fs::write(&path, b"cod").unwrap();
        assert!(folder.checked(&key()).is_err());
        folder.store(&key(), b"code").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o620)).unwrap();
        assert!(folder.checked(&key()).is_err());
        folder.store(&key(), b"code").unwrap();
        std::fs::rename(&path, place.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(place.path().join("elsewhere"), &path).unwrap();
        assert!(folder.checked(&key()).is_err());
    }

    #[test]
    fn another_engine_or_digest_is_another_key() {
        let engine = crate::engine::compiling().unwrap();
        assert_eq!(Key::new(&engine, "sha256:a"), Key::new(&engine, "sha256:a"));
        assert_ne!(Key::new(&engine, "sha256:a"), Key::new(&engine, "sha256:b"));
        assert_ne!(Key::new(&engine, "sha256:a"), Key::new(&Engine::default(), "sha256:a"));
        assert_eq!(Key::new(&engine, "sha256:a"), Key::new(&crate::engine::pooling(1).unwrap(), "sha256:a"));
    }
}
