//! Streams into a destination, over both ends as doubles and a real store.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use crate::{
    CallOptions, Deletes, Failure, Flow, Flowed, Mode, Outcome, Position,
    engine::Engine,
    limits::{BATCH_BYTES_MAX, DELIVERY_RUNS_MAX},
    simulation::{
        flows::Setting,
        programs::{copy, flow},
        syncs::{Arrived, Ends, key, refused, syncs},
        world::failure,
    },
};
use portcullis_clock::Clock;
use portcullis_store::{FlowState, RunRow, Store};
use serde_json::Value;
use std::sync::Arc;

struct Bench {
    setting: Setting,
    engine: Engine,
    store: Arc<dyn Store>,
    ends: Arc<Ends>,
    id: String,
}

async fn bench(there: Flow, ends: Ends, deletes: Deletes) -> Bench {
    bench_of(there, ends, (deletes, 100_000, false)).await
}

async fn bench_of(there: Flow, ends: Ends, said: (Deletes, u32, bool)) -> Bench {
    let setting = Setting::new(1, true, [there]);
    *setting.ends.lock().unwrap() = said;
    let (store, id) = setting.store().await;
    let ends = Arc::new(ends);
    let engine = setting.engine(&store, ends.clone(), &id);
    Bench { setting, engine, store, ends, id }
}

fn copying(mode: Mode, map: Option<&str>) -> Flow {
    flow("copy", vec![copy(mode, map)])
}

fn plain(ids: std::ops::Range<u64>) -> Ends {
    Ends::new(ids.map(|id| format!("{{\"id\":{id}}}")))
}

fn limited(ms: u64) -> Failure {
    Failure { retry_after_ms: Some(ms), ..failure("rate-limited") }
}

impl Bench {
    async fn begin(&self) -> String {
        self.engine.begin_flow("copy", "null", &CallOptions::default()).await.unwrap()
    }

    async fn turn(&self, run_id: &str) -> Flowed {
        self.engine.flow(run_id, None).await.unwrap()
    }

    /// Begun, and gone on with until it is over; how many turns that took.
    async fn run(&self) -> (Outcome, u32) {
        let id = self.begin().await;
        self.to_the_end(&id).await
    }

    async fn to_the_end(&self, id: &str) -> (Outcome, u32) {
        for turn in 1..100 {
            match self.turn(id).await {
                Flowed::Over(outcome) => return (outcome, turn),
                Flowed::Waits(until) => {
                    self.setting.clock.advance(until.since(self.setting.clock.now()));
                }
            }
        }
        panic!("it does not end")
    }

    async fn last(&self) -> RunRow {
        syncs(&*self.store).await.pop().unwrap()
    }

    async fn output(&self) -> Value {
        serde_json::from_str(&self.last().await.output.unwrap()).unwrap()
    }

    /// `next` and `checkpoint`.
    async fn position(&self) -> (Option<String>, Option<String>) {
        let position = self.store.place(&key(&self.id, "copy")).await.unwrap().position;
        position.map(|position| (position.next, position.checkpoint)).unwrap_or_default()
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.ends.arrived.lock().unwrap().clone()
    }

    fn asked(&self) -> Vec<Position> {
        std::mem::take(&mut self.ends.asked.lock().unwrap())
    }

    /// Who refused what.
    async fn refused(&self) -> Vec<(String, String, String)> {
        let rows = refused(&*self.store).await.into_iter();
        rows.map(|row| (row.by, row.kind, row.record.unwrap())).collect()
    }
}

