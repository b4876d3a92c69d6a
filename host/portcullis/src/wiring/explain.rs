//! A connection's side of egress for questions alone: no data lock, no store, nothing compiled, and nothing is ever sent.
use super::connections::{egress_settings, refuse_differences};
use crate::{
    approvals,
    config::{self, Config, pinned::origins::Narrowed},
    exit::{Exit, Failure, Result},
};
use async_trait::async_trait;
use portcullis_clock::{RealClock, RealRandom};
use portcullis_egress::{
    Connection, Egress, Exchange, ExchangeSink, Intent, IntentEnd, IntentError, Intents, Prior,
};
use portcullis_engine::ANY_NAME;
use portcullis_grants::Rule;
use portcullis_manifest::{Approval, Component, diagnose};
use std::{collections::BTreeMap, sync::Arc};

/// A connection that may run, as egress has it.
pub struct Explainer {
    /// Its way out.
    pub egress: Arc<Connection>,
    narrowed: Narrowed,
    actions: Vec<String>,
    streams: Vec<String>,
}

impl Explainer {
    /// Where the connection is approved, and is what was approved.
    pub fn open(config: &Config, name: &str) -> Result<Self> {
        let connection = config.connection(name)?;
        let lock = approvals::read_lock(config)?;
        let approval = approvals::current(config, &lock, name)?;
        // Whoever asks changes nothing: what is only in the registry is not kept for that.
        approvals::refuse_shared(&config.data)?;
        let component = approvals::find_approved(config, approval)?.0.component;
        refuse_differences(config, connection, approval, &component)?;
        let narrowed = Narrowed::of(&component.manifest, &approval.origins)?;
        let egress = egress(config, connection, approval, &component)?;
        let names = |names: Vec<&String>| names.into_iter().cloned().collect();
        Ok(Self {
            egress,
            narrowed,
            actions: names(component.manifest.actions.keys().collect()),
            streams: names(component.manifest.streams.keys().collect()),
        })
    }

    /// The `http` list of an action; none where it narrows nothing.
    pub fn action(&self, name: &str) -> Result<Option<&[Rule]>> {
        operation("action", name, &self.actions, &self.narrowed.actions)
    }

    /// The `http` list of a stream.
    pub fn stream(&self, name: &str) -> Result<Option<&[Rule]>> {
        operation("stream", name, &self.streams, &self.narrowed.streams)
    }
}

/// An approved connection's way out, for whoever only asks.
pub fn egress(
    config: &Config,
    connection: &config::Connection,
    approval: &Approval,
    component: &Component,
) -> Result<Arc<Connection>> {
    let settings = egress_settings(config, connection, approval, component, String::new())?;
    let nothing = Arc::new(Nothing);
    let egress = Egress::new(Arc::new(RealClock), Arc::new(RealRandom), nothing.clone(), nothing);
    egress.connection(settings).map_err(|error| {
        Failure::fault(format!("connection `{}` can't reach the network", connection.name)).because(&error)
    })
}

fn operation<'r>(
    kind: &str,
    name: &str,
    known: &[String],
    narrowed: &'r BTreeMap<String, Vec<Rule>>,
) -> Result<Option<&'r [Rule]>> {
    let named = [name, ANY_NAME].into_iter().find(|name| known.iter().any(|known| known == name));
    let Some(named) = named else {
        let failure =
            Failure::new(Exit::Usage, format!("the connector has no {kind} `{}`", diagnose::shown(name)));
        return Err(match diagnose::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => failure.with_help(format!("did you mean `{near}`?")),
            None => failure.with_help(format!("it has {}", known.join(", "))),
        });
    };
    Ok(narrowed.get(named).map(Vec::as_slice))
}

/// Whoever only asks has nothing to keep.
struct Nothing;

#[async_trait]
impl ExchangeSink for Nothing {
    async fn record(&self, _exchange: Exchange) {}
}

#[async_trait]
impl Intents for Nothing {
    async fn begin(&self, _intent: Intent) -> std::result::Result<Prior, IntentError> {
        Err(unasked())
    }

    async fn end(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: u32,
        _: IntentEnd,
    ) -> std::result::Result<(), IntentError> {
        Err(unasked())
    }

    async fn secret_use(&self, _: &str, _: &str, _: &str, _: &str) -> std::result::Result<(), IntentError> {
        Err(unasked())
    }
}

fn unasked() -> IntentError {
    IntentError("nothing is sent here".to_owned())
}
