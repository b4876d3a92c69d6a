//! The table beside a map.
#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

proptest! {
    #[test]
    fn the_last_record_of_a_key_is_kept(records in prop::collection::vec((0..40_u8, any::<bool>()), 0..200), spread: bool) {
        // Not spread, all of them begin at one slot.
        let key = |key: u8| u128::from(key) << if spread { 122 } else { 0 };
        let (mut table, mut last) = (Table::of(records.len()), BTreeMap::new());
        for (at, (name, gone)) in records.iter().enumerate() {
            table.push(key(*name), *gone).unwrap();
            last.insert(key(*name), (at, *gone));
        }
        let there: BTreeSet<_> = last.iter().filter(|(_, (_, gone))| !gone).map(|(key, _)| *key).collect();
        prop_assert_eq!(table.keys().collect::<BTreeSet<_>>(), there.clone());
        for name in 0..50 {
            prop_assert_eq!(table.has(key(name)), there.contains(&key(name)));
        }
        let kept: Vec<bool> = table.kept().take(records.len()).collect();
        let expected: Vec<bool> = (0..records.len()).map(|at| last.values().any(|(last, gone)| *last == at && !gone)).collect();
        prop_assert_eq!(kept, expected);
    }
}

#[test]
fn more_than_there_was_room_for_is_an_error_and_no_endless_search() {
    let mut table = Table::of(4);
    let pushed = (0..100).take_while(|key| table.push(u128::from(*key as u32), false).is_ok()).count();
    assert!((4..=6).contains(&pushed), "{pushed}");
    assert!(!table.has(99));
    assert!(!Table::of(0).has(1));
}
