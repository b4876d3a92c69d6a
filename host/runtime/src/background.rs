//! The background: threads that the kernel schedules behind all others, for guests that compute for long.
//!
//! A worker thread that polls a guest is lost to everybody else until the guest yields, at the next epoch tick. So a guest
//! whose connection has computed for long is polled here, where it gets all of a machine that nobody else needs, and a tenth
//! of one that somebody does. What counts is the connection's debt, so that many short calls are no way around it.
//!
//! A guest that is alone stays: there is nobody else, and each request would cost two more wakes of a thread.
//!
//! Who is ended (deadline, cancel, a caller that left) does not queue for that: it goes before the next step of anybody.

use crate::limits;
use portcullis_clock::{Clock, RealClock};
use std::{
    cell::Cell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinHandle,
};

thread_local! {
    static IN_BACKGROUND: Cell<bool> = const { Cell::new(false) };
}

/// Threads of lower priority, one for each that this machine runs at once. They start with the first that needs them.
#[derive(Default)]
pub(crate) struct Background {
    runtime: OnceLock<Option<Runtime>>,
    ended: Arc<Ended>,
}

impl Background {
    /// The threads; none where they could not be started.
    pub(crate) fn threads(&self) -> Option<Threads<'_>> {
        let all = || start(thread::available_parallelism().map_or(1, usize::from));
        let runtime = self.runtime.get_or_init(all).as_ref()?;
        Some(Threads { runtime, ended: &self.ended })
    }
}

fn start(threads: usize) -> Option<Runtime> {
    let lower = || {
        IN_BACKGROUND.set(true);
        // Of this thread alone (setpriority(2), "C library/kernel differences"). Without it they share alike.
        if let Err(error) = rustix::process::setpriority_process(None, limits::BACKGROUND_NICE) {
            tracing::warn!(%error, "guests that compute for long have the same priority as all others");
        }
    };
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).thread_name("background").on_thread_start(lower);
    let started = builder.build();
    started
        .inspect_err(|error| tracing::warn!(%error, "guests that compute for long stay where all others are"))
        .ok()
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(Some(runtime)) = self.runtime.take() {
            // Never waits: it may be dropped on a thread that must not.
            runtime.shutdown_background();
        }
    }
}

/// The threads of the background, which run.
pub(crate) struct Threads<'b> {
    runtime: &'b Runtime,
    ended: &'b Arc<Ended>,
}

impl Threads<'_> {
    /// Polls `future` there from now on. What it does besides computing (timers, sockets, files) stays with the caller's
    /// runtime.
    pub(crate) fn adopt<F>(&self, future: Pin<Box<F>>) -> Adopted<F>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let (held, ended) = (Arc::new(Mutex::new(Some(future))), Arc::clone(self.ended));
        let inside = Inside { home: Handle::current(), held: Arc::clone(&held), ended: Arc::clone(&ended) };
        Adopted { task: self.runtime.spawn(inside), threads: self.runtime.handle().clone(), held, ended }
    }
}

/// Futures that nobody waits for any more, with all that they hold. They are dropped by the background, before its next step.
#[derive(Default)]
struct Ended(Mutex<Vec<Box<dyn Send>>>);

impl Ended {
    fn add(&self, future: Box<dyn Send>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(future);
    }

    fn clear(&self) {
        // One at a time and outside the lock, so that the other threads help.
        let next = || self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(future) = next() {
            // Not the fault of whose step comes next.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        }
    }
}

/// Locked for as long as a step takes; empty after the last.
type Held<F> = Arc<Mutex<Option<Pin<Box<F>>>>>;

/// A future that is polled in the background; dropping it drops that.
pub(crate) struct Adopted<F: Future + Send + 'static> {
    task: JoinHandle<Option<F::Output>>,
    threads: Handle,
    held: Held<F>,
    ended: Arc<Ended>,
}

