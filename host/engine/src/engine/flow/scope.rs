//! What the programs of a flow see: `.` is what the step before left, `$input` what the run began with, `$trigger` what began it,
//! `$steps` what each step that is done left.

use super::super::{Engine, attempt::Cancellation};
use crate::{Failure, FlowStep, Program, limits::ITEMS_MAX};
use portcullis_store::FlowRun;
use serde_json::json;

/// Where a run of a flow stands.
pub(super) struct Scope {
    value: String,
    input: String,
    trigger: String,
    /// Name and output.
    steps: Vec<(String, String)>,
}

impl Scope {
    /// As far as the run has come.
    pub(super) fn new(run: &FlowRun, steps: &[FlowStep]) -> Self {
        let input = run.input.clone().unwrap_or_else(|| "null".to_owned());
        let mut scope = Self { value: input.clone(), input, trigger: run.about.clone(), steps: Vec::new() };
        for (step, output) in steps.iter().zip(&run.outputs) {
            scope.is_done(step, output.clone());
        }
        scope
    }

    /// What the next step begins with.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// What all steps that are done left, together.
    pub(super) fn bytes(&self) -> usize {
        self.steps.iter().map(|(_, output)| output.len()).sum()
    }

    pub(super) fn is_done(&mut self, step: &FlowStep, output: String) {
        self.steps.push((step.name.clone(), output.clone()));
        self.value = output;
    }

    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let entry = |(name, output): &(String, String)| format!("{}:{output}", json!(name));
        let steps: Vec<_> = self.steps.iter().map(entry).collect();
        vec![
            ("input".to_owned(), self.input.clone()),
            ("trigger".to_owned(), self.trigger.clone()),
            ("steps".to_owned(), format!("{{{}}}", steps.join(","))),
        ]
    }
}

impl Engine {
    /// Whether a `when` says so.
    pub(super) async fn asked(
        &self,
        scope: &Scope,
        program: &str,
        cancellation: &Cancellation,
    ) -> Result<bool, Failure> {
        let output = self.each(scope, program, vec![scope.value().to_owned()], cancellation).await?;
        Ok(!matches!(output.first().map(|output| output.trim()), Some("false" | "null")))
    }

    /// Every output for what the step begins with.
    pub(super) async fn outputs(
        &self,
        scope: &Scope,
        program: &str,
        cancellation: &Cancellation,
    ) -> Result<Vec<String>, Failure> {
        let mut outputs =
            self.evaluated(scope, program, vec![scope.value().to_owned()], ITEMS_MAX, cancellation).await?;
        Ok(outputs.pop().unwrap_or_default())
    }

    /// The one output for each input.
    pub(super) async fn each(
        &self,
        scope: &Scope,
        program: &str,
        inputs: Vec<String>,
        cancellation: &Cancellation,
    ) -> Result<Vec<String>, Failure> {
        if inputs.is_empty() {
            return Ok(inputs);
        }
        let outputs = self.evaluated(scope, program, inputs, 1, cancellation).await?;
        let one = |mut outputs: Vec<String>| {
            outputs.pop().ok_or_else(|| {
                Failure::new("transform", "the program gave nothing where one value is needed")
            })
        };
        outputs.into_iter().map(one).collect()
    }

    async fn evaluated(
        &self,
        scope: &Scope,
        program: &str,
        inputs: Vec<String>,
        outputs_max: u32,
        cancellation: &Cancellation,
    ) -> Result<Vec<Vec<String>>, Failure> {
        self.evaluated_with(scope.variables(), program, inputs, outputs_max, cancellation).await
    }

    /// The outputs for each input, where programs see these variables.
    pub(super) async fn evaluated_with(
        &self,
        variables: Vec<(String, String)>,
        program: &str,
        inputs: Vec<String>,
        outputs_max: u32,
        cancellation: &Cancellation,
    ) -> Result<Vec<Vec<String>>, Failure> {
        let Some(transform) = &self.transform else {
            return Err(Failure::new("host", "nobody evaluates programs here"));
        };
        let expected = inputs.len();
        let program = Program {
            text: program.to_owned(),
            variables,
            inputs,
            outputs_max,
            cancelled: cancellation.receiver(),
        };
        let outputs = transform.evaluate(program).await?;
        match outputs.len() == expected {
            true => Ok(outputs),
            false => Err(Failure::new("host", "not every input was evaluated")),
        }
    }
}
