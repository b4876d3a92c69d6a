//! `approve`: shows what a connection's connector asks for, and pins it with its digest.
mod proposal;
mod unfit;

use super::{
    confirm::confirmed,
    inspect::{named_line, rule_line},
};
use crate::{
    approvals::{self, ended},
    cli::{Approve, Arguments},
    config::{Config, Connection, GrantedFolder, operator_list, pinned},
    difference::{Change, Difference, Side},
    exit::{Exit, Failure, Result},
    output,
    publisher::Signature,
    registry::{self, Package},
};
use portcullis_clock::{Clock, RealClock, RealRandom, new_id};
use portcullis_grants::{Boundary, ManifestRule, OperatorRules, Rule};
use portcullis_manifest::{Access, Approval, Component, Connector, Lock, lock::PinnedNetwork};
use proposal::Proposal;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, time::Duration};
pub use unfit::Unfit;

/// Approves a connection.
pub fn run(arguments: &Arguments, options: &Approve) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let found = Found::of(&config, &options.connection)?;
    // Other bytes than those that are meant are refused below, and not asked anything.
    let meant = options.digest.as_ref().is_none_or(|digest| *digest == found.package.component.digest);
    let proposal = meant.then(|| Proposal::of(found.connection, found.former(), &found.package)).flatten();
    // A config that the new schema refuses is most likely one of the older version.
    let mut asked = found.asked(&config).map_err(|failure| {
        if let Some(unfit) = Unfit::of(&config, &options.connection).filter(|_| meant) {
            unfit.print(arguments.json);
        }
        match &proposal {
            Some(proposal) => proposal.beside(failure),
            None => failure,
        }
    })?;
    asked.proposal = proposal;
    if arguments.json {
        output::json_line(&asked.as_json());
    } else {
        output::line(&asked.text());
    }
    // Nobody approves what nobody could read.
    output::delivered()?;
    if let Some(digest) = options.digest.as_ref().filter(|digest| **digest != asked.approval.digest) {
        let shown = output::shown_line(digest);
        let message = format!("`--digest` is `{shown}`, the registry holds `{}`", asked.approval.digest);
        return Err(Failure::new(Exit::NotApproved, message));
    }
    let instead = format!("--yes --digest {}", asked.approval.digest);
    if !options.yes && !confirmed("approve this? Type `yes`:", Exit::NotApproved, &instead)? {
        return Err(Failure::new(Exit::NotApproved, "not approved"));
    }
    let name = asked.connection.name.clone();
    grant(&config, asked, arguments.wait(), None)?;
    output::note(&format!("approved `{name}`: pinned in `{}`", config.lock_file().display()));
    Ok(Exit::Success)
}

/// What an approval would pin, with the bytes that it is about.
pub struct Asked<'c> {
    connection: &'c Connection,
    /// What would be pinned.
    pub approval: Approval,
    /// How it differs from what the lock has of the connection, ended or not; none where that has nothing, or nothing that was
    /// approved.
    pub difference: Option<Difference>,
    /// What the lock says of the former component that this does not ask for.
    pub invented: Vec<String>,
    /// Whose work it is.
    pub signature: Signature,
    /// What it lies within.
    boundary: &'c Boundary,
    package: Package,
    /// What it would have in place of a config of an older version, where it was asked.
    proposal: Option<Proposal>,
}

/// Reads the newest fitting component and joins it with the connection; refuses what can't be approved. Runs nothing of it.
pub fn ask<'c>(config: &'c Config, connection: &str) -> Result<Asked<'c>> {
    let found = Found::of(config, connection)?;
    let could = Proposal::is_asked(found.former(), &found.package).is_some();
    found.asked(config).map_err(|failure| match failure.help {
        None if could => failure.with_help(format!(
            "`portcullis approve {connection}` shows what the connector proposes in place of a config of the older version"
        )),
        _ => failure,
    })
}

