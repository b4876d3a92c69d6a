//! The host's side of [`crate::blobs`] and [`crate::files`], in memory and without quotas.

use crate::bindings::imports::portcullis::connector::types::StorageError;
use std::cell::Cell;

thread_local! {
    static EFFECTS: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Lets so many effects on files pass on this thread (a file that is committed, or removed), and then none: what was called by a
/// process that is killed. None = no end.
pub fn cut_after(effects: Option<u32>) {
    EFFECTS.set(effects);
}

fn effect() -> Result<(), StorageError> {
    match EFFECTS.get() {
        Some(0) => Err(StorageError::Unavailable("the test cut it off".to_owned())),
        left => {
            EFFECTS.set(left.map(|left| left - 1));
            Ok(())
        }
    }
}

/// At most `max` of `bytes`, from `offset`.
fn piece(bytes: &[u8], offset: u64, max: u32) -> Vec<u8> {
    let rest = usize::try_from(offset).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
    rest[..rest.len().min(max as usize)].to_vec()
}

pub(crate) mod blobs {
    use super::{StorageError, piece};
    use crate::bindings::imports::portcullis::connector::blobs::Info;
    use std::cell::RefCell;

    thread_local! {
        static BLOBS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    }

    #[derive(Debug)]
    pub(crate) struct Writer(RefCell<Vec<u8>>);

    impl Writer {
        pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), StorageError> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(())
        }
    }

    pub(crate) fn keep(bytes: Vec<u8>) -> String {
        BLOBS.with_borrow_mut(|blobs| {
            blobs.push(bytes);
            format!("blob-{}", blobs.len())
        })
    }

    pub(crate) fn all(id: &str) -> Option<Vec<u8>> {
        let number: usize = id.strip_prefix("blob-")?.parse().ok()?;
        BLOBS.with_borrow(|blobs| blobs.get(number.checked_sub(1)?).cloned())
    }

    /// The hash is no hash: nothing here needs one, and a test would have to know a wrong one.
    pub(crate) fn stat(id: &str) -> Result<Info, StorageError> {
        let bytes = all(id).ok_or(StorageError::NotFound)?;
        Ok(Info { size: bytes.len() as u64, sha256: String::new() })
    }

    pub(crate) fn read(id: &str, offset: u64, max: u32) -> Result<Vec<u8>, StorageError> {
        Ok(piece(&all(id).ok_or(StorageError::NotFound)?, offset, max))
    }

    pub(crate) fn create() -> Result<Writer, StorageError> {
        Ok(Writer(RefCell::default()))
    }

    pub(crate) fn finish(writer: Writer) -> Result<String, StorageError> {
        Ok(keep(writer.0.into_inner()))
    }
}

pub(crate) mod files {
    use super::{StorageError, effect, piece};
    use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet};

    thread_local! {
        static FILES: RefCell<BTreeMap<(String, String), Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
    }

    #[derive(Debug)]
    pub(crate) struct Writer {
        name: (String, String),
        bytes: RefCell<Vec<u8>>,
    }

    impl Writer {
        pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), StorageError> {
            self.bytes.borrow_mut().extend_from_slice(bytes);
            Ok(())
        }
    }

    /// As the host judges a path, as far as it can be judged without a folder.
    fn checked(folder: &str, path: &str) -> Result<(String, String), StorageError> {
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(StorageError::Invalid(format!("`{path}` is no path within a folder")));
        }
        Ok((folder.to_owned(), path.to_owned()))
    }

    pub(crate) fn create(folder: &str, path: &str) -> Result<Writer, StorageError> {
        Ok(Writer { name: checked(folder, path)?, bytes: RefCell::default() })
    }

    pub(crate) fn commit(writer: Writer) -> Result<u64, StorageError> {
        effect()?;
        let bytes = writer.bytes.into_inner();
        let size = bytes.len() as u64;
        FILES.with_borrow_mut(|files| files.insert(writer.name, bytes));
        Ok(size)
    }

    pub(crate) fn read(folder: &str, path: &str, offset: u64, max: u32) -> Result<Vec<u8>, StorageError> {
        let name = checked(folder, path)?;
        FILES.with_borrow(|files| Ok(piece(files.get(&name).ok_or(StorageError::NotFound)?, offset, max)))
    }

    pub(crate) fn list_entries(
        folder: &str,
        path: &str,
        after: Option<&str>,
        max: u32,
    ) -> Result<Vec<String>, StorageError> {
        let prefix = if path.is_empty() { String::new() } else { format!("{}/", checked(folder, path)?.1) };
        let names: BTreeSet<String> = FILES.with_borrow(|files| {
            let inside = files.keys().filter(|(within, _)| within == folder);
            let below = inside.filter_map(|(_, path)| path.strip_prefix(&prefix));
            below.map(|rest| rest.split_inclusive('/').next().unwrap_or(rest).to_owned()).collect()
        });
        let past = names.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after));
        Ok(past.take(max as usize).collect())
    }

    pub(crate) fn remove(folder: &str, path: &str) -> Result<bool, StorageError> {
        let name = checked(folder, path)?;
        effect()?;
        FILES.with_borrow_mut(|files| {
            let below = format!("{path}/");
            if files.keys().any(|(within, path)| within == folder && path.starts_with(&below)) {
                return Err(StorageError::Invalid("it is no plain file".to_owned()));
            }
            Ok(files.remove(&name).is_some())
        })
    }
}
