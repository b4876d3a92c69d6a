//! Keys of two connections and two versions in one table: each space holds what was stored in it, and never another's.
#![no_main]
use libfuzzer_sys::fuzz_target;
use portcullis_clock::{SeededClock, SeededRandom};
use portcullis_store::{DataLock, SqliteStore, StateSpace, StateWrite, Store};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

struct Kept {
    runtime: tokio::runtime::Runtime,
    store: SqliteStore,
    _folder: tempfile::TempDir,
}

fn open() -> Kept {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let clock = SeededClock::default();
    let lock = runtime.block_on(DataLock::acquire(folder.path(), Duration::ZERO, &clock)).expect("the lock");
    let store =
        SqliteStore::open(Arc::new(lock), Arc::new(clock), Arc::new(SeededRandom::new(1))).expect("a store");
    Kept { runtime, store, _folder: folder }
}

fuzz_target!(|steps: Vec<(u8, &str, u8)>| {
    static INPUT: AtomicU64 = AtomicU64::new(0);
    thread_local!(static KEPT: Kept = open());
    // Other connections than those of the inputs before.
    let input = INPUT.fetch_add(1, Ordering::SeqCst);
    KEPT.with(|kept| {
        kept.runtime.block_on(async {
            let (one, other) = (format!("a-{input}"), format!("a-{input}-2"));
            let one = kept.store.connection_id(&one, "acme/vendor").await.expect("a store");
            let other = kept.store.connection_id(&other, "acme/vendor").await.expect("a store");
            let space = |which: u8| StateSpace {
                connection_id: if which & 1 == 0 { one.clone() } else { other.clone() },
                position_version: u32::from(which >> 1 & 1) + 1,
            };
            let mut model: BTreeMap<(u8, String), Vec<u8>> = BTreeMap::new();
            for (what, key, value) in steps.iter().take(24) {
                let (which, key) = (what & 3, (*key).to_owned());
                let place = space(which);
                if what & 4 == 0 {
                    let stored =
                        kept.store.state_set(&place, &key, vec![*value], None).await.expect("a store");
                    let good = !key.is_empty() && key.len() <= 512 && !key.contains('\0');
                    assert_eq!(matches!(stored, StateWrite::Stored(_)), good, "{key:?}");
                    if good {
                        model.insert((which, key.clone()), vec![*value]);
                    }
                } else {
                    let there = kept.store.state_delete(&place, &key).await.expect("a store");
                    assert_eq!(there, model.remove(&(which, key.clone())).is_some(), "{key:?}");
                }
                for which in 0..4 {
                    let found = kept.store.state_get(&space(which), &key).await.expect("a store");
                    assert_eq!(found.map(|entry| entry.value).as_ref(), model.get(&(which, key.clone())));
                }
            }
            for which in 0..4 {
                let listed = kept.store.state_list(&space(which), "", None, 100).await.expect("a store");
                let known: Vec<&String> =
                    model.keys().filter(|(of, _)| *of == which).map(|(_, key)| key).collect();
                assert_eq!(listed.iter().collect::<Vec<_>>(), known);
            }
        });
    });
});
