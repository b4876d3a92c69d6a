//! Joins a connection's config with its component: what would be pinned, what is wrong, and what differs from the lock.
use super::{Config, Connection, operator_list};
use crate::command::near_property;
use portcullis_contract::SchemaError;
use portcullis_egress::Roots;
use portcullis_grants::{Boundary, BoundaryRule, FromResponse, Grants, ManifestRule, Rule, cover};
use portcullis_manifest::{
    Approval, Component, Connector, Diagnostic, Slot,
    diagnose::{nearest, shown},
    embedded::digest_of,
    lock::{PinnedCredential, PinnedFolder, PinnedNetwork},
};
use std::collections::BTreeMap;

pub mod folders;
pub mod origins;

/// What approving this connection with this component would pin. `approval_id` and time are the caller's.
pub fn approval(
    config: &Config,
    connection: &Connection,
    component: &Component,
    approval_id: String,
    approved_at: String,
) -> Result<Approval, Vec<Diagnostic>> {
    // Nothing can be said of rules over origins that are not known; of the rest, all at once.
    let expanded = origins::expand(config, connection, &component.manifest).map_err(|mut faults| {
        faults.extend(slot_faults(config, connection, component));
        faults.extend(folders::faults(config, connection, &component.manifest));
        faults
    });
    let (rules, from_response) = expanded?;
    let faults = faults(config, connection, component, &rules, &from_response);
    if !faults.is_empty() {
        return Err(faults);
    }
    let literal = (rules, from_response);
    Ok(Approval { approval_id, approved_at, ..joined(config, connection, component, literal) })
}

/// What a version would have pinned, were all that it asks for granted: what is approved, else what the config binds, else words
/// for what nobody bound yet. Nothing of the config's own faults and changes is in it. To be compared and shown, never to be pinned.
/// Beside it the names of the origins that nothing is bound to: each stands in it by a host that nobody has.
pub fn draft(
    config: &Config,
    connection: &Connection,
    component: &Component,
    former: &Approval,
) -> Option<(Approval, Vec<String>)> {
    let (mut connection, manifest) = (connection.clone(), &component.manifest);
    let bound = std::mem::take(&mut connection.origins);
    let mut unbound = Vec::new();
    for name in origins::used(manifest) {
        let origin = match former.origins.get(name).or_else(|| bound.get(name)) {
            Some(origin) => origin.clone(),
            None => {
                unbound.push(name.to_owned());
                placeholder(name).parse().ok()?
            }
        };
        connection.origins.insert(name.to_owned(), origin);
    }
    let literal = origins::expand(config, &connection, manifest).ok()?;
    let mut drafted = joined(config, &connection, component, literal);
    drafted.network = former.network.clone();
    let bound = std::mem::take(&mut drafted.credentials);
    for (slot, declared) in &manifest.slots {
        let fitting = |pinned: &&PinnedCredential| takes(declared, &pinned.scheme);
        let approved = former.credentials.get(slot).filter(fitting);
        let pinned = approved.or_else(|| bound.get(slot).filter(fitting)).cloned();
        let pinned = pinned.unwrap_or_else(|| PinnedCredential {
            credential: NOT_BOUND.to_owned(),
            scheme: declared.schemes.join(" or "),
            place: "where its scheme puts it".to_owned(),
        });
        drafted.credentials.insert(slot.clone(), pinned);
    }
    let bound = std::mem::take(&mut drafted.folders);
    for (name, requested) in &manifest.folders {
        let known = former.folders.get(name).or_else(|| bound.get(name));
        let path = known.map_or(NOT_BOUND, |known| known.path.as_str()).to_owned();
        drafted.folders.insert(name.clone(), PinnedFolder { path, access: requested.access });
    }
    Some((drafted, unbound))
}

/// Where a version asks for what nobody bound.
const NOT_BOUND: &str = "not bound yet";

