//! Every piece of schema work waits for a turn of its connection: with all of them taken, none is done. And a connection that
//! takes long to load keeps nobody who wants to stop.
use super::*;
use crate::{Connections, Delivery, Mode, Refused, SchemaWork, WriteOptions, limits::SCHEMA_WORK_MAX};
use std::sync::Mutex;
use tokio::sync::OwnedSemaphorePermit;

async fn all_of(turns: &SchemaWork) -> OwnedSemaphorePermit {
    let all = u32::try_from(SCHEMA_WORK_MAX).unwrap();
    turns.0.clone().acquire_many_owned(all).await.unwrap()
}

/// Answers as scripted, and from then on every turn is taken.
struct Takes(Arc<Scripted>, SchemaWork, Mutex<Option<OwnedSemaphorePermit>>);

#[async_trait::async_trait]
impl Caller for Takes {
    async fn call(&self, request: crate::CallRequest) -> CallReport {
        let report = self.0.call(request).await;
        let all = all_of(&self.1).await;
        self.2.lock().unwrap().replace(all);
        report
    }
}

async fn bench_with(turns: &SchemaWork, answers: impl IntoIterator<Item = CallReport>) -> Bench {
    bench_of(answers, |facts| {
        facts.schema_work = turns.clone();
        facts.has_destination = true;
    })
    .await
}

const WAITED: &str = "the schema work of this connection that was there before takes longer than 30 s";

#[tokio::test(start_paused = true)]
async fn before_anything_is_asked() {
    let turns = SchemaWork::default();
    let _all = all_of(&turns).await;
    // Answers for those that would go on regardless: they end, and the test is red.
    let bench = bench_with(&turns, [done("{}"), done("{}"), done("{}")]).await;
    let refused = |what: &str, refused: Result<RunReport, EngineError>| {
        let Err(EngineError::Refused { message, .. }) = refused else { panic!("{what}: {refused:?}") };
        assert!(message.contains(WAITED), "{what}: {message}");
    };
    refused("input", bench.engine.call(CONNECTION, "create", "{}", CallOptions::default()).await);
    let mut sink = FileSink::new(&bench.folder.path().join("out"));
    let options = ReadOptions { validate: true, ..ReadOptions::default() };
    refused("read", bench.engine.read(CONNECTION, "customers", options, &mut sink).await);
    let written = bench.engine.write(CONNECTION, "orders", batch(), append(), CallOptions::default());
    refused("write", written.await);
    assert_eq!(bench.runs().await, 0);
}

fn batch() -> Vec<u8> {
    b"{\"id\":1}\n".to_vec()
}

fn append() -> WriteOptions {
    WriteOptions {
        mode: Mode::Append,
        primary_key: Vec::new(),
        schema: Some(Schema::new("{}")),
        generation: 3,
        complete: None,
        dry_run: false,
    }
}

fn delivery() -> Delivery {
    let [id, method, path, query] = ["d1", "POST", "/hooks", ""].map(str::to_owned);
    Delivery { id, method, path, query, headers: Vec::new(), body: Vec::new() }
}

/// Never ready.
struct Loads;

#[async_trait::async_trait]
impl Connections for Loads {
    async fn ready(&self, _: &str) -> Result<Arc<ConnectionFacts>, Refused> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_is_loaded_it_can_be_stopped() {
    let mut bench = bench([]).await;
    bench.engine.connections = Arc::new(Loads);
    let (cancel, cancelled) = watch::channel(false);
    let options = || CallOptions { correlation_id: None, cancelled: Some(cancelled.clone()) };
    let mut sink = FileSink::new(&bench.folder.path().join("out"));
    let read = ReadOptions { cancelled: Some(cancelled.clone()), ..ReadOptions::default() };
    let engine = &bench.engine;
    let runs = async {
        tokio::join!(
            engine.call(CONNECTION, "create", "{}", options()),
            engine.dry_run(CONNECTION, "create", "{}", options()),
            engine.check(CONNECTION, options()),
            engine.discover(CONNECTION, options()),
            engine.read(CONNECTION, "customers", read, &mut sink),
            engine.write(CONNECTION, "orders", batch(), append(), options()),
            engine.deliver(CONNECTION, delivery(), false, options()),
        )
    };
    let mut runs = std::pin::pin!(runs);
    assert!(tokio::time::timeout(Duration::from_secs(60), &mut runs).await.is_err(), "they wait");
    cancel.send(true).unwrap();
    let (call, dry_run, check, discover, read, write, deliver) =
        tokio::time::timeout(Duration::from_secs(60), runs).await.expect("they end");
    for stopped in [call, dry_run, check, discover, read, write, deliver] {
        let Err(EngineError::Cancelled(while_what)) = stopped else { panic!("{stopped:?}") };
        assert_eq!(while_what, format!("connection `{CONNECTION}` was made ready"));
    }
    assert_eq!(bench.runs().await, 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_answer() {
    let turns = SchemaWork::default();
    let answers = [done("{}"), report(Ok(Answer::Page(page("{\"id\":1}\n", None))))];
    let mut bench = bench_with(&turns, answers).await;
    let taken = Arc::new(Takes(bench.caller.clone(), turns, Mutex::default()));
    bench.engine.caller = Arc::clone(&taken) as Arc<dyn Caller>;
    let report = bench.engine.call(CONNECTION, "create", "{}", CallOptions::default()).await.unwrap();
    assert_eq!(report.drift.iter().map(|fault| &*fault.message).collect::<Vec<_>>(), [WAITED]);
    taken.2.lock().unwrap().take();
    let read = bench.read(ReadOptions { validate: true, ..ReadOptions::default() }).await;
    let failure = read.failure.unwrap();
    assert_eq!((failure.kind.as_str(), failure.message.as_str()), ("timeout", WAITED));
}
