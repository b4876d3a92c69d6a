//! `engine::Transform`: programs of flows, evaluated in the sandbox by a connector of our own, which reaches nothing.
use super::{caller, logs::CallLogs};
use async_trait::async_trait;
use portcullis_clock::{Clock, Random};
use portcullis_engine::{Failure, Program, Transform};
use portcullis_manifest::Component;
use portcullis_runtime::{
    CallSettings, Debt, Entry, Limits, Operation, Output, Prepared, Runtime, Spool, State, StorageError,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;

const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/transform.wasm"));

/// Evaluates programs, each call in a fresh instance.
pub struct Programs {
    /// The sandbox.
    pub runtime: Arc<Runtime>,
    /// For the bound of a call's time.
    pub clock: Arc<dyn Clock>,
    /// For ids of blobs, of which there are none.
    pub random: Arc<dyn Random>,
    /// `data/spool`: nothing is written there.
    pub spool: PathBuf,
    /// Compiled when the first program is evaluated.
    pub prepared: OnceCell<Arc<Prepared>>,
}

/// What `evaluate` gives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evaluated<'t> {
    #[serde(borrow)]
    outputs: Option<Vec<Vec<&'t RawValue>>>,
    error: Option<Wrong>,
}

/// What is wrong with a program, or came of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrong {
    input: Option<u64>,
    kind: String,
    message: String,
    line: Option<u64>,
    column: Option<u64>,
}

#[async_trait]
impl Transform for Programs {
    async fn evaluate(&self, program: Program) -> Result<Vec<Vec<String>>, Failure> {
        let prepared = self.prepared.get_or_try_init(|| self.prepare()).await?;
        let input = input(&program);
        let operation =
            Operation::Invoke { config: "{}".to_owned(), action: "evaluate".to_owned(), input, resume: None };
        let (result, _) = self.runtime.call(prepared, self.settings(program), operation).await;
        match result {
            Ok(Output::Done(text)) => outputs(&text),
            Ok(_) => Err(failed("the answer is of another function")),
            Err(error) => Err(caller::failure(error)),
        }
    }
}

impl Programs {
    async fn prepare(&self) -> Result<Arc<Prepared>, Failure> {
        let damaged =
            |error: &dyn std::fmt::Display| failed(&format!("its programs can't be evaluated: {error}"));
        let component = Component::read(COMPONENT).map_err(|error| damaged(&error))?;
        let code = Component::code(COMPONENT).map_err(|error| damaged(&error))?;
        let prepared =
            self.runtime.prepare_with(&component.code_digest, &code, &component.manifest.capabilities);
        prepared.await.map_err(|error| damaged(&error))
    }

    fn settings(&self, program: Program) -> CallSettings {
        let bounds = crate::config::Limits::default();
        CallSettings {
            limits: Limits {
                memory_bytes_max: bounds.memory_bytes_max,
                timeout: bounds.timeout,
                cpu: bounds.cpu,
                log_bytes_max: bounds.log_bytes_max,
            },
            egress: None,
            state: Arc::new(NoState),
            spool: Spool::new(self.spool.join("transform"), 0, self.random.clone()),
            logs: Arc::new(CallLogs {
                connection: "transform".to_owned(),
                run_id: String::new(),
                way_out: None,
            }),
            assets: Arc::default(),
            folders: Arc::new(BTreeMap::new()),
            // The same program gives the same: nothing in it is drawn.
            seed: [0; 32],
            clock: self.clock.clone(),
            debt: Arc::new(Debt::default()),
            cancelled: program.cancelled,
        }
    }
}

/// Variables and inputs are JSON texts, and stay what they are to the digit.
fn input(program: &Program) -> String {
    let name = |text: &str| json!(text).to_string();
    let variables: Vec<_> =
        program.variables.iter().map(|(variable, value)| format!("{}:{value}", name(variable))).collect();
    format!(
        "{{\"program\":{},\"outputs-max\":{},\"variables\":{{{}}},\"inputs\":[{}]}}",
        name(&program.text),
        program.outputs_max,
        variables.join(","),
        program.inputs.join(",")
    )
}

fn outputs(text: &str) -> Result<Vec<Vec<String>>, Failure> {
    let evaluated: Evaluated<'_> =
        serde_json::from_str(text).map_err(|error| failed(&format!("the answer can't be read: {error}")))?;
    if let Some(wrong) = evaluated.error {
        return Err(Failure {
            kind: format!("program-{}", wrong.kind),
            message: told(&wrong),
            retry_after_ms: None,
            details: None,
        });
    }
    let texts = |outputs: Vec<&RawValue>| outputs.into_iter().map(|output| output.get().to_owned()).collect();
    Ok(evaluated.outputs.unwrap_or_default().into_iter().map(texts).collect())
}

fn told(wrong: &Wrong) -> String {
    let place = match (wrong.line, wrong.column, wrong.input) {
        (Some(line), Some(column), _) => format!(" at line {line}, column {column} of the program"),
        (_, _, Some(input)) if input > 0 => format!(" for item {}", input + 1),
        _ => String::new(),
    };
    format!("{}{place}", wrong.message)
}

fn failed(message: &str) -> Failure {
    Failure { kind: "host".to_owned(), message: message.to_owned(), retry_after_ms: None, details: None }
}

/// A program keeps nothing.
struct NoState;

#[async_trait]
impl State for NoState {
    async fn get(&self, _: &str) -> Result<Option<Entry>, StorageError> {
        Ok(None)
    }

    async fn set(&self, _: &str, _: Vec<u8>, _: Option<u64>) -> Result<u64, StorageError> {
        Err(StorageError::Quota(0))
    }

    async fn delete(&self, _: &str) -> Result<(), StorageError> {
        Err(StorageError::NotFound)
    }

    async fn list_keys(&self, _: &str, _: Option<&str>, _: u32) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_comes_back() {
        let given = r#"{"outputs":[[12345678901234567890123,{"a":0.1000}],[]]}"#;
        let expected = [vec!["12345678901234567890123".to_owned(), "{\"a\":0.1000}".to_owned()], Vec::new()];
        assert_eq!(outputs(given).unwrap_or_default(), expected);
    }

    #[test]
    fn an_error_says_where_it_is() {
        let given =
            r#"{"error":{"input":null,"kind":"compile","message":"expected `then`","line":1,"column":6}}"#;
        let failure = outputs(given).err();
        let failure = failure.map(|failure| (failure.kind, failure.message));
        let message = "expected `then` at line 1, column 6 of the program".to_owned();
        assert_eq!(failure, Some(("program-compile".to_owned(), message)));
    }
}
