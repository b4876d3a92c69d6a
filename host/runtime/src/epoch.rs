//! The epoch thread: asks all guests to yield, every tick, for as long as there are any.

use crate::{CompileError, limits};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, Thread},
    time::Duration,
};
use wasmtime::Engine;

/// The thread; it ends with this.
pub(crate) struct Epochs {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    guests: AtomicUsize,
    sleeps: AtomicBool,
    ended: AtomicBool,
}

/// A guest that is asked.
pub(crate) struct Guest<'e>(&'e Epochs);

impl Epochs {
    pub(crate) fn start(engine: &Engine) -> Result<Self, CompileError> {
        let shared = Arc::new(Shared::default());
        let (weak, seen) = (engine.weak(), Arc::clone(&shared));
        let tick = move || weak.upgrade().map(|engine| engine.increment_epoch()).is_some();
        let started = thread::Builder::new().name("epoch".to_owned()).spawn(move || run(&seen, tick));
        let thread = started.map_err(|error| CompileError::Engine(format!("no epoch thread: {error}")))?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// Counts a guest for as long as what it returns lives.
    pub(crate) fn guest(&self) -> Guest<'_> {
        self.shared.guests.fetch_add(1, SeqCst);
        if self.shared.sleeps.load(SeqCst) {
            self.thread.unpark();
        }
        Guest(self)
    }

    /// There is at most one.
    pub(crate) fn at_most_one(&self) -> bool {
        self.shared.guests.load(SeqCst) <= 1
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.0.shared.guests.fetch_sub(1, SeqCst);
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        self.thread.unpark();
    }
}

fn run(shared: &Shared, tick: impl Fn() -> bool) {
    let mut idle = Duration::ZERO;
    while !shared.ended.load(SeqCst) {
        thread::sleep(limits::EPOCH_TICK);
        if !tick() {
            return;
        }
        idle = if shared.guests.load(SeqCst) == 0 { idle + limits::EPOCH_TICK } else { Duration::ZERO };
        if idle >= limits::EPOCH_IDLE {
            idle = Duration::ZERO;
            shared.sleeps.store(true, SeqCst);
            // A guest that came before it could see that says so here, one that comes after wakes this thread.
            while shared.guests.load(SeqCst) == 0 && !shared.ended.load(SeqCst) {
                thread::park();
            }
            shared.sleeps.store(false, SeqCst);
        }
    }
}

#[cfg(test)]
impl Epochs {
    /// Counts alone.
    pub(crate) fn without_a_thread() -> Self {
        Self { shared: Arc::default(), thread: thread::current() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::sync::mpsc;

    fn wait_for(condition: impl Fn() -> bool) {
        while !condition() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn it_sleeps_without_guests_and_wakes_for_one() {
        let shared = Arc::new(Shared::default());
        let (ticks, ticked) = mpsc::channel();
        let seen = Arc::clone(&shared);
        let thread = thread::spawn(move || run(&seen, || ticks.send(()).is_ok()));
        let epochs = Epochs { shared: Arc::clone(&shared), thread: thread.thread().clone() };
        wait_for(|| shared.sleeps.load(SeqCst));
        while ticked.try_recv().is_ok() {}
        let guest = epochs.guest();
        for _ in 0..3 {
            ticked.recv().unwrap();
        }
        assert!(!shared.sleeps.load(SeqCst));
        drop(guest);
        wait_for(|| shared.sleeps.load(SeqCst));
        drop(epochs);
        thread.join().unwrap();
    }
}