/// What stands for an origin that nothing is bound to (RFC 2606 section 2).
pub fn placeholder(origin: &str) -> String {
    format!("https://{origin}.origin.invalid")
}

fn joined(
    config: &Config,
    connection: &Connection,
    component: &Component,
    (rules, from_response): (Vec<ManifestRule>, Vec<FromResponse>),
) -> Approval {
    let manifest = &component.manifest;
    Approval {
        approval_id: String::new(),
        revoked: false,
        approved_at: String::new(),
        connector: manifest.name.clone(),
        version: manifest.version.clone(),
        digest: component.digest.clone(),
        position_version: manifest.position_version,
        config_version: manifest.config_version,
        imports: component.imports.clone(),
        roles: component.roles.clone(),
        origins: connection.origins.clone(),
        rules,
        from_response,
        credentials: credentials(config, connection),
        folders: folders::pinned(connection, manifest),
        network: network(connection),
    }
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
pub fn faults(
    config: &Config,
    connection: &Connection,
    component: &Component,
    rules: &[ManifestRule],
    from_response: &[FromResponse],
) -> Vec<Diagnostic> {
    let all = || rules.iter().chain(from_response.iter().map(|from| &from.rule));
    let mut faults = slot_faults(config, connection, component);
    let here = ["connections", &connection.name];
    for (index, (place, rule)) in operator_list(&connection.allow).iter().enumerate() {
        if !all().any(|requested| cover::overlap(&requested.rule, rule)) {
            let requested: Vec<_> = all().map(|requested| requested.rule.to_string()).collect();
            faults.push(config.fault(
                &["connections", &connection.name, "allow", &index.to_string()],
                format!("{place} (`{rule}`) can match nothing that the connector requests"),
                Some(format!("it requests {}", requested.join("; "))),
            ));
        }
    }
    for requested in all() {
        if let Some(why) = config.boundary.excludes(&requested.rule) {
            let rule = &requested.rule;
            let help =
                "a boundary holds for every approval: change it, or use a connector that asks for less";
            faults.push(config.fault(
                &boundary_path(&config.boundary, rule).each_ref().map(String::as_str),
                format!("`{rule}` is outside the boundary: {why}"),
                Some(help.to_owned()),
            ));
        }
    }
    let grants = Grants::new(rules.to_vec(), connection.allow.clone());
    if let Err(error) = grants.and_then(|grants| grants.with_from_response(from_response.to_vec())) {
        faults.push(config.fault(&here, error.to_string(), None));
    }
    faults.extend(folders::faults(config, connection, &component.manifest));
    faults.extend(config_faults(config, connection, component));
    faults
}

/// The item of `deny` that a rule overlaps, or else the whole of `allow`.
fn boundary_path(boundary: &Boundary, rule: &Rule) -> [String; 3] {
    let alone = |denied: &BoundaryRule| Boundary { allow: Vec::new(), deny: vec![denied.clone()] };
    let denied = boundary.deny.iter().position(|denied| alone(denied).excludes(rule).is_some());
    let (list, item) = match denied {
        Some(index) => ("deny", index.to_string()),
        None => ("allow", String::new()),
    };
    ["boundary".to_owned(), list.to_owned(), item]
}

/// What the connector's schema says of `config`: what was expected and where, never what was found.
fn config_faults(config: &Config, connection: &Connection, component: &Component) -> Vec<Diagnostic> {
    let path = ["connections", &connection.name, "config"];
    let Some(schema) = &component.manifest.config_schema else {
        if connection.config.as_object().is_none_or(serde_json::Map::is_empty) {
            return Vec::new();
        }
        let help = Some("remove `config`".to_owned());
        return vec![config.fault_masked(&path, "the connector takes no config", help)];
    };
    let problems = match portcullis_engine::Schema::new(schema.to_string())
        .validate_in_time(&connection.config.to_string())
    {
        Ok(problems) => problems,
        Err(SchemaError::Here(why)) => {
            let message = format!("`config` can't be held against the connector's schema here: {why}");
            let help = "no fault of that line: `ulimit -a` shows the limits of this machine".to_owned();
            return vec![config.fault(&path[..2], message, Some(help))];
        }
        Err(error) => {
            let message = format!("the connector's config schema can't be used: {}", error.words());
            return vec![config.fault(&path[..2], message, None)];
        }
    };
    let fault = |problem: portcullis_engine::Fault| {
        let names: Vec<String> = problem
            .pointer
            .split('/')
            .skip(1)
            .map(|name| name.replace("~1", "/").replace("~0", "~"))
            .collect();
        let path: Vec<&str> = path.iter().copied().chain(names.iter().map(String::as_str)).collect();
        let help = near_property(&problem).map_or_else(
            || {
                let name = &connection.connector;
                format!("the connector's config schema says so: `portcullis inspect {name}` shows it")
            },
            |near| format!("did you mean `{near}`?"),
        );
        let place =
            if names.is_empty() { "config".to_owned() } else { format!("config.{}", names.join(".")) };
        config.fault_masked(&path, format!("`{}`: {}", shown(&place), problem.message), Some(help))
    };
    problems.into_iter().map(fault).collect()
}

/// Whether a slot takes a credential of this scheme.
fn takes(declared: &Slot, scheme: &str) -> bool {
    let general = scheme.split("-key").next().filter(|_| scheme.starts_with("api-key")).map(|_| "api-key");
    declared.schemes.iter().any(|accepted| accepted == scheme || Some(accepted.as_str()) == general)
}

fn slot_faults(config: &Config, connection: &Connection, component: &Component) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    let at = |slot| ["connections", &connection.name, "credentials", slot];
    let slots = &component.manifest.slots;
    let missing = slots.keys().filter(|slot| !connection.credentials.contains_key(*slot));
    let missing: Vec<_> = missing.map(|slot| format!("{slot} = \"NAME\"")).collect();
    for (slot, declared) in slots {
        let Some(name) = connection.credentials.get(slot) else {
            let message = format!("no credential is bound to the slot `{slot}` ({})", shown(&declared.why));
            let bind = config.to_bind(&connection.name, "credentials", &missing.join(", "));
            let help = format!("{bind}, and a table `[credentials.NAME]`");
            faults.push(config.fault(&at(slot), message, Some(help)));
            continue;
        };
        let Some(credential) = config.credentials.get(name) else { continue };
        let scheme = credential.scheme_name();
        if !takes(declared, scheme) {
            let schemes = declared.schemes.join(", ");
            let message = format!("slot `{slot}` takes {schemes}; credential `{name}` is {scheme}");
            let help = "bind another one, or let its table have one of these as its `scheme`".to_owned();
            faults.push(config.fault(&at(slot), message, Some(help)));
        }
    }
    for slot in connection.credentials.keys().filter(|slot| !slots.contains_key(*slot)) {
        let help = match nearest(slot, slots.keys().map(String::as_str)) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None => Some("remove it".to_owned()),
        };
        faults.push(config.fault_key(
            &at(slot),
            format!("the connector has no slot `{}`", shown(slot)),
            help,
        ));
    }
    faults
}

