//! Time, randomness and ids, real and seeded. The only home of the wall clock.

mod calendar;
mod id;
mod real;
mod seeded;

pub use calendar::{Cron, CronError};
pub use id::new_id;
pub use real::{RealClock, RealRandom};
pub use seeded::{SeededClock, SeededRandom};

use std::{fmt, future::Future, pin::Pin, time::Duration};

/// A boxed future, as the ports of this workspace return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Milliseconds since 1970-01-01T00:00:00Z. `Display` is RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }
    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
    /// This moment and `duration`, saturating.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
    /// From RFC 3339, to the millisecond; none where it is no such moment.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|moment| Self(moment.as_millisecond()))
    }
    /// This moment less `duration`, saturating.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
    /// How long from `earlier` to this moment; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Wall time, monotonic time and waiting.
pub trait Clock: Send + Sync {
    /// Wall time.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;
    /// Ends after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// A source of randomness.
pub trait Random: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // RFC 3339 knows the years 0 to 9999 alone; what lies outside prints as the nearest moment inside.
        let moment = jiff::Timestamp::from_millisecond(self.0.max(RFC_3339_MILLIS_MIN));
        let moment = moment.unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{moment:.3}")
    }
}

/// 0000-01-01T00:00:00Z.
const RFC_3339_MILLIS_MIN: i64 = -62_167_219_200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_in_utc_with_milliseconds() {
        fn check(ms: i64, text: &str) {
            assert_eq!(Timestamp::from_millis(ms).to_string(), text);
        }
        check(0, "1970-01-01T00:00:00.000Z");
        check(1, "1970-01-01T00:00:00.001Z");
        check(-1, "1969-12-31T23:59:59.999Z");
        check(1_767_225_599_120, "2025-12-31T23:59:59.120Z");
        check(RFC_3339_MILLIS_MIN, "0000-01-01T00:00:00.000Z");
        check(i64::MIN, "0000-01-01T00:00:00.000Z");
        check(i64::MAX, "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn reads_what_it_prints_and_any_offset() {
        for ms in [0, 1_700_000_000_123, -1] {
            let moment = Timestamp::from_millis(ms);
            assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
        }
        let noon = Timestamp::parse("2026-11-27T12:00:00Z");
        assert!(noon.is_some());
        assert_eq!(Timestamp::parse("2026-11-27T13:00:00+01:00"), noon);
        for other in ["", "yesterday", "2026-11-27", "2026-11-27T12:00:00", "2026-13-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(other), None, "{other}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let start = Timestamp::from_millis(5);
        assert_eq!(start.plus(Duration::MAX), Timestamp::from_millis(i64::MAX));
        assert_eq!(start.plus(Duration::from_millis(7)).since(start), Duration::from_millis(7));
        assert_eq!(start.since(start.plus(Duration::from_millis(7))), Duration::ZERO);
        assert_eq!(
            Timestamp::from_millis(i64::MAX).since(Timestamp::from_millis(i64::MIN)).as_millis(),
            i64::MAX as u128
        );
    }
}
