//! What `discover` finds beside what the manifest says of the same streams: callers read the manifest, and `read` what the code says.
use super::{
    mistakes,
    report::Check,
    sandbox::{Chance, Sandbox},
};
use crate::{
    cassette::{Called, Cassette, player::Player},
    exit::Result,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_engine::ANY_NAME;
use portcullis_manifest::{
    Stream,
    diagnose::{nearest, shown},
};
use portcullis_runtime::{CallError, Operation, Output, call::StreamDescriptor};
use serde_json::Value;
use std::collections::BTreeSet;

/// Compares them, over a vendor that answers as the cassettes of the first stream's config say.
pub async fn compared(
    sandbox: &Sandbox,
    cassettes: &[&Cassette],
    used: &mut BTreeSet<String>,
) -> Result<Check> {
    let began = RealClock.monotonic();
    let (fault, skipped) = match found(sandbox, cassettes, used).await? {
        Found::Streams(found) => (differs(sandbox, &found), None),
        Found::Failed(words) => (Some(format!("`discover` fails: {words}")), None),
        Found::Unknown(why) => {
            (None, Some(format!("{why}: what it finds is not compared with connector.toml")))
        }
    };
    let took = RealClock.monotonic().saturating_sub(began);
    Ok(Check { skipped, ..Check::new("discover", None, fault, took) })
}

/// What `discover` came to.
enum Found {
    Streams(Vec<StreamDescriptor>),
    Failed(String),
    /// Its vendor was asked for what no cassette knows.
    Unknown(String),
}

async fn found(sandbox: &Sandbox, cassettes: &[&Cassette], used: &mut BTreeSet<String>) -> Result<Found> {
    let of_a_stream = cassettes.iter().find(|cassette| matches!(cassette.call, Called::Stream(_)));
    let Some(first) = of_a_stream else {
        return Ok(Found::Unknown(
            "no cassette reads a stream, whose config `discover` would be given".to_owned(),
        ));
    };
    let of_its_config =
        cassettes.iter().filter(|other| other.config == first.config && other.origins == first.origins);
    let exchanges = of_its_config.flat_map(|cassette| cassette.exchanges.clone()).collect();
    // Like `check`, it has no rules of its own.
    let cassette = Cassette { call: Called::Check, exchanges, ..(*first).clone() };
    let player = Player::start(&cassette.hosts()?).await?;
    player.play(&cassette.exchanges, None, true);
    let connected = sandbox.connect(&cassette, &player, Chance::USUAL)?;
    let ended = connected.call(Operation::Discover { config: connected.config() }, 0).await;
    used.extend(ended.exchanges.iter().map(|row| row.manifest_place.clone()));
    let asked = player.asked();
    let unknown = asked.iter().find(|asked| asked.answered_by.is_none());
    if let Some(denied) = mistakes::denied(std::slice::from_ref(&ended)) {
        return Ok(Found::Failed(denied));
    }
    Ok(match (&ended.result, unknown) {
        (Ok(Output::Streams(found)), _) => Found::Streams(found.clone()),
        (_, Some(asked)) => Found::Unknown(format!(
            "`discover` asks for `{} {}`, which no cassette has",
            asked.method,
            shown(&asked.url)
        )),
        (Ok(_), None) => Found::Failed("the answer is of another function".to_owned()),
        (Err(CallError::Connector(error)), None) => {
            let words = mistakes::shortened(&error.message);
            Found::Failed(format!("`{}`: {words}", error.kind.as_str()))
        }
        (Err(error), None) => Found::Failed(mistakes::ended(error)),
    })
}

fn differs(sandbox: &Sandbox, found: &[StreamDescriptor]) -> Option<String> {
    let declared = &sandbox.component.manifest.streams;
    let any = declared.contains_key(ANY_NAME);
    for (at, stream) in found.iter().enumerate() {
        let name = shown(&stream.name);
        if found[..at].iter().any(|before| before.name == stream.name) {
            return Some(format!("`discover` finds the stream `{name}` twice"));
        }
        match declared.get(&stream.name) {
            Some(said) => {
                if let Some(fault) = other(&name, said, stream) {
                    return Some(fault);
                }
            }
            None if any => {}
            None => {
                let near = nearest(&stream.name, declared.keys().map(String::as_str));
                let help = near.map_or_else(
                    || format!("add `[streams.{name}]` to connector.toml, or leave it out of `discover`"),
                    |near| format!("did you mean `{near}`?"),
                );
                return Some(format!(
                    "`discover` finds the stream `{name}`, which connector.toml does not have\n{help}"
                ));
            }
        }
    }
    let missing =
        declared.keys().find(|name| *name != ANY_NAME && !found.iter().any(|it| it.name == **name))?;
    Some(format!(
        "connector.toml has the stream `{missing}`, which `discover` does not find\nadd it to `discover`, or remove \
         `[streams.{missing}]`"
    ))
}

fn other(name: &str, said: &Stream, found: &StreamDescriptor) -> Option<String> {
    let differs = |what: &str, said: &str, found: &str| {
        Some(format!(
            "the stream `{name}` has another {what} in `discover`\n  connector.toml  {}\n  discover        {}",
            shown(said),
            shown(found)
        ))
    };
    if said.primary_key != found.primary_key {
        return differs("primary key", &said.primary_key.join(", "), &found.primary_key.join(", "));
    }
    if said.cursor_field != found.cursor_field {
        let word = |field: &Option<String>| field.clone().unwrap_or_else(|| "none".to_owned());
        return differs("cursor field", &word(&said.cursor_field), &word(&found.cursor_field));
    }
    let schema: Option<Value> = serde_json::from_str(&found.schema).ok();
    if schema.as_ref() != Some(&said.schema) {
        return Some(format!(
            "the stream `{name}` has another schema in `discover` than the one that connector.toml names\n\
             `include_str!` of the same file makes them one"
        ));
    }
    None
}
