//! Old, new and newer schemas.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::open;

#[test]
fn sqlite_is_new_enough() {
    // 3.51.3 mended a write-ahead log that could be corrupted when two processes reset it at once.
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[test]
fn every_pragma_holds() {
    let folder = tempfile::tempdir().unwrap();
    let check = |conn: &Connection, pragma: &str, expected: &str| {
        let value: rusqlite::types::Value = conn.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
        let value = match value {
            rusqlite::types::Value::Integer(n) => n.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(value, expected, "{pragma}");
    };
    for (durability, synchronous) in [(open::Durability::Full, "2"), (open::Durability::Normal, "1")] {
        let path = folder.path().join(format!("{synchronous}.db"));
        let mut conn = open::writer(&path, durability).unwrap();
        STATE.migrate(&mut conn, &path).unwrap();
        check(&conn, "journal_mode", "wal");
        check(&conn, "synchronous", synchronous);
        check(&conn, "foreign_keys", "1");
        check(&conn, "trusted_schema", "0");
        check(&conn, "busy_timeout", "5000");
        check(&conn, "wal_autocheckpoint", "0");
        check(&conn, "cell_size_check", "1");
        let reader = open::reader(&path).unwrap().unwrap();
        check(&reader, "query_only", "1");
        check(&reader, "trusted_schema", "0");
        assert!(reader.execute("DELETE FROM runs", []).is_err());
    }
}

#[test]
fn a_newer_or_foreign_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for schema in [STATE, EXCHANGES] {
        let path = folder.path().join("newer.db");
        let mut conn = open::writer(&path, open::Durability::Full).unwrap();
        schema.migrate(&mut conn, &path).unwrap();
        schema.migrate(&mut conn, &path).unwrap();
        conn.pragma_update(None, "user_version", schema.version() + 1).unwrap();
        let refused = schema.migrate(&mut conn, &path).unwrap_err();
        let (found, known) = (schema.version() + 1, schema.version());
        let text =
            format!("`{}` has schema version {found}, this program knows up to {known}", path.display());
        assert_eq!(refused.to_string(), text);
        drop(conn);
        std::fs::remove_file(path).unwrap();
    }
    let path = folder.path().join("foreign.db");
    let mut conn = open::writer(&path, open::Durability::Full).unwrap();
    conn.execute_batch("CREATE TABLE theirs (a)").unwrap();
    assert!(matches!(STATE.migrate(&mut conn, &path), Err(StoreError::Foreign { .. })));
    let path = folder.path().join("exchanges.db");
    let mut conn = open::writer(&path, open::Durability::Full).unwrap();
    EXCHANGES.migrate(&mut conn, &path).unwrap();
    assert!(matches!(STATE.migrate(&mut conn, &path), Err(StoreError::Foreign { .. })));
}

/// One row each, as `query_row` gives them.
fn texts(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_version_1_stored_is_of_position_version_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut conn = open::writer(&path, open::Durability::Full).unwrap();
    let first = Schema { application: STATE.application, copied: true, steps: &STATE.steps[..1] };
    first.migrate(&mut conn, &path).unwrap();
    conn.execute_batch(
        "INSERT INTO connections VALUES ('c', 'billing', NULL, 'acme/stripe', 1);
         INSERT INTO positions VALUES ('c', 'file', 's', 'n', 'k', '/out', 7, 'sha256:00', 3, 'run_1', 5);
         INSERT INTO positions VALUES ('c', 'pipe', 's', NULL, 'k', NULL, NULL, NULL, 2, NULL, 6);
         INSERT INTO state_values VALUES ('c', 'key', x'00ff', 4);
         INSERT INTO state_totals VALUES ('c', 1, 5, 4);",
    )
    .unwrap();
    STATE.migrate(&mut conn, &path).unwrap();
    assert_eq!(STATE.check(&conn, &path).unwrap(), STATE.version());
    let positions =
        "SELECT concat_ws(' ', reader, position_version, next, checkpoint, records, run_id, updated_at)
                     FROM positions ORDER BY reader";
    assert_eq!(texts(&conn, positions), ["file 1 n k 3 run_1 5", "pipe 1 k 2 6"]);
    let files = "SELECT concat_ws(' ', reader, path, length, tail) FROM reader_files";
    assert_eq!(texts(&conn, files), ["file /out 7 sha256:00"]);
    let values = "SELECT concat_ws(' ', position_version, key, hex(value), version) FROM state_values";
    assert_eq!(texts(&conn, values), ["1 key 00FF 4"]);
    assert_eq!(texts(&conn, "SELECT \"table\" FROM pragma_foreign_key_check"), Vec::<String>::new());
    // As the former version left it: whole, readable by it, and for its owner alone.
    let copy = folder.path().join("before-migration/1-state.db");
    let kept = open::reader(&copy).unwrap().unwrap();
    assert_eq!(STATE.check(&kept, &copy).unwrap(), 1);
    assert_eq!(texts(&kept, "SELECT reader FROM positions ORDER BY reader"), ["file", "pipe"]);
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&copy).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_version_2_stored_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut conn = open::writer(&path, open::Durability::Full).unwrap();
    let second = Schema { application: STATE.application, copied: true, steps: &STATE.steps[..2] };
    second.migrate(&mut conn, &path).unwrap();
    conn.execute_batch(
        "INSERT INTO runs (run_id, kind, connection, connection_id, connector, version, digest, correlation_id,
                           subject, started_at)
         VALUES ('r', 'read', 'b', 'c', 'acme/stripe', '1.0.0', 'd', 'o', 's', 1);
         INSERT INTO steps (run_id, step, started_at) VALUES ('r', 'a', 1), ('r', 'b', 1);
         INSERT INTO attempts (run_id, step, call, attempt, started_at, requests)
         VALUES ('r', 'a', '0', 1, 1, 2), ('r', 'a', '0', 2, 1, 3);
         INSERT INTO intents (run_id, step, call, ordinal, method, url, request_hash, repeatable, started_at)
         VALUES ('r', 'a', '0', 0, 'POST', 'u', 'h', 0, 1);",
    )
    .unwrap();
    STATE.migrate(&mut conn, &path).unwrap();
    let counts = "SELECT concat_ws(' ', step, attempts, intents, requests) FROM steps ORDER BY step";
    assert_eq!(texts(&conn, counts), ["a 2 1 5", "b 0 0 0"]);
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    std::fs::write(&path, "not a database at all, but long enough to have a header of 100 bytes ".repeat(9))
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(open::writer(&path, open::Durability::Full), Err(StoreError::Open { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_step_that_fails_leaves_the_version_before_it() {
    let broken = Schema {
        application: 1,
        copied: false,
        steps: &["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"],
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut conn = open::writer(&path, open::Durability::Full).unwrap();
    assert!(broken.migrate(&mut conn, &path).is_err());
    assert_eq!(broken.check(&conn, &path).unwrap(), 1);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}
