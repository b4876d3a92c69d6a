//! The machine's clocks and the kernel's randomness. The wall clock is read here and nowhere else.

use crate::{BoxFuture, Clock, Random, Timestamp};
use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

/// The machine's clocks. `sleep` needs a tokio runtime with its timer on.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one home of the wall clock")]
        let ms = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Timestamp::from_millis(ms)
    }

    #[expect(clippy::disallowed_methods, reason = "the one home of the monotonic clock")]
    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The kernel's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealRandom;

impl Random for RealRandom {
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            // No guest, peer or file can cause this, and ids or keys made of zeros would be worse than an end.
            panic!("the kernel gives no randomness: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_go_on() {
        let clock = RealClock;
        let (wall, monotonic) = (clock.now(), clock.monotonic());
        assert!(wall > Timestamp::from_millis(1_735_689_600_000), "{wall}");
        assert!(clock.monotonic() >= monotonic);
    }

    #[test]
    fn randomness_differs() {
        let (mut a, mut b) = ([0_u8; 32], [0_u8; 32]);
        RealRandom.fill(&mut a);
        RealRandom.fill(&mut b);
        assert_ne!(a, b);
    }
}
