//! Runs of flows: one behind the other where a key says so, gone on with where they stood, over once; and schedules, each of whose
//! times is taken once.

use super::{at, attempt_end, intent_end, key, new_attempt, new_intent, new_run, run_end};
use crate::{
    Accepted, Backlog, Cause, DeliveryEnd, Fate, Fired, FlowEnd, FlowState, NewDelivery, NewEvent,
    NewFlowRun, NewRun, Outcome, Parent, RunEnd, RunFilter, RunKind, Store, StoreError,
    limits::{FLOW_JSON_BYTES_MAX, INTERRUPTED_RUNS_MAX},
};

pub(super) async fn conformance<S: Store, F: Future<Output = S>>(make: &impl Fn() -> F) {
    as_it_was_begun(&make().await).await;
    bounds(&make().await).await;
    step_by_step(&make().await).await;
    only_who_has_it_writes(&make().await).await;
    put_back_and_due(&make().await).await;
    one_key_in_order(&make().await).await;
    a_long_key(&make().await).await;
    what_an_end_begins(&make().await).await;
    after_a_crash(&make().await).await;
    what_ends_the_process(&make().await).await;
    a_persons_word(&make().await).await;
    steps_are_runs(&make().await).await;
    a_step_goes_on(&make().await).await;
    removal(&make().await).await;
    schedules(&make().await).await;
    overlap(&make().await).await;
    events(&make().await).await;
}

fn flow_run(id: &str) -> NewFlowRun {
    NewFlowRun {
        run_id: id.to_owned(),
        flow: "orders".to_owned(),
        steps: "[1]".into(),
        cause: Cause::Manual,
        about: "{\"kind\":\"manual\"}".to_owned(),
        order_key: None,
        correlation_id: format!("corr-{id}"),
        input: "{\"a\":1.10}".to_owned(),
        at: at(1000),
    }
}

fn keyed(id: &str, order_key: &str) -> NewFlowRun {
    NewFlowRun { order_key: Some(order_key.to_owned()), ..flow_run(id) }
}

fn over(outcome: Outcome) -> FlowEnd {
    FlowEnd { run: run_end(outcome), is_dead: outcome != Outcome::Succeeded, starts: vec![] }
}

/// A step's run, begun.
async fn step(store: &impl Store, id: &str, parent: &str, place: &str) -> Result<(), StoreError> {
    let parent = Parent { run_id: parent.to_owned(), flow: "orders".to_owned(), place: place.to_owned() };
    let run = NewRun { parent: Some(parent), ..new_run(id, RunKind::Call) };
    store.begin_run(run, new_attempt(id, "0", 1)).await
}

async fn begin(store: &impl Store, ids: &[&str]) {
    for id in ids {
        store.begin_flow_run(flow_run(id)).await.unwrap();
    }
}

async fn take(store: &impl Store, id: &str) -> Result<crate::FlowRun, StoreError> {
    store.take_flow_run(id, at(5000)).await
}

async fn due(store: &impl Store, now: i64) -> Vec<String> {
    store.due_flow_runs("orders", at(now), 10).await.unwrap()
}

async fn state(store: &impl Store, id: &str) -> FlowState {
    store.flow_run(id).await.unwrap().unwrap().state
}

fn is_conflict<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict { .. }))
}

async fn as_it_was_begun(store: &impl Store) {
    store.begin_flow_run(keyed("run_1", "\"k\"")).await.unwrap();
    let run = store.flow_run("run_1").await.unwrap().unwrap();
    assert_eq!((run.flow.as_str(), run.steps.as_str()), ("orders", "[1]"));
    assert_eq!((run.cause, run.about.as_str()), (Cause::Manual, "{\"kind\":\"manual\"}"));
    assert_eq!((run.state, run.due_at, run.started_at), (FlowState::Queued, at(1000), at(1000)));
    assert_eq!((run.input.as_deref(), run.outputs.len()), (Some("{\"a\":1.10}"), 0), "to the digit");
    assert_eq!(run.correlation_id, "corr-run_1");
    assert_eq!(store.flow_run("run_2").await.unwrap(), None);
    assert!(store.begin_flow_run(flow_run("run_1")).await.is_err(), "an id is of one");
    // It is a run like others.
    let row = store.run("run_1").await.unwrap().unwrap().summary;
    assert_eq!(
        (row.kind, row.flow.as_deref(), row.subject.as_str()),
        (RunKind::Flow, Some("orders"), "orders")
    );
    assert_eq!((row.parent, row.place, row.outcome), (None, None, None));
    for (flow, count) in [("orders", 1), ("other", 0)] {
        let filter = RunFilter { flow: Some(flow.to_owned()), ..RunFilter::default() };
        assert_eq!(store.runs(filter).await.unwrap().len(), count, "{flow}");
    }
}

