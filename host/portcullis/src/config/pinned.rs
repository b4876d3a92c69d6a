//! Joins a connection's config with its component: what would be pinned, what is wrong, and what differs from the lock.
use super::{Config, Connection, operator_list};
use portcullis_egress::Roots;
use portcullis_grants::{Grants, cover};
use portcullis_manifest::{
    Approval, Component, Diagnostic,
    diagnose::{nearest, shown},
    embedded::digest_of,
    lock::{PinnedCredential, PinnedNetwork},
};
use std::collections::BTreeMap;

/// What approving this connection with this component would pin. `approval_id` and time are the caller's.
pub fn approval(
    config: &Config,
    connection: &Connection,
    component: &Component,
    approval_id: String,
    approved_at: String,
) -> Result<Approval, Vec<Diagnostic>> {
    let faults = faults(config, connection, component);
    if !faults.is_empty() {
        return Err(faults);
    }
    let manifest = &component.manifest;
    Ok(Approval {
        approval_id,
        revoked: false,
        approved_at,
        connector: manifest.name.clone(),
        version: manifest.version.clone(),
        digest: component.digest.clone(),
        position_version: manifest.position_version,
        config_version: manifest.config_version,
        imports: component.imports.clone(),
        roles: component.roles.clone(),
        rules: manifest.rules.clone(),
        credentials: credentials(config, connection),
        network: network(connection),
    })
}

/// What is pinned of the bound credentials.
fn credentials(config: &Config, connection: &Connection) -> BTreeMap<String, PinnedCredential> {
    let pinned = |(slot, name): (&String, &String)| {
        let credential = config.credentials.get(name)?;
        let place = credential.place().to_string();
        let scheme = credential.scheme_name().to_owned();
        Some((slot.clone(), PinnedCredential { credential: name.clone(), scheme, place }))
    };
    connection.credentials.iter().filter_map(pinned).collect()
}

fn network(connection: &Connection) -> PinnedNetwork {
    let text = |(host, port): &(String, u16)| {
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    };
    let network = &connection.network;
    PinnedNetwork {
        connect_to: network.connect_to.iter().map(|(from, to)| (text(from), text(to))).collect(),
        ca_file: network.ca_file.as_ref().map(|(_, bytes)| digest_of(bytes)),
        addresses: network.addresses.iter().map(ToString::to_string).collect(),
        roots: match network.roots {
            Roots::Bundled => "bundled".to_owned(),
            Roots::System => "system".to_owned(),
        },
    }
}

/// What is wrong between the config and the component, each with its line in the config.
pub fn faults(config: &Config, connection: &Connection, component: &Component) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    let mut fault = |message: String, help: Option<String>| {
        faults.push(config.fault(connection.span.clone(), message, help))
    };
    slot_faults(config, connection, component, &mut fault);
    let manifest = &component.manifest;
    for (place, rule) in operator_list(&connection.allow) {
        if !manifest.rules.iter().any(|requested| cover::overlap(&requested.rule, rule)) {
            let requested: Vec<_> =
                manifest.rules.iter().map(|requested| requested.rule.to_string()).collect();
            fault(
                format!("{place} (`{rule}`) can match nothing that the connector requests"),
                Some(format!("it requests {}", requested.join("; "))),
            );
        }
    }
    for requested in &manifest.rules {
        if let Some(why) = config.boundary.excludes(&requested.rule) {
            let rule = &requested.rule;
            let help =
                "a boundary holds for every approval: change it, or use a connector that asks for less";
            fault(format!("`{rule}` is outside the boundary: {why}"), Some(help.to_owned()));
        }
    }
    if let Err(error) = Grants::new(manifest.rules.clone(), connection.allow.clone()) {
        fault(error.to_string(), None);
    }
    match &manifest.config_schema {
        Some(schema) => match portcullis_engine::Schema::new(schema.to_string())
            .validate(&connection.config.to_string())
        {
            Ok(problems) => {
                for problem in problems {
                    fault(format!("config{}: {}", problem.pointer, problem.message), None);
                }
            }
            Err(error) => fault(format!("the connector's config schema can't be used: {error}"), None),
        },
        None if connection.config.as_object().is_some_and(|config| !config.is_empty()) => {
            fault("the connector takes no config".to_owned(), Some("remove `config`".to_owned()));
        }
        None => {}
    }
    faults
}

