//! A flow without effects: the engine itself, over a data folder that is gone afterwards. Programs are evaluated, inputs and outputs
//! held against their schemas; nothing is called, and what stands for an answer was handed in.
use super::{connections, runtime, transform::Programs};
use crate::{
    approvals,
    config::Config,
    exit::{Failure, Result, at_database, at_file},
    registry::{self, Package},
};
use async_trait::async_trait;
use portcullis_clock::{Clock, Random, RealClock, RealRandom};
use portcullis_engine::{
    Answer, CallOptions, CallReport, CallRequest, Caller, ConnectionFacts, Connections, Engine, EngineError,
    Flow, Flowed, Flows, Operation, Outcome, Program, Refused, Transform, Withheld, Work,
};
use portcullis_store::{DataLock, RunFilter, RunRow, SqliteStore, StateReader, StoreError};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, OnceCell, watch};

/// What stands for the answers to a step's calls, JSON text, by the step's name.
pub type StandIns = BTreeMap<String, String>;

/// Kind of the failure of a call whose answer nobody handed in.
pub const UNANSWERED: &str = "unanswered";

/// Stands for a step that copies streams: nothing of it is done here.
const COPIED: &str = "\"streams are copied here\" | error";

/// What it takes to try flows.
pub struct Rehearsal {
    config: Arc<Config>,
    folder: tempfile::TempDir,
}

/// How a flow went.
pub struct Rehearsed {
    /// None = it would wait.
    pub outcome: Option<Outcome>,
    /// Why not well, or why it would wait.
    pub why: Option<String>,
    /// Kind of the failure.
    pub kind: Option<String>,
    /// What each step left, as far as it came; JSON text.
    pub outputs: Vec<String>,
    /// Indices of the steps that were passed over.
    pub passed: Vec<usize>,
    /// What would have been called, in order.
    pub calls: Vec<Called>,
}

/// A call that was not made.
pub struct Called {
    /// Index of the step.
    pub step: usize,
    /// With what; JSON text.
    pub input: String,
}

impl Rehearsal {
    /// Makes the folder.
    pub fn new(config: Arc<Config>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("portcullis-flow-").tempdir();
        let folder = folder.map_err(at_file("create a folder in", &std::env::temp_dir()))?;
        Ok(Self { config, folder })
    }

    /// Does the steps.
    pub async fn of(
        &self,
        flow: &Flow,
        input: &str,
        stand_ins: StandIns,
        cancelled: &watch::Receiver<bool>,
    ) -> Result<std::result::Result<Rehearsed, EngineError>> {
        let data = self.folder.path().join("data");
        // Programs that were compiled before are not again; nothing else is looked at there, or written.
        let runtime = runtime(&self.config.data)?;
        let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(RealClock), Arc::new(RealRandom));
        let lock = DataLock::acquire(&data, Duration::ZERO, &*clock).await;
        let lock = lock.map_err(|error| Failure::fault("the store failed").because(&error))?;
        let store = SqliteStore::open(Arc::new(lock), clock.clone(), random.clone());
        let store = Arc::new(store.map_err(|error| at_database("used", "state.db", &error))?);
        let flows = Arc::new(without_copies(&self.config.flows, &stand_ins));
        let caller = StandIn { data: data.clone(), steps: named(flow), stand_ins };
        let programs = Programs {
            runtime,
            clock: clock.clone(),
            random: random.clone(),
            spool: portcullis_runtime::spool_folder(&data),
            prepared: OnceCell::new(),
        };
        let programs = Arc::new(Watched { programs, said: Mutex::default() });
        let known = Arc::new(Known { config: self.config.clone() });
        let engine = Engine::new(store, Arc::new(caller), known, clock, random);
        let engine = engine.with_flows(flows, programs.clone(), Arc::new(Notify::new()));
        let run_id = match engine.begin_flow(&flow.name, input, &CallOptions::default()).await {
            Ok(run_id) => run_id,
            Err(error) => return Ok(Err(error)),
        };
        let went = match engine.flow(&run_id, Some(cancelled)).await {
            Ok(went) => went,
            Err(error) => return Ok(Err(error)),
        };
        let read = tokio::task::spawn_blocking(move || read(&data, &run_id)).await;
        let read = read.map_err(|error| Failure::fault("the reader failed").because(&error))?;
        let (run, outputs, calls) = read.map_err(|error| at_database("read", "state.db", &error))?;
        let said = programs.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let summary = run.summary;
        Ok(Ok(Rehearsed {
            outcome: match went {
                Flowed::Over(outcome) => Some(outcome),
                Flowed::Waits(_) => None,
            },
            why: summary.detail,
            kind: summary.error_kind,
            passed: passed(flow, &said, outputs.len()),
            outputs,
            calls,
        }))
    }
}

/// What a step that copies streams becomes: what stands for what it leaves, or a program that nobody answers.
fn without_copies(flows: &Flows, stand_ins: &StandIns) -> Flows {
    let mut flows = flows.clone();
    for step in flows.values_mut().flat_map(|flow| &mut flow.steps) {
        if matches!(step.work, Work::Sync(_)) {
            let program = stand_ins.get(&step.name).cloned().unwrap_or_else(|| COPIED.to_owned());
            step.work = Work::Map { program };
        }
    }
    flows
}