async fn bounds(store: &impl Store) {
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    store.begin_flow_run(NewFlowRun { input: text(FLOW_JSON_BYTES_MAX), ..flow_run("run_1") }).await.unwrap();
    for large in [
        NewFlowRun { input: text(FLOW_JSON_BYTES_MAX + 1), ..flow_run("run_2") },
        NewFlowRun { about: text(FLOW_JSON_BYTES_MAX + 1), ..flow_run("run_2") },
    ] {
        assert!(matches!(store.begin_flow_run(large).await, Err(StoreError::TooLarge { .. })));
    }
    assert_eq!(store.flow_run("run_2").await.unwrap(), None);
    assert_eq!(store.run("run_2").await.unwrap(), None, "no run without its place in a flow");
    take(store, "run_1").await.unwrap();
    let large = text(FLOW_JSON_BYTES_MAX + 1);
    let advanced = store.advance_flow_run("run_1", 0, &large).await;
    assert!(matches!(advanced, Err(StoreError::TooLarge { .. })));
    store.advance_flow_run("run_1", 0, &large[..large.len() - 2]).await.unwrap();
}

async fn step_by_step(store: &impl Store) {
    begin(store, &["run_1"]).await;
    let taken = take(store, "run_1").await.unwrap();
    assert_eq!((taken.state, taken.outputs.len()), (FlowState::Running, 0));
    store.advance_flow_run("run_1", 0, "{\"n\":1.0}").await.unwrap();
    // The same step once more, or one too many, is somebody else's.
    for step in [0, 2] {
        assert!(is_conflict(&store.advance_flow_run("run_1", step, "2").await), "{step}");
    }
    store.advance_flow_run("run_1", 1, "[]").await.unwrap();
    let run = store.flow_run("run_1").await.unwrap().unwrap();
    assert_eq!(run.outputs, ["{\"n\":1.0}", "[]"]);
    store.end_flow_run("run_1", over(Outcome::Succeeded)).await.unwrap();
    assert_eq!(state(store, "run_1").await, FlowState::Over);
    let row = store.run("run_1").await.unwrap().unwrap();
    assert_eq!((row.summary.outcome, row.output.as_deref()), (Some(Outcome::Succeeded), Some("[]")));
}

/// Whoever has a run no more, writes nothing of it: it waits, is somebody else's, or is over.
async fn only_who_has_it_writes(store: &impl Store) {
    begin(store, &["run_1"]).await;
    let refused = async |why: &str| {
        assert!(is_conflict(&store.advance_flow_run("run_1", 0, "1").await), "{why}");
        assert!(is_conflict(&store.put_flow_run_back("run_1", at(1), None).await), "{why}");
        assert!(is_conflict(&store.end_flow_run("run_1", over(Outcome::Succeeded)).await), "{why}");
        assert_eq!(store.flow_run("run_1").await.unwrap().unwrap().outputs, [""; 0], "{why}");
    };
    refused("it waits").await;
    take(store, "run_1").await.unwrap();
    assert!(is_conflict(&take(store, "run_1").await), "it was taken");
    store.close_interrupted(at(2000)).await.unwrap();
    refused("its process is gone").await;
    take(store, "run_1").await.unwrap();
    store.end_flow_run("run_1", over(Outcome::DeadLettered)).await.unwrap();
    refused("it is a person's").await;
    assert!(store.decide_flow_run("run_1", None, at(3000)).await.unwrap());
    refused("it is over").await;
    assert!(is_conflict(&take(store, "run_1").await));
    assert!(is_conflict(&take(store, "run_9").await));
}

