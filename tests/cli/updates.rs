//! What a new version asks for: shown by `review` and `approve`, taken by `update` where it is nothing more and the connection
//! says so, and waiting in every other case while the approved version runs on.

use crate::snapshot;
use portcullis_tests::{
    Project,
    case::{Case, SLOT, http},
    guests::{Installed, as_version, probe_as},
    wait_for,
};
use std::fs;

const READ: &str = "GET https://api.vendor.test/v1/things/*";

/// One slot, one rule.
fn manifest(rule: &str) -> String {
    format!("{SLOT}{}", http(&[rule], "credential = \"key\""))
}

fn version(version: &str, rule: &str) -> Installed {
    probe_as("test/probe", version, &manifest(rule))
}

/// 1.0.0 is approved.
fn project(more: &str) -> Project {
    let case = Case { manifest: manifest(READ), more: more.to_owned(), ..Case::default().bearer() };
    case.approved_with("sk_live_0123456789abcdef")
}

const TAKES: &str = "updates = \"same-grants\"";

/// The version that the lock pins.
fn pinned(project: &Project) -> String {
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    lock.lines().find_map(|line| line.strip_prefix("version = \"")).unwrap().trim_end_matches('"').to_owned()
}

#[track_caller]
fn runs(project: &Project) {
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
}

#[test]
fn what_asks_for_more_is_shown_and_waits() {
    let project = project(TAKES);
    let lock = fs::read(project.path("portcullis.lock")).unwrap();
    snapshot!("review-current", project, project.run(&["review", "probe"]));
    project.run(&["review", "probe"]).exits(0);
    project.install(&version("1.1.0", "GET,POST https://*.vendor.test/v1/things/*"));
    let review = project.run(&["review", "probe"]);
    review.exits(4);
    snapshot!("review-asks-for-more", project, review);
    snapshot!("approve-asks-for-more", project, project.run(&["approve", "probe"]));
    let (ran, value) = project.run_json(&["review", "probe"]);
    ran.exits(4);
    assert_eq!((&value["verdict"], &value["approved"]["runs"]), (&"asks-for-more".into(), &true.into()));
    assert_eq!(value["difference"]["changes"][0]["what"], "secret", "{value:#}");
    assert_eq!(
        value["difference"]["changes"][1]["fields"],
        serde_json::json!(["method", "host"]),
        "{value:#}"
    );

    let update = project.run(&["update"]);
    update.exits(4);
    snapshot!("update-waits", project, update);
    let (ran, value) = project.run_json(&["update", "probe"]);
    ran.exits(4);
    assert_eq!(value["result"], "waits");
    assert_eq!(fs::read(project.path("portcullis.lock")).unwrap(), lock, "nothing is pinned");
    runs(&project);
}

#[test]
fn what_asks_for_nothing_more_is_taken_where_the_connection_says_so() {
    let asks = project("");
    asks.install(&version("1.1.0", "GET https://api.vendor.test/v1/things/a"));
    let review = asks.run(&["review", "probe"]);
    review.exits(4);
    snapshot!("review-covered", asks, review);
    asks.run(&["update"]).exits(4);
    assert_eq!(pinned(&asks), "1.0.0");
    runs(&asks);

    let takes = project(TAKES);
    takes.install(&version("1.1.0", "GET https://api.vendor.test/v1/things/a"));
    takes.run(&["review", "probe"]).exits(0);
    let update = takes.run(&["update", "probe"]);
    update.exits(0);
    snapshot!("update-taken", takes, update);
    assert_eq!(pinned(&takes), "1.1.0");
    runs(&takes);
    takes.run(&["update"]).exits(0);
    assert!(takes.run(&["update"]).stdout.starts_with("current"));
    // The former approval has ended, as after an `approve`.
    assert_eq!(fs::read_dir(takes.path("data/revoked")).unwrap().count(), 1);
    // Back to what was: the wider rules ask for more again.
    takes.install(&version("1.2.0", READ));
    takes.run(&["update"]).exits(4);
    assert_eq!(pinned(&takes), "1.1.0");
}

#[test]
fn what_was_revoked_or_never_approved_is_no_update() {
    let revoked = project(TAKES);
    revoked.run(&["revoke", "probe"]).exits(0);
    revoked.install(&version("1.1.0", READ));
    let update = revoked.run(&["update", "probe"]);
    update.exits(4);
    snapshot!("update-revoked", revoked, update);
    assert_eq!(pinned(&revoked), "1.0.0");
    revoked.run(&["call", "probe", "echo", "{}"]).exits(4);

    let case = Case { manifest: manifest(READ), more: TAKES.to_owned(), ..Case::default().bearer() };
    let fresh = case.project();
    fresh.run(&["update"]).exits(4);
    fresh.run(&["review", "probe"]).exits(4);
    assert!(!fresh.path("portcullis.lock").exists() && !fresh.path("data").exists());
}

