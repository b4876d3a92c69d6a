//! Runs of flows: begun, gone on with step by step, and ended. What a step calls is a run of its own, which stays open while it
//! waits; so nothing is in memory of a flow that waits, and whoever comes back finds what was done.

mod action;
mod scope;
mod sync;

use super::{Engine, Run, attempt::Cancellation, shorten};
use crate::{
    CallOptions, EngineError, Failure, Flow, FlowStep, Flows, Schedule, Work,
    delivery::Held,
    limits::{CATCH_UP_MAX, FLOW_OUTPUTS_BYTES_MAX, ITEMS_MAX, NO_TIME_WAIT, REFUSED_WAIT},
};
use portcullis_clock::{Timestamp, new_id};
use portcullis_store::{Cause, Fate, FlowEnd, FlowRun, NewFlowRun, Outcome, RunEnd, StoreError};
use scope::Scope;
use serde_json::json;
use tokio::sync::watch;

/// How far a run of a flow came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flowed {
    /// It is over, or a person decides.
    Over(Outcome),
    /// It waits until then.
    Waits(Timestamp),
}

/// What became of the steps.
enum Went {
    /// What the last one left.
    Well(String),
    Waits(Timestamp, Option<String>),
    Badly(Bad),
}

/// What became of one call of a step.
enum Unit {
    Done(String),
    Waits(Timestamp, Option<String>),
    Bad(Bad),
}

/// Why a step can't go on by itself.
#[derive(Clone)]
struct Bad {
    outcome: Outcome,
    /// Kind of the failure.
    kind: String,
    message: String,
}

impl Bad {
    fn new(failure: &Failure) -> Self {
        Self {
            outcome: Outcome::DeadLettered,
            kind: failure.kind.clone(),
            message: shorten(&failure.message),
        }
    }
}

impl Engine {
    /// The flows that there are.
    pub fn flows(&self) -> &Flows {
        &self.flows
    }

    /// Stores a run of a flow, and says its id. `input` is JSON text.
    pub async fn begin_flow(
        &self,
        name: &str,
        input: &str,
        options: &CallOptions,
    ) -> Result<String, EngineError> {
        let Some(flow) = self.flows.get(name) else {
            let known = self.flows.keys().cloned().collect();
            return Err(EngineError::NoSuchFlow { flow: name.to_owned(), known });
        };
        let correlation_id =
            options.correlation_id.clone().unwrap_or_else(|| new_id("corr", &*self.clock, &*self.random));
        let run = self.new_flow_run(flow, Cause::Manual, input.to_owned(), correlation_id, "null".to_owned());
        let run_id = run.run_id.clone();
        self.store.begin_flow_run(run).await?;
        self.begun.notify_one();
        Ok(run_id)
    }

    fn new_flow_run(
        &self,
        flow: &Flow,
        cause: Cause,
        input: String,
        correlation_id: String,
        about: String,
    ) -> NewFlowRun {
        NewFlowRun {
            run_id: new_id("run", &*self.clock, &*self.random),
            flow: flow.name.clone(),
            steps: flow.stored_steps(),
            cause,
            about,
            order_key: flow.order_key(&input),
            correlation_id,
            input,
            at: self.clock.now(),
        }
    }

    /// What the events of a delivery begin, in the transaction that stores them.
    pub(super) fn begin_with_events(&self, run: &Run, held: &Held, fate: &mut Fate) {
        let Fate::Done { events, .. } = fate else { return };
        for event in events {
            let wants = |flow: &&Flow| {
                flow.triggers.webhook.as_ref().is_some_and(|webhook| {
                    webhook.route == held.route
                        && (webhook.events.is_empty() || webhook.events.contains(&event.name))
                })
            };
            let about = json!({
                "kind": "webhook", "route": held.route, "delivery": held.delivery_id, "event": event.name, "id": event.event_id,
            });
            event.starts = self
                .flows
                .values()
                .filter(wants)
                .map(|flow| {
                    let (input, correlation) = (event.payload.clone(), run.correlation_id.clone());
                    self.new_flow_run(flow, Cause::Webhook, input, correlation, about.to_string())
                })
                .collect();
        }
    }

    /// Begins what has come of a flow's schedule. When it comes next; none = it has none.
    pub(crate) async fn fire(&self, flow: &Flow) -> Result<Option<Timestamp>, StoreError> {
        let Some(schedule) = &flow.triggers.schedule else { return Ok(None) };
        let now = self.clock.now();
        let first = match self.store.schedule(&flow.name).await? {
            Some((text, next_at)) if text == schedule.text => next_at,
            _ => {
                let Some(next_at) = schedule.after(now) else { return Ok(None) };
                self.store.set_schedule(&flow.name, &schedule.text, next_at).await?;
                next_at
            }
        };
        if now < first {
            return Ok(Some(first));
        }
        let (times, next_at) = schedule.come(first, now);
        // A calendar without another time is looked at again, by a program that may know more of it.
        let next_at = next_at.filter(|next_at| *next_at > now).unwrap_or_else(|| now.plus(NO_TIME_WAIT));
        self.store.fire(self.fired(flow, schedule, first, next_at, &times)).await?;
        Ok(Some(next_at))
    }

