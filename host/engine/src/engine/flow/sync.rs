//! A stream into a destination, as a step of a flow: a run of its own a stream, which stays open while it waits. Each page's records
//! are at the destination before its position is committed, with what was refused; so a crash between the two writes the page once
//! more, and loses none. Whoever goes on begins where the stored position is.

mod begin;
mod end;
mod page;
mod pages;

use super::{Bad, Unit, scope::Scope};
use crate::{
    EngineError, Failure, FlowStep, Schema, StreamDescriptor, SyncStep,
    engine::{Engine, Fruit, Run, attempt::Cancellation},
    limits::{DELIVERY_BACKOFF, DELIVERY_BACKOFF_MAX, DELIVERY_RUNS_MAX},
    retry,
    run::{Doubt, Ending},
};
use portcullis_clock::Timestamp;
use portcullis_store::{AttemptEnd, FlowRun, Outcome, PositionKey, SyncRow};
use serde_json::json;

/// One stream's sync under way.
struct Syncing {
    /// Its run, as it calls the connection that is read.
    source: Run,
    /// The same as it calls the destination.
    target: Run,
    work: SyncStep,
    key: PositionKey,
    /// What is committed.
    row: SyncRow,
    /// An earlier turn may have tried some calls.
    resumed: bool,
    /// As the source describes it, and as the destination is told.
    described: Described,
    /// What its records are, where the manifest says so.
    validated: Option<Schema>,
    /// What `map` sees beside the record.
    variables: Vec<(String, String)>,
    /// Calls, by step, since the last commit.
    calls: Vec<(String, String)>,
}

/// A stream, as `discover` describes it.
#[derive(Default)]
struct Described {
    /// A boolean property: true = the record was deleted.
    deleted_field: Option<String>,
    /// A read from the start yields every living record.
    complete_reads: bool,
    /// What the destination is told.
    told: Option<StreamDescriptor>,
}

/// It can't go on now: how its run would end, and the ends of attempts that are still open.
struct Stopped {
    ending: Ending,
    open: Vec<AttemptEnd>,
}

impl Stopped {
    fn new(failure: Failure, open: impl IntoIterator<Item = AttemptEnd>) -> Self {
        Self { ending: Ending::failed(failure), open: open.into_iter().collect() }
    }
}

/// What of a sync came to its end; an `Err` inside is a stop.
type Went<T> = Result<Result<T, Stopped>, EngineError>;

impl Engine {
    /// Every stream of a step. One that can't go on stops none of the others.
    pub(super) async fn sync(
        &self,
        flow: &FlowRun,
        (index, step): (usize, &FlowStep),
        work: &SyncStep,
        scope: &Scope,
        cancellation: &Cancellation,
    ) -> Result<Unit, EngineError> {
        let mut units = Vec::new();
        for stream in &work.streams {
            let place = format!("{}/{stream}", index + 1);
            let variables = if work.map.is_some() { scope.variables() } else { Vec::new() };
            let unit = self.stream(flow, &place, work, stream, variables, cancellation).await?;
            units.push((stream.as_str(), unit));
        }
        tracing::debug!(step = step.name, run_id = flow.run_id, "the streams of a step had their turn");
        Ok(together(units))
    }

    /// One stream's turn.
    async fn stream(
        &self,
        flow: &FlowRun,
        place: &str,
        work: &SyncStep,
        stream: &str,
        variables: Vec<(String, String)>,
        cancellation: &Cancellation,
    ) -> Result<Unit, EngineError> {
        if cancellation.is_set() {
            return Ok(self.later());
        }
        let found = self.store.step_run(&flow.run_id, place).await?;
        match &found {
            Some(was)
                if (was.connection.as_str(), was.subject.as_str()) != (work.source.as_str(), stream) =>
            {
                return Ok(Unit::Bad(Bad::new(&begin::changed(&was.run_id))));
            }
            Some(was) if was.outcome.is_some() => return Ok(super::action::was(found)),
            Some(was) => {
                if let Some(at) = was.retry_at.filter(|at| *at > self.clock.now()) {
                    return Ok(Unit::Waits(at, was.detail.clone()));
                }
            }
            None => {}
        }
        let drafted = match self.sync_draft(flow, place, work, stream, variables, cancellation).await {
            Ok(drafted) => drafted,
            Err(error) => return self.not_begun(error),
        };
        let mut syncing = match self.sync_begun(drafted, found).await? {
            Ok(syncing) => syncing,
            Err(unit) => return Ok(unit),
        };
        let unit = self.turn(&mut syncing).await;
        self.caller.ended(&syncing.source.run_id);
        unit
    }

