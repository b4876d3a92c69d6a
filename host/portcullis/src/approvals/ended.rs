//! What has ended, and stays so: `data/revoked`. `APPROVAL-ID` ends that approval; `sha256-HEX` and `connection-NAME` hold a
//! moment and end every approval of that digest or connection that was given until then, also one that was never seen here.
//! Nothing here is ever taken back: an approval that is to hold must be given anew.
use super::digest_file_name;
use crate::{
    exit::{Exit, Failure, Result, at_file},
    files,
};
use portcullis_clock::{Clock, RealClock};
use portcullis_manifest::{Approval, Lock, lock::is_approval_id};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// How far a moment may lie ahead of this machine's clock: machines that agree on the time are never that far apart.
const AHEAD_MAX: Duration = Duration::from_secs(300);

/// A moment, or an id and another word.
const FILE_BYTES_MAX: u64 = 128;

/// Before the id of the approval that came after.
const FOLLOWED: &str = "followed by ";

fn folder(data: &Path) -> PathBuf {
    data.join("revoked")
}

/// What a moment is laid down for.
#[derive(Clone, Copy)]
pub enum All<'a> {
    /// Every approval of this digest.
    Digest(&'a str),
    /// Every approval of this connection; of the form that a config's names have.
    Connection(&'a str),
}

impl All<'_> {
    fn file(self, data: &Path) -> PathBuf {
        match self {
            All::Digest(digest) => folder(data).join(digest_file_name(digest)),
            All::Connection(name) => folder(data).join(format!("connection-{name}")),
        }
    }
}

/// Why an approval does not hold.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// By its id, or by its mark in the lock.
    Revoked,
    /// This one came after it here.
    Followed(String),
    /// It was given before this moment, at which its digest or its connection was revoked.
    GivenBefore(String),
    /// It was given before this one, which runs here: an older lock came back.
    Older(String),
    /// By this machine's clock it has not been given yet. It would outlive what is revoked now.
    NotYetGiven,
}

/// One approval as every attempt looks at it.
pub struct Standing {
    by_id: PathBuf,
    by_all: [PathBuf; 2],
    approved_at: String,
}

impl Standing {
    /// Of the approval of a connection that the config names.
    pub fn new(data: &Path, connection: &str, approval: &Approval) -> Self {
        Self {
            by_id: folder(data).join(&approval.approval_id),
            by_all: [All::Digest(&approval.digest), All::Connection(connection)].map(|all| all.file(data)),
            approved_at: approval.approved_at.clone(),
        }
    }

    /// Why it does not hold; what can't be read ends it.
    pub fn ended(&self) -> Option<Ended> {
        if let Some(text) = words(&self.by_id) {
            let follower = text.strip_prefix(FOLLOWED).filter(|id| is_approval_id(id));
            return Some(follower.map_or(Ended::Revoked, |id| Ended::Followed(id.to_owned())));
        }
        self.by_all.iter().filter_map(|file| words(file)).find_map(|revoked_at| {
            let later =
                is_moment(&revoked_at) && is_moment(&self.approved_at) && self.approved_at > revoked_at;
            (!later).then_some(Ended::GivenBefore(revoked_at))
        })
    }
}

/// What a file says; empty where it can't be read, and none only where it is not there.
fn words(file: &Path) -> Option<String> {
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        _ => {
            let bytes = files::read_regular(file, FILE_BYTES_MAX).unwrap_or_default();
            Some(String::from_utf8(bytes).unwrap_or_default().trim_end_matches('\n').to_owned())
        }
    }
}

/// `2026-01-31T12:00:00.000Z`, as `approve` and `revoke` write it: the order of the texts is that of the moments.
fn is_moment(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000Z";
    let fits = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    text.len() == FORM.len() && text.bytes().zip(FORM).all(fits)
}

/// A moment that this machine's clock has not reached, nor will soon.
fn is_ahead(moment: &str) -> bool {
    *moment > *RealClock.now().plus(AHEAD_MAX).to_string()
}

/// Whether an approval was ended by its id; where that can't be seen, it was.
pub fn was_revoked(data: &Path, approval_id: &str) -> bool {
    folder(data).join(approval_id).try_exists().unwrap_or(true)
}

/// Ends an approval durably, without the data lock: the file appears, and the next request of any process is denied.
pub fn revoke(data: &Path, approval_id: &str) -> Result<()> {
    lay_down(data, &folder(data).join(approval_id), "")
}

/// Ends an approval because another one came after it; what has ended already keeps its reason.
pub fn follow(data: &Path, former: &str, approval_id: &str) -> Result<()> {
    if was_revoked(data, former) {
        return Ok(());
    }
    lay_down(data, &folder(data).join(former), &format!("{FOLLOWED}{approval_id}\n"))
}

/// Ends all approvals of a digest or a connection that were given until now, or until the last of those that are known: this
/// machine's clock may lie behind that of the one that approved. Far ahead lies only what does not run.
pub fn revoke_all(data: &Path, all: All<'_>, last_known: Option<&str>) -> Result<()> {
    let (file, now) = (all.file(data), RealClock.now().to_string());
    let counts = |known: &&str| is_moment(known) && **known > *now && !is_ahead(known);
    let until = last_known.filter(counts).unwrap_or(&now);
    match words(&file) {
        // The clock went back.
        Some(before) if is_moment(&before) && *before > *until => Ok(()),
        _ => lay_down(data, &file, &format!("{until}\n")),
    }
}