/// Runs `update` while another process holds the lock file, and `meanwhile` once it waits for that.
fn overtaken(meanwhile: impl FnOnce(&Project)) -> (Project, portcullis_tests::Ran) {
    let project = project(TAKES);
    let newer = version("1.1.0", READ);
    project.install(&newer);
    let held = fs::File::open(project.path("")).unwrap();
    held.lock().unwrap();
    let running = project.spawn(&["update", "probe", "--wait", "60"]);
    // The bytes are kept last before that.
    let kept = project.path("data/components").join(newer.digest.replace(':', "-"));
    wait_for("the newer bytes", || kept.exists().then_some(()));
    meanwhile(&project);
    held.unlock().unwrap();
    (project, running.finish())
}

#[test]
fn what_it_was_compared_with_has_to_hold_still() {
    let (project, update) = overtaken(|project| {
        project.run(&["revoke", "probe", "--wait", "0"]).exits(6);
    });
    update.exits(4);
    assert!(
        update.stderr.contains("was revoked") || update.stderr.contains("is revoked"),
        "{}",
        update.stderr
    );
    project.run(&["call", "probe", "echo", "{}"]).exits(4);
    assert_eq!(pinned(&project), "1.0.0");

    let (project, update) = overtaken(|project| {
        let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
        project.file("portcullis.lock", lock.replace("\"apr_", "\"apr_2").as_bytes());
    });
    update.exits(4);
    assert!(update.stderr.contains("was approved anew meanwhile"), "{}", update.stderr);
    assert_eq!(pinned(&project), "1.0.0");

    let (project, update) = overtaken(|_| {});
    update.exits(0);
    assert_eq!(pinned(&project), "1.1.0");
}

/// Five pairs: none is taken, and the approved one reads on with the positions that it knows.
#[test]
fn other_numbers_wait() {
    for (position, config) in [(2, 1), (1, 2), (2, 2), (7, 1), (1, 9)] {
        let project = project(TAKES);
        let read = || project.run(&["read", "probe", "rows", "--resume", "x", "--output", "rows.ndjson"]);
        let before = read().status;
        let newer = as_version(&version("1.1.0", READ), "1.1.0", position);
        let newer = with_config_version(&newer, config);
        project.install(&newer);
        let update = project.run(&["update"]);
        update.exits(4);
        for (name, number) in [("position-version", position), ("config-version", config)] {
            let says = format!("{name} 1 → {number}: ");
            assert_eq!(update.stdout.contains(&says), number != 1, "{says}\n{}", update.stdout);
        }
        assert!(project.plain(&update.stdout).contains("portcullis approve probe"), "{}", update.stdout);
        assert_eq!((pinned(&project), read().status), ("1.0.0".to_owned(), before));
    }
    // The twin: the same numbers.
    let project = project(TAKES);
    project.install(&version("1.1.0", READ)).run(&["update"]).exits(0);
    assert_eq!(pinned(&project), "1.1.0");
}

fn with_config_version(component: &Installed, number: u32) -> Installed {
    let read = portcullis_manifest::Component::read(&component.bytes).unwrap();
    let manifest = portcullis_manifest::Connector { config_version: number, ..read.manifest };
    let code = portcullis_manifest::Component::code(&component.bytes).unwrap();
    Installed::of(portcullis_manifest::embed::embed(&code, &manifest, &read.assets).unwrap())
}

#[test]
fn one_that_can_not_be_looked_at_hides_no_other() {
    let case = Case { manifest: manifest(READ), more: TAKES.to_owned(), ..Case::default().bearer() };
    let other = "[connections.other]\nconnector = \"test/other@^1\"\nallow = \"requested\"\n";
    let project = Project::new();
    let boundary = "[boundary]\ndeny = [\"DELETE https://*/**\"]\n";
    project.config(&format!("{boundary}{}{other}", case.config())).install(&case.component());
    let third = probe_as("test/other", "1.0.0", &http(&[READ], ""));
    project.secret("vendor.key", "sk_live_0123456789abcdef").install(&third);
    project.approve("probe", &case.component()).approve("other", &third);
    // A rule that no approval may give, and beside it what is taken.
    project.install(&probe_as(
        "test/other",
        "1.1.0",
        &http(&["DELETE https://api.vendor.test/v1/things"], ""),
    ));
    project.install(&version("1.1.0", READ));
    let update = project.run(&["update"]);
    update.exits(3);
    snapshot!("update-outside-boundary", project, update);
    project.run(&["call", "other", "echo", "{}"]).exits(0);
    let (_, review) = project.run_json(&["review", "probe"]);
    assert_eq!((&review["verdict"], &review["newest"]["version"]), (&"current".into(), &"1.1.0".into()));
    // A component that is none.
    project.file("registry/test/probe/1.2.0.wasm", b"no component");
    project.run(&["update"]).exits(3);
    runs(&project);
    let listed = project.run(&["connectors"]);
    listed.exits(0);
    for shown in ["1.2.0, not usable", "not usable: `", "is not a connector"] {
        assert!(listed.stdout.contains(shown), "{shown}: {}", listed.stdout);
    }
    let faults: Vec<_> = project.run(&["--json", "connectors"]).lines();
    let faults: Vec<_> = faults.iter().filter(|line| line["fault"].is_string()).collect();
    assert!(faults.len() == 1 && faults[0]["version"] == "1.2.0", "{faults:?}");
}

