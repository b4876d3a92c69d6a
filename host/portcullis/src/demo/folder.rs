//! The folder of `demo --keep`. It is the demo's own, or it is left alone: a marker that only the demo writes names every file
//! that it wrote, by digest, and nothing is written over a file that is not one of them.
use crate::{
    exit::{Exit, Failure, Result, at_file},
    files,
};
use portcullis_manifest::{embedded::digest_of, lock::is_digest};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The name of the marker.
const MARKER: &str = ".portcullis-demo";

/// Its first line.
const TITLE: &str = "Written by `portcullis demo --keep`: what it may write over.";

const MARKER_BYTES_MAX: u64 = 64 * 1024;

/// A file that the demo writes.
pub struct Own {
    /// Below the folder.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its mode.
    pub mode: u32,
}

impl Own {
    /// The line of the marker.
    fn line(&self) -> String {
        format!("{} {}", digest_of(&self.bytes), self.path.display())
    }
}

/// Refuses a folder that holds something and is not of an earlier demo.
pub fn refuse_foreign(folder: &Path) -> Result<()> {
    marked(folder).map(|_| ())
}

/// Writes the files; one that somebody else wrote, or changed, ends it before the first is written.
pub fn write(folder: &Path, files: &[Own]) -> Result<()> {
    let before = marked(folder)?;
    files.iter().try_for_each(|own| refuse_changed(folder, &own.path, &before))?;
    // What the demo's commands write themselves: through a link it would land in somebody's data.
    for written in ["data", "portcullis.lock"] {
        refuse_link(&folder.join(written))?;
    }
    files::private_folder(folder)?;
    let now: Vec<String> = files.iter().map(Own::line).collect();
    // Both, until all are written: what a killed demo left is its own too.
    mark(folder, before.iter().chain(&now))?;
    for own in files {
        let path = folder.join(&own.path);
        let above = crate::config::folder_of(&path);
        fs::create_dir_all(above).map_err(at_file("create", above))?;
        files::write_whole(&path, &own.bytes, own.mode)?;
    }
    mark(folder, now.iter())
}

fn mark<'l>(folder: &Path, lines: impl Iterator<Item = &'l String>) -> Result<()> {
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    files::write_whole(&folder.join(MARKER), format!("{TITLE}\n{text}").as_bytes(), 0o600)
}

/// The lines of the marker; none where the folder is empty or not there.
fn marked(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(foreign(format!("`{}` is no folder", folder.display())));
        }
        Err(error) => return Err(at_file("read", folder)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>().map_err(at_file("read", folder))?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let marker = files::read_regular(&folder.join(MARKER), MARKER_BYTES_MAX).unwrap_or_default();
    let marker = String::from_utf8(marker).unwrap_or_default();
    let mut lines = marker.lines();
    if lines.next() == Some(TITLE) {
        return Ok(lines.map(str::to_owned).collect());
    }
    names.sort();
    let shown: Vec<String> =
        names.iter().take(5).map(|name| format!("`{}`", crate::output::shown_line(name))).collect();
    let more = if names.len() > shown.len() { ", …" } else { "" };
    let shown = shown.join(", ");
    Err(foreign(format!("`{}` is not empty, and not of the demo: it holds {shown}{more}", folder.display())))
}

/// A file, or what leads to it, that is not as an earlier demo left it.
fn refuse_changed(folder: &Path, path: &Path, before: &[String]) -> Result<()> {
    let mut above = path.ancestors().skip(1).map(|above| folder.join(above));
    above.try_for_each(|above| if above == folder { Ok(()) } else { refuse_link(&above) })?;
    let file = folder.join(path);
    match fs::symlink_metadata(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at_file("read", &file)(error)),
        Ok(_) => {}
    }
    let digest =
        files::read_regular(&file, crate::registry::COMPONENT_BYTES_MAX).map(|bytes| digest_of(&bytes));
    let own = |line: &String| {
        let (digest_then, path_then) = line.split_once(' ').unwrap_or_default();
        is_digest(digest_then)
            && digest.as_ref().is_ok_and(|digest| digest == digest_then)
            && Path::new(path_then) == path
    };
    if before.iter().any(own) {
        return Ok(());
    }
    Err(foreign(format!("`{}` is not as the demo wrote it", file.display())))
}

fn refuse_link(path: &Path) -> Result<()> {
    if path.is_symlink() {
        return Err(foreign(format!("`{}` is a symbolic link", path.display())));
    }
    Ok(())
}

fn foreign(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
        .with_help("nothing was changed: name a folder that does not exist yet, or move away what is there")
}
