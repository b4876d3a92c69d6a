//! `env:NAME[#KEY]`: a variable of this process; the only place that reads one. Weaker than a file: the same user can read it
//! from `/proc`, which `doctor` says.
use super::{Provider, key, no_version};
use crate::{
    Reference, Secret, SecretError,
    limits::{NAME_BYTES_MAX, SECRET_BYTES_MAX},
};
use std::os::unix::ffi::OsStringExt as _;
use zeroize::Zeroizing;

/// Variables of the environment.
#[derive(Default)]
pub struct EnvProvider {
    prefix: String,
}

impl EnvProvider {
    /// A named one: `PREFIX` is put before every name.
    pub fn prefixed(prefix: String) -> Self {
        Self { prefix }
    }
}

#[async_trait::async_trait]
impl Provider for EnvProvider {
    async fn fetch(&self, reference: &Reference) -> Result<Secret, SecretError> {
        no_version(reference)?;
        let variable = format!("{}{}", self.prefix, reference.path);
        if !is_name(&variable) {
            return Err(SecretError::VariableName(reference.to_string()));
        }
        let value = variable_of(&variable).ok_or_else(|| SecretError::Missing(reference.to_string()))?;
        if value.is_empty() {
            return Err(SecretError::Empty(reference.to_string()));
        }
        if value.len() > SECRET_BYTES_MAX {
            return Err(SecretError::TooLarge(reference.to_string()));
        }
        key::select(Secret::copy(&value), reference)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one home of reading the environment")]
fn variable_of(name: &str) -> Option<Zeroizing<Vec<u8>>> {
    std::env::var_os(name).map(|value| Zeroizing::new(value.into_vec()))
}

/// IEEE Std 1003.1 section 8.1, lower case too.
fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
