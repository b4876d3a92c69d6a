//! What every store promises, whatever it is made of. An implementation passes when `conformance` does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::{
    AttemptEnd, AuditFilter, Effects, FileMark, IntentEnd, IntentKey, MovedState, NewAttempt, NewIntent,
    NewMark, NewPosition, NewRun, Outcome, PageCommit, Place, Position, PositionKey, PriorIntent, RunEnd,
    RunFilter, RunKind, StateSpace, StateWrite, Store, StoreError,
    limits::{
        POSITION_BYTES_MAX, RUN_JSON_BYTES_MAX, STATE_BYTES_MAX, STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX,
    },
};
use portcullis_clock::Timestamp;

mod deliveries;
mod flows;
pub(crate) mod syncs;

/// Runs everything, each part on a store of its own.
pub(crate) async fn conformance<S: Store, F: Future<Output = S>>(make: impl Fn() -> F) {
    connections(&make().await).await;
    runs(&make().await).await;
    what_is_over_stays_over(&make().await).await;
    listings(&make().await).await;
    intents(&make().await).await;
    deliveries::conformance(&make).await;
    flows::conformance(&make).await;
    syncs::conformance(&make).await;
    interrupted(&make().await).await;
    secret_uses(&make().await).await;
    positions(&make().await).await;
    position_versions(&make().await).await;
    a_moved_position(&make().await).await;
    state(&make().await).await;
    state_versions(&make().await).await;
    state_is_taken_over(&make().await).await;
    state_quota(&make().await).await;
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

pub(crate) fn new_run(id: &str, kind: RunKind) -> NewRun {
    NewRun {
        run_id: id.to_owned(),
        kind,
        connection: "billing".to_owned(),
        connection_id: "conn_1".to_owned(),
        connector: "acme/stripe".to_owned(),
        version: "1.0.0".to_owned(),
        digest: "sha256:00".to_owned(),
        correlation_id: format!("corr-{id}"),
        subject: "customers".to_owned(),
        input: Some("{\"a\":1.10}".to_owned()),
        parent: None,
        started_at: at(1000),
    }
}

pub(crate) fn new_attempt(id: &str, call: &str, attempt: u32) -> NewAttempt {
    let (step, call) = ("s".to_owned(), call.to_owned());
    NewAttempt { run_id: id.to_owned(), step, call, attempt, started_at: at(1001) }
}

pub(crate) fn attempt_end(id: &str, call: &str, attempt: u32) -> AttemptEnd {
    AttemptEnd {
        run_id: id.to_owned(),
        step: "s".to_owned(),
        call: call.to_owned(),
        attempt,
        outcome: Outcome::Succeeded,
        error_kind: None,
        detail: None,
        requests: 2,
        ended_at: at(1002),
    }
}

pub(crate) fn run_end(outcome: Outcome) -> RunEnd {
    RunEnd {
        outcome,
        suspicious: false,
        reason: None,
        error_kind: None,
        detail: None,
        output: Some("[]".to_owned()),
        retry_at: None,
        requests: 3,
        delivery: None,
        ended_at: at(2000),
    }
}

pub(crate) fn key(run: &str, ordinal: u32) -> IntentKey {
    IntentKey { run_id: run.to_owned(), step: "s".to_owned(), call: "0".to_owned(), ordinal }
}

pub(crate) fn new_intent(run: &str, ordinal: u32, hash: &str, idempotency_key: Option<&str>) -> NewIntent {
    NewIntent {
        key: key(run, ordinal),
        method: "POST".to_owned(),
        url: "https://api.example/v1/things".to_owned(),
        request_hash: hash.to_owned(),
        idempotency_key: idempotency_key.map(str::to_owned),
        repeatable: idempotency_key.is_some(),
        started_at: at(1003),
    }
}

pub(crate) fn intent_end(proven: bool, refused: bool) -> IntentEnd {
    // A text that says the opposite: nothing is read out of it.
    let outcome = if refused { "status 200" } else { "status 404" };
    IntentEnd { proven, refused, outcome: outcome.to_owned() }
}

async fn begin(store: &impl Store, id: &str, kind: RunKind) {
    store.begin_run(new_run(id, kind), new_attempt(id, "0", 1)).await.unwrap();
}

async fn connections(store: &impl Store) {
    let billing = store.connection_id("billing", "acme/stripe").await.unwrap();
    assert!(billing.starts_with("conn_"));
    assert_eq!(store.connection_id("billing", "acme/stripe").await.unwrap(), billing);
    assert_ne!(store.connection_id("other", "acme/stripe").await.unwrap(), billing);
    // Another connector under the same name must not meet the former's state.
    let replaced = store.connection_id("billing", "evil/stripe").await.unwrap();
    assert_ne!(replaced, billing);
    let back = store.connection_id("billing", "acme/stripe").await.unwrap();
    assert!(back != billing && back != replaced, "an id is never used again");
}

async fn runs(store: &impl Store) {
    begin(store, "run_1", RunKind::Call).await;
    let open = store.run("run_1").await.unwrap().unwrap();
    assert_eq!((open.summary.outcome, open.summary.ended_at), (None, None));
    assert_eq!(open.input.as_deref(), Some("{\"a\":1.10}"));
    assert_eq!((open.steps.len(), open.attempts.len()), (1, 1));

    store.end_attempt(attempt_end("run_1", "0", 1)).await.unwrap();
    store.begin_attempt(new_attempt("run_1", "0", 2)).await.unwrap();
    let end = RunEnd { reason: Some("why".to_owned()), retry_at: Some(at(9)), ..run_end(Outcome::Failed) };
    store.end_run("run_1", end).await.unwrap();
    let run = store.run("run_1").await.unwrap().unwrap();
    assert_eq!(run.summary.outcome, Some(Outcome::Failed));
    assert_eq!((run.summary.ended_at, run.summary.retry_at), (Some(at(2000)), Some(at(9))));
    assert_eq!((run.summary.reason.as_deref(), run.output.as_deref()), (Some("why"), Some("[]")));
    assert_eq!(run.summary.counts.requests, 3);
    let outcomes: Vec<_> = run.attempts.iter().map(|attempt| (attempt.attempt, attempt.outcome)).collect();
    assert_eq!(outcomes, [(1, Some(Outcome::Succeeded)), (2, Some(Outcome::Failed))]);
    assert_eq!((run.steps[0].outcome, run.steps[0].attempts), (Some(Outcome::Failed), 2));
    assert!(store.run("run_2").await.unwrap().is_none());

    let large = Some("x".repeat(RUN_JSON_BYTES_MAX + 1));
    let refused = store
        .begin_run(NewRun { input: large, ..new_run("run_3", RunKind::Call) }, new_attempt("run_3", "0", 1));
    assert!(matches!(refused.await, Err(StoreError::TooLarge { .. })));
}

async fn what_is_over_stays_over(store: &impl Store) {
    begin(store, "run_1", RunKind::Call).await;
    // The same run, or the same attempt, does not begin twice.
    assert!(store.begin_run(new_run("run_1", RunKind::Call), new_attempt("run_1", "0", 1)).await.is_err());
    assert!(store.begin_attempt(new_attempt("run_1", "0", 1)).await.is_err());
    store.end_run("run_1", run_end(Outcome::Succeeded)).await.unwrap();
    fn conflict<T>(result: Result<T, StoreError>) -> bool {
        matches!(result, Err(StoreError::Conflict { .. }))
    }
    assert!(conflict(store.end_run("run_1", run_end(Outcome::Failed)).await));
    assert!(conflict(store.begin_attempt(new_attempt("run_1", "0", 2)).await));
    assert!(conflict(store.end_attempt(attempt_end("run_1", "0", 1)).await));
    assert!(conflict(store.begin_intent(new_intent("run_1", 0, "h", None)).await));
    let commit = PageCommit {
        attempt: attempt_end("run_1", "0", 1),
        next_attempt: None,
        records: 1,
        position: None,
        sync: None,
    };
    assert!(conflict(store.commit_page(commit).await));
    assert!(conflict(store.end_run("run_unheard_of", run_end(Outcome::Failed)).await));
    assert_eq!(store.run("run_1").await.unwrap().unwrap().summary.outcome, Some(Outcome::Succeeded));
}

async fn listings(store: &impl Store) {
    let kinds =
        [RunKind::Call, RunKind::Read, RunKind::Check, RunKind::Discover, RunKind::Deliver, RunKind::Write];
    for (n, kind) in (1..).zip(kinds) {
        begin(store, &format!("run_{n}"), kind).await;
    }
    store.end_run("run_2", run_end(Outcome::Unknown)).await.unwrap();
    let check = async |filter: RunFilter, expected: &[&str]| {
        let found = store.runs(filter.clone()).await.unwrap();
        assert_eq!(found.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    check(RunFilter::default(), &["run_6", "run_5", "run_4", "run_3", "run_2", "run_1"]).await;
    check(RunFilter { limit: 2, ..RunFilter::default() }, &["run_6", "run_5"]).await;
    check(RunFilter { outcome: Some(Outcome::Unknown), ..RunFilter::default() }, &["run_2"]).await;
    check(RunFilter { open: true, ..RunFilter::default() }, &["run_6", "run_5", "run_4", "run_3", "run_1"])
        .await;
    check(RunFilter { kind: Some(RunKind::Check), ..RunFilter::default() }, &["run_3"]).await;
    check(RunFilter { kind: Some(RunKind::Write), ..RunFilter::default() }, &["run_6"]).await;
    check(RunFilter { correlation_id: Some("corr-run_1".into()), ..RunFilter::default() }, &["run_1"]).await;
    check(RunFilter { connection: Some("none".into()), ..RunFilter::default() }, &[]).await;
    check(RunFilter { since: Some(at(1001)), ..RunFilter::default() }, &[]).await;
}

async fn intents(store: &impl Store) {
    begin(store, "run_1", RunKind::Call).await;
    assert_eq!(store.effects("run_1").await.unwrap(), Effects::default());
    assert_eq!(store.begin_intent(new_intent("run_1", 0, "h", Some("k"))).await.unwrap(), PriorIntent::New);
    let effects = store.effects("run_1").await.unwrap();
    assert_eq!(effects, Effects { unproven: true, possible: true, unrepeatable: false });
    // The stored key holds against another one; other bytes are refused.
    let same =
        |refused| PriorIntent::Same { idempotency_key: Some("k".to_owned()), started_at: at(1003), refused };
    let later = NewIntent { started_at: at(9999), ..new_intent("run_1", 0, "h", Some("other")) };
    assert_eq!(store.begin_intent(later.clone()).await.unwrap(), same(false));
    assert_eq!(
        store.begin_intent(new_intent("run_1", 0, "g", Some("k"))).await.unwrap(),
        PriorIntent::Different
    );
    let put = NewIntent { method: "PUT".to_owned(), ..new_intent("run_1", 0, "h", Some("k")) };
    assert_eq!(store.begin_intent(put).await.unwrap(), PriorIntent::Different);

    store.end_intent(key("run_1", 0), intent_end(true, true), at(1004)).await.unwrap();
    assert_eq!(store.effects("run_1").await.unwrap(), Effects::default());
    // It leaves once more: in doubt again, and counted from the first time.
    assert_eq!(store.begin_intent(later.clone()).await.unwrap(), same(true));
    assert!(store.effects("run_1").await.unwrap().unproven);
    assert_eq!(store.begin_intent(later).await.unwrap(), same(false));
    store.end_intent(key("run_1", 0), intent_end(true, false), at(1005)).await.unwrap();
    let effects = store.effects("run_1").await.unwrap();
    assert_eq!(effects, Effects { unproven: false, possible: true, unrepeatable: false });
    store.begin_intent(new_intent("run_1", 1, "h", None)).await.unwrap();
    assert!(store.effects("run_1").await.unwrap().unrepeatable);
    assert!(matches!(
        store.end_intent(key("run_1", 7), intent_end(true, false), at(1)).await,
        Err(StoreError::NotFound { .. })
    ));
    let run = store.run("run_1").await.unwrap().unwrap();
    assert_eq!((run.intents.len(), run.steps[0].intents), (2, 2));
    assert_eq!((run.intents[0].proven, run.intents[0].outcome.as_deref()), (true, Some("status 404")));
}

async fn interrupted(store: &impl Store) {
    use Outcome::{Failed, Unknown};
    let ends = [
        ("run_none", vec![], Failed, "interrupted"),
        ("run_open", vec![None], Unknown, "unproven-effect"),
        ("run_lost", vec![Some(intent_end(false, false))], Unknown, "unproven-effect"),
        ("run_refused", vec![Some(intent_end(true, true))], Failed, "interrupted"),
        // The vendor did it, and the run never came to say so.
        ("run_done", vec![Some(intent_end(true, false))], Unknown, "possible-effect"),
        (
            "run_mixed",
            vec![Some(intent_end(true, true)), Some(intent_end(true, false))],
            Unknown,
            "possible-effect",
        ),
        // A refusal that is not proven is none.
        ("run_odd", vec![Some(intent_end(false, true))], Unknown, "unproven-effect"),
    ];
    for (run, intents, ..) in &ends {
        begin(store, run, RunKind::Call).await;
        for (ordinal, end) in (0..).zip(intents) {
            store.begin_intent(new_intent(run, ordinal, "h", Some("k"))).await.unwrap();
            if let Some(end) = end {
                store.end_intent(key(run, ordinal), end.clone(), at(1004)).await.unwrap();
            }
        }
    }
    begin(store, "run_over", RunKind::Read).await;
    store.end_run("run_over", run_end(Outcome::Succeeded)).await.unwrap();
    let closed = store.close_interrupted(at(5000)).await.unwrap();
    let found: Vec<_> = closed.iter().map(|run| (run.run_id.as_str(), run.outcome)).collect();
    assert_eq!(found, ends.each_ref().map(|(run, _, outcome, _)| (*run, *outcome)));
    for (run, _, outcome, reason) in ends {
        let row = store.run(run).await.unwrap().unwrap();
        assert_eq!(
            (row.summary.outcome, row.summary.reason.as_deref()),
            (Some(outcome), Some(reason)),
            "{run}"
        );
        assert_eq!(row.summary.error_kind.as_deref(), Some("interrupted"));
        assert!(row.summary.detail.is_some());
        assert_eq!(row.summary.ended_at, Some(at(5000)));
        assert_eq!((row.steps[0].outcome, row.attempts[0].outcome), (Some(outcome), Some(outcome)));
    }
    assert_eq!(store.run("run_over").await.unwrap().unwrap().summary.outcome, Some(Outcome::Succeeded));
    assert!(store.close_interrupted(at(6000)).await.unwrap().is_empty());
}

async fn secret_uses(store: &impl Store) {
    begin(store, "run_1", RunKind::Call).await;
    for _ in 0..3 {
        store.record_secret_use("run_1", "s", "stripe-live", "http[0].allow[0]", at(7)).await.unwrap();
    }
    store.record_secret_use("run_1", "s", "stripe-live", "http[0].allow[1]", at(8)).await.unwrap();
    let of_run = AuditFilter { subject: Some("run_1".to_owned()), ..AuditFilter::default() };
    let rows = store.audit_rows(of_run.clone()).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.requests).collect::<Vec<_>>(), [None, None], "known at the end");
    store.end_run("run_1", run_end(Outcome::Succeeded)).await.unwrap();
    store.audit("approve", "billing", "{}", at(9)).await.unwrap();
    let rows = store.audit_rows(of_run).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.at, row.requests)).collect::<Vec<_>>(),
        [(at(8), Some(1)), (at(7), Some(3))]
    );
    assert!(rows[1].detail.contains("stripe-live") && rows[1].kind == "secret-use");
    let approvals = AuditFilter { kind: Some("approve".to_owned()), ..AuditFilter::default() };
    assert_eq!(store.audit_rows(approvals).await.unwrap().len(), 1);
}

