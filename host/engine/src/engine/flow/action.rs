//! An action as a step of a flow: a run of its own that stays open, and keeps its idempotency key, until it is done or given up.

use super::{super::once::Called, Bad, Unit};
use crate::{
    CallOptions, ConnectionFacts, EngineError, Failure, Operation,
    engine::{Engine, Fruit, Run, attempt::Cancellation, judge, once},
    limits::{
        ATTEMPTS_MAX, DELIVERY_BACKOFF, DELIVERY_BACKOFF_MAX, DELIVERY_RUNS_MAX, INPUT_BYTES_MAX,
        REFUSED_WAIT,
    },
    retry,
    run::{Doubt, Ending},
};
use portcullis_clock::Timestamp;
use portcullis_store::{FlowRun, Outcome, Parent, RunKind, StepRun, limits::RUN_JSON_BYTES_MAX};
use std::sync::Arc;

/// What it is called with.
struct Work {
    operation: Operation,
    input: String,
    output: crate::Schema,
    keyed: bool,
}

impl Engine {
    /// Has a connection do something, at a place of a flow's run.
    pub(super) async fn action(
        &self,
        flow: &FlowRun,
        place: &str,
        (connection, action): (&str, &str),
        input: &str,
        cancellation: &Cancellation,
    ) -> Result<Unit, EngineError> {
        if cancellation.is_set() {
            return Ok(self.later());
        }
        let found = self.store.step_run(&flow.run_id, place).await?;
        match &found {
            Some(was) if (was.connection.as_str(), was.subject.as_str()) != (connection, action) => {
                return Ok(Unit::Bad(Bad::new(&changed(was, (connection, action)))));
            }
            Some(StepRun { outcome: Some(_), .. }) => return Ok(was(found)),
            Some(StepRun { retry_at: Some(at), detail, .. }) if *at > self.clock.now() => {
                return Ok(Unit::Waits(*at, detail.clone()));
            }
            _ => {}
        }
        let facts = match self.ready(connection, Some(&cancellation.receiver())).await {
            Ok(facts) => facts,
            Err(EngineError::Refused { message, .. }) => {
                return Ok(Unit::Waits(self.clock.now().plus(REFUSED_WAIT), Some(message)));
            }
            Err(EngineError::Cancelled(_)) => return Ok(self.later()),
            Err(error) => return Err(error),
        };
        let parent = Parent { run_id: flow.run_id.clone(), flow: flow.flow.clone(), place: place.to_owned() };
        let run = match self.step_draft(&facts, action, parent, &flow.correlation_id, cancellation).await {
            Ok(run) => run,
            Err(error) => return self.not_begun(error),
        };
        let work = match self.work(&facts, &run, action, input).await {
            Ok(work) => work,
            Err(error) => return self.not_begun(error),
        };
        self.gone_on_with(run, found, work).await
    }

    async fn step_draft(
        &self,
        facts: &Arc<ConnectionFacts>,
        action: &str,
        parent: Parent,
        correlation_id: &str,
        cancellation: &Cancellation,
    ) -> Result<Run, EngineError> {
        let options = CallOptions {
            correlation_id: Some(correlation_id.to_owned()),
            cancelled: Some(cancellation.receiver()),
        };
        let run = self.draft(facts, RunKind::Call, action, options).await?;
        Ok(Run { parent: Some(parent), ..run })
    }

    /// What is to be called, where the connector has it and the input fits.
    async fn work(
        &self,
        facts: &ConnectionFacts,
        run: &Run,
        action: &str,
        input: &str,
    ) -> Result<Work, EngineError> {
        if !facts.has_actions {
            return Err(EngineError::NoSuchRole { connection: facts.name.clone(), role: "actions" });
        }
        let Some(found) = facts.action(action) else {
            return Err(EngineError::NoSuchAction {
                connection: facts.name.clone(),
                action: action.to_owned(),
                known: facts.actions.keys().cloned().collect(),
            });
        };
        if input.len() > INPUT_BYTES_MAX {
            return Err(EngineError::InputTooLarge { bytes: input.len(), bytes_max: INPUT_BYTES_MAX });
        }
        once::refuse_unfit(run, action, found, input).await?;
        let output = found.output.clone();
        judge::compiled(run, &format!("output of `{action}`"), output.clone()).await?;
        let operation =
            Operation::Invoke { action: action.to_owned(), input: input.to_owned(), resume: None };
        Ok(Work { operation, input: input.to_owned(), output, keyed: found.at_least_once })
    }

    /// There is no run: the config, the input or the connector's schema has to be mended first.
    pub(super) fn not_begun(&self, error: EngineError) -> Result<Unit, EngineError> {
        let kind = match &error {
            EngineError::Cancelled(_) => return Ok(self.later()),
            EngineError::Refused { message, .. } => {
                return Ok(Unit::Waits(self.clock.now().plus(REFUSED_WAIT), Some(message.clone())));
            }
            EngineError::NoSuchRole { .. }
            | EngineError::NoSuchAction { .. }
            | EngineError::NoSuchStream { .. } => "not-found",
            EngineError::InvalidInput { .. } => "invalid-input",
            EngineError::InputTooLarge { .. } => "too-large",
            EngineError::Schema { .. } => "contract-drift",
            _ => return Err(error),
        };
        Ok(Unit::Bad(Bad::new(&Failure::new(kind, error.in_full()))))
    }

