//! The roles of a component: found when it is prepared, each loaded by its own indices when it is called.

use crate::{
    CallError, CompileError, Operation, Output, answer,
    call::{Batch, Delivery, Position, StreamDescriptor, Subscription},
    host::v0_1::{exports as roles, imports::types},
    instance::CallState,
    limits, text,
};
use wasmtime::{
    Store,
    component::{Instance, InstancePre},
};

/// Where each exported role lies.
pub(crate) struct Roles {
    lifecycle: roles::lifecycle::GuestIndices,
    actions: Option<roles::actions::GuestIndices>,
    source: Option<roles::source::GuestIndices>,
    destination: Option<roles::destination::GuestIndices>,
    webhook: Option<roles::webhook::GuestIndices>,
    subscriptions: Option<roles::subscriptions::GuestIndices>,
    migration: Option<roles::migration::GuestIndices>,
}

/// The answer, or what is wrong with it; outside, a trap.
type Answer = wasmtime::Result<Result<Output, CallError>>;

impl Roles {
    pub(crate) fn of(pre: &InstancePre<CallState>) -> Result<Self, CompileError> {
        let exported = |name: &str| {
            pre.component().get_export_index(None, format!("portcullis:connector/{name}@0.1.0")).is_some()
        };
        let fault = |error: wasmtime::Error| {
            CompileError::Invalid(text::shown(&format!("{error:#}"), limits::MESSAGE_BYTES_MAX))
        };
        macro_rules! role {
            ($role:ident) => {
                exported(stringify!($role))
                    .then(|| roles::$role::GuestIndices::new(pre))
                    .transpose()
                    .map_err(fault)?
            };
        }
        Ok(Self {
            lifecycle: roles::lifecycle::GuestIndices::new(pre).map_err(fault)?,
            actions: role!(actions),
            source: role!(source),
            destination: role!(destination),
            webhook: role!(webhook),
            subscriptions: role!(subscriptions),
            migration: role!(migration),
        })
    }

