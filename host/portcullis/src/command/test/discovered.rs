//! What `discover` finds beside what the manifest says of the same streams: callers read the manifest, and `read` what the code says.
use super::{report::Check, sandbox::Sandbox};
use crate::cassette::{Called, Cassette};
use portcullis_clock::{Clock, RealClock};
use portcullis_engine::ANY_NAME;
use portcullis_manifest::{
    Stream,
    diagnose::{nearest, shown},
};
use portcullis_runtime::{Operation, Output, call::StreamDescriptor};
use serde_json::Value;

/// Compares them. A connector that asks its vendor what there is can't be asked here.
pub async fn compared(sandbox: &Sandbox, cassettes: &[&Cassette]) -> Check {
    let began = RealClock.monotonic();
    let of_a_stream = cassettes.iter().find(|cassette| matches!(cassette.call, Called::Stream(_)));
    let config = of_a_stream.map_or("{}".to_owned(), |cassette| cassette.config.to_string());
    let found = sandbox.alone(Operation::Discover { config }).await;
    let took = RealClock.monotonic().saturating_sub(began);
    let check = |fault, skipped| Check { skipped, ..Check::new("discover", None, fault, took) };
    match found {
        Ok(Output::Streams(found)) => check(differs(sandbox, &found), None),
        _ => {
            let why = "`discover` fails where it reaches nothing: what it finds is not compared with connector.toml";
            check(None, Some(why.to_owned()))
        }
    }
}

fn differs(sandbox: &Sandbox, found: &[StreamDescriptor]) -> Option<String> {
    let declared = &sandbox.component.manifest.streams;
    let any = declared.contains_key(ANY_NAME);
    for stream in found {
        let name = shown(&stream.name);
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
