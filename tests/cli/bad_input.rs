//! A fault in config, manifest, lock or registry names file, line, value and what to do; exit codes are as documented.

use crate::snapshot;
use portcullis_tests::{
    Project, Vendor,
    case::{BEARER, Case, SLOT, http},
    guests,
    vendor::reply,
};

/// A whole config with one fault.
#[track_caller]
fn fault(name: &str, config: &str) {
    let project = Project::new();
    project.config(config);
    let ran = project.run(&["connectors"]);
    ran.exits(3);
    assert!(ran.stderr.contains("portcullis.toml"), "{}", ran.stderr);
    snapshot!(name, project, ran);
}

const CONNECTION: &str = "[connections.probe]\nconnector = \"test/probe@^1\"\nallow = \"requested\"\n";

#[test]
fn faults_of_the_config() {
    fault("config-unknown-key", &format!("{CONNECTION}capure = \"all\"\n"));
    fault("config-unknown-table", "[connection.probe]\n");
    fault("config-wrong-type", &format!("{CONNECTION}capture = 3\n"));
    fault("config-duplicate", &format!("{CONNECTION}{CONNECTION}"));
    fault("config-syntax", "[connections.probe\n");
    fault(
        "config-bad-rule",
        "[connections.probe]\nconnector = \"test/probe@^1\"\nallow = [\"GET https://api.vendor.test/a/../b\"]\n",
    );
    fault(
        "config-public-suffix",
        "[connections.probe]\nconnector = \"test/probe@^1\"\nallow = [\"GET https://*.co.uk/**\"]\n",
    );
    fault("config-no-such-credential", &format!("{CONNECTION}credentials = {{ key = \"lvie\" }}\n{BEARER}"));
    fault(
        "config-metadata-range",
        &format!("{CONNECTION}[connections.probe.network]\naddresses = [\"169.254.0.0/16\"]\n"),
    );
    fault("config-later-table", "[keys]\n");
    fault("config-empty-boundary", "[boundary]\ndeny = []\n");
    fault("config-boundary-rule", "[boundary]\ndeny = [\"DELETE https://**/x\"]\n");
    fault("config-later-key", &format!("{CONNECTION}proxy = {{ url = \"http://proxy:3128\" }}\n"));
    fault("config-later-scheme", "[credentials.x]\nscheme = \"oauth2\"\n");
    fault("config-later-provider", "[secrets.vault]\ntype = \"vault\"\naddress = \"https://vault\"\n");
    fault("config-bad-limit", &format!("{CONNECTION}[connections.probe.limits]\nmemory = \"a lot\"\n"));
    fault(
        "config-slow-credential",
        "[credentials.x]\nscheme = \"bearer\"\nsecret = \"file:x.key\"\nrequests-per-second = 1e-300\n",
    );
    fault("config-unknown-provider", "[credentials.x]\nscheme = \"bearer\"\nsecret = \"fil:x.key\"\n");
}

#[test]
fn no_config_at_all() {
    let project = Project::new();
    let ran = project.run(&["connectors"]);
    ran.exits(3);
    snapshot!("config-missing", project, ran);
}

#[test]
fn not_approved_and_changed_since() {
    let case = Case { manifest: http(&["GET https://api.vendor.test/**"], ""), ..Case::default() };
    let project = case.project();
    let ran = project.run(&["call", "probe", "echo", "{}"]);
    ran.exits(4);
    snapshot!("not-approved", project, ran);
    project.approve("probe", &case.component());
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    let changed = Case { addresses: vec!["10.0.0.0/8".to_owned()], ..case.clone() };
    project.config(&changed.config());
    let ran = project.run(&["call", "probe", "echo", "{}"]);
    ran.exits(4);
    snapshot!("changed-since-approved", project, ran);
    // What is not pinned may change.
    project.config(
        &Case { more: "owner = \"payments\"".to_owned(), limits: "timeout = \"7s\"".to_owned(), ..case }
            .config(),
    );
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    project.run(&["revoke", "probe"]).exits(0);
    let ran = project.run(&["call", "probe", "echo", "{}"]);
    ran.exits(4);
    snapshot!("revoked", project, ran);
}

