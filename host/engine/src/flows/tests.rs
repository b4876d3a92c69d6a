//! Flows that wait and are due, begun and gone on with in a seeded world.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Answer, CallOptions, CallReport, CallRequest, Caller, CatchUp, Failure, FlowStep, Operation, Outcome,
    Overlap, Schedule, Timing,
    simulation::{
        flows::{Setting, are_over},
        programs::{create, flow, map},
        world::{Scripted, failure, report},
    },
};
use portcullis_store::{FlowState, RunFilter, RunKind};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Does what it is asked, and keeps in what order, and how much of it at a time. It waits for so many to be under way, as long as
/// there may be more.
#[derive(Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
    inputs: Mutex<Vec<String>>,
    /// So many come to be under way, on a machine however busy.
    wanted: usize,
    /// The first of those with this input is too early.
    busy_once: Mutex<Option<String>>,
}

#[async_trait::async_trait]
impl Caller for Counts {
    async fn call(&self, request: CallRequest) -> CallReport {
        let Operation::Invoke { input, .. } = request.operation else { panic!("it only does") };
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.inputs.lock().unwrap().push(input.clone());
        for turn in 0..100_000 {
            if turn >= 200 && self.most.load(Ordering::SeqCst) >= self.wanted {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        let is_early = self.busy_once.lock().unwrap().take_if(|busy| *busy == input).is_some();
        if is_early {
            return report(Err(Failure { retry_after_ms: Some(60_000), ..failure("rate-limited") }));
        }
        report(Ok(Answer::Done("{\"id\":1}".to_owned())))
    }
}

async fn begin(setting: &Setting, store: &Arc<dyn Store>, id: &str, inputs: &[&str]) {
    let engine = setting.engine(store, Scripted::new([]), id);
    for input in inputs {
        engine.begin_flow("orders", input, &CallOptions::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_flow_no_more_than_it_says_are_under_way() {
    for (concurrency, most) in [(1, 1..=1), (3, 2..=3)] {
        let there = Flow { concurrency, ..flow("orders", vec![create("one")]) };
        let setting = Setting::new(1, true, [there]);
        let (store, id) = setting.store().await;
        begin(&setting, &store, &id, &["{}"; 12]).await;
        let counts = Arc::new(Counts { wanted: *most.start(), ..Counts::default() });
        setting.dispatch(&store, counts.clone(), &id, async || are_over(&*store, 12).await).await;
        assert_eq!(counts.inputs.lock().unwrap().len(), 12);
        let found = counts.most.load(Ordering::SeqCst);
        assert!(most.contains(&found), "{concurrency}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_one_key_go_in_order_and_hold_up_no_other() {
    let there = Flow { order_by: Some("/k".to_owned()), ..flow("orders", vec![create("one")]) };
    let setting = Setting::new(1, true, [there]);
    let (store, id) = setting.store().await;
    let input = |key: &str, number: u32| format!("{{\"k\":\"{key}\",\"a\":{number}}}");
    let inputs: Vec<_> = (0..6).flat_map(|number| [input("x", number), input("y", number)]).collect();
    begin(&setting, &store, &id, &inputs.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // The vendor has no time for the first of one key: those behind it wait with it.
    let counts = Arc::new(Counts { busy_once: Mutex::new(Some(input("x", 0))), ..Counts::default() });
    setting.dispatch(&store, counts.clone(), &id, async || are_over(&*store, 12).await).await;
    let asked = counts.inputs.lock().unwrap().clone();
    for (key, expected) in [("x", vec![0, 0, 1, 2, 3, 4, 5]), ("y", vec![0, 1, 2, 3, 4, 5])] {
        let of_it: Vec<_> = asked.iter().filter(|asked| asked.contains(key)).cloned().collect();
        let expected: Vec<_> = expected.into_iter().map(|number| input(key, number)).collect();
        assert_eq!(of_it, expected);
    }
}

/// A fault of ours under a run: it waits again, and its place is free meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_broke_off_waits_and_is_gone_on_with() {
    let there = Flow { concurrency: 1, ..flow("orders", vec![map("one", "panic")]) };
    let setting = Setting::new(1, true, [there]);
    let (store, id) = setting.store().await;
    begin(&setting, &store, &id, &["1", "2"]).await;
    *setting.programs.panics.lock().unwrap() = 1;
    let over = async || are_over(&*store, 2).await;
    setting.dispatch(&store, Scripted::new([]), &id, over).await;
    let runs = store.runs(RunFilter::default()).await.unwrap();
    assert!(runs.iter().all(|run| run.outcome == Some(Outcome::Succeeded)));
    assert!(setting.clock.slept() >= REFUSED_WAIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_waits_again() {
    let setting = Setting::new(1, true, [flow("orders", vec![create("one")])]);
    let (store, id) = setting.store().await;
    begin(&setting, &store, &id, &["{}"; 3]).await;
    // They hang until they are cancelled.
    let caller = Scripted::new([]);
    let hang = Arc::clone(&caller);
    let all_asked = async || hang.asked.lock().unwrap().len() == 3;
    setting.dispatch(&store, caller, &id, all_asked).await;
    let filter = RunFilter { kind: Some(RunKind::Flow), ..RunFilter::default() };
    for run in store.runs(filter).await.unwrap() {
        assert_eq!(store.flow_run(&run.run_id).await.unwrap().unwrap().state, FlowState::Queued);
        assert_eq!(run.outcome, None);
    }
}

/// Nothing waits, nothing comes due: who begins one says so.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_begun_meanwhile_is_seen() {
    let setting = Setting::new(1, true, [flow("orders", vec![map("one", ".")])]);
    let (store, id) = setting.store().await;
    let engine = setting.engine(&store, Scripted::new([]), &id);
    let began = AtomicUsize::new(0);
    let over = async || {
        if began.fetch_add(1, Ordering::SeqCst) == 1_000 {
            engine.begin_flow("orders", "1", &CallOptions::default()).await.unwrap();
        }
        are_over(&*store, 1).await
    };
    setting.dispatch(&store, Scripted::new([]), &id, over).await;
}

fn hourly(overlap: Overlap, catch_up: CatchUp, step: FlowStep) -> Flow {
    let mut there = flow("hourly", vec![step]);
    there.triggers.schedule =
        Some(Schedule { text: "every 1h".to_owned(), timing: Timing::Every(HOUR), overlap, catch_up });
    there
}

async fn count(store: &dyn Store) -> usize {
    let filter = RunFilter { kind: Some(RunKind::Flow), ..RunFilter::default() };
    store.runs(filter).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_comes_while_one_is_under_way_is_skipped_or_waits() {
    for overlap in [Overlap::Skip, Overlap::Queue] {
        // It hangs.
        let setting = Setting::new(1, true, [hourly(overlap, CatchUp::One, create("one").with("{}"))]);
        let (store, id) = setting.store().await;
        let start = setting.clock.now();
        let caller = Scripted::new([]);
        let hang = Arc::clone(&caller);
        let over = async || {
            let passed = setting.clock.now().since(start);
            passed > HOUR * 6 && !hang.asked.lock().unwrap().is_empty()
        };
        setting.dispatch(&store, caller, &id, over).await;
        let found = count(&*store).await;
        match overlap {
            Overlap::Skip => assert_eq!(found, 1),
            Overlap::Queue => assert!(found >= 6, "{found}"),
        }
        let asked = hang.asked.lock().unwrap().len();
        assert!(asked <= 4, "no more than it says: {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_while_nobody_looked_is_made_up_for_as_it_is_said() {
    for (catch_up, late, expected) in [
        (CatchUp::One, HOUR * 5, vec![6]),
        (CatchUp::All, HOUR * 5, vec![1, 2, 3, 4, 5, 6]),
        (CatchUp::None, HOUR * 5, vec![6]),
        (CatchUp::None, HOUR * 5 + HOUR / 2, vec![]),
        (CatchUp::One, Duration::ZERO, vec![1]),
    ] {
        let there = hourly(Overlap::Queue, catch_up, map("one", "."));
        let setting = Setting::new(1, true, [there.clone()]);
        let (store, id) = setting.store().await;
        let engine = setting.engine(&store, Scripted::new([]), &id);
        let start = setting.clock.now();
        // A schedule that is new begins with the next time, not with one that was.
        let next = engine.fire(&there).await.unwrap();
        assert_eq!((next, count(&*store).await), (Some(start.plus(HOUR)), 0));
        setting.clock.advance(HOUR + late);
        let next = engine.fire(&there).await.unwrap().unwrap();
        assert!(next > setting.clock.now() && next.since(setting.clock.now()) <= HOUR);
        let mut inputs = Vec::new();
        for run_id in store.due_flow_runs("hourly", setting.clock.now(), 99).await.unwrap() {
            inputs.push(store.flow_run(&run_id).await.unwrap().unwrap().input.unwrap());
        }
        let time = |hour: u32| format!("{{\"scheduled-at\":\"{}\"}}", start.plus(HOUR * hour));
        assert_eq!(inputs, expected.into_iter().map(time).collect::<Vec<_>>(), "{catch_up:?} {late:?}");
        // Nothing has come since.
        assert_eq!(engine.fire(&there).await.unwrap(), Some(next));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_schedule_begins_anew() {
    let there = hourly(Overlap::Queue, CatchUp::All, map("one", "."));
    let setting = Setting::new(1, true, [there.clone()]);
    let (store, id) = setting.store().await;
    let engine = setting.engine(&store, Scripted::new([]), &id);
    engine.fire(&there).await.unwrap();
    setting.clock.advance(HOUR * 10);
    let mut other = there.clone();
    let schedule = other.triggers.schedule.as_mut().unwrap();
    (schedule.text, schedule.timing) = ("every 2h".to_owned(), Timing::Every(HOUR * 2));
    let next = engine.fire(&other).await.unwrap().unwrap();
    assert!(next > setting.clock.now());
    assert_eq!(count(&*store).await, 0, "what came before it was there is none of its times");
    let none = engine.fire(&flow("manual", vec![])).await.unwrap();
    assert_eq!(none, None);
}
