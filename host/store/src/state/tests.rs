//! Listings: what they give, and what they look at.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{migrations, open};
use portcullis_clock::{Random, SeededRandom};
use std::{
    cell::Cell,
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tempfile::TempDir;

/// Characters at both ends of each length in UTF-8, and on both sides of what is none.
const CHARACTERS: [char; 12] = [
    '\u{1}',
    'a',
    'b',
    '\u{7f}',
    '\u{80}',
    '\u{bf}',
    '\u{7ff}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{ffff}',
    '\u{10000}',
    '\u{10ffff}',
];

fn database() -> (Connection, StateSpace, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mut conn = open::writer(&path, open::Durability::Normal).unwrap();
    migrations::STATE.migrate(&mut conn, &path).unwrap();
    conn.execute_batch("INSERT INTO connections VALUES ('c', 'billing', NULL, 'acme/stripe', 1)").unwrap();
    (conn, StateSpace { connection_id: "c".to_owned(), position_version: 1 }, folder)
}

fn fill<'a>(conn: &mut Connection, space: &StateSpace, keys: impl IntoIterator<Item = &'a String>) {
    let transaction = conn.transaction().unwrap();
    for key in keys {
        assert!(
            matches!(set(&transaction, space, key, &[], None).unwrap(), StateWrite::Stored(_)),
            "{key:?}"
        );
    }
    transaction.commit().unwrap();
}

#[test]
fn keys_are_compared_by_their_bytes() {
    let (conn, ..) = database();
    let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let collations = "SELECT group_concat(DISTINCT coll)
        FROM pragma_index_list('state_values') AS list, pragma_index_xinfo(list.name)";
    assert_eq!((text(collations), text("PRAGMA encoding")), ("BINARY".to_owned(), "UTF-8".to_owned()));
}

#[test]
fn a_listing_gives_what_a_filter_gives() {
    let random = SeededRandom::new(1);
    let drawn = Cell::new([0_u8; 1]);
    let draw = |below: usize| {
        let mut byte = drawn.get();
        random.fill(&mut byte);
        usize::from(byte[0]) % below
    };
    let text = |length_max: usize| -> String {
        (0..draw(length_max + 1)).map(|_| CHARACTERS[draw(CHARACTERS.len())]).collect()
    };
    let (mut conn, space, _folder) = database();
    let keys: BTreeSet<String> = (0..1500).map(|_| text(4)).filter(|key| !key.is_empty()).collect();
    fill(&mut conn, &space, &keys);
    let last = CHARACTERS[CHARACTERS.len() - 1].to_string();
    let mut found = 0;
    for round in 0..3000 {
        let prefix = if round % 16 == 0 { last.repeat(draw(4)) } else { text(3) };
        // Of the prefix, or anywhere.
        let after = match draw(3) {
            0 => None,
            1 => Some(text(4)),
            _ => Some(format!("{prefix}{}", text(2))),
        };
        let max = 1 + draw(40);
        let of_prefix = keys.iter().filter(|key| key.starts_with(&prefix));
        let expected: Vec<_> =
            of_prefix.filter(|key| after.as_ref().is_none_or(|after| *key > after)).take(max).collect();
        let listed = list(&conn, &space, &prefix, after.as_deref(), u32::try_from(max).unwrap()).unwrap();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{prefix:?} after {after:?}");
        found += listed.len();
    }
    assert!(found > 3000, "{found}: the prefixes were of no key");
}

#[test]
fn a_listing_looks_at_no_other_keys() {
    let (mut conn, space, _folder) = database();
    let keys: Vec<_> = (0..5000).map(|n| format!("{}/{n:04}", if n < 4990 { "z" } else { "a" })).collect();
    fill(&mut conn, &space, &keys);
    let steps = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&steps);
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    conn.progress_handler(1, Some(count)).unwrap();
    let check = |prefix: &str, after: Option<&str>, found: usize| {
        steps.store(0, Ordering::Relaxed);
        assert_eq!(list(&conn, &space, prefix, after, 1000).unwrap().len(), found);
        let steps = steps.load(Ordering::Relaxed);
        assert!((1..500).contains(&steps), "{prefix:?} after {after:?}: {steps} steps");
    };
    check("a/", None, 10);
    check("b/", None, 0);
    check("z/", Some("z/4980"), 9);
    check("z/", Some("zz"), 0);
}
