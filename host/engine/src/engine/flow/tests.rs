//! Runs of flows over a scripted caller and a real store.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    AfterTrigger, Answer, CallReport, ConnectionFacts, Event, Handled, Operation, WebhookTrigger,
    limits::{ATTEMPTS_MAX, DELIVERY_RUNS_MAX, REFUSED_WAIT},
    simulation::{
        programs::{Programs, create, flow, flows, map},
        world::{self, CONNECTION, One, Scripted, failure, report},
    },
};
use portcullis_clock::{Clock, SeededClock, SeededRandom};
use portcullis_store::{
    Backlog, FlowState, NewDelivery, RunFilter, RunRow, Store, limits::RUN_JSON_BYTES_MAX,
};
use std::{sync::Arc, time::Duration};

struct Bench {
    engine: Engine,
    store: Arc<dyn Store>,
    caller: Arc<Scripted>,
    clock: SeededClock,
    flows: Arc<Flows>,
    facts: Arc<ConnectionFacts>,
    _folder: tempfile::TempDir,
}

async fn bench(there: Vec<Flow>, answers: impl IntoIterator<Item = CallReport>) -> Bench {
    bench_of(there, answers, true).await
}

async fn bench_of(
    there: Vec<Flow>,
    answers: impl IntoIterator<Item = CallReport>,
    at_least_once: bool,
) -> Bench {
    let (folder, clock) = (tempfile::tempdir().unwrap(), SeededClock::default());
    let store: Arc<dyn Store> = world::store(folder.path(), &clock).await;
    let id = store.connection_id(CONNECTION, "acme/stripe").await.unwrap();
    let (caller, facts, flows) = (Scripted::new(answers), world::facts(id, at_least_once), flows(there));
    let engine = engine(&store, &caller, &clock, &flows, &facts);
    Bench { engine, store, caller, clock, flows, facts, _folder: folder }
}

fn engine(
    store: &Arc<dyn Store>,
    caller: &Arc<Scripted>,
    clock: &SeededClock,
    flows: &Arc<Flows>,
    facts: &Arc<ConnectionFacts>,
) -> Engine {
    let connections = Arc::new(One(Arc::clone(facts)));
    let (port, random) = (Arc::clone(caller) as _, Arc::new(SeededRandom::new(1)));
    Engine::new(Arc::clone(store), port, connections, Arc::new(clock.clone()), random).with_flows(
        Arc::clone(flows),
        Arc::new(Programs::default()),
        Arc::default(),
    )
}

fn done(output: &str) -> CallReport {
    report(Ok(Answer::Done(output.to_owned())))
}

fn fails(kind: &str) -> CallReport {
    report(Err(failure(kind)))
}

impl Bench {
    async fn begin(&self, name: &str, input: &str) -> String {
        self.engine.begin_flow(name, input, &CallOptions::default()).await.unwrap()
    }

    async fn go_on(&self, run_id: &str) -> Flowed {
        let flow = self.engine.flow(run_id, None);
        // A script that is over hangs: a call that should not have been made must fail, not stay.
        tokio::time::timeout(Duration::from_secs(20), flow).await.expect("it ends").unwrap()
    }

    /// Until it is over, however long it waits.
    async fn to_the_end(&self, run_id: &str) -> (Outcome, u32) {
        for turn in 1..100 {
            match self.go_on(run_id).await {
                Flowed::Over(outcome) => return (outcome, turn),
                Flowed::Waits(until) => self.clock.advance(until.since(self.clock.now())),
            }
        }
        panic!("it does not end")
    }

    async fn row(&self, run_id: &str) -> RunRow {
        self.store.run(run_id).await.unwrap().unwrap()
    }

    async fn state(&self, run_id: &str) -> FlowState {
        self.store.flow_run(run_id).await.unwrap().unwrap().state
    }

    /// Place, outcome and input of each step's run, in the order in which they began.
    async fn steps(&self, run_id: &str) -> Vec<(String, Option<Outcome>, String)> {
        let filter = RunFilter { parent: Some(run_id.to_owned()), ..RunFilter::default() };
        let mut found = Vec::new();
        for step in self.store.runs(filter).await.unwrap().into_iter().rev() {
            let input = self.row(&step.run_id).await.input.unwrap();
            found.push((step.place.unwrap(), step.outcome, input));
        }
        found
    }

    fn inputs(&self) -> Vec<String> {
        let input = |(_, _, operation): &(String, u32, Operation)| match operation {
            Operation::Invoke { input, .. } => input.clone(),
            other => panic!("{other:?}"),
        };
        self.caller.asked.lock().unwrap().iter().map(input).collect()
    }

