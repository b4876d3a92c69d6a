//! Compiling in a child process: a component can make a compiler use minutes and gigabytes. The parent gives the bytes on
//! stdin and takes the code from stdout; it waits a bounded time, reads a bounded answer and passes no environment.

mod child;

pub use child::{ChildLimits, check_child_main, compile_child_main, compile_child_main_within};

use crate::{CompileError, component, limits, text};
use std::{
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// Checks a component as the compiler's child would, in a child of the same limits, without compiling it: for who reads a
/// component and does not run it. `child` calls `check_child_main`. Blocks.
pub fn check_component(child: &(PathBuf, Vec<String>), component: &[u8]) -> Result<(), CompileError> {
    // Which of them it may import, its manifest's reader has judged.
    component::check_names(component, &portcullis_manifest::world::capabilities())?;
    let alone = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| CompileError::Engine(format!("no async runtime: {error}")))?;
        runtime.block_on(in_child(child, component)).map(|_nothing| ())
    };
    // On a thread of its own: the caller's may be one of an async runtime.
    std::thread::scope(|scope| scope.spawn(alone).join())
        .unwrap_or_else(|_payload| Err(CompileError::Engine("the check ended by a panic".to_owned())))
}

/// Compiles `component` by the program `child` with its arguments.
pub(crate) async fn in_child(
    child: &(PathBuf, Vec<String>),
    component: &[u8],
) -> Result<Vec<u8>, CompileError> {
    in_child_within(child, component, limits::COMPILE_WALL_MAX).await
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts the compile child")]
async fn in_child_within(
    (program, arguments): &(PathBuf, Vec<String>),
    component: &[u8],
    wall_max: Duration,
) -> Result<Vec<u8>, CompileError> {
    let failed = |source| CompileError::Child { program: program.display().to_string(), source };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let Ok(ended) = tokio::time::timeout(wall_max, exchange(&mut child, component)).await else {
        // Gone, and its time and memory with it, before anybody goes on.
        child.kill().await.map_err(failed)?;
        return Err(CompileError::Stopped(format!("it took over {} s", wall_max.as_secs())));
    };
    let (status, code, message) = ended.map_err(failed)?;
    if !status.success() {
        return Err(verdict(status, &String::from_utf8_lossy(&message)));
    }
    if code.len() as u64 > limits::COMPILED_BYTES_MAX {
        return Err(CompileError::TooLarge { limit: "compiled-bytes", bound: limits::COMPILED_BYTES_MAX });
    }
    Ok(code)
}

/// Gives it the component; how it ended, the code, and what it said.
async fn exchange(
    child: &mut tokio::process::Child,
    component: &[u8],
) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(std::io::Error::other("no pipes"));
    };
    let write = async {
        // A child that refuses early closes its end: its message says more than our broken pipe.
        let _unread = stdin.write_all(component).await;
        drop(stdin);
    };
    let ((), code, message) = tokio::join!(
        write,
        read_bounded(stdout, limits::COMPILED_BYTES_MAX),
        read_bounded(stderr, limits::COMPILE_ERROR_BYTES_MAX)
    );
    Ok((child.wait().await?, code?, message?))
}

/// One byte more than `bytes_max`, so that the caller can tell; the rest is read and dropped, so that the child ends.
async fn read_bounded(mut from: impl AsyncRead + Unpin, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut from).take(bytes_max + 1).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    Ok(bytes)
}

/// What the end of a child that gave no code means.
fn verdict(status: ExitStatus, message: &str) -> CompileError {
    let message = text::shown(message.trim(), limits::MESSAGE_BYTES_MAX);
    match status.signal() {
        Some(libc::SIGXCPU | libc::SIGKILL) => {
            CompileError::Stopped(format!("it took over {} s of CPU time", limits::COMPILE_CPU_SECONDS_MAX))
        }
        Some(libc::SIGABRT) if message.contains("memory allocation") => CompileError::Stopped(format!(
            "it took over {} bytes of memory",
            limits::COMPILE_MEMORY_BYTES_MAX
        )),
        Some(libc::SIGABRT | libc::SIGSEGV) if message.contains("overflowed its stack") => {
            CompileError::Stopped("the component nests too deep".to_owned())
        }
        Some(signal) => CompileError::Stopped(format!("the compiler ended by signal {signal}")),
        None if status.code() == Some(child::REFUSED) => CompileError::Invalid(message),
        None => CompileError::Stopped(format!("the compiler failed: {message}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[tokio::test]
    async fn a_child_gets_no_environment_and_stands_in_no_folder() {
        let said = |program: &str| (PathBuf::from(program), Vec::new());
        assert_eq!(in_child(&said("/usr/bin/env"), b"").await.unwrap(), b"");
        assert_eq!(in_child(&said("/bin/pwd"), b"").await.unwrap(), b"/\n");
    }

    #[tokio::test]
    async fn a_child_that_does_not_end_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("process");
        let script = format!("echo $$ > {}; exec sleep 1000", file.display());
        let child = (PathBuf::from("/bin/sh"), vec!["-c".to_owned(), script]);
        let error = in_child_within(&child, b"", Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.to_string(), "compiling was stopped: it took over 1 s");
        let process = std::fs::read_to_string(&file).unwrap();
        assert!(!PathBuf::from(format!("/proc/{}", process.trim())).exists(), "{process} is not reaped");
    }
}
