//! `directory:FOLDER#FILE`: one secret a file of a mounted folder, as Kubernetes and systemd mount them. Links such as
//! `..data` are followed inside the folder alone; group readers pass, because a mount gives the file to the process's group.
use super::{Provider, file::open_inside, key, no_version, read};
use crate::{Reference, Secret, SecretError};
use std::path::{Component, Path, PathBuf};

/// Others: a mount with Kubernetes' default mode needs `defaultMode: 0440`.
const REFUSED: u32 = 0o007;

/// Files of a mounted folder.
pub struct DirectoryProvider {
    base: PathBuf,
    named: bool,
}

impl DirectoryProvider {
    /// The built-in one: the reference names the folder (relative to `base`) and, after `#`, the file.
    pub fn new(base: PathBuf) -> Self {
        Self { base, named: false }
    }

    /// A named one: the folder is `root`, the reference names the file and, after `#`, a key of the JSON object in it.
    pub fn rooted(root: PathBuf) -> Self {
        Self { base: root, named: true }
    }
}

#[async_trait::async_trait]
impl Provider for DirectoryProvider {
    async fn fetch(&self, reference: &Reference) -> Result<Secret, SecretError> {
        no_version(reference)?;
        let name = reference.to_string();
        let (folder, file) = if self.named {
            (self.base.clone(), PathBuf::from(&reference.path))
        } else {
            let file = reference.key.as_ref().ok_or_else(|| SecretError::NoKey(name.clone()))?;
            (self.base.join(&reference.path), PathBuf::from(file))
        };
        if !is_inside(&file) {
            return Err(SecretError::Outside(name));
        }
        let work = move |name: &str| {
            read::read(open_inside(&folder, &file, name)?, &folder.join(&file), name, REFUSED)
        };
        let secret = read::blocking(name, work).await?;
        if self.named { key::select(secret, reference) } else { Ok(secret) }
    }
}

fn is_inside(path: &Path) -> bool {
    path.components().all(|step| matches!(step, Component::Normal(_)))
}