    fn fired(
        &self,
        flow: &Flow,
        schedule: &Schedule,
        at: Timestamp,
        next_at: Timestamp,
        times: &[Timestamp],
    ) -> portcullis_store::Fired {
        let start = |time: &Timestamp| {
            let about = json!({ "kind": "schedule", "at": time.to_string() });
            let input = json!({ "scheduled-at": time.to_string() }).to_string();
            let correlation_id = new_id("corr", &*self.clock, &*self.random);
            self.new_flow_run(flow, Cause::Schedule, input, correlation_id, about.to_string())
        };
        portcullis_store::Fired {
            flow: flow.name.clone(),
            at,
            next_at,
            starts: times.iter().take(CATCH_UP_MAX).map(start).collect(),
            alone: schedule.overlap == crate::Overlap::Skip,
        }
    }

    /// Goes on with a run of a flow that waits and is due, until it is over or has to wait. Where this fails the run is still the
    /// process's: `put_flow_run_back` of the store lets it wait.
    pub async fn flow(
        &self,
        run_id: &str,
        cancelled: Option<&watch::Receiver<bool>>,
    ) -> Result<Flowed, EngineError> {
        let cancellation = self.cancellation(cancelled);
        let run = self.store.take_flow_run(run_id, self.clock.now()).await?;
        let went = match serde_json::from_str::<Vec<FlowStep>>(&run.steps) {
            Ok(steps) => self.steps(&run, &steps, &cancellation).await?,
            // Of another version of this program.
            Err(_) => {
                let message = "its steps were stored by a version that this one does not know; replay it";
                Went::Badly(Bad::new(&Failure::new("host", message)))
            }
        };
        match went {
            Went::Waits(until, why) => {
                self.store.put_flow_run_back(run_id, until, why.as_deref()).await?;
                Ok(Flowed::Waits(until))
            }
            Went::Well(output) => self.flow_over(&run, Outcome::Succeeded, Some(output), None).await,
            Went::Badly(bad) => self.flow_over(&run, bad.outcome, None, Some(&bad)).await,
        }
    }

    async fn steps(
        &self,
        run: &FlowRun,
        steps: &[FlowStep],
        cancellation: &Cancellation,
    ) -> Result<Went, EngineError> {
        let mut scope = Scope::new(run, steps);
        for (index, step) in steps.iter().enumerate().skip(run.outputs.len()) {
            if cancellation.is_set() {
                return Ok(Went::Waits(self.clock.now(), None));
            }
            let output = match self.step(run, index, step, &scope, cancellation).await? {
                Went::Well(output) => output,
                other => return Ok(other),
            };
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            if let Some(bad) = too_large(step, &output, scope.bytes()) {
                return Ok(Went::Badly(bad));
            }
            self.store.advance_flow_run(&run.run_id, number, &output).await?;
            scope.is_done(step, output);
        }
        Ok(Went::Well(scope.value().to_owned()))
    }

    /// One step: passed over, once, or for each of its items. An item that can't go on stops none of the others.
    async fn step(
        &self,
        run: &FlowRun,
        index: usize,
        step: &FlowStep,
        scope: &Scope,
        cancellation: &Cancellation,
    ) -> Result<Went, EngineError> {
        let told = |failure: Failure| {
            Went::Badly(Bad::new(&Failure {
                message: format!("step `{}`: {}", step.name, failure.message),
                ..failure
            }))
        };
        if let Some(when) = &step.when {
            match self.asked(scope, when, cancellation).await {
                Ok(true) => {}
                Ok(false) => return Ok(Went::Well(scope.value().to_owned())),
                Err(failure) => return Ok(self.stopped(failure).unwrap_or_else(told)),
            }
        }
        if let Work::Sync(work) = &step.work {
            let unit = self.sync(run, (index, step), work, scope, cancellation).await?;
            return Ok(together(step, vec![unit]));
        }
        let items = match &step.for_each {
            None => vec![scope.value().to_owned()],
            Some(program) => match self.outputs(scope, program, cancellation).await {
                Ok(items) => items,
                Err(failure) => return Ok(self.stopped(failure).unwrap_or_else(told)),
            },
        };
        let inputs = match &step.work {
            Work::Map { program } | Work::Action { input: Some(program), .. } => {
                match self.each(scope, program, items, cancellation).await {
                    Ok(inputs) => inputs,
                    Err(failure) => return Ok(self.stopped(failure).unwrap_or_else(told)),
                }
            }
            Work::Action { input: None, .. } | Work::Sync(_) => items,
        };
        let units = match &step.work {
            Work::Map { .. } | Work::Sync(_) => inputs.into_iter().map(Unit::Done).collect(),
            Work::Action { connection, action, .. } => {
                let mut units = Vec::new();
                for (item, input) in inputs.iter().enumerate() {
                    let place = place(index, step, item);
                    units.push(self.action(run, &place, (connection, action), input, cancellation).await?);
                }
                units
            }
        };
        Ok(together(step, units))
    }

