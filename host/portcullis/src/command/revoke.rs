//! `revoke`: ends approvals at once. It needs no data lock and of the config only `data`; running calls look for the file before
//! each attempt. The files come first, without waiting for anybody; the mark in the lock file, which people read, comes after.
use crate::{
    approvals::{
        self,
        ended::{self, All},
    },
    cli::{Arguments, Revoke},
    config::Place,
    exit::{Exit, Failure, Result},
    output,
};
use portcullis_manifest::{
    Approval, Lock,
    lock::{is_approval_id, is_digest},
};
use serde_json::json;

/// Revokes a connection's approvals, those of a digest, or one by its id.
pub fn run(arguments: &Arguments, options: &Revoke) -> Result<Exit> {
    let place = Place::read(&arguments.config)?;
    let target = &options.target;
    let (last_given, damage) = match approvals::read_lock_file(&place.lock_file()) {
        Ok(lock) => (end(&place, target, &lock, arguments.json)?, None),
        Err(damage) => (None, Some(damage)),
    };
    let known = end_unnamed(&place, target, last_given.as_deref(), arguments.json)?;
    if last_given.is_some() {
        return mark(arguments, &place, target);
    }
    let file = place.lock_file();
    match damage {
        Some(damage) if known => output::note(&format!("warning: the lock was not read: {damage}")),
        None if known => output::note(&format!(
            "warning: `{}` names no such approval; should one bring it back, it stays ended",
            file.display()
        )),
        Some(damage) => {
            return Err(damage.with_help(
                "nothing is ended: put back the lock that was committed last, or end an approval by its id, which needs no \
                 lock: `portcullis revoke apr_…`",
            ));
        }
        None => {
            let shown = output::shown_line(target);
            let message = format!("no approval of `{shown}` in `{}`", file.display());
            return Err(Failure::new(Exit::Usage, message)
                .with_help("`portcullis connectors` lists the connections; an approval that no lock names is ended by its id: `portcullis revoke apr_…`"));
        }
    }
    Ok(Exit::Success)
}

/// Ends what needs no lock: an id, all of a digest, all of a connection that the lock or `data` knows. Whether there was anything.
fn end_unnamed(place: &Place, target: &str, last_given: Option<&str>, as_json: bool) -> Result<bool> {
    let (data, named) = (&place.data, last_given.is_some());
    if is_approval_id(target) {
        if !named {
            ended::revoke(data, target)?;
            show(None, target, as_json);
        }
        return Ok(true);
    }
    if is_digest(target) {
        ended::revoke_all(data, All::Digest(target), last_given)?;
        match (named, as_json) {
            (true, _) => {}
            (false, true) => output::json_line(&json!({ "digest": target, "revoked": true })),
            (false, false) => output::line(&format!("revoked {target}")),
        }
        return Ok(true);
    }
    if !is_connection_name(target) {
        return Ok(false);
    }
    // What can't be read names nobody, and is covered by the moment.
    let remembered = ended::current::of(data, target);
    let known = named || !matches!(remembered, Ok(None));
    if known {
        ended::revoke_all(data, All::Connection(target), last_given)?;
    }
    if let Ok(Some(ended::current::Current { approval_id: id, .. })) = remembered
        && !(named && ended::was_revoked(data, &id))
    {
        ended::revoke(data, &id)?;
        show(Some(target), &id, as_json);
    }
    Ok(known)
}

/// Of the form that a config's names have, and so a plain file name.
fn is_connection_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

fn is_meant(target: &str, connection: &str, approval: &Approval) -> bool {
    connection == target || approval.digest == target || approval.approval_id == target
}

/// Writes the files of all that is meant, and says so: what is shown has ended. When the last of them was given; none where
/// there was none.
fn end(place: &Place, target: &str, lock: &Lock, as_json: bool) -> Result<Option<String>> {
    let meant = lock.approvals.iter().filter(|(connection, approval)| is_meant(target, connection, approval));
    let mut last_given = None;
    for (connection, approval) in meant {
        ended::revoke(&place.data, &approval.approval_id)?;
        show(Some(connection), &approval.approval_id, as_json);
        last_given = last_given.max(Some(approval.approved_at.clone()));
    }
    Ok(last_given)
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
            if !ended::was_revoked(&place.data, &approval.approval_id) {
                ended::revoke(&place.data, &approval.approval_id)?;
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
