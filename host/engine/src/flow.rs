//! What a flow is: what begins its runs, and the steps of each. Parsed elsewhere; pure.

use crate::{Mode, limits::CATCH_UP_MAX};
use portcullis_clock::{Cron, Timestamp};
use portcullis_store::Outcome;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The flows that there are, by name.
pub type Flows = BTreeMap<String, Flow>;

/// A flow: what begins its runs, and what each does.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// By itself; none of them = only somebody begins it.
    pub triggers: Triggers,
    /// A pointer into the input (RFC 6901): runs whose inputs have the same there go one behind the other, in order.
    pub order_by: Option<String>,
    /// Runs at a time.
    pub concurrency: u32,
    /// In order.
    pub steps: Vec<FlowStep>,
}

/// What begins runs of a flow.
#[derive(Clone, Debug, Default)]
pub struct Triggers {
    /// Times.
    pub schedule: Option<Schedule>,
    /// Events.
    pub webhook: Option<WebhookTrigger>,
    /// The end of a run of another flow.
    pub after: Option<AfterTrigger>,
}

/// Events of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookTrigger {
    /// The route's name.
    pub route: String,
    /// Names of events; empty = every one.
    pub events: Vec<String>,
}

/// The end of a run of another flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfterTrigger {
    /// The other flow's name.
    pub flow: String,
    /// How it ended.
    pub outcomes: Vec<Outcome>,
}

/// When a flow comes due.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// As it was written: another one begins anew.
    pub text: String,
    /// Times.
    pub timing: Timing,
    /// A time that comes while an earlier run waits or runs.
    pub overlap: Overlap,
    /// Times that came while nobody looked.
    pub catch_up: CatchUp,
}

/// Times of a schedule.
#[derive(Clone, Debug)]
pub enum Timing {
    /// Of a calendar.
    Cron(Box<Cron>),
    /// Whole multiples of it since 1970-01-01T00:00Z.
    Every(Duration),
}

/// What becomes of a time that comes while an earlier run waits or runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Nothing.
    #[default]
    Skip,
    /// A run that waits.
    Queue,
}

/// What becomes of times that came while nobody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// A run for the last of them.
    #[default]
    One,
    /// A run each, for the last `CATCH_UP_MAX`.
    All,
    /// Nothing, unless the last of them has only just come.
    None,
}

/// A step of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FlowStep {
    /// Its name.
    pub name: String,
    /// jq: the step is passed over where it says `false` or `null`.
    pub when: Option<String>,
    /// jq: the step is done for each of its outputs, whose outputs together are the step's.
    pub for_each: Option<String>,
    /// What is done.
    pub work: Work,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Work {
    /// Computes.
    Map {
        /// jq.
        program: String,
    },
    /// Has a connection do something.
    Action {
        /// The connection's name.
        connection: String,
        /// The action's.
        action: String,
        /// jq: its input; none = what the step before left.
        input: Option<String>,
    },
    /// Copies streams of one connection into another.
    Sync(SyncStep),
}

/// What is copied, from where to where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SyncStep {
    /// The name of the connection that is read.
    pub source: String,
    /// Its streams, one behind the other.
    pub streams: Vec<String>,
    /// The name of the connection that is written to.
    pub destination: String,
    /// How.
    pub mode: Mode,
    /// What the streams' names begin with there.
    pub stream_prefix: String,
    /// jq: what is written of each record; nothing = it is dropped.
    pub map: Option<String>,
}

impl SyncStep {
    /// A stream's name at the destination.
    pub fn target(&self, stream: &str) -> String {
        format!("{}{stream}", self.stream_prefix)
    }
}

impl Flow {
    /// What its runs do, as it is stored with them.
    pub fn stored_steps(&self) -> Arc<str> {
        // Strings, and structs of them: nothing that can't be written.
        serde_json::to_string(&self.steps).unwrap_or_default().into()
    }

    /// Whether it copies streams: its runs go one behind the other.
    pub fn syncs(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.work, Work::Sync(_)))
    }

    /// By what runs of it are kept in order.
    pub(crate) fn order_key(&self, input: &str) -> Option<String> {
        // Two that read one stream would move one position.
        if self.syncs() {
            return Some("sync".to_owned());
        }
        let pointer = self.order_by.as_deref()?;
        let input: serde_json::Value = serde_json::from_str(input).ok()?;
        input.pointer(pointer).map(ToString::to_string)
    }
}

impl Schedule {
    /// The first of its times after this moment.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.timing {
            Timing::Cron(cron) => cron.after(moment),
            Timing::Every(every) => {
                let every = i64::try_from(every.as_millis()).ok().filter(|every| *every > 0)?;
                let next = moment.as_millis().div_euclid(every).checked_add(1)?.checked_mul(every)?;
                Some(Timestamp::from_millis(next))
            }
        }
    }

    /// The times from `first` up to `now` that a run is to be begun for, and the next time behind them.
    pub(crate) fn come(&self, first: Timestamp, now: Timestamp) -> (Vec<Timestamp>, Option<Timestamp>) {
        if now < first {
            return (Vec::new(), Some(first));
        }
        let wanted = if self.catch_up == CatchUp::All { CATCH_UP_MAX } else { 1 };
        let mut times = self.last(first, now, wanted);
        if self.catch_up == CatchUp::None {
            times.retain(|time| now.since(*time) <= ON_TIME);
        }
        (times, self.after(now))
    }

    /// The last so many times from `first` to `now`, without a look at each of years that nobody was there.
    fn last(&self, first: Timestamp, now: Timestamp, wanted: usize) -> Vec<Timestamp> {
        let mut back = Duration::from_secs(3600);
        loop {
            let from = now.minus(back).max(first);
            let mut times = Vec::new();
            // A moment before: what comes at `from` itself counts.
            let mut next = self.after(from.minus(Duration::from_millis(1)));
            while let Some(time) = next.filter(|time| *time <= now) {
                times.push(time);
                next = self.after(time);
            }
            if times.len() >= wanted || from == first {
                times.drain(..times.len().saturating_sub(wanted));
                return times;
            }
            back = back.saturating_mul(4);
        }
    }
}

/// A time that came no longer ago was not missed.
const ON_TIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
