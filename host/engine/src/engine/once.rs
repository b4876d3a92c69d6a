//! Runs of one call: an action, `check`, `discover`. And the attempts of a call, which a delivery and a batch have too.

use super::{Engine, Fruit, Run, deliver, judge};
use crate::{
    ActionFacts, Answer, CallOptions, EngineError, Failure, Fault, Handled, Operation, RunReport, Schema,
    SchemaError,
    limits::INPUT_BYTES_MAX,
    run::{CallMachine, Doubt, Ending, Event, Step},
};
use portcullis_store::{
    AttemptEnd, RunKind,
    limits::{EVENT_PAYLOAD_BYTES_MAX, EVENTS_MAX},
};
use std::fmt;

/// What a run of one call is to do.
pub(super) struct Errand {
    pub(super) operation: Operation,
    pub(super) input: Option<String>,
    pub(super) output: Option<Schema>,
    /// The action promises the same idempotency key on every attempt.
    pub(super) keyed: bool,
}

/// How the last attempt of a call came back, how its run ends if it ends here, and the attempt's end, not stored yet; none
/// where the run was stopped between two attempts.
pub(super) struct Called {
    pub(super) answer: Result<Answer, Failure>,
    pub(super) ending: Ending,
    pub(super) last: Option<AttemptEnd>,
}

impl Engine {
    /// Runs an action. `input` is JSON text.
    pub async fn call(
        &self,
        connection: &str,
        action: &str,
        input: &str,
        options: CallOptions,
    ) -> Result<RunReport, EngineError> {
        self.invoke(RunKind::Call, connection, action, input, options).await
    }

    /// Runs an action without effect: what may have one is made ready, reported and held back.
    pub async fn dry_run(
        &self,
        connection: &str,
        action: &str,
        input: &str,
        options: CallOptions,
    ) -> Result<RunReport, EngineError> {
        self.invoke(RunKind::DryRun, connection, action, input, options).await
    }

    async fn invoke(
        &self,
        kind: RunKind,
        connection: &str,
        action: &str,
        input: &str,
        options: CallOptions,
    ) -> Result<RunReport, EngineError> {
        if input.len() > INPUT_BYTES_MAX {
            return Err(EngineError::InputTooLarge { bytes: input.len(), bytes_max: INPUT_BYTES_MAX });
        }
        let facts = self.ready(connection, options.cancelled.as_ref()).await?;
        if !facts.has_actions {
            return Err(EngineError::NoSuchRole { connection: connection.to_owned(), role: "actions" });
        }
        let Some(found) = facts.action(action) else {
            return Err(EngineError::NoSuchAction {
                connection: connection.to_owned(),
                action: action.to_owned(),
                known: facts.actions.keys().cloned().collect(),
            });
        };
        let run = self.draft(&facts, kind, action, options).await?;
        refuse_unfit(&run, action, found, input).await?;
        // Found broken now, the schema of the output costs nothing; after the call it would cost the answer.
        let output = found.output.clone();
        judge::compiled(&run, &format!("output of `{action}`"), output.clone()).await?;
        let invoke = Operation::Invoke { action: action.to_owned(), input: input.to_owned(), resume: None };
        let errand = Errand {
            operation: invoke,
            input: Some(input.to_owned()),
            output: Some(output),
            keyed: found.at_least_once,
        };
        self.once(run, errand).await
    }

    /// Runs `check`.
    pub async fn check(&self, connection: &str, options: CallOptions) -> Result<RunReport, EngineError> {
        let facts = self.ready(connection, options.cancelled.as_ref()).await?;
        let errand = Errand { operation: Operation::Check, input: None, output: None, keyed: false };
        self.once(self.draft(&facts, RunKind::Check, "", options).await?, errand).await
    }

    /// Runs `discover`.
    pub async fn discover(&self, connection: &str, options: CallOptions) -> Result<RunReport, EngineError> {
        let facts = self.ready(connection, options.cancelled.as_ref()).await?;
        if !facts.has_source {
            return Err(EngineError::NoSuchRole { connection: connection.to_owned(), role: "source" });
        }
        let errand = Errand { operation: Operation::Discover, input: None, output: None, keyed: false };
        self.once(self.draft(&facts, RunKind::Discover, "", options).await?, errand).await
    }

    pub(super) async fn once(&self, mut run: Run, errand: Errand) -> Result<RunReport, EngineError> {
        self.begin(&run, errand.input.clone()).await?;
        let report = self.errand(&mut run, errand).await;
        self.over(&run, report).await
    }

    /// The run's calls are over; an error leaves it open.
    pub(super) async fn over(
        &self,
        run: &Run,
        report: Result<RunReport, EngineError>,
    ) -> Result<RunReport, EngineError> {
        self.caller.ended(&run.run_id);
        match report {
            Ok(report) => Ok(report),
            Err(failed) => Err(self.left_open(run, failed).await),
        }
    }

    async fn errand(&self, run: &mut Run, errand: Errand) -> Result<RunReport, EngineError> {
        let Called { answer, ending, last } = self.attempts(run, &errand.operation, 0, errand.keyed).await?;
        let fruit = match answer {
            Ok(answer) => harvest(answer, errand.output.as_ref(), run).await,
            Err(_) => Fruit::default(),
        };
        self.finish(run, ending, fruit, last).await
    }

