//! What is removed, from whom, and that the counts are true.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    DataLock, ExchangeFilter, ExchangeLog, ExchangeReader, Retention,
    exchange::{
        EXCHANGES_FILE,
        log::tests::{open_log, row},
    },
    limits::EXPIRE_EVERY,
    migrations::{EXCHANGES, Schema},
};
use portcullis_clock::SeededClock;
use std::{path::Path, sync::Arc, time::Duration};

/// What the rows themselves say.
fn counted(conn: &Connection) -> Kept {
    let sql = format!("SELECT connection_id, count(*), sum({BYTES}) FROM exchanges GROUP BY connection_id");
    let mut statement = conn.prepare(&sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, Amount { rows: unsigned(row.get(1)?), bytes: unsigned(row.get(2)?) }))
    });
    Kept(rows.unwrap().map(Result::unwrap).collect())
}

fn of(connection: &str, n: u32, body_bytes: usize) -> ExchangeRow {
    ExchangeRow {
        connection: connection.to_owned(),
        connection_id: format!("conn_{connection}"),
        status: Some(200),
        request_body: (body_bytes > 0).then(|| "ü".repeat(body_bytes / 2)),
        reason: n.is_multiple_of(2).then(|| "why".to_owned()),
        ..row(n)
    }
}

async fn log(data: &Path, rows: impl IntoIterator<Item = ExchangeRow>) {
    let log = open_log(data).await;
    for row in rows {
        log.record(row).await;
    }
    log.flush().await;
}

fn conn(data: &Path) -> Connection {
    Connection::open(data.join(EXCHANGES_FILE)).unwrap()
}

/// The numbers of a connection's rows that are left.
fn left(data: &Path, connection: &str) -> Vec<i64> {
    let reader = ExchangeReader::open(data).unwrap().unwrap();
    let filter = ExchangeFilter { connection: Some(connection.to_owned()), ..ExchangeFilter::default() };
    reader.exchanges(&filter).unwrap().iter().map(|row| row.started_at.as_millis()).collect()
}

const PLENTY: Amount = Amount { rows: u64::MAX, bytes: u64::MAX };

fn prune(data: &Path, each: Amount, all: Amount) {
    let conn = conn(data);
    let mut kept = Kept::load(&conn).unwrap();
    kept.prune(&conn, &AtomicI32::new(0), Caps { each, all }).unwrap();
    assert_eq!(kept, counted(&conn));
    assert_eq!(kept, Kept::load(&conn).unwrap());
}

#[tokio::test]
async fn the_counts_are_those_of_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), (0..30).map(|n| of(["a", "b"][n as usize % 2], n, n as usize * 10))).await;
    log(folder.path(), (0..3).map(|n| of("c", n, 0))).await;
    let conn = conn(folder.path());
    let kept = Kept::load(&conn).unwrap();
    assert_eq!(kept, counted(&conn));
    assert_eq!(kept.0.values().map(|amount| amount.rows).collect::<Vec<_>>(), [15, 15, 3]);
    assert!(kept.0["conn_b"].bytes > kept.0["conn_a"].bytes);
}

#[tokio::test]
async fn a_connection_over_its_cap_loses_its_own_oldest_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let rows = (0..60).map(|n| if n % 3 == 0 { of("quiet", n, 0) } else { of("loud", n, 2_000) });
    log(folder.path(), rows).await;
    prune(folder.path(), PLENTY, PLENTY);
    assert_eq!((left(folder.path(), "quiet").len(), left(folder.path(), "loud").len()), (20, 40));
    prune(folder.path(), Amount { rows: 32, ..PLENTY }, PLENTY);
    assert_eq!(left(folder.path(), "quiet").len(), 20);
    let loud = left(folder.path(), "loud");
    assert_eq!((loud.len(), loud.last()), (31, Some(&59)), "the newest stay, with room for one more");
    prune(folder.path(), Amount { bytes: 20_000, ..PLENTY }, PLENTY);
    assert_eq!(left(folder.path(), "quiet").len(), 20);
    assert!((6..9).contains(&left(folder.path(), "loud").len()), "{:?}", left(folder.path(), "loud"));
    prune(folder.path(), Amount { rows: 0, bytes: 0 }, PLENTY);
    assert_eq!(left(folder.path(), "quiet").len() + left(folder.path(), "loud").len(), 0);
}

#[tokio::test]
async fn over_all_the_one_that_has_most_of_it_loses_its_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let large = (0..10).map(|n| of("large", n, 10_000));
    let rows = large.chain((0..40).map(|n| of("many", n, 0))).chain((0..5).map(|n| of("quiet", n, 0)));
    log(folder.path(), rows).await;
    prune(folder.path(), PLENTY, Amount { rows: 50, ..PLENTY });
    let lens = |names: [&str; 3]| names.map(|name| left(folder.path(), name).len());
    assert_eq!(lens(["large", "many", "quiet"]), [10, 34, 5]);
    prune(folder.path(), PLENTY, Amount { bytes: 80_000, ..PLENTY });
    let [large, many, quiet] = lens(["large", "many", "quiet"]);
    assert_eq!((many, quiet), (34, 5));
    assert!((3..7).contains(&large), "{large}");
}

#[tokio::test]
async fn a_false_count_mends_itself() {
    let folder = tempfile::tempdir().unwrap();
    // The count of a connection that is said to be full, whatever its rows say.
    log(folder.path(), (0..5).map(|n| of("full", n, 0))).await;
    let sql = "UPDATE kept SET bytes = ?1";
    conn(folder.path()).execute(sql, [int(Caps::of(Retention::EXCHANGES.bytes).each.bytes + 1)]).unwrap();
    log(folder.path(), [of("full", 5, 0), of("other", 1, 0)]).await;
    assert_eq!((left(folder.path(), "full").len(), left(folder.path(), "other").len()), (1, 1));
    let conn = conn(folder.path());
    assert_eq!(Kept::load(&conn).unwrap(), counted(&conn));
}