/// Names of its steps, and what each calls.
fn named(flow: &Flow) -> Vec<String> {
    flow.steps.iter().map(|step| step.name.clone()).collect()
}

type Read = (RunRow, Vec<String>, Vec<Called>);

fn read(data: &Path, run_id: &str) -> std::result::Result<Read, StoreError> {
    let gone = || StoreError::Stopped("what was stored is gone");
    let reader = StateReader::open(data)?.ok_or_else(gone)?;
    let run = reader.run(run_id)?.ok_or_else(gone)?;
    let flow = reader.flow_run(run_id)?.ok_or_else(gone)?;
    let filter = RunFilter { parent: Some(run_id.to_owned()), ..RunFilter::default() };
    let mut calls = Vec::new();
    // Newest first, as they are listed.
    for summary in reader.runs(&filter)?.into_iter().rev() {
        let Some(step) = summary.place.as_deref().and_then(step_at) else { continue };
        let input = reader.run(&summary.run_id)?.and_then(|run| run.input);
        calls.push(Called { step, input: input.unwrap_or_default() });
    }
    Ok((run, flow.outputs, calls))
}

/// Of a place: `3`, or `3/0` where it is one of several.
fn step_at(place: &str) -> Option<usize> {
    place.split('/').next()?.parse::<usize>().ok()?.checked_sub(1)
}

/// The steps that are done and whose `when` said no. Each was asked once, in order.
fn passed(flow: &Flow, said: &[(String, bool)], done: usize) -> Vec<usize> {
    let mut said = said.iter();
    let mut passed = Vec::new();
    for (index, step) in flow.steps.iter().enumerate().take(done) {
        let Some(when) = &step.when else { continue };
        if said.find(|(program, _)| program == when).is_some_and(|(_, says_no)| *says_no) {
            passed.push(index);
        }
    }
    passed
}

/// Evaluates, and notes which programs gave `false` or `null` alone.
struct Watched {
    programs: Programs,
    said: Mutex<Vec<(String, bool)>>,
}

#[async_trait]
impl Transform for Watched {
    async fn evaluate(
        &self,
        program: Program,
    ) -> std::result::Result<Vec<Vec<String>>, portcullis_engine::Failure> {
        if program.text == COPIED {
            return Err(unanswered());
        }
        let text = program.text.clone();
        let outputs = self.programs.evaluate(program).await?;
        let says_no = matches!(outputs.as_slice(), [one] if matches!(one.as_slice(), [only] if matches!(only.trim(), "false" | "null")));
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push((text, says_no));
        Ok(outputs)
    }
}

/// What a connection has: by what is approved, else by the newest that the registry has for it. Nothing of it runs.
struct Known {
    config: Arc<Config>,
}

#[async_trait]
impl Connections for Known {
    async fn ready(&self, name: &str) -> std::result::Result<Arc<ConnectionFacts>, Refused> {
        let (config, name) = (self.config.clone(), name.to_owned());
        let found = tokio::task::spawn_blocking(move || {
            let connection = config.connection(&name)?;
            let component = package(&config, &name)?.component;
            Ok(Arc::new(connections::facts(connection, &component, format!("conn_{name}"))))
        });
        let found = found.await.unwrap_or_else(|_| Err(Failure::fault("a connection can't be looked at")));
        found.map_err(|failure: Failure| Refused { message: failure.line(), help: failure.help })
    }
}

fn package(config: &Config, name: &str) -> Result<Package> {
    let connection = config.connection(name)?;
    let lock = approvals::read_lock(config)?;
    match lock.approvals.get(name) {
        Some(approval) => approvals::find_approved(config, approval).map(|(package, _)| package),
        None => {
            let entry = registry::newest(&config.registry, &connection.connector, &connection.version)?;
            registry::read(&entry)
        }
    }
}

/// Answers as it was told to.
struct StandIn {
    data: PathBuf,
    steps: Vec<String>,
    stand_ins: StandIns,
}

#[async_trait]
impl Caller for StandIn {
    async fn call(&self, request: CallRequest) -> CallReport {
        let data = self.data.clone();
        let run_id = request.run_id.clone();
        let place = tokio::task::spawn_blocking(move || {
            let run = StateReader::open(&data).ok()??.run(&run_id).ok()??;
            run.summary.place.as_deref().and_then(step_at)
        });
        let step = place.await.ok().flatten().and_then(|index| self.steps.get(index));
        let answer = step.and_then(|step| self.stand_ins.get(step));
        let result = match (&request.operation, answer) {
            (Operation::Invoke { .. }, Some(answer)) => Ok(Answer::Done(answer.clone())),
            _ => Err(unanswered()),
        };
        CallReport {
            result,
            unproven_effect: false,
            requests: 0,
            denials: Vec::new(),
            withheld: Withheld::default(),
            cpu: Duration::ZERO,
        }
    }
}

fn unanswered() -> portcullis_engine::Failure {
    portcullis_engine::Failure {
        kind: UNANSWERED.to_owned(),
        message: "it is not called here, and nothing stands for its answer".to_owned(),
        retry_after_ms: None,
        details: None,
    }
}
