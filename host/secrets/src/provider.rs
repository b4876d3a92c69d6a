//! Where secrets come from: one file a provider under `provider/`. A provider that can't answer is an error that names the
//! reference and the remedy, never bytes.
use crate::{
    Reference, Secret,
    limits::{SECRET_BYTES_MAX, SECRET_BYTES_MIN},
};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

mod directory;
mod env;
mod file;
mod key;
mod read;

pub use directory::DirectoryProvider;
pub use env::EnvProvider;
pub use file::FileProvider;

/// A source of secrets.
#[async_trait::async_trait]
pub trait Provider: Send + Sync {
    /// The bytes behind `reference`.
    async fn fetch(&self, reference: &Reference) -> Result<Secret, SecretError>;
}

/// Why a secret could not be had; names reference and remedy, never bytes.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No `[secrets.*]` block and no built-in provider of that name.
    #[error("there is no secret provider{}", .0.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default())]
    UnknownProvider(Option<String>),
    /// Nothing there.
    #[error("secret `{0}` not found")]
    Missing(String),
    /// Something there that can't be read.
    #[error("secret `{reference}` can't be read: {}", source.kind())]
    Unreadable {
        /// As written.
        reference: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others on this machine could read the file.
    #[error("secret file of `{reference}` is open to others (mode {mode:04o})")]
    OpenToOthers {
        /// As written.
        reference: String,
        /// The file.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
        /// The permission bits that it should have at most.
        wanted: u32,
    },
    /// A folder, pipe or device.
    #[error("secret `{0}` is not a regular file")]
    NotAFile(String),
    /// The path leaves the provider's folder.
    #[error("secret `{0}` lies outside its provider's folder")]
    Outside(String),
    /// Over `SECRET_BYTES_MAX`.
    #[error("secret `{0}` is larger than {SECRET_BYTES_MAX} bytes")]
    TooLarge(String),
    /// No bytes, or a line end alone.
    #[error("secret `{0}` is empty")]
    Empty(String),
    /// `#KEY` where the provider needs one.
    #[error("secret `{0}` names no key; expected `directory:FOLDER#FILE`")]
    NoKey(String),
    /// `#KEY` of something that is no JSON object, or of an object without it.
    #[error("secret `{0}`: its file is no JSON object with a string at that key")]
    Key(String),
    /// `@VERSION` where nothing has versions.
    #[error("secret `{0}` names a version, and this provider has none")]
    Version(String),
    /// Not a name of an environment variable.
    #[error("secret `{0}` names no environment variable; expected letters, digits and `_`")]
    VariableName(String),
    /// Under `SECRET_BYTES_MIN`.
    #[error(
        "secret `{0}` is shorter than {SECRET_BYTES_MIN} bytes, so it would be masked in innocent places"
    )]
    Short(String),
    /// Bytes that can't be sent where the credential puts them.
    #[error("secret `{0}` has control characters, line ends or spaces that its place can't carry")]
    Characters(String),
    /// RFC 7617 section 2: a user name has no colon.
    #[error("the user name of credential `{0}` has a colon")]
    Colon(String),
    /// The name of the place is not one.
    #[error("credential `{credential}`: {problem}")]
    Place {
        /// Its name.
        credential: String,
        /// What is wrong.
        problem: crate::PlaceError,
    },
}

impl SecretError {
    /// What a person can do about it.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::UnknownProvider(_) => {
                "write a `[secrets.NAME]` block, or use a built-in provider: `file:PATH`, `directory:FOLDER#FILE`, `env:NAME`".to_owned()
            }
            Self::OpenToOthers { path, wanted, .. } => {
                format!("chmod {wanted:o} {}", shell_words::quote(&path.display().to_string()))
            }
            Self::Missing(reference) if reference.starts_with("file:") => {
                let path = shell_words::quote(reference.trim_start_matches("file:"));
                format!("in the folder of the config file: (umask 077; cat > {path})")
            }
            Self::Short(_) => "write `short = true` in the credential if it really is that short".to_owned(),
            Self::Version(_) => "remove `@VERSION`".to_owned(),
            _ => return None,
        })
    }
}

/// All providers of a config: the built-in `file`, `directory`, `env` and named ones.
#[derive(Clone)]
pub struct Providers {
    named: BTreeMap<String, Arc<dyn Provider>>,
}

impl Providers {
    /// Names that no `[secrets.*]` block may take.
    pub const BUILT_IN: [&str; 3] = ["file", "directory", "env"];

    /// `base` = the folder of the config file, against which relative paths are read.
    pub fn new(base: PathBuf, mut named: BTreeMap<String, Arc<dyn Provider>>) -> Self {
        // The built-in ones win: a block can't redefine what `file:` means.
        named.insert("file".to_owned(), Arc::new(FileProvider::new(base.clone())));
        named.insert("directory".to_owned(), Arc::new(DirectoryProvider::new(base)));
        named.insert("env".to_owned(), Arc::new(EnvProvider::default()));
        Self { named }
    }

    /// Resolves.
    pub async fn fetch(&self, reference: &Reference) -> Result<Secret, SecretError> {
        let unknown = || SecretError::UnknownProvider(reference.provider_shown().map(str::to_owned));
        let secret = self.named.get(&reference.provider).ok_or_else(unknown)?.fetch(reference).await?;
        if secret.is_empty() {
            return Err(SecretError::Empty(reference.to_string()));
        }
        if secret.len() > SECRET_BYTES_MAX {
            return Err(SecretError::TooLarge(reference.to_string()));
        }
        Ok(secret)
    }

    /// Whether the provider of `reference` exists (config time).
    pub fn knows(&self, reference: &Reference) -> bool {
        self.named.contains_key(&reference.provider)
    }

    /// Names of all providers, for suggestions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}

fn no_version(reference: &Reference) -> Result<(), SecretError> {
    if reference.version.is_some() { Err(SecretError::Version(reference.to_string())) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
