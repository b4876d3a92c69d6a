//! `engine::Caller` over the runtime: one call, with its own way out, state and log.
use super::{
    connections::{Loaded, Loader},
    logs::CallLogs,
    scratch::Scratch,
    state::ConnectionState,
};
use async_trait::async_trait;
use portcullis_clock::{Clock, Random};
use portcullis_egress::CallContext;
use portcullis_engine::{
    ANY_NAME, Answer, Batch, CallReport, CallRequest, Caller, Delivery, Denied, Event, Failure, Handled,
    Operation, Page, Position, Rejected, Reply, StreamDescriptor, Withheld, WithheldRequest,
};
use portcullis_grants::Rule;
use portcullis_runtime::{CallError, CallSettings, ConnectorError, Folder, Output, Runtime, Spool};
use portcullis_store::{StateSpace, Store};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// Calls connectors in fresh instances.
pub struct RuntimeCaller {
    /// Finds the connection.
    pub loader: Arc<Loader>,
    /// The sandbox.
    pub runtime: Arc<Runtime>,
    /// For the connection's state.
    pub store: Arc<dyn Store>,
    /// `data/spool`.
    pub spool: PathBuf,
    /// What guests see of time.
    pub clock: Arc<dyn Clock>,
    /// For ids of blobs.
    pub random: Arc<dyn Random>,
    /// By run and connection.
    pub spools: Mutex<HashMap<(String, String), Arc<Spool>>>,
}

impl RuntimeCaller {
    /// The run's, for this connection alone: the same one for each of its calls.
    fn spool(&self, loaded: &Loaded, request: &CallRequest) -> Arc<Spool> {
        let key = (request.run_id.clone(), request.connection_id.clone());
        let mut spools = self.spools.lock().unwrap_or_else(PoisonError::into_inner);
        let made = spools.entry(key).or_insert_with(|| {
            let folder = self.spool.join(&request.run_id).join(&request.connection_id);
            Spool::new(folder, loaded.spool_bytes_max, self.random.clone())
        });
        made.clone()
    }
}

#[async_trait]
impl Caller for RuntimeCaller {
    fn ended(&self, run_id: &str) {
        let gone: Vec<_> = {
            let mut spools = self.spools.lock().unwrap_or_else(PoisonError::into_inner);
            spools.extract_if(|(run, _), _| run == run_id).collect()
        };
        if !gone.is_empty() {
            drop(gone);
            // Only where it is empty. What can't be removed now is removed at the next start.
            let _ = std::fs::remove_dir(self.spool.join(run_id));
        }
    }

    async fn call(&self, request: CallRequest) -> CallReport {
        let loaded = match self.loader.load(&request.connection).await {
            Ok(loaded) => loaded,
            Err(failure) => return refused(failure.message),
        };
        let Ok(_permit) = loaded.concurrency.acquire().await else { return refused("closed".to_owned()) };
        let folders = match folders(&loaded, request.dry_run) {
            Ok(folders) => folders,
            Err(error) => return refused(format!("a folder can't be opened for a dry run: {error}")),
        };
        let way_out = loaded.egress.call(context(&loaded, &request));
        loaded.egress.know_secrets().await;
        let space = StateSpace {
            connection_id: request.connection_id.clone(),
            position_version: loaded.facts.position_version,
        };
        let stored = ConnectionState { store: self.store.clone(), space };
        let settings = CallSettings {
            limits: loaded.limits.clone(),
            egress: Some(way_out.clone()),
            state: if request.dry_run { Arc::new(Scratch::over(stored)) } else { Arc::new(stored) },
            spool: self.spool(&loaded, &request),
            logs: Arc::new(CallLogs {
                connection: request.connection.clone(),
                run_id: request.run_id.clone(),
                way_out: Some(loaded.egress.clone()),
            }),
            assets: loaded.assets.clone(),
            folders,
            seed: seed(&request),
            clock: self.clock.clone(),
            debt: loaded.debt.clone(),
            cancelled: request.cancelled.clone(),
        };
        let operation = operation(loaded.config.clone(), request.operation);
        let (result, usage) = self.runtime.call(&loaded.prepared, settings, operation).await;
        way_out.close().await;
        let denied = |(exchange, denial): (String, portcullis_egress::error::DenialDetail)| Denied {
            exchange,
            reason: denial.reason,
            remedy: denial.remedy,
        };
        let result = unsecret(&loaded.egress, result.map_err(failure).and_then(answer)).await;
        CallReport {
            result,
            unproven_effect: way_out.has_unproven_effect(),
            requests: way_out.requests(),
            denials: way_out.denials().into_iter().map(denied).collect(),
            withheld: withheld(&way_out),
            cpu: usage.cpu,
        }
    }
}

