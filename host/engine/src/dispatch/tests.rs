//! Deliveries that wait, handed over in a seeded world: by turns, after failures, and with a store that dies anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::{
    Answer, Caller, Handled,
    limits::{DELIVERY_RUNS_MAX, DELIVERY_RUNS_OTHER_MAX},
    simulation::world::{self, CONNECTION, Creator, FOR_EVER, Mortal, One, Scripted, failure, report},
};
use portcullis_clock::{SeededClock, SeededRandom};
use portcullis_store::limits::{EVENT_PAYLOAD_BYTES_MAX, EVENTS_MAX};
use portcullis_store::{
    Accepted, Backlog, DeliveryFilter, DeliveryState, DeliverySummary, NewDelivery, Outcome, RunFilter,
};
use std::sync::{Mutex, atomic::AtomicI64};

const ROOM: Backlog = Backlog { deliveries_max: 1_000, bytes_max: 1 << 20 };

/// A world of one connection, whose data stays when its process dies.
struct Setting {
    data: tempfile::TempDir,
    clock: SeededClock,
}

impl Setting {
    fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap(), clock: SeededClock::default() }
    }

    async fn store(&self) -> (Arc<dyn Store>, String) {
        let store = world::store(self.data.path(), &self.clock).await;
        let id = store.connection_id(CONNECTION, "acme/stripe").await.unwrap();
        (store, id)
    }

    /// Starts as a process does, and dispatches until `over`, or until nobody could.
    async fn dispatch(
        &self,
        store: Arc<dyn Store>,
        caller: Arc<dyn Caller>,
        id: &str,
        over: impl AsyncFn() -> bool,
    ) {
        let (clock, random) = (Arc::new(self.clock.clone()), Arc::new(SeededRandom::new(7)));
        let facts = Arc::new(One(world::facts(id.to_owned(), true)));
        let engine = Engine::new(Arc::clone(&store), caller, facts, clock.clone(), random);
        if engine.start().await.is_err() {
            return;
        }
        let (_engine, engines) = watch::channel(Arc::new(engine));
        let dispatcher = Dispatcher::new(engines, store, clock, Arc::default());
        let (_kept, connections) = watch::channel(vec![CONNECTION.to_owned()]);
        let (stop, stopped) = watch::channel(false);
        // Beside this task: where time costs nothing, and its store is dead, it never waits for anything.
        let running = tokio::spawn(async move { dispatcher.run(connections, stopped).await });
        while !over().await {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
        running.await.unwrap();
    }
}

async fn accept(store: &dyn Store, clock: &SeededClock, count: usize) {
    for number in 0..count {
        let delivery = NewDelivery {
            delivery_id: format!("dlv_{number:03}"),
            route: "stripe".to_owned(),
            connection: CONNECTION.to_owned(),
            received_at: clock.now(),
            peer: "192.0.2.1".to_owned(),
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: number.to_string().into_bytes(),
        };
        assert_eq!(store.accept_delivery(delivery, ROOM).await.unwrap(), Accepted::Stored);
    }
}

async fn all(store: &dyn Store) -> Vec<DeliverySummary> {
    store.deliveries(DeliveryFilter::default()).await.unwrap()
}

