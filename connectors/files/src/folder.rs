//! The granted folder: files that come whole, small documents, names in order.

use crate::{
    fault::of_io,
    limits::{BUFFER_BYTES, DOCUMENT_BYTES_MAX, ENTRIES_AT_ONCE},
};
use portcullis_sdk::{Error, ErrorKind, Result, files, json};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{BufRead, BufReader, BufWriter, Write};

/// As the manifest names it.
const FOLDER: &str = "out";

/// A file that nobody sees before it is whole.
pub struct Whole(BufWriter<files::Writer>);

impl Whole {
    /// Begins it.
    pub fn begin(path: &str) -> Result<Self> {
        Ok(Self(BufWriter::with_capacity(BUFFER_BYTES, files::create(FOLDER, path)?)))
    }

    /// Adds to it.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(of_io)
    }

    /// Makes it durable under its name.
    pub fn commit(self) -> Result<()> {
        let writer = self.0.into_inner().map_err(|error| of_io(error.into_error()))?;
        writer.commit().map(drop)
    }
}

/// A file's bytes.
pub fn reader(path: &str) -> BufReader<files::Reader> {
    BufReader::with_capacity(BUFFER_BYTES, files::reader(FOLDER, path))
}

/// Each line of a file, without its end.
pub fn each_line(path: &str, mut line: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let (mut reader, mut held) = (reader(path), Vec::new());
    loop {
        held.clear();
        if reader.read_until(b'\n', &mut held).map_err(of_io)? == 0 {
            return Ok(());
        }
        line(held.strip_suffix(b"\n").unwrap_or(&held))?;
    }
}

/// A small document; none = it is not there.
pub fn document<T: DeserializeOwned>(path: &str) -> Result<Option<T>> {
    match files::read_at(FOLDER, path, 0, DOCUMENT_BYTES_MAX) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(bytes) => {
            let read = serde_json::from_slice(&bytes);
            read.map(Some)
                .map_err(|error| Error::internal(format!("`{path}` is not what was written there: {error}")))
        }
    }
}

/// Puts a small document.
pub fn put_document(path: &str, document: &impl Serialize) -> Result<()> {
    let mut whole = Whole::begin(path)?;
    whole.append(json::to_string(document)?.as_bytes())?;
    whole.append(b"\n")?;
    whole.commit()
}

/// Removes a file; one that is not there is as good.
pub fn remove(path: &str) -> Result<()> {
    files::remove(FOLDER, path).map(drop)
}

/// Every name in a folder behind `after`, in order; none where there is no folder.
pub fn each_name(path: &str, after: Option<&str>, mut name: impl FnMut(&str)) -> Result<()> {
    let mut after = after.map(str::to_owned);
    loop {
        let names = match files::list(FOLDER, path, after.as_deref(), ENTRIES_AT_ONCE) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            names => names?,
        };
        names.iter().for_each(|found| name(found));
        // Fewer than were asked for: those were the last.
        if names.len() < ENTRIES_AT_ONCE as usize {
            return Ok(());
        }
        after = names.into_iter().next_back();
    }
}