/// What a connector says of a failure is stored and shown: it may hold a secret that somebody gave it.
async fn unsecret(
    way_out: &portcullis_egress::Connection,
    result: Result<Answer, Failure>,
) -> Result<Answer, Failure> {
    match result {
        Err(failure) => Err(masked(way_out, failure).await),
        Ok(Answer::Rejected(lines)) => {
            let mut shown = Vec::with_capacity(lines.len());
            for Rejected { line, error } in lines {
                shown.push(Rejected { line, error: masked(way_out, error).await });
            }
            Ok(Answer::Rejected(shown))
        }
        Ok(answer) => Ok(answer),
    }
}

async fn masked(way_out: &portcullis_egress::Connection, failure: Failure) -> Failure {
    let message = way_out.masked(&failure.message).await;
    let details = match failure.details {
        Some(details) => Some(way_out.masked(&details).await),
        None => None,
    };
    Failure { message, details, ..failure }
}

fn refused(message: String) -> CallReport {
    let failure = Failure { kind: "denied".to_owned(), message, retry_after_ms: None, details: None };
    CallReport {
        result: Err(failure),
        unproven_effect: false,
        requests: 0,
        denials: Vec::new(),
        withheld: Withheld::default(),
        cpu: std::time::Duration::ZERO,
    }
}

/// Those of the connection; in a dry run nothing becomes of what is written to them.
fn folders(loaded: &Loaded, dry_run: bool) -> std::io::Result<Arc<BTreeMap<String, Arc<Folder>>>> {
    if !dry_run {
        return Ok(loaded.folders.clone());
    }
    let dry = loaded.folders.iter().map(|(name, folder)| Ok((name.clone(), Arc::new(folder.dry()?))));
    dry.collect::<std::io::Result<BTreeMap<_, _>>>().map(Arc::new)
}

fn withheld(way_out: &portcullis_egress::Call) -> Withheld {
    let (held, count) = way_out.withheld();
    let request = |held: portcullis_egress::Withheld| WithheldRequest {
        exchange: held.exchange.exchange_id,
        method: held.exchange.method,
        url: held.exchange.url,
        headers: held.exchange.request_headers,
        body: held.body,
        body_bytes: held.exchange.request_bytes,
        rule: held.rule,
        manifest_place: held.exchange.manifest_place,
        operator_place: held.exchange.operator_place,
        slot: held.slot,
        credential: held.exchange.credential,
        place: held.place,
        idempotency_key: held.exchange.idempotency_key,
        after_withheld: held.after_withheld,
    };
    Withheld { requests: held.into_iter().map(request).collect(), count }
}

fn context(loaded: &Loaded, request: &CallRequest) -> CallContext {
    CallContext {
        run_id: request.run_id.clone(),
        step: request.step.clone(),
        call: request.call.clone(),
        correlation_id: request.correlation_id.clone(),
        operation_rules: operation_rules(loaded, &request.operation),
        dry_run: request.dry_run,
        cancelled: request.cancelled.clone(),
    }
}

/// The `http` list of the running action or read; an empty one narrows nothing, and what is delivered, written or moved has none: a
/// stream's is of reading it, and what moves values reaches nothing.
fn operation_rules(loaded: &Loaded, operation: &Operation) -> Option<Vec<Rule>> {
    match operation {
        Operation::Check
        | Operation::Discover
        | Operation::Handle(_)
        | Operation::Write(_)
        | Operation::Complete { .. }
        | Operation::MovePosition { .. }
        | Operation::MoveState { .. } => None,
        Operation::Invoke { action, .. } => {
            let named = loaded.facts.actions.contains_key(action);
            loaded.narrowed.actions.get(if named { action.as_str() } else { ANY_NAME }).cloned()
        }
        Operation::Read { stream, .. } => {
            let named = loaded.facts.streams.contains_key(stream);
            loaded.narrowed.streams.get(if named { stream.as_str() } else { ANY_NAME }).cloned()
        }
    }
}

