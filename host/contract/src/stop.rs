//! Ends a piece of work from outside, and the process that it waits for.

use std::{
    process::Child,
    sync::{Arc, Mutex, PoisonError},
};

/// Told to work that nobody waits for any more. Clones are one.
#[derive(Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    over: bool,
    child: Option<Arc<Mutex<Child>>>,
}

impl Stop {
    /// Nobody waits any more: what watches for it ends, and the process that does the work is killed.
    pub fn now(&self) {
        let child = self.with(|state| {
            state.over = true;
            state.child.take()
        });
        if let Some(child) = child {
            kill(&child);
        }
    }

    /// Was it told?
    pub fn is_over(&self) -> bool {
        self.with(|state| state.over)
    }

    /// The process that does the work from here on, killed at once where it is over already.
    pub(crate) fn watches(&self, child: &Arc<Mutex<Child>>) {
        let over = self.with(|state| {
            state.child = (!state.over).then(|| Arc::clone(child));
            state.over
        });
        if over {
            kill(child);
        }
    }

    /// The process has done its work.
    pub(crate) fn forgets(&self) {
        self.with(|state| state.child = None);
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One that ended already is no failure.
pub(crate) fn kill(child: &Mutex<Child>) {
    let _ended = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
}