    /// The call at this place of the run, whose first attempt is stored, until it is over. `keyed` = an attempt more repeats
    /// what has a key, or needs none.
    pub(super) async fn attempts(
        &self,
        run: &mut Run,
        operation: &Operation,
        call: impl fmt::Display + Copy + Send,
        keyed: bool,
    ) -> Result<Called, EngineError> {
        let (mut machine, mut attempt) = CallMachine::begin();
        loop {
            let mut report =
                self.attempt(run.request(operation.clone(), call, attempt), &run.cancellation).await;
            run.tally.add(&mut report);
            let answer = report.result.and_then(|answer| accept(operation, answer));
            let failure = answer.as_ref().err().cloned();
            let last = self.attempt_end(run, call, attempt, report.requests, failure.as_ref());
            let doubt = Doubt::new(self.effects(run).await?, keyed);
            let outcome = match &failure {
                Some(failure) => Err(failure.clone()),
                None => Ok(()),
            };
            let step = if run.tally.withheld.count > 0 {
                // The next attempt would be held back at the same place.
                Step::End(Ending::of(outcome))
            } else {
                machine.on(Event::Returned(outcome, doubt), &*self.random)
            };
            match step {
                Step::End(ending) => return Ok(Called { answer, ending, last: Some(last) }),
                Step::Wait(pause) => {
                    self.store.end_attempt(last).await?;
                    let event = if self.pause(pause, &run.cancellation).await {
                        Event::Waited
                    } else {
                        Event::Cancelled
                    };
                    match machine.on(event, &*self.random) {
                        Step::Call { attempt: next } => attempt = next,
                        Step::End(ending) => {
                            let answer = Err(Failure::cancelled());
                            return Ok(Called { answer, ending, last: None });
                        }
                        Step::Wait(_) => return Err(EngineError::Host("a wait followed a wait")),
                    }
                    self.store.begin_attempt(self.new_attempt(run, call, attempt)).await?;
                }
                Step::Call { .. } => return Err(EngineError::Host("a call followed a call")),
            }
        }
    }
}

/// An input that breaks the action's contract is refused before there is a run.
pub(super) async fn refuse_unfit(
    run: &Run,
    action: &str,
    found: &ActionFacts,
    input: &str,
) -> Result<(), EngineError> {
    let what = format!("input of `{action}`");
    let faults = validate(run, &found.input, input).await;
    let faults = faults.map_err(|failure| EngineError::not_judged(&what, failure))?;
    let faults = faults.map_err(|source| EngineError::Schema { what, source })?;
    match faults.is_empty() {
        true => Ok(()),
        false => Err(EngineError::InvalidInput { action: action.to_owned(), faults }),
    }
}

/// The answer that the operation may have; anything else is the connector's fault.
fn accept(operation: &Operation, answer: Answer) -> Result<Answer, Failure> {
    match (operation, answer) {
        (Operation::Check, answer @ Answer::Checked)
        | (Operation::Discover, answer @ Answer::Streams(_))
        | (Operation::Invoke { .. }, answer @ Answer::Done(_))
        | (Operation::Write(_), answer @ Answer::Rejected(_))
        | (Operation::Complete { .. }, answer @ Answer::Removed(_)) => Ok(answer),
        (Operation::Handle(_), Answer::Handled(handled)) => match too_large(&handled) {
            Some(words) => Err(Failure::new("too-large", words)),
            None => Ok(Answer::Handled(handled)),
        },
        (Operation::Invoke { .. }, Answer::Pending { .. }) => Err(Failure::new(
            "unsupported",
            "the action answered `pending`, which this version does not wait for",
        )),
        _ => Err(Failure::new("internal", "the answer does not belong to the call")),
    }
}

/// What the store would not take: found here, where it ends the run as one of the connector's faults.
fn too_large(handled: &Handled) -> Option<String> {
    if handled.events.len() > EVENTS_MAX {
        return Some(format!("{} events of one delivery, more than {EVENTS_MAX}", handled.events.len()));
    }
    let large = handled.events.iter().find(|event| event.payload.len() > EVENT_PAYLOAD_BYTES_MAX)?;
    let bytes = large.payload.len();
    Some(format!("the payload of an event has {bytes} bytes, more than {EVENT_PAYLOAD_BYTES_MAX}"))
}

pub(super) async fn harvest(answer: Answer, schema: Option<&Schema>, run: &Run) -> Fruit {
    match answer {
        Answer::Streams(streams) => Fruit { streams, ..Fruit::default() },
        Answer::Done(output) => {
            let mut is_judged = true;
            let drift = match schema {
                // Nothing here may cost the answer; and what nobody could look at must not pass for looked at.
                Some(schema) => match validate(run, schema, &output).await {
                    Ok(Ok(faults)) => faults,
                    Ok(Err(error)) => {
                        // What this machine lacks is no fault of the vendor's.
                        is_judged = !matches!(error, SchemaError::Here(_));
                        vec![Fault::whole(error.to_string())]
                    }
                    Err(failure) => {
                        is_judged = false;
                        vec![Fault::whole(failure.message)]
                    }
                },
                None => Vec::new(),
            };
            Fruit { output: Some(output), drift, not_judged: !is_judged, ..Fruit::default() }
        }
        Answer::Handled(handled) => {
            let output = Some(deliver::handled_json(&handled));
            Fruit { output, handled: Some(handled), ..Fruit::default() }
        }
        Answer::Checked
        | Answer::Pending { .. }
        | Answer::Page(_)
        | Answer::Rejected(_)
        | Answer::Removed(_)
        | Answer::Position(_)
        | Answer::Value(_) => Fruit::default(),
    }
}

async fn validate(
    run: &Run,
    schema: &Schema,
    document: &str,
) -> Result<Result<Vec<Fault>, SchemaError>, Failure> {
    let (schema, document) = (schema.clone(), document.to_owned());
    judge::judged(&run.facts.schema_work, &run.cancellation, move |stop| schema.validate(&document, stop))
        .await
}