async fn positions(store: &impl Store) {
    let connection_id = store.connection_id("billing", "acme/stripe").await.unwrap();
    let key = position_key(connection_id, 1);
    let mark = |length| Some(FileMark { path: "/out".to_owned(), length, tail: length.to_string() });
    let page = |call: u64, records, new: NewMark| PageCommit {
        attempt: attempt_end("run_1", &call.to_string(), 1),
        next_attempt: new.next.is_some().then(|| new_attempt("run_1", &(call + 1).to_string(), 1)),
        records,
        position: Some((key.clone(), new)),
        sync: None,
    };
    assert_eq!(store.place(&key).await.unwrap(), Place::default());
    store
        .begin_position(NewPosition { key: key.clone(), file: mark(0), moved: None, at: at(5) })
        .await
        .unwrap();
    // Until a page was read with it, it may begin otherwise.
    let again = NewPosition { key: key.clone(), file: mark(0), moved: None, at: at(5) };
    store.begin_position(again.clone()).await.unwrap();
    assert!(!store.place(&key).await.unwrap().position.unwrap().read);
    begin(store, "run_1", RunKind::Read).await;
    let first = NewMark { next: Some("n1".into()), checkpoint: Some("c1".into()), file: mark(10) };
    store.commit_page(page(0, 2, first.clone())).await.unwrap();
    let place = store.place(&key).await.unwrap();
    let found = place.position.unwrap();
    assert_eq!((found.next.as_deref(), found.checkpoint.as_deref()), (Some("n1"), Some("c1")));
    assert_eq!((place.file, found.records, found.updated_at), (mark(10), 2, at(1002)));
    assert!(found.read);
    let twice = NewPosition { file: mark(10), ..again };
    assert!(matches!(store.begin_position(twice).await, Err(StoreError::Conflict { .. })));

    // A page is committed once, and whole: the second try moves nothing.
    assert!(store.commit_page(page(0, 2, first)).await.is_err());
    // Nor does a page that would forget what is durable in the file.
    let behind = NewMark { next: None, checkpoint: None, file: mark(9) };
    assert!(matches!(store.commit_page(page(1, 5, behind)).await, Err(StoreError::Conflict { .. })));
    let run = store.run("run_1").await.unwrap().unwrap();
    assert_eq!((run.summary.counts.pages, run.summary.counts.records), (1, 2));
    assert_eq!(
        run.attempts.iter().map(|attempt| attempt.outcome.is_some()).collect::<Vec<_>>(),
        [true, false]
    );

    let last = NewMark { next: None, checkpoint: None, file: mark(30) };
    store.commit_page(page(1, 3, last)).await.unwrap();
    let found = store.place(&key).await.unwrap().position.unwrap();
    assert_eq!((found.next, found.checkpoint.as_deref(), found.records), (None, Some("c1"), 5));
    let other = PositionKey { reader: "other".to_owned(), ..key.clone() };
    assert_eq!(store.place(&other).await.unwrap(), Place::default());
    // A reader that begins anew counts on; another one is not touched.
    store.reset_position(&PositionKey { reader: "another".to_owned(), ..key.clone() }).await.unwrap();
    assert_eq!(store.place(&key).await.unwrap().position.unwrap().checkpoint.as_deref(), Some("c1"));
    store.reset_position(&key).await.unwrap();
    let found = store.place(&key).await.unwrap().position.unwrap();
    assert_eq!((found.next, found.checkpoint, found.records), (None, None, 5));
}

