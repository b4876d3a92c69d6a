//! Deliveries: stored or refused, handed over once at a time, over with the run that ended them.

use super::{at, intent_end, key, new_attempt, new_intent, new_run, run_end};
use crate::{
    Accepted, Backlog, DeliveryEnd, DeliveryFilter, DeliveryState, Fate, NewAttempt, NewDelivery, NewEvent,
    NewRun, Outcome, RunEnd, RunKind, Store, StoreError, limits::INTERRUPTED_RUNS_MAX,
};

const ROOM: Backlog = Backlog { deliveries_max: 100, bytes_max: 1 << 20 };

pub(super) async fn conformance<S: Store, F: Future<Output = S>>(make: &impl Fn() -> F) {
    make().await.probe().await.unwrap();
    as_it_came(&make().await).await;
    room(&make().await).await;
    one_run_at_a_time(&make().await).await;
    fates(&make().await).await;
    duplicates(&make().await).await;
    after_a_crash(&make().await).await;
    after_a_fault(&make().await).await;
    what_ends_the_process(&make().await).await;
    a_persons_word(&make().await).await;
    removal(&make().await).await;
}

fn delivery(id: &str, route: &str) -> NewDelivery {
    NewDelivery {
        delivery_id: id.to_owned(),
        route: route.to_owned(),
        connection: "billing".to_owned(),
        received_at: at(1000),
        peer: "192.0.2.1".to_owned(),
        method: "POST".to_owned(),
        path: "/hooks/stripe".to_owned(),
        query: "a=%20".to_owned(),
        headers: vec![("x-one".to_owned(), b"1".to_vec()), ("x-two".to_owned(), vec![0xff, 0])],
        body: vec![0, 159, 146, 150],
    }
}

fn run(id: &str) -> (NewRun, NewAttempt) {
    (new_run(id, RunKind::Deliver), new_attempt(id, "0", 1))
}

fn ended(id: &str, outcome: Outcome, fate: Fate) -> RunEnd {
    let delivery = Some(DeliveryEnd { delivery_id: id.to_owned(), fate });
    RunEnd { delivery, reason: Some("why".to_owned()), ..run_end(outcome) }
}

fn event(name: &str, id: Option<&str>) -> NewEvent {
    NewEvent {
        name: name.to_owned(),
        event_id: id.map(str::to_owned),
        payload: "{\"a\":1.10}".to_owned(),
        starts: vec![],
    }
}

fn done(events: Vec<NewEvent>) -> Fate {
    Fate::Done { events, forget_at: at(9000) }
}

async fn accept(store: &impl Store, id: &str) {
    assert_eq!(store.accept_delivery(delivery(id, "stripe"), ROOM).await.unwrap(), Accepted::Stored);
}

async fn begin(store: &impl Store, id: &str, run_id: &str) -> Result<(), StoreError> {
    let (new, first) = run(run_id);
    store.begin_delivery(id, new, first).await
}

async fn state(store: &impl Store, id: &str) -> DeliveryState {
    store.delivery(id).await.unwrap().unwrap().summary.state
}

async fn due(store: &impl Store, now: i64) -> Vec<String> {
    store.due_deliveries("billing", at(now), 10).await.unwrap()
}

async fn as_it_came(store: &impl Store) {
    accept(store, "dlv_1").await;
    let row = store.delivery("dlv_1").await.unwrap().unwrap();
    assert_eq!(row.delivery, delivery("dlv_1", "stripe"));
    assert_eq!((row.summary.state, row.summary.due_at), (DeliveryState::Queued, Some(at(1000))));
    assert!(row.events.is_empty() && row.summary.ended_at.is_none());
    assert_eq!(store.delivery("dlv_2").await.unwrap(), None);
    assert!(store.accept_delivery(delivery("dlv_1", "stripe"), ROOM).await.is_err(), "an id is of one");

    store.accept_delivery(delivery("dlv_2", "github"), ROOM).await.unwrap();
    let listed = |filter: DeliveryFilter| async {
        let rows = store.deliveries(filter).await.unwrap();
        rows.into_iter().map(|row| row.delivery_id).collect::<Vec<_>>()
    };
    let filter = DeliveryFilter::default;
    assert_eq!(listed(filter()).await, ["dlv_2", "dlv_1"]);
    assert_eq!(listed(DeliveryFilter { limit: 1, ..filter() }).await, ["dlv_2"]);
    assert_eq!(listed(DeliveryFilter { route: Some("stripe".to_owned()), ..filter() }).await, ["dlv_1"]);
    assert_eq!(listed(DeliveryFilter { until: Some(at(1000)), ..filter() }).await, [""; 0]);
    assert_eq!(listed(DeliveryFilter { since: Some(at(1000)), ..filter() }).await.len(), 2);
    let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..filter() };
    assert_eq!(listed(dead).await, [""; 0]);
}

