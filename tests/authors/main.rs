//! Promise: an author who never saw this repository gets a connector that builds and passes its tests at once, with the binary and
//! cargo alone; and reads what is wrong with one, with its file and what to do. Everything happens in empty temporary folders,
//! without a network: cargo's own cache is warm, since the binary was built with it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dev;
mod examples;
mod mistakes;
mod new;
mod plays;
mod record;
mod tutorial;
mod versions;

use portcullis_tests::{binary, guests};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

/// One at a time, in one place: what a connector is built of depends on its path, and is compiled once so.
static TURN: Mutex<()> = Mutex::new(());

/// An author's folder, and the shell in it.
struct Author {
    // Gone before the turn is over.
    folder: tempfile::TempDir,
    _turn: Option<MutexGuard<'static, ()>>,
    /// Connectors are built as they ship, which takes a minute each; else soon.
    ships: bool,
}

impl Author {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("portcullis-author-{}", std::process::id());
        let folder = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir().unwrap();
        Self { folder, _turn: Some(turn), ships: false }
    }

    /// The same for one whose digest counts.
    fn shipping() -> Self {
        Self { ships: true, ..Self::new() }
    }

    /// Another place, beside whoever's turn it is.
    fn elsewhere() -> Self {
        let folder = tempfile::Builder::new().prefix("portcullis-elsewhere-").tempdir().unwrap();
        Self { folder, _turn: None, ships: true }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program in a folder of the author's, with the environment as it is, and no network for cargo.
    fn command(&self, program: impl AsRef<Path>, folder: &str) -> Command {
        self.age_sdks();
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.path(folder))
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", guests::target());
        if !self.ships {
            command.envs(guests::QUICK);
        }
        command
    }

    /// `new` writes the SDK beside each connector, the same at the same place: cargo, which goes by times, need not compile it
    /// for each author anew.
    fn age_sdks(&self) {
        let connectors =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path().join("sdk"));
        let mut folders: Vec<PathBuf> = connectors.filter(|sdk| sdk.is_dir()).collect();
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
                    fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
                }
            }
        }
    }

    fn portcullis(&self, folder: &str, args: &[&str]) -> Output {
        self.command(binary(), folder).args(args).output().expect("portcullis starts")
    }

    /// The same with `--json`, which succeeds.
    #[track_caller]
    fn json(&self, folder: &str, args: &[&str]) -> serde_json::Value {
        let ran = self.portcullis(folder, &[&["--json"], args].concat());
        assert!(ran.status.success(), "{args:?}\n{}", both(&ran));
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// `cargo test` passes. Its lock is as `new` wrote it, afterwards too.
    #[track_caller]
    fn tests_pass(&self, folder: &str) {
        let lock = || fs::read(self.path(folder).join("Cargo.lock")).unwrap();
        let written = lock();
        let ran = self.command("cargo", folder).arg("test").output().unwrap();
        assert!(ran.status.success(), "`cargo test` in {folder}\n{}", both(&ran));
        assert!(String::from_utf8_lossy(&ran.stdout).contains("test result: ok."), "{}", both(&ran));
        assert_eq!(written, lock(), "cargo found the lock as it would have written it");
    }
}

fn both(ran: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}
