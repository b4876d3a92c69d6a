//! Each connection against lock, `data` and registry, as a run would hold it, but that nothing is written; and what is granted to
//! nobody. Online: what the hosts' names mean now.
use super::{Findings, Severity};
use crate::{
    approvals::{
        self,
        ended::{Ended, Standing, refusal},
    },
    config::{Config, Connection, operator_list},
    exit::Result,
    output,
    publisher::{Signature, signature_file},
    registry,
    wiring::{self, explain},
};
use portcullis_grants::{ManifestRule, OperatorRules, cover, host::HostPattern};
use portcullis_manifest::{Approval, Lock};
use std::{collections::BTreeSet, fs, io, sync::Arc};

/// A connection that would run.
pub struct Usable {
    name: String,
    egress: Arc<portcullis_egress::Connection>,
    /// Scheme, host, port.
    hosts: BTreeSet<(&'static str, HostShown, u16)>,
}

/// A name or an address; or a pattern, which no resolver is asked for.
type HostShown = (String, bool);

/// Judges each; those that would run.
pub fn look(config: &Config, findings: &mut Findings) -> Vec<Usable> {
    let lock = match approvals::read_lock(config) {
        Ok(lock) => lock,
        Err(failure) => {
            findings.failure("lock", &failure, "take back the lock that was committed last");
            return Vec::new();
        }
    };
    for name in lock.approvals.keys().filter(|name| !config.connections.contains_key(*name)) {
        findings.warning(
            "lock",
            format!("it approves a connection `{name}` that the config does not have"),
            format!("portcullis revoke {name}"),
        );
    }
    let mut usable = Vec::new();
    for connection in config.connections.values() {
        let about = format!("connections.{}", connection.name);
        unused_rules(config, connection, findings);
        match one(config, &lock, connection, findings) {
            Ok(Some(found)) => usable.push(found),
            Ok(None) => {}
            Err(failure) => findings.failure(&about, &failure, "correct that line of the config"),
        }
    }
    usable
}

fn one(
    config: &Config,
    lock: &Lock,
    connection: &Connection,
    findings: &mut Findings,
) -> Result<Option<Usable>> {
    let name = connection.name.as_str();
    let about = format!("connections.{name}");
    let Some(approval) = lock.approvals.get(name) else {
        // What can't be approved says why.
        let newest = registry::newest(&config.registry, &connection.connector, &connection.version)?;
        registry::read(&newest)?;
        findings.error(about, "it is not approved: nothing of it runs", format!("portcullis approve {name}"));
        return Ok(None);
    };
    let ended = match approval.revoked {
        true => Some(Ended::Revoked),
        false => Standing::new(&config.data, name, approval).ended(),
    };
    if let Some(ended) = ended {
        // Somebody decided that.
        let decided = matches!(ended, Ended::Revoked | Ended::GivenBefore(_));
        let severity = if decided { Severity::Warning } else { Severity::Error };
        let failure = refusal(name, approval, ended);
        findings.add(severity, about, failure.to_string(), failure.help.unwrap_or_default());
        return Ok(None);
    }
    let (package, kept) = approvals::find_approved(config, approval)?;
    wiring::refuse_differences(config, connection, approval, &package.component)?;
    let egress = explain::egress(config, connection, approval, &package.component)?;
    let place =
        if kept { "kept in `data`" } else { "in the registry, and kept in `data` from the first run on" };
    let connector =
        format!("{}/{} {}", approval.connector.publisher, approval.connector.name, approval.version);
    findings.ok(
        &about,
        format!("{connector} is what was approved at {}; its bytes are {place}", approval.approved_at),
    );
    unused_slots(connection, approval, findings);
    other_bytes(config, connection, approval, findings);
    signature(config, connection, approval, findings);
    Ok(Some(Usable { name: name.to_owned(), egress, hosts: hosts(connection, approval) }))
}

/// The registry's file of the approved version, where it is another one by now. What is kept in `data` runs all the same.
fn other_bytes(config: &Config, connection: &Connection, approval: &Approval, findings: &mut Findings) {
    let file = registry::file(&config.registry, &approval.connector, &approval.version);
    let found = match registry::open(&file) {
        // One that is gone is told where somebody needs it.
        Err(_) if fs::symlink_metadata(&file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) => {
            return;
        }
        Err(failure) => output::shown_line(&failure.to_string()),
        Ok(package) if package.component.digest == approval.digest => return,
        Ok(package) => format!("it has the digest {}", package.component.digest),
    };
    findings.warning(
        format!("connections.{}", connection.name),
        format!("`{}` is not what was approved: {found}, and {} was pinned", file.display(), approval.digest),
        format!(
            "a version means one file for ever: put back the one that was approved, or ask `{}` for a new version",
            approval.connector.publisher
        ),
    );
}

/// Of a publisher that has a key: what stands beside the registry's file of the approved version. What is kept in `data` runs all
/// the same; whoever approved it did so before the key, the signature or the file was what it is.
fn signature(config: &Config, connection: &Connection, approval: &Approval, findings: &mut Findings) {
    let publisher = &approval.connector.publisher;
    if !config.publishers.contains_key(publisher) {
        return;
    }
    let about = format!("connections.{}", connection.name);
    let version = format!("{}/{} {}", publisher, approval.connector.name, approval.version);
    // A registry that no longer has the file has no signature either.
    let file = registry::file(&config.registry, &approval.connector, &approval.version);
    let Ok(package) = registry::open(&file) else { return };
    match Signature::of(&config.publishers, &package) {
        Ok(Signature::Wrong) => findings.error(
            about,
            format!(
                "{version} has a signature that is not of its file by the key of [publishers.{publisher}]"
            ),
            format!(
                "ask `{publisher}` which bytes and which key are theirs; until then: portcullis revoke {}",
                connection.name
            ),
        ),
        Ok(Signature::Unsigned) => findings.warning(
            about,
            format!("{version} runs unsigned, and [publishers.{publisher}] has a key"),
            format!("ask `{publisher}` for `{}`", signature_file(&package).display()),
        ),
        Ok(Signature::Verified) => findings.ok(about, format!("{version} is signed by `{publisher}`")),
        Ok(Signature::NoKey) => {}
        Err(failure) => findings.failure(&about, &failure, "make it readable"),
    }
}

/// A slot whose every rule `allow` leaves out: its credential is bound and never sent.
fn unused_slots(connection: &Connection, approval: &Approval, findings: &mut Findings) {
    let used: BTreeSet<&String> =
        granted(connection, approval).flat_map(|rule| &rule.attributes.credentials).collect();
    for slot in connection.credentials.keys().filter(|slot| !used.contains(slot)) {
        findings.warning(
            format!("connections.{}", connection.name),
            format!("the credential of slot `{slot}` is never sent: `allow` has no rule of the connector that uses it"),
            format!("add one of its rules to `allow`; `portcullis approve {}` shows them", connection.name),
        );
    }
}

/// A rule of `allow` that another one covers whole.
fn unused_rules(config: &Config, connection: &Connection, findings: &mut Findings) {
    let rules = operator_list(&connection.allow);
    for (index, (_, rule)) in rules.iter().enumerate() {
        let covers = |(other, (_, wider)): &(usize, &(String, portcullis_grants::Rule))| {
            // Of two that are the same, the later one.
            *other != index && cover::cover(wider, rule) && (*other < index || !cover::cover(rule, wider))
        };
        let Some((_, (wider, _))) = rules.iter().enumerate().find(covers) else { continue };
        let path = ["connections", &connection.name, "allow", &index.to_string()];
        let place = config.fault(&path, format!("`{rule}` allows nothing that {wider} does not"), None);
        findings.warning(
            format!("connections.{}", connection.name),
            place.to_string(),
            "remove one of the two",
        );
    }
}

/// What both sides grant: the connector's rules that `allow` lets through, at least in part.
fn granted<'a>(connection: &'a Connection, approval: &'a Approval) -> impl Iterator<Item = &'a ManifestRule> {
    let named = approval.from_response.iter().map(|from| &from.rule);
    approval.rules.iter().chain(named).filter(|requested| match &connection.allow {
        OperatorRules::Requested => true,
        OperatorRules::Listed(rules) => rules.iter().any(|(_, rule)| cover::overlap(rule, &requested.rule)),
    })
}

fn hosts(connection: &Connection, approval: &Approval) -> BTreeSet<(&'static str, HostShown, u16)> {
    let host = |requested: &ManifestRule| {
        let rule = &requested.rule;
        let exact = matches!(rule.host_pattern(), HostPattern::Exact(_));
        (rule.scheme(), (rule.host_pattern().to_string(), exact), rule.port())
    };
    granted(connection, approval).map(host).collect()
}

/// Asks the machine's resolver for each name, judges each address as the dialler does, connects and shakes hands. No request is
/// sent.
pub async fn reach(usable: &[Usable], findings: &mut Findings) {
    let mut reached = 0;
    for Usable { name, egress, hosts } in usable {
        for (scheme, (host, exact), port) in hosts {
            let about = format!("connections.{name}");
            if !exact {
                findings.ok(about, format!("`{host}:{port}` stands for many hosts: none was looked up"));
                continue;
            }
            match egress.reach(scheme, host, *port).await {
                Ok(found) => {
                    let addresses: Vec<_> = found.addresses.iter().map(ToString::to_string).collect();
                    let (to, to_port) = &found.dialled;
                    let by = if found.mapped {
                        format!(" by `connect-to` at {to}:{to_port}")
                    } else {
                        String::new()
                    };
                    let with = found.protocol.unwrap_or("without TLS");
                    reached += 1;
                    findings.ok(
                        about,
                        format!("`{host}:{port}` is reached{by}, {with}: {}", addresses.join(", ")),
                    );
                }
                Err(denial) => {
                    let remedy = denial.remedy.unwrap_or_else(|| {
                        format!(
                            "see what `getent ahosts {host}` says on this machine, whether a firewall or a proxy that inspects TLS \
                             stands in between, and `[connections.{name}.network]`: `connect-to`, `ca-file`, `roots`"
                        )
                    });
                    findings.error(about, format!("`{host}:{port}`: {}", denial.reason), remedy);
                }
            }
        }
    }
    if usable.iter().all(|usable| usable.hosts.is_empty()) {
        let remedy =
            "`portcullis approve CONNECTION` for each that is meant: what is not approved reaches nothing";
        findings.warning(
            "online".to_owned(),
            "no connection that runs has a host: nothing was connected to",
            remedy,
        );
        return;
    }
    if reached > 0 {
        let hosts = output::count(reached, "host");
        let tries = "`portcullis check CONNECTION` tries its credentials";
        findings.ok("online", format!("{hosts} reached, and no request was sent: {tries}"));
    }
}