/// What the lock says of the approved bytes and their manifest does not: one line each.
pub fn manifest_differences(approved: &Approval, manifest: &Connector) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, approved: String, now: String| {
        if approved != now {
            lines.push(format!("{what}: the lock says {approved}, the component {now}"));
        }
    };
    compare("connector", approved.connector.to_string(), manifest.name.to_string());
    compare("version", approved.version.to_string(), manifest.version.to_string());
    let number = |number: u32| number.to_string();
    compare("position-version", number(approved.position_version), number(manifest.position_version));
    compare("config-version", number(approved.config_version), number(manifest.config_version));
    lines
}

/// What a lock says of a component that is not what the component asks for: then it is not what anybody approved, and nothing is
/// shown to be covered by it. What the config binds is left out.
pub fn invented(
    config: &Config,
    connection: &Connection,
    component: &Component,
    approved: &Approval,
) -> Vec<String> {
    let Some((mut drafted, _)) = draft(config, connection, component, approved) else {
        return vec!["origins: the lock has others than the component asks for".to_owned()];
    };
    // Nobody has to bind each of them.
    drafted.folders.retain(|name, _| approved.folders.contains_key(name));
    let bound = approved.clone();
    let now = Approval {
        origins: bound.origins,
        credentials: bound.credentials,
        network: bound.network,
        ..drafted
    };
    let mut found = manifest_differences(approved, &component.manifest);
    found.extend(differences(approved, &now));
    found
}