async fn put_back_and_due(store: &impl Store) {
    begin(store, &["run_1", "run_2"]).await;
    assert_eq!(due(store, 999).await, [""; 0]);
    assert_eq!(store.next_flow_run_due("orders", at(999)).await.unwrap(), Some(at(1000)));
    assert_eq!(due(store, 1000).await, ["run_1", "run_2"]);
    assert_eq!(store.due_flow_runs("orders", at(1000), 1).await.unwrap(), ["run_1"]);
    assert_eq!(store.due_flow_runs("other", at(1000), 1).await.unwrap(), [""; 0]);
    assert_eq!(store.next_flow_run_due("orders", at(1000)).await.unwrap(), None);
    take(store, "run_1").await.unwrap();
    store.put_flow_run_back("run_1", at(7000), Some("the vendor is busy")).await.unwrap();
    let row = store.run("run_1").await.unwrap().unwrap().summary;
    assert_eq!((row.outcome, row.retry_at), (None, Some(at(7000))));
    assert_eq!(row.detail.as_deref(), Some("the vendor is busy"));
    assert!(is_conflict(&take(store, "run_1").await), "not before it is due");
    assert_eq!((due(store, 6999).await, due(store, 7000).await.len()), (vec!["run_2".to_owned()], 2));
    assert_eq!(store.next_flow_run_due("orders", at(6999)).await.unwrap(), Some(at(7000)));
    store.take_flow_run("run_1", at(7000)).await.unwrap();
}

async fn one_key_in_order(store: &impl Store) {
    for (id, order_key) in [("run_1", "a"), ("run_2", "a"), ("run_3", "b")] {
        store.begin_flow_run(keyed(id, order_key)).await.unwrap();
    }
    let other = NewFlowRun { flow: "other".to_owned(), ..keyed("run_4", "a") };
    store.begin_flow_run(other).await.unwrap();
    assert_eq!(due(store, 1000).await, ["run_1", "run_3"]);
    assert!(is_conflict(&take(store, "run_2").await), "one of its key is before it");
    take(store, "run_4").await.unwrap();
    take(store, "run_1").await.unwrap();
    assert_eq!(due(store, 1000).await, ["run_3"], "one of its key is under way");
    // One that waits for a time keeps its place.
    store.put_flow_run_back("run_1", at(9000), None).await.unwrap();
    assert_eq!(due(store, 8999).await, ["run_3"]);
    store.take_flow_run("run_1", at(9000)).await.unwrap();
    // One that a person decides about holds up nobody; tried once more it is the first again.
    store.end_flow_run("run_1", over(Outcome::DeadLettered)).await.unwrap();
    assert_eq!(due(store, 9000).await, ["run_2", "run_3"]);
    assert!(store.decide_flow_run("run_1", Some("[1]"), at(9000)).await.unwrap());
    assert_eq!(due(store, 9000).await, ["run_3", "run_1"]);
    store.take_flow_run("run_1", at(9000)).await.unwrap();
    store.end_flow_run("run_1", over(Outcome::Succeeded)).await.unwrap();
    take(store, "run_2").await.unwrap();
}

/// A key may be a document: it is compared whole, and takes no room.
async fn a_long_key(store: &impl Store) {
    let long = |last: char| format!("{}{last}", "k".repeat(100_000));
    for (id, order_key) in [("run_1", long('a')), ("run_2", long('b')), ("run_3", long('a'))] {
        store.begin_flow_run(keyed(id, &order_key)).await.unwrap();
    }
    assert_eq!(due(store, 1000).await, ["run_1", "run_2"]);
}

