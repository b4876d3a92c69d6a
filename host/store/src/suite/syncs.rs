//! Streams into destinations: one at a time for a reader, each page whole or not at all, generations, and what was refused.

use super::{at, attempt_end, intent_end, new_attempt, new_run, run_end};
use crate::{
    AttemptEnd, IntentKey, NewAttempt, NewIntent, NewMark, NewRejected, NewRun, NewSync, Outcome, PageCommit,
    Parent, PositionKey, RunKind, Store, StoreError, SyncPage,
    limits::{REJECTED_MESSAGE_BYTES_MAX, REJECTED_RECORD_BYTES_MAX},
};

pub(super) async fn conformance<S: Store, F: Future<Output = S>>(make: &impl Fn() -> F) {
    one_at_a_time(&make().await).await;
    generations(&make().await).await;
    a_page_is_whole(&make().await).await;
    what_a_page_tells_is_settled(&make().await).await;
    completed(&make().await).await;
    put_off(&make().await).await;
    seen_to(&make().await).await;
}

async fn key(store: &impl Store) -> PositionKey {
    PositionKey {
        connection_id: store.connection_id("billing", "acme/stripe").await.unwrap(),
        reader: "flow:copy".to_owned(),
        stream: "customers".to_owned(),
        position_version: 1,
    }
}

async fn new_sync(store: &impl Store, id: &str, from_start: bool) -> NewSync {
    let key = key(store).await;
    let parent =
        Parent { run_id: format!("{id}_flow"), flow: "copy".to_owned(), place: "1/customers".to_owned() };
    let run = NewRun {
        connection_id: key.connection_id.clone(),
        parent: Some(parent),
        ..new_run(id, RunKind::Sync)
    };
    NewSync {
        run,
        first: new_attempt(id, "0", 1),
        key,
        anew: false,
        from_start,
        destination: "warehouse".to_owned(),
        destination_id: store.connection_id("warehouse", "acme/store").await.unwrap(),
        target: "raw-customers".to_owned(),
        mode: "upsert",
    }
}

async fn begin(store: &impl Store, id: &str, from_start: bool) -> u64 {
    let new = new_sync(store, id, from_start).await;
    store.begin_sync(new).await.unwrap();
    store.sync(id).await.unwrap().unwrap().generation
}

fn write(id: &str, batch: &str) -> NewAttempt {
    NewAttempt { step: "write".to_owned(), ..new_attempt(id, batch, 1) }
}

fn written(id: &str, batch: &str) -> AttemptEnd {
    AttemptEnd { step: "write".to_owned(), ..attempt_end(id, batch, 1) }
}

fn rejected(record: &str) -> NewRejected {
    NewRejected {
        by: "destination",
        line: Some(("b0".to_owned(), 3)),
        kind: "invalid-input".to_owned(),
        message: "no".to_owned(),
        record: record.to_owned(),
    }
}

/// The page that the first attempt brought, in one batch; `next` = where the read goes on.
async fn page(store: &impl Store, id: &str, next: Option<&str>, rejected: Vec<NewRejected>) -> PageCommit {
    let mark = NewMark { next: next.map(str::to_owned), checkpoint: Some("\"c\"".to_owned()), file: None };
    PageCommit {
        attempt: attempt_end(id, "0", 1),
        next_attempt: next.is_some().then(|| new_attempt(id, "1", 1)),
        records: 5,
        position: Some((key(store).await, mark)),
        sync: Some(SyncPage {
            batches_before: 0,
            written_by: vec![written(id, "b0")],
            settled: vec![("s".to_owned(), "0".to_owned())],
            written: 3,
            living: 2,
            dropped: 1,
            rejected,
        }),
    }
}

fn is_conflict<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Conflict { .. }))
}

async fn one_at_a_time(store: &impl Store) {
    assert_eq!(begin(store, "run_1", true).await, 1);
    let second = new_sync(store, "run_2", false).await;
    assert!(is_conflict(&store.begin_sync(second.clone()).await));
    assert_eq!(store.run("run_2").await.unwrap(), None, "there is no run without its place");
    // Another reader, or another stream, is another affair.
    let mut other = new_sync(store, "run_3", false).await;
    other.key.reader = "flow:other".to_owned();
    store.begin_sync(other).await.unwrap();
    store.end_run("run_1", run_end(Outcome::Failed)).await.unwrap();
    store.begin_sync(second).await.unwrap();
    let row = store.sync("run_2").await.unwrap().unwrap();
    assert_eq!(
        (row.reader.as_str(), row.stream.as_str(), row.target.as_str()),
        ("flow:copy", "customers", "raw-customers")
    );
    assert_eq!((row.destination.as_str(), row.mode.as_str(), row.from_start), ("warehouse", "upsert", false));
    assert_eq!((row.started_at, row.is_read, row.removed), (at(1000), false, None));
    assert_eq!(store.sync("run_4").await.unwrap(), None);
}