/// The newest fitting component, as it lies in the registry, and what is approved.
struct Found<'c> {
    connection: &'c Connection,
    lock: Lock,
    package: Package,
    signature: Signature,
}

impl<'c> Found<'c> {
    fn of(config: &'c Config, connection: &str) -> Result<Self> {
        let connection = config.connection(connection)?;
        let lock = approvals::read_lock(config)?;
        let package = newest(config, &lock, connection)?;
        let Component { manifest, digest, .. } = &package.component;
        approvals::known::refuse_asked(&config.data, &lock, &manifest.name, &manifest.version, digest)?;
        let signature = Signature::required(config, &package)?;
        Ok(Self { connection, lock, package, signature })
    }

    fn former(&self) -> Option<&Approval> {
        self.lock.approvals.get(&self.connection.name)
    }

    fn asked(self, config: &'c Config) -> Result<Asked<'c>> {
        let component = &self.package.component;
        let clock = RealClock;
        let approval_id = new_id("apr", &clock, &RealRandom);
        let approval =
            pinned::approval(config, self.connection, component, approval_id, clock.now().to_string())
                .map_err(Failure::documents)?;
        let compared =
            self.former().map(|former| compared(config, self.connection, former, &approval, component));
        let (difference, invented) = match compared {
            Some(Ok(difference)) => (Some(difference), Vec::new()),
            Some(Err(invented)) => (None, invented),
            None => (None, Vec::new()),
        };
        let Self { connection, package, signature, .. } = self;
        let boundary = &config.boundary;
        Ok(Asked { connection, approval, difference, invented, signature, boundary, package, proposal: None })
    }
}

/// How a new approval differs from a former one; or what the lock says of the former component that it does not ask for.
fn compared(
    config: &Config,
    connection: &Connection,
    former: &Approval,
    now: &Approval,
    component: &Component,
) -> std::result::Result<Difference, Vec<String>> {
    let kept = approvals::seen_package(config, former);
    let kept = kept.as_ref().map(|kept| &kept.component);
    let invented = kept.map_or_else(Vec::new, |kept| pinned::invented(config, connection, kept, former));
    if !invented.is_empty() {
        return Err(invented);
    }
    let manifest = kept.map(|kept| &kept.manifest);
    let now = Side { approval: now, manifest: Some(&component.manifest) };
    Ok(Difference::between(Side { approval: former, manifest }, now))
}

fn newest(config: &Config, lock: &Lock, connection: &Connection) -> Result<Package> {
    let entry = registry::newest(&config.registry, &connection.connector, &connection.version);
    let entry = entry.map_err(|failure| match failure.causes.as_slice() {
        // Nothing there fits: the line that asks for it is what can be changed.
        [] => {
            let path = ["connections", &connection.name, "connector"];
            Failure::documents(vec![config.fault(&path, failure.message, failure.help)])
        }
        _ => failure,
    })?;
    let package = registry::read(&entry).map_err(|failure| {
        let is_it =
            |approval: &&Approval| approval.connector == entry.name && approval.version == entry.version;
        match lock.approvals.values().any(|approval| is_it(&approval)) {
            true => failure.with_help("that version is approved: put the approved file back"),
            false => failure,
        }
    })?;
    package.judged()
}

/// Keeps the bytes and remembers their digest, then pins them: a lock never names what is not there. `after` = the approval that
/// it was compared with, where nobody is asked: it has to be the one that holds.
pub fn grant(config: &Config, mut asked: Asked<'_>, wait: Duration, after: Option<&str>) -> Result<()> {
    let (data, name) = (&config.data, asked.connection.name.clone());
    approvals::refuse_shared(data)?;
    refuse_earlier(data, &name, &asked.approval)?;
    put_carried(config, &asked.package)?;
    approvals::keep(data, &asked.package)?;
    approvals::edit_lock(&config.place(), wait, |lock| {
        // Before it is seen whether the former one holds: what is revoked after that look is revoked after this moment.
        asked.approval.approved_at = ended::current::moment(data, &name, lock.approvals.get(&name))?;
        if let Some(after) = after {
            refuse_overtaken(config, lock, &name, after)?;
        }
        let Approval { connector, version, digest, .. } = &asked.approval;
        approvals::known::refuse_asked(data, lock, connector, version, digest)?;
        // The one that is replaced too: it is the last time that a lock of before the memory names it.
        approvals::known::remember_all(data, lock)?;
        approvals::known::remember(data, &asked.approval)?;
        // An approval that is followed by another has ended: an older lock, or a call that runs under it, must not
        // outlive a later `revoke`.
        let id = &asked.approval.approval_id;
        lock.approvals.get(&name).map_or(Ok(()), |former| ended::follow(data, &former.approval_id, id))?;
        ended::current::enter(data, &name, &asked.approval)?;
        lock.approvals.insert(name, asked.approval);
        Ok(())
    })
}

/// What the binary carries lies in the registry from here on, as every other connector does.
fn put_carried(config: &Config, package: &Package) -> Result<()> {
    if !package.carried {
        return Ok(());
    }
    let file = registry::put(&config.registry, &package.bytes, &package.component)?;
    output::note(&format!("put `{}`, which this portcullis carries", file.display()));
    Ok(())
}

/// What nobody was asked for takes the place of nothing but the approval that covers it.
fn refuse_overtaken(config: &Config, lock: &Lock, connection: &str, after: &str) -> Result<()> {
    let current = approvals::current(config, lock, connection)?;
    if current.approval_id == after {
        return Ok(());
    }
    let message = format!("`{connection}` was approved anew meanwhile (`{}`)", current.approval_id);
    Err(Failure::new(Exit::NotApproved, message).with_help(format!("portcullis update {connection}")))
}

/// A revocation ends what was given until then: with a clock that went back, this approval would never hold.
fn refuse_earlier(data: &Path, connection: &str, approval: &Approval) -> Result<()> {
    match ended::Standing::new(data, connection, approval).ended() {
        Some(ended::Ended::GivenBefore(revoked_at)) => Err(Failure::fault(format!(
            "`{connection}` was revoked at {revoked_at}; by this machine's clock it is {} only",
            approval.approved_at
        ))
        .with_help(
            "set the clock of this machine; if it was wrong when that was revoked, remove the file of that moment in \
             `data/revoked`, revoke again and approve",
        )),
        _ => Ok(()),
    }
}

impl Asked<'_> {
    fn as_json(&self) -> Value {
        let Self { connection, approval, difference, invented, signature, boundary, proposal, .. } = self;
        let [allow, deny] = [&boundary.allow, &boundary.deny]
            .map(|rules| rules.iter().map(ToString::to_string).collect::<Vec<_>>());
        let follows = follows(difference.as_ref());
        let rules = approval.rules.iter().map(|rule| {
            json!({ "rule": rule.rule.to_string(), "credentials": rule.attributes.credentials, "query": queries(rule), "why": rule.why,
                    "flags": rule.rule.flags() })
        });
        let named = approval.from_response.iter().map(|from| {
            let at: Vec<_> = from.at.iter().map(ToString::to_string).collect();
            json!({ "rule": from.rule.rule.to_string(), "of": from.of.to_string(), "at": at, "why": from.rule.why,
                    "flags": from.rule.rule.flags() })
        });
        let origins: BTreeMap<_, _> =
            approval.origins.iter().map(|(name, origin)| (name, origin.to_string())).collect();
        let credentials = approval.credentials.iter().map(|(slot, pinned)| {
            json!({ "slot": slot, "credential": pinned.credential, "scheme": pinned.scheme, "place": pinned.place })
        });
        let folders = connection.folders.iter().filter_map(|(name, granted)| {
            let access = approval.folders.get(name)?.access.as_str();
            let path = pinned::folders::shown_path(granted);
            Some(json!({ "name": name, "access": access, "written": granted.written, "path": path }))
        });
        json!({
            "connection": connection.name,
            "connector": format!("{}/{}", approval.connector.publisher, approval.connector.name),
            "version": approval.version.to_string(),
            "digest": approval.digest,
            "signature": signature.as_str(),
            "position_version": approval.position_version,
            "config_version": approval.config_version,
            "follows": follows,
            "config_proposal": proposal.as_ref().map(Proposal::as_json),
            "difference": difference.as_ref().map(Difference::as_json),
            "lock_differs": invented,
            "imports": approval.imports,
            "roles": approval.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
            "origins": origins,
            "boundary": { "allow": allow, "deny": deny },
            "rules": rules.collect::<Vec<_>>(),
            "from_response": named.collect::<Vec<_>>(),
            "webhook": self.package.component.manifest.webhook.as_ref().map(|webhook| webhook.signing.to_string()),
            "credentials": credentials.collect::<Vec<_>>(),
            "folders": folders.collect::<Vec<_>>(),
            "network": { "connect_to": approval.network.connect_to, "ca_file": approval.network.ca_file,
                         "addresses": approval.network.addresses, "roots": approval.network.roots },
        })
    }