async fn room(store: &impl Store) {
    let two = Backlog { deliveries_max: 2, ..ROOM };
    for (id, expected) in
        [("dlv_1", Accepted::Stored), ("dlv_2", Accepted::Stored), ("dlv_3", Accepted::Full)]
    {
        assert_eq!(store.accept_delivery(delivery(id, "stripe"), two).await.unwrap(), expected, "{id}");
    }
    assert_eq!(store.delivery("dlv_3").await.unwrap(), None);
    let taken: u64 =
        store.deliveries(DeliveryFilter::default()).await.unwrap().iter().map(|row| row.bytes).sum();
    let each = taken / 2;
    let full = Backlog { bytes_max: taken + each - 1, ..ROOM };
    assert_eq!(store.accept_delivery(delivery("dlv_3", "stripe"), full).await.unwrap(), Accepted::Full);
    // One that a run has still counts; one that is over does not.
    begin(store, "dlv_1", "run_1").await.unwrap();
    assert_eq!(store.accept_delivery(delivery("dlv_3", "stripe"), two).await.unwrap(), Accepted::Full);
    store.end_run("run_1", ended("dlv_1", Outcome::Succeeded, done(Vec::new()))).await.unwrap();
    assert_eq!(store.accept_delivery(delivery("dlv_3", "stripe"), two).await.unwrap(), Accepted::Stored);
    let full = Backlog { bytes_max: taken + each, ..ROOM };
    assert_eq!(store.accept_delivery(delivery("dlv_4", "stripe"), full).await.unwrap(), Accepted::Stored);
}