#[tokio::test]
async fn what_is_too_old_goes_when_the_log_is_opened_and_as_time_passes() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), (0..2_500).map(|n| of("old", n, 0)).chain([of("new", 90_000, 0)])).await;
    let clock = SeededClock::new(Timestamp::from_millis(100_000));
    let lock = DataLock::acquire(folder.path(), Duration::ZERO, &clock).await.unwrap();
    let retention = Retention { age: Duration::from_millis(98_000), ..Retention::EXCHANGES };
    let log = ExchangeLog::open(Arc::new(lock), Arc::new(clock.clone()), retention).unwrap();
    log.flush().await;
    assert_eq!(left(folder.path(), "old"), (2_000..2_500).collect::<Vec<_>>());
    // Not at every write.
    clock.advance(EXPIRE_EVERY / 2);
    log.record(of("new", 130_000, 0)).await;
    log.flush().await;
    assert_eq!(left(folder.path(), "old").len(), 500);
    clock.advance(EXPIRE_EVERY / 2);
    log.record(of("new", 150_000, 0)).await;
    log.flush().await;
    assert_eq!(
        (left(folder.path(), "old"), left(folder.path(), "new")),
        (vec![], vec![90_000, 130_000, 150_000])
    );
    drop(log);
    let conn = conn(folder.path());
    assert_eq!(Kept::load(&conn).unwrap(), counted(&conn));
}

/// Bytes of the database and its log.
fn size(data: &Path) -> u64 {
    let of = |name| data.join(name).metadata().map_or(0, |metadata| metadata.len());
    of(EXCHANGES_FILE) + of("exchanges.db-wal")
}

#[tokio::test]
async fn the_file_stays_within_a_quarter_more_than_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let clock = SeededClock::default();
    let open = async |bytes| {
        let lock = DataLock::acquire(folder.path(), Duration::ZERO, &clock).await.unwrap();
        let retention = Retention { age: Duration::MAX, bytes };
        ExchangeLog::open(Arc::new(lock), Arc::new(clock.clone()), retention).unwrap()
    };
    const MIB: u64 = 1 << 20;
    let bytes = 48 * MIB;
    let log = open(bytes).await;
    let mut largest = 0;
    for n in 0..40 {
        // Small rows and large ones, of twelve connections: each alone stays below its eighth.
        for row in 0..200 {
            let connection = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"][row % 12];
            log.record(of(connection, n, [0, 200, 40_000][row % 3])).await;
        }
        log.flush().await;
        largest = largest.max(size(folder.path()));
    }
    // Moved into the file at 4 MiB, or after one group, whichever is more.
    assert!(largest < bytes * 5 / 4 + 16 * MIB, "{largest}");
    assert!(largest > bytes / 2, "{largest}: nothing was to be removed");
    drop(log);
    // A smaller size makes a smaller file.
    let log = open(Retention::BYTES.start().to_owned()).await;
    log.flush().await;
    drop(log);
    assert!(size(folder.path()) < Retention::BYTES.start() * 5 / 4, "{}", size(folder.path()));
}

#[tokio::test]
async fn a_database_of_version_1_is_counted_when_it_is_brought_up() {
    let folder = tempfile::tempdir().unwrap();
    log(folder.path(), (0..40).map(|n| of(["a", "b", "c"][n as usize % 3], n, n as usize * 7))).await;
    // Back to what version 1 made, rows and all.
    let path = folder.path().join(EXCHANGES_FILE);
    let mut first = conn(folder.path());
    let back = "DROP TRIGGER exchanges_removed; DROP TABLE last_row; DROP TABLE announcements; DROP TABLE kept; \
         DROP INDEX exchanges_connection; PRAGMA user_version = 1";
    first.execute_batch(back).unwrap();
    let fresh = Connection::open_in_memory().unwrap();
    fresh.execute_batch(include_str!("../../migrations/exchanges_1.sql")).unwrap();
    assert_eq!(schema(&first), schema(&fresh));
    assert!(matches!(
        ExchangeReader::open(folder.path()),
        Err(StoreError::Older { found: 1, needed: 4, .. })
    ));
    EXCHANGES.migrate(&mut first, &path).unwrap();
    let kept = Kept::load(&first).unwrap();
    assert_eq!(kept, counted(&first));
    assert_eq!(kept.0["conn_a"].rows, 14);
    assert_eq!(left(folder.path(), "a").len(), 14);
    prune(folder.path(), Amount { rows: 5, ..PLENTY }, PLENTY);
    assert_eq!(left(folder.path(), "b").last(), Some(&37));
}

fn schema(conn: &Connection) -> Vec<String> {
    let mut statement = conn.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn the_oldest_of_a_connection_are_found_by_the_index() {
    let mut conn = Connection::open_in_memory().unwrap();
    let schema: &Schema = &EXCHANGES;
    schema.migrate(&mut conn, Path::new("memory")).unwrap();
    for sql in [
        "SELECT seq FROM exchanges INDEXED BY exchanges_connection WHERE connection_id = 'a' ORDER BY seq LIMIT 9",
        "DELETE FROM exchanges INDEXED BY exchanges_connection WHERE connection_id = 'a' AND seq <= 9",
    ] {
        let plan: Vec<String> = conn
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap()
            .query_map([], |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(plan.len() == 1 && plan[0].contains("exchanges_connection (connection_id=?"), "{plan:?}");
    }
}
