//! Schema work. Its author decides how long it takes, so it never runs on an async worker thread, and nobody waits for it
//! for ever.

use super::Cancellation;
use crate::{EngineError, Failure, limits::SCHEMA_TIME_MAX};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What `work` finds, or why nobody waits for it any more: a cancel, or its time. It is told so, and ends where it can.
pub(super) async fn judged<T: Send + 'static>(
    cancellation: &Cancellation,
    work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
) -> Result<Result<T, Failure>, EngineError> {
    let given_up = GivenUp(Arc::default());
    let seen = Arc::clone(&given_up.0);
    let work = tokio::task::spawn_blocking(move || work(&|| seen.load(Ordering::Relaxed)));
    tokio::select! {
        biased;
        done = tokio::time::timeout(SCHEMA_TIME_MAX, work) => match done {
            Ok(done) => done.map(Ok).map_err(|_| EngineError::Host("a schema could not be applied")),
            Err(_) => {
                let seconds = SCHEMA_TIME_MAX.as_secs();
                let message = format!("holding it against the schema takes longer than {seconds} s");
                Ok(Err(Failure::new("timeout", message)))
            }
        },
        () = cancellation.wait() => Ok(Err(Failure::cancelled())),
    }
}

/// Sets it when it is dropped.
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::{sync::mpsc, time::Duration};
    use tokio::sync::watch;

    /// Work without end, but for being told that nobody waits for it: then it says so.
    fn endless() -> (impl FnOnce(&dyn Fn() -> bool) + Send + 'static, mpsc::Receiver<()>) {
        let (told, ended) = mpsc::channel();
        let work = move |given_up: &dyn Fn() -> bool| {
            while !given_up() {
                std::hint::spin_loop();
            }
            told.send(()).unwrap();
        };
        (work, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_work_without_end() {
        let (_open, receiver) = watch::channel(false);
        let never = Cancellation::new(receiver);
        assert_eq!(judged(&never, |given_up| (given_up(), 7)).await.unwrap().unwrap(), (false, 7));

        let (work, ended) = endless();
        let late = async {
            tokio::time::advance(SCHEMA_TIME_MAX - Duration::from_millis(1)).await;
            tokio::task::yield_now().await;
            assert!(ended.try_recv().is_err(), "it has its time");
            tokio::time::advance(Duration::from_millis(2)).await;
        };
        let (judged_late, ()) = tokio::join!(judged(&never, work), late);
        assert_eq!(judged_late.unwrap().unwrap_err().kind, "timeout");
        ended.recv().unwrap();

        let (work, ended) = endless();
        let (cancel, receiver) = watch::channel(false);
        let cancellation = Cancellation::new(receiver);
        let (cancelled, ()) = tokio::join!(judged(&cancellation, work), async {
            cancel.send(true).unwrap();
        });
        assert_eq!(cancelled.unwrap().unwrap_err().kind, "cancelled");
        ended.recv().unwrap();
    }
}
