//! The spool: bytes too large for a guest, as files of one run that only its owner may read.
//!
//! Owns ids, hashes, the caps of a run in bytes and number, and the files' removal. An id is random and is looked up in
//! this run's own list, never made a path of: any other is `not-found`. File work stays off the threads that run guests.
//! What a killed process left is removed by `sweep`.
use crate::{StorageError, limits::BLOBS_MAX};
use bytes::Bytes;
use portcullis_clock::Random;
use portcullis_egress::{Error, Held, Keep};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes that are gathered before the file is written.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes that are read at a time for a hash.
const HASH_BYTES: usize = 256 << 10;

/// The folder of all spools in a data folder.
pub fn spool_folder(data: &Path) -> PathBuf {
    data.join("spool")
}

/// Removes what runs left that ended without a word. Only while no run of this data folder is under way. The one removal
/// of a tree, and of a place that no caller names: everything else removes files by name, and folders that are empty.
pub fn sweep(data: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(spool_folder(data)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The blobs of one run and one connector. Dropped, its files go.
pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    random: Arc<dyn Random>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    blobs: HashMap<String, Arc<Blob>>,
    /// Those that are being written too.
    count: usize,
    bytes: u64,
}

/// A finished blob.
#[derive(Debug)]
pub(crate) struct Blob {
    path: PathBuf,
    pub(crate) size: u64,
    sha256: [u8; 32],
}

impl Spool {
    /// Nothing is made on disk before the first blob is.
    pub fn new(folder: PathBuf, bytes_max: u64, random: Arc<dyn Random>) -> Arc<Self> {
        Arc::new(Self { folder, bytes_max, random, kept: Mutex::default() })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The blob of that id.
    pub(crate) fn blob(&self, id: &str) -> Result<Arc<Blob>, StorageError> {
        self.kept().blobs.get(id).cloned().ok_or(StorageError::NotFound)
    }

    /// Begins a blob.
    pub(crate) async fn create(self: &Arc<Self>) -> Result<SpoolWriter, StorageError> {
        {
            let mut kept = self.kept();
            if kept.count >= BLOBS_MAX {
                return Err(StorageError::Quota(BLOBS_MAX as u64));
            }
            kept.count += 1;
        }
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        let id = hex(&bytes);
        let mut writer = SpoolWriter {
            spool: Arc::clone(self),
            path: self.folder.join(&id),
            id,
            open: None,
            gathered: Vec::new(),
            bytes: 0,
            finished: false,
        };
        let (folder, path) = (self.folder.clone(), writer.path.clone());
        let file = blocking(move || {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
        });
        writer.open = Some(Open { file: file.await?, hash: Sha256::new() });
        Ok(writer)
    }

    fn take(&self, bytes: u64) -> Result<(), StorageError> {
        let mut kept = self.kept();
        let sum = kept.bytes.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        kept.bytes = sum.ok_or(StorageError::Quota(self.bytes_max))?;
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        let mut kept = self.kept();
        kept.bytes = kept.bytes.saturating_sub(bytes);
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let blobs = std::mem::take(&mut self.kept().blobs);
        if blobs.is_empty() {
            return;
        }
        for blob in blobs.values() {
            let _ = std::fs::remove_file(&blob.path);
        }
        // Only where it is empty. What stays is removed at the next start.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

struct Open {
    file: File,
    hash: Sha256,
}

impl Open {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }
}

/// A blob that is being written. Dropped before its end, it leaves nothing.
pub struct SpoolWriter {
    spool: Arc<Spool>,
    id: String,
    path: PathBuf,
    /// None after a failed write.
    open: Option<Open>,
    gathered: Vec<u8>,
    bytes: u64,
    finished: bool,
}

impl SpoolWriter {
    /// Appends.
    pub(crate) async fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.spool.take(bytes.len() as u64)?;
        self.bytes += bytes.len() as u64;
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), StorageError> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let emptied = self.work(move |open| {
            open.append(&gathered)?;
            gathered.clear();
            Ok(gathered)
        });
        // The same memory again: fresh pages cost as much as what is copied into them.
        self.gathered = emptied.await?;
        Ok(())
    }

    async fn work<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Open) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let lost = || StorageError::Unavailable("an earlier write failed".to_owned());
        let mut open = self.open.take().ok_or_else(lost)?;
        let (open, worked) = blocking(move || work(&mut open).map(|worked| (open, worked))).await?;
        self.open = Some(open);
        Ok(worked)
    }

    /// Forgets what was written.
    async fn begin_again(&mut self) -> Result<(), StorageError> {
        self.gathered.clear();
        self.spool.give_back(std::mem::take(&mut self.bytes));
        self.work(|open| {
            open.hash = Sha256::new();
            open.file.set_len(0)?;
            open.file.rewind()
        })
        .await
    }

    /// Ends it: its id.
    pub(crate) async fn finish(mut self) -> Result<String, StorageError> {
        self.flush().await?;
        let Some(open) = self.open.take() else {
            return Err(StorageError::Unavailable("an earlier write failed".to_owned()));
        };
        let sha256 = open.hash.finalize().into();
        let blob = Blob { path: self.path.clone(), size: self.bytes, sha256 };
        self.spool.kept().blobs.insert(self.id.clone(), Arc::new(blob));
        self.finished = true;
        Ok(self.id.clone())
    }
}

