//! Flows for tests, and programs of them evaluated without jq: paths, literals and a few words.

use super::world::CONNECTION;
use crate::{Failure, Flow, FlowStep, Flows, Program, Transform, Triggers, Work};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// Evaluates `.a.b`, `.a[]`, `$NAME.a`, `empty`, `fail`, `busy`, `panic` and literals.
#[derive(Default)]
pub(crate) struct Programs {
    pub(crate) panics: Mutex<u32>,
}

#[async_trait::async_trait]
impl Transform for Programs {
    async fn evaluate(&self, program: Program) -> Result<Vec<Vec<String>>, Failure> {
        if program.text == "panic" {
            let mut left = self.panics.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(fewer) = left.checked_sub(1) {
                *left = fewer;
                drop(left);
                panic!("a fault of ours");
            }
            return Ok(vec![vec!["null".to_owned()]; program.inputs.len()]);
        }
        program.inputs.iter().map(|input| outputs(&program, input)).collect()
    }
}

fn outputs(program: &Program, input: &str) -> Result<Vec<String>, Failure> {
    let text = program.text.as_str();
    let (root, path) = match (text.strip_prefix('$'), text.strip_prefix('.')) {
        (Some(rest), _) => {
            let (name, path) = rest.split_once('.').unwrap_or((rest, ""));
            let found = program.variables.iter().find(|(known, _)| known == name);
            (found.map(|(_, value)| value.as_str()).unwrap(), path)
        }
        (None, Some(path)) => (input, path),
        (None, None) => {
            return match text {
                // Of records: one that says so is dropped, one that says so can't be done.
                "pick" if input.contains("\"drop\"") => Ok(vec![]),
                "pick" if input.contains("\"fail\"") => Err(Failure::new("program-run", "as scripted")),
                "pick" => Ok(vec![input.to_owned()]),
                "empty" => Ok(vec![]),
                "busy" => Err(Failure::new("unavailable", "as scripted")),
                "fail" => Err(Failure::new("transform", "as scripted")),
                literal => Ok(vec![literal.to_owned()]),
            };
        }
    };
    let mut value: Value = serde_json::from_str(root).unwrap();
    let (path, each) = path.strip_suffix("[]").map_or((path, false), |path| (path, true));
    for name in path.split('.').filter(|name| !name.is_empty()) {
        value = value.get(name).cloned().unwrap_or_default();
    }
    let outputs: Vec<_> = match value {
        Value::Array(items) if each => items.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    };
    match outputs.len() > program.outputs_max as usize {
        true => Err(Failure::new("transform", format!("more than {} outputs", program.outputs_max))),
        false => Ok(outputs),
    }
}

pub(crate) fn flow(name: &str, steps: Vec<FlowStep>) -> Flow {
    Flow { name: name.to_owned(), triggers: Triggers::default(), order_by: None, concurrency: 4, steps }
}

pub(crate) fn flows(flows: impl IntoIterator<Item = Flow>) -> Arc<Flows> {
    Arc::new(flows.into_iter().map(|flow| (flow.name.clone(), flow)).collect())
}

/// `create` of the one connection, with what the step before left.
pub(crate) fn create(name: &str) -> FlowStep {
    let work = Work::Action { connection: CONNECTION.to_owned(), action: "create".to_owned(), input: None };
    FlowStep { name: name.to_owned(), when: None, for_each: None, work }
}

pub(crate) fn map(name: &str, program: &str) -> FlowStep {
    let work = Work::Map { program: program.to_owned() };
    FlowStep { name: name.to_owned(), when: None, for_each: None, work }
}

/// `customers` of the one connection into the other.
pub(crate) fn copy(mode: crate::Mode, map: Option<&str>) -> FlowStep {
    let work = Work::Sync(crate::SyncStep {
        source: CONNECTION.to_owned(),
        streams: vec!["customers".to_owned()],
        destination: super::world::WAREHOUSE.to_owned(),
        mode,
        stream_prefix: String::new(),
        map: map.map(str::to_owned),
    });
    FlowStep { name: "copy".to_owned(), when: None, for_each: None, work }
}

impl FlowStep {
    pub(crate) fn when(self, program: &str) -> Self {
        Self { when: Some(program.to_owned()), ..self }
    }

    pub(crate) fn each(self, program: &str) -> Self {
        Self { for_each: Some(program.to_owned()), ..self }
    }

    /// An action's input.
    pub(crate) fn with(self, program: &str) -> Self {
        let Work::Action { connection, action, .. } = self.work else { panic!("it has no input") };
        Self { work: Work::Action { connection, action, input: Some(program.to_owned()) }, ..self }
    }
}
