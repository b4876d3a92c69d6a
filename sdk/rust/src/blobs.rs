//! Bytes too large for a connector: the host holds them for the run, and a connector names them, reads a piece or writes some.
//!
//! ```no_run
//! # use portcullis_sdk::{Result, blobs, http};
//! # use std::io::Write;
//! # fn example() -> Result<()> {
//! let export = http::get("https://api.example.com/v1/export").download()?.error_for_status()?;
//! http::put("https://store.example.com/v1/files/export").body_blob(export.blob()).send()?.error_for_status()?;
//! # Ok(()) }
//! ```

use crate::{Result, bindings::imports::portcullis::connector::blobs as wit, storage::Cursor};
use std::{fmt, io};

#[cfg(not(target_arch = "wasm32"))]
use crate::harness::blobs as host;
#[cfg(target_arch = "wasm32")]
use wit as host;

/// A blob of this run. A position or record may hold its id; another connector can't use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob(String);

/// What is known of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Bytes.
    pub size: u64,
    /// In lower-case hexadecimal.
    pub sha256: String,
}

impl Blob {
    /// The blob with this id, which an earlier call of the run kept. Whether there is one shows when it is used.
    pub fn of(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.0
    }

    /// Size and hash.
    pub fn stat(&self) -> Result<Info> {
        let wit::Info { size, sha256 } = host::stat(&self.0)?;
        Ok(Info { size, sha256 })
    }

    /// At most `max` bytes from `offset`; fewer only at the end, none past it.
    pub fn read_at(&self, offset: u64, max: u32) -> Result<Vec<u8>> {
        Ok(host::read(&self.0, offset, max)?)
    }

    /// Its bytes in order.
    pub fn reader(&self) -> Reader {
        Reader { blob: self.clone(), cursor: Cursor::new(0) }
    }
}

/// A blob's bytes.
pub struct Reader {
    blob: Blob,
    cursor: Cursor,
}

impl io::Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.cursor.read(into, |offset, max| self.blob.read_at(offset, max))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(&self.blob).finish()
    }
}

/// A blob that is being written; dropped without [`Writer::finish`] it leaves nothing.
#[derive(Debug)]
pub struct Writer(host::Writer);

/// Begins a blob.
pub fn create() -> Result<Writer> {
    Ok(Writer(host::create()?))
}

impl Writer {
    /// Appends.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(crate::storage::CHUNK_BYTES as usize) {
            self.0.write(piece)?;
        }
        Ok(())
    }

    /// Ends it; from now on it can be read and sent.
    pub fn finish(self) -> Result<Blob> {
        Ok(Blob(host::finish(self.0)?))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ErrorKind;
    use std::io::{Read, Write};

    #[test]
    fn what_is_written_is_read() {
        let bytes: Vec<u8> = (0..700_000u32).flat_map(u32::to_le_bytes).collect();
        let mut writer = create().unwrap();
        writer.write_all(&bytes[..5]).unwrap();
        writer.write_all(&bytes[5..]).unwrap();
        let blob = writer.finish().unwrap();
        let mut read = Vec::new();
        blob.reader().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        assert_eq!(blob.stat().unwrap().size, bytes.len() as u64);
        assert_eq!(blob.read_at(4, 4).unwrap(), 1u32.to_le_bytes());
        assert_eq!(blob.read_at(1 << 40, 4).unwrap(), b"");
        assert_eq!(Blob::of(blob.id()), blob);
        assert_eq!(Blob::of("nobody's").stat().unwrap_err().kind(), ErrorKind::NotFound);
        let error = Blob::of("nobody's").reader().read(&mut [0]).unwrap_err();
        assert_eq!(
            error.get_ref().unwrap().downcast_ref::<crate::Error>().unwrap().kind(),
            ErrorKind::NotFound
        );
    }
}