    /// What a security person reads before saying yes.
    pub fn text(&self) -> String {
        text(self)
    }
}

/// What another `position-version` or `config-version` of the same connector means for this connection.
fn follows(difference: Option<&Difference>) -> Vec<String> {
    difference.into_iter().flat_map(Difference::changes).filter_map(Change::follows).collect()
}

fn text(asked: &Asked<'_>) -> String {
    let Asked { connection, approval, difference, invented, signature, boundary, package, proposal } = asked;
    let manifest = &package.component.manifest;
    let mut lines = vec![
        format!(
            "connection `{}` runs {}/{} {}",
            connection.name, manifest.name.publisher, manifest.name.name, manifest.version
        ),
        format!("  {}", output::shown_line(&manifest.summary)),
        format!("  digest {}", approval.digest),
        format!("  signature {}", signature.words(&manifest.name.publisher)),
        format!("  roles {}", approval.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")),
        format!(
            "  position-version {}, config-version {}",
            approval.position_version, approval.config_version
        ),
    ];
    if !approval.origins.is_empty() {
        lines.push("\nyour origins, which stand in its rules".to_owned());
        lines.extend(approval.origins.iter().map(|(name, origin)| format!("  {name} = {origin}")));
    }
    lines.push("\nit may send".to_owned());
    lines.extend(approval.rules.iter().map(|rule| format!("  {}", rule_line(rule, Rule::flags))));
    lines.extend(approval.from_response.iter().map(|from| format!("  {}", named_line(from, Rule::flags))));
    match &connection.allow {
        _ if approval.rules.is_empty() && approval.from_response.is_empty() => {
            lines.push("  nothing".to_owned());
        }
        OperatorRules::Requested => {
            lines.push("  and your config narrows nothing (`allow = \"requested\"`)".to_owned())
        }
        OperatorRules::Listed(_) => {
            lines.push("narrowed by your config to".to_owned());
            lines.extend(operator_list(&connection.allow).iter().map(|(_, rule)| format!("  {rule}")));
        }
    }
    if **boundary != Boundary::default() {
        lines.push("\nwithin your boundary".to_owned());
        lines.extend(boundary.allow.iter().map(|rule| format!("  allow  {rule}")));
        lines.extend(boundary.deny.iter().map(|rule| format!("  deny   {rule}")));
    }
    if let Some(rate) = manifest.requests_per_second {
        lines.push(format!(
            "  its author proposes at most {rate} requests a second; a credential's own limit goes first"
        ));
    }
    if let Some(webhook) = &manifest.webhook {
        lines.push("\nwhat is delivered to it is signed as".to_owned());
        lines.push(format!("  {}", output::shown_line(&webhook.signing.to_string())));
        lines.extend(
            webhook
                .handshake
                .map(|asked| format!("  the host answers the handshake of `{}`", asked.as_str())),
        );
    }
    lines.extend(secrets(approval, manifest));
    lines.extend(folders(connection, approval, package));
    lines.extend(network(&approval.network));
    lines.extend(proposal.as_ref().map(|proposal| format!("\n{}", proposal.text())));
    // Last: it stands right above the question.
    lines.extend(difference.as_ref().map(|difference| format!("\n{}", difference.text())));
    if !invented.is_empty() {
        lines.push(
            "\n`portcullis.lock` is not what was approved, so nothing is compared with it: of its component it says".to_owned(),
        );
        lines.extend(invented.iter().map(|line| format!("  {}", output::shown_line(line))));
    }
    lines.join("\n")
}

fn secrets(approval: &Approval, manifest: &Connector) -> Vec<String> {
    let mut lines = vec!["\nsecrets go to".to_owned()];
    if approval.credentials.is_empty() {
        lines.push("  nobody".to_owned());
    }
    for (slot, pinned) in &approval.credentials {
        let with = approval.rules.iter().filter(|rule| rule.attributes.credentials.contains(slot));
        let hosts: std::collections::BTreeSet<String> = with.map(|rule| origin(&rule.rule)).collect();
        let hosts: Vec<_> = hosts.into_iter().collect();
        lines.push(format!(
            "  `{}` ({}) as {} to {}",
            pinned.credential,
            pinned.scheme,
            pinned.place,
            hosts.join(", ")
        ));
        let proposed = manifest.slots.get(slot).and_then(|slot| slot.place.as_deref());
        let name = pinned.place.split_once(' ').map_or("", |(_, name)| name);
        if let Some(proposed) = proposed.filter(|proposed| !proposed.eq_ignore_ascii_case(name)) {
            lines.push(format!("    but its author proposes `{proposed}`"));
        }
    }
    lines
}

/// Where names are dialled, and what is trusted there.
fn network(network: &PinnedNetwork) -> Vec<String> {
    let mut lines = vec!["\nnetwork".to_owned()];
    for (from, to) in &network.connect_to {
        lines.push(format!("  connect-to {from} = {to}"));
    }
    if let Some(digest) = &network.ca_file {
        lines.push(format!("  ca-file {digest}"));
    }
    if !network.addresses.is_empty() {
        lines.push(format!("  addresses {}", network.addresses.join(", ")));
    }
    lines.push(format!("  roots {}", network.roots));
    lines
}

/// What it may do with files, and where they really lie.
fn folders(connection: &Connection, approval: &Approval, package: &Package) -> Vec<String> {
    let requested = &package.component.manifest.folders;
    let line = |(name, granted): (&String, &GrantedFolder)| {
        let access = match approval.folders.get(name)?.access {
            Access::Read => "reads files in",
            Access::Write => "writes, replaces and removes files in",
            Access::ReadWrite => "reads, writes, replaces and removes files in",
        };
        let why = requested.get(name).map(|folder| output::shown_line(&folder.why)).unwrap_or_default();
        let path = output::shown_line(&pinned::folders::shown_path(granted));
        Some(format!("  {name}: {access} {path}  {why}"))
    };
    let lines: Vec<String> = connection.folders.iter().filter_map(line).collect();
    if lines.is_empty() { lines } else { [vec!["\nfolders".to_owned()], lines].concat() }
}

/// What a query may bring; null = anything.
fn queries(rule: &ManifestRule) -> Value {
    let Some(query) = &rule.attributes.query else { return Value::Null };
    query.pairs().map(|(name, value)| (name.to_owned(), json!(value.to_string()))).collect()
}

/// Scheme, host and port of a rule, the port always shown.
fn origin(rule: &Rule) -> String {
    format!("{}://{}:{}", rule.scheme(), rule.host_pattern(), rule.port())
}
