//! The exchange log: order, bounds, what is dropped.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{ExchangeFilter, ExchangeReader, Mark};
use portcullis_clock::{SeededClock, Timestamp};
use std::{path::Path, time::Duration};

pub(crate) async fn open_log(data: &Path) -> ExchangeLog {
    let lock = DataLock::acquire(data, Duration::ZERO, &SeededClock::default()).await.unwrap();
    ExchangeLog::open(Arc::new(lock), Arc::new(SeededClock::default()), ALL).unwrap()
}

/// Nothing is too old.
pub(crate) const ALL: Retention = Retention { age: Duration::MAX, ..Retention::EXCHANGES };

pub(crate) fn row(n: u32) -> ExchangeRow {
    ExchangeRow {
        exchange_id: format!("exch_{n}"),
        run_id: format!("run_{}", n % 2),
        step: "s".to_owned(),
        call: "0".to_owned(),
        correlation_id: format!("corr_{}", n % 3),
        connection: "billing".to_owned(),
        connection_id: "conn_1".to_owned(),
        started_at: Timestamp::from_millis(i64::from(n)),
        duration_us: 5,
        attempt: 1,
        method: "GET".to_owned(),
        url: "https://api.example/v1".to_owned(),
        manifest_place: "http[0].allow[0]".to_owned(),
        operator_place: String::new(),
        credential: None,
        peer: Some("127.0.0.1:1".to_owned()),
        protocol: Some("HTTP/2".to_owned()),
        idempotency_key: None,
        request_headers: vec![("accept".to_owned(), "a \"quoted\" one".to_owned())],
        request_body: None,
        request_bytes: 0,
        status: Some(200 + u16::try_from(n % 100).unwrap()),
        response_headers: vec![],
        response_body: Some("{}".to_owned()),
        response_bytes: 2,
        outcome: if n == 3 { "denied" } else { "answered" }.to_owned(),
        reason: None,
        detail: None,
        remedy: None,
        echoes: 0,
        bodies_dropped: false,
    }
}

#[tokio::test]
async fn what_was_recorded_is_found_in_order() {
    let folder = tempfile::tempdir().unwrap();
    assert!(ExchangeReader::open(folder.path()).unwrap().is_none());
    let log = open_log(folder.path()).await;
    for n in 0..6 {
        log.record(row(n)).await;
    }
    log.flush().await;
    let reader = ExchangeReader::open(folder.path()).unwrap().unwrap();
    assert_eq!(reader.exchanges(&ExchangeFilter::default()).unwrap(), (0..6).map(row).collect::<Vec<_>>());
    let check = |filter: ExchangeFilter, expected: &[u32]| {
        let found = reader.exchanges(&filter).unwrap();
        assert_eq!(found, expected.iter().copied().map(row).collect::<Vec<_>>(), "{filter:?}");
    };
    let all = ExchangeFilter::default;
    check(ExchangeFilter { run_id: Some("run_1".to_owned()), ..all() }, &[1, 3, 5]);
    check(ExchangeFilter { run_id: Some("run_1".to_owned()), limit: 2, ..all() }, &[3, 5]);
    check(ExchangeFilter { correlation_id: Some("corr_0".to_owned()), ..all() }, &[0, 3]);
    check(ExchangeFilter { status: Some((201, 202)), ..all() }, &[1, 2]);
    check(ExchangeFilter { outcome: Some("denied".to_owned()), ..all() }, &[3]);
    check(ExchangeFilter { exchange_id: Some("exch_4".to_owned()), ..all() }, &[4]);
    check(ExchangeFilter { since: Some(Timestamp::from_millis(4)), ..all() }, &[4, 5]);
    check(ExchangeFilter { until: Some(Timestamp::from_millis(2)), ..all() }, &[0, 1]);
    let two = Some(Timestamp::from_millis(2));
    check(ExchangeFilter { since: two, until: Some(Timestamp::from_millis(4)), ..all() }, &[2, 3]);
    check(ExchangeFilter { connection: Some("other".to_owned()), ..all() }, &[]);
}