async fn generations(store: &impl Store) {
    for (id, from_start, expected) in
        [("run_1", false, 0), ("run_2", true, 1), ("run_3", false, 1), ("run_4", true, 2)]
    {
        assert_eq!(begin(store, id, from_start).await, expected, "{id}");
        store.end_run(id, run_end(Outcome::Succeeded)).await.unwrap();
        assert_eq!(store.sync(id).await.unwrap().unwrap().generation, expected, "it stays");
    }
}

async fn a_page_is_whole(store: &impl Store) {
    begin(store, "run_1", true).await;
    store.begin_attempt(write("run_1", "b0")).await.unwrap();
    // Somebody else's figure, or a batch that nobody began: nothing of the page is there.
    let mut other = page(store, "run_1", Some("\"n\""), vec![rejected("{}")]).await;
    other.sync.as_mut().unwrap().batches_before = 1;
    assert!(is_conflict(&store.commit_page(other).await));
    let mut unknown = page(store, "run_1", Some("\"n\""), vec![rejected("{}")]).await;
    unknown.sync.as_mut().unwrap().written_by.push(written("run_1", "b1"));
    assert!(is_conflict(&store.commit_page(unknown).await));
    assert_eq!(store.place(&key(store).await).await.unwrap().position, None);
    assert!(store.rejected("run_1", 9).await.unwrap().is_empty());
    let large = "ü".repeat(REJECTED_RECORD_BYTES_MAX);
    let mut why = rejected(&large);
    why.message = "é".repeat(REJECTED_MESSAGE_BYTES_MAX);
    store
        .commit_page(page(store, "run_1", Some("\"n\""), vec![rejected("{\"a\":1.0}"), why]).await)
        .await
        .unwrap();
    let row = store.sync("run_1").await.unwrap().unwrap();
    assert_eq!((row.pages, row.records, row.batches, row.is_read), (1, 5, 1, false));
    assert_eq!((row.written, row.living, row.dropped, row.rejected, row.waiting), (3, 2, 1, 2, 2));
    let position = store.place(&key(store).await).await.unwrap().position.unwrap();
    assert_eq!((position.next.as_deref(), position.checkpoint.as_deref()), (Some("\"n\""), Some("\"c\"")));
    let rows = store.rejected("run_1", 9).await.unwrap();
    assert_eq!((rows[0].by.as_str(), rows[0].line.clone()), ("destination", Some(("b0".to_owned(), 3))));
    assert_eq!(
        (rows[0].record.as_deref(), rows[0].record_bytes, rows[0].at),
        (Some("{\"a\":1.0}"), 9, at(1002))
    );
    let (record, message) = (rows[1].record.as_deref().unwrap(), &rows[1].message);
    assert!(record.len() <= REJECTED_RECORD_BYTES_MAX && message.len() <= REJECTED_MESSAGE_BYTES_MAX);
    assert_eq!(rows[1].record_bytes, large.len() as u64);
    assert_eq!(store.rejected("run_1", 1).await.unwrap().len(), 1);
    assert_eq!(store.tried("run_1", "write", "b0").await.unwrap(), 1);
    assert_eq!(store.tried("run_1", "write", "b1").await.unwrap(), 0);
}

async fn what_a_page_tells_is_settled(store: &impl Store) {
    begin(store, "run_1", true).await;
    let intent = |step: &str, call: &str| NewIntent {
        key: IntentKey {
            run_id: "run_1".to_owned(),
            step: step.to_owned(),
            call: call.to_owned(),
            ordinal: 0,
        },
        method: "POST".to_owned(),
        url: "https://api.example/".to_owned(),
        request_hash: "h".to_owned(),
        idempotency_key: None,
        repeatable: false,
        started_at: at(1003),
    };
    store.begin_attempt(write("run_1", "b0")).await.unwrap();
    let reading = intent("s", "0");
    store.begin_intent(reading.clone()).await.unwrap();
    store.end_intent(reading.key, intent_end(true, false), at(1004)).await.unwrap();
    assert!(store.effects("run_1").await.unwrap().unrepeatable);
    store.commit_page(page(store, "run_1", Some("\"n\""), vec![]).await).await.unwrap();
    assert_eq!(store.effects("run_1").await.unwrap().reason(), None);
    // What comes later is not.
    store.begin_intent(intent("s", "1")).await.unwrap();
    assert_eq!(store.effects("run_1").await.unwrap().reason(), Some("unproven-effect"));
}