impl<F: Future + Send + 'static> Future for Adopted<F> {
    /// `None` where the background has ended.
    type Output = Option<F::Output>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        Pin::new(&mut self.task).poll(context).map(|ended| ended.ok().flatten())
    }
}

impl<F: Future + Send + 'static> Drop for Adopted<F> {
    fn drop(&mut self) {
        // A step that runs is the last; the future is dropped right after it.
        self.task.abort();
        if let Some(future) = self.held.try_lock().ok().and_then(|mut held| held.take()) {
            self.ended.add(Box::new(future));
            // Where all others wait for something, no step would come.
            let ended = Arc::clone(&self.ended);
            self.threads.spawn(async move { ended.clear() });
        }
    }
}

struct Inside<F> {
    home: Handle,
    held: Held<F>,
    ended: Arc<Ended>,
}

impl<F: Future> Future for Inside<F> {
    type Output = Option<F::Output>;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let _home = self.home.enter();
        self.ended.clear();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = held.as_mut() else { return Poll::Ready(None) };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            *held = None;
        }
        polled.map(Some)
    }
}

/// Nanoseconds that only differences mean something of, never 0. In the background a thread that waits for its turn on the
/// machine spends nothing: the thread's own time counts there. Elsewhere that would cost a system call for each look.
pub(crate) fn thread_time() -> u64 {
    if IN_BACKGROUND.get() { own_time() } else { nanoseconds(RealClock.monotonic()).max(1) }
}

/// Nanoseconds for which this thread ran.
pub(crate) fn own_time() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    nanoseconds(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))).max(1)
}

/// What the guests of one connection computed in long steps. It is forgotten with time.
#[derive(Debug, Default)]
pub struct Debt {
    /// When all of it is forgotten, in nanoseconds of the monotonic clock.
    forgotten_at: AtomicU64,
}

impl Debt {
    /// One step of a guest: what it took beyond a short one is owed.
    pub(crate) fn add(&self, step_ns: u64) {
        let owed = step_ns.saturating_sub(nanoseconds(limits::SHORT_STEP_MAX));
        if owed > 0 {
            self.owe(owed, nanoseconds(RealClock.monotonic()));
        }
    }

    /// A guest had to be ended: that costs more than its step, and who is ended again and again gets no further by it.
    pub(crate) fn add_forced_end(&self) {
        self.owe(nanoseconds(limits::FORCED_END_DEBT), nanoseconds(RealClock.monotonic()));
    }

    /// Whether the connection's guests belong into the background.
    pub fn is_deep(&self) -> bool {
        match self.forgotten_at.load(Relaxed) {
            0 => false,
            forgotten_at => is_deep(forgotten_at, nanoseconds(RealClock.monotonic())),
        }
    }

    fn owe(&self, owed: u64, now: u64) {
        let farthest = now.saturating_add(nanoseconds(limits::DEBT_MAX).saturating_mul(limits::DEBT_TIMES));
        let add =
            |at: u64| Some(at.max(now).saturating_add(owed.saturating_mul(limits::DEBT_TIMES)).min(farthest));
        let _ = self.forgotten_at.fetch_update(Relaxed, Relaxed, add);
    }
}

