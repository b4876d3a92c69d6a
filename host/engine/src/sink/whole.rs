//! A file that appears whole at the end of its read: written beside its name, fsynced, renamed.

use super::{PageSink, blocking, create, refused, resolve, sync_folder};
use portcullis_store::FileMark;
use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A file that appears whole, under its name, at the end of the read, or not at all.
pub struct FileSink {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Clone)]
struct Open {
    file: Arc<File>,
    partial: PathBuf,
    path: PathBuf,
}

impl FileSink {
    /// Writes beside `path` and renames at the end.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }

    fn opened(&self) -> io::Result<Open> {
        self.open.clone().ok_or_else(|| io::Error::other("the file is not open"))
    }
}

#[async_trait::async_trait]
impl PageSink for FileSink {
    async fn open(&mut self, _mark: Option<&FileMark>) -> io::Result<Option<FileMark>> {
        let path = self.path.clone();
        let open = blocking(move || {
            let path = resolve(&path)?;
            // The rename at the end would put a file in the place of a folder's, pipe's or device's name.
            if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
                return Err(refused(&path, "is there already and is not a file"));
            }
            let partial = beside(&path);
            // What a crash left there: the data folder's lock lets no other read run now.
            match fs::remove_file(&partial) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            Ok(Open { file: Arc::new(create(&partial)?), partial, path })
        });
        self.open = Some(open.await?);
        Ok(None)
    }

    async fn write(&mut self, records: Vec<u8>) -> io::Result<Option<FileMark>> {
        let open = self.opened()?;
        // No fsync a page: nothing counts before the rename.
        blocking(move || (&*open.file).write_all(&records)).await?;
        Ok(None)
    }

    async fn finish(&mut self) -> io::Result<()> {
        let open = self.opened()?;
        blocking(move || {
            open.file.sync_all()?;
            fs::rename(&open.partial, &open.path)?;
            sync_folder(&open.path)
        })
        .await?;
        self.open = None;
        Ok(())
    }

    async fn discard(&mut self) {
        if let Some(open) = self.open.take() {
            // It is hidden, named as unfinished, and the next read to this file removes it.
            let _ = blocking(move || fs::remove_file(open.partial)).await;
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    path.with_file_name(name)
}
