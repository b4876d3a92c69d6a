//! Runs over a scripted caller and a real store.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Answer, FileSink, Page, PageSink, Position, ReadOptions, ResumableFileSink, Schema,
    simulation::world::{self, CONNECTION, One, Scripted, failure, report},
};
use portcullis_clock::{SeededClock, SeededRandom};
use portcullis_store::{FileMark, RunFilter};
use std::io;

mod handed;
mod moved;
mod turns;

struct Bench {
    engine: Engine,
    store: Arc<dyn Store>,
    caller: Arc<Scripted>,
    clock: SeededClock,
    folder: tempfile::TempDir,
}

async fn bench(answers: impl IntoIterator<Item = CallReport>) -> Bench {
    bench_of(answers, |_| {}).await
}

/// With a connection that is other than usual.
async fn bench_of(
    answers: impl IntoIterator<Item = CallReport>,
    change: impl FnOnce(&mut ConnectionFacts),
) -> Bench {
    let (folder, clock) = (tempfile::tempdir().unwrap(), SeededClock::default());
    let store: Arc<dyn Store> = world::store(folder.path(), &clock).await;
    let id = store.connection_id(CONNECTION, "acme/stripe").await.unwrap();
    let caller = Scripted::new(answers);
    let mut facts = Arc::unwrap_or_clone(world::facts(id, false));
    change(&mut facts);
    let connections = Arc::new(One(Arc::new(facts)));
    let (port, random) = (Arc::clone(&caller) as Arc<dyn Caller>, Arc::new(SeededRandom::new(1)));
    let engine = Engine::new(Arc::clone(&store), port, connections, Arc::new(clock.clone()), random);
    Bench { engine, store, caller, clock, folder }
}

fn done(output: &str) -> CallReport {
    report(Ok(Answer::Done(output.to_owned())))
}

fn page(records: &str, next: Option<&str>) -> Page {
    let count = records.lines().count() as u64;
    Page { records: records.as_bytes().to_vec(), count, next: next.map(str::to_owned), ..Page::default() }
}

impl Bench {
    async fn call(&self, input: &str) -> Result<RunReport, EngineError> {
        let call = self.engine.call(CONNECTION, "create", input, CallOptions::default());
        // A script that is over hangs: a call that should not have been made must fail, not stay.
        tokio::time::timeout(Duration::from_secs(20), call).await.expect("the call ends")
    }

    async fn read(&self, options: ReadOptions) -> RunReport {
        let mut sink = FileSink::new(&self.folder.path().join("out"));
        self.engine.read(CONNECTION, "customers", options, &mut sink).await.unwrap()
    }

