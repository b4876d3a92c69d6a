//! CPU time of a guest, by measurement: the time during which its future is polled, less the time inside host functions.
//! Waiting for a host function, or for its turn after a yield, is not polling, so it costs the guest nothing. Who computes
//! for long goes on in the background.
//!
//! A panic ends here too: the future is polled in `catch_unwind`, so that a fault of a host function ends one call.

use crate::{
    background::{Adopted, Background, Debt, own_time, thread_time as now},
    epoch::Epochs,
    limits::SHORT_STEP_MAX,
};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

/// Nanoseconds of one call. One thread at a time polls it; atomics only because the epoch callback must be `Send + Sync`.
#[derive(Debug)]
pub(crate) struct Meter {
    cpu_max: u64,
    /// Polls that ended.
    polled: AtomicU64,
    /// When the poll that runs began; 0 = none runs.
    poll_began: AtomicU64,
    /// Inside host functions, during polls.
    host: AtomicU64,
    host_calls: AtomicU64,
}

impl Meter {
    pub(crate) fn new(cpu_max: Duration) -> Arc<Self> {
        let zero = AtomicU64::default;
        let cpu_max = u64::try_from(cpu_max.as_nanos()).unwrap_or(u64::MAX);
        Arc::new(Self { cpu_max, polled: zero(), poll_began: zero(), host: zero(), host_calls: zero() })
    }

    /// CPU time of the guest so far.
    pub(crate) fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent_ns())
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent_ns() >= self.cpu_max
    }

    /// One more host call; the count with it.
    pub(crate) fn count(&self) -> u64 {
        self.host_calls.fetch_add(1, Relaxed) + 1
    }

    pub(crate) fn host_calls(&self) -> u64 {
        self.host_calls.load(Relaxed)
    }

    fn spent_ns(&self) -> u64 {
        let running = match self.poll_began.load(Relaxed) {
            0 => 0,
            began => now().saturating_sub(began),
        };
        (self.polled.load(Relaxed) + running).saturating_sub(self.host.load(Relaxed))
    }
}

/// The whole call: its polls are measured, its panics caught.
pub(crate) struct Call<'r, F: Future + Send + 'static>
where
    F::Output: Send,
{
    place: Place<F>,
    background: &'r Background,
    epochs: &'r Epochs,
}

enum Place<F: Future + Send + 'static>
where
    F::Output: Send,
{
    /// With everybody's.
    Here(Pin<Box<Measured<F>>>),
    Background(Adopted<Measured<F>>),
    Nowhere,
}

/// A host function panicked.
#[derive(Debug)]
pub(crate) struct Panicked;

impl<'r, F: Future + Send + 'static> Call<'r, F>
where
    F::Output: Send,
{
    pub(crate) fn new(
        meter: &Arc<Meter>,
        debt: Arc<Debt>,
        (background, epochs): (&'r Background, &'r Epochs),
        future: F,
    ) -> Self {
        let measured = Measured { meter: Arc::clone(meter), debt, future: Box::pin(future) };
        Self { place: Place::Here(Box::pin(measured)), background, epochs }
    }
}

impl<F> Future for Call<'_, F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = Result<F::Output, Panicked>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Place::Here(measured) = &mut this.place
            // A guest alone takes nothing from another, and the way there and back costs more than it saves.
            && (!measured.debt.is_deep() || this.epochs.at_most_one() || this.background.threads().is_none())
        {
            return measured.as_mut().poll(context);
        }
        this.place = match (std::mem::replace(&mut this.place, Place::Nowhere), this.background.threads()) {
            (Place::Here(measured), Some(threads)) => Place::Background(threads.adopt(measured)),
            (place, _) => place,
        };
        match &mut this.place {
            Place::Background(adopted) => {
                Pin::new(adopted).poll(context).map(|ended| ended.unwrap_or(Err(Panicked)))
            }
            // Polled after its end.
            Place::Here(_) | Place::Nowhere => Poll::Ready(Err(Panicked)),
        }
    }
}