async fn what_an_end_begins(store: &impl Store) {
    begin(store, &["run_1"]).await;
    take(store, "run_1").await.unwrap();
    let next = |id: &str| NewFlowRun { flow: "next".to_owned(), cause: Cause::Flow, ..flow_run(id) };
    // All of it or nothing: the second can't be stored.
    let end = FlowEnd { starts: vec![next("run_2"), next("run_1")], ..over(Outcome::Succeeded) };
    assert!(store.end_flow_run("run_1", end).await.is_err());
    assert_eq!(state(store, "run_1").await, FlowState::Running);
    assert_eq!(store.flow_run("run_2").await.unwrap(), None);
    step(store, "run_s", "run_1", "1").await.unwrap();
    let end = FlowEnd { starts: vec![next("run_2")], ..over(Outcome::Succeeded) };
    store.end_flow_run("run_1", end).await.unwrap();
    let left = store.run("run_s").await.unwrap().unwrap().summary;
    assert_eq!(left.outcome, Some(Outcome::Failed), "nobody comes back for it");
    let begun = store.flow_run("run_2").await.unwrap().unwrap();
    assert_eq!((begun.flow.as_str(), begun.cause, begun.state), ("next", Cause::Flow, FlowState::Queued));
}

async fn after_a_crash(store: &impl Store) {
    begin(store, &["run_1", "run_2"]).await;
    take(store, "run_1").await.unwrap();
    store.advance_flow_run("run_1", 0, "1").await.unwrap();
    step(store, "run_s", "run_1", "2").await.unwrap();
    store.begin_run(new_run("run_c", RunKind::Call), new_attempt("run_c", "0", 1)).await.unwrap();
    // What belongs to no flow ends; what does waits again, its step's run open as it was left.
    let closed = store.close_interrupted(at(3000)).await.unwrap();
    assert_eq!(closed.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["run_c"]);
    let run = store.flow_run("run_1").await.unwrap().unwrap();
    assert_eq!((run.state, run.due_at, run.outputs.len()), (FlowState::Queued, at(3000), 1));
    assert_eq!(store.run("run_s").await.unwrap().unwrap().summary.outcome, None);
    let found = store.flow_run("run_2").await.unwrap().unwrap();
    assert_eq!((found.state, found.due_at), (FlowState::Queued, at(1000)), "nobody had it");
    assert_eq!(take(store, "run_1").await.unwrap().outputs, ["1"]);
}

async fn what_ends_the_process(store: &impl Store) {
    begin(store, &["run_1", "run_2"]).await;
    for id in ["run_1", "run_2"] {
        take(store, id).await.unwrap();
    }
    step(store, "run_s", "run_2", "1").await.unwrap();
    store.begin_intent(new_intent("run_s", 0, "hash", None)).await.unwrap();
    store.close_interrupted(at(3000)).await.unwrap();
    // One that came so far that it waited is no such run.
    take(store, "run_1").await.unwrap();
    store.put_flow_run_back("run_1", at(3000), None).await.unwrap();
    for crash in 1..INTERRUPTED_RUNS_MAX {
        assert_eq!(state(store, "run_2").await, FlowState::Queued, "{crash}");
        for id in ["run_1", "run_2"] {
            take(store, id).await.unwrap();
        }
        store.close_interrupted(at(3000)).await.unwrap();
    }
    assert_eq!(state(store, "run_1").await, FlowState::Queued);
    assert_eq!(state(store, "run_2").await, FlowState::Dead);
    let row = store.run("run_2").await.unwrap().unwrap().summary;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(Outcome::Unknown), Some("unproven-effect")));
    take(store, "run_1").await.unwrap();
    store.close_interrupted(at(3000)).await.unwrap();
    let row = store.run("run_1").await.unwrap().unwrap().summary;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(Outcome::DeadLettered), Some("interrupted")));
}