#[test]
fn no_approval_exceeds_the_boundary() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b"reached"));
    let manifest = http(&["GET,DELETE https://api.vendor.test/**"], "");
    let case = Case { manifest, ..Case::default() }.to(&vendor, &["api.vendor.test"]);
    let ask = ["call", "probe", "send", r#"{"url":"https://api.vendor.test/"}"#];
    let within =
        "[boundary]\nallow = [\"GET,DELETE,POST https://*/**\"]\ndeny = [\"DELETE https://10.0.0.1/**\"]\n";
    let project = case.approved();
    project.config(&format!("{}{within}", case.config())).run(&ask).exits(0);
    let shown = project.run(&["approve", "probe", "--yes", "--digest", &case.component().digest]);
    shown.exits(0);
    for line in
        ["within your boundary", "allow  DELETE,GET,POST https://*/**", "deny   DELETE https://10.0.0.1/**"]
    {
        assert!(shown.stdout.contains(line), "{line}: {}", shown.stdout);
    }
    assert_eq!(vendor.count(), 1);
    // Tightened afterwards, whoever approved it: nothing runs, and nobody can approve it anew.
    for tighter in ["deny = [\"DELETE https://*/**\"]\n", "allow = [\"GET https://*/**\"]\n"] {
        project.config(&format!("{}[boundary]\n{tighter}", case.config()));
        let ran = project.run(&ask);
        ran.exits(3);
        assert!(ran.stderr.contains("is outside the"), "{}", ran.stderr);
        project.run(&["approve", "probe", "--yes", "--digest", &case.component().digest]).exits(3);
    }
    let ran = project.run(&["approve", "probe"]);
    snapshot!("approve-outside-boundary", project, ran);
    assert_eq!(vendor.count(), 1);
}

#[test]
fn another_digest_than_the_one_that_was_meant() {
    let project = Case::default().project();
    let ran = project.run(&["approve", "probe", "--yes", "--digest", &format!("sha256:{}", "0".repeat(64))]);
    assert_ne!(ran.status, Some(0));
    snapshot!("approve-other-digest", project, ran);
}

