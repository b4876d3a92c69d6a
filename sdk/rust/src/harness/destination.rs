//! What every destination has to do, written once: batches that come again, lines that are refused, every digit, records that are
//! gone, complete reads, and a process that is killed anywhere. A destination's own tests say how it is set up and what its readers
//! see, and call [`conforms`].

use crate::{Batch, ErrorKind, Mode, Rejected, Result, StreamDescriptor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What a reader sees of a record: names and values, a text without its quotes, everything else as JSON text, null left out.
pub type Row = BTreeMap<String, String>;

/// A destination under test.
pub trait Target {
    /// The modes that it takes.
    fn modes(&self) -> Vec<Mode>;

    /// Empties it.
    fn reset(&self);

    /// [`crate::Destination::write`], with the config of this test.
    fn write(&self, batch: Batch) -> Result<Vec<Rejected>>;

    /// [`crate::Destination::complete`], with the config of this test.
    fn complete(&self, stream: &str, generation: u64, removed_max: Option<u64>) -> Result<u64>;

    /// What readers see of a stream that is written in this mode; of a log in its order.
    fn rows(&self, stream: &str, mode: Mode) -> Vec<Row>;

    /// Lets so many effects pass, and then nothing: what is called fails as where its process is killed. None = no end.
    /// Files are cut by themselves; who sends requests has its vendor fail.
    fn cut_after(&self, effects: Option<u32>) {
        super::cut_after(effects);
    }
}

/// Most effects that one call of the suite may need before it is done.
const EFFECTS_MAX: u32 = 500;
const STREAM: &str = "items";
const SCHEMA: &str = r#"{"properties":{"id":{},"n":{},"text":{},"gone":{}}}"#;
const FIRST: [&str; 3] = [
    r#"{"id":1,"n":18446744073709551617}"#,
    r#"{"id":2,"n":0.1000000000000000000000000000000000000001,"text":"a"}"#,
    r#"{"id":3,"n":-0.0,"text":"c"}"#,
];
const SECOND: [&str; 3] =
    [r#"{"id":4,"n":1e400}"#, r#"{"id":2,"text":"later"}"#, r#"{"id":1,"text":"the same id"}"#];
const TEXTS: [&str; 5] = [
    r#"{"id":"one","text":"é 日本 \ud83d\ude00 e\u0301"}"#,
    r#"{"id":"a,\"b\"","text":"say \"hi\", and\r\nthen = 1\t"}"#,
    r#"{"id":"","text":"of an empty id"}"#,
    r#"{"id":"=1+1","text":" spaces "}"#,
    r#"{"id":"null","text":"null","n":null}"#,
];
const LARGE: u64 = 1_000_000;

/// Fails with what the destination does not do.
///
/// # Panics
///
/// That is how it fails.
pub fn conforms(target: &impl Target) {
    for mode in target.modes() {
        let suite = Suite { target, mode };
        for check in [
            Suite::a_batch_comes_again,
            Suite::refused_lines_come_back,
            Suite::nothing_is_rounded_or_lost,
            Suite::a_batch_is_cut_off,
        ] {
            target.reset();
            check(&suite);
        }
        if mode != Mode::Append {
            target.reset();
            suite.the_last_record_of_a_key_is_seen();
        }
        if mode == Mode::Replace {
            for check in [
                Suite::what_is_gone_is_removed,
                Suite::older_generations_change_nothing,
                Suite::complete_is_cut_off,
            ] {
                target.reset();
                check(&suite);
            }
        }
    }
    target.reset();
}

struct Suite<'t, T> {
    target: &'t T,
    mode: Mode,
}

impl<T: Target> Suite<'_, T> {
    fn batch(&self, id: &str, generation: u64, lines: &[&str]) -> Batch {
        let stream = StreamDescriptor::new(STREAM, SCHEMA)
            .primary_key(["id"])
            .deleted_field("gone")
            .complete_reads(true);
        let records = lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        Batch { id: id.to_owned(), stream, mode: self.mode, generation, records }
    }

    /// Writes a batch of which every line is taken.
    #[track_caller]
    fn write(&self, id: &str, generation: u64, lines: &[&str]) {
        match self.target.write(self.batch(id, generation, lines)) {
            Ok(rejected) => {
                assert!(rejected.is_empty(), "{:?}: lines of {id} come back: {rejected:?}", self.mode)
            }
            Err(error) => panic!("{:?}: {id} is not written: {error}", self.mode),
        }
    }

    #[track_caller]
    fn complete(&self, generation: u64, removed_max: Option<u64>) -> u64 {
        match self.target.complete(STREAM, generation, removed_max) {
            Ok(removed) => removed,
            Err(error) => panic!("{:?}: generation {generation} is not completed: {error}", self.mode),
        }
    }

    /// Once nothing more comes. Of a mode that knows no end of a read it is over with the batch.
    #[track_caller]
    fn ends(&self, generation: u64) {
        if self.mode == Mode::Replace {
            self.complete(generation, None);
        }
    }

    /// Of a log in its order, of everything else by itself.
    #[track_caller]
    fn sees(&self, lines: &[&str]) {
        let mut rows = self.target.rows(STREAM, self.mode);
        let mut expected: Vec<Row> = lines.iter().map(|line| row(line)).collect();
        if self.mode != Mode::Append {
            rows.sort();
            expected.sort();
        }
        assert_eq!(rows, expected, "{:?}: left, what readers see", self.mode);
    }

    fn a_batch_comes_again(&self) {
        self.write("b1", 1, &FIRST);
        self.write("b1", 1, &FIRST);
        self.write("b0", 1, &[SECOND[0]]);
        self.write("b1", 1, &FIRST);
        self.write("b0", 1, &[SECOND[0]]);
        self.ends(1);
        self.sees(&[FIRST[0], FIRST[1], FIRST[2], SECOND[0]]);
        // Also behind the end of the read.
        self.write("b1", 1, &FIRST);
        self.write("b0", 1, &[SECOND[0]]);
        self.ends(1);
        self.sees(&[FIRST[0], FIRST[1], FIRST[2], SECOND[0]]);
    }

    fn refused_lines_come_back(&self) {
        let lines = [FIRST[0], "no JSON", FIRST[1], "[1]", r#"{"id":7,"id":8}"#, FIRST[2]];
        for _ in 0..2 {
            let rejected = match self.target.write(self.batch("b", 1, &lines)) {
                Ok(rejected) => rejected,
                Err(error) => panic!("{:?}: refused lines fail the batch: {error}", self.mode),
            };
            let numbers: Vec<_> = rejected.iter().map(|one| one.line).collect();
            assert_eq!(numbers, [1, 3, 4], "{:?}: lines that come back", self.mode);
            assert!(rejected.iter().all(|one| one.error.kind() == ErrorKind::InvalidInput), "{rejected:?}");
        }
        self.ends(1);
        self.sees(&FIRST);
    }

    fn nothing_is_rounded_or_lost(&self) {
        self.write("b1", 1, &FIRST);
        self.write("b2", 1, &TEXTS);
        self.write("b3", 1, &[SECOND[0]]);
        self.ends(1);
        self.sees(&[&FIRST[..], &TEXTS[..], &SECOND[..1]].concat());
    }

    /// Killed at each of its effects, and called again.
    fn a_batch_is_cut_off(&self) {
        for effects in 0..EFFECTS_MAX {
            self.target.reset();
            self.write("b1", 1, &FIRST);
            self.target.cut_after(Some(effects));
            let done = self.target.write(self.batch("b2", 1, &[SECOND[0]]));
            self.target.cut_after(None);
            self.write("b2", 1, &[SECOND[0]]);
            self.ends(1);
            self.sees(&[FIRST[0], FIRST[1], FIRST[2], SECOND[0]]);
            if done.is_ok() {
                assert!(effects > 0, "{:?}: nothing was cut off", self.mode);
                return;
            }
        }
        panic!("{:?}: a batch has more than {EFFECTS_MAX} effects", self.mode);
    }

    fn the_last_record_of_a_key_is_seen(&self) {
        self.write("b1", 1, &FIRST);
        self.write("b2", 1, &[SECOND[0], SECOND[1], r#"{"id":3,"gone":true}"#, r#"{"id":99,"gone":true}"#]);
        self.write("b3", 1, &[r#"{"id":4,"gone":true}"#, SECOND[0]]);
        self.ends(1);
        self.sees(&[FIRST[0], SECOND[0], SECOND[1]]);
    }

    fn what_is_gone_is_removed(&self) {
        self.write("b1", 1, &FIRST);
        self.complete(1, Some(0));
        self.sees(&FIRST);
        self.write("b2", 2, &[FIRST[1], SECOND[0]]);
        let refused = self.target.complete(STREAM, 2, Some(1)).map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::Conflict), "two records are gone, and one may be");
        assert_eq!(self.complete(2, Some(2)), 2, "how many are gone");
        self.sees(&[FIRST[1], SECOND[0]]);
        self.complete(2, Some(0));
        self.sees(&[FIRST[1], SECOND[0]]);
        // A read that found nothing.
        assert_eq!(self.complete(3, Some(LARGE)), 2);
        self.sees(&[]);
    }

    fn older_generations_change_nothing(&self) {
        self.write("b2", 2, &FIRST);
        self.complete(2, None);
        // Refused, or without an effect.
        drop(self.target.write(self.batch("b1", 1, &[SECOND[0]])));
        drop(self.target.complete(STREAM, 1, None));
        self.sees(&FIRST);
        // What is newer waits for its own end.
        self.write("b4", 4, &[SECOND[0]]);
        self.write("b3", 3, &FIRST[..2]);
        self.complete(3, None);
        self.complete(4, None);
        self.sees(&[SECOND[0]]);
    }

    /// Killed at each of its effects, and called again.
    fn complete_is_cut_off(&self) {
        for effects in 0..EFFECTS_MAX {
            self.target.reset();
            self.write("b1", 1, &FIRST);
            self.complete(1, None);
            self.write("b2", 2, &[FIRST[1]]);
            self.write("b3", 2, &[SECOND[0]]);
            self.target.cut_after(Some(effects));
            let done = self.target.complete(STREAM, 2, Some(2));
            self.target.cut_after(None);
            self.complete(2, Some(2));
            self.sees(&[FIRST[1], SECOND[0]]);
            self.write("b4", 3, &[FIRST[1]]);
            assert_eq!(self.complete(3, None), 1, "what a cut off `complete` left counts as nothing");
            self.sees(&[FIRST[1]]);
            if done.is_ok() {
                assert!(effects > 0, "nothing was cut off");
                return;
            }
        }
        panic!("`complete` has more than {EFFECTS_MAX} effects");
    }
}

/// A record as a reader of JSON sees it; what is no object has nothing to be seen.
pub fn row(line: &str) -> Row {
    let record = serde_json::from_str::<BTreeMap<String, &RawValue>>(line).unwrap_or_default();
    let value = |value: &RawValue| match value.get() {
        "null" => None,
        // As it is written: a value that is printed anew may have another exponent.
        text => Some(serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())),
    };
    record.into_iter().filter_map(|(name, one)| Some((name, value(one)?))).collect()
}

#[cfg(test)]
mod tests;
