//! What ends an approval, what does not, and what a damaged `data` does.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;

fn approval(id: &str, approved_at: &str) -> Approval {
    let text = format!(
        "format = 1\n[approvals.a]\napproval-id = \"{id}\"\napproved-at = \"{approved_at}\"\nconnector = \"acme/x\"\n\
         version = \"1.0.0\"\ndigest = \"sha256:{}\"\nimports = []\nroles = [\"actions\"]\n\
         [approvals.a.network]\nroots = \"bundled\"\n",
        "a".repeat(64)
    );
    Lock::parse(Path::new("portcullis.lock"), &text).unwrap().approvals.remove("a").unwrap()
}

const PAST: &str = "2020-01-01T00:00:00.000Z";
const FUTURE: &str = "9000-01-01T00:00:00.000Z";

#[test]
fn who_follows_ends_the_one_before_for_ever() {
    let data = tempfile::tempdir().unwrap();
    let data = &data.path().join("data");
    let (first, second) = (approval("apr_1", PAST), approval("apr_2", PAST));
    let ended = |approval: &Approval| Standing::new(data, "a", approval).ended();
    current::enter(data, "a", &first).unwrap();
    let written = fs::metadata(data.join("current/a")).unwrap().modified().unwrap();
    current::enter(data, "a", &first).unwrap();
    assert_eq!(fs::metadata(data.join("current/a")).unwrap().modified().unwrap(), written);
    assert_eq!((ended(&first), ended(&second)), (None, None));
    current::enter(data, "a", &second).unwrap();
    assert_eq!((ended(&first), ended(&second)), (Some(Ended::Followed("apr_2".to_owned())), None));
    // What has ended ends nobody.
    let refused = current::enter(data, "a", &first).unwrap_err();
    assert!(refused.help.unwrap().contains("older lock needs a new approval"));
    let runs = current::of(data, "a").unwrap().unwrap();
    assert_eq!(
        (runs.approval_id.as_str(), runs.approved_at.as_deref(), ended(&second)),
        ("apr_2", Some(PAST), None)
    );
    // Each connection has its own.
    assert_eq!(current::of(data, "b").unwrap(), None);
}

#[test]
fn what_was_given_before_the_one_that_runs_ends_nobody() {
    let data = tempfile::tempdir().unwrap();
    let data = &data.path().join("data");
    current::enter(data, "a", &approval("apr_2", "2020-01-02T00:00:00.000Z")).unwrap();
    let older = [approval("apr_1", PAST), approval("apr_1", "2020-01-03T00:00:00Z")];
    for older in &older {
        let refused = current::enter(data, "a", older).unwrap_err();
        assert!(refused.message.contains("before `apr_2`, which runs here"), "{}", refused.message);
        assert_eq!(refused.exit, Exit::NotApproved);
    }
    assert_eq!(current::of(data, "a").unwrap().unwrap().approval_id, "apr_2");
    // One given in the same moment, or later, follows.
    current::enter(data, "a", &approval("apr_3", "2020-01-02T00:00:00.000Z")).unwrap();
    // A note without a time compares with nothing.
    fs::write(data.join("current/a"), "apr_3\n").unwrap();
    current::enter(data, "a", &approval("apr_4", PAST)).unwrap();
}

#[test]
fn what_this_machine_s_clock_has_not_reached_does_not_run() {
    let data = tempfile::tempdir().unwrap();
    let refused = current::enter(data.path(), "a", &approval("apr_1", FUTURE)).unwrap_err();
    assert!(refused.message.contains("ahead of this machine's clock"), "{}", refused.message);
    let soon = RealClock.now().plus(AHEAD_MAX / 2).to_string();
    current::enter(data.path(), "a", &approval("apr_2", &soon)).unwrap();
    // The next approval is not given before it, and one of the far future moves nothing.
    let moment = |replaced| current::moment(data.path(), "a", replaced).unwrap();
    assert_eq!(moment(None), soon);
    assert_eq!(moment(Some(&approval("apr_1", FUTURE))), soon);
    assert!(current::moment(data.path(), "b", None).unwrap() < soon);
    assert_eq!(current::moment(data.path(), "b", Some(&approval("apr_2", &soon))).unwrap(), soon);
    // Nor does it move a revocation to where no approval can follow.
    revoke_all(data.path(), All::Connection("a"), Some(FUTURE)).unwrap();
    let until = fs::read_to_string(All::Connection("a").file(data.path())).unwrap();
    assert!(*until.trim_end() < *soon, "{until}");
}

