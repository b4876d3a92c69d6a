//! What the promise tests stand on: the built binary, projects in temporary folders, guests, scripted vendors, third-party
//! servers, a network of their own. Knows nothing of the product's insides beyond its documents: what a test asserts on is the
//! wire, the sink, the databases and what the binary printed.

use std::{env, fs::OpenOptions, io::Write, path::PathBuf, sync::OnceLock};

pub mod authority;
pub mod canary;
pub mod case;
mod compiled;
pub mod dns;
pub mod guests;
pub mod model;
pub mod netns;
pub mod packets;
pub mod project;
pub mod servers;
pub mod tables;
pub mod transport;
pub mod vendor;

pub use project::{Project, Ran};
pub use vendor::{Asked, Next, Vendor};

/// The checkout's root.
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("`tests` lies in the checkout").to_owned()
}

/// The build folder that this test binary lies in: `target/debug`.
pub fn built() -> PathBuf {
    let test = env::current_exe().expect("the path of this test");
    test.ancestors().nth(2).expect("tests lie in `deps`").to_owned()
}

/// The built `portcullis` beside this test, of the sources as they are: a `cargo test` of this package alone leaves an old one in
/// its place. Built here, once a process, but where `tests/run` says that it did (`PORTCULLIS_TESTS_BUILT=1`), and inside a
/// network of its own, which the process outside built it for.
pub fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            let built_before = env::var_os("PORTCULLIS_TESTS_BUILT").is_some_and(|value| value == "1");
            if !built_before && !netns::inside() {
                build();
            }
            built().join("portcullis")
        })
        .clone()
}

/// Cargo let go of the target folder before it started this test, so it can be asked again.
fn build() {
    let built = built();
    let profile = match built.file_name().and_then(|name| name.to_str()).expect("the profile's folder") {
        "debug" => "dev".to_owned(),
        other => other.to_owned(),
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ran = std::process::Command::new(cargo)
        .args(["build", "--quiet", "--package", "portcullis", "--bin", "portcullis", "--profile", &profile])
        .arg("--target-dir")
        .arg(built.parent().expect("profiles lie in the target folder"))
        .current_dir(checkout())
        .status()
        .expect("cargo starts");
    assert!(ran.success(), "`cargo build --package portcullis` failed");
}

/// Test vectors and specifications of others, `../shared` beside the checkout.
pub fn shared() -> Option<PathBuf> {
    let folder = checkout().parent()?.join("shared");
    folder.is_dir().then_some(folder)
}

/// The folder of vectors, or a skip that says so.
pub fn corpora(name: &str) -> Option<PathBuf> {
    let folder = shared().map(|shared| shared.join("corpora").join(name)).filter(|folder| folder.is_dir());
    if folder.is_none() {
        skip(&format!("no vectors at ../shared/corpora/{name} beside the checkout"));
    }
    folder
}

/// Whether `tests/run` runs this: a missing third-party server is then a failure.
pub fn required() -> bool {
    env::var_os("PORTCULLIS_TESTS_REQUIRE").is_some_and(|value| value == "1")
}

/// Says aloud that a test did not run, and where `tests/run` counts it. Every caller returns right after.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {reason}\n", thread.name().unwrap_or("test"));
    // Past the capture of the test runner, so that a plain `cargo test` shows it.
    std::io::stderr().write_all(line.as_bytes()).expect("stderr");
    if let Some(file) = env::var_os("PORTCULLIS_SKIPS") {
        let mut file =
            OpenOptions::new().append(true).create(true).open(file).expect("the file of skips opens");
        file.write_all(line.as_bytes()).expect("the file of skips takes a line");
    }
}

/// A third-party server is missing: a failure under `tests/run`, else a skip.
pub fn missing_server(name: &str) {
    assert!(!required(), "the server `{name}` is missing; `tests/run` installs it into `.tools`");
    skip(&format!("the server `{name}` is not installed; `tests/run` installs it and runs this test"));
}

/// Whether this process is root.
#[expect(unsafe_code, reason = "geteuid has no safe form in std")]
pub fn is_root() -> bool {
    // SAFETY: takes no argument, always succeeds.
    unsafe { libc::geteuid() == 0 }
}

/// Looks again until `found` gives something, at most 20 s: a bound, never a measure.
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..4_000 {
        if let Some(value) = found() {
            return value;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    panic!("nothing came within 20 s: {what}");
}
