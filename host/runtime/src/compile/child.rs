//! The compile child: limits itself before it reads a byte, checks, compiles (or ends there), writes. It gets no environment, opens no file,
//! and its only outputs are the code on stdout or a reason on stderr.

use crate::{CompileError, component, engine, limits};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};

/// Exit code of a component that was refused; any other failure is the compiler's.
pub(super) const REFUSED: i32 = 3;
const FAILED: i32 = 1;

/// What the child may use.
#[derive(Clone, Copy, Debug)]
pub struct ChildLimits {
    /// CPU time in seconds.
    pub cpu_seconds_max: u64,
    /// Memory that is really used.
    pub memory_bytes_max: u64,
}

impl Default for ChildLimits {
    fn default() -> Self {
        Self {
            cpu_seconds_max: limits::COMPILE_CPU_SECONDS_MAX,
            memory_bytes_max: limits::COMPILE_MEMORY_BYTES_MAX,
        }
    }
}

/// The compile child's whole life: sets its own limits, reads the component from stdin, validates, compiles, writes the
/// code to stdout. The binary calls it for `compile-child` before anything else. Returns the exit code.
pub fn compile_child_main() -> i32 {
    compile_child_main_within(ChildLimits::default())
}

/// The same under other limits: tests meet them sooner.
pub fn compile_child_main_within(limits: ChildLimits) -> i32 {
    report(checked(limits).and_then(|component| compiled(&component)))
}

/// The same without compiling: says whether the component would be taken.
pub fn check_child_main() -> i32 {
    report(checked(ChildLimits::default()).map(|_component| ()))
}

fn report(result: Result<(), Fault>) -> i32 {
    let (code, message) = match result {
        Ok(()) => return 0,
        Err(Fault::Refused(error)) => (REFUSED, inner(&error)),
        Err(Fault::Failed(message)) => (FAILED, message),
    };
    // Nobody is left to hear of a failing stderr.
    let _unheard = std::io::stderr().write_all(message.as_bytes());
    code
}

enum Fault {
    Refused(CompileError),
    Failed(String),
}

impl From<CompileError> for Fault {
    fn from(error: CompileError) -> Self {
        Self::Refused(error)
    }
}

fn failed(error: std::io::Error) -> Fault {
    Fault::Failed(error.to_string())
}

/// The component on stdin, once it passed.
fn checked(limits: ChildLimits) -> Result<Vec<u8>, Fault> {
    restrict(limits).map_err(failed)?;
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(limits::COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    component::check(&bytes)?;
    Ok(bytes)
}

fn compiled(component: &[u8]) -> Result<(), Fault> {
    let engine = engine::compiling().map_err(|error| Fault::Failed(error.to_string()))?;
    let code = engine.precompile_component(component).map_err(|error| Fault::Failed(format!("{error:#}")))?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&code).and_then(|()| stdout.flush()).map_err(failed)
}

fn restrict(limits: ChildLimits) -> std::io::Result<()> {
    let set = |resource, soft: u64, hard: u64| {
        // Whoever started us may have less.
        let hard = hard.min(getrlimit(resource).maximum.unwrap_or(hard));
        setrlimit(resource, Rlimit { current: Some(soft.min(hard)), maximum: Some(hard) })
    };
    // The soft limit ends the process by a signal of its own, which the parent can tell from a kill.
    set(Resource::Cpu, limits.cpu_seconds_max, limits.cpu_seconds_max + 1)?;
    set(Resource::Data, limits.memory_bytes_max, limits.memory_bytes_max)?;
    set(Resource::As, limits::COMPILE_ADDRESS_SPACE_BYTES_MAX, limits::COMPILE_ADDRESS_SPACE_BYTES_MAX)?;
    set(Resource::Nofile, limits::COMPILE_FILES_MAX, limits::COMPILE_FILES_MAX)?;
    set(Resource::Fsize, 0, 0)?;
    set(Resource::Core, 0, 0)?;
    Ok(())
}

/// Without the words that the parent puts before it again.
fn inner(error: &CompileError) -> String {
    match error {
        CompileError::Invalid(reason) => reason.clone(),
        other => other.to_string(),
    }
}
