//! Every piece of schema work waits for a turn of its connection: with all of them taken, none is done.
use super::*;
use crate::{Mode, SchemaWork, WriteOptions, limits::SCHEMA_WORK_MAX};
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
    let bench = bench_with(&turns, []).await;
    let refused = |what: &str, refused: Result<RunReport, EngineError>| {
        let Err(EngineError::Refused { message, .. }) = refused else { panic!("{what}: {refused:?}") };
        assert!(message.contains(WAITED), "{what}: {message}");
    };
    refused("input", bench.engine.call(CONNECTION, "create", "{}", CallOptions::default()).await);
    let mut sink = FileSink::new(&bench.folder.path().join("out"));
    let options = ReadOptions { validate: true, ..ReadOptions::default() };
    refused("read", bench.engine.read(CONNECTION, "customers", options, &mut sink).await);
    let write = WriteOptions {
        mode: Mode::Append,
        primary_key: Vec::new(),
        schema: Some(Schema::new("{}")),
        generation: 3,
        complete: None,
        dry_run: false,
    };
    let batch = b"{\"id\":1}\n".to_vec();
    refused("write", bench.engine.write(CONNECTION, "orders", batch, write, CallOptions::default()).await);
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
