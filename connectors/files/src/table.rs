//! Which record of each key is the last one: as many slots as there are records and a quarter more, made once, so that what it takes
//! is known before anything is read.

use crate::limits::RECORDS_MAX;
use portcullis_sdk::{Error, Result};

/// In place of a record's number, where there is none.
const FREE: u32 = u32::MAX;
/// The record says that it is gone.
const GONE: u32 = 1 << 31;

const _: () = assert!(RECORDS_MAX < GONE as usize);

/// Keys with the number of their last record.
pub struct Table {
    keys: Vec<u128>,
    numbers: Vec<u32>,
    records: usize,
}

impl Table {
    /// For so many records.
    pub fn of(records: usize) -> Self {
        let slots = records + records / 4 + 1;
        Self { keys: vec![0; slots], numbers: vec![FREE; slots], records: 0 }
    }

    /// The next record has this key.
    pub fn push(&mut self, key: u128, gone: bool) -> Result<()> {
        let number = u32::try_from(self.records).unwrap_or(FREE);
        let slot = self.slot(key);
        // One slot stays free for ever, and whoever looks for a key comes to an end.
        let last_one = self.records + 1 >= self.numbers.len();
        match (self.keys.get_mut(slot), self.numbers.get_mut(slot)) {
            (Some(there), Some(last)) if !last_one => {
                *there = key;
                *last = number | if gone { GONE } else { 0 };
            }
            _ => return Err(full()),
        }
        self.records += 1;
        Ok(())
    }

    /// Whether a record of this key is there, and not gone.
    pub fn has(&self, key: u128) -> bool {
        self.numbers.get(self.slot(key)).is_some_and(|number| *number < GONE)
    }

    /// The keys that are there.
    pub fn keys(&self) -> impl Iterator<Item = u128> + '_ {
        self.keys.iter().zip(&self.numbers).filter(|(_, number)| **number < GONE).map(|(key, _)| *key)
    }

    /// Whether a record, by its number, is the last of its key and not gone.
    pub fn kept(&self) -> Kept {
        let mut bits = vec![0_u8; self.records.div_ceil(8)];
        for number in self.numbers.iter().filter(|number| **number < GONE) {
            if let Some(byte) = bits.get_mut(*number as usize / 8) {
                *byte |= 1 << (number % 8);
            }
        }
        Kept { bits, at: 0 }
    }

    /// Where the key is, or would be.
    fn slot(&self, key: u128) -> usize {
        let slots = self.numbers.len();
        // Keys are hashes: their upper half is evenly spread.
        let begin = ((key >> 64) * slots as u128) >> 64;
        let mut slot = usize::try_from(begin).unwrap_or(0);
        while let (Some(number), Some(there)) = (self.numbers.get(slot), self.keys.get(slot)) {
            if *number == FREE || *there == key {
                return slot;
            }
            slot = if slot + 1 == slots { 0 } else { slot + 1 };
        }
        slot
    }
}

fn full() -> Error {
    Error::internal("a part of the snapshot has more lines than its name says")
}

/// Answers in the order of the records.
pub struct Kept {
    bits: Vec<u8>,
    at: usize,
}

impl Iterator for Kept {
    type Item = bool;

    fn next(&mut self) -> Option<bool> {
        let byte = self.bits.get(self.at / 8)?;
        let kept = byte >> (self.at % 8) & 1 == 1;
        self.at += 1;
        Some(kept)
    }
}

#[cfg(test)]
mod tests;