fn is_deep(forgotten_at: u64, now: u64) -> bool {
    forgotten_at.saturating_sub(now) > nanoseconds(limits::DEBT_FREE).saturating_mul(limits::DEBT_TIMES)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::sync::mpsc;

    const MS: u64 = 1_000_000;

    #[test]
    fn debts_grow_with_what_is_owed_and_are_forgotten_in_time() {
        let debt = Debt::default();
        let deep = |now| is_deep(debt.forgotten_at.load(Relaxed), now);
        let free = nanoseconds(limits::DEBT_FREE);
        debt.owe(free, 1_000 * MS);
        assert!(!deep(1_000 * MS));
        debt.owe(MS, 1_000 * MS);
        assert!(deep(1_000 * MS));
        assert!(!deep(1_000 * MS + MS * limits::DEBT_TIMES));
        debt.owe(u64::MAX, 1_000 * MS);
        let longest = nanoseconds(limits::DEBT_MAX) * limits::DEBT_TIMES;
        assert!(deep(1_000 * MS + longest / 2) && !deep(1_000 * MS + longest));
    }

    #[test]
    fn short_steps_owe_nothing() {
        let debt = Debt::default();
        for _ in 0..100_000 {
            debt.add(nanoseconds(limits::SHORT_STEP_MAX));
        }
        assert!(!debt.is_deep());
        debt.add(nanoseconds(limits::SHORT_STEP_MAX + limits::DEBT_FREE) + MS);
        assert!(debt.is_deep());
    }

    #[test]
    fn who_is_ended_again_and_again_is_deep_in_debt() {
        let debt = Debt::default();
        debt.add_forced_end();
        assert!(!debt.is_deep(), "a first time is free");
        debt.add_forced_end();
        assert!(debt.is_deep());
    }

    #[tokio::test]
    async fn what_is_adopted_has_a_lower_priority_and_its_callers_timers() {
        let background = Background::default();
        let adopted = background.threads().unwrap().adopt(Box::pin(async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let spawned = tokio::spawn(async { IN_BACKGROUND.get() }).await.unwrap();
            (IN_BACKGROUND.get(), rustix::process::getpriority_process(None).unwrap(), spawned)
        }));
        let (inside, nice, spawned) = adopted.await.unwrap();
        assert_eq!((inside, nice, spawned), (true, limits::BACKGROUND_NICE, false));
        assert!(!IN_BACKGROUND.get());
    }

    #[tokio::test]
    async fn dropping_ends_what_was_adopted() {
        struct Gone(Option<tokio::sync::oneshot::Sender<()>>);
        impl Drop for Gone {
            fn drop(&mut self) {
                let _ = self.0.take().map(|gone| gone.send(()));
            }
        }
        let background = Background::default();
        let (sender, gone) = tokio::sync::oneshot::channel();
        let held = Gone(Some(sender));
        let adopted = background.threads().unwrap().adopt(Box::pin(async move {
            let _held = held;
            std::future::pending::<()>().await;
        }));
        drop(adopted);
        gone.await.unwrap();
    }

    #[tokio::test]
    async fn who_is_ended_goes_before_the_next_step_of_anybody() {
        struct Note(&'static str, mpsc::Sender<&'static str>);
        impl Drop for Note {
            fn drop(&mut self) {
                let _ = self.1.send(self.0);
            }
        }
        let background = Background { runtime: OnceLock::from(start(1)), ended: Arc::default() };
        let (notes, noted) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let threads = background.threads().unwrap();
        // The one thread is busy, and these wait for their turn in this order.
        let busy = threads.adopt(Box::pin(async move { gate.recv().unwrap() }));
        let waiting = ["first", "second", "third"].map(|name| {
            let note = Note(name, notes.clone());
            threads.adopt(Box::pin(async move { drop(note) }))
        });
        let [first, second, third] = waiting;
        drop(third);
        go.send(()).unwrap();
        busy.await.unwrap();
        first.await.unwrap();
        second.await.unwrap();
        assert_eq!(noted.try_iter().collect::<Vec<_>>(), ["third", "first", "second"]);
    }

    #[tokio::test]
    async fn a_step_that_runs_is_the_last_of_who_is_ended() {
        let background = Background { runtime: OnceLock::from(start(1)), ended: Arc::default() };
        let (began, begun) = tokio::sync::oneshot::channel();
        let (go, gate) = mpsc::channel::<()>();
        let (another_step, stepped) = tokio::sync::oneshot::channel();
        let adopted = background.threads().unwrap().adopt(Box::pin(async move {
            began.send(()).unwrap();
            gate.recv().unwrap();
            tokio::task::yield_now().await;
            let _ = another_step.send(());
        }));
        begun.await.unwrap();
        drop(adopted);
        go.send(()).unwrap();
        assert!(stepped.await.is_err(), "there was another step");
    }
}
