//! An operator's folder: `portcullis.toml`, secret files, a registry, and the built binary run in it with an empty environment.

use crate::{authority::authority, binary, compiled, guests::Installed};
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A run that takes longer hangs.
const RUN_MAX: Duration = Duration::from_secs(180);

/// What a process left.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit code; none = ended by a signal.
    pub status: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Diagnostics.
    pub stderr: String,
    /// Its largest resident size, its own children's included.
    pub resident_kib_max: u64,
    /// CPU time, its own and that of the children it waited for.
    pub cpu: Duration,
}

impl Ran {
    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.status, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// stdout as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("stdout is no JSON: {error}\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr)
        })
    }

    /// stdout as one JSON document a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<serde_json::Value> {
        self.stdout
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON line: {error}: {line}"))
            })
            .collect()
    }
}

/// The folder; removed when dropped.
pub struct Project {
    folder: tempfile::TempDir,
    head: Vec<String>,
    /// Code digests.
    approved: Mutex<BTreeSet<String>>,
}

impl Drop for Project {
    fn drop(&mut self) {
        let approved = self.approved.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Of several, nobody could tell which file is whose.
        if let (1, Some(code_digest)) = (approved.len(), approved.first()) {
            compiled::keep(code_digest, &self.folder.path().join("data"));
        }
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

impl Project {
    /// An empty one, with the authority's certificate as `ca.pem`.
    pub fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("portcullis-test-").tempdir().expect("a temporary folder");
        let project = Self { folder, head: Vec::new(), approved: Mutex::default() };
        fs::create_dir(project.path("registry")).unwrap();
        project.file("ca.pem", authority().pem().as_bytes());
        project
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same text with remedies as they are where nobody named the config.
    pub fn plain(&self, text: &str) -> String {
        text.replace(&format!("--config {} ", self.path("portcullis.toml").display()), "")
    }

    /// Arguments that go before every command: `--log-level trace`.
    pub fn always(mut self, args: &[&str]) -> Self {
        self.head.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Writes a file that everybody may read.
    pub fn file(&self, name: &str, bytes: &[u8]) -> &Self {
        fs::write(self.path(name), bytes).unwrap();
        self
    }

    /// Writes a secret file, 0600.
    pub fn secret(&self, name: &str, value: &str) -> &Self {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path(name))
            .unwrap();
        file.write_all(value.as_bytes()).unwrap();
        self
    }

    /// Writes `portcullis.toml`: registry and data folder, then `rest`.
    pub fn config(&self, rest: &str) -> &Self {
        self.file(
            "portcullis.toml",
            format!("registry = \"./registry\"\ndata = \"./data\"\n\n{rest}\n").as_bytes(),
        )
    }

    /// Puts a component into the registry.
    pub fn install(&self, component: &Installed) -> &Self {
        let folder = self.path("registry").join(&component.publisher).join(&component.name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{}.wasm", component.version)), &component.bytes).unwrap();
        self
    }

    /// Approves a connection with the digest of what it would run.
    #[track_caller]
    pub fn approve(&self, connection: &str, component: &Installed) -> &Self {
        compiled::bring(&component.code_digest, &self.path("data"));
        self.approved.lock().unwrap().insert(component.code_digest.clone());
        self.run(&["approve", connection, "--yes", "--digest", &component.digest]).exits(0);
        self
    }

    /// The binary with the project's config, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.env_clear().current_dir(self.folder.path()).arg("--config").arg(self.path("portcullis.toml"));
        command
            .args(&self.head)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        heard(&mut command);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args).spawn().expect("portcullis starts"))
    }

    /// The same with bytes on stdin.
    pub fn run_with(&self, args: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("portcullis starts");
        let mut pipe = child.stdin.take().unwrap();
        let bytes = stdin.to_vec();
        let writer = std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        let ran = finish(child);
        writer.join().unwrap();
        ran
    }

    /// Runs a command with `--json`; stdout is one document.
    #[track_caller]
    pub fn run_json(&self, args: &[&str]) -> (Ran, serde_json::Value) {
        let ran = self.run(&[&["--json"], args].concat());
        let json = ran.json();
        (ran, json)
    }

