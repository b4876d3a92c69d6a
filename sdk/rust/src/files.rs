//! Files in folders that the operator granted. A connector that calls this needs the manifest's capability `files` and its
//! `[folders.NAME]`; one that does not, does not import it.
//!
//! `folder` is that name. `path` is relative to it, with `/` between its parts; what leads out of it is `InvalidInput`.

use crate::{
    Result,
    storage::{CHUNK_BYTES, Cursor},
};
use std::{fmt, io};

#[cfg(target_arch = "wasm32")]
use crate::bindings::imports::portcullis::connector::files as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::harness::files as host;

/// A file that is being written; nobody sees it before [`Writer::commit`], and dropped before that it leaves nothing.
#[derive(Debug)]
pub struct Writer(host::Writer);

/// Begins a file.
pub fn create(folder: &str, path: &str) -> Result<Writer> {
    Ok(Writer(host::create(folder, path)?))
}

impl Writer {
    /// Appends.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(CHUNK_BYTES as usize) {
            self.0.write(piece)?;
        }
        Ok(())
    }

    /// Makes it durable under its name, in place of a file that had it, and returns its size.
    pub fn commit(self) -> Result<u64> {
        Ok(host::commit(self.0)?)
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// At most `max` bytes from `offset`; fewer only at the end, none past it.
pub fn read_at(folder: &str, path: &str, offset: u64, max: u32) -> Result<Vec<u8>> {
    Ok(host::read(folder, path, offset, max)?)
}

/// A file's bytes in order. Whether there is one shows with the first read.
pub fn reader(folder: impl Into<String>, path: impl Into<String>) -> Reader {
    Reader { folder: folder.into(), path: path.into(), cursor: Cursor::new(0) }
}

/// At most `max` names in a folder in order of their bytes, the first one after `after`. A folder's name ends in `/`.
pub fn list(folder: &str, path: &str, after: Option<&str>, max: u32) -> Result<Vec<String>> {
    Ok(host::list_entries(folder, path, after, max)?)
}

/// Removes a file, durably; true = it was there. A folder stays.
pub fn remove(folder: &str, path: &str) -> Result<bool> {
    Ok(host::remove(folder, path)?)
}

/// A file's bytes.
pub struct Reader {
    folder: String,
    path: String,
    cursor: Cursor,
}

impl io::Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.cursor.read(into, |offset, max| read_at(&self.folder, &self.path, offset, max))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("folder", &self.folder).field("path", &self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ErrorKind;
    use std::io::{Read, Write};

    #[test]
    fn a_file_is_there_once_it_is_committed() {
        let mut writer = create("out", "a/b.bin").unwrap();
        writer.write_all(&vec![7; 600_000]).unwrap();
        assert_eq!(read_at("out", "a/b.bin", 0, 1).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(writer.commit().unwrap(), 600_000);
        drop(create("out", "a/dropped").unwrap());
        let mut read = Vec::new();
        reader("out", "a/b.bin").read_to_end(&mut read).unwrap();
        assert!(read == vec![7; 600_000]);
        create("out", "c").unwrap().commit().unwrap();
        assert_eq!(list("out", "", None, 9).unwrap(), ["a/", "c"]);
        assert_eq!(list("out", "", Some("a/"), 9).unwrap(), ["c"]);
        assert_eq!(list("out", "a", None, 9).unwrap(), ["b.bin"]);
        assert!(remove("out", "c").unwrap());
        assert!(!remove("out", "c").unwrap(), "it is gone");
        assert_eq!(remove("out", "a").unwrap_err().kind(), ErrorKind::InvalidInput, "a folder stays");
        assert_eq!(list("out", "", None, 9).unwrap(), ["a/"]);
        assert_eq!(remove("out", "../x").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(create("out", "../x").unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
