//! Approvals: the lock file, the kept bytes, the revocations. What the lock does not hold does not run.
use crate::{
    config::{Config, pinned},
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
pub mod ended;
pub mod known;
mod last;

pub use edit::edit_lock;
use ended::Standing;
pub use last::LastLock;

/// Reads the lock beside the config; an absent one is empty.
pub fn read_lock(config: &Config) -> Result<Lock> {
    read_lock_file(&config.lock_file())
}

/// Reads a lock; an absent one is empty.
pub fn read_lock_file(file: &Path) -> Result<Lock> {
    lock_text(file)?.map_or_else(|| Ok(Lock::default()), |text| parse(file, &text))
}

/// What is in the file; none where there is no file.
fn lock_text(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at_file("read", file)(error)),
    }
}

fn parse(file: &Path, text: &str) -> Result<Lock> {
    Lock::parse_all(file, text).map_err(Failure::documents)
}

/// Whether an approval was ended, by the lock or by what `data` holds.
pub fn is_revoked(data: &Path, connection: &str, approval: &Approval) -> bool {
    approval.revoked || Standing::new(data, connection, approval).ended().is_some()
}

/// `sha256-HEX`
fn digest_file_name(digest: &str) -> String {
    digest.replace(':', "-")
}

/// `data`, and the folders in it that say what may run.
pub fn deciding_folders(data: &Path) -> [PathBuf; 5] {
    let [approved, components, current, revoked] =
        ["approved", "components", "current", "revoked"].map(|name| data.join(name));
    [data.to_owned(), approved, components, current, revoked]
}

/// Refuses those to which others may write.
pub fn refuse_shared(data: &Path) -> Result<()> {
    deciding_folders(data).iter().try_for_each(|folder| {
        portcullis_store::refuse_shared(folder)
            .map_err(|error| Failure::fault("`data` is no place for approvals").because(&error))
    })
}

/// Where the approved bytes are kept.
pub fn kept_file(data: &Path, digest: &str) -> PathBuf {
    data.join("components").join(digest_file_name(digest))
}

/// Keeps the bytes of an approval.
pub fn keep(data: &Path, package: &Package) -> Result<()> {
    let file = kept_file(data, &package.component.digest);
    files::private_folder(&data.join("components"))?;
    files::write_whole(&file, &package.bytes, 0o600)
}

/// The approval of a connection that still holds. What the lock marks as revoked ends here, whichever lock comes next.
pub fn current<'l>(config: &Config, lock: &'l Lock, connection: &str) -> Result<&'l Approval> {
    ended::heed(&config.data, lock)?;
    let Some(approval) = lock.approvals.get(connection) else {
        return Err(Failure::new(Exit::NotApproved, format!("connection `{connection}` is not approved"))
            .with_help(format!("portcullis approve {connection}")));
    };
    match Standing::new(&config.data, connection, approval).ended() {
        Some(ended) => Err(ended::refusal(connection, approval, ended)),
        None => Ok(approval),
    }
}

/// The kept bytes. Damaged ones are named as such: nothing is lost with them, where the registry still has the file.
fn kept_package(kept: &Path, digest: &str) -> Result<Package> {
    let package = registry::open(kept);
    let package = package.and_then(|package| match package.component.digest == digest {
        true => Ok(package),
        false => Err(Failure::fault(format!("it has the digest `{}`", package.component.digest))),
    });
    package.map_err(|failure| {
        Failure::fault(format!("the kept component `{}` is damaged", kept.display()))
            .because(&failure)
            .with_help("delete that file: it is taken from the registry again")
    })
}

/// The approved bytes: the kept ones, else the registry's where their digest is the pinned one. A lock that pins another digest
/// than the one that was approved here is refused; a version that this `data` meets for the first time is remembered.
pub fn approved_package(config: &Config, approval: &Approval) -> Result<Package> {
    let (package, kept) = find_approved(config, approval)?;
    if !kept {
        keep(&config.data, &package)?;
    }
    known::remember(&config.data, approval)?;
    Ok(package)
}

/// The same, and nothing is written; whether it is the kept one.
pub fn find_approved(config: &Config, approval: &Approval) -> Result<(Package, bool)> {
    known::refuse_pinned(&config.data, approval)?;
    let file = kept_file(&config.data, &approval.digest);
    let kept = file.exists();
    let package = if kept {
        kept_package(&file, &approval.digest)?
    } else {
        let name = &approval.connector;
        let file =
            config.registry.join(&name.publisher).join(&name.name).join(format!("{}.wasm", approval.version));
        registry::open(&file).map_err(|failure| match file.try_exists() {
            Ok(false) => failure.with_help(format!(
                "put the approved file back there (`{}`), or approve what `portcullis connectors` shows to be there",
                approval.digest
            )),
            _ => failure,
        })?
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
    refuse_other_manifest(approval, &package)?;
    Ok((package, kept))
}

/// The same to look at alone: nothing is kept or remembered, and what is not there or not the pinned bytes is none.
pub fn seen_package(config: &Config, approval: &Approval) -> Option<Package> {
    let name = &approval.connector;
    let entry =
        config.registry.join(&name.publisher).join(&name.name).join(format!("{}.wasm", approval.version));
    let files = [kept_file(&config.data, &approval.digest), entry];
    let pinned = |package: &Package| package.component.digest == approval.digest;
    files.iter().find_map(|file| registry::open(file).ok().filter(pinned))
}

/// The lock must say of the approved bytes what their manifest says: else a version would be remembered that they are not.
fn refuse_other_manifest(approval: &Approval, package: &Package) -> Result<()> {
    let differences = pinned::manifest_differences(approval, &package.component.manifest);
    if differences.is_empty() {
        return Ok(());
    }
    let digest = &approval.digest;
    let message = format!(
        "`portcullis.lock` and the approved component (`{digest}`) differ: {}",
        differences.join("; ")
    );
    Err(Failure::new(Exit::NotApproved, message)
        .with_help("put back the lock that was committed last, or approve the connection anew"))
}