/// The same for a repeated attempt of one call, so that what the guest draws (a multipart boundary, a key) is the same.
fn seed(request: &CallRequest) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [&request.run_id, &request.step, &request.call] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The same in the words of the runtime, with the connection's config.
pub fn operation(config: String, operation: Operation) -> portcullis_runtime::Operation {
    match operation {
        Operation::Check => portcullis_runtime::Operation::Check { config },
        Operation::Discover => portcullis_runtime::Operation::Discover { config },
        Operation::Invoke { action, input, resume } => {
            portcullis_runtime::Operation::Invoke { config, action, input, resume }
        }
        Operation::Read { stream, position, max_records } => portcullis_runtime::Operation::Read {
            config,
            stream_name: stream,
            position: match position {
                Position::Start => portcullis_runtime::call::Position::Start,
                Position::Checkpoint(value) => portcullis_runtime::call::Position::Checkpoint(value),
                Position::Next(value) => portcullis_runtime::call::Position::Next(value),
            },
            max_records,
        },
        Operation::Handle(delivery) => {
            let Delivery { id, method, path, query, headers, body } = delivery;
            let delivery = portcullis_runtime::Delivery { id, method, path, query, headers, body };
            portcullis_runtime::Operation::Handle { config, delivery }
        }
        Operation::Write(batch) => {
            let Batch { id, stream, mode, generation, records } = batch;
            let (stream_descriptor, mode) = (described(stream), mode.as_str());
            let batch = portcullis_runtime::Batch { id, stream_descriptor, mode, generation, records };
            portcullis_runtime::Operation::Write { config, batch }
        }
        Operation::Complete { stream, generation, removed_max } => {
            portcullis_runtime::Operation::Complete { config, stream_name: stream, generation, removed_max }
        }
        Operation::MovePosition { stream, from_version, position } => {
            portcullis_runtime::Operation::MigratePosition { stream_name: stream, from_version, position }
        }
        Operation::MoveState { key, from_version, value } => {
            portcullis_runtime::Operation::MigrateState { key, from_version, value }
        }
    }
}

fn described(stream: StreamDescriptor) -> portcullis_runtime::StreamDescriptor {
    portcullis_runtime::StreamDescriptor {
        name: stream.name,
        schema: stream.schema,
        primary_key: stream.primary_key,
        cursor_field: stream.cursor_field,
        deleted_field: stream.deleted_field,
        complete_reads: stream.complete_reads,
    }
}

fn answer(output: Output) -> Result<Answer, Failure> {
    match output {
        Output::Unit => Ok(Answer::Checked),
        Output::Done(output) => Ok(Answer::Done(output)),
        Output::Pending { resume, after_ms } => Ok(Answer::Pending { resume, after_ms }),
        Output::Streams(streams) => Ok(Answer::Streams(streams.into_iter().map(descriptor).collect())),
        Output::Page(page) => Ok(Answer::Page(Page {
            records: page.records,
            count: page.count,
            next: page.next,
            checkpoint: page.checkpoint,
            again_after_ms: page.again_after_ms,
        })),
        Output::Events { events, reply } => {
            let event = |(name, id, payload)| Event { name, id, payload };
            let reply = reply.map(|(status, headers, body)| Reply { status, headers, body });
            Ok(Answer::Handled(Handled { events: events.into_iter().map(event).collect(), reply }))
        }
        Output::Rejected(lines) => {
            let rejected = |(line, error)| Rejected { line, error: said(error) };
            Ok(Answer::Rejected(lines.into_iter().map(rejected).collect()))
        }
        Output::Removed(count) => Ok(Answer::Removed(count)),
        Output::Json(position) => Ok(Answer::Position(position)),
        Output::State(value) => Ok(Answer::Value(value)),
        _ => Err(Failure {
            kind: "internal".to_owned(),
            message: "the answer is of another function".to_owned(),
            retry_after_ms: None,
            details: None,
        }),
    }
}

fn descriptor(stream: portcullis_runtime::call::StreamDescriptor) -> StreamDescriptor {
    StreamDescriptor {
        name: stream.name,
        schema: stream.schema,
        primary_key: stream.primary_key,
        cursor_field: stream.cursor_field,
        deleted_field: stream.deleted_field,
        complete_reads: stream.complete_reads,
    }
}

pub(super) fn failure(error: CallError) -> Failure {
    let message = error.to_string();
    let kind = match error {
        CallError::Connector(error) => return said(error),
        CallError::Panicked(_) => "panicked",
        CallError::CpuBudget(_) => "cpu-budget",
        CallError::Timeout(_) => "timeout",
        CallError::Memory(_) => "memory",
        CallError::StackOverflow => "stack-overflow",
        CallError::Trapped(_) => "trapped",
        CallError::Exited(_) => "exited",
        CallError::Limit { .. } => "limit",
        CallError::Requests { .. } => "requests",
        CallError::AtCapacity(_) => "at-capacity",
        CallError::Cancelled => "cancelled",
        CallError::NoSuchRole(_) => "no-such-role",
        CallError::InvalidAnswer(_) => "invalid-answer",
        CallError::Host(_) => "host",
    };
    Failure { kind: kind.to_owned(), message, retry_after_ms: None, details: None }
}

/// What the connector itself says.
fn said(error: ConnectorError) -> Failure {
    let ConnectorError { kind, message, retry_after_ms, details } = error;
    Failure { kind: kind.as_str().to_owned(), message, retry_after_ms, details }
}
