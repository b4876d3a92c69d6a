//! Time and randomness for simulation: the same seed and the same calls give the same run. Never for keys.

use crate::{BoxFuture, Clock, Random, Timestamp};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// A clock that only moves when told: by `advance`, by a `sleep` that is awaited (it ends at once and time has
/// moved by as much), and, where a step was given, by that step at every reading. Clones share their time.
#[derive(Clone, Debug)]
pub struct SeededClock {
    time: Arc<Mutex<Time>>,
}

#[derive(Debug)]
struct Time {
    start: Timestamp,
    passed: Duration,
    /// How far the wall clock was set off against the monotonic one, in ms.
    wall_set_off_ms: i64,
    step: Duration,
    slept: Duration,
}

impl SeededClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self::with_step(start, Duration::ZERO)
    }

    /// A clock that moves by `step` after every reading, so that no two readings are the same moment.
    pub fn with_step(start: Timestamp, step: Duration) -> Self {
        let time = Time { start, passed: Duration::ZERO, wall_set_off_ms: 0, step, slept: Duration::ZERO };
        Self { time: Arc::new(Mutex::new(time)) }
    }

    /// Moves wall and monotonic time.
    pub fn advance(&self, duration: Duration) {
        let mut time = self.lock();
        time.passed = time.passed.saturating_add(duration);
    }

    /// Sets the wall clock alone, as an administrator or NTP does; may go back.
    pub fn set_wall(&self, now: Timestamp) {
        let mut time = self.lock();
        let unset = time.start.plus(time.passed);
        time.wall_set_off_ms = now.as_millis().saturating_sub(unset.as_millis());
    }

    /// How long all sleeps took together.
    pub fn slept(&self) -> Duration {
        self.lock().slept
    }

    fn lock(&self) -> MutexGuard<'_, Time> {
        // Every update is whole: a thread that panicked elsewhere left nothing half done.
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> (Timestamp, Duration) {
        let mut time = self.lock();
        let wall = time.start.plus(time.passed).as_millis().saturating_add(time.wall_set_off_ms);
        let passed = time.passed;
        time.passed = passed.saturating_add(time.step);
        (Timestamp::from_millis(wall), passed)
    }
}

impl Default for SeededClock {
    /// Stands at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp::from_millis(1_767_225_600_000))
    }
}

impl Clock for SeededClock {
    fn now(&self) -> Timestamp {
        self.read().0
    }

    fn monotonic(&self) -> Duration {
        self.read().1
    }

    /// Time moves when the future is first polled, not when it is made: a sleep that is dropped unawaited took none.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            let mut time = clock.lock();
            time.passed = time.passed.saturating_add(duration);
            time.slept = time.slept.saturating_add(duration);
        })
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014). Clones share their state.
#[derive(Clone, Debug)]
pub struct SeededRandom {
    state: Arc<Mutex<u64>>,
}

impl SeededRandom {
    /// A stream of bytes that the seed decides.
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(seed)) }
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn stands_still_until_told() {
        let clock = SeededClock::new(Timestamp::from_millis(1000));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_millis(5));
        assert_eq!((clock.now().as_millis(), clock.monotonic().as_millis()), (1005, 5));
        clock.set_wall(Timestamp::from_millis(10));
        clock.advance(Duration::from_millis(1));
        assert_eq!((clock.now().as_millis(), clock.monotonic().as_millis()), (11, 6));
    }

    #[test]
    fn a_step_moves_it_at_every_reading() {
        let clock = SeededClock::with_step(Timestamp::from_millis(0), Duration::from_millis(2));
        let read: Vec<_> = (0..3).map(|_| clock.now().as_millis()).collect();
        assert_eq!(read, [0, 2, 4]);
    }

    #[test]
    fn a_sleep_takes_virtual_time_only_when_awaited() {
        let clock = SeededClock::default();
        drop(clock.sleep(Duration::from_secs(1)));
        assert_eq!(clock.slept(), Duration::ZERO);
        let mut sleep = clock.sleep(Duration::from_secs(3600));
        let polled = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(()));
        assert_eq!((clock.monotonic().as_secs(), clock.slept().as_secs()), (3600, 3600));
    }

    #[test]
    fn the_seed_decides() {
        let bytes = |seed| {
            let mut bytes = [0_u8; 19];
            SeededRandom::new(seed).fill(&mut bytes);
            bytes
        };
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
        // First word of the reference implementation for seed 0.
        assert_eq!(bytes(0)[..8], 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
    }
}