    async fn turn(&self, syncing: &mut Syncing) -> Result<Unit, EngineError> {
        let stopped = match self.discovered(syncing).await? {
            Err(stopped) => Some(stopped),
            Ok(()) => match self.pages_of_sync(syncing).await? {
                Err(stopped) => Some(stopped),
                Ok(()) => self.completed(syncing).await?.err(),
            },
        };
        match stopped {
            Some(stopped) => self.put_off_or_over(syncing, stopped).await,
            None => self.synced(syncing).await,
        }
    }

    /// Where time may mend what is wrong, the run is left open for another turn; else it is over.
    async fn put_off_or_over(
        &self,
        syncing: &mut Syncing,
        Stopped { ending, open }: Stopped,
    ) -> Result<Unit, EngineError> {
        for attempt in open {
            self.store.end_attempt(attempt).await?;
        }
        syncing.merge();
        let failure = ending.failure.clone().unwrap_or_else(Failure::cancelled);
        let doubt = Doubt::new(self.effects(&syncing.source).await?, true);
        let again = match failure.kind.as_str() {
            "cancelled" => Some((self.clock.now(), syncing.row.rounds)),
            kind if retry::may_pass(kind) => self.next_turn(syncing.row.rounds.saturating_add(1), &ending),
            _ => None,
        };
        if let Some((at, rounds)) = again.filter(|_| doubt.harmless) {
            self.store.park_sync(&syncing.source.run_id, at, rounds).await?;
            return Ok(Unit::Waits(at, Some(failure.message)));
        }
        self.over_badly(&mut syncing.source, Ending { failure: Some(failure), ..ending }).await
    }

    async fn over_badly(&self, run: &mut Run, ending: Ending) -> Result<Unit, EngineError> {
        let report = self.finish(run, ending, Fruit::default(), None).await?;
        let failure = report.failure.unwrap_or_else(|| Failure::new("host", "it came to no end"));
        let kind = report.reason.unwrap_or_else(|| failure.kind.clone());
        Ok(Unit::Bad(Bad { outcome: report.outcome, kind, ..Bad::new(&failure) }))
    }

    /// When it is tried again; none = it was tried often enough.
    fn next_turn(&self, rounds: u32, ending: &Ending) -> Option<(Timestamp, u32)> {
        if rounds >= DELIVERY_RUNS_MAX {
            return None;
        }
        let pause = retry::jittered(DELIVERY_BACKOFF, rounds, DELIVERY_BACKOFF_MAX, &*self.random);
        Some((self.clock.now().plus(pause.max(ending.retry_after.unwrap_or_default())), rounds))
    }

    /// How often an earlier turn tried a call: its attempts are counted on.
    async fn tried_before(&self, syncing: &Syncing, step: &str, call: &str) -> Result<u32, EngineError> {
        match syncing.resumed {
            true => Ok(self.store.tried(&syncing.source.run_id, step, call).await?),
            false => Ok(0),
        }
    }
}

impl Syncing {
    /// What the calls of the destination did is the run's.
    fn merge(&mut self) {
        let (whole, part) = (&mut self.source.tally, std::mem::take(&mut self.target.tally));
        whole.requests = whole.requests.saturating_add(part.requests);
        whole.cpu = whole.cpu.saturating_add(part.cpu);
        whole.unproven |= part.unproven;
        whole.unproven_before |= part.unproven_before;
        whole.denials.extend(part.denials);
    }

    /// What was sent so far is told by what is committed.
    fn settle(&mut self) {
        self.calls.clear();
        for tally in [&mut self.source.tally, &mut self.target.tally] {
            (tally.unproven, tally.unproven_before) = (false, false);
        }
    }
}

/// What the streams of a step come to, each by its name. Where one waits the step does.
fn together(units: Vec<(&str, Unit)>) -> Unit {
    let (mut outputs, mut bad, mut waits) = (Vec::new(), None::<Bad>, None::<(Timestamp, Option<String>)>);
    for (stream, unit) in units {
        match unit {
            Unit::Done(output) => outputs.push(format!("{}:{output}", json!(stream))),
            Unit::Waits(until, why) if waits.as_ref().is_none_or(|(earlier, _)| until < *earlier) => {
                waits = Some((until, why.map(|why| format!("stream `{stream}`: {why}"))));
            }
            Unit::Waits(..) => {}
            Unit::Bad(found) => {
                let is_worse = bad.as_ref().is_none_or(|known| {
                    known.outcome != Outcome::Unknown && found.outcome == Outcome::Unknown
                });
                if is_worse {
                    bad = Some(Bad { message: format!("stream `{stream}`: {}", found.message), ..found });
                }
            }
        }
    }
    match (waits, bad) {
        (Some((until, why)), _) => Unit::Waits(until, why),
        (None, Some(bad)) => Unit::Bad(bad),
        (None, None) => Unit::Done(format!("{{{}}}", outputs.join(","))),
    }
}

#[cfg(test)]
mod tests;