async fn one_run_at_a_time(store: &impl Store) {
    for id in ["dlv_1", "dlv_2", "dlv_3"] {
        accept(store, id).await;
    }
    assert_eq!(due(store, 999).await, [""; 0]);
    assert_eq!(due(store, 1000).await, ["dlv_1", "dlv_2", "dlv_3"]);
    assert_eq!(store.due_deliveries("billing", at(1000), 2).await.unwrap().len(), 2);
    assert_eq!(store.due_deliveries("other", at(1000), 2).await.unwrap(), [""; 0]);
    assert_eq!(store.next_delivery_due("other").await.unwrap(), None);
    assert_eq!(store.next_delivery_due("billing").await.unwrap(), Some(at(1000)));
    begin(store, "dlv_1", "run_1").await.unwrap();
    assert_eq!(due(store, 1000).await, ["dlv_2", "dlv_3"]);
    assert!(matches!(begin(store, "dlv_1", "run_2").await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.run("run_2").await.unwrap(), None, "no run without its delivery");
    assert!(matches!(begin(store, "dlv_9", "run_2").await, Err(StoreError::Conflict { .. })));
    // Only the run that has it ends it.
    begin(store, "dlv_2", "run_2").await.unwrap();
    let wrong = ended("dlv_2", Outcome::Succeeded, done(Vec::new()));
    assert!(matches!(store.end_run("run_1", wrong).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.run("run_1").await.unwrap().unwrap().summary.outcome, None, "it goes on");
    store.end_run("run_1", ended("dlv_1", Outcome::Succeeded, done(Vec::new()))).await.unwrap();
    assert!(begin(store, "dlv_1", "run_3").await.is_err(), "it is over");
}

async fn fates(store: &impl Store) {
    for id in ["dlv_1", "dlv_2", "dlv_3"] {
        accept(store, id).await;
    }
    begin(store, "dlv_1", "run_1").await.unwrap();
    let events = vec![event("a", Some("evt_1")), event("b", None)];
    store.end_run("run_1", ended("dlv_1", Outcome::Succeeded, done(events))).await.unwrap();
    let row = store.delivery("dlv_1").await.unwrap().unwrap();
    assert_eq!((row.summary.state, row.summary.runs), (DeliveryState::Done, 1));
    assert_eq!((row.summary.ended_at, row.summary.run_id.as_deref()), (Some(at(2000)), Some("run_1")));
    assert_eq!(row.summary.events, 2);
    let read: Vec<_> = row.events.iter().map(|event| (event.name.as_str(), event.payload.as_str())).collect();
    assert_eq!(read, [("a", "{\"a\":1.10}"), ("b", "{\"a\":1.10}")]);

    begin(store, "dlv_2", "run_2").await.unwrap();
    let again = Fate::Again { due_at: at(5000) };
    store.end_run("run_2", ended("dlv_2", Outcome::Failed, again)).await.unwrap();
    let summary = store.delivery("dlv_2").await.unwrap().unwrap().summary;
    assert_eq!((summary.state, summary.due_at), (DeliveryState::Queued, Some(at(5000))));
    assert_eq!(summary.reason.as_deref(), Some("why"));
    assert_eq!(due(store, 4999).await, ["dlv_3"]);
    assert_eq!(due(store, 5000).await, ["dlv_3", "dlv_2"], "who waits for longer comes first");
    assert!(begin(store, "dlv_2", "run_3").await.is_err(), "not before it is due");

    begin(store, "dlv_3", "run_3").await.unwrap();
    store.end_run("run_3", ended("dlv_3", Outcome::Failed, Fate::Dead)).await.unwrap();
    assert_eq!(state(store, "dlv_3").await, DeliveryState::Dead);
    assert_eq!(store.next_delivery_due("billing").await.unwrap(), Some(at(5000)));
}

async fn duplicates(store: &impl Store) {
    let handle = async |id: &str, route: &str, run_id: &str, now: i64, event_id: Option<&str>| {
        store.accept_delivery(delivery(id, route), ROOM).await.unwrap();
        begin(store, id, run_id).await.unwrap();
        let fate = Fate::Done { events: vec![event("a", event_id)], forget_at: at(now + 1000) };
        let end = RunEnd { ended_at: at(now), ..ended(id, Outcome::Succeeded, fate) };
        store.end_run(run_id, end).await.unwrap();
        let found = store.delivery(id).await.unwrap().unwrap().events.remove(0);
        (found.duplicate_of, found.payload)
    };
    let whole = (None, "{\"a\":1.10}".to_owned());
    assert_eq!(handle("dlv_1", "stripe", "run_1", 2000, Some("evt_1")).await, whole);
    let duplicate = (Some("dlv_1".to_owned()), "null".to_owned());
    assert_eq!(handle("dlv_2", "stripe", "run_2", 2999, Some("evt_1")).await, duplicate);
    // Another route has ids of its own; what has no id is never a duplicate; after its time it is new.
    assert_eq!(handle("dlv_3", "github", "run_3", 2000, Some("evt_1")).await, whole);
    assert_eq!(handle("dlv_4", "stripe", "run_4", 2000, None).await, whole);
    assert_eq!(handle("dlv_5", "stripe", "run_5", 2000, None).await, whole);
    assert_eq!(handle("dlv_6", "stripe", "run_6", 3000, Some("evt_1")).await, whole);
    assert_eq!(handle("dlv_7", "stripe", "run_7", 3001, Some("evt_1")).await.0.as_deref(), Some("dlv_6"));
}

async fn after_a_crash(store: &impl Store) {
    for (id, run_id) in [("dlv_1", "run_1"), ("dlv_2", "run_2")] {
        accept(store, id).await;
        begin(store, id, run_id).await.unwrap();
    }
    let mut sent = new_intent("run_2", 0, "hash", None);
    sent.key = key("run_2", 0);
    store.begin_intent(sent).await.unwrap();
    let closed = store.close_interrupted(at(3000)).await.unwrap();
    assert_eq!(closed.iter().map(|run| run.outcome).collect::<Vec<_>>(), [Outcome::Failed, Outcome::Unknown]);
    assert_eq!(due(store, 3000).await, ["dlv_1"]);
    let row = store.delivery("dlv_2").await.unwrap().unwrap().summary;
    assert_eq!((row.state, row.reason.as_deref()), (DeliveryState::Dead, Some("unproven-effect")));
    // What its run still wanted to say of it comes too late.
    assert!(store.end_intent(key("run_2", 0), intent_end(true, false), at(3001)).await.is_ok());
    let late = ended("dlv_1", Outcome::Succeeded, done(Vec::new()));
    assert!(store.end_run("run_1", late).await.is_err());
    begin(store, "dlv_1", "run_3").await.unwrap_err();
    let (new, first) = run("run_3");
    store.begin_delivery("dlv_1", NewRun { started_at: at(3000), ..new }, first).await.unwrap();
}

async fn after_a_fault(store: &impl Store) {
    for (id, run_id) in [("dlv_1", "run_1"), ("dlv_2", "run_2"), ("dlv_3", "run_3")] {
        accept(store, id).await;
        begin(store, id, run_id).await.unwrap();
    }
    let mut sent = new_intent("run_2", 0, "hash", None);
    sent.key = key("run_2", 0);
    store.begin_intent(sent).await.unwrap();
    let close = async |id: &str| store.close_broken_off(id, at(3000)).await.unwrap();
    let closed = close("dlv_1").await.unwrap();
    assert_eq!((closed.run_id.as_str(), closed.outcome), ("run_1", Outcome::Failed));
    assert_eq!(close("dlv_2").await.unwrap().outcome, Outcome::Unknown);
    assert_eq!(due(store, 3000).await, ["dlv_1"]);
    assert_eq!(state(store, "dlv_2").await, DeliveryState::Dead);
    assert_eq!(state(store, "dlv_3").await, DeliveryState::Running, "its run goes on");
    let row = store.run("run_1").await.unwrap().unwrap();
    assert_eq!(row.summary.error_kind.as_deref(), Some("interrupted"));
    assert_eq!(
        (row.steps[0].outcome, row.attempts[0].outcome),
        (Some(Outcome::Failed), Some(Outcome::Failed))
    );
    for id in ["dlv_1", "dlv_2", "dlv_9"] {
        assert_eq!(close(id).await, None, "no run has {id}");
    }
}

async fn what_ends_the_process(store: &impl Store) {
    accept(store, "dlv_1").await;
    for run in 1..=INTERRUPTED_RUNS_MAX {
        assert_eq!(state(store, "dlv_1").await, DeliveryState::Queued, "{run}");
        let (new, first) = self::run(&format!("run_{run}"));
        store.begin_delivery("dlv_1", NewRun { started_at: at(3000), ..new }, first).await.unwrap();
        store.close_interrupted(at(3000)).await.unwrap();
    }
    let row = store.delivery("dlv_1").await.unwrap().unwrap().summary;
    assert_eq!((row.state, row.reason.as_deref()), (DeliveryState::Dead, Some("interrupted")));
}

async fn a_persons_word(store: &impl Store) {
    for (id, run_id) in [("dlv_1", "run_1"), ("dlv_2", "run_2"), ("dlv_3", "run_3")] {
        accept(store, id).await;
        begin(store, id, run_id).await.unwrap();
        store.end_run(run_id, ended(id, Outcome::Failed, Fate::Dead)).await.unwrap();
    }
    assert!(store.decide_delivery("dlv_1", true, at(4000)).await.unwrap());
    assert!(!store.decide_delivery("dlv_1", true, at(4000)).await.unwrap(), "it waits already");
    assert_eq!(due(store, 4000).await, ["dlv_1"]);
    assert_eq!(store.delivery("dlv_1").await.unwrap().unwrap().summary.runs, 0);
    assert!(store.decide_delivery("dlv_2", false, at(4000)).await.unwrap());
    assert_eq!(state(store, "dlv_2").await, DeliveryState::Discarded);
    assert!(!store.decide_delivery("dlv_2", true, at(4000)).await.unwrap(), "what was given up stays so");
    assert!(!store.decide_delivery("dlv_9", true, at(4000)).await.unwrap());
    // It counts among those that wait once more.
    let one = Backlog { deliveries_max: 1, ..ROOM };
    assert_eq!(store.accept_delivery(delivery("dlv_4", "stripe"), one).await.unwrap(), Accepted::Full);
}

async fn removal(store: &impl Store) {
    let fates = [("dlv_1", done(Vec::new())), ("dlv_2", Fate::Dead), ("dlv_3", done(Vec::new()))];
    for (number, (id, fate)) in fates.into_iter().enumerate() {
        let run_id = format!("run_{number}");
        accept(store, id).await;
        begin(store, id, &run_id).await.unwrap();
        store.end_run(&run_id, ended(id, Outcome::Succeeded, fate)).await.unwrap();
    }
    accept(store, "dlv_4").await;
    assert_eq!(store.prune_deliveries(at(1000), u64::MAX, at(1)).await.unwrap(), 0);
    assert_eq!(store.prune_deliveries(at(1001), u64::MAX, at(1)).await.unwrap(), 2);
    let left = store.deliveries(DeliveryFilter::default()).await.unwrap();
    assert_eq!(left.iter().map(|row| row.delivery_id.as_str()).collect::<Vec<_>>(), ["dlv_4", "dlv_2"]);
    // By size, only what is over and decided.
    store.decide_delivery("dlv_2", false, at(4000)).await.unwrap();
    let bytes = left[0].bytes;
    assert_eq!(store.prune_deliveries(at(0), bytes * 2, at(1)).await.unwrap(), 0);
    assert_eq!(store.prune_deliveries(at(0), bytes * 2 - 1, at(1)).await.unwrap(), 1);
    assert_eq!(store.prune_deliveries(at(0), 0, at(1)).await.unwrap(), 0, "what waits stays");
}