    /// From where an earlier process, or an earlier turn, left it.
    async fn gone_on_with(
        &self,
        mut run: Run,
        found: Option<StepRun>,
        work: Work,
    ) -> Result<Unit, EngineError> {
        match found {
            None => self.begin(&run, Some(work.input.clone())).await?,
            Some(found) => {
                run.run_id = found.run_id;
                let now = self.clock.now();
                let resumed = self.store.resume_run(&run.run_id, &run.step, "0", now).await?;
                (run.tried, run.tally.requests) = (resumed.tried, resumed.requests);
                let doubt = Doubt::new(self.effects(&run).await?, work.keyed);
                if !doubt.harmless {
                    let failure = Failure::new("interrupted", "the process ended before the run did");
                    let report =
                        self.finish(&mut run, Ending::failed(failure), Fruit::default(), None).await?;
                    return Ok(Unit::Bad(Bad {
                        outcome: report.outcome,
                        kind: report.reason.unwrap_or_default(),
                        message: "the process ended before the run did".to_owned(),
                    }));
                }
                self.store.begin_attempt(self.new_attempt(&run, 0, 1)).await?;
            }
        }
        let ended = self.round(&mut run, &work).await;
        self.caller.ended(&run.run_id);
        ended
    }

    /// Some attempts. Where time may mend what is wrong, the run is left open for another round.
    async fn round(&self, run: &mut Run, work: &Work) -> Result<Unit, EngineError> {
        let Called { answer, ending, last } = self.attempts(run, &work.operation, 0, work.keyed).await?;
        if let Some(failure) = &ending.failure {
            let doubt = Doubt::new(self.effects(run).await?, work.keyed);
            let again = match failure.kind.as_str() {
                "cancelled" => Some(self.clock.now()),
                kind if retry::may_pass(kind) => self.again_at(run, &ending),
                _ => None,
            };
            if let Some(at) = again.filter(|_| doubt.harmless) {
                if let Some(last) = last {
                    self.store.end_attempt(last).await?;
                }
                self.store.park_run(&run.run_id, at).await?;
                return Ok(Unit::Waits(at, Some(failure.message.clone())));
            }
        }
        let fruit = match answer {
            Ok(answer) => once::harvest(answer, Some(&work.output), run).await,
            Err(_) => Fruit::default(),
        };
        let report = self.finish(run, ending, fruit, last).await?;
        Ok(match (report.outcome, report.output, report.failure) {
            (Outcome::Succeeded, Some(output), _) if output.len() <= RUN_JSON_BYTES_MAX => Unit::Done(output),
            // Whoever comes back does not find it: it is the same for all.
            (Outcome::Succeeded, Some(_), _) => not_kept(&run.run_id),
            (outcome, _, failure) => {
                let failure = failure.unwrap_or_else(|| Failure::new("host", "it answered nothing"));
                let kind = report.reason.unwrap_or_else(|| failure.kind.clone());
                Unit::Bad(Bad { outcome, kind, ..Bad::new(&failure) })
            }
        })
    }

    /// When it is tried again; none = it was tried often enough.
    fn again_at(&self, run: &Run, ending: &Ending) -> Option<Timestamp> {
        let rounds = run.tried / ATTEMPTS_MAX + 1;
        if rounds >= DELIVERY_RUNS_MAX {
            return None;
        }
        let pause = retry::jittered(DELIVERY_BACKOFF, rounds, DELIVERY_BACKOFF_MAX, &*self.random);
        Some(self.clock.now().plus(pause.max(ending.retry_after.unwrap_or_default())))
    }

    pub(super) fn later(&self) -> Unit {
        Unit::Waits(self.clock.now(), None)
    }
}

/// What is over is not done again.
pub(super) fn was(found: Option<StepRun>) -> Unit {
    let Some((found, outcome)) = found.and_then(|found| found.outcome.map(|outcome| (found, outcome))) else {
        return Unit::Bad(Bad::new(&Failure::new("host", "there is no such run")));
    };
    match (outcome, found.output) {
        (Outcome::Succeeded, Some(output)) => Unit::Done(output),
        (Outcome::Succeeded, None) => not_kept(&found.run_id),
        (outcome, _) => Unit::Bad(Bad {
            outcome,
            kind: found.reason.or(found.error_kind).unwrap_or_default(),
            message: found.detail.unwrap_or_default(),
        }),
    }
}

/// The flow was written anew since: what was done there is not what it says now, and must not pass for it.
fn changed(was: &StepRun, (connection, action): (&str, &str)) -> Failure {
    let message = format!(
        "`{}` called `{}` of `{}` here, and the flow now says `{action}` of `{connection}`: begin a new run",
        was.run_id, was.subject, was.connection
    );
    Failure::new("flow-changed", message)
}

fn not_kept(run_id: &str) -> Unit {
    let message =
        format!("the output of `{run_id}` has more than {RUN_JSON_BYTES_MAX} bytes, and is not kept");
    Unit::Bad(Bad::new(&Failure::new("too-large", message)))
}
