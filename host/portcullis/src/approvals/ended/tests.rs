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
    assert_eq!((current::of(data, "a").unwrap().as_deref(), ended(&second)), (Some("apr_2"), None));
    // Each connection has its own.
    assert_eq!(current::of(data, "b").unwrap(), None);
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
    const AHEAD: &str = "8999-12-31T23:59:59.999Z";
    for all in [All::Digest(&approval("apr_1", PAST).digest), All::Connection("a")] {
        let data = tempfile::tempdir().unwrap();
        revoke_all(data.path(), all, Some(AHEAD)).unwrap();
        let ended = |at: &str| Standing::new(data.path(), "a", &approval("apr_1", at)).ended().is_some();
        assert!(ended("8000-01-01T00:00:00.000Z") && ended(AHEAD) && !ended(FUTURE));
        // What is no moment, or lies behind, changes nothing.
        for known in ["soon", PAST] {
            let data = tempfile::tempdir().unwrap();
            revoke_all(data.path(), all, Some(known)).unwrap();
            let text = fs::read_to_string(all.file(data.path())).unwrap();
            assert!(is_moment(text.trim_end()) && *text > *PAST && *text < *AHEAD, "{text}");
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
