//! `connectors`: what the registry holds, what the binary carries beside it, and what each connection runs.
use crate::{
    approvals,
    cli::Arguments,
    config::Config,
    exit::{Exit, Failure, Result},
    output,
    registry::{self, Listed},
};
use portcullis_manifest::Approval;
use serde_json::json;
use std::collections::BTreeSet;

/// Lists. What is no connector is named as such, and stops nobody.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let lock = approvals::read_lock(&config)?;
    let Listed { entries, unread, misplaced } = registry::list(&config.registry)?;
    for failure in unread.iter().chain(&misplaced) {
        output::note(&format!("warning: {}", output::shown_line(&failure.line())));
    }
    let (mut rows, mut unusable) = (Vec::new(), BTreeSet::new());
    for entry in &entries {
        let found = registry::read(entry);
        let name = format!("{}/{}", entry.name.publisher, entry.name.name);
        let named: Vec<_> = lock
            .approvals
            .iter()
            .filter(|(_, approval)| approval.connector == entry.name && approval.version == entry.version)
            .collect();
        let digest = found.as_ref().ok().map(|package| &package.component.digest);
        let (these, others): (Vec<_>, Vec<_>) =
            named.into_iter().partition(|(_, approval)| digest == Some(&approval.digest));
        let fault = found.as_ref().err().map(Failure::line);
        if fault.is_some() {
            unusable.insert(entry.file.clone());
        }
        let names =
            |of: &[(&String, &Approval)]| of.iter().map(|(name, _)| (*name).clone()).collect::<Vec<_>>();
        let (these, others) = (names(&these), names(&others));
        if arguments.json {
            output::json_line(&json!({
                "connector": name, "version": entry.version.to_string(), "file": entry.file.display().to_string(),
                "approved_for": these, "other_bytes_approved_for": others, "fault": fault, "carried": entry.carried,
            }));
        }
        let others = others.into_iter().map(|name| format!("{name}: other bytes than these"));
        let fault = fault.map(|fault| format!("not usable: {}", output::shown_line(&fault)));
        let carried = entry.carried.then(|| "carried by this binary; `approve` puts it there".to_owned());
        let shown: Vec<_> = these.into_iter().chain(others).chain(fault).chain(carried).collect();
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
        let newest = newest.map_or("none".to_owned(), |entry| match unusable.contains(&entry.file) {
            true => format!("{}, not usable", entry.version),
            false => entry.version.to_string(),
        });
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