    /// Somebody stopped a program, or there was no room for it: it goes on later.
    fn stopped(&self, failure: Failure) -> Result<Went, Failure> {
        match failure.kind.as_str() {
            "cancelled" => Ok(Went::Waits(self.clock.now(), None)),
            "unavailable" => Ok(Went::Waits(self.clock.now().plus(REFUSED_WAIT), Some(failure.message))),
            _ => Err(failure),
        }
    }

    async fn flow_over(
        &self,
        run: &FlowRun,
        outcome: Outcome,
        output: Option<String>,
        bad: Option<&Bad>,
    ) -> Result<Flowed, EngineError> {
        let wants = |flow: &&Flow| {
            let after = flow.triggers.after.as_ref();
            after.is_some_and(|after| after.flow == run.flow && after.outcomes.contains(&outcome))
        };
        let about =
            json!({ "kind": "flow", "flow": run.flow, "run": run.run_id, "outcome": outcome.as_str() });
        let start = |flow: &Flow| {
            let input = output.clone().unwrap_or_else(|| "null".to_owned());
            self.new_flow_run(flow, Cause::Flow, input, run.correlation_id.clone(), about.to_string())
        };
        let starts: Vec<_> = self.flows.values().filter(wants).map(start).collect();
        let end = RunEnd {
            outcome,
            suspicious: false,
            reason: bad.map(|bad| bad.kind.clone()),
            error_kind: bad.map(|bad| bad.kind.clone()),
            detail: bad.map(|bad| bad.message.clone()),
            output: output.filter(|output| output.len() <= portcullis_store::limits::RUN_JSON_BYTES_MAX),
            retry_at: None,
            requests: 0,
            delivery: None,
            ended_at: self.clock.now(),
        };
        let begins = !starts.is_empty();
        let end = FlowEnd { run: end, is_dead: bad.is_some(), starts };
        self.store.end_flow_run(&run.run_id, end).await?;
        if begins {
            self.begun.notify_one();
        }
        Ok(Flowed::Over(outcome))
    }
}

/// What a step left, where it is more than the next one, or all that follow, may be given.
fn too_large(step: &FlowStep, output: &str, before: usize) -> Option<Bad> {
    let (bytes, together) = (output.len(), before.saturating_add(output.len()));
    let words = if bytes > FLOW_JSON_BYTES_MAX {
        format!("its output has {bytes} bytes, more than {FLOW_JSON_BYTES_MAX}")
    } else if together > FLOW_OUTPUTS_BYTES_MAX {
        format!("the outputs up to it have {together} bytes, more than {FLOW_OUTPUTS_BYTES_MAX}")
    } else {
        return None;
    };
    Some(Bad::new(&Failure::new("too-large", format!("step `{}`: {words}", step.name))))
}

/// Whether what a run left of its delivery begins runs of flows.
pub(super) fn begins(fate: &Fate) -> bool {
    matches!(fate, Fate::Done { events, .. } if events.iter().any(|event| !event.starts.is_empty()))
}

/// Where a call stands in its flow's run: the same for whatever is tried there.
fn place(index: usize, step: &FlowStep, item: usize) -> String {
    match step.for_each {
        Some(_) => format!("{}/{item}", index + 1),
        None => (index + 1).to_string(),
    }
}

/// What the units of a step come to. Where one waits the step does; what can't go on by itself is told when nothing waits any more.
fn together(step: &FlowStep, units: Vec<Unit>) -> Went {
    let (total, mut outputs, mut bad, mut waits) = (units.len(), Vec::new(), Vec::new(), None);
    for unit in units {
        match unit {
            Unit::Done(output) => outputs.push(output),
            Unit::Bad(found) => bad.push(found),
            Unit::Waits(until, why) => {
                waits = Some(match waits {
                    Some((earlier, before)) if earlier <= until => (earlier, before),
                    _ => (until, why),
                });
            }
        }
    }
    if let Some((until, why)) = waits {
        return Went::Waits(until, why.map(|why| format!("step `{}`: {why}", step.name)));
    }
    let unknown = bad.iter().find(|bad| bad.outcome == Outcome::Unknown);
    if let Some(first) = unknown.or(bad.first()) {
        let message = match step.for_each {
            None => format!("step `{}`: {}", step.name, first.message),
            Some(_) => {
                format!("step `{}`: {} of {total} items, the first: {}", step.name, bad.len(), first.message)
            }
        };
        return Went::Badly(Bad { message: shorten(&message), ..first.clone() });
    }
    match (&step.for_each, outputs.pop()) {
        (None, Some(output)) => Went::Well(output),
        (_, last) => {
            outputs.extend(last);
            Went::Well(format!("[{}]", outputs.join(",")))
        }
    }
}

const _: () = assert!(ITEMS_MAX > 0);
/// What a step leaves for the next one.
const FLOW_JSON_BYTES_MAX: usize = portcullis_store::limits::FLOW_JSON_BYTES_MAX;

#[cfg(test)]
mod tests;