#[test]
fn a_moment_ends_what_was_given_until_then() {
    for all in [All::Digest(&approval("apr_1", PAST).digest), All::Connection("a")] {
        let data = tempfile::tempdir().unwrap();
        revoke_all(data.path(), all, None).unwrap();
        let ended = |at: &str| Standing::new(data.path(), "a", &approval("apr_1", at)).ended();
        assert_eq!(ended(FUTURE), None);
        // A time that no `approve` wrote can't be shown to be later.
        for at in [PAST, "9000-01-01T00:00:00Z", "9000-01-01T00:00:00+00:00"] {
            assert!(matches!(ended(at), Some(Ended::GivenBefore(_))), "{at}");
        }
        // A later moment stays; a damaged one ends all.
        fs::write(all.file(data.path()), FUTURE).unwrap();
        revoke_all(data.path(), all, None).unwrap();
        assert_eq!(fs::read_to_string(all.file(data.path())).unwrap(), FUTURE);
        fs::write(all.file(data.path()), "").unwrap();
        assert!(ended("9999-01-01T00:00:00.000Z").is_some());
    }
}

/// The machine that approved is ahead of this one: what it gave before the last known approval ends as well.
#[test]
fn a_clock_that_lies_behind_ends_no_less() {
    let ahead = RealClock.now().plus(AHEAD_MAX / 2).to_string();
    let before = RealClock.now().plus(AHEAD_MAX / 4).to_string();
    for all in [All::Digest(&approval("apr_1", PAST).digest), All::Connection("a")] {
        let data = tempfile::tempdir().unwrap();
        revoke_all(data.path(), all, Some(&ahead)).unwrap();
        let ended = |at: &str| Standing::new(data.path(), "a", &approval("apr_1", at)).ended().is_some();
        assert!(ended(&before) && ended(&ahead) && !ended(FUTURE));
        // What is no moment, or lies behind, changes nothing.
        for known in ["soon", PAST] {
            let data = tempfile::tempdir().unwrap();
            revoke_all(data.path(), all, Some(known)).unwrap();
            let text = fs::read_to_string(all.file(data.path())).unwrap();
            assert!(is_moment(text.trim_end()) && *text > *PAST && *text < *ahead, "{text}");
        }
    }
}

#[test]
fn a_mark_that_was_seen_stays() {
    let data = tempfile::tempdir().unwrap();
    let unmarked = approval("apr_1", PAST);
    let marked = Approval { revoked: true, ..unmarked.clone() };
    heed(data.path(), &Lock { approvals: [("a".to_owned(), unmarked)].into() }).unwrap();
    assert!(!was_revoked(data.path(), "apr_1"));
    heed(data.path(), &Lock { approvals: [("a".to_owned(), marked)].into() }).unwrap();
    assert!(was_revoked(data.path(), "apr_1"));
}

#[test]
fn a_damaged_memory_lets_nothing_through() {
    let data = tempfile::tempdir().unwrap();
    current::enter(data.path(), "a", &approval("apr_1", PAST)).unwrap();
    for damage in ["", "apr_../x\n", "\n"] {
        fs::write(data.path().join("current/a"), damage).unwrap();
        assert_eq!(current::enter(data.path(), "a", &approval("apr_1", PAST)).unwrap_err().exit, Exit::Fault);
    }
}
