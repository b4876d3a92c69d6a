//! The engine: begins runs, lets the state machines decide, ends runs. What it stores and what it reports are the
//! same words.

mod attempt;
mod deliver;
mod flow;
mod judge;
mod moved;
mod once;
mod pages;
mod write;

use crate::{
    CallOptions, CallReport, CallRequest, Caller, ConnectionFacts, Connections, Denied, EngineError, Failure,
    Flows, Operation, RunReport, Transform, Withheld,
    delivery::Held,
    limits::{DENIALS_MAX, MESSAGE_CHARS_MAX},
    run::Ending,
};
use attempt::Cancellation;
pub use flow::Flowed;
use portcullis_clock::{Clock, Random, Timestamp, new_id};
use portcullis_store::{
    AttemptEnd, ClosedRun, DeliveryEnd, Effects, Fate, NewAttempt, NewRun, Outcome, Parent, RunEnd, RunKind,
    Store, limits::RUN_JSON_BYTES_MAX,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};

/// Everything that a run needs, shared by all runs of the process.
pub struct Engine {
    store: Arc<dyn Store>,
    caller: Arc<dyn Caller>,
    connections: Arc<dyn Connections>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    flows: Arc<Flows>,
    /// Who evaluates jq; none = there are no flows.
    transform: Option<Arc<dyn Transform>>,
    /// Is told when a run of a flow was stored.
    begun: Arc<Notify>,
    /// Its receivers see a cancellation that never comes.
    never: watch::Sender<bool>,
}

impl Engine {
    /// From its ports.
    pub fn new(
        store: Arc<dyn Store>,
        caller: Arc<dyn Caller>,
        connections: Arc<dyn Connections>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let (flows, transform, begun) = (Arc::default(), None, Arc::default());
        let never = watch::channel(false).0;
        Self { store, caller, connections, clock, random, flows, transform, begun, never }
    }

    /// The same, with flows, and who evaluates what stands in them. `begun` is told when a run of one was stored: the
    /// [`FlowDispatcher`](crate::FlowDispatcher) waits for it.
    pub fn with_flows(self, flows: Arc<Flows>, transform: Arc<dyn Transform>, begun: Arc<Notify>) -> Self {
        Self { flows, transform: Some(transform), begun, ..self }
    }

    /// Closes what a crash left open. Call it once, before anything else.
    pub async fn start(&self) -> Result<Vec<ClosedRun>, EngineError> {
        Ok(self.store.close_interrupted(self.clock.now()).await?)
    }

    /// What is known of the connection. To load it may take as long as its author's schemas do: that ends when the run is to.
    async fn ready(
        &self,
        connection: &str,
        cancelled: Option<&watch::Receiver<bool>>,
    ) -> Result<Arc<ConnectionFacts>, EngineError> {
        let cancellation = self.cancellation(cancelled);
        let facts = tokio::select! {
            biased;
            facts = self.connections.ready(connection) => facts,
            () = cancellation.wait() => {
                return Err(EngineError::Cancelled(format!("connection `{connection}` was made ready")));
            }
        };
        facts.map_err(|refused| EngineError::Refused { message: refused.message, help: refused.help })
    }

    fn cancellation(&self, cancelled: Option<&watch::Receiver<bool>>) -> Cancellation {
        Cancellation::new(cancelled.cloned().unwrap_or_else(|| self.never.subscribe()))
    }

    /// A run that is not stored yet, of a connection whose state is of its connector's version.
    async fn draft(
        &self,
        facts: &Arc<ConnectionFacts>,
        kind: RunKind,
        subject: &str,
        options: CallOptions,
    ) -> Result<Run, EngineError> {
        let id = |prefix| new_id(prefix, &*self.clock, &*self.random);
        let step = match kind {
            RunKind::Call | RunKind::DryRun | RunKind::Read | RunKind::Deliver | RunKind::Write => {
                format!("{}:{subject}", kind.as_str())
            }
            RunKind::Sync => format!("read:{subject}"),
            RunKind::Check | RunKind::Discover | RunKind::Flow => kind.as_str().to_owned(),
        };
        let run = Run {
            facts: Arc::clone(facts),
            kind,
            subject: subject.to_owned(),
            run_id: id("run"),
            cancellation: self.cancellation(options.cancelled.as_ref()),
            correlation_id: options.correlation_id.unwrap_or_else(|| id("corr")),
            step,
            held: None,
            parent: None,
            tried: 0,
            tally: Tally::default(),
        };
        self.move_state(&run).await?;
        Ok(run)
    }

    /// Stores that it goes on; a delivery that it has is its own from then on.
    async fn begin(&self, run: &Run, input: Option<String>) -> Result<(), EngineError> {
        let new = self.new_run(run, input);
        let first = self.new_attempt(run, 0, 1);
        match &run.held {
            Some(held) => self.store.begin_delivery(&held.delivery_id, new, first).await?,
            None => self.store.begin_run(new, first).await?,
        }
        Ok(())
    }

