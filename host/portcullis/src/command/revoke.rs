//! `revoke`: ends approvals at once. It needs no data lock and of the config only `data`; running calls look for the file before
//! each attempt. The files come first, without waiting for anybody; the mark in the lock file, which people read, comes after.
use crate::{
    approvals,
    cli::{Arguments, Revoke},
    config::Place,
    exit::{Exit, Failure, Result},
    output,
};
use portcullis_manifest::{Approval, Lock, lock::is_approval_id};
use serde_json::json;

/// Revokes a connection's approval, every approval of a digest, or one by its id.
pub fn run(arguments: &Arguments, options: &Revoke) -> Result<Exit> {
    let place = Place::read(&arguments.config)?;
    let target = &options.target;
    let named = match approvals::read_lock_file(&place.lock_file()) {
        Ok(lock) => end(&place, target, &lock, arguments.json)?,
        // The id is the name of the file: no lock is needed to write it.
        Err(damage) if is_approval_id(target) => {
            output::note(&format!("warning: the lock was not read: {damage}"));
            0
        }
        Err(damage) => {
            return Err(damage.with_help(
                "nothing is ended: put back the lock that was committed last, or end an approval by its id, which needs no \
                 lock: `portcullis revoke apr_…`",
            ));
        }
    };
    if named > 0 {
        return mark(arguments, &place, target);
    }
    if !is_approval_id(target) {
        let shown = output::shown_line(target);
        let message = format!("no approval of `{shown}` in `{}`", place.lock_file().display());
        return Err(Failure::new(Exit::Usage, message)
            .with_help("`portcullis connectors` lists the connections; an approval that no lock names is ended by its id: `portcullis revoke apr_…`"));
    }
    approvals::revoke(&place.data, target)?;
    output::note(&format!(
        "warning: `{}` names no such approval; should one bring it back, it stays ended",
        place.lock_file().display()
    ));
    show(None, target, arguments.json);
    Ok(Exit::Success)
}

fn is_meant(target: &str, connection: &str, approval: &Approval) -> bool {
    connection == target || approval.digest == target || approval.approval_id == target
}

/// Writes the files of all that is meant, and says so: what is shown has ended. How many they were.
fn end(place: &Place, target: &str, lock: &Lock, as_json: bool) -> Result<usize> {
    let meant = lock.approvals.iter().filter(|(connection, approval)| is_meant(target, connection, approval));
    let mut ended = 0;
    for (connection, approval) in meant {
        approvals::revoke(&place.data, &approval.approval_id)?;
        show(Some(connection), &approval.approval_id, as_json);
        ended += 1;
    }
    Ok(ended)
}

fn show(connection: Option<&str>, approval_id: &str, as_json: bool) {
    match (as_json, connection) {
        (true, _) => output::json_line(
            &json!({ "connection": connection, "approval_id": approval_id, "revoked": true }),
        ),
        (false, Some(connection)) => output::line(&format!("revoked `{connection}` ({approval_id})")),
        (false, None) => output::line(&format!("revoked {approval_id}")),
    }
}

/// Marks them in the lock file, where one process at a time may write. An approval that was given while this waited ends too.
fn mark(arguments: &Arguments, place: &Place, target: &str) -> Result<Exit> {
    let marked = approvals::edit_lock(place, arguments.wait(), |lock| {
        for (connection, approval) in &mut lock.approvals {
            if !is_meant(target, connection, approval) {
                continue;
            }
            if !approvals::was_revoked(&place.data, &approval.approval_id) {
                approvals::revoke(&place.data, &approval.approval_id)?;
                show(Some(connection), &approval.approval_id, arguments.json);
            }
            approval.revoked = true;
        }
        Ok(())
    });
    match marked {
        Ok(()) => Ok(Exit::Success),
        Err(failure) => {
            let file = place.lock_file();
            let message = format!("it is ended; only its mark in `{}` is missing", file.display());
            Err(Failure::new(failure.exit, message)
                .because(&failure)
                .with_help("nothing runs under it any more; the same command again writes the mark"))
        }
    }
}