#[tokio::test]
async fn who_follows_sees_each_exchange_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = open_log(folder.path()).await;
    let record = async |numbers: std::ops::Range<u32>| {
        for n in numbers {
            log.record(row(n)).await;
        }
        log.flush().await;
    };
    record(0..3).await;
    let reader = ExchangeReader::open(folder.path()).unwrap().unwrap();
    let odd = ExchangeFilter { run_id: Some("run_1".to_owned()), ..ExchangeFilter::default() };
    let (seen, mark) = reader.exchanges_and_mark(&odd).unwrap();
    assert_eq!(seen, [row(1)]);
    assert_eq!(reader.exchanges_after(&odd, mark).unwrap(), (vec![], mark));
    record(3..9).await;
    let (seen, mark) = reader.exchanges_after(&odd, mark).unwrap();
    assert_eq!(seen, [row(3), row(5), row(7)]);
    assert_eq!(reader.exchanges_after(&odd, mark).unwrap().0, []);
    // In bites: where a bite is full, the next one begins behind its last.
    let two = ExchangeFilter { limit: 2, ..odd.clone() };
    let (mut all, mut mark) = (Vec::new(), Mark::default());
    loop {
        let (seen, next) = reader.exchanges_after(&two, mark).unwrap();
        if seen.is_empty() {
            break;
        }
        (all, mark) = (all.into_iter().chain(seen).collect::<Vec<_>>(), next);
    }
    assert_eq!(all, [1, 3, 5, 7].map(row));
    // All that was seen is removed.
    let sql = "DELETE FROM exchanges";
    Connection::open(folder.path().join(EXCHANGES_FILE)).unwrap().execute(sql, []).unwrap();
    let (seen, mark) = reader.exchanges_after(&odd, mark).unwrap();
    assert_eq!(seen, []);
    record(9..10).await;
    let (seen, mark) = reader.exchanges_after(&odd, mark).unwrap();
    assert_eq!(seen, [row(9)]);
    // Removed, and followed by others before anybody looked: no number is given twice, and none is passed over.
    Connection::open(folder.path().join(EXCHANGES_FILE)).unwrap().execute(sql, []).unwrap();
    record(10..16).await;
    assert_eq!(reader.exchanges_after(&odd, mark).unwrap().0, [row(11), row(13), row(15)]);
    drop((log, reader));
    let log = open_log(folder.path()).await;
    log.record(row(17)).await;
    log.flush().await;
    let reader = ExchangeReader::open(folder.path()).unwrap().unwrap();
    assert_eq!(reader.exchanges_after(&odd, mark).unwrap().0.len(), 4);
}

#[tokio::test]
async fn dropping_the_log_commits_what_is_queued_and_it_goes_on_behind() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..2 {
        let log = open_log(folder.path()).await;
        log.record(row(n)).await;
        drop(log);
    }
    let reader = ExchangeReader::open(folder.path()).unwrap().unwrap();
    assert_eq!(reader.exchanges(&ExchangeFilter::default()).unwrap(), [row(0), row(1)]);
}

#[tokio::test]
async fn a_log_that_cannot_keep_up_drops_bodies_then_makes_wait() {
    // A queue that nobody empties.
    let folder = tempfile::tempdir().unwrap();
    let lock = DataLock::acquire(folder.path(), Duration::ZERO, &SeededClock::default()).await.unwrap();
    let (queue, mut entries) = mpsc::channel(EXCHANGE_QUEUE_ROWS_MAX);
    let log = ExchangeLog { queue: Some(queue), hurry: Arc::default(), thread: None, _lock: Arc::new(lock) };
    for _ in 0..EXCHANGE_QUEUE_ROWS_MAX {
        log.record(row(1)).await;
    }
    let waits = tokio::time::timeout(Duration::from_millis(20), log.record(row(1))).await;
    assert!(waits.is_err(), "a full queue pushes back");
    let mut whole = 0;
    while let Ok(Entry::Row(row)) = entries.try_recv() {
        assert_eq!(row.bodies_dropped, row.response_body.is_none());
        whole += usize::from(!row.bodies_dropped);
    }
    assert_eq!(whole, EXCHANGE_QUEUE_BODIES_MAX + 1);
}
