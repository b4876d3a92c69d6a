//! What a connector is handed: deliveries, batches and the end of a complete read.
use super::*;
use crate::{Batch, Delivery, Event, Handled, Mode, Rejected, Reply, Schema, WriteOptions};

fn delivery() -> Delivery {
    Delivery {
        id: "d1".to_owned(),
        method: "POST".to_owned(),
        path: "/hooks/orders".to_owned(),
        query: "token=s3cret".to_owned(),
        headers: vec![("x-signature".to_owned(), b"s3cret".to_vec())],
        body: b"{\"email\":\"s3cret\"}".to_vec(),
    }
}

fn handled() -> Handled {
    let event = |name: &str, id: Option<&str>, payload: &str| Event {
        name: name.to_owned(),
        id: id.map(str::to_owned),
        payload: payload.to_owned(),
    };
    let reply = Reply { status: 202, headers: vec![("x-a".to_owned(), b"b".to_vec())], body: vec![0xff] };
    Handled {
        events: vec![event("a", Some("e1"), "{\"n\": 1.10}"), event("\"b\"", None, "[]")],
        reply: Some(reply),
    }
}

fn write() -> WriteOptions {
    WriteOptions {
        mode: Mode::Append,
        primary_key: Vec::new(),
        schema: None,
        generation: 3,
        complete: None,
        dry_run: false,
    }
}

const RECORDS: &[u8] = b"{\"id\":1}\n{\"id\":2}\n";

fn rejected(lines: &[u32]) -> CallReport {
    let rejected = |line: &u32| Rejected { line: *line, error: failure("invalid-input") };
    report(Ok(Answer::Rejected(lines.iter().map(rejected).collect())))
}

impl Bench {
    async fn deliver(&self) -> RunReport {
        self.deliver_dry(false).await
    }

    async fn deliver_dry(&self, dry_run: bool) -> RunReport {
        let deliver = self.engine.deliver(CONNECTION, delivery(), dry_run, CallOptions::default());
        tokio::time::timeout(Duration::from_secs(20), deliver).await.expect("it ends").unwrap()
    }

    async fn write(&self, stream: &str, write: WriteOptions) -> Result<RunReport, EngineError> {
        let write = self.engine.write(CONNECTION, stream, RECORDS.to_vec(), write, CallOptions::default());
        tokio::time::timeout(Duration::from_secs(20), write).await.expect("it ends")
    }

    fn asked(&self) -> Vec<(String, u32, Operation)> {
        self.caller.asked.lock().unwrap().clone()
    }

