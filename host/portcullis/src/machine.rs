//! What this machine has to let a process have. Where that is less, what fails is a thread or a pipe in the depths of a library, which
//! ends the process without a word that helps anybody.
use crate::exit::{Failure, Result};
use rustix::process::{Resource, getrlimit};
use std::{
    sync::{Arc, Barrier},
    thread,
};

/// Databases, their logs, listeners, pipes of children, and some connections.
const FILES_MIN: u64 = 64;
/// Of its own, before it read anything of anybody.
const DATA_BYTES_MIN: u64 = 64 << 20;
/// The same with the program and the libraries.
const ADDRESS_BYTES_MIN: u64 = 256 << 20;
/// Those of the async runtime, of the databases, and of what it has done beside.
const THREADS_MIN: usize = 24;
/// Who may have more has enough.
const THREADS_LOOKED_AT_MAX: u64 = 4096;
const THREAD_STACK_BYTES: usize = 64 << 10;

/// Refuses to begin where that would not end well.
pub fn refuse_too_little() -> Result<()> {
    let least = [
        (Resource::Nofile, FILES_MIN, "open files", "ulimit -n 1024", 0),
        (Resource::Data, DATA_BYTES_MIN, "MiB of data", "ulimit -d unlimited", 20),
        (Resource::As, ADDRESS_BYTES_MIN, "MiB of address space", "ulimit -v unlimited", 20),
    ];
    for (resource, least, what, remedy, shift) in least {
        if let Some(most) = getrlimit(resource).current.filter(|most| *most < least) {
            let (most, least) = (most >> shift, least >> shift);
            let message = format!("this machine lets the process have {most} {what}, and it needs {least}");
            return Err(Failure::fault(message).with_help(remedy));
        }
    }
    let threads = getrlimit(Resource::Nproc).current.filter(|most| *most <= THREADS_LOOKED_AT_MAX);
    match threads {
        Some(most) if !has_threads() => {
            let message = format!(
                "this user may have {most} threads and processes, and there is no room for {THREADS_MIN} more"
            );
            Err(Failure::fault(message).with_help("ulimit -u unlimited"))
        }
        _ => Ok(()),
    }
}

/// Whether so many may be there at a time: that is not asked, but tried.
fn has_threads() -> bool {
    let together = Arc::new(Barrier::new(THREADS_MIN + 1));
    let (waiting, mut begun) = (Arc::clone(&together), Vec::new());
    let all = (0..THREADS_MIN).all(|_| {
        let waiting = Arc::clone(&waiting);
        let thread = thread::Builder::new().stack_size(THREAD_STACK_BYTES);
        let begin = move || {
            waiting.wait();
        };
        thread.spawn(begin).map(|thread| begun.push(thread)).is_ok()
    });
    if all {
        together.wait();
        begun.into_iter().for_each(|thread| drop(thread.join()));
    }
    // Those that wait for one that never came end with the process, which is about to.
    all
}