fn slot_faults(
    config: &Config,
    connection: &Connection,
    component: &Component,
    fault: &mut impl FnMut(String, Option<String>),
) {
    let slots = &component.manifest.slots;
    for (slot, declared) in slots {
        let Some(name) = connection.credentials.get(slot) else {
            let message = format!("no credential is bound to the slot `{slot}` ({})", shown(&declared.why));
            fault(
                message,
                Some(format!("credentials = {{ {slot} = \"NAME\" }}, and a table `[credentials.NAME]`")),
            );
            continue;
        };
        let Some(credential) = config.credentials.get(name) else { continue };
        let scheme = credential.scheme_name();
        let general =
            scheme.split("-key").next().filter(|_| scheme.starts_with("api-key")).map(|_| "api-key");
        let accepted = |accepted: &String| accepted == scheme || Some(accepted.as_str()) == general;
        if !declared.schemes.iter().any(accepted) {
            let schemes = declared.schemes.join(", ");
            fault(format!("slot `{slot}` takes {schemes}; credential `{name}` is {scheme}"), None);
        }
    }
    for slot in connection.credentials.keys().filter(|slot| !slots.contains_key(*slot)) {
        let help = match nearest(slot, slots.keys().map(String::as_str)) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => Some("remove it".to_owned()),
        };
        fault(format!("the connector has no slot `{}`", shown(slot)), help);
    }
}

/// What of `now` is not what was approved: one line each, empty where nothing differs.
pub fn differences(approved: &Approval, now: &Approval) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, approved: String, now: String| {
        if approved != now {
            lines.push(format!("{what}: approved {approved}, now {now}"));
        }
    };
    let name = |approval: &Approval| format!("{}/{}", approval.connector.publisher, approval.connector.name);
    compare("connector", name(approved), name(now));
    compare("digest", approved.digest.clone(), now.digest.clone());
    compare("imports", approved.imports.join(" "), now.imports.join(" "));
    compare("roles", format!("{:?}", approved.roles), format!("{:?}", now.roles));
    if approved.rules != now.rules {
        lines.push("rules: not those that were approved".to_owned());
    }
    compare_maps("credential of slot", &approved.credentials, &now.credentials, &mut lines, |pinned| {
        format!("`{}` ({}, {})", pinned.credential, pinned.scheme, pinned.place)
    });
    compare_maps("connect-to", &approved.network.connect_to, &now.network.connect_to, &mut lines, |to| {
        format!("`{to}`")
    });
    let mut compare = |what: &str, approved: String, now: String| {
        if approved != now {
            lines.push(format!("{what}: approved {approved}, now {now}"));
        }
    };
    let file = |network: &PinnedNetwork| network.ca_file.clone().unwrap_or("none".to_owned());
    compare("ca-file", file(&approved.network), file(&now.network));
    compare("addresses", format!("{:?}", approved.network.addresses), format!("{:?}", now.network.addresses));
    compare("roots", approved.network.roots.clone(), now.network.roots.clone());
    lines
}

fn compare_maps<T: PartialEq>(
    what: &str,
    approved: &BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
    lines: &mut Vec<String>,
    show: impl Fn(&T) -> String,
) {
    let keys: std::collections::BTreeSet<_> = approved.keys().chain(now.keys()).collect();
    for key in keys {
        let (before, after) = (approved.get(key), now.get(key));
        if before != after {
            let text = |value: Option<&T>| value.map_or("none".to_owned(), &show);
            lines.push(format!("{what} `{key}`: approved {}, now {}", text(before), text(after)));
        }
    }
}