    fn batch(&self, at: usize) -> Batch {
        match self.asked().swap_remove(at).2 {
            Operation::Write(batch) => batch,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_a_run_and_what_it_held_is_its_output() {
    let bench = bench([report(Ok(Answer::Handled(handled())))]).await;
    let done = bench.deliver().await;
    assert_eq!((done.outcome, done.handled), (Outcome::Succeeded, Some(handled())));
    let output = r#"{"events":[{"name":"a","id":"e1","payload":{"n": 1.10}},{"name":"\"b\"","id":null,"payload":[]}],"reply":{"status":202,"headers":[["x-a","b"]],"body-base64":"/w=="}}"#;
    assert_eq!(done.output.as_deref(), Some(output));
    assert_eq!(bench.asked(), [("0".to_owned(), 1, Operation::Handle(delivery()))]);
    let row = bench.store.run(&done.run_id).await.unwrap().unwrap();
    let (kind, subject) = (row.summary.kind.as_str(), row.summary.subject.as_str());
    assert_eq!((kind, subject, row.steps[0].step.as_str()), ("deliver", "d1", "deliver:d1"));
    assert_eq!(row.output.as_deref(), Some(output));
    // What it was is kept, and nothing that may be a secret.
    let input = row.input.unwrap();
    assert!(input.contains("/hooks/orders") && input.contains("\"body-bytes\":18"), "{input}");
    assert!(!input.contains("s3cret"), "{input}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_comes_again_only_where_nothing_can_happen_twice() {
    let gone = || report(Err(failure("unavailable")));
    let harmless = bench([gone(), gone(), report(Ok(Answer::Handled(Handled::default())))]).await;
    assert_eq!((harmless.deliver().await.outcome, harmless.asked().len()), (Outcome::Succeeded, 3));
    let effect = CallReport { unproven_effect: true, ..gone() };
    let harmful = bench([effect, report(Ok(Answer::Handled(Handled::default())))]).await;
    assert_eq!((harmful.deliver().await.outcome, harmful.asked().len()), (Outcome::Unknown, 1));
    for wrong in [Answer::Checked, Answer::Rejected(Vec::new()), Answer::Done("{}".to_owned())] {
        let other = bench([report(Ok(wrong))]).await;
        assert_eq!(other.deliver().await.reason.as_deref(), Some("internal"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_at_a_batch_repeats_its_id_and_its_bytes() {
    let lost = || CallReport { unproven_effect: true, ..report(Err(failure("unavailable"))) };
    let bench = bench([lost(), lost(), rejected(&[]), rejected(&[])]).await;
    let done = bench.write("customers", write()).await.unwrap();
    assert_eq!((done.outcome, done.reason), (Outcome::Succeeded, None));
    let asked = bench.asked();
    assert_eq!(asked.iter().map(|(_, attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((&asked[0].2, &asked[0].0), (&asked[1].2, &asked[1].0));
    assert_eq!(asked[0].2, asked[2].2);
    let batch = bench.batch(0);
    assert_eq!((batch.records.as_slice(), batch.generation), (RECORDS, 3));
    assert_eq!(done.written.unwrap().batch_id, batch.id);
    // The same bytes in another run are another batch, and so is each other part of what makes it.
    bench.write("customers", write()).await.unwrap();
    assert_ne!(bench.batch(3).id, batch.id);
    let id = super::super::write::batch_id;
    assert_eq!(id(&done.run_id, "customers", 0, RECORDS), batch.id);
    for other in [
        id("run_2", "customers", 0, RECORDS),
        id(&done.run_id, "customer", 0, RECORDS),
        id(&done.run_id, "customers", 1, RECORDS),
        id(&done.run_id, "customers", 0, b"{}"),
        id(&format!("{}c", done.run_id), "ustomers", 0, RECORDS),
    ] {
        assert_ne!(other, batch.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_lines_are_told_and_stored_and_nothing_is_removed_then() {
    let bench = bench([rejected(&[1])]).await;
    let done = bench.write("customers", WriteOptions { complete: Some(None), ..write() }).await.unwrap();
    assert_eq!((done.outcome, done.reason.as_deref()), (Outcome::Succeeded, Some("rejected-lines")));
    let written = done.written.unwrap();
    assert_eq!((written.lines, written.rejected.len(), written.removed), (2, 1, None));
    assert_eq!(bench.asked().len(), 1, "`complete` is not called");
    let row = bench.store.run(&done.run_id).await.unwrap().unwrap();
    assert_eq!(row.summary.reason.as_deref(), Some("rejected-lines"));
    let (input, output) = (row.input.unwrap(), row.output.unwrap());
    assert!(output.contains(r#""line":2"#) && output.contains("as scripted"), "{output}");
    assert!(!input.contains("\"id\":1") && input.contains("\"lines\":2"), "{input}");
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_comes_after_the_batch_and_is_of_the_same_run() {
    let options = || WriteOptions { complete: Some(Some(9)), ..write() };
    let removed = bench([rejected(&[]), report(Ok(Answer::Removed(4)))]).await;
    let done = removed.write("customers", options()).await.unwrap();
    assert_eq!((done.outcome, done.written.unwrap().removed), (Outcome::Succeeded, Some(4)));
    let complete =
        Operation::Complete { stream: "customers".to_owned(), generation: 3, removed_max: Some(9) };
    assert_eq!(removed.asked()[1], ("1".to_owned(), 1, complete));
    let row = removed.store.run(&done.run_id).await.unwrap().unwrap();
    let ended: Vec<_> = row.attempts.iter().map(|attempt| (&*attempt.call, attempt.outcome)).collect();
    assert_eq!(ended, [("0", Some(Outcome::Succeeded)), ("1", Some(Outcome::Succeeded))]);

    // What `write` left in doubt is in doubt whatever `complete` says.
    let doubt = CallReport { unproven_effect: true, ..rejected(&[]) };
    let doubtful = bench([doubt, report(Ok(Answer::Removed(0)))]).await;
    assert_eq!(doubtful.write("customers", options()).await.unwrap().outcome, Outcome::Unknown);

    let refused = bench([rejected(&[]), report(Err(failure("conflict")))]).await;
    let done = refused.write("customers", options()).await.unwrap();
    assert_eq!((done.outcome, done.reason.as_deref()), (Outcome::Failed, Some("conflict")));
    assert_eq!(done.written.unwrap().removed, None, "and what was written is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_the_description_of_its_stream() {
    let bench = bench((0..4).map(|_| rejected(&[]))).await;
    bench.write("customers", WriteOptions { mode: Mode::Upsert, ..write() }).await.unwrap();
    let stream = bench.batch(0).stream;
    assert_eq!((stream.name.as_str(), stream.primary_key), ("customers", vec!["id".to_owned()]));
    assert!(stream.schema.contains("integer"), "{}", stream.schema);
    let own = WriteOptions {
        mode: Mode::Replace,
        primary_key: vec!["n".to_owned()],
        schema: Some(Schema::new("{\"type\":\"object\"}")),
        ..write()
    };
    bench.write("customers", own).await.unwrap();
    let stream = bench.batch(1).stream;
    assert_eq!((stream.schema.as_str(), stream.primary_key), ("{\"type\":\"object\"}", vec!["n".to_owned()]));
    bench.write("orders", write()).await.unwrap();
    let stream = bench.batch(2).stream;
    assert_eq!((stream.schema.as_str(), stream.primary_key.len()), ("{}", 0), "anything goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_handed_over_is_refused_before_there_is_a_run() {
    let bench = bench_of([], |facts| (facts.has_webhook, facts.has_destination) = (false, false)).await;
    let delivered = bench.engine.deliver(CONNECTION, delivery(), false, CallOptions::default()).await;
    assert!(matches!(delivered, Err(EngineError::NoSuchRole { role: "webhook", .. })));
    let written = bench.write("customers", write()).await;
    assert!(matches!(written, Err(EngineError::NoSuchRole { role: "destination", .. })));
    let bench = super::bench([]).await;
    let keyless = bench.write("orders", WriteOptions { mode: Mode::Upsert, ..write() }).await;
    assert!(matches!(keyless, Err(EngineError::NoPrimaryKey { mode: "upsert", .. })));
    let broken = WriteOptions { schema: Some(Schema::new("{\"type\":5}")), ..write() };
    assert!(matches!(bench.write("orders", broken).await, Err(EngineError::Schema { .. })));
    for name in ["", "../a", "a b"] {
        assert!(matches!(bench.write(name, write()).await, Err(EngineError::Refused { .. })), "{name}");
    }
    let large = vec![b' '; crate::limits::BATCH_BYTES_MAX + 1];
    let written = bench.engine.write(CONNECTION, "orders", large.clone(), write(), CallOptions::default());
    assert!(matches!(written.await, Err(EngineError::InputTooLarge { .. })));
    let large = Delivery { body: large, ..delivery() };
    let delivered = bench.engine.deliver(CONNECTION, large, false, CallOptions::default()).await;
    assert!(matches!(delivered, Err(EngineError::InputTooLarge { .. })));
    assert_eq!(bench.runs().await, 0);
    assert!(bench.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_say_what_they_are_of() {
    let held = || CallReport { withheld: Withheld { requests: vec![], count: 1 }, ..rejected(&[]) };
    let bench = bench([held(), report(Ok(Answer::Handled(Handled::default())))]).await;
    let options = WriteOptions { dry_run: true, complete: Some(None), ..write() };
    let written = bench.write("customers", options).await.unwrap();
    assert_eq!((written.outcome, written.reason.as_deref()), (Outcome::DryRun, Some("withheld")));
    let delivered = bench.deliver_dry(true).await;
    assert_eq!(delivered.outcome, Outcome::DryRun);
    assert_eq!(bench.asked().len(), 2, "`complete` is not called after what was withheld");
    let runs = bench.store.runs(RunFilter::default()).await.unwrap();
    let subjects: Vec<_> = runs.iter().map(|run| (run.kind.as_str(), run.subject.as_str())).collect();
    assert_eq!(subjects, [("dry-run", "deliver d1"), ("dry-run", "write customers")]);
}