fn next(place: &str) -> Position {
    Position::Next(place.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_and_later_only_what_is_new() {
    let bench = bench(copying(Mode::Upsert, None), plain(0..5), Deletes::Soft).await;
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    let expected =
        serde_json::json!({ "records": 5, "written": 5, "rejected": 0, "removed": null, "dropped": 0 });
    assert_eq!(bench.output().await, expected);
    assert_eq!(bench.position().await, (None, Some("5".to_owned())));
    assert_eq!(bench.asked(), [Position::Start, next("2"), next("4")]);
    let row = bench.last().await;
    assert_eq!((row.summary.counts.pages, row.summary.counts.records), (3, 5));
    assert_eq!((row.summary.place.as_deref(), row.summary.reason.as_deref()), (Some("1/customers"), None));
    let arrived = bench.arrived();
    assert!(arrived.iter().all(|batch| batch.mode == Mode::Upsert && batch.generation == 1));
    bench.ends.records.lock().unwrap().push("{\"id\":5}".to_owned());
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    assert_eq!(bench.asked(), [Position::Checkpoint("5".to_owned())]);
    let arrived: Vec<_> = bench.arrived().into_iter().skip(arrived.len()).collect();
    assert_eq!((arrived.len(), arrived[0].records.as_str(), arrived[0].generation), (1, "{\"id\":5}\n", 1));
    // What the step leaves has each stream by its name.
    let run = bench.store.flow_run(&row.summary.parent.unwrap()).await.unwrap().unwrap();
    let left: Value = serde_json::from_str(&run.outputs[0]).unwrap();
    assert_eq!(left["customers"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_dropped_or_no_record_of_its_stream_stops_no_other() {
    let records = [
        "{\"id\":0}",
        "{\"id\":1,\"is\":\"drop\"}",
        "{\"id\":2,\"is\":\"fail\"}",
        "{\"id\":\"three\"}",
        "{\"id\":4,\"is\":\"reject\"}",
        "{\"id\":5}",
    ];
    let mut ends = Ends::new(records.map(str::to_owned));
    ends.page = 10;
    let bench = bench(copying(Mode::Replace, Some("pick")), ends, Deletes::Hard).await;
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    assert_eq!(bench.ends.there(), [records[0], records[5]]);
    let of = |by: &str, kind: &str, at: usize| (by.to_owned(), kind.to_owned(), records[at].to_owned());
    let expected = [
        of("schema", "contract-drift", 3),
        of("map", "program-run", 2),
        of("destination", "invalid-input", 4),
    ];
    assert_eq!(bench.refused().await, expected);
    let output = bench.output().await;
    assert_eq!(
        (&output["records"], &output["written"], &output["rejected"], &output["dropped"]),
        (&6.into(), &2.into(), &3.into(), &1.into())
    );
    // Those would count as gone.
    assert!(bench.ends.completed.lock().unwrap().is_empty());
    let row = bench.last().await.summary;
    assert_eq!(row.reason.as_deref(), Some("rejected-lines"));
    let detail =
        "3 of 6 records were refused; nothing was removed: 3 records were refused, and would count as gone";
    assert_eq!(row.detail.as_deref(), Some(detail));
    // A person sees to them, by the run or by the flow's.
    let overview = async || bench.store.sync(&row.run_id).await.unwrap().unwrap().waiting;
    assert_eq!(overview().await, 3);
    let now = bench.setting.clock.now();
    let flow_run = row.parent.unwrap();
    assert!(bench.store.decide_flow_run(&flow_run, None, now).await.unwrap());
    assert_eq!(overview().await, 0);
    assert!(!bench.store.decide_flow_run(&flow_run, None, now).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_none_refuses_no_record() {
    let bench = bench(copying(Mode::Append, Some("fail")), plain(0..3), Deletes::Soft).await;
    *bench.setting.programs.panics.lock().unwrap() = 0;
    // `transform` is of a record: each is refused for itself.
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    assert_eq!(bench.refused().await.len(), 3);
    assert!(bench.arrived().is_empty());
    // Nobody is there to evaluate it: it is tried again, and no record is refused for that.
    let busy = bench_of(copying(Mode::Append, Some("busy")), plain(0..3), (Deletes::Soft, 0, false)).await;
    let id = busy.begin().await;
    assert!(matches!(busy.turn(&id).await, Flowed::Waits(_)));
    assert!(busy.refused().await.is_empty());
    assert_eq!(busy.position().await, (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_come_is_removed_where_nothing_speaks_against_it() {
    let mut ends = plain(0..20);
    ends.page = 7;
    let bench = bench(copying(Mode::Replace, None), ends, Deletes::Hard).await;
    *bench.ends.gone.lock().unwrap() = 1;
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    // There was none before: a share of its own.
    assert_eq!(*bench.ends.completed.lock().unwrap(), [(1, Some(2))]);
    assert_eq!(bench.output().await["removed"], 1);
    assert_eq!(bench.position().await.0, None);
    bench.asked();
    // Every read begins at the start, and the share is of the one before.
    bench.ends.records.lock().unwrap().truncate(10);
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    assert_eq!(bench.asked(), [Position::Start, next("7")]);
    assert_eq!(bench.ends.completed.lock().unwrap().last(), Some(&(2, Some(2))));
    assert_eq!(bench.arrived().last().unwrap().generation, 2);
    // More than may go is a person's, who is told figures and remedy; nothing was removed.
    *bench.ends.gone.lock().unwrap() = 2;
    let id = bench.begin().await;
    assert_eq!(bench.to_the_end(&id).await, (Outcome::DeadLettered, 1));
    let row = bench.last().await.summary;
    assert_eq!(row.reason.as_deref(), Some("conflict"));
    let detail = row.detail.unwrap();
    for part in ["more than 1 records", "10 % of 10", "raise `removed-share-max` of `warehouse`"] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(bench.store.flow_run(&id).await.unwrap().unwrap().state, FlowState::Dead);
    // Once more by a person's word: all is read anew.
    *bench.ends.gone.lock().unwrap() = 0;
    bench.asked();
    let now = bench.setting.clock.now();
    let steps = copying(Mode::Replace, None).stored_steps();
    assert!(bench.store.decide_flow_run(&id, Some(&steps), now).await.unwrap());
    assert_eq!(bench.to_the_end(&id).await, (Outcome::Succeeded, 1));
    assert_eq!(bench.asked(), [Position::Start, next("7")]);
    assert_eq!(bench.ends.completed.lock().unwrap().last(), Some(&(4, Some(1))));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_and_it_is_told_why() {
    let check = async |deletes, complete_reads, expected: &str| {
        let mut ends = plain(0..3);
        ends.complete_reads = complete_reads;
        let bench = bench(copying(Mode::Replace, None), ends, deletes).await;
        assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
        assert!(bench.ends.completed.lock().unwrap().is_empty(), "{expected}");
        let row = bench.last().await.summary;
        assert_eq!(row.reason.as_deref(), Some("not-completed"));
        assert!(row.detail.unwrap().contains(expected), "{expected}");
        assert_eq!(bench.output().await["removed"], Value::Null);
        assert!(bench.output().await["not_removed"].as_str().unwrap().contains(expected));
    };
    check(Deletes::Soft, true, "`deletes` of `warehouse` is `soft`").await;
    check(Deletes::Ignore, true, "`deletes` of `warehouse` is `ignore`").await;
    check(Deletes::Hard, false, "need not have every living record").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_among_the_records() {
    // Of a deletion the schema asks nothing: its key is all that need be there.
    let records = ["{\"id\":1}", "{\"id\":\"2\",\"deleted\":true}", "{\"id\":3,\"deleted\":false}"];
    for (deletes, mode, field, lines, dropped) in [
        (Deletes::Hard, Mode::Upsert, Some("deleted"), 3, 0),
        (Deletes::Soft, Mode::Upsert, None, 3, 0),
        (Deletes::Ignore, Mode::Upsert, None, 2, 1),
        // There is nothing to remove by.
        (Deletes::Hard, Mode::Append, None, 3, 0),
    ] {
        let mut ends = Ends::new(records.map(str::to_owned));
        ends.page = 3;
        let bench = bench(copying(mode, None), ends, deletes).await;
        assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
        let arrived = bench.arrived();
        assert_eq!(arrived.len(), 1, "{deletes:?}");
        assert_eq!(arrived[0].deleted_field.as_deref(), field, "{deletes:?}");
        assert_eq!(arrived[0].records.lines().count(), lines, "{deletes:?}");
        assert_eq!(bench.output().await["dropped"], dropped, "{deletes:?}");
        let row = bench.store.sync(&bench.last().await.summary.run_id).await.unwrap().unwrap();
        assert_eq!(row.living, 2, "{deletes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_readers_read_differently_is_refused() {
    let twice = "{\"id\":1,\"deleted\":true,\"deleted\":false}";
    let bench = bench(copying(Mode::Upsert, None), Ends::new([twice.to_owned()]), Deletes::Hard).await;
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    assert!(bench.arrived().is_empty());
    assert_eq!(
        bench.refused().await,
        [("deletion".to_owned(), "contract-drift".to_owned(), twice.to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_loses_a_deletion_is_told() {
    let gone = "{\"id\":1,\"deleted\":true}";
    let ends = Ends::new([gone.to_owned()]);
    let bench = bench(copying(Mode::Upsert, Some("{\"id\":1}")), ends, Deletes::Hard).await;
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    assert!(bench.arrived().is_empty());
    assert_eq!(bench.refused().await, [("map".to_owned(), "program-run".to_owned(), gone.to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_busy_is_waited_for_and_the_position_stays() {
    let bench = bench(copying(Mode::Append, None), plain(0..5), Deletes::Soft).await;
    let id = bench.begin().await;
    bench.ends.script.lock().unwrap().push_back(("write", limited(60_000)));
    let Flowed::Waits(until) = bench.turn(&id).await else { panic!("it does not wait") };
    assert!(until.since(bench.setting.clock.now()).as_secs() >= 59);
    assert_eq!(bench.position().await, (None, None));
    let waiting = bench.last().await;
    assert!(waiting.summary.outcome.is_none() && waiting.attempts.iter().all(|at| at.outcome.is_some()));
    // Before its time nothing is called.
    let asked = bench.asked().len();
    assert_eq!((asked, bench.arrived().len()), (1, 0));
    bench.setting.clock.advance(until.since(bench.setting.clock.now()));
    assert_eq!(bench.turn(&id).await, Flowed::Over(Outcome::Succeeded));
    assert_eq!(bench.last().await.summary.run_id, waiting.summary.run_id, "a place has one run");
    assert_eq!(bench.ends.there().len(), 5);
    // The page was read once more, under the number that it had.
    let read = |row: &RunRow| {
        let calls = row.attempts.iter().filter(|attempt| attempt.step == "read:customers");
        calls.map(|attempt| (attempt.call.clone(), attempt.attempt)).collect::<Vec<_>>()
    };
    let of = |call: &str, attempt| (call.to_owned(), attempt);
    assert_eq!(read(&bench.last().await), [of("0", 1), of("0", 2), of("1", 1), of("2", 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stays_away_is_a_persons_in_the_end() {
    let bench = bench(copying(Mode::Append, None), plain(0..5), Deletes::Soft).await;
    for _ in 0..1_000 {
        bench.ends.script.lock().unwrap().push_back(("write", failure("unavailable")));
    }
    let id = bench.begin().await;
    assert_eq!(bench.to_the_end(&id).await, (Outcome::DeadLettered, DELIVERY_RUNS_MAX));
    let row = bench.last().await.summary;
    assert_eq!((row.outcome, row.reason.as_deref()), (Some(Outcome::DeadLettered), Some("unavailable")));
    assert_eq!(bench.position().await, (None, None));
    // The next run is not held up by it.
    bench.ends.script.lock().unwrap().clear();
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    assert_eq!(bench.ends.there().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_time_does_not_mend_ends_it_where_it_is() {
    for name in ["read", "write"] {
        let bench = bench(copying(Mode::Append, None), plain(0..5), Deletes::Soft).await;
        assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
        bench.ends.records.lock().unwrap().push("{\"id\":5}".to_owned());
        bench.ends.script.lock().unwrap().push_back((name, failure("forbidden")));
        assert_eq!(bench.run().await, (Outcome::DeadLettered, 1), "{name}");
        assert_eq!(bench.last().await.summary.reason.as_deref(), Some("forbidden"), "{name}");
        assert_eq!(bench.position().await, (None, Some("5".to_owned())), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_asks_for_patience_is_waited_for() {
    let bench = bench(copying(Mode::Replace, None), plain(0..5), Deletes::Hard).await;
    *bench.ends.again_after_ms.lock().unwrap() = Some(60_000);
    let id = bench.begin().await;
    let Flowed::Waits(until) = bench.turn(&id).await else { panic!("it does not wait") };
    assert_eq!(bench.position().await, (Some("2".to_owned()), None));
    bench.setting.clock.advance(until.since(bench.setting.clock.now()));
    assert_eq!(bench.turn(&id).await, Flowed::Over(Outcome::Succeeded));
    assert_eq!(bench.asked(), [Position::Start, next("2"), next("4")], "it goes on in the same read");
    assert_eq!(bench.ends.completed.lock().unwrap().len(), 1);
    assert_eq!(bench.output().await["records"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_checkpoint_stops_it_or_begins_anew() {
    for restarts in [false, true] {
        let bench =
            bench_of(copying(Mode::Upsert, None), plain(0..3), (Deletes::Soft, 100_000, restarts)).await;
        assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
        bench.asked();
        bench.ends.script.lock().unwrap().push_back(("read", failure("position-expired")));
        let checkpoint = Position::Checkpoint("3".to_owned());
        if restarts {
            assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
            assert_eq!(bench.asked(), [checkpoint, Position::Start, next("2")]);
            assert_eq!(bench.ends.there().len(), 6);
        } else {
            assert_eq!(bench.run().await, (Outcome::DeadLettered, 1));
            assert_eq!(bench.last().await.summary.reason.as_deref(), Some("position-expired"));
            assert_eq!(bench.asked(), [checkpoint]);
            assert_eq!(bench.position().await, (None, Some("3".to_owned())));
        }
    }
}

/// What is counted twice would let more be removed than may: a run that replaces does not begin anew, the next one does.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_place_within_a_read() {
    for (mode, outcome) in [(Mode::Upsert, Outcome::Succeeded), (Mode::Replace, Outcome::DeadLettered)] {
        let bench = bench(copying(mode, None), plain(0..5), Deletes::Hard).await;
        *bench.ends.again_after_ms.lock().unwrap() = Some(60_000);
        let id = bench.begin().await;
        assert!(matches!(bench.turn(&id).await, Flowed::Waits(_)));
        bench.ends.script.lock().unwrap().push_back(("read", failure("position-expired")));
        bench.setting.clock.advance(std::time::Duration::from_secs(61));
        bench.asked();
        assert_eq!(bench.to_the_end(&id).await.0, outcome);
        if mode == Mode::Upsert {
            assert_eq!(bench.asked(), [next("2"), Position::Start, next("2"), next("4")]);
            continue;
        }
        assert_eq!(bench.last().await.summary.reason.as_deref(), Some("position-expired"));
        assert!(bench.ends.completed.lock().unwrap().is_empty());
        assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
        assert_eq!(*bench.ends.completed.lock().unwrap(), [(2, Some(0))], "of five, a tenth");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_page_is_several_batches_of_whole_lines() {
    let large = |id: u64| format!("{{\"id\":{id},\"pad\":\"{}\"}}", "x".repeat(3 << 20));
    let mut ends = Ends::new((0..5).map(large));
    ends.records
        .lock()
        .unwrap()
        .insert(2, format!("{{\"id\":9,\"pad\":\"{}\"}}", "x".repeat(BATCH_BYTES_MAX)));
    ends.page = 10;
    let bench = bench(copying(Mode::Append, None), ends, Deletes::Soft).await;
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    let arrived = bench.arrived();
    let sizes: Vec<_> = arrived.iter().map(|batch| batch.records.lines().count()).collect();
    assert_eq!(sizes, [2, 2, 1]);
    assert!(arrived.iter().all(|batch| batch.records.len() <= BATCH_BYTES_MAX));
    let refused = refused(&*bench.store).await;
    assert_eq!((refused.len(), refused[0].by.as_str(), refused[0].kind.as_str()), (1, "size", "too-large"));
    // Of a large one a part is kept, and how large it was.
    assert_eq!(
        refused[0].record.as_ref().unwrap().len(),
        portcullis_store::limits::REJECTED_RECORD_BYTES_MAX
    );
    assert!(refused[0].record_bytes > BATCH_BYTES_MAX as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_such_a_flow_go_one_behind_the_other() {
    let bench = bench(copying(Mode::Append, None), plain(0..5), Deletes::Soft).await;
    let (first, second) = (bench.begin().await, bench.begin().await);
    bench.ends.script.lock().unwrap().push_back(("write", limited(60_000)));
    let Flowed::Waits(until) = bench.turn(&first).await else { panic!("it does not wait") };
    bench.setting.clock.advance(until.since(bench.setting.clock.now()));
    assert!(bench.engine.flow(&second, None).await.is_err(), "one is before it");
    assert_eq!(bench.to_the_end(&first).await.0, Outcome::Succeeded);
    assert_eq!(bench.to_the_end(&second).await, (Outcome::Succeeded, 1));
    assert_eq!(bench.ends.there().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_says_something_else_now_is_not_gone_on_with() {
    let bench = bench(copying(Mode::Append, None), plain(0..5), Deletes::Soft).await;
    let id = bench.begin().await;
    bench.ends.script.lock().unwrap().push_back(("write", limited(60_000)));
    assert!(matches!(bench.turn(&id).await, Flowed::Waits(_)));
    // As where so many processes ended under it: a person has it tried by the steps that there are now.
    bench.setting.clock.advance(std::time::Duration::from_secs(61));
    for _ in 0..portcullis_store::limits::INTERRUPTED_RUNS_MAX {
        bench.store.take_flow_run(&id, bench.setting.clock.now()).await.unwrap();
        bench.store.close_interrupted(bench.setting.clock.now()).await.unwrap();
    }
    let now = bench.setting.clock.now();
    let steps = copying(Mode::Upsert, None).stored_steps();
    assert!(bench.store.decide_flow_run(&id, Some(&steps), now).await.unwrap());
    assert_eq!(bench.turn(&id).await, Flowed::Over(Outcome::DeadLettered));
    let row = bench.store.run(&id).await.unwrap().unwrap().summary;
    assert_eq!(row.reason.as_deref(), Some("flow-changed"));
    // Until it is given up, nobody else reads the stream.
    let other = bench.begin().await;
    assert!(matches!(bench.turn(&other).await, Flowed::Waits(_)));
    assert!(bench.store.decide_flow_run(&id, None, now).await.unwrap());
    bench.setting.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(bench.to_the_end(&other).await.0, Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_a_persons() {
    let with = |change: fn(&mut crate::SyncStep)| {
        let mut step = copy(Mode::Append, None);
        let crate::Work::Sync(work) = &mut step.work else { panic!() };
        change(work);
        flow("copy", vec![step])
    };
    let check = async |there: Flow, expected: &str| {
        let bench = bench(there, plain(0..1), Deletes::Soft).await;
        let id = bench.begin().await;
        assert_eq!(bench.to_the_end(&id).await.0, Outcome::DeadLettered, "{expected}");
        let row = bench.store.run(&id).await.unwrap().unwrap().summary;
        assert_eq!(row.reason.as_deref(), Some("not-found"), "{expected}");
        assert!(row.detail.unwrap().contains(expected), "{expected}");
        assert!(bench.asked().is_empty());
    };
    check(with(|work| work.streams = vec!["orders".to_owned()]), "`billing` has no stream `orders`").await;
    // One that is not there, or not approved, may come.
    let there = with(|work| work.destination = "elsewhere".to_owned());
    let bench = bench(there, plain(0..1), Deletes::Soft).await;
    let id = bench.begin().await;
    assert!(matches!(bench.turn(&id).await, Flowed::Waits(_)));
}

/// What is committed is told by its page: a later failure puts none of it in doubt, whatever may not be sent again.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_not_committed_is_in_doubt() {
    let sending = async |repeatable| {
        let bench = bench(copying(Mode::Append, None), plain(0..5), Deletes::Soft).await;
        *bench.ends.intents.lock().unwrap() = Some((Arc::clone(&bench.store), repeatable));
        bench
    };
    let over = async |bench: &Bench, kind: &str| {
        bench.ends.script.lock().unwrap().push_back(("write", failure(kind)));
        let id = bench.begin().await;
        bench.turn(&id).await
    };
    // Three batches, each with its answer.
    let bench = sending(false).await;
    assert_eq!(bench.run().await, (Outcome::Succeeded, 1));
    bench.ends.records.lock().unwrap().push("{\"id\":5}".to_owned());
    bench.ends.script.lock().unwrap().push_back(("read", failure("forbidden")));
    assert_eq!(bench.run().await.0, Outcome::DeadLettered);
    // An answer that says no: nothing is in doubt.
    assert_eq!(over(&bench, "forbidden").await, Flowed::Over(Outcome::DeadLettered));
    // No answer, and it may not be sent again: a person asks the vendor, and it is not repeated.
    let arrived = bench.arrived().len();
    assert_eq!(over(&bench, "timeout").await, Flowed::Over(Outcome::Unknown));
    assert_eq!(bench.arrived().len(), arrived);
    assert_eq!(bench.last().await.summary.reason.as_deref(), Some("unproven-effect"));
    // Under a key it is sent again.
    let bench = sending(true).await;
    assert_eq!(over(&bench, "timeout").await, Flowed::Over(Outcome::Succeeded));
    assert_eq!(bench.ends.there().len(), 5);
}
