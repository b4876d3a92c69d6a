//! What vendors announced of the end of endpoints: one row each, with the last dates and when they were seen. Of one connection
//! those that were seen last are kept.

use crate::{StoreError, limits::ANNOUNCEMENTS_MAX};
use portcullis_clock::Timestamp;
use rusqlite::{Connection, Row, params};

/// One endpoint's announced end. Everything in it is masked already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncementRow {
    /// Connection id.
    pub connection_id: String,
    /// Connection name, when it was seen last.
    pub connection: String,
    /// Method.
    pub method: String,
    /// URL without query, its ids as `*`.
    pub endpoint: String,
    /// The manifest rule that matched.
    pub rule: String,
    /// It is deprecated, or will be.
    pub deprecated: bool,
    /// From when on, where that was said.
    pub deprecated_at: Option<Timestamp>,
    /// When it is expected to be gone.
    pub sunset_at: Option<Timestamp>,
    /// Where more is said.
    pub link: Option<String>,
    /// When it was announced first.
    pub first_seen: Timestamp,
    /// When it was announced last.
    pub last_seen: Timestamp,
    /// The exchange that said so last.
    pub exchange_id: String,
}

/// Notes what was just seen; `first_seen` counts where it is the first time.
pub(super) fn note(conn: &Connection, row: &AnnouncementRow) -> Result<(), StoreError> {
    let sql = "INSERT INTO announcements (connection_id, method, endpoint, connection, rule, deprecated, deprecated_at,
                   sunset_at, link, first_seen, last_seen, exchange_id)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
               ON CONFLICT (connection_id, method, endpoint) DO UPDATE SET connection = excluded.connection,
                   rule = excluded.rule, deprecated = excluded.deprecated, deprecated_at = excluded.deprecated_at,
                   sunset_at = excluded.sunset_at, link = excluded.link, last_seen = excluded.last_seen,
                   exchange_id = excluded.exchange_id";
    conn.prepare_cached(sql)?.execute(params![
        row.connection_id,
        row.method,
        row.endpoint,
        row.connection,
        row.rule,
        row.deprecated,
        row.deprecated_at.map(Timestamp::as_millis),
        row.sunset_at.map(Timestamp::as_millis),
        row.link,
        row.first_seen.as_millis(),
        row.last_seen.as_millis(),
        row.exchange_id
    ])?;
    let sql = "DELETE FROM announcements WHERE connection_id = ?1 AND (method, endpoint) IN (
                   SELECT method, endpoint FROM announcements WHERE connection_id = ?1
                   ORDER BY last_seen DESC, method, endpoint LIMIT -1 OFFSET ?2)";
    conn.prepare_cached(sql)?.execute(params![row.connection_id, ANNOUNCEMENTS_MAX])?;
    Ok(())
}

/// Those of a connection; what ends first comes first, and what has no date last.
pub(super) fn of(conn: &Connection, connection_id: &str) -> Result<Vec<AnnouncementRow>, StoreError> {
    let sql = "SELECT connection_id, connection, method, endpoint, rule, deprecated, deprecated_at, sunset_at, link,
                   first_seen, last_seen, exchange_id
               FROM announcements WHERE connection_id = ?1
               ORDER BY sunset_at IS NULL, sunset_at, deprecated_at IS NULL, deprecated_at, endpoint, method";
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_map([connection_id], row)?.collect::<Result<_, _>>()?)
}

fn row(row: &Row<'_>) -> rusqlite::Result<AnnouncementRow> {
    let at = |column: usize| {
        Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis))
    };
    Ok(AnnouncementRow {
        connection_id: row.get(0)?,
        connection: row.get(1)?,
        method: row.get(2)?,
        endpoint: row.get(3)?,
        rule: row.get(4)?,
        deprecated: row.get(5)?,
        deprecated_at: at(6)?,
        sunset_at: at(7)?,
        link: row.get(8)?,
        first_seen: Timestamp::from_millis(row.get(9)?),
        last_seen: Timestamp::from_millis(row.get(10)?),
        exchange_id: row.get(11)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::{DataLock, ExchangeLog, ExchangeReader, Retention};
    use portcullis_clock::SeededClock;
    use std::{path::Path, sync::Arc, time::Duration};

    fn seen(endpoint: &str, at: i64) -> AnnouncementRow {
        AnnouncementRow {
            connection_id: "conn_1".to_owned(),
            connection: "billing".to_owned(),
            method: "GET".to_owned(),
            endpoint: endpoint.to_owned(),
            rule: "GET https://a.test/**".to_owned(),
            deprecated: true,
            deprecated_at: Some(Timestamp::from_millis(5)),
            sunset_at: None,
            link: Some("https://a.test/why".to_owned()),
            first_seen: Timestamp::from_millis(at),
            last_seen: Timestamp::from_millis(at),
            exchange_id: format!("exch_{at}"),
        }
    }

    async fn log(folder: &Path) -> ExchangeLog {
        let lock = DataLock::acquire(folder, Duration::ZERO, &SeededClock::default()).await.unwrap();
        ExchangeLog::open(Arc::new(lock), Arc::new(SeededClock::default()), Retention::EXCHANGES).unwrap()
    }

    #[tokio::test]
    async fn an_endpoint_has_one_row_with_its_last_dates() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path()).await;
        log.announce(seen("https://a.test/x", 10)).await;
        log.announce(AnnouncementRow { connection_id: "conn_2".to_owned(), ..seen("https://a.test/x", 11) })
            .await;
        let sunset_at = Some(Timestamp::from_millis(7));
        log.announce(AnnouncementRow { sunset_at, link: None, ..seen("https://a.test/x", 12) }).await;
        log.announce(seen("https://a.test/a", 13)).await;
        log.flush().await;
        let reader = ExchangeReader::open(folder.path()).unwrap().unwrap();
        let first_seen = Timestamp::from_millis(10);
        let x = AnnouncementRow { sunset_at, link: None, first_seen, ..seen("https://a.test/x", 12) };
        assert_eq!(reader.announcements("conn_1").unwrap(), [x, seen("https://a.test/a", 13)]);
        assert_eq!(reader.announcements("conn_3").unwrap(), []);
    }

    #[tokio::test]
    async fn those_that_were_seen_last_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path()).await;
        let max = i64::from(ANNOUNCEMENTS_MAX);
        for at in 0..max + 3 {
            log.announce(seen(&format!("https://a.test/{at}x"), at)).await;
        }
        // Seen again, it is young.
        log.announce(seen("https://a.test/3x", max + 3)).await;
        log.announce(seen("https://a.test/new", max + 4)).await;
        log.flush().await;
        let kept = ExchangeReader::open(folder.path()).unwrap().unwrap().announcements("conn_1").unwrap();
        assert_eq!(kept.len() as u32, ANNOUNCEMENTS_MAX);
        let has =
            |endpoint: &str| kept.iter().any(|row| row.endpoint == format!("https://a.test/{endpoint}"));
        assert!(has("3x") && has("new") && !has("2x") && !has("4x") && has("5x"));
    }
}