/// What a lock marks as revoked has ended here too: the mark is gone when an older lock comes back.
pub fn heed(data: &Path, lock: &Lock) -> Result<()> {
    let marked = lock.approvals.values().filter(|approval| approval.revoked);
    let mut new = marked.filter(|approval| !was_revoked(data, &approval.approval_id));
    new.try_for_each(|approval| revoke(data, &approval.approval_id))
}

fn lay_down(data: &Path, file: &Path, text: &str) -> Result<()> {
    files::private_folder(&folder(data))?;
    files::write_whole(file, text.as_bytes(), 0o600)?;
    files::sync_folder(data)
}

/// The refusal in words.
pub fn refusal(connection: &str, approval: &Approval, ended: Ended) -> Failure {
    let (id, approve) = (&approval.approval_id, format!("portcullis approve {connection}"));
    let (what, help) = match ended {
        Ended::Revoked => ("was revoked".to_owned(), approve),
        Ended::Followed(follower) => (
            format!("has ended: `{follower}` followed it here"),
            format!("`{approve}` approves it anew; going back to an older lock needs a new approval too"),
        ),
        Ended::GivenBefore(revoked_at) => (
            format!(
                "was given at {}, before this connection or its connector was revoked ({revoked_at})",
                approval.approved_at
            ),
            format!("`{approve}` approves it anew; the time counts that the approving machine's clock gave"),
        ),
        Ended::Older(current) => (
            format!("was given at {}, before `{current}`, which runs here", approval.approved_at),
            format!("`{approve}` approves it anew; going back to an older lock needs a new approval too"),
        ),
        Ended::NotYetGiven => (
            format!("was given at {}, which lies ahead of this machine's clock", approval.approved_at),
            format!("set the clock that is wrong; `{approve}` approves it anew"),
        ),
    };
    Failure::new(Exit::NotApproved, format!("the approval of `{connection}` (`{id}`) {what}")).with_help(help)
}

/// `data/current/CONNECTION`: the approval that a connection was approved with or ran under last, and when that was given.
pub mod current {
    use super::*;

    fn file(data: &Path, connection: &str) -> PathBuf {
        data.join("current").join(connection)
    }

    /// An approval that runs.
    #[derive(Debug, PartialEq, Eq)]
    pub struct Current {
        /// Its id.
        pub approval_id: String,
        /// When it was given; none where nobody wrote it down.
        pub approved_at: Option<String>,
    }

    /// The one that this `data` knows of.
    pub fn of(data: &Path, connection: &str) -> Result<Option<Current>> {
        let file = file(data, connection);
        if !file.try_exists().map_err(at_file("read", &file))? {
            return Ok(None);
        }
        let text = String::from_utf8(files::read_regular(&file, FILE_BYTES_MAX)?).unwrap_or_default();
        let mut words = text.trim_end_matches('\n').split(' ');
        let (id, approved_at) = (words.next().unwrap_or_default(), words.next());
        if !is_approval_id(id) || !approved_at.is_none_or(is_moment) || words.next().is_some() {
            return Err(Failure::fault(format!("`{}` holds no approval", file.display())).with_help(
                "it says which approval this connection ran under last: bring it back from a backup",
            ));
        }
        Ok(Some(Current { approval_id: id.to_owned(), approved_at: approved_at.map(str::to_owned) }))
    }

    /// The moment of a new approval: now, and not before the one that runs or the one that it replaces in the lock, which may come
    /// from a machine whose clock is a little ahead.
    pub fn moment(data: &Path, connection: &str, replaced: Option<&Approval>) -> Result<String> {
        let runs = of(data, connection)?.and_then(|current| current.approved_at);
        let known = runs.into_iter().chain(replaced.map(|approval| approval.approved_at.clone()));
        let counts = |known: &String| is_moment(known) && !is_ahead(known);
        Ok(known.filter(counts).chain([RealClock.now().to_string()]).max().unwrap_or_default())
    }

    /// Makes this approval the one that runs. The one before has ended, durably, before this one sends anything. One that has
    /// ended itself, or was given before the one that runs, ends no other: whoever approves ends the former before the next is
    /// written here.
    pub fn enter(data: &Path, connection: &str, approval: &Approval) -> Result<()> {
        let (id, given) = (&approval.approval_id, &approval.approved_at);
        let refuse = |ended| Err(refusal(connection, approval, ended));
        if is_moment(given) && is_ahead(given) {
            return refuse(Ended::NotYetGiven);
        }
        let former = of(data, connection)?;
        if former.as_ref().is_some_and(|former| former.approval_id == *id) {
            return Ok(());
        }
        if let Some(ended) = Standing::new(data, connection, approval).ended() {
            return refuse(ended);
        }
        if let Some(Current { approval_id: former, approved_at }) = former {
            // What has no time of its own can't be shown to be later.
            if approved_at.is_some_and(|before| !is_moment(given) || *given < before) {
                return refuse(Ended::Older(former));
            }
            follow(data, &former, id)?;
        }
        let file = file(data, connection);
        files::private_folder(crate::config::folder_of(&file))?;
        let at = if is_moment(given) { format!(" {given}") } else { String::new() };
        files::write_whole(&file, format!("{id}{at}\n").as_bytes(), 0o600)?;
        files::sync_folder(data)
    }
}

#[cfg(test)]
mod tests;