async fn are_over(store: &dyn Store) -> bool {
    all(store).await.iter().all(|row| row.ended_at.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_handed_over_in_order_and_once() {
    let setting = Setting::new();
    let (store, id) = setting.store().await;
    accept(&*store, &setting.clock, 60).await;
    let answers = (0..60).map(|_| report(Ok(Answer::Handled(Handled::default()))));
    let caller = Scripted::new(answers);
    setting.dispatch(Arc::clone(&store), caller.clone(), &id, async || are_over(&*store).await).await;
    let rows = all(&*store).await;
    assert!(rows.iter().all(|row| row.state == DeliveryState::Done && row.runs == 1));
    let asked = caller.asked.lock().unwrap().len();
    assert_eq!(asked, 60);
    let runs = store.runs(RunFilter::default()).await.unwrap();
    // As many at once as may be; beyond that, who came first.
    let begun: Vec<usize> =
        runs.iter().rev().map(|run| run.subject.trim_start_matches("dlv_").parse().unwrap()).collect();
    let farthest = begun.iter().enumerate().map(|(at, number)| at.abs_diff(*number)).max().unwrap();
    assert!(farthest < DELIVERIES_AT_ONCE_MAX, "{begun:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_delivery_is_dead_in_the_end_and_stops_no_other_one() {
    for (kind, runs_max) in [("trapped", DELIVERY_RUNS_OTHER_MAX), ("not-found", DELIVERY_RUNS_OTHER_MAX)] {
        let setting = Setting::new();
        let (store, id) = setting.store().await;
        accept(&*store, &setting.clock, 1).await;
        let caller = Scripted::new((0..runs_max).map(|_| report(Err(failure(kind)))));
        setting.dispatch(Arc::clone(&store), caller, &id, async || are_over(&*store).await).await;
        let row = all(&*store).await.remove(0);
        assert_eq!((row.state, row.runs, row.reason.as_deref()), (DeliveryState::Dead, runs_max, Some(kind)));
        let outcomes: Vec<_> =
            store.runs(RunFilter::default()).await.unwrap().iter().map(|run| run.outcome.unwrap()).collect();
        assert_eq!(outcomes[0], Outcome::DeadLettered);
        assert!(outcomes[1..].iter().all(|outcome| *outcome == Outcome::Failed));

        // A person has it tried again, and what follows is not held up.
        accept_another(&*store, &setting.clock).await;
        assert!(store.decide_delivery("dlv_000", true, setting.clock.now()).await.unwrap());
        let caller = Scripted::new((0..2).map(|_| report(Ok(Answer::Handled(Handled::default())))));
        setting.dispatch(Arc::clone(&store), caller, &id, async || are_over(&*store).await).await;
        assert!(all(&*store).await.iter().all(|row| row.state == DeliveryState::Done));
    }
}

async fn accept_another(store: &dyn Store, clock: &SeededClock) {
    let one = all(store).await.remove(0);
    let mut delivery = store.delivery(&one.delivery_id).await.unwrap().unwrap().delivery;
    delivery.delivery_id = "dlv_another".to_owned();
    delivery.received_at = clock.now();
    store.accept_delivery(delivery, ROOM).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_vendor_is_waited_for() {
    let setting = Setting::new();
    let (store, id) = setting.store().await;
    accept(&*store, &setting.clock, 1).await;
    // Each run calls three times before it gives up for now.
    let busy = (0..3 * (DELIVERY_RUNS_MAX - 1)).map(|_| report(Err(failure("unavailable"))));
    let caller = Scripted::new(busy.chain([report(Ok(Answer::Handled(Handled::default())))]));
    setting.dispatch(Arc::clone(&store), caller, &id, async || are_over(&*store).await).await;
    let row = all(&*store).await.remove(0);
    assert_eq!((row.state, row.runs), (DeliveryState::Done, DELIVERY_RUNS_MAX));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_waits_again() {
    let setting = Setting::new();
    let (store, id) = setting.store().await;
    accept(&*store, &setting.clock, 3).await;
    // They hang until they are cancelled.
    let caller = Scripted::new([]);
    let hang = Arc::clone(&caller);
    let all_asked = async || hang.asked.lock().unwrap().len() == 3;
    setting.dispatch(Arc::clone(&store), caller, &id, all_asked).await;
    assert!(all(&*store).await.iter().all(|row| row.state == DeliveryState::Queued));
    let outcomes = store.runs(RunFilter::default()).await.unwrap();
    assert!(outcomes.iter().all(|run| run.outcome == Some(Outcome::Cancelled)));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_each_is_over_in_the_end_and_no_effect_is_repeated() {
    let mut kills = 0;
    for effect_of_the_last in [false, true] {
        for left in 1.. {
            let setting = Setting::new();
            let log = Arc::new(Mutex::new(Vec::new()));
            let creator = |store: &Arc<dyn Store>| {
                Arc::new(Creator { store: Arc::clone(store), log: Arc::clone(&log), faults: None })
            };
            let died = {
                let (inner, id) = setting.store().await;
                accept(&*inner, &setting.clock, 2).await;
                let left = AtomicI64::new(left);
                let mortal =
                    Arc::new(Mortal { inner: Arc::clone(&inner), left, effect_of_the_last, fails: FOR_EVER });
                let store = Arc::clone(&mortal) as Arc<dyn Store>;
                let over = async || mortal.is_dead() || are_over(&*inner).await;
                setting.dispatch(Arc::clone(&store), creator(&store), &id, over).await;
                mortal.is_dead()
            };
            let (store, id) = setting.store().await;
            let over = async || are_over(&*store).await;
            setting.dispatch(Arc::clone(&store), creator(&store), &id, over).await;
            let log = log.lock().unwrap().clone();
            for row in all(&*store).await {
                let runs = store.runs(RunFilter::default()).await.unwrap();
                let of_it = runs.iter().filter(|run| run.subject == row.delivery_id);
                let effects: Vec<_> = of_it.filter(|run| log.contains(&run.run_id)).collect();
                let outcomes: Vec<_> = effects.iter().map(|run| run.outcome.unwrap()).collect();
                let expected = match row.state {
                    DeliveryState::Done => Outcome::Succeeded,
                    DeliveryState::Dead => Outcome::Unknown,
                    other => panic!("{other:?}, killed at {left}"),
                };
                assert!(outcomes.len() <= 1, "killed at {left}: {effects:?}");
                assert!(outcomes.iter().all(|outcome| *outcome == expected), "killed at {left}: {effects:?}");
            }
            if !died {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 20, "{kills}");
}

/// The disk is full for a moment, or somebody holds the database: nobody starts again, and nothing is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_for_a_while_leaves_nothing_behind() {
    let mut failures = 0;
    for effect_of_the_last in [false, true] {
        for left in 2.. {
            let setting = Setting::new();
            let (inner, id) = setting.store().await;
            accept(&*inner, &setting.clock, 2).await;
            let log = Arc::new(Mutex::new(Vec::new()));
            let left_now = AtomicI64::new(left);
            let mortal = Mortal { inner: Arc::clone(&inner), left: left_now, effect_of_the_last, fails: 3 };
            let mortal = Arc::new(mortal);
            let store = Arc::clone(&mortal) as Arc<dyn Store>;
            let caller = Arc::new(Creator { store: Arc::clone(&store), log: Arc::clone(&log), faults: None });
            setting.dispatch(store, caller, &id, async || are_over(&*inner).await).await;
            assert!(inner.runs(RunFilter { open: true, ..RunFilter::default() }).await.unwrap().is_empty());
            let log = log.lock().unwrap().clone();
            for row in all(&*inner).await {
                let runs = inner.runs(RunFilter::default()).await.unwrap();
                let effects =
                    runs.iter().filter(|run| run.subject == row.delivery_id && log.contains(&run.run_id));
                let outcomes: Vec<_> = effects.map(|run| run.outcome.unwrap()).collect();
                let expected = match row.state {
                    DeliveryState::Done => Outcome::Succeeded,
                    DeliveryState::Dead => Outcome::Unknown,
                    other => panic!("{other:?}, failed at {left}"),
                };
                assert!(outcomes.len() <= 1, "failed at {left}: {outcomes:?}");
                assert!(
                    outcomes.iter().all(|outcome| *outcome == expected),
                    "failed at {left}: {outcomes:?}"
                );
            }
            if !mortal.is_dead() {
                break;
            }
            failures += 1;
        }
    }
    assert!(failures > 20, "{failures}");
}

/// What the store would not take ends the run, and the delivery in the end: it is no fault of the store's.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_can_not_be_stored_are_the_connectors_fault() {
    let event = |bytes: usize| crate::Event {
        name: "a".to_owned(),
        id: None,
        payload: format!("\"{}\"", "a".repeat(bytes)),
    };
    let handled = |events: Vec<crate::Event>| Answer::Handled(Handled { events, reply: None });
    for (answer, state, reason) in [
        (handled(vec![event(EVENT_PAYLOAD_BYTES_MAX - 1)]), DeliveryState::Dead, Some("too-large")),
        (handled(vec![event(1); EVENTS_MAX + 1]), DeliveryState::Dead, Some("too-large")),
        (handled(vec![event(EVENT_PAYLOAD_BYTES_MAX - 2); 2]), DeliveryState::Done, None),
        (handled(vec![event(1); EVENTS_MAX]), DeliveryState::Done, None),
    ] {
        let setting = Setting::new();
        let (store, id) = setting.store().await;
        accept(&*store, &setting.clock, 1).await;
        let caller = Scripted::new((0..DELIVERY_RUNS_OTHER_MAX).map(|_| report(Ok(answer.clone()))));
        setting.dispatch(Arc::clone(&store), caller, &id, async || are_over(&*store).await).await;
        let row = all(&*store).await.remove(0);
        assert_eq!((row.state, row.reason.as_deref()), (state, reason));
    }
}

/// Panics as often as that, and then answers as scripted.
struct Panics(Mutex<usize>, Arc<Scripted>);

#[async_trait::async_trait]
impl Caller for Panics {
    async fn call(&self, request: crate::CallRequest) -> crate::CallReport {
        {
            let mut left = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(fewer) = left.checked_sub(1) {
                *left = fewer;
                drop(left);
                panic!("a fault of ours");
            }
        }
        self.1.call(request).await
    }
}

/// As many as may be under way at once break off: whoever waits behind them has their place, and they have another run each.
#[tokio::test(flavor = "multi_thread")]
async fn what_broke_off_holds_up_nobody_and_is_handed_over_again() {
    let setting = Setting::new();
    let (store, id) = setting.store().await;
    accept(&*store, &setting.clock, DELIVERIES_AT_ONCE_MAX + 1).await;
    let handled = (0..=DELIVERIES_AT_ONCE_MAX).map(|_| report(Ok(Answer::Handled(Handled::default()))));
    let caller = Arc::new(Panics(Mutex::new(DELIVERIES_AT_ONCE_MAX), Scripted::new(handled)));
    let over = async || are_over(&*store).await;
    setting.dispatch(Arc::clone(&store), caller, &id, over).await;
    assert!(all(&*store).await.iter().all(|row| row.state == DeliveryState::Done));
    let broken_off = RunFilter { outcome: Some(Outcome::Failed), ..RunFilter::default() };
    assert_eq!(store.runs(broken_off).await.unwrap().len(), DELIVERIES_AT_ONCE_MAX);
}