    /// Calls an action with this input; the object that `--json` prints.
    #[track_caller]
    pub fn call(
        &self,
        connection: &str,
        action: &str,
        input: &serde_json::Value,
    ) -> (Ran, serde_json::Value) {
        let ran = self.run_with(&["--json", "call", connection, action, "-"], input.to_string().as_bytes());
        let json = ran.json();
        (ran, json)
    }

    /// Starts a command and leaves it running.
    pub fn spawn(&self, args: &[&str]) -> Running {
        Running { child: Some(self.command(args).spawn().expect("portcullis starts")) }
    }

    /// Rows of `logs --json`.
    #[track_caller]
    pub fn logs(&self, args: &[&str]) -> Vec<serde_json::Value> {
        let ran = self.run(&[&["--json", "logs", "--limit", "10000"], args].concat());
        ran.exits(0);
        ran.lines()
    }

    /// Rows of `runs --json`.
    #[track_caller]
    pub fn runs(&self, args: &[&str]) -> Vec<serde_json::Value> {
        let ran = self.run(&[&["--json", "runs", "--limit", "10000"], args].concat());
        ran.exits(0);
        ran.lines()
    }

    /// Every file below `folder`, with its bytes.
    pub fn bytes_below(&self, folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        walk(&self.path(folder), &mut found);
        found
    }
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.is_file() {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
}

/// A process that runs on; killed when dropped.
pub struct Running {
    child: Option<Child>,
}

impl Running {
    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether it ended by itself.
    pub fn ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// A process that was started elsewhere.
    pub fn of(child: Child) -> Self {
        Self { child: Some(child) }
    }

    /// SIGTERM, and waits until it is gone.
    pub fn terminate(self) -> Ran {
        self.signal(libc::SIGTERM);
        self.finish()
    }

    /// Sends a signal.
    #[expect(unsafe_code, reason = "std sends no signal but SIGKILL")]
    pub fn signal(&self, signal: i32) {
        let id = i32::try_from(self.id()).unwrap();
        // SAFETY: takes no pointer, and the child is not reaped yet: the id is its own.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0, "the process can be signalled");
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) -> Ran {
        let mut child = self.child.take().unwrap();
        child.kill().expect("the process can be killed");
        finish(child)
    }

    /// Waits for its own end.
    pub fn finish(mut self) -> Ran {
        finish(self.child.take().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Gone already is as good.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A Ctrl-C reaches what is started, also where the tests run in the background of a shell, which lets them ignore it.
#[expect(unsafe_code, reason = "std hands what is ignored on to children")]
pub fn heard(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let reset = || {
        for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP] {
            // SAFETY: async-signal-safe, and `SIG_DFL` is no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: what runs between fork and exec calls nothing but `signal`.
    unsafe { command.pre_exec(reset) };
}

/// Reads both pipes to their ends and reaps, with what it used.
pub fn finish(mut child: Child) -> Ran {
    let reader = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_end(&mut bytes).expect("the pipe reads");
            }
            bytes
        })
    };
    let stdout = reader(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let stderr = reader(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let (status, usage) = reap(&mut child);
    let time = |time: libc::timeval| {
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap())
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap())
    };
    Ran {
        status,
        stdout: String::from_utf8_lossy(&stdout.join().unwrap()).into_owned(),
        stderr: String::from_utf8_lossy(&stderr.join().unwrap()).into_owned(),
        resident_kib_max: u64::try_from(usage.ru_maxrss).unwrap(),
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
    }
}

#[expect(unsafe_code, reason = "std does not give the resource usage of a child")]
fn reap(child: &mut Child) -> (Option<i32>, libc::rusage) {
    let id = i32::try_from(child.id()).unwrap();
    let until = Instant::now() + RUN_MAX;
    loop {
        let mut status = 0;
        // SAFETY: a zeroed rusage is a valid one, and both pointers live through the call.
        let (reaped, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(id, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
        };
        assert!(reaped >= 0, "wait4 fails");
        if reaped == id {
            let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            return (code, usage);
        }
        if Instant::now() > until {
            drop(child.kill());
            drop(child.wait());
            panic!("the process did not end within {RUN_MAX:?}");
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
