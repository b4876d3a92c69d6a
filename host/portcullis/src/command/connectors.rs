//! `connectors`: what the registry holds and what each connection runs.
use crate::{
    approvals,
    cli::Arguments,
    config::Config,
    exit::{Exit, Result},
    files, output, registry,
};
use portcullis_manifest::{Approval, Component, embedded::digest_of};
use serde_json::json;

/// Lists; reads no component, so a foreign file in the registry stops nobody.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let lock = approvals::read_lock(&config)?;
    let entries = registry::list(&config.registry)?;
    let mut rows = Vec::new();
    for entry in &entries {
        let name = format!("{}/{}", entry.name.publisher, entry.name.name);
        let named: Vec<_> = lock
            .approvals
            .iter()
            .filter(|(_, approval)| approval.connector == entry.name && approval.version == entry.version)
            .collect();
        let digest = if named.is_empty() { None } else { digest(entry) };
        let (these, others): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|(_, approval)| digest.as_ref() == Some(&approval.digest));
        let names =
            |of: &[(&String, &Approval)]| of.iter().map(|(name, _)| (*name).clone()).collect::<Vec<_>>();
        let (these, others) = (names(&these), names(&others));
        if arguments.json {
            output::json_line(&json!({
                "connector": name, "version": entry.version.to_string(), "file": entry.file.display().to_string(),
                "approved_for": these, "other_bytes_approved_for": others,
            }));
        }
        let others = others.into_iter().map(|name| format!("{name}: other bytes than these"));
        let shown: Vec<_> = these.into_iter().chain(others).collect();
        rows.push(vec![name, entry.version.to_string(), shown.join(", ")]);
    }
    let mut connections = Vec::new();
    for connection in config.connections.values() {
        let state = match lock.approvals.get(&connection.name) {
            None => "not approved".to_owned(),
            Some(approval) if approvals::is_revoked(&config.data, &connection.name, approval) => {
                "revoked".to_owned()
            }
            Some(approval) => format!("approved {}", approval.version),
        };
        let name = format!("{}/{}", connection.connector.publisher, connection.connector.name);
        let newest = registry::newest(&config.registry, &connection.connector, &connection.version).ok();
        let newest = newest.map_or("none".to_owned(), |entry| entry.version.to_string());
        if arguments.json {
            output::json_line(&json!({
                "connection": connection.name, "connector": name, "request": connection.version.to_string(),
                "state": state, "newest": newest, "owner": connection.owner, "runbook": connection.runbook,
            }));
        }
        let owner = connection.owner.clone().unwrap_or_default();
        connections.push(vec![connection.name.clone(), name, state, newest, owner]);
    }
    if !arguments.json {
        output::line(&output::table(&["CONNECTOR", "VERSION", "APPROVED FOR"], &rows));
        output::line("");
        output::line(&output::table(&["CONNECTION", "CONNECTOR", "STATE", "NEWEST", "OWNER"], &connections));
    }
    Ok(Exit::Success)
}

/// Of the bytes that lie there now; none where they can't be read.
fn digest(entry: &registry::Entry) -> Option<String> {
    let bytes = files::read_like(&entry.file, registry::COMPONENT_BYTES_MAX, &Component::MAGIC).ok()?;
    Some(digest_of(&bytes))
}
