//! `config check`, `config show`, `schema`: the config file by itself, and nothing secret of it.

use crate::snapshot;
use portcullis_tests::{Project, case::Case};

const CANARY: &str = "sk_live_canary_0123456789";

/// Every kind of value, with a canary wherever somebody might keep a secret.
fn project() -> Project {
    let project = Project::new();
    project.secret("stripe.key", CANARY).config(&format!(
        r#"[secrets.vault-like]
type = "directory"
path = "mounted"

[credentials.stripe-live]
scheme = "basic"
username = "{CANARY}"
password = "file:stripe.key"
requests-per-second = 12.5

[credentials.crm]
scheme = "api-key"
header = "X-Api-Key"
secret = "vault-like:.#crm"

[boundary]
deny = ["DELETE https://*/**"]

[connections.billing]
connector = "acme/stripe@^1"
credentials = {{ secret-key = "stripe-live" }}
origins = {{ api = "https://api.stripe.com" }}
allow = [
  "GET https://api.stripe.com/v1/**",
  "POST https://api.stripe.com/v1/customers",
]
config = {{ region = "eu", token = "{CANARY}", nested = {{ list = [1, "{CANARY}"] }} }}
sensitive = []

[connections.billing.limits]
timeout = "10s"

[connections."7"]
connector = "acme/crm"
credentials = {{ key = "crm" }}
allow = "requested"

[connections."7".network]
ca-file = "ca.pem"
"#
    ));
    project
}

#[test]
fn what_is_written_and_what_holds() {
    let project = project();
    snapshot!("config-show", project, project.run(&["config", "show"]));
    snapshot!("config-show-resolved", project, project.run(&["config", "show", "--resolved"]));
    let lines = project.run(&["--json", "config", "show", "--resolved"]).exits(0).lines();
    let of = |key: &str| lines.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("no `{key}`"));
    assert_eq!(of("connections.billing.limits.timeout")["from"]["line"], 34);
    assert_eq!(of("connections.billing.allow[1]")["from"]["line"], 28);
    assert_eq!(
        (&of("connections.7.limits.requests")["value"], &of("connections.7.limits.requests")["from"]),
        (&100_000.into(), &"default".into())
    );
    assert_eq!(of("credentials.stripe-live.password")["value"], "file:stripe.key");
    assert_eq!(of("connections.billing.config.token")["withheld"], "a string");
    assert_eq!(of("connections.7.network.ca-file")["value"], project.path("ca.pem").display().to_string());
}

#[test]
fn no_secret_is_in_any_output() {
    let project = project();
    for args in [
        &["config", "check"][..],
        &["config", "show"],
        &["config", "show", "--resolved"],
        &["--json", "config", "check"],
        &["--json", "config", "show"],
        &["--json", "config", "show", "--resolved"],
    ] {
        let ran = project.run(&[&["--log-level", "trace"], args].concat());
        ran.exits(0);
        assert!(
            !format!("{}{}", ran.stdout, ran.stderr).contains("canary"),
            "{args:?}\n{}{}",
            ran.stdout,
            ran.stderr
        );
    }
    // A secret that can't be read changes nothing: none is asked for.
    std::fs::remove_file(project.path("stripe.key")).unwrap();
    project.run(&["config", "show", "--resolved"]).exits(0);
}

#[test]
fn what_was_pasted_where_it_does_not_belong_is_shown_by_no_command() {
    const PASTED: [&str; 4] = ["ghp_0canary1", "canary-password", "canary-in-folder", "canary-of-a-header"];
    let rule = "GET https://api.vendor.test/ghp_0canary1/x".to_owned();
    let case = Case { allow: Some(vec![rule]), ..Case::default() };
    let project = case.project();
    let more = "\nowner = \"Server=db; Password = canary-password\"\nrunbook = \"X-Api-Key:canary-of-a-header\"\n\
        folders = { out = \"https://bob:canary-in-folder@a.test/x\" }\n";
    project.config(&case.config().replacen("[connections.probe]", &format!("[connections.probe]{more}"), 1));
    for args in [
        &["config", "show"][..],
        &["config", "show", "--resolved"],
        &["connectors"],
        &["review", "probe"],
        &["update"],
        &["update", "probe"],
        &["doctor"],
        &["status"],
        &["call", "probe", "echo", "{}"],
    ] {
        for args in [args.to_vec(), [&["--json"], args].concat()] {
            let ran = project.run(&args);
            let shown = format!("{}{}", ran.stdout, ran.stderr);
            assert!(!PASTED.iter().any(|pasted| shown.contains(pasted)), "{args:?}\n{shown}");
        }
    }
}

#[test]
fn every_fault_has_its_line_and_remedy() {
    let project = Project::new();
    project.config("[credentials.a]\nscheme = \"bearer\"\nsecret = \"file:a.key\"\n");
    snapshot!("config-check-ok", project, project.run(&["config", "check"]));
    project.config(&format!(
        "[credentials.a]\nscheme = \"baerer\"\nsecret = \"{CANARY}\"\n\n[credentials.b]\nscheme = \"bearer\"\nsecret = \"{CANARY}\"\n\n\
         [connections.One]\nconnector = \"acme\"\nalow = \"requested\"\n"
    ));
    let ran = project.run(&["config", "check"]);
    ran.exits(3);
    snapshot!("config-check-faults", project, ran);
    // What the parser leaves to the first use.
    project.config(&format!(
        "[credentials.a]\nscheme = \"basic\"\nusername = \"me:{CANARY}\"\n\n[credentials.b]\nscheme = \"api-key\"\nheader = \"User-Agent\"\n\
         secret = \"file:b.key\"\n"
    ));
    let ran = project.run(&["config", "check"]);
    ran.exits(3);
    snapshot!("config-check-credentials", project, ran);
}

#[test]
fn the_schema_is_printed() {
    let project = Project::new();
    let ran = project.run(&["schema"]);
    ran.exits(0);
    let schema = ran.json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["registry"]["default"], "registry");
    assert_eq!(schema, project.run(&["--json", "schema"]).exits(0).json());
    let manifest = project.run(&["schema", "manifest"]).exits(0).json();
    assert_eq!(manifest["properties"]["connector"]["required"][0], "name");
    assert_eq!(manifest["properties"]["http"]["items"]["oneOf"][1]["required"][0], "from-response");
}
