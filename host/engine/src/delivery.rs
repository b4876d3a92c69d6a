//! What becomes of a stored delivery after a run of it. Pure.

use crate::{
    Handled,
    limits::{
        DELIVERY_BACKOFF, DELIVERY_BACKOFF_MAX, DELIVERY_RUNS_MAX, DELIVERY_RUNS_OTHER_MAX, EVENT_WINDOW,
    },
    retry,
    run::Ending,
};
use portcullis_clock::{Random, Timestamp};
use portcullis_store::{Fate, NewEvent, Outcome};

/// A delivery that a run has.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// `dlv_…`
    pub(crate) delivery_id: String,
    /// Runs of it, this one included.
    pub(crate) runs: u32,
    /// The route that it came by.
    pub(crate) route: String,
}

impl Held {
    /// By how the run ended: `outcome` is the one that it would be stored with. An effect that can't be ruled out is never
    /// repeated by itself; a run that was stopped says nothing of the delivery.
    pub(crate) fn fate(
        &self,
        outcome: Outcome,
        ending: &Ending,
        handled: Option<&Handled>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Fate {
        match (outcome, handled, &ending.failure) {
            (Outcome::Succeeded, Some(handled), _) => {
                Fate::Done { events: events(handled), forget_at: now.plus(EVENT_WINDOW) }
            }
            (Outcome::Cancelled, ..) => Fate::Again { due_at: now },
            (Outcome::Failed, _, Some(failure)) => {
                let runs_max =
                    if retry::may_pass(&failure.kind) { DELIVERY_RUNS_MAX } else { DELIVERY_RUNS_OTHER_MAX };
                if self.runs >= runs_max {
                    return Fate::Dead;
                }
                let pause = retry::jittered(DELIVERY_BACKOFF, self.runs, DELIVERY_BACKOFF_MAX, random);
                Fate::Again { due_at: now.plus(pause.max(ending.retry_after.unwrap_or_default())) }
            }
            _ => Fate::Dead,
        }
    }
}

fn events(handled: &Handled) -> Vec<NewEvent> {
    let event = |event: &crate::Event| NewEvent {
        name: event.name.clone(),
        event_id: event.id.clone(),
        payload: event.payload.clone(),
        starts: Vec::new(),
    };
    handled.events.iter().map(event).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::{Event, Failure};
    use portcullis_clock::SeededRandom;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn fate(outcome: Outcome, ending: &Ending, runs: u32) -> Fate {
        let event = Event { name: "a".to_owned(), id: None, payload: "1".to_owned() };
        let handled = Handled { events: vec![event], reply: None };
        let handled = (outcome == Outcome::Succeeded).then_some(&handled);
        Held { delivery_id: "dlv_1".to_owned(), runs, route: "stripe".to_owned() }.fate(
            outcome,
            ending,
            handled,
            NOW,
            &SeededRandom::new(3),
        )
    }

    #[test]
    fn only_what_failed_without_effect_is_tried_again_and_not_for_ever() {
        let failed = |kind: &str| Ending::failed(Failure::new(kind, ""));
        let Fate::Done { events, forget_at } = fate(Outcome::Succeeded, &Ending::well(), 1) else { panic!() };
        assert_eq!((events.len(), forget_at), (1, NOW.plus(EVENT_WINDOW)));
        for outcome in [Outcome::Unknown, Outcome::DryRun, Outcome::DeadLettered] {
            assert_eq!(fate(outcome, &failed("unavailable"), 1), Fate::Dead, "{outcome:?}");
        }
        assert_eq!(fate(Outcome::Unknown, &Ending::well(), 1), Fate::Dead);
        for runs in [1, DELIVERY_RUNS_MAX + 1] {
            assert_eq!(fate(Outcome::Cancelled, &failed("cancelled"), runs), Fate::Again { due_at: NOW });
        }
        for (kind, runs_max) in [
            ("unavailable", DELIVERY_RUNS_MAX),
            ("timeout", DELIVERY_RUNS_MAX),
            ("rate-limited", DELIVERY_RUNS_MAX),
            ("trapped", DELIVERY_RUNS_OTHER_MAX),
            ("contract-drift", DELIVERY_RUNS_OTHER_MAX),
        ] {
            for runs in 1..=DELIVERY_RUNS_MAX {
                let again = matches!(fate(Outcome::Failed, &failed(kind), runs), Fate::Again { .. });
                assert_eq!(again, runs < runs_max, "{kind} {runs}");
            }
        }
    }

    #[test]
    fn pauses_grow_to_a_bound_and_respect_the_vendor() {
        let failure = Failure::new("unavailable", "");
        for runs in 1..DELIVERY_RUNS_MAX {
            let Fate::Again { due_at } = fate(Outcome::Failed, &Ending::failed(failure.clone()), runs) else {
                panic!()
            };
            let most = (DELIVERY_BACKOFF * 2_u32.pow(runs - 1)).min(DELIVERY_BACKOFF_MAX);
            assert!((NOW..=NOW.plus(most)).contains(&due_at), "{runs}");
        }
        let asked = Duration::from_secs(3 * 60 * 60);
        let Fate::Again { due_at } = fate(Outcome::Failed, &Ending::later(failure, asked), 1) else {
            panic!()
        };
        assert_eq!(due_at, NOW.plus(asked));
    }
}