    async fn runs(&self) -> usize {
        self.store.runs(RunFilter::default()).await.unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_run_with_input_and_output() {
    let bench = bench([done("{\"id\":1}")]).await;
    let options = CallOptions { correlation_id: Some("mine".to_owned()), cancelled: None };
    let report = bench.engine.call(CONNECTION, "create", "{\"a\":1}", options).await.unwrap();
    assert_eq!((report.outcome, report.output.as_deref()), (Outcome::Succeeded, Some("{\"id\":1}")));
    let run = bench.store.run(&report.run_id).await.unwrap().unwrap();
    assert_eq!(run.summary.correlation_id, "mine");
    assert_eq!((run.input.as_deref(), run.output.as_deref()), (Some("{\"a\":1}"), Some("{\"id\":1}")));
    assert_eq!((run.steps[0].step.as_str(), run.summary.counts.requests), ("call:create", 1));
    assert_eq!((run.attempts.len(), run.attempts[0].requests), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_before_there_is_a_run() {
    let bench = bench([]).await;
    let Err(EngineError::InvalidInput { faults, .. }) = bench.call("{\"a\":\"x\"}").await else { panic!() };
    assert_eq!(faults[0].pointer, "/a");
    assert!(matches!(bench.call("{").await, Err(EngineError::InvalidInput { .. })));
    let large = "x".repeat(crate::limits::INPUT_BYTES_MAX + 1);
    assert!(matches!(bench.call(&large).await, Err(EngineError::InputTooLarge { .. })));
    let other = bench.engine.call(CONNECTION, "creat", "{}", CallOptions::default()).await;
    assert!(matches!(other, Err(EngineError::NoSuchAction { known, .. }) if known == ["create"]));
    let other = bench.engine.check("none", CallOptions::default()).await;
    assert!(matches!(other, Err(EngineError::Refused { .. })));
    assert_eq!(bench.runs().await, 0);
    assert!(bench.caller.asked.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_of_calls() {
    let check = async |answers: Vec<CallReport>, outcome, reason: Option<&str>| {
        let bench = bench(answers).await;
        let report = bench.call("{}").await.unwrap();
        assert_eq!((report.outcome, report.reason.as_deref()), (outcome, reason));
        let row = bench.store.run(&report.run_id).await.unwrap().unwrap().summary;
        assert_eq!(
            (row.outcome, row.reason.as_deref(), row.retry_at),
            (Some(outcome), reason, report.retry_at)
        );
        report
    };
    let limited = |ms| Failure { retry_after_ms: Some(ms), ..failure("rate-limited") };
    let drifted = check(vec![done("{\"no\":1}")], Outcome::Succeeded, Some("contract-drift")).await;
    assert_eq!(drifted.drift.len(), 1);
    check(vec![report(Err(failure("not-found")))], Outcome::Failed, Some("not-found")).await;
    let later = check(vec![report(Err(limited(60_000)))], Outcome::Failed, Some("rate-limited")).await;
    assert_eq!(later.retry_at.unwrap().to_string(), "2026-01-01T00:01:00.000Z");
    check(vec![report(Err(limited(9_000))), done("{\"id\":1}")], Outcome::Succeeded, None).await;
    let unproven = CallReport { unproven_effect: true, ..report(Err(failure("timeout"))) };
    check(vec![unproven, done("{\"id\":1}")], Outcome::Unknown, Some("unproven-effect")).await;
    let pending = Answer::Pending { resume: "1".to_owned(), after_ms: 1 };
    check(vec![report(Ok(pending))], Outcome::Failed, Some("unsupported")).await;
    check(vec![report(Ok(Answer::Checked))], Outcome::Failed, Some("internal")).await;
    let gone = || report(Err(failure("unavailable")));
    check(vec![gone(), gone(), gone(), done("{\"id\":1}")], Outcome::Failed, Some("unavailable")).await;
    check(vec![gone(), gone(), done("{\"id\":1}")], Outcome::Succeeded, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_ends_as_cancelled() {
    let bench = bench([]).await;
    let (cancel, cancelled) = watch::channel(false);
    let options = CallOptions { correlation_id: None, cancelled: Some(cancelled) };
    let (report, ()) = tokio::join!(bench.engine.call(CONNECTION, "create", "{}", options), async {
        while bench.caller.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.send(true).unwrap();
    });
    let report = report.unwrap();
    assert_eq!((report.outcome, report.reason.as_deref()), (Outcome::Cancelled, Some("cancelled")));
    assert_eq!(
        bench.store.run(&report.run_id).await.unwrap().unwrap().summary.outcome,
        Some(Outcome::Cancelled)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_discover_are_runs() {
    let bench = bench([report(Ok(Answer::Checked)), report(Ok(Answer::Streams(vec![])))]).await;
    let checked = bench.engine.check(CONNECTION, CallOptions::default()).await.unwrap();
    let found = bench.engine.discover(CONNECTION, CallOptions::default()).await.unwrap();
    assert_eq!((checked.outcome, found.outcome), (Outcome::Succeeded, Outcome::Succeeded));
    assert_eq!(bench.runs().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_without_a_name_begins_at_the_start_and_stores_no_position() {
    let pages =
        || [page("{}\n{}\n", Some("a")), page("{}\n", None)].map(|page| report(Ok(Answer::Page(page))));
    let bench = bench(pages().into_iter().chain(pages())).await;
    for _ in 0..2 {
        let report = bench.read(ReadOptions::default()).await;
        assert_eq!((report.outcome, report.pages, report.records), (Outcome::Succeeded, 2, 3));
    }
    let asked: Vec<_> = bench
        .caller
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|(call, _, operation)| {
            let Operation::Read { position, .. } = operation else { panic!() };
            (call.clone(), position.clone())
        })
        .collect();
    let one = [("0".to_owned(), Position::Start), ("1".to_owned(), Position::Next("a".to_owned()))];
    assert_eq!(asked, [one.clone(), one].concat());
    assert_eq!(std::fs::read(bench.folder.path().join("out")).unwrap(), b"{}\n{}\n{}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_repeated_in_its_place_after_a_short_wait() {
    let limited = Failure { retry_after_ms: Some(2_000), ..failure("rate-limited") };
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    let first = report(Ok(Answer::Page(page("{}\n", Some("a")))));
    let bench = bench([first, report(Err(limited)), report(Ok(Answer::Page(page("{}\n", None))))]).await;
    let progress: Arc<dyn Fn(crate::Progress) + Send + Sync> =
        Arc::new(move |progress| seen.lock().unwrap().push((progress.pages, progress.waiting)));
    let report = bench.read(ReadOptions { progress: Some(progress), ..ReadOptions::default() }).await;
    assert_eq!((report.outcome, report.records, report.requests), (Outcome::Succeeded, 2, 3));
    assert_eq!(bench.clock.slept(), Duration::from_secs(2));
    let calls: Vec<_> = bench
        .caller
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|(call, attempt, _)| (call.clone(), *attempt))
        .collect();
    assert_eq!(calls, [("0".to_owned(), 1), ("1".to_owned(), 1), ("1".to_owned(), 2)]);
    let pause = Some(Duration::from_secs(2));
    assert_eq!(*told.lock().unwrap(), [(1, None), (1, pause), (2, None)]);
    let run = bench.store.run(&report.run_id).await.unwrap().unwrap();
    let attempts: Vec<_> = run.attempts.iter().map(|attempt| attempt.outcome.unwrap()).collect();
    assert_eq!(attempts, [Outcome::Succeeded, Outcome::Failed, Outcome::Succeeded]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_ends_at_its_time_limit_and_leaves_no_file() {
    let polls = (0..1000)
        .map(|_| report(Ok(Answer::Page(Page { again_after_ms: Some(9_000), ..page("", Some("a")) }))));
    let bench = bench(polls).await;
    let time_max = Some(Duration::from_secs(60));
    let report = bench.read(ReadOptions { time_max, ..ReadOptions::default() }).await;
    assert_eq!((report.outcome, report.reason.as_deref()), (Outcome::Failed, Some("timeout")));
    assert_eq!(report.pages, 7);
    assert!(!bench.folder.path().join("out").exists());
}

/// Standard output, as the binary has it, that breaks when told.
struct Pipe(bool);

#[async_trait::async_trait]
impl PageSink for Pipe {
    async fn open(&mut self, _mark: Option<&FileMark>) -> io::Result<Option<FileMark>> {
        Ok(None)
    }
    async fn write(&mut self, _records: Vec<u8>) -> io::Result<Option<FileMark>> {
        if self.0 { Err(io::Error::from(io::ErrorKind::BrokenPipe)) } else { Ok(None) }
    }
    async fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
    async fn discard(&mut self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_moves_only_behind_what_was_written() {
    let pages = |n: usize| (0..n).map(|n| report(Ok(Answer::Page(page("{}\n", Some(&n.to_string()))))));
    let bench = bench(pages(1).chain([report(Err(failure("not-found")))]).chain(pages(9).skip(1))).await;
    let resume = || ReadOptions { resume: Some("r".to_owned()), ..ReadOptions::default() };
    let stopped = bench.engine.read(CONNECTION, "customers", resume(), &mut Pipe(false)).await.unwrap();
    assert_eq!((stopped.outcome, stopped.pages), (Outcome::Failed, 1));
    let broken = bench.engine.read(CONNECTION, "customers", resume(), &mut Pipe(true)).await.unwrap();
    assert_eq!((broken.outcome, broken.reason.as_deref()), (Outcome::Failed, Some("sink")));
    let key = portcullis_store::PositionKey {
        connection_id: bench.store.connection_id(CONNECTION, "acme/stripe").await.unwrap(),
        reader: "r".to_owned(),
        stream: "customers".to_owned(),
        position_version: 1,
    };
    let position = bench.store.place(&key).await.unwrap().position.unwrap();
    assert_eq!((position.next.as_deref(), position.records), (Some("0"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_does_not_fit_stops_a_validated_read_before_its_page() {
    let unfit = || page("{\"id\":2}\n{\"id\":\"s3cret\"}\n", Some("b"));
    let pages = [page("{\"id\":1}\n", Some("a")), unfit(), unfit(), page("", None)];
    let bench = bench(pages.map(|page| report(Ok(Answer::Page(page))))).await;
    let options = || ReadOptions { resume: Some("r".to_owned()), ..ReadOptions::default() };
    let mut file = ResumableFileSink::new(&bench.folder.path().join("kept"));
    let validated = ReadOptions { validate: true, ..options() };
    let stopped = bench.engine.read(CONNECTION, "customers", validated, &mut file).await.unwrap();
    assert_eq!((stopped.outcome, stopped.reason.as_deref()), (Outcome::Failed, Some("contract-drift")));
    assert_eq!((stopped.pages, stopped.records), (1, 1));
    let message = stopped.failure.unwrap().message;
    assert_eq!(
        message,
        "record 2 of the page is not what the schema of `customers` says: `/id`: value is not of type \"integer\""
    );
    let kept = || std::fs::read_to_string(bench.folder.path().join("kept")).unwrap();
    assert_eq!(kept(), "{\"id\":1}\n");
    // Without a look at them it goes on from where it stopped, and takes them as they are.
    let read = bench.engine.read(CONNECTION, "customers", options(), &mut file).await.unwrap();
    assert_eq!((read.outcome, kept().lines().count()), (Outcome::Succeeded, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_schema_of_the_manifest_describes_is_not_validated_by_another() {
    let bench = bench_of([report(Ok(Answer::Page(page("{}\n", None))))], |facts| {
        facts.streams = [(crate::ANY_NAME.to_owned(), world::stream("{}"))].into();
    })
    .await;
    let read = async |validate| {
        let options = ReadOptions { validate, ..ReadOptions::default() };
        bench.engine.read(CONNECTION, "tickets", options, &mut Pipe(false)).await
    };
    let refused = read(true).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "the manifest of `billing` has no schema of the stream `tickets`: the config names it"
    );
    assert_eq!(read(false).await.unwrap().outcome, Outcome::Succeeded);
    assert_eq!(bench.runs().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_none_is_found_before_the_run() {
    let bench = bench_of([], |facts| {
        facts.streams = [("customers".to_owned(), world::stream("{\"type\":5}"))].into();
    })
    .await;
    let options = ReadOptions { validate: true, ..ReadOptions::default() };
    let refused = bench.engine.read(CONNECTION, "customers", options, &mut Pipe(false)).await;
    assert!(matches!(refused, Err(EngineError::Schema { .. })));
    assert_eq!(bench.runs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_keeps_to_its_kind_of_output() {
    let bench = bench([report(Ok(Answer::Page(page("{}\n", None))))]).await;
    let resume = || ReadOptions { resume: Some("r".to_owned()), ..ReadOptions::default() };
    let path = bench.folder.path().join("kept");
    let mut file = ResumableFileSink::new(&path);
    bench.engine.read(CONNECTION, "customers", resume(), &mut file).await.unwrap();
    let refused = bench.engine.read(CONNECTION, "customers", resume(), &mut Pipe(false)).await;
    assert!(matches!(refused, Err(EngineError::ReaderHasFile { .. })));
    std::fs::write(&path, "").unwrap();
    let refused = bench.engine.read(CONNECTION, "customers", resume(), &mut file).await;
    assert!(matches!(refused, Err(EngineError::Sink(_))));
    assert_eq!(bench.runs().await, 1);
}

#[test]
fn a_name_of_the_config_is_one_that_a_manifest_could_have() {
    let mut facts = Arc::unwrap_or_clone(world::facts("conn_1".to_owned(), false));
    assert!(facts.action("create").is_some() && facts.stream("customers").is_some());
    assert!(facts.action("create-ticket").is_none() && facts.stream("tickets").is_none());
    let any = facts.actions["create"].clone();
    facts.actions.insert(crate::ANY_NAME.to_owned(), any);
    facts.streams.insert(crate::ANY_NAME.to_owned(), world::stream("{}"));
    for name in ["create-ticket", "v1.tickets_open", "7"] {
        assert!(facts.action(name).is_some() && facts.stream(name).is_some(), "{name}");
    }
    let long = "a".repeat(129);
    for name in ["", "-a", ".", "../a", "a/b", "a b", "é", long.as_str()] {
        assert!(facts.action(name).is_none() && facts.stream(name).is_none(), "{name}");
    }
}

/// Answers as scripted, and from then on the run is cancelled.
struct Cancels(Arc<Scripted>, watch::Sender<bool>);

#[async_trait::async_trait]
impl Caller for Cancels {
    async fn call(&self, request: crate::CallRequest) -> CallReport {
        let report = self.0.call(request).await;
        self.1.send_replace(true);
        report
    }
}

/// Each text is held against two thousand schemas, a fraction of a millisecond, and fits the last one: nothing ends it early.
fn slow_schema() -> Schema {
    let misfits = world::two_thousand(MISFIT);
    Schema::new(format!(r#"{{"type":["array","null"],"items":{{"anyOf":[{misfits},{{}}]}}}}"#))
}

/// The same work for a record.
fn slow_record() -> String {
    let misfits = world::two_thousand(MISFIT);
    format!(r#"{{"type":"object","properties":{{"a":{{"anyOf":[{misfits},{{}}]}}}}}}"#)
}

/// Records of many times the time that a test waits for the work to end.
fn slow_lines() -> String {
    format!("{{\"a\":\"{}\"}}\n", "a".repeat(40)).repeat(600_000)
}

const MISFIT: &str = r#"{"minLength":1000}"#;

fn slow(texts: usize) -> String {
    format!("[{}\"\"]", format!("\"{}\",", "a".repeat(40)).repeat(texts))
}

fn cancelled() -> CallOptions {
    CallOptions { cancelled: Some(watch::channel(true).1), ..CallOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_wait_for_schema_work_on_an_input() {
    let bench = bench_of([], |facts| {
        facts.actions.get_mut("create").unwrap().input = slow_schema();
    })
    .await;
    let called = bench.engine.call(CONNECTION, "create", &slow(10_000), cancelled()).await;
    assert!(matches!(&called, Err(EngineError::Cancelled(what)) if what.contains("create")), "{called:?}");
    assert_eq!(bench.runs().await, 0);
}

/// After the call it would cost the answer, and what the vendor did for it.
#[tokio::test]
async fn an_output_schema_that_is_none_is_found_before_the_call() {
    let bench = bench_of([done("{}")], |facts| {
        facts.actions.get_mut("create").unwrap().output = Schema::new(r#"{"type":"strin"}"#);
    })
    .await;
    let called = bench.engine.call(CONNECTION, "create", "{}", CallOptions::default()).await;
    assert!(matches!(called, Err(EngineError::Schema { .. })), "{called:?}");
    assert!(bench.caller.asked.lock().unwrap().is_empty());
    assert_eq!(bench.runs().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_wait_for_schema_work_on_an_output_and_keeps_the_answer() {
    let mut bench = bench_of([done(&slow(10_000))], |facts| {
        facts.actions.get_mut("create").unwrap().output = slow_schema();
    })
    .await;
    let (cancel, receiver) = watch::channel(false);
    bench.engine.caller = Arc::new(Cancels(bench.caller.clone(), cancel));
    let options = CallOptions { cancelled: Some(receiver), ..CallOptions::default() };
    let report = bench.engine.call(CONNECTION, "create", "{}", options).await.unwrap();
    assert_eq!((report.outcome, report.reason.as_deref()), (Outcome::Succeeded, Some("not-judged")));
    assert!(report.output.is_some());
    let drift: Vec<_> = report.drift.iter().map(|fault| (&*fault.pointer, &*fault.message)).collect();
    assert_eq!(
        drift,
        [("", "the run was cancelled")],
        "nobody looked at it, and it does not pass for looked at"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_wait_for_schema_work_on_records_and_the_work() {
    let turns = crate::SchemaWork::default();
    let lines = slow_lines();
    let mut bench = bench_of([report(Ok(Answer::Page(page(&lines, None))))], |facts| {
        facts.streams.insert("customers".to_owned(), world::stream(&slow_record()));
        facts.schema_work = turns.clone();
    })
    .await;
    let (cancel, receiver) = watch::channel(false);
    bench.engine.caller = Arc::new(Cancels(bench.caller.clone(), cancel));
    let read =
        bench.read(ReadOptions { validate: true, cancelled: Some(receiver), ..ReadOptions::default() }).await;
    assert_eq!((read.outcome, read.records), (Outcome::Cancelled, 0));
    let free = async {
        while turns.0.available_permits() < crate::limits::SCHEMA_WORK_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), free)
        .await
        .expect("the work is told that nobody waits for it");
}

/// A read has its end, whatever it does then: the work is told, and what it did not get to is no page.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_read_comes_while_its_records_are_held_against_the_schema() {
    let turns = crate::SchemaWork::default();
    let bench = bench_of([report(Ok(Answer::Page(page(&slow_lines(), None))))], |facts| {
        facts.streams.insert("customers".to_owned(), world::stream(&slow_record()));
        facts.schema_work = turns.clone();
    })
    .await;
    let busy = || turns.0.available_permits() < crate::limits::SCHEMA_WORK_MAX;
    let late = async {
        // The schema is compiled in a turn as well, before the caller is asked.
        while bench.caller.asked.lock().unwrap().is_empty() || !busy() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.clock.advance(crate::limits::READ_TIME_MAX * 2);
    };
    let read = bench.read(ReadOptions { validate: true, ..ReadOptions::default() });
    let soon = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(read, late).0 });
    let read = soon.await.expect("the work is told that the read is over");
    assert_eq!(read.failure.as_ref().map(|failure| failure.kind.as_str()), Some("timeout"), "{read:?}");
    assert_eq!(read.records, 0);
}

/// The work is on its way, whoever waits for it or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_ends_the_wait_for_a_schema_that_is_slow_to_compile() {
    // Large ones, and none that a manifest may not have.
    let pattern = |n: usize| format!("\"p{n}\":{{\"pattern\":\"^(?:\\\\w{{{n}}}x){{60}}$\"}}");
    let patterns: Vec<_> = (2..20).map(pattern).collect();
    let schema = format!("{{\"properties\":{{{}}}}}", patterns.join(","));
    Schema::new(&*schema).compile_in_time().expect("a manifest may hold it");
    let bench = bench_of([], |facts| {
        facts.streams.insert("customers".to_owned(), world::stream(&schema));
    })
    .await;
    let mut sink = FileSink::new(&bench.folder.path().join("out"));
    let options =
        ReadOptions { validate: true, cancelled: Some(watch::channel(true).1), ..ReadOptions::default() };
    let read = bench.engine.read(CONNECTION, "customers", options, &mut sink).await;
    assert!(matches!(&read, Err(EngineError::Cancelled(what)) if what.contains("customers")), "{read:?}");
    assert_eq!(bench.runs().await, 0);
}
