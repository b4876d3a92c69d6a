//! `file:PATH[#KEY]`: one secret a file, readable by its owner alone. Relative paths start at the config file; one trailing
//! line end is dropped; `#KEY` takes a string out of a JSON object.
use super::{Provider, key, no_version, read};
use crate::{Reference, Secret, SecretError};
use cap_std::{ambient_authority, fs::Dir};
use std::{
    fs::File,
    path::{Path, PathBuf},
};

/// Group and others: nobody but the owner may do anything.
const REFUSED: u32 = 0o077;

/// Files of the machine, or of one folder.
pub struct FileProvider {
    base: PathBuf,
    confined: bool,
}

impl FileProvider {
    /// The built-in one: absolute paths pass, relative ones start at `base`.
    pub fn new(base: PathBuf) -> Self {
        Self { base, confined: false }
    }

    /// A named one: paths start at `root`, and neither `..` nor a link leads out of it.
    pub fn confined(root: PathBuf) -> Self {
        Self { base: root, confined: true }
    }
}

#[async_trait::async_trait]
impl Provider for FileProvider {
    async fn fetch(&self, reference: &Reference) -> Result<Secret, SecretError> {
        no_version(reference)?;
        let (base, path, confined) = (self.base.clone(), PathBuf::from(&reference.path), self.confined);
        let secret = read::blocking(reference.to_string(), move |name| {
            let full = base.join(&path);
            let file = if confined { open_inside(&base, &path, name)? } else { open(&full, name)? };
            read::read(file, &full, name, REFUSED)
        });
        key::select(secret.await?, reference)
    }
}

fn open(path: &Path, reference: &str) -> Result<File, SecretError> {
    let io = |source| read::io(reference, source);
    // Asked first: opening a pipe would wait for a writer.
    if !path.metadata().map_err(io)?.is_file() {
        return Err(SecretError::NotAFile(reference.to_owned()));
    }
    File::open(path).map_err(io)
}

/// Opens a file below a folder; cap-std refuses every step that leaves it.
pub(super) fn open_inside(root: &Path, path: &Path, reference: &str) -> Result<File, SecretError> {
    let dir =
        Dir::open_ambient_dir(root, ambient_authority()).map_err(|source| read::io(reference, source))?;
    let io = |source: std::io::Error| match source.kind() {
        // What the folder's own permissions forbid is told apart by its error number.
        std::io::ErrorKind::PermissionDenied if source.raw_os_error().is_none() => {
            SecretError::Outside(reference.to_owned())
        }
        _ => read::io(reference, source),
    };
    if !dir.metadata(path).map_err(io)?.is_file() {
        return Err(SecretError::NotAFile(reference.to_owned()));
    }
    Ok(dir.open(path).map_err(io)?.into_std())
}