    fn runs_asked(&self) -> Vec<String> {
        self.caller.runs.lock().unwrap().clone()
    }
}

fn step(place: &str, outcome: Outcome, input: &str) -> (String, Option<Outcome>, String) {
    (place.to_owned(), Some(outcome), input.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_steps_one_behind_the_other() {
    let steps = vec![
        map("pick", ".order"),
        create("first"),
        create("second").with("$input.order"),
        map("last", "$steps.first.id"),
    ];
    let bench = bench(vec![flow("orders", steps)], [done("{\"id\":1}"), done("{\"id\":2}")]).await;
    let id = bench.begin("orders", "{\"order\":{\"a\":7}}").await;
    assert_eq!(bench.state(&id).await, FlowState::Queued);
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::Succeeded));
    let expected = [step("2", Outcome::Succeeded, "{\"a\":7}"), step("3", Outcome::Succeeded, "{\"a\":7}")];
    assert_eq!(bench.steps(&id).await, expected);
    let run = bench.store.flow_run(&id).await.unwrap().unwrap();
    assert_eq!(run.outputs, ["{\"a\":7}", "{\"id\":1}", "{\"id\":2}", "1"]);
    let row = bench.row(&id).await;
    assert_eq!((row.summary.outcome, row.output.as_deref()), (Some(Outcome::Succeeded), Some("1")));
    // One correlation id for all of it.
    let filter = RunFilter { correlation_id: Some(row.summary.correlation_id), ..RunFilter::default() };
    assert_eq!(bench.store.runs(filter).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_passed_over_where_its_condition_says_so() {
    for (condition, calls) in [("false", 0), ("null", 0), (".none", 0), ("true", 1), ("0", 1), (".a", 1)] {
        let there = flow("orders", vec![create("one").when(condition), map("same", ".")]);
        let bench = bench(vec![there], (0..calls).map(|_| done("{\"id\":1}"))).await;
        let id = bench.begin("orders", "{\"a\":7}").await;
        assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::Succeeded), "{condition}");
        assert_eq!(bench.inputs().len(), calls, "{condition}");
        let output = bench.row(&id).await.output.unwrap();
        assert_eq!(output, if calls == 0 { "{\"a\":7}" } else { "{\"id\":1}" }, "{condition}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_is_a_persons() {
    for (there, message) in [
        (map("one", "fail"), "step `one`: as scripted"),
        (create("one").when("fail"), "step `one`: as scripted"),
        (create("one").with("fail"), "step `one`: as scripted"),
        (create("one").each("fail"), "step `one`: as scripted"),
        (map("one", "empty"), "step `one`: the program gave nothing where one value is needed"),
        (map("one", ".l[]"), "step `one`: more than 1 outputs"),
    ] {
        let bench = bench(vec![flow("orders", vec![there])], []).await;
        let id = bench.begin("orders", "{\"l\":[1,2]}").await;
        assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::DeadLettered));
        let row = bench.row(&id).await.summary;
        assert_eq!((row.reason.as_deref(), row.detail.as_deref()), (Some("transform"), Some(message)));
        assert_eq!(bench.state(&id).await, FlowState::Dead);
        assert!(bench.steps(&id).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_fails_stops_no_other_and_is_tried_alone_when_a_person_says_so() {
    let there = || flow("orders", vec![create("each").each(".[]"), map("last", ".[]").each(".")]);
    let answers = [done("{\"id\":1}"), fails("not-found"), done("{\"id\":3}"), done("{\"id\":2}")];
    let bench = bench(vec![there()], answers).await;
    let id = bench.begin("orders", "[{\"a\":1},{\"a\":2},{\"a\":3}]").await;
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::DeadLettered));
    let row = bench.row(&id).await.summary;
    assert_eq!(row.reason.as_deref(), Some("not-found"));
    assert_eq!(row.detail.as_deref(), Some("step `each`: 1 of 3 items, the first: as scripted"));
    let expected = [
        step("1/0", Outcome::Succeeded, "{\"a\":1}"),
        step("1/1", Outcome::DeadLettered, "{\"a\":2}"),
        step("1/2", Outcome::Succeeded, "{\"a\":3}"),
    ];
    assert_eq!(bench.steps(&id).await, expected);
    // By the present definition, and what is done is not done again.
    let mended = flow("orders", vec![create("each").each(".[]")]).stored_steps();
    assert!(bench.store.decide_flow_run(&id, Some(&mended), bench.clock.now()).await.unwrap());
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::Succeeded));
    assert_eq!(bench.inputs(), ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":2}"]);
    let output = bench.row(&id).await.output.unwrap();
    assert_eq!(output, "[{\"id\":1},{\"id\":2},{\"id\":3}]", "in the order of the items");
    // Another run, and so another key: the first one's answer was a plain no.
    let runs = bench.runs_asked();
    assert_ne!(runs[1], runs[3]);
}

