//! What this `data` ever approved: one file a version, `data/approved/PUBLISHER/NAME/VERSION`, that holds its digest. A version
//! means one digest for ever, also after the lock named another version in between. Written before the lock names it, never
//! in place of another digest.
use crate::{
    exit::{Exit, Failure, Result},
    files,
};
use portcullis_manifest::{Approval, ConnectorName, Lock, lock::is_digest};
use semver::Version;
use std::path::{Path, PathBuf};

/// A digest and the end of its line.
const FILE_BYTES_MAX: u64 = 80;

/// Where a version's digest lies. Publisher and name are labels, a version begins with a digit and holds no `/`: none of them
/// can mean another folder.
fn file(data: &Path, name: &ConnectorName, version: &Version) -> PathBuf {
    data.join("approved").join(&name.publisher).join(&name.name).join(version.to_string())
}

/// The digest that this version was approved with, where it ever was.
fn digest(data: &Path, name: &ConnectorName, version: &Version) -> Result<Option<String>> {
    let file = file(data, name, version);
    if !file.try_exists().map_err(crate::exit::at_file("read", &file))? {
        return Ok(None);
    }
    let text = String::from_utf8(files::read_regular(&file, FILE_BYTES_MAX)?).unwrap_or_default();
    let digest = text.trim_end_matches('\n');
    if !is_digest(digest) {
        return Err(Failure::fault(format!("`{}` holds no digest", file.display()))
            .with_help("it says which bytes were approved as this version: bring it back from a backup"));
    }
    Ok(Some(digest.to_owned()))
}

/// Refuses a component of a version that was approved with another digest, by this `data` or by the lock: whatever the config says.
pub fn refuse_asked(
    data: &Path,
    lock: &Lock,
    name: &ConnectorName,
    version: &Version,
    asked: &str,
) -> Result<()> {
    let same = |other: &&Approval| other.connector == *name && other.version == *version;
    let pinned = lock.approvals.values().filter(same).map(|other| other.digest.clone());
    let known = digest(data, name, version)?.into_iter().chain(pinned).find(|known| known != asked);
    let Some(known) = known else { return Ok(()) };
    Err(Failure::fault(format!(
        "`{name}` {version} was approved with the digest `{known}`; the registry now holds `{asked}`"
    ))
    .with_help("a changed connector needs a new version; put the approved file back"))
}

/// Refuses a lock that pins another digest than the one that was approved here.
pub fn refuse_pinned(data: &Path, pinned: &Approval) -> Result<()> {
    match digest(data, &pinned.connector, &pinned.version)? {
        Some(known) if known != pinned.digest => Err(Failure::new(
            Exit::NotApproved,
            format!(
                "`{}` {} was approved here with the digest `{known}`; `portcullis.lock` pins `{}`",
                pinned.connector, pinned.version, pinned.digest
            ),
        )
        .with_help(format!(
            "a changed connector needs a new version; take back the lock that pins the approved digest (remembered in `{}`)",
            file(data, &pinned.connector, &pinned.version).display()
        ))),
        _ => Ok(()),
    }
}

/// Remembers what an approval pins, durably, or refuses it.
pub fn remember(data: &Path, approval: &Approval) -> Result<()> {
    let file = file(data, &approval.connector, &approval.version);
    if digest(data, &approval.connector, &approval.version)?.is_none() {
        let folder = crate::config::folder_of(&file);
        files::private_folder(folder)?;
        files::write_new(&file, format!("{}\n", approval.digest).as_bytes(), 0o600)?;
        // The folders may be new, each an entry of the one above it.
        folder
            .ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(data))
            .try_for_each(files::sync_folder)?;
    }
    // Another process may have come first.
    refuse_pinned(data, approval)
}

/// What a lock of before this memory names counts too; what it names otherwise is refused where that is loaded.
pub fn remember_all(data: &Path, lock: &Lock) -> Result<()> {
    for approval in lock.approvals.values() {
        if digest(data, &approval.connector, &approval.version)?.is_none() {
            remember(data, approval)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use portcullis_manifest::ConnectorName;

    fn approval(version: &str, digit: char) -> Approval {
        let text = format!(
            "format = 1\n[approvals.a]\napproval-id = \"apr_1\"\napproved-at = \"2026-01-31T12:00:00Z\"\nconnector = \"acme/x\"\n\
             version = \"{version}\"\ndigest = \"sha256:{}\"\nimports = []\nroles = [\"actions\"]\n\
             [approvals.a.network]\nroots = \"bundled\"\n",
            String::from(digit).repeat(64)
        );
        let mut lock = Lock::parse(Path::new("portcullis.lock"), &text).unwrap();
        lock.approvals.remove("a").unwrap()
    }

    fn asked(data: &Path, lock: &Lock, approval: &Approval) -> Result<()> {
        refuse_asked(data, lock, &approval.connector, &approval.version, &approval.digest)
    }

    #[test]
    fn a_version_means_one_digest_for_ever() {
        let data = tempfile::tempdir().unwrap();
        let data = &data.path().join("data");
        let (first, second) = (approval("1.0.0", 'a'), approval("1.0.0", 'b'));
        refuse_pinned(data, &second).unwrap();
        remember(data, &first).unwrap();
        remember(data, &first).unwrap();
        assert_eq!(remember(data, &second).unwrap_err().exit, Exit::NotApproved);
        let error = asked(data, &Lock::default(), &second).unwrap_err().to_string();
        assert!(error.contains(&first.digest) && error.contains(&second.digest), "{error}");
        remember(data, &approval("1.0.0+build", 'b')).unwrap();
        let kept = std::fs::read_to_string(data.join("approved/acme/x/1.0.0")).unwrap();
        assert_eq!(kept, format!("{}\n", first.digest));
    }

    #[test]
    fn a_lock_from_before_counts_and_blocks_no_other() {
        let data = tempfile::tempdir().unwrap();
        let first = approval("1.0.0", 'a');
        let lock = Lock { approvals: [("one".to_owned(), first.clone())].into() };
        asked(data.path(), &lock, &approval("1.0.0", 'b')).unwrap_err();
        remember_all(data.path(), &lock).unwrap();
        let swapped = Lock { approvals: [("one".to_owned(), approval("1.0.0", 'b'))].into() };
        remember_all(data.path(), &swapped).unwrap();
        refuse_pinned(data.path(), &first).unwrap();
    }

    #[test]
    fn a_damaged_memory_lets_nothing_through() {
        let data = tempfile::tempdir().unwrap();
        let first = approval("1.0.0", 'a');
        remember(data.path(), &first).unwrap();
        for damage in ["", "sha256:ab\n", "../../etc/passwd\n"] {
            std::fs::write(data.path().join("approved/acme/x/1.0.0"), damage).unwrap();
            assert_eq!(refuse_pinned(data.path(), &first).unwrap_err().exit, Exit::Fault);
            assert_eq!(asked(data.path(), &Lock::default(), &first).unwrap_err().exit, Exit::Fault);
        }
    }

    #[test]
    fn no_name_is_a_path() {
        for name in ["../x", "a/..", "a/.", "./a", "a/b/c", "a/", "/a", "a/B", "a/\u{0}"] {
            assert!(name.parse::<ConnectorName>().is_err(), "{name:?}");
        }
        for version in ["..", "1.0.0-../x", "1.0.0+../x", "1.0.0/..", "1.0.0+\u{0}", ""] {
            assert!(version.parse::<semver::Version>().is_err(), "{version:?}");
        }
    }
}