struct Measured<F> {
    meter: Arc<Meter>,
    debt: Arc<Debt>,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Measured<F> {
    type Output = Result<F::Output, Panicked>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (began, own_began) = (now(), own_time());
        self.meter.poll_began.store(began, Relaxed);
        // The store that the future works on is never used again after a panic, only dropped.
        let polled = catch_unwind(AssertUnwindSafe(|| self.future.as_mut().poll(context)));
        self.meter.poll_began.store(0, Relaxed);
        let step = now().saturating_sub(began);
        self.meter.polled.fetch_add(step, Relaxed);
        // Long by the clock alone is also who had to wait for the machine.
        if u128::from(step) > SHORT_STEP_MAX.as_nanos() {
            self.debt.add(own_time().saturating_sub(own_began));
        }
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(_payload) => Poll::Ready(Err(Panicked)),
        }
    }
}

/// The inside of a host function: its polls are taken off the guest's account.
pub(crate) async fn host<F: Future>(meter: Arc<Meter>, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(move |context| {
        let began = now();
        let poll = future.as_mut().poll(context);
        meter.host.fetch_add(now().saturating_sub(began), Relaxed);
        poll
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn busy(duration: Duration) {
        let end = now() + u64::try_from(duration.as_nanos()).unwrap();
        while now() < end {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn waiting_and_host_functions_are_free() {
        const WORK: Duration = Duration::from_millis(20);
        let meter = Meter::new(Duration::from_secs(1));
        let inside = Arc::clone(&meter);
        let (background, epochs) = (Background::default(), Epochs::without_a_thread());
        let began = now();
        Call::new(&meter, Arc::default(), (&background, &epochs), async move {
            busy(WORK);
            host(inside, async {
                busy(3 * WORK);
                tokio::time::sleep(3 * WORK).await;
            })
            .await;
        })
        .await
        .unwrap();
        assert!(now() - began >= 7 * 20_000_000);
        assert!(meter.spent() >= WORK, "{:?}", meter.spent());
        assert!(meter.spent() < 3 * WORK, "{:?}", meter.spent());
    }

    #[tokio::test]
    async fn a_panic_ends_one_call() {
        let meter = Meter::new(Duration::from_secs(1));
        let (background, epochs) = (Background::default(), Epochs::without_a_thread());
        let panics = async { panic!("a host function failed, as this test wants") };
        let ended: Result<(), Panicked> =
            Call::new(&meter, Arc::default(), (&background, &epochs), panics).await;
        assert!(ended.is_err());
    }

    #[tokio::test]
    async fn a_long_step_is_owed() {
        let (background, epochs) = (Background::default(), Epochs::without_a_thread());
        let (meter, debt) = (Meter::new(Duration::from_secs(60)), Arc::<Debt>::default());
        let steps = async |length: Duration| {
            let call = Call::new(&meter, Arc::clone(&debt), (&background, &epochs), async move {
                let (end, own) = (u64::try_from(length.as_nanos()).unwrap(), own_time());
                while own_time() - own < end {
                    std::hint::spin_loop();
                }
            });
            call.await.unwrap();
        };
        steps(SHORT_STEP_MAX / 4).await;
        assert!(!debt.is_deep(), "a short one is free");
        steps(Duration::from_millis(200)).await;
        assert!(debt.is_deep());
    }

    #[tokio::test]
    async fn who_computed_for_long_makes_room_where_there_are_others() {
        let (background, epochs) = (Background::default(), Epochs::without_a_thread());
        let (meter, debt) = (Meter::new(Duration::from_secs(1)), Arc::<Debt>::default());
        let call = || {
            let in_background = async { std::thread::current().name() == Some("background") };
            Call::new(&meter, Arc::clone(&debt), (&background, &epochs), in_background)
        };
        let (_one, both) = (epochs.guest(), epochs.guest());
        assert!(!call().await.unwrap(), "nothing is owed yet");
        debt.add_forced_end();
        debt.add_forced_end();
        assert!(call().await.unwrap());
        drop(both);
        assert!(!call().await.unwrap(), "there is no other");
    }
}
