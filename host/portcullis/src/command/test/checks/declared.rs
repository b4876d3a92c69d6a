//! What a cassette calls, beside what the manifest says of it.
use crate::cassette::{Called, Cassette, Expected};
use portcullis_engine::{ANY_NAME, Schema};
use portcullis_manifest::{
    Connector,
    diagnose::{nearest, shown},
};
use portcullis_runtime::ErrorKind;

/// An action or a stream that callers never find, or an input that the host never hands over.
pub fn amiss(manifest: &Connector, cassette: &Cassette) -> Option<String> {
    match &cassette.call {
        Called::Action { name, input } => {
            let Some(action) = manifest.actions.get(name).or_else(|| manifest.actions.get(ANY_NAME)) else {
                return Some(unknown("action", name, manifest.actions.keys()));
            };
            // A connector may well be shown to refuse what its schema does.
            if cassette.expected == Expected::Error(ErrorKind::InvalidInput.as_str().to_owned()) {
                return None;
            }
            let fault = misfit(&Schema::new(action.input.to_string()), input, "the input")?;
            Some(format!(
                "{fault}\nthe host refuses it before it calls the connector: correct `input`, or the schema's file, which \
                 connector.toml names"
            ))
        }
        Called::Stream(name) => {
            let known = manifest.streams.contains_key(name) || manifest.streams.contains_key(ANY_NAME);
            (!known).then(|| unknown("stream", name, manifest.streams.keys()))
        }
        Called::Check
        | Called::Discover
        | Called::Delivery(_)
        | Called::Batch(_)
        | Called::Complete { .. } => None,
    }
}

/// Whether a cassette shows that the host refuses an input: the connector is never called, and nothing is sent.
pub fn is_refused_by_the_host(manifest: &Connector, cassette: &Cassette) -> bool {
    let Called::Action { name, input } = &cassette.call else { return false };
    let action = manifest.actions.get(name).or_else(|| manifest.actions.get(ANY_NAME));
    cassette.exchanges.is_empty()
        && cassette.expected == Expected::Error(ErrorKind::InvalidInput.as_str().to_owned())
        && action.is_some_and(|action| misfit(&Schema::new(action.input.to_string()), input, "").is_some())
}

fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n String>) -> String {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let remedy = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("add a table `[{what}s.{}]`, or correct the cassette", shown(name)),
    };
    format!("connector.toml has no {what} `{}`\n{remedy}", shown(name))
}

/// Where a document is not what its schema says.
pub fn misfit(schema: &Schema, text: &str, what: &str) -> Option<String> {
    let faults = match schema.validate_in_time(text) {
        Ok(faults) => faults,
        Err(error) => return Some(error.to_string()),
    };
    let fault = faults.first()?;
    let place = if fault.pointer.is_empty() { "itself".to_owned() } else { fault.place() };
    Some(format!("{what} is not what its schema says: `{place}`: {}", fault.message))
}