/// What another step did is not this one's, wherever it stands.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_became_another_is_not_taken_for_done() {
    let answers = [done("{\"id\":1}"), fails("not-found")];
    let bench = bench(vec![flow("orders", vec![create("each").each(".[]")])], answers).await;
    let id = bench.begin("orders", "[{\"a\":1},{\"a\":2}]").await;
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::DeadLettered));
    let mut other = create("each").each(".[]");
    other.work = Work::Action { connection: CONNECTION.to_owned(), action: "charge".to_owned(), input: None };
    let other = flow("orders", vec![other]).stored_steps();
    assert!(bench.store.decide_flow_run(&id, Some(&other), bench.clock.now()).await.unwrap());
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::DeadLettered));
    let row = bench.row(&id).await.summary;
    assert_eq!(row.reason.as_deref(), Some("flow-changed"));
    assert!(row.detail.unwrap().contains("begin a new run"));
    assert_eq!(bench.inputs().len(), 2, "nothing more was called");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_items_are_nothing_to_do() {
    let there = flow("orders", vec![create("each").each(".[]"), map("each again", ".").each(".[]")]);
    let bench = bench(vec![there], []).await;
    let id = bench.begin("orders", "[]").await;
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::Succeeded));
    assert_eq!(bench.row(&id).await.output.as_deref(), Some("[]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_items_are_none() {
    let bench = bench(vec![flow("orders", vec![create("each").each(".[]")])], []).await;
    let items = vec!["{}"; ITEMS_MAX as usize + 1].join(",");
    let id = bench.begin("orders", &format!("[{items}]")).await;
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::DeadLettered));
    assert!(bench.steps(&id).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_waits_keeps_its_run_and_holds_up_no_other_item() {
    let limited = Failure { retry_after_ms: Some(60_000), ..failure("rate-limited") };
    let answers = [report(Err(limited)), done("{\"id\":2}"), done("{\"id\":1}")];
    let bench = bench(vec![flow("orders", vec![create("each").each(".[]")])], answers).await;
    let id = bench.begin("orders", "[{\"a\":1},{\"a\":2}]").await;
    let Flowed::Waits(until) = bench.go_on(&id).await else { panic!() };
    assert!(until.since(bench.clock.now()) >= Duration::from_secs(60));
    let row = bench.row(&id).await.summary;
    assert_eq!((row.outcome, row.retry_at), (None, Some(until)));
    assert_eq!(row.detail.as_deref(), Some("step `each`: as scripted"));
    assert_eq!(bench.inputs(), ["{\"a\":1}", "{\"a\":2}"], "the other one did not wait");
    // Not before its time, whoever asks.
    assert!(matches!(
        bench.engine.flow(&id, None).await,
        Err(EngineError::Store(StoreError::Conflict { .. }))
    ));
    bench.clock.advance(until.since(bench.clock.now()));
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::Succeeded));
    let runs = bench.runs_asked();
    assert_eq!(runs[0], runs[2], "same run, same key");
    let asked: Vec<_> = bench
        .caller
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|(call, attempt, _)| (call.clone(), *attempt))
        .collect();
    assert_eq!(asked, [("0".to_owned(), 1), ("0".to_owned(), 1), ("0".to_owned(), 2)]);
    assert_eq!(bench.row(&id).await.output.as_deref(), Some("[{\"id\":1},{\"id\":2}]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_vendor_is_waited_for_and_not_for_ever() {
    let calls = DELIVERY_RUNS_MAX * ATTEMPTS_MAX;
    for (busy, outcome) in [(calls - 1, Outcome::Succeeded), (calls, Outcome::DeadLettered)] {
        let answers = (0..busy).map(|_| fails("unavailable")).chain([done("{\"id\":1}")]);
        let bench = bench(vec![flow("orders", vec![create("one")])], answers).await;
        let id = bench.begin("orders", "{}").await;
        assert_eq!(bench.to_the_end(&id).await, (outcome, DELIVERY_RUNS_MAX));
        let runs = bench.runs_asked();
        assert_eq!(runs.len(), calls as usize);
        assert!(runs.iter().all(|run| *run == runs[0]));
        let row = bench.row(&runs[0]).await;
        assert_eq!((row.summary.outcome, row.attempts.len()), (Some(outcome), runs.len()));
        assert_eq!(row.summary.counts.requests, u64::from(calls), "of all rounds");
        assert!(row.attempts.iter().all(|attempt| attempt.outcome.is_some()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn room_for_a_program_is_waited_for() {
    let bench = bench(vec![flow("orders", vec![create("one").when("busy")])], []).await;
    let id = bench.begin("orders", "{}").await;
    assert_eq!(bench.go_on(&id).await, Flowed::Waits(bench.clock.now().plus(REFUSED_WAIT)));
    assert_eq!(bench.row(&id).await.summary.detail.as_deref(), Some("as scripted"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_may_not_run_is_waited_for() {
    let mut one = create("one");
    one.work = Work::Action { connection: "other".to_owned(), action: "create".to_owned(), input: None };
    let bench = bench(vec![flow("orders", vec![one])], []).await;
    let id = bench.begin("orders", "{}").await;
    let Flowed::Waits(until) = bench.go_on(&id).await else { panic!() };
    assert_eq!(until, bench.clock.now().plus(REFUSED_WAIT));
    let detail = bench.row(&id).await.summary.detail.unwrap();
    assert_eq!(detail, "step `one`: there is no connection `other`");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_called_is_a_persons_and_goes_on_once_it_is_mended() {
    let mut unknown = create("one");
    unknown.work =
        Work::Action { connection: CONNECTION.to_owned(), action: "crate".to_owned(), input: None };
    let large = format!("{{\"b\":\"{}\"}}", "x".repeat(RUN_JSON_BYTES_MAX));
    for (there, kind, words) in [
        (unknown, "not-found", "`billing` has no action `crate`"),
        (create("one").with("{\"a\":\"x\"}"), "invalid-input", "`/a`"),
        (create("one").with(&large), "too-large", "more than"),
    ] {
        let bench = bench(vec![flow("orders", vec![there])], [done("{\"id\":1}")]).await;
        let id = bench.begin("orders", "{\"a\":1}").await;
        assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::DeadLettered));
        let row = bench.row(&id).await.summary;
        assert_eq!(row.reason.as_deref(), Some(kind));
        assert!(row.detail.as_deref().unwrap().contains(words), "{:?}", row.detail);
        assert!(bench.steps(&id).await.is_empty(), "nothing was run");
        let mended = flow("orders", vec![create("one")]).stored_steps();
        assert!(bench.store.decide_flow_run(&id, Some(&mended), bench.clock.now()).await.unwrap());
        assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::Succeeded));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_doubt_ends_it_and_is_never_repeated() {
    let unproven = || CallReport { unproven_effect: true, ..fails("timeout") };
    let there = || flow("orders", vec![create("each").each(".[]"), create("next")]);
    let bench = bench_of(vec![there()], [fails("not-found"), unproven(), done("{\"id\":3}")], false).await;
    let id = bench.begin("orders", "[{\"a\":1},{\"a\":2},{\"a\":3}]").await;
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::Unknown), "that weighs more than a failure");
    let row = bench.row(&id).await.summary;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(Outcome::Unknown), Some("unproven-effect")));
    assert_eq!(bench.state(&id).await, FlowState::Dead);
    let outcomes: Vec<_> =
        bench.steps(&id).await.into_iter().map(|(_, outcome, _)| outcome.unwrap()).collect();
    assert_eq!(outcomes, [Outcome::DeadLettered, Outcome::Unknown, Outcome::Succeeded]);
    assert_eq!(bench.inputs().len(), 3, "once each");
}

/// The process ends while a step is being called; another one takes it up where it stood.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_cut_off_goes_on_with_the_same_runs() {
    let there = flow("orders", vec![create("first"), create("second")]);
    let Bench { engine: first, store, caller, clock, flows, facts, _folder } =
        bench(vec![there], [done("{\"id\":1}")]).await;
    let id = first.begin_flow("orders", "{\"a\":1}", &CallOptions::default()).await.unwrap();
    let run_id = id.clone();
    let first = tokio::spawn(async move { first.flow(&run_id, None).await });
    // The second one hangs.
    while caller.asked.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.is_err());
    let asked = caller.runs.lock().unwrap().clone();
    let caller = Scripted::new([done("{\"id\":2}")]);
    let second = engine(&store, &caller, &clock, &flows, &facts);
    let closed = second.start().await.unwrap();
    assert!(closed.is_empty(), "nothing of a flow is closed: {closed:?}");
    assert_eq!(second.flow(&id, None).await.unwrap(), Flowed::Over(Outcome::Succeeded));
    assert_eq!(*caller.runs.lock().unwrap(), [asked[1].clone()], "the first is not called again");
    let (call, attempt, _) = caller.asked.lock().unwrap()[0].clone();
    assert_eq!((call.as_str(), attempt), ("0", 2), "the same place, so the same key");
    let row = store.run(&asked[1]).await.unwrap().unwrap();
    let kinds: Vec<_> = row.attempts.iter().map(|attempt| attempt.error_kind.as_deref()).collect();
    assert!(kinds.contains(&Some("interrupted")), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_waits_and_goes_on() {
    let bench = bench(vec![flow("orders", vec![create("one")])], []).await;
    let id = bench.begin("orders", "{}").await;
    let (cancel, cancelled) = watch::channel(false);
    let (went, ()) = tokio::join!(bench.engine.flow(&id, Some(&cancelled)), async {
        while bench.caller.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.send_replace(true);
    });
    assert!(matches!(went.unwrap(), Flowed::Waits(until) if until <= bench.clock.now()));
    assert_eq!(bench.state(&id).await, FlowState::Queued);
    // Stopped before it begins, it calls nothing.
    let went = bench.engine.flow(&id, Some(&cancelled)).await.unwrap();
    assert!(matches!(went, Flowed::Waits(_)));
    bench.caller.answers.lock().unwrap().push_back(done("{\"id\":1}"));
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::Succeeded));
    let runs = bench.runs_asked();
    assert_eq!((runs.len(), &runs[0]), (2, &runs[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_one_begins_another() {
    let after = |name: &str, outcomes: &[Outcome]| {
        let mut other = flow(name, vec![map("same", "$trigger.outcome")]);
        other.triggers.after = Some(AfterTrigger { flow: "orders".to_owned(), outcomes: outcomes.to_vec() });
        other
    };
    for (answer, outcome, begun, input) in [
        (done("{\"id\":1}"), Outcome::Succeeded, "well", "{\"id\":1}"),
        (fails("not-found"), Outcome::DeadLettered, "badly", "null"),
    ] {
        let there = vec![
            flow("orders", vec![create("one")]),
            after("well", &[Outcome::Succeeded]),
            after("badly", &[Outcome::DeadLettered, Outcome::Unknown]),
        ];
        let bench = bench(there, [answer]).await;
        let id = bench.begin("orders", "{}").await;
        assert_eq!(bench.go_on(&id).await, Flowed::Over(outcome));
        let now = bench.clock.now();
        let mut due = Vec::new();
        for name in ["well", "badly"] {
            due.extend(bench.store.due_flow_runs(name, now, 9).await.unwrap());
        }
        assert_eq!(due.len(), 1);
        let run = bench.store.flow_run(&due[0]).await.unwrap().unwrap();
        assert_eq!((run.flow.as_str(), run.cause), (begun, Cause::Flow));
        assert_eq!(run.input.as_deref(), Some(input));
        assert_eq!(run.correlation_id, bench.row(&id).await.summary.correlation_id);
        assert_eq!(bench.go_on(&due[0]).await, Flowed::Over(Outcome::Succeeded));
        let expected = format!("\"{}\"", outcome.as_str());
        assert_eq!(bench.row(&due[0]).await.output, Some(expected), "it knows what began it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_begin_the_flows_that_want_them_with_their_delivery() {
    let on = |name: &str, route: &str, events: &[&str]| {
        let mut there = flow(name, vec![map("same", "$trigger.event")]);
        let events = events.iter().map(|&event| event.to_owned()).collect();
        there.triggers.webhook = Some(WebhookTrigger { route: route.to_owned(), events });
        there
    };
    let there = vec![on("all", "stripe", &[]), on("paid", "stripe", &["paid"]), on("other", "github", &[])];
    let event = |name: &str, id: &str| Event {
        name: name.to_owned(),
        id: Some(id.to_owned()),
        payload: "{\"n\":1.10}".to_owned(),
    };
    let handled = |events| report(Ok(Answer::Handled(Handled { events, reply: None })));
    let answers = [handled(vec![event("paid", "1"), event("sent", "2")]), handled(vec![event("paid", "1")])];
    let bench = bench(there, answers).await;
    let due = async |flow: &str| bench.store.due_flow_runs(flow, bench.clock.now(), 9).await.unwrap();
    for delivery_id in ["dlv_1", "dlv_2"] {
        let delivery = NewDelivery {
            delivery_id: delivery_id.to_owned(),
            route: "stripe".to_owned(),
            connection: CONNECTION.to_owned(),
            received_at: bench.clock.now(),
            peer: "192.0.2.1".to_owned(),
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        let room = Backlog { deliveries_max: 9, bytes_max: 1 << 20 };
        bench.store.accept_delivery(delivery, room).await.unwrap();
        bench.engine.hand_over(delivery_id, CallOptions::default()).await.unwrap();
        // The second one brings what was there before.
        let counts = (due("all").await.len(), due("paid").await.len(), due("other").await.len());
        assert_eq!(counts, (2, 1, 0), "{delivery_id}");
    }
    let id = due("paid").await.remove(0);
    let run = bench.store.flow_run(&id).await.unwrap().unwrap();
    assert_eq!((run.cause, run.input.as_deref()), (Cause::Webhook, Some("{\"n\":1.10}")));
    bench.go_on(&id).await;
    assert_eq!(bench.row(&id).await.output.as_deref(), Some("\"paid\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_a_step_may_leave_is_a_persons() {
    let literal = format!("\"{}\"", "x".repeat(FLOW_JSON_BYTES_MAX - 2));
    for (program, outcome) in
        [(literal.clone(), Outcome::Succeeded), (format!("{literal} "), Outcome::DeadLettered)]
    {
        let bench = bench(vec![flow("orders", vec![map("one", &program)])], []).await;
        let id = bench.begin("orders", "{}").await;
        assert_eq!(bench.go_on(&id).await, Flowed::Over(outcome));
        let row = bench.row(&id).await;
        assert_eq!(row.output, None, "more than a run keeps");
        assert_eq!(row.summary.reason.is_some(), outcome != Outcome::Succeeded);
    }
    // And so are many that are large.
    let most = FLOW_OUTPUTS_BYTES_MAX / FLOW_JSON_BYTES_MAX;
    for (count, outcome) in [(most, Outcome::Succeeded), (most + 1, Outcome::DeadLettered)] {
        let steps = (0..count).map(|number| map(&format!("s{number}"), &literal)).collect();
        let bench = bench(vec![flow("orders", steps)], []).await;
        let id = bench.begin("orders", "{}").await;
        assert_eq!(bench.go_on(&id).await, Flowed::Over(outcome));
    }
    // Of what was called it is the same for who comes back and for who called.
    let output = format!("{{\"id\":\"{}\"}}", "x".repeat(RUN_JSON_BYTES_MAX));
    let bench = bench(vec![flow("orders", vec![create("one")])], [done(&output)]).await;
    let id = bench.begin("orders", "{}").await;
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::DeadLettered));
    let first = bench.row(&id).await.summary;
    let same = flow("orders", vec![create("one")]).stored_steps();
    assert!(bench.store.decide_flow_run(&id, Some(&same), bench.clock.now()).await.unwrap());
    assert_eq!(bench.go_on(&id).await, Flowed::Over(Outcome::DeadLettered));
    let second = bench.row(&id).await.summary;
    assert_eq!((&first.reason, &first.detail), (&second.reason, &second.detail));
    assert_eq!((first.reason.as_deref(), bench.inputs().len()), (Some("too-large"), 1), "it was done once");
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_another_version_are_a_persons() {
    let bench = bench(vec![flow("orders", vec![map("one", ".")])], []).await;
    let options = CallOptions::default;
    let unknown = bench.engine.begin_flow("order", "{}", &options()).await;
    assert!(matches!(unknown, Err(EngineError::NoSuchFlow { known, .. }) if known == ["orders"]));
    let there = bench.engine.flows().get("orders").unwrap();
    let (input, corr, about) = ("{}".to_owned(), "corr".to_owned(), "null".to_owned());
    let run = bench.engine.new_flow_run(there, Cause::Manual, input, corr, about);
    let steps = r#"[{"name":"one","wait":{"webhook":"stripe"}}]"#.into();
    bench.store.begin_flow_run(NewFlowRun { steps, ..run.clone() }).await.unwrap();
    assert_eq!(bench.go_on(&run.run_id).await, Flowed::Over(Outcome::DeadLettered));
    let row = bench.row(&run.run_id).await.summary;
    assert_eq!(row.reason.as_deref(), Some("host"));
    assert!(row.detail.unwrap().ends_with("replay it"));
}