    fn new_run(&self, run: &Run, input: Option<String>) -> NewRun {
        NewRun {
            run_id: run.run_id.clone(),
            kind: run.kind,
            connection: run.facts.name.clone(),
            connection_id: run.facts.connection_id.clone(),
            connector: run.facts.connector.clone(),
            version: run.facts.version.clone(),
            digest: run.facts.digest.clone(),
            correlation_id: run.correlation_id.clone(),
            subject: run.subject.clone(),
            input,
            parent: run.parent.clone(),
            started_at: self.clock.now(),
        }
    }

    fn new_attempt(&self, run: &Run, call: impl fmt::Display, attempt: u32) -> NewAttempt {
        NewAttempt {
            run_id: run.run_id.clone(),
            step: run.step.clone(),
            call: call.to_string(),
            attempt: run.tried.saturating_add(attempt),
            started_at: self.clock.now(),
        }
    }

    fn attempt_end(
        &self,
        run: &Run,
        call: impl fmt::Display,
        attempt: u32,
        requests: u64,
        failure: Option<&Failure>,
    ) -> AttemptEnd {
        let outcome = match failure {
            _ if run.tally.withheld.count > 0 => Outcome::DryRun,
            None if run.kind == RunKind::DryRun => Outcome::DryRun,
            None => Outcome::Succeeded,
            Some(failure) if failure.kind == "cancelled" => Outcome::Cancelled,
            Some(_) => Outcome::Failed,
        };
        AttemptEnd {
            run_id: run.run_id.clone(),
            step: run.step.clone(),
            call: call.to_string(),
            attempt: run.tried.saturating_add(attempt),
            outcome,
            error_kind: failure.map(|failure| failure.kind.clone()),
            detail: failure.map(|failure| shorten(&failure.message)),
            requests,
            ended_at: self.clock.now(),
        }
    }

    /// What the run may have done so far: what is stored, and what a call said of itself.
    async fn effects(&self, run: &Run) -> Result<Effects, EngineError> {
        let effects = self.store.effects(&run.run_id).await?;
        let said = run.tally.unproven || run.tally.unproven_before;
        Ok(Effects { unproven: effects.unproven || said, possible: effects.possible || said, ..effects })
    }

    /// What is told of a run that had begun and could not be ended, with what failed.
    async fn left_open(&self, run: &Run, failed: EngineError) -> EngineError {
        let possible_effect = match self.effects(run).await {
            Ok(effects) => effects.reason().is_some(),
            // What the calls counted is all that is known then.
            Err(_) => run.tally.requests > 0 || run.tally.unproven || run.tally.unproven_before,
        };
        EngineError::LeftOpen { run_id: run.run_id.clone(), possible_effect, source: Box::new(failed) }
    }

    /// What becomes of the delivery that a run was of, and what its events begin.
    fn delivery_end(
        &self,
        run: &Run,
        held: &Held,
        outcome: Outcome,
        ending: &Ending,
        fruit: &Fruit,
        now: Timestamp,
    ) -> DeliveryEnd {
        let mut fate = held.fate(outcome, ending, fruit.handled.as_ref(), now, &*self.random);
        self.begin_with_events(run, held, &mut fate);
        DeliveryEnd { delivery_id: held.delivery_id.clone(), fate }
    }

    /// Ends the attempt, where one is open, and the run; the report says what was stored.
    async fn finish(
        &self,
        run: &mut Run,
        ending: Ending,
        fruit: Fruit,
        last: Option<AttemptEnd>,
    ) -> Result<RunReport, EngineError> {
        let effects = self.effects(run).await?;
        let (outcome, reason) = match run.kind {
            RunKind::DryRun => ending.verdict_dry(effects, run.tally.withheld.count > 0),
            _ => ending.verdict(effects),
        };
        let reason = reason.or_else(|| fruit.remark().map(str::to_owned));
        let now = self.clock.now();
        let fate = run.held.as_ref().map(|held| self.delivery_end(run, held, outcome, &ending, &fruit, now));
        let begins = fate.as_ref().is_some_and(|left| flow::begins(&left.fate));
        let is_dead = run.parent.is_some() || fate.as_ref().is_some_and(|left| left.fate == Fate::Dead);
        // What is in doubt stays so: a person asks the vendor before anything else.
        let outcome = if is_dead && outcome == Outcome::Failed { Outcome::DeadLettered } else { outcome };
        let retry_at = ending.retry_after.map(|pause| now.plus(pause));
        // What is too large for a row is still handed to whoever asked for it.
        let output = fruit.output.clone().filter(|output| output.len() <= RUN_JSON_BYTES_MAX);
        let end = RunEnd {
            outcome,
            suspicious: false,
            reason: reason.clone(),
            error_kind: ending.failure.as_ref().map(|failure| failure.kind.clone()),
            detail: detail(&ending, &fruit),
            output,
            retry_at,
            requests: run.tally.requests,
            delivery: fate,
            ended_at: now,
        };
        // Queued one behind the other: as a rule both are in one transaction.
        let last = async {
            match last {
                Some(last) => self.store.end_attempt(last).await,
                None => Ok(()),
            }
        };
        let (attempt, ended) = tokio::join!(biased; last, self.store.end_run(&run.run_id, end));
        attempt?;
        ended?;
        if begins {
            self.begun.notify_one();
        }
        Ok(RunReport {
            run_id: run.run_id.clone(),
            correlation_id: run.correlation_id.clone(),
            outcome,
            reason,
            failure: ending.failure,
            denials: std::mem::take(&mut run.tally.denials),
            withheld: std::mem::take(&mut run.tally.withheld),
            output: fruit.output,
            streams: fruit.streams,
            handled: fruit.handled,
            written: fruit.written,
            drift: fruit.drift,
            requests: run.tally.requests,
            pages: run.tally.pages,
            records: run.tally.records,
            cpu: run.tally.cpu,
            retry_at,
        })
    }
}

