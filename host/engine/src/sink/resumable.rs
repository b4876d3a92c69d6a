//! A file that grows page by page, and is cut back to its reader's mark when the reader comes again.
//!
//! The mark lies in the store and moves after the fsync: what the file holds beyond it is a page that was not
//! committed, and is read again. A file that is shorter than its mark, or holds something else before it, is not
//! the reader's file, and is refused untouched.

use super::{PageSink, blocking, create, refused, resolve, sync_folder};
use crate::limits::TAIL_BYTES;
use portcullis_store::FileMark;
use sha2::{Digest, Sha256};
use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file that a reader appends to, page by page, and that is cut back to the reader's mark when it resumes.
pub struct ResumableFileSink {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Clone)]
struct Open {
    file: Arc<File>,
    mark: FileMark,
}

impl ResumableFileSink {
    /// Appends to `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }
}

#[async_trait::async_trait]
impl PageSink for ResumableFileSink {
    async fn open(&mut self, mark: Option<&FileMark>) -> io::Result<Option<FileMark>> {
        let (path, mark) = (self.path.clone(), mark.cloned());
        let open = blocking(move || {
            let path = resolve(&path)?;
            match mark {
                Some(mark) => again(&path, mark),
                None => first(&path),
            }
        });
        let open = open.await?;
        let mark = open.mark.clone();
        self.open = Some(open);
        Ok(Some(mark))
    }

    async fn write(&mut self, records: Vec<u8>) -> io::Result<Option<FileMark>> {
        let open = self.open.clone().ok_or_else(|| io::Error::other("the file is not open"))?;
        let mark = blocking(move || append(&open, &records)).await?;
        if let Some(open) = &mut self.open {
            open.mark = mark.clone();
        }
        Ok(Some(mark))
    }

    async fn finish(&mut self) -> io::Result<()> {
        // Every page was made durable when it came.
        self.open = None;
        Ok(())
    }

    async fn discard(&mut self) {
        if let Some(open) = self.open.take() {
            // Only tidiness: the next `open` cuts back to the mark that was committed.
            let _ = blocking(move || open.file.set_len(open.mark.length)).await;
        }
    }
}

/// A reader without a mark: it may only take a file that holds nothing.
fn first(path: &Path) -> io::Result<Open> {
    let file = match create(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = existing(path)?;
            if file.metadata()?.len() > 0 {
                return Err(refused(path, "holds something already that this reader did not write"));
            }
            file
        }
        Err(error) => return Err(error),
    };
    file.sync_all()?;
    sync_folder(path)?;
    let name = path.to_str().ok_or_else(|| refused(path, "is not UTF-8"))?;
    let mark = FileMark { path: name.to_owned(), length: 0, tail: hash(b"") };
    Ok(Open { file: Arc::new(file), mark })
}

/// A reader with a mark: the file must be the one that it belongs to.
fn again(path: &Path, mark: FileMark) -> io::Result<Open> {
    if path.to_str() != Some(mark.path.as_str()) {
        return Err(refused(path, &format!("is not the file of this reader, which is `{}`", mark.path)));
    }
    let file = existing(path)?;
    let length = file.metadata()?.len();
    if length < mark.length {
        let why = format!("has {length} bytes, fewer than the {} that this reader wrote", mark.length);
        return Err(refused(path, &why));
    }
    if tail(&file, mark.length)? != mark.tail {
        return Err(refused(path, "is another file than the one that this reader wrote"));
    }
    file.set_len(mark.length)?;
    file.sync_all()?;
    Ok(Open { file: Arc::new(file), mark })
}

fn existing(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(refused(path, "is not a file that can be cut back"));
    }
    Ok(file)
}

fn append(open: &Open, records: &[u8]) -> io::Result<FileMark> {
    // At the mark, not at the end: what an earlier write left behind half done is overwritten.
    open.file.write_all_at(records, open.mark.length)?;
    let length = open.mark.length + records.len() as u64;
    open.file.set_len(length)?;
    (&*open.file).flush()?;
    open.file.sync_all()?;
    Ok(FileMark { path: open.mark.path.clone(), length, tail: tail(&open.file, length)? })
}

fn tail(file: &File, length: u64) -> io::Result<String> {
    let bytes = length.min(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(bytes).unwrap_or(0)];
    file.read_exact_at(&mut tail, length - bytes)?;
    Ok(hash(&tail))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
