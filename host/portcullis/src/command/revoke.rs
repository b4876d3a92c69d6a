//! `revoke`: ends approvals at once. Needs no data lock: running calls look for the file before each attempt.
use crate::{
    approvals,
    cli::{Arguments, Revoke},
    config::Config,
    exit::{Exit, Failure, Result},
    output,
};
use serde_json::json;

/// Revokes a connection's approval, or every approval of a digest.
pub fn run(arguments: &Arguments, options: &Revoke) -> Result<Exit> {
    let config = Config::read(&arguments.config)?;
    let ended = approvals::edit_lock(&config, |lock| {
        let mut ended = Vec::new();
        for (connection, approval) in &mut lock.approvals {
            if *connection == options.target || approval.digest == options.target {
                // The file first: it is what stops running calls, and it outlives an old lock.
                approvals::revoke(&config.data, &approval.approval_id)?;
                approval.revoked = true;
                ended.push((connection.clone(), approval.approval_id.clone()));
            }
        }
        if ended.is_empty() {
            let shown = output::shown_line(&options.target);
            let message = format!("no approval of `{shown}` in `{}`", config.lock_file().display());
            return Err(Failure::new(Exit::Usage, message).with_help("portcullis connectors"));
        }
        Ok(ended)
    })?;
    for (connection, approval_id) in &ended {
        if arguments.json {
            output::json_line(
                &json!({ "connection": connection, "approval_id": approval_id, "revoked": true }),
            );
        } else {
            output::line(&format!("revoked `{connection}` ({approval_id})"));
        }
    }
    Ok(Exit::Success)
}