/// A run under way.
struct Run {
    facts: Arc<ConnectionFacts>,
    kind: RunKind,
    subject: String,
    run_id: String,
    correlation_id: String,
    step: String,
    cancellation: Cancellation,
    /// The stored delivery that it hands over.
    held: Option<Held>,
    /// The run of a flow whose step it is.
    parent: Option<Parent>,
    /// How often its call was tried before it was gone on with.
    tried: u32,
    tally: Tally,
}

/// What a run did so far.
#[derive(Default)]
struct Tally {
    requests: u64,
    pages: u64,
    records: u64,
    cpu: Duration,
    denials: Vec<Denied>,
    withheld: Withheld,
    /// The last attempt says that it left something unproven.
    unproven: bool,
    /// So did one of a call that is over.
    unproven_before: bool,
}

/// What a run brought.
#[derive(Default)]
struct Fruit {
    output: Option<String>,
    streams: Vec<crate::StreamDescriptor>,
    handled: Option<crate::Handled>,
    written: Option<crate::Written>,
    drift: Vec<crate::Fault>,
    /// The one fault is that nobody could look.
    not_judged: bool,
    /// Why a good end is not all that good, and in words.
    remark: Option<(&'static str, String)>,
}

impl Fruit {
    /// Why a good end is not all that good.
    fn remark(&self) -> Option<&'static str> {
        if let Some((remark, _)) = &self.remark {
            return Some(remark);
        }
        if self.not_judged {
            return Some("not-judged");
        }
        let rejected = self.written.as_ref().is_some_and(|written| !written.rejected.is_empty());
        match (self.drift.is_empty(), rejected) {
            (false, _) => Some("contract-drift"),
            (true, true) => Some("rejected-lines"),
            (true, false) => None,
        }
    }
}

impl Run {
    fn request(&self, operation: Operation, call: impl fmt::Display, attempt: u32) -> CallRequest {
        CallRequest {
            connection: self.facts.name.clone(),
            connection_id: self.facts.connection_id.clone(),
            run_id: self.run_id.clone(),
            step: self.step.clone(),
            call: call.to_string(),
            attempt: self.tried.saturating_add(attempt),
            correlation_id: self.correlation_id.clone(),
            operation,
            dry_run: self.kind == RunKind::DryRun,
            cancelled: self.cancellation.receiver(),
        }
    }
}

impl Tally {
    fn add(&mut self, report: &mut CallReport) {
        self.requests = self.requests.saturating_add(report.requests);
        self.cpu = self.cpu.saturating_add(report.cpu);
        self.unproven = report.unproven_effect;
        self.withheld.requests.append(&mut report.withheld.requests);
        self.withheld.count = self.withheld.count.saturating_add(report.withheld.count);
        let room = DENIALS_MAX.saturating_sub(self.denials.len());
        self.denials.extend(report.denials.drain(..).take(room));
    }
}

fn detail(ending: &Ending, fruit: &Fruit) -> Option<String> {
    match (&ending.failure, &fruit.output) {
        (Some(failure), _) => Some(shorten(&failure.message)),
        (None, Some(output)) if output.len() > RUN_JSON_BYTES_MAX => {
            Some(format!("the output has {} bytes and was not stored", output.len()))
        }
        _ if fruit.remark.is_some() => fruit.remark.as_ref().map(|(_, words)| shorten(words)),
        _ => fruit.drift.first().map(|fault| shorten(&format!("`{}`: {}", fault.place(), fault.message))),
    }
}

fn shorten(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests;
