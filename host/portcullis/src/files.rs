//! Files that are whole or absent: written beside their place, fsynced, renamed.
use crate::exit::{Failure, Result, at_file};
use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

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
    let written = write_synced(&temporary, bytes, mode).and_then(|()| place(&temporary));
    if let Err(error) = written {
        // What was left of the attempt must not stay; the error that counts is the first.
        let _ = fs::remove_file(&temporary);
        return Err(at_file("write", path)(error));
    }
    sync_folder(folder)
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

/// Reads a regular file of at most `bytes_max`, never through a symbolic link at its end.
pub fn read_regular(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    let file =
        OpenOptions::new().read(true).custom_flags(no_follow).open(path).map_err(at_file("read", path))?;
    let metadata = file.metadata().map_err(at_file("read", path))?;
    if !metadata.is_file() {
        return Err(Failure::fault(format!("`{}` is not a regular file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(at_file("read", path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::fault(format!("`{}` is larger than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}
