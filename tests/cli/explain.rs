//! `explain` says before what `call` does after, and touches nothing: no wire, no run, no lock.

use crate::snapshot;
use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http},
    vendor::reply,
};

fn setting() -> (Vendor, Project) {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b"reached"));
    let rules = ["GET https://api.vendor.test/v1/**", "POST https://api.vendor.test/v1/things"];
    let manifest = [
        SLOT.to_owned(),
        http(&rules, "credential = \"key\""),
        http(&["GET https://10.0.0.1/**", "GET https://files.vendor.test/**"], ""),
        "[actions.send]\ninput = \"any.json\"\noutput = \"any.json\"\nhttp = [\"GET https://api.vendor.test/v1/things\"]\n"
            .to_owned(),
    ];
    let allow = [rules[0], "GET https://10.0.0.1/**", "GET https://files.vendor.test/**"];
    let case = Case {
        manifest: manifest.concat(),
        allow: Some(allow.map(str::to_owned).to_vec()),
        ..Case::default()
    };
    let project = case.bearer().to(&vendor, &["api.vendor.test"]).approved_with("sk_live_0123456789abcdef");
    (vendor, project)
}

#[test]
fn allowed_or_not_and_why() {
    let (vendor, project) = setting();
    let explain = |arguments: &[&str]| project.run(&[&["explain", "probe"], arguments].concat());
    snapshot!("explain-allowed", project, explain(&["GET", "https://api.vendor.test/v1/things?page=2"]));
    snapshot!("explain-no-credential", project, explain(&["GET", "https://files.vendor.test/a"]));
    snapshot!("explain-operator", project, explain(&["POST", "https://api.vendor.test/v1/things"]));
    snapshot!("explain-address", project, explain(&["GET", "https://10.0.0.1/x"]));
    let narrowed = ["GET", "https://api.vendor.test/v1/other", "--action", "send"];
    snapshot!("explain-action", project, explain(&narrowed));
    explain(&["GET", "https://api.vendor.test/v1/things", "--action", "send"]).exits(0);
    snapshot!(
        "explain-no-action",
        project,
        explain(&["GET", "https://api.vendor.test/", "--action", "sned"])
    );
    let (ran, value) =
        project.run_json(&["explain", "probe", "GET", "https://api.vendor.test/v1/things", "--online"]);
    ran.exits(0);
    assert_eq!((&value["allowed"], &value["credential"]["name"]), (&true.into(), &"live".into()));
    assert_eq!(
        (&value["addresses"][0], &value["dialled"]["connect_to"]),
        (&"127.0.0.1".into(), &true.into())
    );
    let (ran, value) = project.run_json(&["explain", "probe", "GET", "https://evil.test/"]);
    ran.exits(1);
    assert_eq!(value["allowed"], false);
    assert!(value["remedy"].as_str().unwrap().contains("https://evil.test/"), "{value:#}");
    assert_eq!((vendor.count(), project.runs(&[]).len(), project.logs(&[]).len()), (0, 0, 0));
}

#[test]
fn only_what_is_approved_is_explained() {
    let (_vendor, project) = setting();
    project.run(&["revoke", "probe"]);
    project.run(&["explain", "probe", "GET", "https://api.vendor.test/v1/things"]).exits(4);
}
