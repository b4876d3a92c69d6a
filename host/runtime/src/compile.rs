//! Compiling in a child process: a component can make a compiler use minutes and gigabytes. The parent gives the bytes on
//! stdin and takes the code from stdout; it waits a bounded time, reads a bounded answer and passes no environment.

mod child;

pub use child::{ChildLimits, compile_child_main, compile_child_main_within};

use crate::{CompileError, limits, text};
use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// Compiles `component` by the program `child` with its arguments.
pub(crate) async fn in_child(
    child: &(PathBuf, Vec<String>),
    component: &[u8],
) -> Result<Vec<u8>, CompileError> {
    let (program, arguments) = child;
    match tokio::time::timeout(limits::COMPILE_WALL_MAX, run(program, arguments, component)).await {
        Ok(result) => result,
        // Dropping the future killed the child.
        Err(_) => {
            Err(CompileError::Stopped(format!("it took over {} s", limits::COMPILE_WALL_MAX.as_secs())))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that starts the compile child")]
async fn run(program: &Path, arguments: &[String], component: &[u8]) -> Result<Vec<u8>, CompileError> {
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
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed(std::io::Error::other("no pipes")));
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
    let status = child.wait().await.map_err(failed)?;
    let (code, message) = (code.map_err(failed)?, message.map_err(failed)?);
    if !status.success() {
        return Err(verdict(status, &String::from_utf8_lossy(&message)));
    }
    if code.len() as u64 > limits::COMPILED_BYTES_MAX {
        return Err(CompileError::TooLarge { limit: "compiled-bytes", bound: limits::COMPILED_BYTES_MAX });
    }
    Ok(code)
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
        Some(signal) => CompileError::Stopped(format!("the compiler ended by signal {signal}")),
        None if status.code() == Some(child::REFUSED) => CompileError::Invalid(message),
        None => CompileError::Stopped(format!("the compiler failed: {message}")),
    }
}