/// What else of `now` is not what was approved: one line each, empty where nothing differs.
pub fn differences(approved: &Approval, now: &Approval) -> Vec<String> {
    let mut lines = Vec::new();
    let mut compare = |what: &str, approved: String, now: String| {
        if approved != now {
            lines.push(format!("{what}: approved {approved}, now {now}"));
        }
    };
    compare("digest", approved.digest.clone(), now.digest.clone());
    compare("imports", approved.imports.join(" "), now.imports.join(" "));
    compare("roles", format!("{:?}", approved.roles), format!("{:?}", now.roles));
    compare_maps("origin", &approved.origins, &now.origins, &mut lines, |origin| format!("`{origin}`"));
    compare_rules(&approved.rules, &now.rules, &mut lines);
    compare_named(&approved.from_response, &now.from_response, &mut lines);
    compare_maps("credential of slot", &approved.credentials, &now.credentials, &mut lines, |pinned| {
        format!("`{}` ({}, {})", pinned.credential, pinned.scheme, pinned.place)
    });
    compare_maps("folder", &approved.folders, &now.folders, &mut lines, |folder| {
        format!("`{}` ({})", shown(&folder.path), folder.access.as_str())
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

fn compare_rules(approved: &[ManifestRule], now: &[ManifestRule], lines: &mut Vec<String>) {
    if approved == now {
        return;
    }
    let before = lines.len();
    if approved.len() != now.len() {
        lines.push(format!("rules: approved {}, now {}", approved.len(), now.len()));
    }
    for (approved, now) in approved.iter().zip(now) {
        let (a, b) = (&approved.attributes, &now.attributes);
        let differs = [
            ("place", approved.place != now.place),
            ("allow", approved.rule != now.rule),
            ("credential", a.credentials != b.credentials),
            ("idempotency", a.idempotency != b.idempotency),
            ("safe", a.safe != b.safe),
            ("redirect", a.redirect != b.redirect),
            ("guest-headers", a.guest_headers != b.guest_headers),
            ("query", a.query != b.query),
            ("why", approved.why != now.why),
        ];
        let fields = differs.into_iter().filter_map(|(field, differs)| differs.then_some(field));
        lines.extend(fields.map(|field| format!("rule `{}`: `{field}` is not what was approved", now.rule)));
    }
    if lines.len() == before {
        lines.push("rules: not those that were approved".to_owned());
    }
}

/// The rules over URLs that answers name, and where these stand.
fn compare_named(approved: &[FromResponse], now: &[FromResponse], lines: &mut Vec<String>) {
    let rules = |all: &[FromResponse]| all.iter().map(|from| from.rule.clone()).collect::<Vec<_>>();
    compare_rules(&rules(approved), &rules(now), lines);
    for (approved, now) in approved.iter().zip(now) {
        let differs = [("of", approved.of != now.of), ("at", approved.at != now.at)];
        let fields = differs.into_iter().filter_map(|(field, differs)| differs.then_some(field));
        lines.extend(
            fields.map(|field| format!("rule `{}`: `{field}` is not what was approved", now.rule.rule)),
        );
    }
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