async fn a_persons_word(store: &impl Store) {
    begin(store, &["run_1", "run_2"]).await;
    assert!(!store.decide_flow_run("run_1", None, at(4000)).await.unwrap(), "it is not dead");
    for id in ["run_1", "run_2"] {
        take(store, id).await.unwrap();
        store.advance_flow_run(id, 0, "1").await.unwrap();
        for (item, outcome) in [(0, Outcome::Succeeded), (1, Outcome::DeadLettered)] {
            let step_id = format!("{id}_{item}");
            step(store, &step_id, id, &format!("2/{item}")).await.unwrap();
            store.end_run(&step_id, run_end(outcome)).await.unwrap();
        }
        step(store, &format!("{id}_open"), id, "2/2").await.unwrap();
        store.end_flow_run(id, over(Outcome::DeadLettered)).await.unwrap();
    }
    assert!(store.decide_flow_run("run_1", Some("[2]"), at(4000)).await.unwrap());
    assert!(!store.decide_flow_run("run_1", Some("[2]"), at(4000)).await.unwrap(), "it waits already");
    let run = store.flow_run("run_1").await.unwrap().unwrap();
    assert_eq!((run.state, run.due_at, run.steps.as_str()), (FlowState::Queued, at(4000), "[2]"));
    assert_eq!(run.outputs, ["1"], "what is done stays so");
    assert_eq!(store.run("run_1").await.unwrap().unwrap().summary.outcome, None);
    // What failed is tried anew, what is done is not, what is open is gone on with.
    assert_eq!(store.step_run("run_1", "2/1").await.unwrap(), None);
    let done = store.step_run("run_1", "2/0").await.unwrap().unwrap();
    assert_eq!((done.outcome, done.output.as_deref()), (Some(Outcome::Succeeded), Some("[]")));
    assert_eq!(store.step_run("run_1", "2/2").await.unwrap().unwrap().run_id, "run_1_open");
    step(store, "run_again", "run_1", "2/1").await.unwrap();

    assert!(store.decide_flow_run("run_2", None, at(4000)).await.unwrap());
    assert_eq!(state(store, "run_2").await, FlowState::Over);
    let row = store.run("run_2").await.unwrap().unwrap().summary;
    assert_eq!(row.outcome, Some(Outcome::DeadLettered), "it stays what it was");
    let left = store.run("run_2_open").await.unwrap().unwrap();
    assert_eq!(left.summary.outcome, Some(Outcome::Failed), "nobody goes on with it");
    assert!(
        !store.decide_flow_run("run_2", Some("[2]"), at(4000)).await.unwrap(),
        "what was given up stays so"
    );
    assert!(!store.decide_flow_run("run_9", None, at(4000)).await.unwrap());
}

async fn steps_are_runs(store: &impl Store) {
    begin(store, &["run_1"]).await;
    take(store, "run_1").await.unwrap();
    step(store, "run_a", "run_1", "1").await.unwrap();
    assert!(step(store, "run_b", "run_1", "1").await.is_err(), "a place is of one");
    step(store, "run_b", "run_1", "2/0").await.unwrap();
    assert_eq!(store.step_run("run_1", "3").await.unwrap(), None);
    assert_eq!(store.step_run("run_2", "1").await.unwrap(), None);
    let found = store.step_run("run_1", "1").await.unwrap().unwrap();
    assert_eq!((found.run_id.as_str(), found.outcome, found.attempts), ("run_a", None, 1));
    assert_eq!((found.connection.as_str(), found.subject.as_str()), ("billing", "customers"));
    let end = RunEnd { reason: Some("why".to_owned()), ..run_end(Outcome::Unknown) };
    store.end_run("run_a", end).await.unwrap();
    let found = store.step_run("run_1", "1").await.unwrap().unwrap();
    assert_eq!((found.outcome, found.reason.as_deref()), (Some(Outcome::Unknown), Some("why")));
    let filter = RunFilter { parent: Some("run_1".to_owned()), ..RunFilter::default() };
    let rows = store.runs(filter).await.unwrap();
    let places: Vec<_> = rows.iter().map(|row| row.place.as_deref().unwrap()).collect();
    assert_eq!(places, ["2/0", "1"]);
    assert!(rows.iter().all(|row| row.flow.as_deref() == Some("orders")));
}