fn position_key(connection_id: String, position_version: u32) -> PositionKey {
    let (reader, stream) = ("nightly".to_owned(), "customers".to_owned());
    PositionKey { connection_id, reader, stream, position_version }
}

async fn position_versions(store: &impl Store) {
    let connection_id = store.connection_id("billing", "acme/stripe").await.unwrap();
    let key = |version| position_key(connection_id.clone(), version);
    let mark = |length| Some(FileMark { path: "/out".to_owned(), length, tail: length.to_string() });
    let read = async |version, run: &str, next: Option<&str>, length| {
        if store.place(&key(version)).await.unwrap().position.is_none() {
            let first = NewPosition { key: key(version), file: mark(length), moved: None, at: at(5) };
            store.begin_position(first).await.unwrap();
        }
        begin(store, run, RunKind::Read).await;
        let new =
            NewMark { next: next.map(str::to_owned), checkpoint: Some(run.to_owned()), file: mark(length) };
        let (attempt, position) = (attempt_end(run, "0", 1), Some((key(version), new)));
        store.commit_page(PageCommit { attempt, next_attempt: None, records: 1, position, sync: None }).await
    };
    read(1, "run_1", Some("n1"), 10).await.unwrap();
    // Another version begins empty, behind what the file holds.
    let place = store.place(&key(2)).await.unwrap();
    assert_eq!((place.position, place.file, place.other_versions), (None, mark(10), vec![1]));
    // Its file may not forget what the first one wrote, not even before a page.
    let behind = NewPosition { key: key(2), file: mark(9), moved: None, at: at(5) };
    assert!(matches!(store.begin_position(behind).await, Err(StoreError::Conflict { .. })));
    let elsewhere = NewPosition { key: key(2), file: None, moved: None, at: at(5) };
    assert!(matches!(store.begin_position(elsewhere).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.place(&key(2)).await.unwrap().position, None);
    read(2, "run_2", Some("n2"), 20).await.unwrap();
    // Going back finds the old position, and the file as long as it is now.
    let place = store.place(&key(1)).await.unwrap();
    let position = place.position.unwrap();
    assert_eq!((position.next.as_deref(), position.checkpoint.as_deref()), (Some("n1"), Some("run_1")));
    assert_eq!((position.records, place.file, place.other_versions), (1, mark(20), vec![2]));
    let behind = read(1, "run_3", None, 19).await;
    assert!(matches!(behind, Err(StoreError::Conflict { .. })), "behind what version 2 wrote");
    assert_eq!(store.place(&key(1)).await.unwrap().position.unwrap().next.as_deref(), Some("n1"));
    read(1, "run_4", None, 30).await.unwrap();
    let place = store.place(&key(2)).await.unwrap();
    assert_eq!((place.position.unwrap().next.as_deref(), place.file), (Some("n2"), mark(30)));
}

async fn a_moved_position(store: &impl Store) {
    let connection_id = store.connection_id("billing", "acme/stripe").await.unwrap();
    let key = |version| position_key(connection_id.clone(), version);
    let mark = Some(FileMark { path: "/out".to_owned(), length: 10, tail: "10".to_owned() });
    let first = NewPosition { key: key(1), file: mark.clone(), moved: None, at: at(5) };
    store.begin_position(first).await.unwrap();
    let moved = |next: &str| Position {
        next: Some(next.to_owned()),
        checkpoint: Some("c".to_owned()),
        records: 7,
        read: false,
        updated_at: at(6),
    };
    let new =
        |next: &str| NewPosition { key: key(2), file: mark.clone(), moved: Some(moved(next)), at: at(6) };
    let large = store.begin_position(new(&"x".repeat(POSITION_BYTES_MAX + 1))).await;
    assert!(matches!(large, Err(StoreError::TooLarge { .. })));
    assert_eq!(store.place(&key(2)).await.unwrap().position, None);
    store.begin_position(new("n")).await.unwrap();
    let place = store.place(&key(2)).await.unwrap();
    assert_eq!((place.position, place.file, place.other_versions), (Some(moved("n")), mark.clone(), vec![1]));
    // Anew, until a page is read with it; what was read is not forgotten, and the old one is as it was.
    store.begin_position(new("m")).await.unwrap();
    assert_eq!(store.place(&key(2)).await.unwrap().position, Some(moved("m")));
    begin(store, "run_1", RunKind::Read).await;
    let read = NewMark { next: Some("m2".to_owned()), checkpoint: None, file: mark.clone() };
    let (attempt, position) = (attempt_end("run_1", "0", 1), Some((key(2), read)));
    store
        .commit_page(PageCommit { attempt, next_attempt: None, records: 1, position, sync: None })
        .await
        .unwrap();
    assert!(matches!(store.begin_position(new("n")).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.place(&key(1)).await.unwrap().position.unwrap().checkpoint, None);
}

async fn space(store: &impl Store, connection: &str, position_version: u32) -> StateSpace {
    let connection_id = store.connection_id(connection, "acme/stripe").await.unwrap();
    StateSpace { connection_id, position_version }
}

async fn state(store: &impl Store) {
    let a = space(store, "a", 1).await;
    let b = space(store, "b", 1).await;
    assert_eq!(store.state_set(&a, "k", vec![0, 255], Some(0)).await.unwrap(), StateWrite::Stored(1));
    assert_eq!(store.state_set(&a, "k", vec![1], Some(0)).await.unwrap(), StateWrite::Conflict(1));
    assert_eq!(store.state_set(&a, "k", vec![1], Some(7)).await.unwrap(), StateWrite::Conflict(1));
    assert_eq!(store.state_get(&a, "k").await.unwrap().unwrap().value, [0, 255]);
    assert_eq!(store.state_get(&b, "k").await.unwrap(), None, "another connection's");
    assert_eq!(store.state_set(&a, "k", vec![2], Some(1)).await.unwrap(), StateWrite::Stored(2));
    assert_eq!(store.state_set(&a, "k", vec![3], None).await.unwrap(), StateWrite::Stored(3));
    assert!(store.state_delete(&a, "k").await.unwrap());
    assert!(!store.state_delete(&a, "k").await.unwrap());
    // A stale holder of version 1 must not take the new value for its own.
    assert_eq!(store.state_set(&a, "k", vec![4], Some(0)).await.unwrap(), StateWrite::Stored(4));

    let invalid = |write| matches!(write, StateWrite::Invalid(_));
    assert!(invalid(store.state_set(&a, "", vec![], None).await.unwrap()));
    assert!(invalid(store.state_set(&a, "a\0b", vec![], None).await.unwrap()));
    assert!(invalid(store.state_set(&a, &"k".repeat(STATE_KEY_BYTES_MAX + 1), vec![], None).await.unwrap()));
    let large = store.state_set(&a, "large", vec![0; STATE_VALUE_BYTES_MAX + 1], None).await.unwrap();
    assert_eq!(large, StateWrite::TooLarge(STATE_VALUE_BYTES_MAX as u64));

    for key in ["p/1", "p/2", "p/3", "p", "q", "p/ü", "P/4"] {
        store.state_set(&b, key, vec![], None).await.unwrap();
    }
    assert_eq!(store.state_list(&b, "p/", None, 10).await.unwrap(), ["p/1", "p/2", "p/3", "p/ü"]);
    assert_eq!(store.state_list(&b, "p/", Some("p/1"), 2).await.unwrap(), ["p/2", "p/3"]);
    assert_eq!(store.state_list(&b, "", None, 2).await.unwrap(), ["P/4", "p"]);
    assert!(store.state_list(&b, "%", None, 10).await.unwrap().is_empty());
}

async fn state_versions(store: &impl Store) {
    let (one, two) = (space(store, "a", 1).await, space(store, "a", 2).await);
    assert!(store.state_versions(&one.connection_id).await.unwrap().is_empty());
    assert_eq!(store.state_set(&one, "k", vec![1], Some(0)).await.unwrap(), StateWrite::Stored(1));
    assert_eq!(store.state_get(&two, "k").await.unwrap(), None, "another version begins empty");
    assert!(store.state_list(&two, "", None, 10).await.unwrap().is_empty());
    assert!(!store.state_delete(&two, "k").await.unwrap());
    assert_eq!(store.state_set(&two, "k", vec![2], Some(0)).await.unwrap(), StateWrite::Stored(2));
    assert_eq!(store.state_set(&two, "k", vec![3], None).await.unwrap(), StateWrite::Stored(3));
    assert_eq!(store.state_versions(&one.connection_id).await.unwrap(), [1, 2]);
    assert!(store.state_delete(&two, "k").await.unwrap());
    // Going back finds the old value.
    assert_eq!(store.state_get(&one, "k").await.unwrap().unwrap().value, [1]);
    assert_eq!(store.state_list(&one, "", None, 10).await.unwrap(), ["k"]);
}

async fn state_is_taken_over(store: &impl Store) {
    let one = space(store, "a", 1).await;
    let version = |position_version| StateSpace { position_version, ..one.clone() };
    let of = |position_version, values: &[(&str, usize)]| MovedState {
        space: version(position_version),
        from_version: 1,
        values: values.iter().map(|(key, bytes)| ((*key).to_owned(), vec![2; *bytes])).collect(),
    };
    for n in 0..40 {
        let write =
            store.state_set(&one, &format!("k{n:02}"), vec![1; STATE_VALUE_BYTES_MAX], None).await.unwrap();
        assert!(matches!(write, StateWrite::Stored(_)), "{n}");
    }
    // What is one too large, or too many with the old ones, leaves nothing of all of them.
    let large = of(2, &[("a", 1), ("b", STATE_VALUE_BYTES_MAX + 1)]);
    assert!(matches!(store.take_state_over(large).await, Err(StoreError::TooLarge { .. })));
    let keys: Vec<String> = (0..24).map(|n| format!("k{n:02}")).collect();
    let many: Vec<_> = keys.iter().map(|key| (key.as_str(), STATE_VALUE_BYTES_MAX)).collect();
    let refused = store.take_state_over(of(2, &many)).await.unwrap_err().to_string();
    assert!(refused.contains("together with the older values"), "{refused}");
    let twice = store.take_state_over(of(2, &[("a", 1), ("a", 1)])).await;
    assert!(matches!(twice, Err(StoreError::Conflict { .. })));
    assert_eq!(store.state_versions(&one.connection_id).await.unwrap(), [1]);
    assert!(store.state_list(&version(2), "", None, 10).await.unwrap().is_empty());

    store.take_state_over(of(2, &[("a", 1), ("b", 2)])).await.unwrap();
    assert_eq!(store.state_list(&version(2), "", None, 10).await.unwrap(), ["a", "b"]);
    assert_eq!(store.state_get(&version(2), "b").await.unwrap().unwrap().value, [2, 2]);
    // Once, also where nothing was kept, and where what was is gone again.
    store.take_state_over(of(2, &[("c", 1)])).await.unwrap();
    for key in ["a", "b"] {
        assert!(store.state_delete(&version(2), key).await.unwrap());
    }
    store.take_state_over(of(2, &[("c", 1)])).await.unwrap();
    store.take_state_over(of(3, &[])).await.unwrap();
    store.take_state_over(of(3, &[("c", 1)])).await.unwrap();
    for position_version in [2, 3] {
        assert!(store.state_list(&version(position_version), "", None, 10).await.unwrap().is_empty());
    }
    assert_eq!(store.state_versions(&one.connection_id).await.unwrap(), [1, 2, 3]);
    // The old ones are as they were.
    assert_eq!(store.state_list(&one, "", None, 100).await.unwrap().len(), 40);
    assert_eq!(store.state_get(&one, "k00").await.unwrap().unwrap().value, vec![1; STATE_VALUE_BYTES_MAX]);
}

async fn state_quota(store: &impl Store) {
    let a = space(store, "a", 1).await;
    let fit = STATE_BYTES_MAX / (STATE_VALUE_BYTES_MAX as u64 + 3);
    for n in 0..fit {
        let write =
            store.state_set(&a, &format!("k{n:02}"), vec![0; STATE_VALUE_BYTES_MAX], None).await.unwrap();
        assert!(matches!(write, StateWrite::Stored(_)), "{n}");
    }
    let over = store.state_set(&a, "k99", vec![0; STATE_VALUE_BYTES_MAX], None).await.unwrap();
    assert_eq!(over, StateWrite::Quota(STATE_BYTES_MAX));
    // What replaces does not count twice, and what is gone does not count.
    let same = store.state_set(&a, "k00", vec![1; STATE_VALUE_BYTES_MAX], None).await.unwrap();
    assert!(matches!(same, StateWrite::Stored(_)));
    assert!(store.state_delete(&a, "k01").await.unwrap());
    // What another version left is counted along.
    let other = StateSpace { position_version: 2, ..a.clone() };
    let fits = store.state_set(&a, "k99", vec![0; STATE_VALUE_BYTES_MAX], None).await.unwrap();
    assert!(matches!(fits, StateWrite::Stored(_)));
    let over = store.state_set(&other, "k00", vec![0; STATE_VALUE_BYTES_MAX], None).await.unwrap();
    assert_eq!(over, StateWrite::Quota(STATE_BYTES_MAX));
}
