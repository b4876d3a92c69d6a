//! When a call is made again, and when its run ends instead. Pure. Retries inside a call are egress's; these are
//! for calls that ended as a whole.

use crate::{
    Failure,
    limits::{ATTEMPTS_MAX, BACKOFF, WAIT_MAX},
};
use portcullis_clock::Random;
use std::time::Duration;

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same call once more, after this time.
    Again(Duration),
    /// The vendor wants a pause longer than a run waits.
    Later(Duration),
    /// It stays failed.
    Over,
}

/// `harmless` = an attempt more can do nothing twice.
pub(crate) fn verdict(failure: &Failure, attempt: u32, harmless: bool, random: &dyn Random) -> Verdict {
    if !may_pass(&failure.kind) {
        return Verdict::Over;
    }
    let asked = failure.retry_after_ms.map(Duration::from_millis);
    match asked {
        Some(pause) if pause > WAIT_MAX => Verdict::Later(pause),
        _ if !harmless || attempt >= ATTEMPTS_MAX => Verdict::Over,
        Some(pause) => Verdict::Again(pause),
        None => Verdict::Again(jittered(BACKOFF, attempt, WAIT_MAX, random)),
    }
}

/// A failure that time alone may mend.
pub(crate) fn may_pass(kind: &str) -> bool {
    matches!(kind, "unavailable" | "timeout" | "rate-limited")
}

/// Full jitter: anything from nothing to the doubled pause, so that many callers do not come back as one.
pub(crate) fn jittered(first: Duration, attempt: u32, most: Duration, random: &dyn Random) -> Duration {
    let mut bytes = [0_u8; 8];
    random.fill(&mut bytes);
    let ceiling = first.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(most);
    let ms = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(u64::from_le_bytes(bytes) % (ms + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_clock::SeededRandom;

    fn failure(kind: &str, retry_after_ms: Option<u64>) -> Failure {
        Failure { kind: kind.to_owned(), message: String::new(), retry_after_ms, details: None }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let random = SeededRandom::new(3);
        let check = |kind, after, attempt, harmless, expected| {
            assert_eq!(
                verdict(&failure(kind, after), attempt, harmless, &random),
                expected,
                "{kind} {after:?}"
            );
        };
        let ms = Duration::from_millis;
        check("rate-limited", Some(10_000), 1, true, Verdict::Again(ms(10_000)));
        check("rate-limited", Some(10_001), 1, true, Verdict::Later(ms(10_001)));
        // A pause that is asked for is told, also where nothing is tried again.
        check("rate-limited", Some(10_001), 9, false, Verdict::Later(ms(10_001)));
        check("unavailable", Some(5), 1, false, Verdict::Over);
        check("unavailable", Some(5), ATTEMPTS_MAX, true, Verdict::Over);
        check("timeout", Some(5), ATTEMPTS_MAX - 1, true, Verdict::Again(ms(5)));
        for kind in ["not-found", "denied", "panicked", "internal", "cancelled", "position-expired"] {
            check(kind, Some(5), 1, true, Verdict::Over);
        }
        for attempt in 1..3 {
            let Verdict::Again(pause) = verdict(&failure("timeout", None), attempt, true, &random) else {
                panic!()
            };
            assert!(pause <= BACKOFF * 2_u32.pow(attempt - 1));
        }
    }

    #[test]
    fn authors_are_told_which_kinds_are_tried_again() {
        let page = include_str!("../../../docs/authors/errors.md");
        let mut seen = 0;
        for row in page.lines().skip_while(|line| *line != "| kind | when | the host |").skip(2) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [kind, _, host] = cells.as_slice() else { break };
            let failure = failure(kind.trim_matches('`'), None);
            let again = verdict(&failure, 1, true, &SeededRandom::new(3)) != Verdict::Over;
            assert_eq!(host.starts_with("again"), again, "{row}");
            seen += 1;
        }
        assert_eq!(seen, 15);
    }
}