    /// `Some` where the operation needs a role that is not exported; before an instance is made.
    pub(crate) fn missing(&self, operation: &Operation) -> Option<&'static str> {
        let (name, there) = match operation {
            Operation::Check { .. } => return None,
            Operation::Invoke { .. } => ("actions", self.actions.is_some()),
            Operation::Discover { .. } | Operation::Read { .. } => ("source", self.source.is_some()),
            Operation::Write { .. } | Operation::Complete { .. } => {
                ("destination", self.destination.is_some())
            }
            Operation::Handle { .. } => ("webhook", self.webhook.is_some()),
            Operation::Ensure { .. } | Operation::Remove { .. } => {
                ("subscriptions", self.subscriptions.is_some())
            }
            Operation::MigratePosition { .. }
            | Operation::MigrateConfig { .. }
            | Operation::MigrateState { .. } => ("migration", self.migration.is_some()),
        };
        (!there).then_some(name)
    }

    /// Makes the instance and calls the one export. Its role is there: `missing` was asked.
    pub(crate) async fn run(
        &self,
        pre: &InstancePre<CallState>,
        store: &mut Store<CallState>,
        operation: Operation,
    ) -> Answer {
        let instance = pre.instantiate_async(&mut *store).await?;
        match operation {
            Operation::Check { config } => {
                let guest = self.lifecycle.load(&mut *store, &instance)?;
                Ok(guest.call_check(store, &config).await?.map(|()| Output::Unit).map_err(refused))
            }
            Operation::Invoke { .. } => self.act(store, &instance, operation).await,
            Operation::Discover { .. } | Operation::Read { .. } => {
                self.source(store, &instance, operation).await
            }
            Operation::Write { .. } | Operation::Complete { .. } => {
                self.destination(store, &instance, operation).await
            }
            Operation::Handle { config, delivery } => self.handle(store, &instance, config, delivery).await,
            Operation::Ensure { .. } | Operation::Remove { .. } => {
                self.subscriptions(store, &instance, operation).await
            }
            Operation::MigratePosition { .. }
            | Operation::MigrateConfig { .. }
            | Operation::MigrateState { .. } => self.migrate(store, &instance, operation).await,
        }
    }

    async fn act(&self, store: &mut Store<CallState>, instance: &Instance, operation: Operation) -> Answer {
        use roles::actions::Outcome;
        let (Some(role), Operation::Invoke { config, action, input, resume }) = (&self.actions, operation)
        else {
            return absent("actions");
        };
        let guest = role.load(&mut *store, instance)?;
        let outcome = guest.call_invoke(store, &config, &action, &input, resume.as_ref()).await?;
        Ok(outcome.map_err(refused).and_then(|outcome| match outcome {
            Outcome::Done(output) => {
                Ok(Output::Done(answer::json("output", output, limits::OUTPUT_BYTES_MAX)?))
            }
            Outcome::Pending(pending) => Ok(Output::Pending {
                resume: answer::json("resume", pending.resume, limits::POSITION_BYTES_MAX)?,
                after_ms: pending.after_ms,
            }),
        }))
    }

    async fn source(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        operation: Operation,
    ) -> Answer {
        use roles::source::ReadRequest;
        let Some(role) = &self.source else { return absent("source") };
        let guest = role.load(&mut *store, instance)?;
        match operation {
            Operation::Discover { config } => {
                let streams = guest.call_discover(store, &config).await?;
                Ok(streams
                    .map_err(refused)
                    .and_then(|streams| Ok(Output::Streams(answer::streams(streams)?))))
            }
            Operation::Read { config, stream_name, position, max_records } => {
                let request = ReadRequest { stream_name, position: position.into(), max_records };
                let page = guest.call_read(store, &config, &request).await?;
                Ok(page.map_err(refused).and_then(|page| {
                    let page = answer::page(page.records, page.next, page.checkpoint, page.again_after_ms)?;
                    Ok(Output::Page(page))
                }))
            }
            _ => absent("source"),
        }
    }

    async fn destination(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        operation: Operation,
    ) -> Answer {
        let Some(role) = &self.destination else { return absent("destination") };
        let guest = role.load(&mut *store, instance)?;
        match operation {
            Operation::Write { config, batch } => {
                if let Err(error) =
                    answer::bounded("batch-bytes", batch.records.len(), limits::PAGE_BYTES_MAX)
                {
                    return Ok(Err(error));
                }
                let batch: roles::destination::Batch = match batch.try_into() {
                    Ok(batch) => batch,
                    Err(error) => return Ok(Err(error)),
                };
                let rejected = guest.call_write(store, &config, &batch).await?;
                Ok(rejected.map_err(refused).and_then(|lines| {
                    let lines = lines.into_iter().map(|line| (line.line, line.error));
                    Ok(Output::Rejected(answer::rejected(lines, &batch.records)?))
                }))
            }
            Operation::Complete { config, stream_name, generation, removed_max } => {
                let removed =
                    guest.call_complete(store, &config, &stream_name, generation, removed_max).await?;
                Ok(removed.map(Output::Removed).map_err(refused))
            }
            _ => absent("destination"),
        }
    }

    async fn handle(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        config: String,
        delivery: Delivery,
    ) -> Answer {
        let Some(role) = &self.webhook else { return absent("webhook") };
        let guest = role.load(&mut *store, instance)?;
        let outcome = guest.call_handle(store, &config, &delivery.into()).await?;
        Ok(outcome.map_err(refused).and_then(handled))
    }

    async fn subscriptions(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        operation: Operation,
    ) -> Answer {
        let Some(role) = &self.subscriptions else { return absent("subscriptions") };
        let guest = role.load(&mut *store, instance)?;
        match operation {
            Operation::Ensure { config, callback_url, existing } => {
                let existing = existing.map(Into::into);
                let ensured = guest.call_ensure(store, &config, &callback_url, existing.as_ref()).await?;
                Ok(ensured.map_err(refused).and_then(|made| {
                    Ok(Output::Subscription(Subscription {
                        id: answer::name("subscription id", made.id)?,
                        state: answer::json("state", made.state, limits::POSITION_BYTES_MAX)?,
                        renew_after_ms: made.renew_after_ms,
                    }))
                }))
            }
            Operation::Remove { config, existing } => {
                let removed = guest.call_remove(store, &config, &existing.into()).await?;
                Ok(removed.map(|()| Output::Unit).map_err(refused))
            }
            _ => absent("subscriptions"),
        }
    }

    async fn migrate(
        &self,
        store: &mut Store<CallState>,
        instance: &Instance,
        operation: Operation,
    ) -> Answer {
        let Some(role) = &self.migration else { return absent("migration") };
        let guest = role.load(&mut *store, instance)?;
        match operation {
            Operation::MigratePosition { stream_name, from_version, position } => {
                let position = guest.call_position(store, &stream_name, from_version, &position).await?;
                Ok(position.map_err(refused).and_then(|text| {
                    Ok(Output::Json(answer::json("position", text, limits::POSITION_BYTES_MAX)?))
                }))
            }
            Operation::MigrateConfig { from_version, config } => {
                let config = guest.call_config(store, from_version, &config).await?;
                Ok(config.map_err(refused).and_then(|text| {
                    Ok(Output::Json(answer::json("config", text, limits::OUTPUT_BYTES_MAX)?))
                }))
            }
            Operation::MigrateState { key, from_version, value } => {
                let value = guest.call_state(store, &key, from_version, &value).await?;
                Ok(value.map_err(refused).and_then(|value| {
                    answer::bounded(
                        "state-bytes",
                        value.as_ref().map_or(0, Vec::len),
                        limits::BODY_BYTES_MAX,
                    )?;
                    Ok(Output::State(value))
                }))
            }
            _ => absent("migration"),
        }
    }
}

