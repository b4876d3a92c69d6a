//! What blobs and files have in common: bytes at an offset as [`std::io::Read`].

use crate::Result;
use std::io;

/// What is asked for at a time: less costs calls, more costs memory.
pub(crate) const CHUNK_BYTES: u32 = 256 << 10;

/// Bytes read in order from something that has them at an offset.
pub(crate) struct Cursor {
    held: Vec<u8>,
    at: usize,
    offset: u64,
}

impl Cursor {
    pub(crate) fn new(offset: u64) -> Self {
        Self { held: Vec::new(), at: 0, offset }
    }

    /// As [`io::Read::read`]; `more` reads at most so many bytes from an offset, and none past the end.
    pub(crate) fn read(
        &mut self,
        into: &mut [u8],
        more: impl FnOnce(u64, u32) -> Result<Vec<u8>>,
    ) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.at == self.held.len() {
            self.held = more(self.offset, CHUNK_BYTES).map_err(io::Error::other)?;
            self.at = 0;
            self.offset += self.held.len() as u64;
        }
        let size = into.len().min(self.held.len() - self.at);
        into[..size].copy_from_slice(&self.held[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}
