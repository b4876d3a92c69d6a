//! Files that are whole or absent: written beside their place, fsynced, renamed.
use crate::exit::{Failure, Result, at_file};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

/// No write takes this long: what is older than that is of a process that was killed.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(60 * 60);

/// Writes `bytes` to `path` with `mode`: after a crash the old file or the new one is there, never a part.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    write_then(path, bytes, mode, |temporary| fs::rename(temporary, path))
}

/// The same, but what is there already stays, whatever it is.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    use rustix::{
        fs::{CWD, RenameFlags, renameat_with},
        io::Errno,
    };
    write_then(path, bytes, mode, |temporary| {
        match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => fs::remove_file(temporary),
            // Not every file system can do it in one step.
            Err(Errno::INVAL | Errno::NOSYS) if !path.try_exists()? => fs::rename(temporary, path),
            Err(errno) => Err(errno.into()),
        }
    })
}

fn write_then(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    place: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<()> {
    let folder = crate::config::folder_of(path);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = write_synced(&temporary, bytes, mode).and_then(|()| {
        sweep(folder, &name, &temporary);
        place(&temporary)
    });
    if let Err(error) = written {
        // What was left of the attempt must not stay; the error that counts is the first.
        let _ = fs::remove_file(&temporary);
        return Err(at_file("write", path)(error));
    }
    sync_folder(folder)
}

/// Removes what killed processes left of the same file, or of other components beside a component. Where it can't, it leaves it.
fn sweep(folder: &Path, name: &str, ours: &Path) {
    let written = |path: &Path| {
        let metadata = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
        metadata.modified().ok()
    };
    let (Some(now), Ok(entries)) = (written(ours), fs::read_dir(folder)) else { return };
    for entry in entries.flatten() {
        let Some(of) = entry.file_name().to_str().and_then(left_over_of).map(str::to_owned) else { continue };
        let alike = of == name || (of.starts_with("sha256-") && name.starts_with("sha256-"));
        let age = written(&entry.path()).and_then(|then| now.duration_since(then).ok());
        if alike && age.is_some_and(|age| age > LEFT_OVER_AFTER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// `.NAME.PROCESS` → NAME
fn left_over_of(file: &str) -> Option<&str> {
    let (name, process) = file.strip_prefix('.')?.rsplit_once('.')?;
    process.parse::<u32>().is_ok().then_some(name)
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a rename or a new file in `folder` durable.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at_file("sync", folder))
}

/// Creates a folder that only its owner may enter.
pub fn private_folder(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at_file("create", path))
}

/// Reads what a person named: a file, a pipe or, as `-`, stdin. One byte more than `bytes_max` at most, which tells that there is
/// more.
pub fn read_given(path: &Path, bytes_max: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let room = (bytes_max as u64).saturating_add(1);
    let read = match path == Path::new("-") {
        true => std::io::stdin().take(room).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(room).read_to_end(&mut bytes)),
    };
    read.map_err(at_file("read", path))?;
    Ok(bytes)
}

/// Reads a regular file of at most `bytes_max`, never through a symbolic link at its end.
pub fn read_regular(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    read_like(path, bytes_max, &[])
}

/// The same of a file that begins with `magic`; of one that does not, so many bytes: enough to say what it is instead.
pub fn read_like(path: &Path, bytes_max: u64, magic: &[u8]) -> Result<Vec<u8>> {
    // A pipe that nobody writes to is not waited for.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        match path.is_symlink() {
            true => is_a_link(path),
            false => at_file("read", path)(error),
        }
    })?;
    let metadata = file.metadata().map_err(at_file("read", path))?;
    if !metadata.is_file() {
        return Err(Failure::fault(format!("`{}` is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    (&file).take(magic.len() as u64).read_to_end(&mut bytes).map_err(at_file("read", path))?;
    if bytes != magic {
        return Ok(bytes);
    }
    if metadata.len() > bytes_max {
        return Err(Failure::fault(format!("`{}` is larger than {bytes_max} bytes", path.display())));
    }
    // It may have grown since.
    file.take(bytes_max + 1 - magic.len() as u64).read_to_end(&mut bytes).map_err(at_file("read", path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::fault(format!("`{}` is larger than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

fn is_a_link(path: &Path) -> Failure {
    let leads = std::fs::read_link(path).map_or(String::new(), |leads| format!(", to `{}`", leads.display()));
    Failure::fault(format!("`{}` is a symbolic link{leads}, and none is followed here", path.display()))
        .with_help("name the file itself")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn what_killed_processes_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| folder.path().join(name);
        let old = [".lock.7", ".lock.x", ".lock2.7", "lock.7", ".sha256-ab.7", ".sha256-cd.8"];
        for name in old.iter().chain(&[".lock.9"]) {
            fs::write(of(name), "").unwrap();
        }
        for name in old {
            let file = File::options().write(true).open(of(name)).unwrap();
            let then =
                file.metadata().unwrap().modified().unwrap() - LEFT_OVER_AFTER - Duration::from_secs(9);
            file.set_modified(then).unwrap();
        }
        let left = || {
            let names = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = names.map(|n| n.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        write_whole(&of("lock"), b"", 0o600).unwrap();
        let sha = [".sha256-ab.7", ".sha256-cd.8"];
        assert_eq!(left(), [".lock.9", ".lock.x", ".lock2.7", sha[0], sha[1], "lock", "lock.7"]);
        write_whole(&of("sha256-ef"), b"", 0o600).unwrap();
        assert_eq!(left(), [".lock.9", ".lock.x", ".lock2.7", "lock", "lock.7", "sha256-ef"]);
    }
}
