//! What a guest may call a file: plain names with `/` between them. Refuses whatever is not the same to every reader: absolute
//! paths, `.` and `..`, empty parts, controls, backslashes, and names of the host's own.

use crate::{StorageError, limits};
use std::path::Path;

/// What the host's own names begin with.
const RESERVED: &str = ".portcullis-";

/// A path below a folder.
#[derive(Debug)]
pub(super) struct FilePath(String);

impl FilePath {
    pub(super) fn parse(text: &str) -> Result<Self, StorageError> {
        let refused = |why: &str| Err(StorageError::Invalid(format!("the path {why}")));
        if text.is_empty() {
            return refused("is empty");
        }
        if text.len() > limits::FILE_PATH_BYTES_MAX {
            return refused("is too long");
        }
        if text.split('/').count() > limits::FILE_PATH_PARTS_MAX {
            return refused("has too many parts");
        }
        if text.chars().any(|c| c.is_control() || c == '\\') {
            return refused("holds a control character or a backslash");
        }
        for part in text.split('/') {
            match part {
                "" => return refused("is absolute, ends in `/` or has an empty part"),
                "." | ".." => return refused("holds `.` or `..`"),
                _ if part.len() > limits::FILE_NAME_BYTES_MAX => {
                    return refused("has a part that is too long");
                }
                _ if part.to_ascii_lowercase().starts_with(RESERVED) => return refused("is the host's own"),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The folders on the way, and the file's name.
    pub(super) fn split(&self) -> (impl Iterator<Item = &str>, &str) {
        let (folders, name) = self.0.rsplit_once('/').unwrap_or(("", &self.0));
        (folders.split('/').filter(|folder| !folder.is_empty()), name)
    }
}
