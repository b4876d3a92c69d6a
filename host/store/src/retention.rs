//! How much history is kept, by age and by size.

use std::time::Duration;

/// What is older, or beyond this size, goes; the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Since it began.
    pub age: Duration,
    /// Bytes of all together, as they are counted: the database file may be larger by a quarter.
    pub bytes: u64,
}

impl Retention {
    /// Of the exchange log, where nobody says otherwise: 30 days, 2 GiB. One connection keeps an eighth of the bytes at most.
    pub const EXCHANGES: Self = Self { age: Duration::from_secs(30 * DAY), bytes: 2 << 30 };
    /// Of runs, where nobody says otherwise: a year, 2 GiB.
    pub const RUNS: Self = Self { age: Duration::from_secs(365 * DAY), bytes: 2 << 30 };
    /// Of deliveries, where nobody says otherwise: 30 days, 2 GiB.
    pub const DELIVERIES: Self = Self { age: Duration::from_secs(30 * DAY), bytes: 2 << 30 };
    /// What may be asked for: less would lose what an operator looks for in the morning, more fits no disk.
    pub const BYTES: std::ops::RangeInclusive<u64> = 16 << 20..=1 << 40;
}

const DAY: u64 = 24 * 60 * 60;
