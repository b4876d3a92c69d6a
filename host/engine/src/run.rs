//! A run of one call (`call`, `check`, `discover`) as a state machine. Pure: it is told what happened and says
//! what comes next; waiting, calling and storing are the engine's.

use crate::{
    Failure,
    retry::{self, Verdict},
};
use portcullis_clock::Random;
use portcullis_store::{Effects, Outcome};
use std::time::Duration;

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<String>,
    pub(crate) failure: Option<Failure>,
    /// From now, where the vendor asked for a pause.
    pub(crate) retry_after: Option<Duration>,
}

/// What may have happened at the vendor, as far as the run's outcome and a repeat depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Doubt {
    /// Something left without a proven answer.
    pub(crate) unproven: bool,
    /// Another attempt can do nothing twice.
    pub(crate) harmless: bool,
}

#[derive(Debug)]
pub(crate) enum Event {
    /// The call came back; `Err` with the kind `cancelled` where it was stopped.
    Returned(Result<(), Failure>, Doubt),
    Waited,
    Cancelled(Doubt),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Call { attempt: u32 },
    Wait(Duration),
    End(Ending),
}

/// Calls until it is done, may not be repeated, or was repeated often enough.
pub(crate) struct CallMachine {
    attempt: u32,
}

impl CallMachine {
    /// The machine, and the attempt it begins with.
    pub(crate) fn begin() -> (Self, u32) {
        (Self { attempt: 1 }, 1)
    }

    pub(crate) fn on(&mut self, event: Event, random: &dyn Random) -> Step {
        match event {
            Event::Waited => {
                self.attempt += 1;
                Step::Call { attempt: self.attempt }
            }
            Event::Cancelled(doubt) => Step::End(Ending::of(Err(Failure::cancelled()), doubt)),
            Event::Returned(Ok(()), doubt) => Step::End(Ending::of(Ok(()), doubt)),
            Event::Returned(Err(failure), doubt) => {
                match retry::verdict(&failure, self.attempt, doubt.harmless, random) {
                    Verdict::Again(pause) => Step::Wait(pause),
                    Verdict::Later(pause) => Step::End(Ending::later(failure, pause, doubt)),
                    Verdict::Over => Step::End(Ending::of(Err(failure), doubt)),
                }
            }
        }
    }
}

impl Doubt {
    /// From what the store knows and the caller said. `keyed` = the action promises one key on every attempt.
    pub(crate) fn new(effects: Effects, unproven: bool, keyed: bool) -> Self {
        let harmless = match effects {
            Effects { possible: false, .. } => !unproven,
            Effects { unrepeatable, .. } => keyed && !unrepeatable,
        };
        Self { unproven: unproven || effects.unproven, harmless }
    }
}

impl Ending {
    /// An effect that can be neither shown nor ruled out outweighs whatever else was said.
    pub(crate) fn of(result: Result<(), Failure>, doubt: Doubt) -> Self {
        let failure = result.err();
        let (outcome, reason) = match &failure {
            _ if doubt.unproven => (Outcome::Unknown, Some("unproven-effect".to_owned())),
            None => (Outcome::Succeeded, None),
            Some(failure) if failure.kind == "cancelled" => (Outcome::Cancelled, Some(failure.kind.clone())),
            Some(failure) => (Outcome::Failed, Some(failure.kind.clone())),
        };
        Self { outcome, reason, failure, retry_after: None }
    }

    /// A pause that is longer than a run waits.
    pub(crate) fn later(failure: Failure, pause: Duration, doubt: Doubt) -> Self {
        let mut ending = Self::of(Err(failure), doubt);
        if ending.outcome == Outcome::Failed {
            ending.reason = Some("rate-limited".to_owned());
        }
        ending.retry_after = Some(pause);
        ending
    }
}

impl Failure {
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into(), retry_after_ms: None, details: None }
    }

    pub(crate) fn cancelled() -> Self {
        Self::new("cancelled", "the run was cancelled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_clock::SeededRandom;

    const HARMLESS: Doubt = Doubt { unproven: false, harmless: true };
    const HARMFUL: Doubt = Doubt { unproven: false, harmless: false };
    const IN_DOUBT: Doubt = Doubt { unproven: true, harmless: false };

    fn failed(kind: &str, after: Option<u64>) -> Result<(), Failure> {
        Err(Failure { retry_after_ms: after, ..Failure::new(kind, "") })
    }

    #[test]
    fn outcomes() {
        let check = |result, doubt, outcome, reason: Option<&str>| {
            let (mut machine, _) = CallMachine::begin();
            let Step::End(ending) = machine.on(Event::Returned(result, doubt), &SeededRandom::new(1)) else {
                panic!("it goes on")
            };
            assert_eq!((ending.outcome, ending.reason.as_deref()), (outcome, reason));
        };
        check(Ok(()), HARMLESS, Outcome::Succeeded, None);
        check(Ok(()), IN_DOUBT, Outcome::Unknown, Some("unproven-effect"));
        check(failed("not-found", None), HARMLESS, Outcome::Failed, Some("not-found"));
        check(failed("unavailable", None), HARMFUL, Outcome::Failed, Some("unavailable"));
        check(failed("unavailable", None), IN_DOUBT, Outcome::Unknown, Some("unproven-effect"));
        check(failed("cancelled", None), HARMLESS, Outcome::Cancelled, Some("cancelled"));
        check(failed("cancelled", None), IN_DOUBT, Outcome::Unknown, Some("unproven-effect"));
        check(failed("unavailable", Some(60_000)), HARMLESS, Outcome::Failed, Some("rate-limited"));
    }

    #[test]
    fn a_call_is_repeated_a_bounded_number_of_times() {
        let random = SeededRandom::new(1);
        let (mut machine, attempt) = CallMachine::begin();
        assert_eq!(attempt, 1);
        for attempt in 2..=3 {
            let step = machine.on(Event::Returned(failed("unavailable", Some(7)), HARMLESS), &random);
            assert_eq!(step, Step::Wait(Duration::from_millis(7)));
            assert_eq!(machine.on(Event::Waited, &random), Step::Call { attempt });
        }
        let step = machine.on(Event::Returned(failed("unavailable", Some(7)), HARMLESS), &random);
        assert!(matches!(step, Step::End(Ending { outcome: Outcome::Failed, .. })));
    }

    #[test]
    fn what_may_be_repeated() {
        let check = |unproven, possible, unrepeatable, keyed, harmless| {
            let doubt = Doubt::new(Effects { unproven, possible, unrepeatable }, unproven, keyed);
            assert_eq!((doubt.harmless, doubt.unproven), (harmless, unproven));
        };
        check(false, false, false, false, true);
        check(true, true, false, true, true);
        check(true, true, false, false, false);
        check(true, true, true, true, false);
        // It happened for sure: only a key keeps it from happening twice.
        check(false, true, false, true, true);
        check(false, true, false, false, false);
        // The caller knows of an effect that the store does not.
        assert!(!Doubt::new(Effects::default(), true, true).harmless);
    }
}
