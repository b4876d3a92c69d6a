//! A run of one call (`call`, `check`, `discover`) as a state machine. Pure: it is told what happened and says
//! what comes next; waiting, calling and storing are the engine's.

use crate::{
    Failure,
    retry::{self, Verdict},
};
use portcullis_clock::Random;
use portcullis_store::{Effects, Outcome};
use std::time::Duration;

/// How a run ends, as far as its calls tell. What it may have done at the vendor is asked when it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// None = well.
    pub(crate) failure: Option<Failure>,
    /// Instead of the failure's kind.
    pub(crate) reason: Option<&'static str>,
    /// From now, where the vendor asked for a pause.
    pub(crate) retry_after: Option<Duration>,
}

/// What may have happened at the vendor, as far as a repeat depends on it.
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
    Cancelled,
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
            Event::Cancelled => Step::End(Ending::failed(Failure::cancelled())),
            Event::Returned(Ok(()), _) => Step::End(Ending::well()),
            Event::Returned(Err(failure), doubt) => {
                match retry::verdict(&failure, self.attempt, doubt.harmless, random) {
                    Verdict::Again(pause) => Step::Wait(pause),
                    Verdict::Later(pause) => Step::End(Ending::later(failure, pause)),
                    Verdict::Over => Step::End(Ending::failed(failure)),
                }
            }
        }
    }
}

impl Doubt {
    /// `keyed` = the action promises one key on every attempt.
    pub(crate) fn new(effects: Effects, keyed: bool) -> Self {
        let harmless = !effects.possible || keyed && !effects.unrepeatable;
        Self { unproven: effects.unproven, harmless }
    }
}

impl Ending {
    /// As it should.
    pub(crate) fn well() -> Self {
        Self { failure: None, reason: None, retry_after: None }
    }

    pub(crate) fn of(outcome: Result<(), Failure>) -> Self {
        outcome.map_or_else(Self::failed, |()| Self::well())
    }

    pub(crate) fn failed(failure: Failure) -> Self {
        Self { failure: Some(failure), reason: None, retry_after: None }
    }

    /// A pause that is longer than a run waits.
    pub(crate) fn later(failure: Failure, pause: Duration) -> Self {
        Self { failure: Some(failure), reason: Some("rate-limited"), retry_after: Some(pause) }
    }

    /// The one rule: a run that did not end well is `unknown` where anything that it sent may have had an effect,
    /// whatever ended it. One that ended well is in doubt only about what is not proven.
    pub(crate) fn verdict(&self, effects: Effects) -> (Outcome, Option<String>) {
        let doubt = effects.reason().filter(|_| self.failure.is_some() || effects.unproven);
        let (outcome, reason) = match (&self.failure, doubt) {
            (_, Some(doubt)) => (Outcome::Unknown, Some(doubt)),
            (None, None) => (Outcome::Succeeded, None),
            (Some(failure), None) => {
                let cancelled = failure.kind == "cancelled";
                let outcome = if cancelled { Outcome::Cancelled } else { Outcome::Failed };
                (outcome, Some(self.reason.unwrap_or(&failure.kind)))
            }
        };
        (outcome, reason.map(str::to_owned))
    }

    /// Of a dry run. What the connector did once a request was held back does not count: it would have gone on otherwise.
    pub(crate) fn verdict_dry(&self, effects: Effects, withheld: bool) -> (Outcome, Option<String>) {
        match (effects.reason(), &self.failure) {
            (None, _) if withheld => (Outcome::DryRun, Some("withheld".to_owned())),
            (None, None) => (Outcome::DryRun, None),
            // Nothing of a dry run can be in doubt; were it, it would not be told otherwise.
            _ => self.verdict(effects),
        }
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

    fn failed(kind: &str, after: Option<u64>) -> Result<(), Failure> {
        Err(Failure { retry_after_ms: after, ..Failure::new(kind, "") })
    }

    #[test]
    fn outcomes() {
        let none = Effects::default();
        let possible = Effects { possible: true, ..none };
        let unproven = Effects { unproven: true, ..possible };
        let check = |result, effects, outcome, reason: Option<&str>| {
            let (mut machine, _) = CallMachine::begin();
            let Step::End(ending) = machine.on(Event::Returned(result, HARMFUL), &SeededRandom::new(1))
            else {
                panic!("it goes on")
            };
            let (found, why) = ending.verdict(effects);
            assert_eq!((found, why.as_deref()), (outcome, reason));
        };
        check(Ok(()), none, Outcome::Succeeded, None);
        check(Ok(()), possible, Outcome::Succeeded, None);
        check(Ok(()), unproven, Outcome::Unknown, Some("unproven-effect"));
        for kind in ["not-found", "unavailable", "timeout", "trapped", "sink", "host"] {
            check(failed(kind, None), none, Outcome::Failed, Some(kind));
            check(failed(kind, None), possible, Outcome::Unknown, Some("possible-effect"));
            check(failed(kind, None), unproven, Outcome::Unknown, Some("unproven-effect"));
        }
        check(failed("cancelled", None), none, Outcome::Cancelled, Some("cancelled"));
        check(failed("cancelled", None), possible, Outcome::Unknown, Some("possible-effect"));
        check(failed("cancelled", None), unproven, Outcome::Unknown, Some("unproven-effect"));
        check(failed("unavailable", Some(60_000)), none, Outcome::Failed, Some("rate-limited"));
        check(failed("unavailable", Some(60_000)), possible, Outcome::Unknown, Some("possible-effect"));
    }

    #[test]
    fn outcomes_of_dry_runs() {
        let none = Effects::default();
        let check = |result, effects, withheld, outcome, reason: Option<&str>| {
            let (found, why) = Ending::of(result).verdict_dry(effects, withheld);
            assert_eq!((found, why.as_deref()), (outcome, reason));
        };
        check(Ok(()), none, false, Outcome::DryRun, None);
        check(Ok(()), none, true, Outcome::DryRun, Some("withheld"));
        check(failed("cancelled", None), none, true, Outcome::DryRun, Some("withheld"));
        check(failed("internal", None), none, true, Outcome::DryRun, Some("withheld"));
        check(failed("not-found", None), none, false, Outcome::Failed, Some("not-found"));
        check(failed("cancelled", None), none, false, Outcome::Cancelled, Some("cancelled"));
        let possible = Effects { possible: true, ..none };
        check(failed("timeout", None), possible, true, Outcome::Unknown, Some("possible-effect"));
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
        assert!(matches!(step, Step::End(Ending { failure: Some(_), .. })));
    }

    #[test]
    fn what_may_be_repeated() {
        let check = |unproven, possible, unrepeatable, keyed, harmless| {
            let doubt = Doubt::new(Effects { unproven, possible, unrepeatable }, keyed);
            assert_eq!((doubt.harmless, doubt.unproven), (harmless, unproven));
        };
        check(false, false, false, false, true);
        check(true, true, false, true, true);
        check(true, true, false, false, false);
        check(true, true, true, true, false);
        // It happened for sure: only a key keeps it from happening twice.
        check(false, true, false, true, true);
        check(false, true, false, false, false);
    }
}
