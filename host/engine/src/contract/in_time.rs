//! A document held against a schema by whoever may block: on a thread of its own, and for a time. The schema's author decides how long
//! it takes, so its threads are counted by schema, and what took too long once is not begun again.

use super::{Fault, SCHEMA_TIME_MAX, SCHEMA_WORK_MAX, Schema, SchemaError, TOO_LONG_MAX};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Condvar, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

/// Threads by the hash of their schema, and (schema, document) by hash that took too long.
#[derive(Default)]
struct Work {
    threads: BTreeMap<u64, usize>,
    too_long: BTreeSet<u64>,
}

static WORK: (Mutex<Work>, Condvar) =
    (Mutex::new(Work { threads: BTreeMap::new(), too_long: BTreeSet::new() }), Condvar::new());

impl Schema {
    /// As [`Schema::validate`], for `SCHEMA_TIME_MAX` at most.
    pub fn validate_in_time(&self, document: &str) -> Result<Vec<Fault>, SchemaError> {
        self.validate_within(document, SCHEMA_TIME_MAX)
    }

    fn validate_within(&self, document: &str, time_max: Duration) -> Result<Vec<Fault>, SchemaError> {
        let (schema_hash, pair_hash) = (hash(&*self.text), hash((&*self.text, document)));
        let (schema, document) = (self.clone(), document.to_owned());
        within(time_max, schema_hash, pair_hash, move || schema.validate(&document))
    }
}

/// What the work finds, where it comes back in time. What did not once is not begun again.
fn within<T: Send + 'static>(
    time_max: Duration,
    schema_hash: u64,
    pair_hash: u64,
    work: impl FnOnce() -> Result<T, SchemaError> + Send + 'static,
) -> Result<T, SchemaError> {
    let too_long = || SchemaError(format!("it takes longer than {} s", time_max.as_secs()));
    if locked(|work| work.too_long.contains(&pair_hash)) {
        return Err(too_long());
    }
    let turn = Turn::take(schema_hash, time_max)?;
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || {
        let judged = work();
        // First: whoever has the answer finds the turn free.
        drop(turn);
        done.send(judged)
    });
    match result.recv_timeout(time_max) {
        Ok(judged) => judged,
        Err(RecvTimeoutError::Disconnected) => Err(SchemaError("it could not be applied".to_owned())),
        Err(RecvTimeoutError::Timeout) => {
            locked(|work| {
                // A bound, and no order: what is forgotten is tried once more, in a turn.
                if work.too_long.len() == TOO_LONG_MAX {
                    work.too_long.pop_first();
                }
                work.too_long.insert(pair_hash);
            });
            Err(too_long())
        }
    }
}

/// One of `SCHEMA_WORK_MAX` threads of a schema, whoever waits for it.
struct Turn(u64);

impl Turn {
    fn take(schema: u64, time_max: Duration) -> Result<Self, SchemaError> {
        let (work, freed) = &WORK;
        let all_taken =
            |work: &mut Work| work.threads.get(&schema).is_some_and(|threads| *threads >= SCHEMA_WORK_MAX);
        let work = work.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut work, waited) =
            freed.wait_timeout_while(work, time_max, all_taken).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(SchemaError(format!(
                "{SCHEMA_WORK_MAX} other documents are held against it, for {} s already",
                time_max.as_secs()
            )));
        }
        *work.threads.entry(schema).or_default() += 1;
        Ok(Self(schema))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        locked(|work| {
            if let Some(threads) = work.threads.get_mut(&self.0) {
                *threads -= 1;
                if *threads == 0 {
                    work.threads.remove(&self.0);
                }
            }
        });
        WORK.1.notify_all();
    }
}

fn locked<T>(with: impl FnOnce(&mut Work) -> T) -> T {
    with(&mut WORK.0.lock().unwrap_or_else(PoisonError::into_inner))
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::simulation::world::two_thousand;

    fn slow(name: &str) -> String {
        let branches = two_thousand(r#"{"minLength":1000}"#);
        format!(
            "{{\"title\":\"{name}\",\"items\":{{\"anyOf\":[{{\"type\":\"number\"}},{branches},{{\"minLength\":40}}]}}}}"
        )
    }

    /// A second of work, about.
    fn long(of: usize) -> String {
        format!("[{}{of}]", format!("\"{}\",", "a".repeat(40)).repeat(10_000))
    }

    #[test]
    fn who_blocks_waits_no_longer_than_there_is_time() {
        let text = slow("turns");
        let schema = Schema::new(&*text);
        assert_eq!(schema.validate_in_time(r#"["b"]"#).unwrap().len(), 1);
        let refused =
            |document: &str| schema.validate_within(document, Duration::from_millis(1)).unwrap_err().0;
        // Nobody waits for it, and the second time it is not begun.
        assert!(refused(&long(0)).contains("takes longer"));
        assert!(schema.validate_in_time(&long(0)).unwrap_err().0.contains("takes longer"), "it is known");
        // As many threads as there are turns are at work for it, whatever the documents.
        for of in 1..SCHEMA_WORK_MAX {
            assert!(refused(&long(of)).contains("takes longer"));
        }
        for of in 10..20 {
            assert!(refused(&long(of)).contains("other documents"), "{of}");
        }
        assert_eq!(locked(|work| work.threads[&hash(&*text)]), SCHEMA_WORK_MAX);
        // Another schema has turns of its own, and these come back.
        let other = Schema::new(r#"{"type":"object"}"#);
        assert_eq!(other.validate_in_time("{}").unwrap(), []);
        assert_eq!(schema.validate_in_time(r#"["b"]"#).unwrap().len(), 1);
    }

    /// It is told as what it is, is not remembered as slow, and gives its turn back.
    #[test]
    fn work_that_panics_is_no_slow_work() {
        for _ in 0..SCHEMA_WORK_MAX + 1 {
            let failed = within(SCHEMA_TIME_MAX, 7, u64::MAX, || -> Result<(), _> {
                panic!("a fault of the validator")
            });
            assert_eq!(failed.unwrap_err().0, "it could not be applied");
        }
        assert_eq!(within(SCHEMA_TIME_MAX, 7, u64::MAX, || Ok(1)).unwrap(), 1);
    }

    #[test]
    fn what_took_too_long_is_remembered_within_bounds() {
        // Others' stay among them.
        locked(|work| {
            let left = TOO_LONG_MAX - work.too_long.len();
            work.too_long.extend((0..).take(left));
        });
        let schema = Schema::new(slow("bounds"));
        assert!(schema.validate_within(&long(0), Duration::from_millis(1)).is_err());
        assert_eq!(locked(|work| work.too_long.len()), TOO_LONG_MAX);
    }
}