async fn completed(store: &impl Store) {
    begin(store, "run_1", true).await;
    store.begin_attempt(write("run_1", "b0")).await.unwrap();
    assert!(is_conflict(&store.complete_sync("run_1", 1, "write", "complete").await), "it is not read");
    store.commit_page(page(store, "run_1", None, vec![]).await).await.unwrap();
    assert!(store.sync("run_1").await.unwrap().unwrap().is_read);
    store.complete_sync("run_1", 7, "write", "complete").await.unwrap();
    let row = store.sync("run_1").await.unwrap().unwrap();
    assert_eq!((row.removed, row.completed_records), (Some(7), Some(2)), "what is living");
    store.end_run("run_1", run_end(Outcome::Succeeded)).await.unwrap();
    assert!(is_conflict(&store.complete_sync("run_1", 7, "write", "complete").await), "it is over");
    begin(store, "run_2", true).await;
    let row = store.sync("run_2").await.unwrap().unwrap();
    assert_eq!((row.generation, row.removed, row.completed_records), (2, None, Some(2)));
}

async fn put_off(store: &impl Store) {
    begin(store, "run_1", true).await;
    store.park_sync("run_1", at(9000), 3).await.unwrap();
    let rounds = async || store.sync("run_1").await.unwrap().unwrap().rounds;
    assert_eq!(rounds().await, 3);
    let step = store.step_run("run_1_flow", "1/customers").await.unwrap().unwrap();
    assert_eq!((step.run_id.as_str(), step.retry_at), ("run_1", Some(at(9000))));
    let resumed = store.resume_run("run_1", "s", "0", at(9001)).await.unwrap();
    assert_eq!(resumed.tried, 1);
    // A page that is written begins the count anew.
    store.begin_attempt(new_attempt("run_1", "0", 2)).await.unwrap();
    store.begin_attempt(write("run_1", "b0")).await.unwrap();
    let commit = page(store, "run_1", Some("\"n\""), vec![]).await;
    let attempt = AttemptEnd { attempt: 2, ..commit.attempt.clone() };
    store.commit_page(PageCommit { attempt, ..commit }).await.unwrap();
    assert_eq!(rounds().await, 0);
    store.end_run("run_1", run_end(Outcome::Failed)).await.unwrap();
    assert!(is_conflict(&store.park_sync("run_1", at(9000), 1).await));
}

/// Two records that could not be written, of a run that is over.
pub(crate) async fn with_rejected(store: &impl Store, record: &str) {
    begin(store, "run_1", true).await;
    store.begin_attempt(write("run_1", "b0")).await.unwrap();
    let mut why = rejected(record);
    why.message = record.to_owned();
    store.commit_page(page(store, "run_1", None, vec![rejected(record), why]).await).await.unwrap();
    store.end_run("run_1", run_end(Outcome::Succeeded)).await.unwrap();
}

/// What was refused stays until a person has seen to it, whatever its age and size.
async fn seen_to(store: &impl Store) {
    with_rejected(store, "{\"a\":1}").await;
    assert_eq!(store.prune_runs(at(i64::MAX), 0).await.unwrap(), 0);
    assert!(!store.decide_flow_run("run_9", None, at(5000)).await.unwrap());
    assert!(!store.decide_flow_run("run_1_flow", Some("[]"), at(5000)).await.unwrap(), "it is not dead");
    assert_eq!(store.sync("run_1").await.unwrap().unwrap().waiting, 2);
    assert!(store.decide_flow_run("run_1_flow", None, at(5000)).await.unwrap());
    let rows = store.rejected("run_1", 9).await.unwrap();
    assert!(rows.iter().all(|row| row.discarded && row.record.is_some()), "it is shown all the same");
    assert!(!store.decide_flow_run("run_1", None, at(5000)).await.unwrap());
    assert_eq!(store.prune_runs(at(i64::MAX), 0).await.unwrap(), 1);
    assert!(store.rejected("run_1", 9).await.unwrap().is_empty());
    assert_eq!(store.sync("run_1").await.unwrap(), None);
}