impl Drop for SpoolWriter {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let _ = std::fs::remove_file(&self.path);
        let mut kept = self.spool.kept();
        kept.count = kept.count.saturating_sub(1);
        kept.bytes = kept.bytes.saturating_sub(self.bytes);
    }
}

/// What a download writes to.
#[async_trait::async_trait]
impl Keep for SpoolWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.append(&bytes).await.map_err(as_http)
    }

    async fn restart(&mut self) -> Result<(), Error> {
        self.begin_again().await.map_err(as_http)
    }
}

/// A fault of the spool, as an answer that can't be taken.
pub(crate) fn as_http(error: StorageError) -> Error {
    match error {
        StorageError::Quota(bytes) => Error::TooLarge(bytes),
        error => Error::Malformed(format!("the answer could not be kept: {error}")),
    }
}

impl Blob {
    /// In lower-case hexadecimal.
    pub(crate) fn sha256_hex(&self) -> String {
        hex(&self.sha256)
    }

    /// At most `max` bytes from `offset`; none past the end.
    pub(crate) async fn read_at(&self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (path, wanted) = (self.path.clone(), max.min(left));
        if wanted == 0 {
            return Ok(Vec::new());
        }
        blocking_io(move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            // No byte is written twice, as it is where room is filled with zeros first.
            let mut bytes = Vec::with_capacity(wanted);
            let read = file.take(wanted as u64).read_to_end(&mut bytes)?;
            if read < wanted { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
        })
        .await
    }
}

#[async_trait::async_trait]
impl Held for Blob {
    async fn read(&self, offset: u64, max: usize) -> io::Result<Bytes> {
        self.read_at(offset, max).await.map(Bytes::from)
    }

    async fn sha256(&self, offset: u64, size: u64) -> io::Result<[u8; 32]> {
        if (offset, size) == (0, self.size) {
            return Ok(self.sha256);
        }
        let path = self.path.clone();
        blocking_io(move || {
            let (file, mut hash, mut at) = (File::open(path)?, Sha256::new(), offset);
            let (end, mut bytes) = (offset.saturating_add(size), vec![0; HASH_BYTES]);
            while at < end {
                let wanted = usize::try_from(end - at).unwrap_or(HASH_BYTES).min(HASH_BYTES);
                file.read_exact_at(&mut bytes[..wanted], at)?;
                hash.update(&bytes[..wanted]);
                at += wanted as u64;
            }
            Ok(hash.finalize().into())
        })
        .await
    }
}

async fn blocking_io<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The guest learns that it failed; the operator, why.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    blocking_io(work).await.map_err(|error| unavailable(&error))
}

