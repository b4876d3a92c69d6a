//! Reads one opened secret file: who else could read it is asked of the open file, so a link or a swap changes nothing.
use crate::{Secret, SecretError, limits::SECRET_BYTES_MAX};
use std::{fs::File, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path};
use zeroize::Zeroizing;

/// `refused` = permission bits that the file may not have.
pub(super) fn read(file: File, path: &Path, reference: &str, refused: u32) -> Result<Secret, SecretError> {
    let metadata = file.metadata().map_err(|source| io(reference, source))?;
    if !metadata.is_file() {
        return Err(SecretError::NotAFile(reference.to_owned()));
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & refused != 0 {
        let wanted = 0o600 | (0o040 & !refused);
        return Err(SecretError::OpenToOthers {
            reference: reference.to_owned(),
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    // Its full size at once: a buffer that grows would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 2));
    file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|source| io(reference, source))?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLarge(reference.to_owned()));
    }
    let secret = without_line_end(&bytes);
    if secret.is_empty() {
        return Err(SecretError::Empty(reference.to_owned()));
    }
    Ok(Secret::copy(secret))
}

/// One line end, which editors and `echo` add.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

pub(super) fn io(reference: &str, source: std::io::Error) -> SecretError {
    match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
            SecretError::Missing(reference.to_owned())
        }
        _ => SecretError::Unreadable { reference: reference.to_owned(), source },
    }
}

/// Runs file work off the async workers: a network file system may block.
pub(super) async fn blocking<T: Send + 'static>(
    reference: String,
    work: impl FnOnce(&str) -> Result<T, SecretError> + Send + 'static,
) -> Result<T, SecretError> {
    let name = reference.clone();
    let done = tokio::task::spawn_blocking(move || work(&name)).await;
    done.unwrap_or_else(|_| {
        Err(SecretError::Unreadable { reference, source: std::io::Error::other("the read was cancelled") })
    })
}
