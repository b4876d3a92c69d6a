//! `build --watch`: a save is built, a fault is said and the watch goes on, and Ctrl-C ends it well.

use crate::Author;
use portcullis_tests::{
    Ran, checkout,
    guests::{self, Installed},
    project::Running,
};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

/// In the code that `new` writes, and what gives another record.
const PUSH: &str = "page.push_records(answer.text()?, \"/items\")?;";
const PUSH_OTHER: &str =
    "page.push_records(&answer.text()?.replace(\"\\\"a\\\"\", \"\\\"z\\\"\"), \"/items\")?;";

/// A command that runs on, and the lines that it printed.
struct Watched {
    running: Option<Running>,
    lines: [Arc<Mutex<Vec<String>>>; 2],
    /// Lines of each that were looked at.
    read: [usize; 2],
}

const OUT: usize = 0;
const ERR: usize = 1;

impl Watched {
    fn start(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let keep = |pipe: Box<dyn Read + Send>| {
            let lines: Arc<Mutex<Vec<String>>> = Arc::default();
            let kept = Arc::clone(&lines);
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines() {
                    let Ok(line) = line else { return };
                    kept.lock().unwrap().push(line);
                }
            });
            lines
        };
        let out = keep(Box::new(child.stdout.take().unwrap()));
        let err = keep(Box::new(child.stderr.take().unwrap()));
        Self { running: Some(Running::of(child)), lines: [out, err], read: [0; 2] }
    }

    /// The next line with these words. Compilers take their time: what is bounded is that it comes at all.
    #[track_caller]
    fn next(&mut self, stream: usize, words: &str) -> String {
        for _ in 0..24_000 {
            let lines = self.lines[stream].lock().unwrap().clone();
            if let Some(at) = lines.iter().skip(self.read[stream]).position(|line| line.contains(words)) {
                self.read[stream] += at + 1;
                return lines[self.read[stream] - 1].clone();
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let shown = |stream: usize| self.lines[stream].lock().unwrap().join("\n");
        panic!("no line `{words}` came\nstdout:\n{}\nstderr:\n{}", shown(OUT), shown(ERR));
    }

    /// Ctrl-C; how it ended.
    fn interrupt(mut self) -> Ran {
        let running = self.running.take().unwrap();
        running.signal(libc::SIGINT);
        running.finish()
    }
}

/// A new connector with both roles, whose SDK is the checkout's.
fn begun(author: &Author) -> PathBuf {
    let sdk = checkout().join("sdk/rust");
    let roles = ["--role", "source", "--role", "action"];
    author
        .json("", &[&["new", "acme/weather", "--sdk-path", sdk.to_str().unwrap()][..], &roles[..]].concat());
    author.path("weather")
}

fn edit(file: &Path, was: &str, is: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(was), "`{was}` stands in {}", file.display());
    fs::write(file, text.replacen(was, is, 1)).unwrap();
}

#[test]
fn a_build_follows_each_change_and_a_failed_one_ends_nothing() {
    let author = Author::new();
    let weather = begun(&author);
    let _alone = guests::alone();
    let mut command = author.command(portcullis_tests::binary(), "");
    command.args(["build", "weather", "--watch"]);
    let mut build = Watched::start(command);
    let first = build.next(OUT, "digest   sha256:");
    build.next(ERR, "watching");
    edit(&weather.join("connector.toml"), "role", "rloe");
    build.next(ERR, "rloes");
    build.next(ERR, "watching");
    edit(&weather.join("connector.toml"), "rloe", "role");
    edit(&weather.join("src/lib.rs"), PUSH, PUSH_OTHER);
    let second = build.next(OUT, "digest   sha256:");
    assert_ne!(first, second);
    build.next(ERR, "watching");
    let component = Installed::of(fs::read(author.path("registry/acme/weather/0.1.0.wasm")).unwrap());
    assert_eq!(second, format!("digest   {}", component.digest));
    // In the middle of a build too.
    edit(&weather.join("src/lib.rs"), PUSH_OTHER, PUSH);
    build.next(ERR, "changed: src/lib.rs");
    assert_eq!(build.interrupt().status, Some(0));
}