pub(crate) fn unavailable(error: &io::Error) -> StorageError {
    tracing::warn!(%error, "the spool failed");
    StorageError::Unavailable("the spool failed".to_owned())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use portcullis_clock::RealRandom;
    use std::os::unix::fs::PermissionsExt;

    fn spool(folder: &Path, bytes_max: u64) -> Arc<Spool> {
        Spool::new(folder.join("spool/run_1"), bytes_max, Arc::new(RealRandom))
    }

    async fn blob(spool: &Arc<Spool>, bytes: &[u8]) -> String {
        let mut writer = spool.create().await.unwrap();
        writer.append(bytes).await.unwrap();
        writer.finish().await.unwrap()
    }

    #[tokio::test]
    async fn what_was_written_is_read_and_hashed() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), 1 << 20);
        let bytes: Vec<u8> = (0..600_000_u32).map(|at| at as u8).collect();
        let id = blob(&spool, &bytes).await;
        let found = spool.blob(&id).unwrap();
        assert_eq!((found.size, found.sha256_hex()), (600_000, hex(&Sha256::digest(&bytes))));
        assert_eq!(found.read_at(599_990, 100).await.unwrap(), bytes[599_990..]);
        assert_eq!(found.read_at(600_000, 100).await.unwrap(), b"");
        assert_eq!(found.read_at(u64::MAX, 100).await.unwrap(), b"");
        let part: [u8; 32] = Sha256::digest(&bytes[7..500_000]).into();
        assert_eq!(found.sha256(7, 499_993).await.unwrap(), part);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&spool.folder), mode(&found.path)), (0o700, 0o600));
        assert_eq!(mode(&folder.path().join("spool")), 0o700);
        let run = spool.folder.clone();
        drop(spool);
        assert!(!run.exists());
    }

    #[tokio::test]
    async fn caps_are_typed_and_what_goes_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), 10);
        let mut writer = spool.create().await.unwrap();
        writer.append(b"12345678").await.unwrap();
        assert_eq!(writer.append(b"123").await, Err(StorageError::Quota(10)));
        writer.begin_again().await.unwrap();
        writer.append(b"0123456789").await.unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(&spool.folder).unwrap().count(), 0, "it leaves nothing");
        let id = blob(&spool, b"abcdefghij").await;
        assert_eq!(spool.blob(&id).unwrap().read_at(0, 99).await.unwrap(), b"abcdefghij");
        spool.kept().count = BLOBS_MAX;
        assert!(matches!(spool.create().await, Err(StorageError::Quota(most)) if most == BLOBS_MAX as u64));
    }

    #[tokio::test]
    async fn a_download_that_begins_again_has_the_hash_of_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), 1 << 20);
        let mut writer = spool.create().await.unwrap();
        writer.append(&vec![1; 300_000]).await.unwrap();
        writer.begin_again().await.unwrap();
        writer.append(b"abc").await.unwrap();
        let id = writer.finish().await.unwrap();
        let found = spool.blob(&id).unwrap();
        assert_eq!((found.size, found.sha256_hex()), (3, hex(&Sha256::digest(b"abc"))));
    }

    #[tokio::test]
    async fn what_is_not_its_own_stays() {
        let folder = tempfile::tempdir().unwrap();
        let strangers = folder.path().join("spool/run_1");
        std::fs::create_dir_all(strangers.join("folder")).unwrap();
        std::fs::write(strangers.join("file"), b"x").unwrap();
        drop(spool(folder.path(), 99));
        let spool = spool(folder.path(), 99);
        let id = blob(&spool, b"abc").await;
        drop(spool);
        assert!(!strangers.join(id).exists());
        assert!(strangers.join("file").exists() && strangers.join("folder").exists());
    }

    #[tokio::test]
    async fn an_id_is_of_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (spool(folder.path(), 99), spool(&folder.path().join("other"), 99));
        let id = blob(&one, b"abc").await;
        for id in [&id, "", "../run_1", &format!("../run_1/{id}")] {
            assert!(matches!(other.blob(id), Err(StorageError::NotFound)), "{id}");
        }
        assert!(one.blob(&id).is_ok());
        sweep(folder.path()).unwrap();
        sweep(folder.path()).unwrap();
        assert!(one.blob(&id).unwrap().read_at(0, 1).await.is_err(), "an error and no panic");
    }
}