/// A newer version needs what the config does not bind: what it would change is shown, and what is approved runs. With a config of
/// the newer version it does not, and says which version that is.
#[test]
fn what_the_config_does_not_fit_yet_is_shown() {
    let project = project(TAKES);
    let admin = "[credentials.admin]\nschemes = [\"bearer\"]\nwhy = \"to write\"\n\n";
    let writes = http(&["POST {origin.eu}/v1/things"], "credential = \"admin\"");
    let newer = probe_as(
        "test/probe",
        "1.1.0",
        &format!("{SLOT}{admin}{}{writes}", http(&[READ], "credential = \"key\"")),
    );
    project.install(&newer);
    let review = project.run(&["review", "probe"]);
    review.exits(3);
    snapshot!("review-unfit", project, review);
    let approve = project.run(&["approve", "probe"]);
    approve.exits(3);
    for shown in ["1.1.0 is newer than 1.0.0", "POST {origin.eu}/v1/things"] {
        assert!(approve.stdout.contains(shown), "{shown}: {}", approve.stdout);
    }
    let json: Vec<_> = project.run(&["--json", "review", "probe"]).lines();
    assert_eq!(json[0]["verdict"], "unfit", "{json:?}");
    assert!(json[0]["difference"]["changes"].to_string().contains("{origin.eu}"), "{json:?}");
    runs(&project);

    let config = fs::read_to_string(project.path("portcullis.toml")).unwrap();
    let bound = config.replace(
        "credentials = { key = \"live\" }",
        "credentials = { key = \"live\", admin = \"live\" }\norigins = { eu = \"https://eu.vendor.test\" }",
    );
    assert_ne!(config, bound);
    project.file("portcullis.toml", bound.as_bytes());
    for command in [&["call", "probe", "echo", "{}"][..], &["doctor"]] {
        let ran = project.run(command);
        ran.exits(3);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("1.0.0 is approved, and the config is one of 1.1.0"), "{said}");
        assert!(!said.contains("remove it"), "{said}");
    }
    project.run(&["review", "probe"]).exits(4);
    project.approve("probe", &newer);
    runs(&project);
}

#[test]
fn a_lock_that_says_more_than_its_component_covers_nothing() {
    let project = project(TAKES);
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    let wider = lock.replace(READ, "GET,POST,DELETE https://*.vendor.test/**");
    assert_ne!(wider, lock);
    project.file("portcullis.lock", wider.as_bytes());
    project.install(&version("1.1.0", "DELETE https://x.vendor.test/**"));
    let review = project.run(&["review", "probe"]);
    review.exits(4);
    assert!(review.stdout.contains("`portcullis.lock` is not what was approved"), "{}", review.stdout);
    for args in [&["update"][..], &["update", "probe"]] {
        let ran = project.run(args);
        ran.exits(4);
        assert!(ran.stdout.starts_with("waits"), "{}", ran.stdout);
    }
    let (ran, value) = project.run_json(&["review", "probe"]);
    ran.exits(4);
    assert_eq!(
        (&value["verdict"], &value["difference"]),
        (&"asks-for-more".into(), &serde_json::Value::Null)
    );
    assert!(!value["lock_differs"].as_array().unwrap().is_empty(), "{value:#}");
    assert_eq!(fs::read_to_string(project.path("portcullis.lock")).unwrap(), wider, "nothing was taken");
    // Numbers of the component that it does not have.
    for (of_component, altered) in [
        ("position-version = 1", "position-version = 2"),
        ("config-version = 1", "config-version = 2"),
        ("version = \"1.0.0\"", "version = \"0.9.0\""),
    ] {
        let other = lock.replacen(of_component, altered, 1);
        assert_ne!(other, lock);
        project.file("portcullis.lock", other.as_bytes());
        let (ran, value) = project.run_json(&["review", "probe"]);
        ran.exits(4);
        assert_eq!(
            (&value["verdict"], &value["approved"]["runs"]),
            (&"asks-for-more".into(), &false.into()),
            "{altered}"
        );
        project.run(&["update"]).exits(4);
        assert_eq!(fs::read_to_string(project.path("portcullis.lock")).unwrap(), other, "nothing was taken");
    }
    // The lock that was committed, and all is as it was.
    project.file("portcullis.lock", lock.as_bytes());
    runs(&project);
}