#[test]
fn slots_have_to_be_bound_and_secrets_there() {
    let manifest = format!("{SLOT}{}", http(&["GET https://api.vendor.test/**"], "credential = \"key\""));
    let unbound = Case { manifest: manifest.clone(), ..Case::default() };
    let project = unbound.project();
    let ran = project.run(&["approve", "probe", "--yes", "--digest", &unbound.component().digest]);
    ran.exits(3);
    snapshot!("approve-missing-slot", project, ran);

    let project = Case { manifest, ..Case::default() }.bearer().approved_with("sk_live_0123456789");
    std::fs::remove_file(project.path("vendor.key")).unwrap();
    let ran = project.run(&["call", "probe", "send", r#"{"method":"GET","url":"https://api.vendor.test/"}"#]);
    assert_ne!(ran.status, Some(101));
    assert!(!ran.stdout.contains("\"status\":200"));
}

#[test]
fn a_lock_that_is_none() {
    let project = Case::default().approved();
    for (name, text) in [
        ("lock-newer", "format = 99\n"),
        ("lock-broken", "format = \n"),
        ("lock-unknown-key", "format = 1\nsurprise = true\n"),
    ] {
        project.file("portcullis.lock", text.as_bytes());
        let ran = project.run(&["call", "probe", "echo", "{}"]);
        ran.exits(3);
        assert!(ran.stderr.contains("portcullis.lock"), "{}", ran.stderr);
        snapshot!(name, project, ran);
    }
}

#[test]
fn a_newer_database_is_refused() {
    let project = Case::default().approved();
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    for (file, command) in [("state.db", "runs"), ("exchanges.db", "logs")] {
        let path = project.path("data").join(file);
        let kept = std::fs::read(&path).unwrap();
        let database = rusqlite::Connection::open(&path).unwrap();
        database.pragma_update(None, "user_version", 9_999).unwrap();
        drop(database);
        for args in [&["call", "probe", "echo", "{}"][..], &[command]] {
            let ran = project.run(args);
            ran.exits(3);
            snapshot!(format!("database-newer-{}-{file}", args[0]), project, ran);
        }
        std::fs::write(&path, kept).unwrap();
    }
}

#[test]
fn a_file_that_is_no_database_is_named_with_what_is_lost() {
    let project = Case::default().approved();
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    for (file, command) in [("state.db", "runs"), ("exchanges.db", "logs")] {
        let path = project.path("data").join(file);
        // The log would mend it.
        rusqlite::Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "DELETE").unwrap();
        let kept = std::fs::read(&path).unwrap();
        std::fs::write(&path, b"no database ".repeat(1000)).unwrap();
        for args in [&["call", "probe", "echo", "{}"][..], &[command]] {
            let ran = project.run(args);
            ran.exits(3);
            snapshot!(format!("database-none-{}-{file}", args[0]), project, ran);
        }
        std::fs::write(&path, kept).unwrap();
    }
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
}

#[test]
fn a_component_that_is_not_where_it_was() {
    let case = Case::default();
    let project = case.project();
    let wrong = case.config().replace("test/probe", "test/prbe");
    project.config(&wrong);
    // As JSON: no line of it is broken within a path.
    let ran = project.run(&["--json", "approve", "probe"]);
    ran.exits(3);
    snapshot!("registry-near-name", project, ran);
    project.config(&case.config()).approve("probe", &case.component());

    let kept = std::fs::read_dir(project.path("data/components")).unwrap().next().unwrap().unwrap().path();
    let call = ["call", "probe", "echo", "{}"];
    let other = guests::probe_as("test/probe", "1.0.1", "");
    for (name, bytes) in [("kept-no-component", &b"damaged"[..]), ("kept-other-digest", &other.bytes)] {
        std::fs::write(&kept, bytes).unwrap();
        let ran = project.run(&call);
        ran.exits(3);
        snapshot!(name, project, ran);
    }
    // As it says.
    std::fs::remove_file(&kept).unwrap();
    project.run(&call).exits(0);

    std::fs::remove_file(&kept).unwrap();
    std::fs::remove_file(project.path("registry/test/probe/1.0.0.wasm")).unwrap();
    let ran = project.run(&call);
    ran.exits(3);
    snapshot!("registry-file-missing", project, ran);
}

#[test]
fn faults_between_config_and_connector_name_their_own_line() {
    let project = Project::new();
    let connector = guests::connector("stripe");
    let head = "[credentials.live]\nscheme = \"bearer\"\nsecret = \"file:vendor.key\"\n\n[connections.billing]\nconnector = \"portcullis/stripe\"\n";
    project.install(&connector);
    let bound = "credentials = { secret-key = \"live\" }\n";
    let requested = "allow = \"requested\"\n";
    for (name, rest) in [
        (
            "config-rule-matches-nothing",
            format!(
                "{bound}allow = [\n  \"GET https://api.stripe.com/v1/customers\",\n  \"GET https://api.other.test/**\",\n]\n"
            ),
        ),
        (
            "config-unknown-slot",
            format!("{requested}credentials = {{ secret-key = \"live\", secret-ky = \"live\" }}\n"),
        ),
        (
            "config-value",
            format!("{bound}{requested}[connections.billing.config]\npage-size = \"hunter2\"\n"),
        ),
        ("config-near-name", format!("{bound}{requested}config = {{ page-siz = \"hunter2\" }}\n")),
        (
            "config-ca-file",
            format!("{bound}{requested}[connections.billing.network]\nca-file = \"junk.pem\"\n"),
        ),
    ] {
        project.file("junk.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
        project.config(&format!("{head}{rest}"));
        let ran = project.run(&["approve", "billing"]);
        ran.exits(3);
        assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        snapshot!(name, project, ran);
    }
}

#[test]
fn a_long_line_is_cut_around_the_fault() {
    let long = "x".repeat(5_000);
    let config =
        format!("{CONNECTION}owner = \"{long}\"\nrunbook = {{ a = \"{long}\", b = {{ {long} = 1 }} }}\n");
    let project = Project::new();
    project.config(&config);
    let ran = project.run(&["connectors"]);
    ran.exits(3);
    assert!(ran.stderr.len() < 2_000, "{}", ran.stderr);
    let deep = format!("{CONNECTION}sensitive = [{}, {}, 3]\n", "\"ä\", ".repeat(900), "\"b\"");
    project.config(&deep);
    let ran = project.run(&["connectors"]);
    ran.exits(3);
    snapshot!("config-long-line", project, ran);
}

#[test]
fn input_that_the_schema_refuses() {
    let project = Project::new();
    let connector = guests::connector("stripe");
    project.config("[credentials.live]\nscheme = \"bearer\"\nsecret = \"file:vendor.key\"\n[connections.billing]\nconnector = \"portcullis/stripe\"\ncredentials = { secret-key = \"live\" }\nallow = \"requested\"\n");
    project.secret("vendor.key", "sk_live_0123456789").install(&connector).approve("billing", &connector);
    for (name, args) in [
        (
            "input-schema",
            &["call", "billing", "create-payment-intent", r#"{"amount":"ten","curency":"eur"}"#][..],
        ),
        ("input-no-json", &["call", "billing", "create-customer", "{nope"]),
        ("input-no-such-action", &["call", "billing", "create-custmer", "{}"]),
        ("input-no-such-stream", &["read", "billing", "custmers"]),
        ("input-no-such-connection", &["call", "biling", "create-customer", "{}"]),
        ("input-no-such-file", &["call", "billing", "create-customer", "--input", "nowhere.json"]),
    ] {
        let ran = project.run(args);
        assert!(matches!(ran.status, Some(2 | 3)), "{ran:?}");
        snapshot!(name, project, ran);
    }
}
