//! Changes of the lock file: one process at a time by `flock` on its folder, so that no approval is lost between reading and
//! writing. Nobody waits for ever: who holds it is named, as far as the kernel says.
use crate::{
    config::Place,
    exit::{Exit, Failure, Result, at_file},
    files,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_manifest::Lock;
use rustix::fs::{FlockOperation, flock};
use std::{fs::File, os::unix::fs::MetadataExt, path::Path, time::Duration};

/// Pause between two tries.
const RETRY: Duration = Duration::from_millis(20);

/// Reads the lock, changes it and writes it, alone; waits at most `wait` for another who does.
pub fn edit_lock<T>(place: &Place, wait: Duration, change: impl FnOnce(&mut Lock) -> Result<T>) -> Result<T> {
    let _held = hold(&place.folder, wait)?;
    let file = place.lock_file();
    let mut lock = super::read_lock_file(&file)?;
    let changed = change(&mut lock)?;
    files::write_whole(&file, lock.print().as_bytes(), 0o644)?;
    Ok(changed)
}

/// Released when the file is closed, by a kill too.
fn hold(folder: &Path, wait: Duration) -> Result<File> {
    let held = File::open(folder).map_err(at_file("open", folder))?;
    let end = RealClock.monotonic().saturating_add(wait);
    loop {
        match flock(&held, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(held),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(at_file("lock", folder)(errno.into())),
        }
        let left = end.saturating_sub(RealClock.monotonic());
        if left.is_zero() {
            let message = format!("`{}` is locked by {}", folder.display(), holder(&held));
            return Err(Failure::new(Exit::Held, message)
                .with_help("wait for it to end, or give it longer with `--wait SECONDS`"));
        }
        std::thread::sleep(RETRY.min(left));
    }
}

/// Process id and program of who holds it: nothing is decided by this text.
fn holder(file: &File) -> String {
    let another = "another process".to_owned();
    let (Ok(of), Ok(locks)) = (file.metadata(), std::fs::read_to_string("/proc/locks")) else {
        return another;
    };
    let device = of.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let Some(process) = holder_in(&locks, &format!("{major:02x}:{minor:02x}:{}", of.ino())) else {
        return another;
    };
    match std::fs::read_to_string(format!("/proc/{process}/comm")) {
        Ok(program) => format!("process {process} (`{}`)", crate::output::shown_line(program.trim())),
        // A process that it started may still hold what it took.
        Err(_) => format!("process {process}, which is gone, or one that it started"),
    }
}

/// `1: FLOCK  ADVISORY  WRITE 4242 08:01:131 0 EOF`; who waits stands behind `->`.
fn holder_in(locks: &str, place: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, "FLOCK", _, _, process, at, ..] if *at == place => process.parse().ok(),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_among_other_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 08:01:131 0 EOF\n2: FLOCK  ADVISORY  READ 2 08:01:132 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 4242 08:01:131 0 EOF\n3: -> FLOCK  ADVISORY  WRITE 7 08:01:131 0 EOF\n";
        assert_eq!(holder_in(locks, "08:01:131"), Some(4242));
        assert_eq!(holder_in(locks, "08:01:13"), None);
        assert_eq!(holder_in("nonsense\n\n", "08:01:131"), None);
    }
}
