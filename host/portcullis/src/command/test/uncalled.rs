//! What no cassette calls: nothing is known of it, which is no fault, and is said.
use super::{
    report::Check,
    sandbox::{Chance, Sandbox},
};
use crate::{
    cassette::{Called, Cassette, player::Player},
    exit::Result,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_engine::ANY_NAME;
use portcullis_manifest::Role;
use portcullis_runtime::Operation;
use std::{collections::BTreeSet, time::Duration};

/// A line for each action, stream and role, and for a `check` that asks its vendor for something.
pub async fn of(sandbox: &Sandbox, cassettes: &[&Cassette]) -> Result<Vec<Check>> {
    let called = |name: &str| cassettes.iter().any(|cassette| cassette.call.words() == name);
    let calls = |is: fn(&Called) -> bool| cassettes.iter().any(|cassette| is(&cassette.call));
    let manifest = &sandbox.component.manifest;
    let named = |what: &'static str, names: Vec<&String>| {
        let names: BTreeSet<_> = names.into_iter().filter(|name| *name != ANY_NAME).cloned().collect();
        names.into_iter().map(move |name| (format!("{what} {name}"), format!("{what} = \"{name}\"")))
    };
    let actions = named("action", manifest.actions.keys().collect());
    let streams = named("stream", manifest.streams.keys().collect());
    let mut left: Vec<_> = actions.chain(streams).filter(|(name, _)| !called(name)).collect();
    for (role, is, line) in [
        (Role::Webhook, (|call| matches!(call, Called::Delivery(_))) as fn(&Called) -> bool, "[delivery]"),
        (Role::Destination, |call| matches!(call, Called::Batch(_)), "write = \"STREAM\""),
    ] {
        if sandbox.component.roles.contains(&role) && !calls(is) {
            left.push((role.to_string(), line.to_owned()));
        }
    }
    let mut checks: Vec<_> = left.iter().map(|(name, line)| skipped(name, line, Duration::ZERO)).collect();
    if !calls(|call| *call == Called::Check) {
        checks.extend(of_check(sandbox, cassettes).await?);
    }
    Ok(checks)
}

/// `check`, where it does more than to succeed.
async fn of_check(sandbox: &Sandbox, cassettes: &[&Cassette]) -> Result<Option<Check>> {
    let Some(first) = cassettes.first() else { return Ok(None) };
    let began = RealClock.monotonic();
    let cassette = Cassette { call: Called::Check, ..(*first).clone() };
    let player = Player::start(&cassette.hosts()?).await?;
    let connected = sandbox.connect(&cassette, &player, Chance::USUAL)?;
    let ended = connected.call(Operation::Check { config: connected.config() }, 0).await;
    let does_nothing = ended.result.is_ok() && ended.exchanges.is_empty();
    let took = RealClock.monotonic().saturating_sub(began);
    Ok((!does_nothing).then(|| skipped("check", "check = true", took)))
}

fn skipped(name: &str, line: &str, took: Duration) -> Check {
    // A delivery or a batch is nobody's live run.
    let recorded = match line.starts_with(['[', 'w']) {
        true => "",
        false => ", and `--record` makes one of a live run",
    };
    let why = format!("no cassette calls it; one has `{line}`{recorded}");
    Check { skipped: Some(why), ..Check::new(name, None, None, took) }
}
