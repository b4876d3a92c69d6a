//! Approvals: the lock file, the kept bytes, the revocations. What the lock does not hold does not run.
use crate::{
    config::Config,
    exit::{Exit, Failure, Result, at_file},
    files, registry,
    registry::Package,
};
use portcullis_manifest::{Approval, Lock};
use std::{
    fs,
    path::{Path, PathBuf},
};

mod edit;
pub mod known;

pub use edit::edit_lock;

/// Reads the lock beside the config; an absent one is empty.
pub fn read_lock(config: &Config) -> Result<Lock> {
    read_lock_file(&config.lock_file())
}

/// Reads a lock; an absent one is empty.
pub fn read_lock_file(file: &Path) -> Result<Lock> {
    match fs::read_to_string(file) {
        Ok(text) => Lock::parse_all(file, &text).map_err(Failure::documents),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => Err(at_file("read", file)(error)),
    }
}

/// Where a revocation of one approval lies. Every process looks for it before each attempt.
pub fn revocation_file(data: &Path, approval_id: &str) -> PathBuf {
    data.join("revoked").join(approval_id)
}

/// Ends an approval durably, without the data lock: the file appears, and the next request of any process is denied.
pub fn revoke(data: &Path, approval_id: &str) -> Result<()> {
    let file = revocation_file(data, approval_id);
    let folder = data.join("revoked");
    files::private_folder(&folder)?;
    files::write_whole(&file, b"", 0o600)?;
    files::sync_folder(data)
}

/// Whether an approval was ended, by the lock or by its file.
pub fn is_revoked(data: &Path, approval: &Approval) -> bool {
    approval.revoked || was_revoked(data, &approval.approval_id)
}

/// Whether a revocation lies there; where that can't be seen, it counts as one.
pub fn was_revoked(data: &Path, approval_id: &str) -> bool {
    revocation_file(data, approval_id).try_exists().unwrap_or(true)
}

/// Where the approved bytes are kept.
pub fn kept_file(data: &Path, digest: &str) -> PathBuf {
    data.join("components").join(digest.replace(':', "-"))
}

/// Keeps the bytes of an approval.
pub fn keep(data: &Path, package: &Package) -> Result<()> {
    let file = kept_file(data, &package.component.digest);
    files::private_folder(&data.join("components"))?;
    files::write_whole(&file, &package.bytes, 0o600)
}

/// The approval of a connection that still holds.
pub fn current<'l>(config: &Config, lock: &'l Lock, connection: &str) -> Result<&'l Approval> {
    let approve = format!("portcullis approve {connection}");
    let Some(approval) = lock.approvals.get(connection) else {
        return Err(Failure::new(Exit::NotApproved, format!("connection `{connection}` is not approved"))
            .with_help(approve));
    };
    if is_revoked(&config.data, approval) {
        let message = format!("the approval of `{connection}` (`{}`) was revoked", approval.approval_id);
        return Err(
            Failure::new(Exit::NotApproved, message).with_help(format!("{approve}, to approve it anew"))
        );
    }
    Ok(approval)
}

/// The approved bytes: the kept ones, else the registry's where their digest is the pinned one. A lock that pins another digest
/// than the one that was approved here is refused; a version that this `data` meets for the first time is remembered.
pub fn approved_package(config: &Config, approval: &Approval) -> Result<Package> {
    known::refuse_pinned(&config.data, approval)?;
    let kept = kept_file(&config.data, &approval.digest);
    let package = if kept.exists() {
        registry::open(&kept)?
    } else {
        let name = &approval.connector;
        let file =
            config.registry.join(&name.publisher).join(&name.name).join(format!("{}.wasm", approval.version));
        let package = registry::open(&file)?;
        if package.component.digest == approval.digest {
            keep(&config.data, &package)?;
        }
        package
    };
    if package.component.digest != approval.digest {
        return Err(Failure::fault(format!(
            "`{}` has the digest `{}`, approved is `{}`",
            package.file.display(),
            package.component.digest,
            approval.digest
        ))
        .with_help("put the approved file back; a changed connector needs a new version"));
    }
    known::remember(&config.data, approval)?;
    Ok(package)
}
