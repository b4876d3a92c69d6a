//! `connectors`: what the registry holds and what each connection runs.
use crate::{
    approvals,
    cli::Arguments,
    config::Config,
    exit::{Exit, Result},
    output, registry,
};
use serde_json::json;

/// Lists; opens no component, so a foreign file in the registry stops nobody.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let lock = approvals::read_lock(&config)?;
    let entries = registry::list(&config.registry)?;
    let mut rows = Vec::new();
    for entry in &entries {
        let name = format!("{}/{}", entry.name.publisher, entry.name.name);
        let connections: Vec<_> = lock
            .approvals
            .iter()
            .filter(|(_, approval)| approval.connector == entry.name && approval.version == entry.version)
            .map(|(connection, _)| connection.clone())
            .collect();
        if arguments.json {
            output::json_line(&json!({
                "connector": name, "version": entry.version.to_string(), "file": entry.file.display().to_string(),
                "approved_for": connections,
            }));
        }
        rows.push(vec![name, entry.version.to_string(), connections.join(", ")]);
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
