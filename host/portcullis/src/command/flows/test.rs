//! `flows test`: a flow's steps without effects, and what each leaves.
use super::no_such_flow;
use crate::{
    cli::{Arguments, FlowsTest},
    command::{call, report},
    config::Config,
    exit::{Exit, Failure, Result},
    output,
    wiring::{Rehearsal, Rehearsed, StandIns, UNANSWERED},
};
use portcullis_engine::{Flow, Outcome, Work};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};

/// Tries a flow.
pub async fn run(arguments: &Arguments, options: &FlowsTest) -> Result<Exit> {
    let input = call::input(options.input.as_deref(), options.input_file.as_deref())?;
    refuse_other_than_json(&input, "the input")?;
    let config = Arc::new(Config::read(&arguments.config)?);
    let Some(flow) = config.flows.get(&options.flow) else {
        return Err(no_such_flow(&config, &options.flow));
    };
    let stand_ins = stand_ins(flow, &options.outputs)?;
    let cancelled = report::cancel_on_signal();
    let rehearsal = Rehearsal::new(config.clone())?;
    let went = rehearsal.of(flow, &input, stand_ins, &cancelled).await?.map_err(report::refused)?;
    let shown = Shown { flow, went: &went };
    match arguments.json {
        true => shown.json(),
        false => shown.text(),
    }
    Ok(shown.exit())
}

fn refuse_other_than_json(text: &str, what: &str) -> Result<()> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(drop)
        .map_err(|error| Failure::new(Exit::Usage, format!("{what} is not JSON")).because(&error))
}

/// `STEP=FILE` each.
fn stand_ins(flow: &Flow, written: &[String]) -> Result<StandIns> {
    let mut found = StandIns::new();
    for one in written {
        let Some((step, file)) = one.split_once('=') else {
            let message = format!("`--output {}` names no file", output::shown_line(one));
            return Err(Failure::new(Exit::Usage, message)
                .with_help("`--output STEP=FILE`, the step by its name in the flow"));
        };
        let Some(named) = flow.steps.iter().find(|known| known.name == step) else {
            let known: Vec<_> = flow.steps.iter().map(|step| format!("`{}`", step.name)).collect();
            let message = format!("the flow `{}` has no step `{}`", flow.name, output::shown_line(step));
            return Err(Failure::new(Exit::Usage, message).with_help(format!("it has {}", known.join(", "))));
        };
        if matches!(named.work, Work::Map { .. }) {
            return Err(Failure::new(Exit::Usage, format!("`{step}` computes its output itself"))
                .with_help("`--output` is for steps that would call something"));
        }
        let text = call::input(None, Some(Path::new(file)))?;
        refuse_other_than_json(&text, &format!("`{}`", output::shown_line(file)))?;
        found.insert(step.to_owned(), text.trim().to_owned());
    }
    Ok(found)
}

struct Shown<'r> {
    flow: &'r Flow,
    went: &'r Rehearsed,
}

impl Shown<'_> {
    /// The step at which it ended before its end; none = it went through.
    fn ended_at(&self) -> Option<usize> {
        (self.went.outcome != Some(Outcome::Succeeded)).then_some(self.went.outputs.len())
    }

    /// It came as far as it can without an answer.
    fn lacks_an_answer(&self) -> bool {
        self.went.kind.as_deref() == Some(UNANSWERED)
    }

    /// Whether the one answer that is lacking is that of the last step: nothing needs it.
    fn is_enough(&self) -> bool {
        self.lacks_an_answer() && self.ended_at().is_some_and(|index| index + 1 == self.flow.steps.len())
    }

    fn exit(&self) -> Exit {
        match self.went.outcome {
            Some(Outcome::Succeeded) => Exit::Success,
            Some(Outcome::Cancelled) => Exit::Cancelled,
            _ if self.is_enough() => Exit::Success,
            _ => Exit::Failed,
        }
    }

    fn calls(&self, index: usize) -> impl Iterator<Item = &str> {
        self.went.calls.iter().filter(move |call| call.step == index).map(|call| call.input.as_str())
    }

    fn text(&self) {
        for (index, step) in self.flow.steps.iter().enumerate() {
            output::line(&format!("{} {}: {}", index + 1, step.name, what(&step.work)));
            if self.went.passed.contains(&index) {
                output::line("  passed over: `when` says no");
            } else if self.ended_at().is_some_and(|ended| index > ended) {
                output::line("  not reached");
            }
            self.calls(index).for_each(|input| told("called with", input));
            if let Some(left) = self.went.outputs.get(index) {
                told("leaves", left);
            } else if self.ended_at() == Some(index) && self.lacks_an_answer() {
                output::line("  its answer is not known here");
            }
        }
        let Some(index) = self.ended_at().filter(|_| !self.is_enough()) else { return };
        let why = self.went.why.as_deref().or(self.went.kind.as_deref()).unwrap_or_default();
        let word = if self.went.outcome.is_none() { "it would wait" } else { "it ends here" };
        output::note(&format!("error: {word}: {}", output::shown_line(why)));
        if let Some(step) = self.flow.steps.get(index).filter(|_| self.lacks_an_answer()) {
            output::note(&format!(
                "\nhint: `--output {}=FILE` says what stands for its answer; the steps behind it need one",
                step.name
            ));
        }
    }

    fn json(&self) {
        for (index, step) in self.flow.steps.iter().enumerate() {
            output::json_line(&json!({
                "step": step.name, "does": what(&step.work), "passed_over": self.went.passed.contains(&index),
                "reached": self.ended_at().is_none_or(|ended| index <= ended),
                "called_with": self.calls(index).map(report::json_or_text).collect::<Vec<_>>(),
                "output": self.went.outputs.get(index).map(|left| report::json_or_text(left)),
                "error": self.error(index),
            }));
        }
    }

    fn error(&self, index: usize) -> Value {
        match self.ended_at() == Some(index) {
            true => json!({
                "kind": self.went.kind, "message": self.went.why, "outcome": self.went.outcome.map(Outcome::as_str),
            }),
            false => Value::Null,
        }
    }
}

/// What a step does, in a few words.
fn what(work: &Work) -> String {
    match work {
        Work::Map { .. } => "computes".to_owned(),
        Work::Action { connection, action, .. } => format!("`{action}` of `{connection}`, not called"),
        Work::Sync(sync) => {
            format!(
                "`{}` of `{}` into `{}`, not copied",
                sync.streams.join("`, `"),
                sync.source,
                sync.destination
            )
        }
    }
}

fn told(word: &str, json: &str) {
    output::line(&format!("  {word} {}", output::inert(json.trim())));
}