async fn a_step_goes_on(store: &impl Store) {
    begin(store, &["run_1"]).await;
    take(store, "run_1").await.unwrap();
    step(store, "run_a", "run_1", "1").await.unwrap();
    store.begin_intent(new_intent("run_a", 0, "hash", Some("key"))).await.unwrap();
    store.end_intent(key("run_a", 0), intent_end(false, false), at(1500)).await.unwrap();
    store.end_attempt(attempt_end("run_a", "0", 1)).await.unwrap();
    store.park_run("run_a", at(6000)).await.unwrap();
    let found = store.step_run("run_1", "1").await.unwrap().unwrap();
    assert_eq!((found.outcome, found.retry_at), (None, Some(at(6000))));
    let resumed = store.resume_run("run_a", "s", "0", at(6000)).await.unwrap();
    assert_eq!((resumed.tried, resumed.requests), (1, 2));
    assert_eq!(store.resume_run("run_a", "s", "1", at(6000)).await.unwrap().tried, 0, "another call");
    assert_eq!(store.step_run("run_1", "1").await.unwrap().unwrap().retry_at, None);
    // The process ends under the next attempt: that is over when somebody goes on.
    store.begin_attempt(new_attempt("run_a", "0", 2)).await.unwrap();
    assert_eq!(store.resume_run("run_a", "s", "0", at(7000)).await.unwrap().tried, 2);
    let row = store.run("run_a").await.unwrap().unwrap();
    assert_eq!(row.attempts.len(), 2);
    let last = row.attempts.iter().find(|attempt| attempt.attempt == 2).unwrap();
    assert_eq!((last.outcome, last.error_kind.as_deref()), (Some(Outcome::Failed), Some("interrupted")));
    // Same run, same place: what was stored of its unsafe request holds.
    let prior = store.begin_intent(new_intent("run_a", 0, "hash", Some("key"))).await.unwrap();
    assert!(matches!(prior, crate::PriorIntent::Same { .. }), "{prior:?}");
    store.end_run("run_a", run_end(Outcome::Succeeded)).await.unwrap();
    assert!(is_conflict(&store.park_run("run_a", at(1)).await));
    assert!(is_conflict(&store.resume_run("run_a", "s", "0", at(1)).await));
    // What is of no flow ends with its process, and never waits.
    store.begin_run(new_run("run_c", RunKind::Call), new_attempt("run_c", "0", 1)).await.unwrap();
    assert!(is_conflict(&store.park_run("run_c", at(1)).await));
    assert!(is_conflict(&store.resume_run("run_c", "s", "0", at(1)).await));
}

async fn removal(store: &impl Store) {
    begin(store, &["run_1", "run_2", "run_3"]).await;
    for id in ["run_1", "run_2", "run_3"] {
        take(store, id).await.unwrap();
        let step_id = format!("{id}_s");
        step(store, &step_id, id, "1").await.unwrap();
        store.end_run(&step_id, run_end(Outcome::Succeeded)).await.unwrap();
        store.advance_flow_run(id, 0, "1").await.unwrap();
    }
    store.end_flow_run("run_1", over(Outcome::Succeeded)).await.unwrap();
    store.end_flow_run("run_2", over(Outcome::DeadLettered)).await.unwrap();
    let left = async || {
        let rows = store.runs(RunFilter::default()).await.unwrap();
        rows.into_iter().rev().map(|row| row.run_id).collect::<Vec<_>>()
    };
    // What a person decides about stays, and what goes on, each with its steps.
    assert_eq!(store.prune_runs(at(i64::MAX), u64::MAX).await.unwrap(), 2);
    assert_eq!(left().await, ["run_2", "run_3", "run_2_s", "run_3_s"]);
    assert_eq!(store.prune_runs(at(i64::MAX), 0).await.unwrap(), 0);
    assert_eq!(store.flow_run("run_2").await.unwrap().unwrap().outputs, ["1"]);
    assert!(store.decide_flow_run("run_2", None, at(4000)).await.unwrap());
    store.end_flow_run("run_3", over(Outcome::Succeeded)).await.unwrap();
    assert_eq!(store.prune_runs(at(i64::MAX), 0).await.unwrap(), 4);
    assert_eq!(store.flow_run("run_3").await.unwrap(), None);
    // The same definition is there again for who needs it.
    begin(store, &["run_4"]).await;
    assert_eq!(take(store, "run_4").await.unwrap().steps, "[1]");
}

fn fired(now: i64, next_at: i64, ids: &[&str]) -> Fired {
    Fired {
        flow: "orders".to_owned(),
        at: at(now),
        next_at: at(next_at),
        starts: ids.iter().map(|id| NewFlowRun { cause: Cause::Schedule, ..flow_run(id) }).collect(),
        alone: false,
    }
}

