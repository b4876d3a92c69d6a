//! From the generated traits to the author's: what `connector!` exports in the name of `T`.

use crate::{
    Actions, Batch, Config, Delivery, Destination, Event, Input, Lifecycle, Migration, Mode, Position,
    ReadRequest, Reply, Source, StreamDescriptor, Subscription, Subscriptions, Webhook,
    actions::Kind,
    bindings::{self, imports::portcullis::connector::types as wit},
    json::Json,
};
use std::marker::PhantomData;

/// Exports `T`.
pub struct Bridge<T>(PhantomData<T>);

use bindings::{
    actions::exports::portcullis::connector::actions as wit_actions,
    destination::exports::portcullis::connector::destination as wit_destination,
    lifecycle::exports::portcullis::connector::lifecycle as wit_lifecycle,
    migration::exports::portcullis::connector::migration as wit_migration,
    source::exports::portcullis::connector::source as wit_source,
    subscriptions::exports::portcullis::connector::subscriptions as wit_subscriptions,
    webhook::exports::portcullis::connector::webhook as wit_webhook,
};

impl<T: Lifecycle> wit_lifecycle::Guest for Bridge<T> {
    fn check(config: String) -> Result<(), wit::Error> {
        Ok(T::check(Config::new(config))?)
    }
}

impl<T: Actions> wit_actions::Guest for Bridge<T> {
    fn invoke(
        config: String,
        action: String,
        input: String,
        resume: Option<String>,
    ) -> Result<wit_actions::Outcome, wit::Error> {
        let outcome = T::invoke(Config::new(config), &action, Input::new(input), resume.map(Json::new))?;
        Ok(match outcome.0 {
            Kind::Done(output) => wit_actions::Outcome::Done(output),
            Kind::Pending { resume, after_ms } => {
                wit_actions::Outcome::Pending(wit_actions::Pending { resume: resume.into_string(), after_ms })
            }
        })
    }
}

impl<T: Source> wit_source::Guest for Bridge<T> {
    fn discover(config: String) -> Result<Vec<wit::StreamDescriptor>, wit::Error> {
        Ok(T::discover(Config::new(config))?.into_iter().map(Into::into).collect())
    }

    fn read(config: String, request: wit_source::ReadRequest) -> Result<wit_source::Page, wit::Error> {
        let position = match request.position {
            wit_source::Position::Start => Position::Start,
            wit_source::Position::Checkpoint(value) => Position::Checkpoint(Json::new(value)),
            wit_source::Position::Next(value) => Position::Next(Json::new(value)),
        };
        let request =
            ReadRequest { stream_name: request.stream_name, position, max_records: request.max_records };
        let page = T::read(Config::new(config), request)?;
        Ok(wit_source::Page {
            records: page.records,
            next: page.next.map(Json::into_string),
            checkpoint: page.checkpoint.map(Json::into_string),
            again_after_ms: page.again_after_ms,
        })
    }
}

impl<T: Destination> wit_destination::Guest for Bridge<T> {
    fn write(
        config: String,
        batch: wit_destination::Batch,
    ) -> Result<Vec<wit_destination::Rejected>, wit::Error> {
        let batch = Batch {
            id: batch.id,
            stream: batch.stream_descriptor.into(),
            mode: match batch.mode {
                wit_destination::Mode::Append => Mode::Append,
                wit_destination::Mode::Upsert => Mode::Upsert,
                wit_destination::Mode::Replace => Mode::Replace,
            },
            generation: batch.generation,
            records: batch.records,
        };
        let rejected = T::write(Config::new(config), batch)?;
        Ok(rejected
            .into_iter()
            .map(|one| wit_destination::Rejected { line: one.line, error: one.error.into() })
            .collect())
    }

    fn complete(
        config: String,
        stream_name: String,
        generation: u64,
        removed_max: Option<u64>,
    ) -> Result<u64, wit::Error> {
        Ok(T::complete(Config::new(config), &stream_name, generation, removed_max)?)
    }
}

impl<T: Webhook> wit_webhook::Guest for Bridge<T> {
    fn handle(config: String, delivery: wit_webhook::Delivery) -> Result<wit_webhook::Outcome, wit::Error> {
        let wit_webhook::Delivery { id, method, path, query, headers, body } = delivery;
        let headers = headers.into_iter().map(|header| (header.name, header.value)).collect();
        let handled = T::handle(Config::new(config), Delivery { id, method, path, query, headers, body })?;
        let event = |Event { name, id, payload }| wit_webhook::Event { name, id, payload };
        Ok(wit_webhook::Outcome {
            events: handled.events.into_iter().map(event).collect(),
            reply: handled.reply.map(|Reply { status, headers, body }| wit_webhook::Reply {
                status,
                headers: headers.into_iter().map(|(name, value)| wit::Header { name, value }).collect(),
                body,
            }),
        })
    }
}

impl<T: Subscriptions> wit_subscriptions::Guest for Bridge<T> {
    fn ensure(
        config: String,
        callback_url: String,
        existing: Option<wit_subscriptions::Subscription>,
    ) -> Result<wit_subscriptions::Subscription, wit::Error> {
        let subscription = T::ensure(Config::new(config), &callback_url, existing.map(subscription))?;
        let Subscription { id, state, renew_after_ms } = subscription;
        Ok(wit_subscriptions::Subscription { id, state, renew_after_ms })
    }

    fn remove(config: String, existing: wit_subscriptions::Subscription) -> Result<(), wit::Error> {
        Ok(T::remove(Config::new(config), subscription(existing))?)
    }
}

fn subscription(one: wit_subscriptions::Subscription) -> Subscription {
    Subscription { id: one.id, state: one.state, renew_after_ms: one.renew_after_ms }
}

impl<T: Migration> wit_migration::Guest for Bridge<T> {
    fn position(stream_name: String, from_version: u32, position: String) -> Result<String, wit::Error> {
        Ok(T::position(&stream_name, from_version, &position)?)
    }

    fn config(from_version: u32, config: String) -> Result<String, wit::Error> {
        Ok(T::config(from_version, &config)?)
    }

    fn state(key: String, from_version: u32, value: Vec<u8>) -> Result<Option<Vec<u8>>, wit::Error> {
        Ok(T::state(&key, from_version, value)?)
    }
}

impl From<StreamDescriptor> for wit::StreamDescriptor {
    fn from(stream: StreamDescriptor) -> Self {
        let StreamDescriptor { name, schema, primary_key, cursor_field, deleted_field, complete_reads } =
            stream;
        Self { name, schema, primary_key, cursor_field, deleted_field, complete_reads }
    }
}

impl From<wit::StreamDescriptor> for StreamDescriptor {
    fn from(stream: wit::StreamDescriptor) -> Self {
        let wit::StreamDescriptor { name, schema, primary_key, cursor_field, deleted_field, complete_reads } =
            stream;
        Self { name, schema, primary_key, cursor_field, deleted_field, complete_reads }
    }
}
