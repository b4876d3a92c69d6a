//! Where the records of a read go, and when they count as being there. A page's position is committed only
//! after its sink said that the page is durable.

mod resumable;
mod whole;

pub use resumable::ResumableFileSink;
pub use whole::FileSink;

use portcullis_store::FileMark;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// An output of a read. The files are here; standard output is the binary's.
#[async_trait::async_trait]
pub trait PageSink: Send {
    /// Called once, before the first page. `mark` is what the reader stored, if it did. Answers the mark that
    /// belongs to the position now (none = not a file that is resumed).
    async fn open(&mut self, mark: Option<&FileMark>) -> io::Result<Option<FileMark>>;
    /// Writes one page of NDJSON and returns when it is durable, or, for a pipe or terminal, handed over.
    async fn write(&mut self, records: Vec<u8>) -> io::Result<Option<FileMark>>;
    /// The read ended well.
    async fn finish(&mut self) -> io::Result<()>;
    /// The read ended otherwise: leave what is committed, remove what is not.
    async fn discard(&mut self);
}

/// Writing and fsync wait for the disk: never on an async worker thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(io::Error::other("writing panicked")))
}

/// The absolute path, with the links of its folder resolved: the same file has the same name from everywhere.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| refused(path, "is not the name of a file"))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok(folder.canonicalize()?.join(name))
}

/// Records are the operator's business alone, so the file is too.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// A new name in a folder is durable when the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("`{}` {why}", path.display()))
}

#[cfg(test)]
mod tests;