async fn schedules(store: &impl Store) {
    let stored = async || store.schedule("orders").await.unwrap();
    assert_eq!(stored().await, None);
    assert!(is_conflict(&store.fire(fired(1, 2, &["run_1"])).await), "there is none");
    store.set_schedule("orders", "every 1h", at(5000)).await.unwrap();
    store.set_schedule("other", "every 2h", at(6000)).await.unwrap();
    assert_eq!(stored().await, Some(("every 1h".to_owned(), at(5000))));
    assert_eq!(store.fire(fired(5000, 8000, &["run_1", "run_2"])).await.unwrap(), 2);
    assert_eq!(stored().await, Some(("every 1h".to_owned(), at(8000))));
    // Each of its times is taken once, whoever else saw it come.
    assert!(is_conflict(&store.fire(fired(5000, 8000, &["run_3"])).await));
    assert_eq!(store.flow_run("run_3").await.unwrap(), None);
    // What can't be begun leaves the time where it was.
    assert!(store.fire(fired(8000, 9000, &["run_4", "run_1"])).await.is_err());
    assert_eq!(stored().await, Some(("every 1h".to_owned(), at(8000))));
    assert_eq!(store.flow_run("run_4").await.unwrap(), None);
    assert_eq!(store.fire(fired(8000, 9000, &[])).await.unwrap(), 0);
    store.set_schedule("orders", "every 3h", at(7000)).await.unwrap();
    assert_eq!(stored().await, Some(("every 3h".to_owned(), at(7000))));
    store.retain_schedules(&["orders".to_owned()]).await.unwrap();
    assert_eq!(store.schedule("other").await.unwrap(), None);
    assert!(stored().await.is_some());
    store.retain_schedules(&[]).await.unwrap();
    assert_eq!(stored().await, None);
}

async fn overlap(store: &impl Store) {
    store.set_schedule("orders", "s", at(1)).await.unwrap();
    let alone = |now: i64, ids: &[&str]| Fired { alone: true, ..fired(now, now + 1, ids) };
    assert_eq!(store.fire(alone(1, &["run_1", "run_2"])).await.unwrap(), 1, "the second overlaps the first");
    assert_eq!(store.fire(alone(2, &["run_2"])).await.unwrap(), 0, "one waits");
    take(store, "run_1").await.unwrap();
    assert_eq!(store.fire(alone(3, &["run_2"])).await.unwrap(), 0, "one is under way");
    assert_eq!(store.flow_run("run_2").await.unwrap(), None);
    store.end_flow_run("run_1", over(Outcome::DeadLettered)).await.unwrap();
    assert_eq!(store.fire(alone(4, &["run_2"])).await.unwrap(), 1, "one that is dead holds up nobody");
}

async fn events(store: &impl Store) {
    let deliver = async |number: i64, starts: Vec<NewFlowRun>| {
        let (id, run_id) = (format!("dlv_{number}"), format!("run_d{number}"));
        let delivery = NewDelivery {
            delivery_id: id.clone(),
            route: "stripe".to_owned(),
            connection: "billing".to_owned(),
            received_at: at(1000),
            peer: "192.0.2.1".to_owned(),
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            headers: vec![],
            body: vec![],
        };
        let room = Backlog { deliveries_max: 100, bytes_max: 1 << 20 };
        assert_eq!(store.accept_delivery(delivery, room).await.unwrap(), Accepted::Stored);
        let first = new_attempt(&run_id, "0", 1);
        store.begin_delivery(&id, new_run(&run_id, RunKind::Deliver), first).await.unwrap();
        let event = NewEvent {
            name: "a".to_owned(),
            event_id: Some("evt_1".to_owned()),
            payload: "1".to_owned(),
            starts,
        };
        let fate = Fate::Done { events: vec![event], forget_at: at(9000) };
        let delivery = Some(DeliveryEnd { delivery_id: id, fate });
        store.end_run(&run_id, RunEnd { delivery, ..run_end(Outcome::Succeeded) }).await
    };
    let start = |id: &str| NewFlowRun { cause: Cause::Webhook, ..flow_run(id) };
    deliver(1, vec![start("run_1"), start("run_2")]).await.unwrap();
    assert_eq!(due(store, 1000).await, ["run_1", "run_2"]);
    // The vendor's second delivery of it begins nothing.
    deliver(2, vec![start("run_3")]).await.unwrap();
    assert_eq!(store.flow_run("run_3").await.unwrap(), None);
}