fn absent(role: &'static str) -> Answer {
    Ok(Err(CallError::NoSuchRole(role)))
}

fn refused(error: types::Error) -> CallError {
    answer::error(error).into()
}

fn handled(outcome: roles::webhook::Outcome) -> Result<Output, CallError> {
    let reply = outcome.reply.map(|reply| {
        let headers = reply.headers.into_iter().map(|header| (header.name, header.value)).collect();
        (reply.status, headers, reply.body)
    });
    if let Some(reply) = &reply {
        answer::reply(reply)?;
    }
    let events = outcome.events.into_iter().map(|event| (event.name, event.id, event.payload));
    Ok(Output::Events { events: answer::events(events.collect())?, reply })
}

impl From<Position> for roles::source::Position {
    fn from(position: Position) -> Self {
        match position {
            Position::Start => Self::Start,
            Position::Checkpoint(json) => Self::Checkpoint(json),
            Position::Next(json) => Self::Next(json),
        }
    }
}

impl TryFrom<Batch> for roles::destination::Batch {
    type Error = CallError;
    fn try_from(batch: Batch) -> Result<Self, CallError> {
        use roles::destination::Mode;
        let mode = match batch.mode {
            "append" => Mode::Append,
            "upsert" => Mode::Upsert,
            "replace" => Mode::Replace,
            other => return Err(CallError::Host(format!("no such mode as `{other}`"))),
        };
        Ok(Self {
            id: batch.id,
            stream_descriptor: batch.stream_descriptor.into(),
            mode,
            generation: batch.generation,
            records: batch.records,
        })
    }
}

impl From<StreamDescriptor> for types::StreamDescriptor {
    fn from(stream: StreamDescriptor) -> Self {
        Self {
            name: stream.name,
            schema: stream.schema,
            primary_key: stream.primary_key,
            cursor_field: stream.cursor_field,
            deleted_field: stream.deleted_field,
            complete_reads: stream.complete_reads,
        }
    }
}

impl From<Delivery> for roles::webhook::Delivery {
    fn from(delivery: Delivery) -> Self {
        let headers =
            delivery.headers.into_iter().map(|(name, value)| types::Header { name, value }).collect();
        Self {
            id: delivery.id,
            method: delivery.method,
            path: delivery.path,
            query: delivery.query,
            headers,
            body: delivery.body,
        }
    }
}

impl From<Subscription> for roles::subscriptions::Subscription {
    fn from(subscription: Subscription) -> Self {
        Self { id: subscription.id, state: subscription.state, renew_after_ms: subscription.renew_after_ms }
    }
}
