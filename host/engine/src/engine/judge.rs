//! Schema work. Its author decides how long it takes, so it never runs on an async worker thread, nobody waits for it
//! for ever, and what nobody waits for any more is ended.

use super::{Cancellation, Run};
use crate::{EngineError, Failure, Schema, SchemaWork};
use portcullis_contract::{Stop, limits::SCHEMA_TIME_MAX};
use std::sync::Arc;

/// What `work` finds, or why nobody waits for it any more: a cancel, or the time for its turn or for itself. It is told so, and
/// ends.
pub(super) async fn judged<T: Send + 'static>(
    turns: &SchemaWork,
    cancellation: &Cancellation,
    work: impl FnOnce(&Stop) -> T + Send + 'static,
) -> Result<T, Failure> {
    let given_up = GivenUp(Stop::default());
    let stop = given_up.0.clone();
    let done = async {
        let turn = Arc::clone(&turns.0).acquire_owned();
        // Others of the connection are at work: not this one's schema.
        let turn = tokio::time::timeout(SCHEMA_TIME_MAX, turn).await;
        let turn = turn.map_err(|_| late("the schema work of this connection that was there before"))?;
        // The turn goes with the work, not with whoever waits.
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&stop)
        });
        let done = tokio::time::timeout(SCHEMA_TIME_MAX, work).await;
        let done = done.map_err(|_| late("holding it against the schema"))?;
        done.map_err(|_| Failure::new("host", "the schema could not be applied"))
    };
    tokio::select! {
        biased;
        done = done => done,
        () = cancellation.wait() => Err(Failure::cancelled()),
    }
}

fn late(what: &str) -> Failure {
    Failure::new("timeout", format!("{what} takes longer than {} s", SCHEMA_TIME_MAX.as_secs()))
}

/// A schema that is none is found before anything is asked.
pub(super) async fn compiled(run: &Run, what: &str, schema: Schema) -> Result<(), EngineError> {
    let compiled = judged(&run.facts.schema_work, &run.cancellation, move |stop| schema.compile(stop)).await;
    let compiled = compiled.map_err(|failure| EngineError::not_judged(what, failure))?;
    compiled.map_err(|source| EngineError::Schema { what: what.to_owned(), source })
}

/// Ends the work when it is dropped.
struct GivenUp(Stop);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.now();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use std::{
        sync::{
            atomic::{AtomicBool, Ordering},
            mpsc,
        },
        time::Duration,
    };
    use tokio::sync::watch;

    /// Work without end, but for being told that nobody waits for it: then it says so. A test that tells it nothing is red after
    /// ten seconds.
    fn endless() -> (impl FnOnce(&Stop) + Send + 'static, mpsc::Receiver<()>) {
        let (told, ended) = mpsc::channel();
        let work = move |stop: &Stop| {
            let (_open, never) = mpsc::channel::<()>();
            for _ in 0..10_000 {
                if stop.is_over() {
                    return told.send(()).unwrap();
                }
                let _ = never.recv_timeout(Duration::from_millis(1));
            }
        };
        (work, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_work_without_end() {
        let (_open, receiver) = watch::channel(false);
        let (turns, never) = (SchemaWork::default(), Cancellation::new(receiver));
        assert_eq!(judged(&turns, &never, |stop| (stop.is_over(), 7)).await.unwrap(), (false, 7));

        let (work, ended) = endless();
        let late = async {
            tokio::time::advance(SCHEMA_TIME_MAX - Duration::from_millis(1)).await;
            tokio::task::yield_now().await;
            assert!(ended.try_recv().is_err(), "it has its time");
            tokio::time::advance(Duration::from_millis(2)).await;
        };
        let (judged_late, ()) = tokio::join!(judged(&turns, &never, work), late);
        assert_eq!(judged_late.unwrap_err().kind, "timeout");
        ended.recv().expect("it is told");

        let (work, ended) = endless();
        let (cancel, receiver) = watch::channel(false);
        let cancellation = Cancellation::new(receiver);
        let (cancelled, ()) = tokio::join!(judged(&turns, &cancellation, work), async {
            cancel.send(true).unwrap();
        });
        assert_eq!(cancelled.unwrap_err().kind, "cancelled");
        ended.recv().expect("it is told");
    }

    /// A schema that never ends holds as many threads as its connection has turns, and no more; another connection goes on.
    #[tokio::test(flavor = "multi_thread")]
    async fn abandoned_work_keeps_its_turn() {
        let (turns, others) = (SchemaWork::default(), SchemaWork::default());
        let (release, started) =
            (Arc::new(AtomicBool::new(false)), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
        let cancelled = Cancellation::new(watch::channel(true).1);
        let (_open, receiver) = watch::channel(false);
        let never = Cancellation::new(receiver);
        for _ in 0..20 {
            let (release, started) = (Arc::clone(&release), Arc::clone(&started));
            let work = move |_: &Stop| {
                started.fetch_add(1, Ordering::SeqCst);
                let (_open, never) = mpsc::channel::<()>();
                for _ in 0..10_000 {
                    if release.load(Ordering::SeqCst) {
                        return;
                    }
                    let _ = never.recv_timeout(Duration::from_millis(1));
                }
            };
            assert_eq!(judged(&turns, &cancelled, work).await.unwrap_err().kind, "cancelled");
        }
        // Those that have a turn are at work; the others never began.
        for _ in 0..5_000 {
            if started.load(Ordering::SeqCst) < crate::limits::SCHEMA_WORK_MAX {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(started.load(Ordering::SeqCst), crate::limits::SCHEMA_WORK_MAX);
        assert_eq!(turns.0.available_permits(), 0);
        assert_eq!(judged(&others, &never, |_| 7).await.unwrap(), 7);
        release.store(true, Ordering::SeqCst);
        assert_eq!(judged(&turns, &never, |_| 7).await.unwrap(), 7, "a turn comes back with its work's end");
        assert!(started.load(Ordering::SeqCst) <= crate::limits::SCHEMA_WORK_MAX);
    }

    /// Who has to wait for others is told so, and not that its own schema is slow; then its own time begins.
    #[tokio::test(start_paused = true)]
    async fn the_wait_for_a_turn_is_not_the_works_time() {
        let (_open, receiver) = watch::channel(false);
        let (turns, never) = (SchemaWork::default(), Cancellation::new(receiver));
        let all = turns.0.clone().acquire_many_owned(u32::try_from(crate::limits::SCHEMA_WORK_MAX).unwrap());
        let all = all.await.unwrap();
        let began = tokio::time::Instant::now();
        let refused = judged(&turns, &never, |_| 7).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), SCHEMA_TIME_MAX.as_secs());
        assert!(refused.message.contains("was there before"), "{}", refused.message);
        let soon = async {
            tokio::time::advance(SCHEMA_TIME_MAX - Duration::from_millis(1)).await;
            drop(all);
        };
        assert_eq!(tokio::join!(judged(&turns, &never, |_| 7), soon).0.unwrap(), 7);
    }

    /// A panic of a validator costs its work alone: whoever waits is told, and its turn comes back.
    #[tokio::test]
    async fn work_that_panics_is_a_failure() {
        let (_open, receiver) = watch::channel(false);
        let (turns, never) = (SchemaWork::default(), Cancellation::new(receiver));
        for _ in 0..5 {
            assert_eq!(
                judged::<()>(&turns, &never, |_| panic!("as planned")).await.unwrap_err().kind,
                "host"
            );
        }
        assert_eq!(turns.0.available_permits(), crate::limits::SCHEMA_WORK_MAX);
    }
}
