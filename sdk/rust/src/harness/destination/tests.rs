//! The suite passes a destination that does what it has to, and fails one for each thing that it does wrong.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::Error;
use serde_json::Value;
use std::cell::{Cell, RefCell};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nothing,
    AppendsTwice,
    Rounds,
    LosesRefusedLines,
    TakesTwoNames,
    KeepsTombstones,
    RemovesNothing,
    ForgetsTheBound,
    TakesOlder,
    CountsFromOne,
}

#[derive(Default)]
struct Stored {
    log: Vec<(String, Vec<Row>)>,
    /// By key: the generation that it was seen in, and the record; none = it is gone.
    keyed: BTreeMap<String, (u64, Option<Row>)>,
    complete: u64,
}

struct InMemory {
    wrong: Wrong,
    stored: RefCell<Stored>,
    effects: Cell<Option<u32>>,
}

impl InMemory {
    fn effect(&self) -> Result<()> {
        match self.effects.get() {
            Some(0) => Err(Error::new(ErrorKind::Unavailable, "cut off")),
            left => {
                self.effects.set(left.map(|left| left - 1));
                Ok(())
            }
        }
    }

    fn read(&self, line: &str) -> Option<Row> {
        let twice = line.matches("\"id\"").count() > 1 && self.wrong != Wrong::TakesTwoNames;
        let is_object = serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object());
        let mut row = (is_object && !twice).then(|| row(line))?;
        if let (Wrong::Rounds, Some(number)) = (self.wrong, row.get_mut("n")) {
            *number = number.parse::<f64>().unwrap().to_string();
        }
        Some(row)
    }
}

fn key(row: &Row) -> String {
    row.get("id").cloned().unwrap_or_default()
}

impl Target for InMemory {
    fn modes(&self) -> Vec<Mode> {
        vec![Mode::Append, Mode::Upsert, Mode::Replace]
    }

    fn reset(&self) {
        self.stored.take();
    }

    fn cut_after(&self, effects: Option<u32>) {
        self.effects.set(effects);
    }

    fn write(&self, batch: Batch) -> Result<Vec<Rejected>> {
        let (mut rows, mut rejected) = (Vec::new(), Vec::new());
        for (line, text) in batch.lines() {
            match self.read(text) {
                Some(row) => rows.push(row),
                None if self.wrong == Wrong::LosesRefusedLines => {}
                None => {
                    let line = line + u32::from(self.wrong == Wrong::CountsFromOne);
                    rejected.push(Rejected { line, error: Error::invalid_input("no record") });
                }
            }
        }
        self.effect()?;
        let mut stored = self.stored.borrow_mut();
        if batch.mode == Mode::Append {
            if self.wrong == Wrong::AppendsTwice || stored.log.iter().all(|(id, _)| *id != batch.id) {
                stored.log.push((batch.id, rows));
            }
            return Ok(rejected);
        }
        if batch.mode == Mode::Replace
            && batch.generation < stored.complete
            && self.wrong != Wrong::TakesOlder
        {
            return Err(Error::conflict("an older generation"));
        }
        for row in rows {
            let gone =
                row.get("gone").is_some_and(|gone| gone == "true") && self.wrong != Wrong::KeepsTombstones;
            let entry = stored.keyed.entry(key(&row)).or_insert((0, None));
            if entry.0 <= batch.generation || self.wrong == Wrong::TakesOlder {
                *entry = (batch.generation, (!gone).then_some(row));
            }
        }
        Ok(rejected)
    }

    fn complete(&self, _: &str, generation: u64, removed_max: Option<u64>) -> Result<u64> {
        self.effect()?;
        let mut stored = self.stored.borrow_mut();
        let old = |(of, row): &(u64, Option<Row>)| *of < generation && row.is_some();
        let removed = stored.keyed.values().filter(|entry| old(entry)).count() as u64;
        if removed_max.is_some_and(|max| removed > max) && self.wrong != Wrong::ForgetsTheBound {
            return Err(Error::conflict("too many"));
        }
        if self.wrong != Wrong::RemovesNothing {
            stored.keyed.retain(|_, entry| !old(entry));
        }
        stored.complete = stored.complete.max(generation);
        Ok(removed)
    }

    fn rows(&self, _: &str, mode: Mode) -> Vec<Row> {
        let stored = self.stored.borrow();
        match mode {
            Mode::Append => stored.log.iter().flat_map(|(_, rows)| rows.clone()).collect(),
            _ => stored.keyed.values().filter_map(|(_, row)| row.clone()).collect(),
        }
    }
}

fn judged(wrong: Wrong) -> bool {
    let target = InMemory { wrong, stored: RefCell::default(), effects: Cell::new(None) };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| conforms(&target))).is_ok()
}

#[test]
fn what_conforms_passes() {
    assert!(judged(Wrong::Nothing));
}

#[test]
fn what_does_not_fails() {
    for wrong in [
        Wrong::AppendsTwice,
        Wrong::Rounds,
        Wrong::LosesRefusedLines,
        Wrong::TakesTwoNames,
        Wrong::KeepsTombstones,
        Wrong::RemovesNothing,
        Wrong::ForgetsTheBound,
        Wrong::TakesOlder,
        Wrong::CountsFromOne,
    ] {
        assert!(!judged(wrong), "{wrong:?}");
    }
}
