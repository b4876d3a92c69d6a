//! Joins a connection's origins with the rules that a connector requests over them. Refuses an origin that is missing, and one
//! that no rule uses: it would promise a host that nobody reaches.
use crate::{
    config::{Config, Connection},
    exit::{Failure, Result},
};
use portcullis_grants::{FromResponse, ManifestRule, Origin, RequestedRule, Rule};
use portcullis_manifest::{
    Connector, Diagnostic,
    diagnose::{nearest, shown},
};
use std::collections::{BTreeMap, BTreeSet};

/// The literal rules, in the order of the manifest, and those over URLs that answers name.
pub fn expand(
    config: &Config,
    connection: &Connection,
    manifest: &Connector,
) -> std::result::Result<(Vec<ManifestRule>, Vec<FromResponse>), Vec<Diagnostic>> {
    let used = used(manifest);
    let here = connection.name.as_str();
    let mut faults = Vec::new();
    for name in connection.origins.keys().filter(|name| !used.contains(name.as_str())) {
        let help = match nearest(name, used.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "remove it".to_owned(),
        };
        let message = format!("no rule of the connector is over an origin `{}`", shown(name));
        faults.push(config.fault_key(&["connections", here, "origins", name], message, Some(help)));
    }
    let missing = used.iter().filter(|name| !connection.origins.contains_key(**name));
    let missing: Vec<_> = missing.map(|name| format!("{name} = \"https://HOST\"")).collect();
    let (mut rules, mut from_response, mut told) = (Vec::new(), Vec::new(), BTreeSet::new());
    let expanded =
        manifest.rules.iter().map(|rule| rule.expand(&connection.origins).map(|rule| rules.push(rule)));
    let named = manifest.from_response.iter();
    let named = named.map(|from| from.expand(&connection.origins).map(|from| from_response.push(from)));
    for expanded in expanded.chain(named) {
        match expanded {
            Ok(()) => {}
            Err(error) if told.insert(error.name().to_owned()) => {
                let help = config.to_bind(here, "origins", &missing.join(", "));
                let path = ["connections", here, "origins", error.name()];
                faults.push(config.fault(&path, error.to_string(), Some(help)));
            }
            Err(_) => {}
        }
    }
    if faults.is_empty() { Ok((rules, from_response)) } else { Err(faults) }
}

/// The names of the origins that a connector's rules are over.
pub fn used(manifest: &Connector) -> BTreeSet<&str> {
    let named = manifest.from_response.iter().flat_map(|from| [&from.rule.rule, &from.of]);
    let requested = manifest.rules.iter().map(|rule| &rule.rule).chain(named);
    requested.filter_map(RequestedRule::origin).collect()
}

/// The literal `http` lists of actions and streams; an operation that narrows nothing has none.
#[derive(Debug, Default)]
pub struct Narrowed {
    /// By action.
    pub actions: BTreeMap<String, Vec<Rule>>,
    /// By stream.
    pub streams: BTreeMap<String, Vec<Rule>>,
}

impl Narrowed {
    /// With the origins of the approval.
    pub fn of(manifest: &Connector, origins: &BTreeMap<String, Origin>) -> Result<Self> {
        let literal = |list: &[RequestedRule]| -> Result<Vec<Rule>> {
            let rules = list.iter().map(|rule| rule.expand(origins)).collect::<std::result::Result<_, _>>();
            rules.map_err(|error| Failure::fault("the approved rules don't fit").because(&error))
        };
        let mut narrowed = Self::default();
        for (name, action) in manifest.actions.iter().filter(|(_, action)| !action.http.is_empty()) {
            narrowed.actions.insert(name.clone(), literal(&action.http)?);
        }
        for (name, stream) in manifest.streams.iter().filter(|(_, stream)| !stream.http.is_empty()) {
            narrowed.streams.insert(name.clone(), literal(&stream.http)?);
        }
        Ok(narrowed)
    }
}
