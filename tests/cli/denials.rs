//! Refused requests by the rule that would let them pass, and the fewest such rules: pasted, they let exactly these pass.

use crate::snapshot;
use portcullis_tests::{
    Vendor,
    case::{Case, SLOT, http, is_denied, order},
    vendor::reply,
};

#[test]
fn the_fewest_rules_let_the_chosen_requests_pass() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b"{}"));
    let rules = [
        "GET https://api.vendor.test/v1/things/*",
        "POST,DELETE https://api.vendor.test/v1/things/**",
        "GET https://api.vendor.test/v1/keys",
    ];
    let case = Case {
        manifest: format!("{SLOT}{}", http(&rules, "credential = \"key\"")),
        allow: Some(vec![rules[2].to_owned()]),
        ..Case::default().bearer()
    };
    let case = case.to(&vendor, &["api.vendor.test"]);
    let project = case.approved_with("sk_live_0123456789abcdef");
    project.run(&["denials"]).exits(0);
    let ask = [
        order("GET", "https://api.vendor.test/v1/things/1?page=1"),
        order("GET", "https://api.vendor.test/v1/things/2"),
        order("GET", "https://api.vendor.test/v1/things/2"),
        order("DELETE", "https://api.vendor.test/v1/things/1"),
        order("POST", "https://api.vendor.test/v1/things/1"),
        order("GET", "https://evil.vendor.test/v1/keys"),
        order("TRACE", "https://api.vendor.test/v1/keys"),
        order("GET", "https://api.vendor.test/v1/keys"),
    ];
    let denied = |answers: &[serde_json::Value]| answers.iter().map(is_denied).collect::<Vec<_>>();
    assert_eq!(denied(&project.send_each(&ask)), [true, true, true, true, true, true, true, false]);
    let groups = project.run(&["denials", "--connection", "probe", "--since", "1h"]);
    groups.exits(0);
    snapshot!("denials", project, groups);
    let proposed = project.run(&["denials", "--allow", "1,2"]);
    proposed.exits(0);
    snapshot!("denials-allow", project, proposed);
    let json = project.run(&["denials", "--json", "--allow", "1,2"]);
    let value: serde_json::Value = serde_json::from_str(json.stdout.lines().next().unwrap()).unwrap();
    let marks = |at: usize| (value["added"][at]["writes"] == true, value["added"][at]["wildcard"] == true);
    assert_eq!((marks(0), marks(1)), ((false, true), (true, false)), "{value:#}");

    // By a lock that can't be read nobody is judged.
    let lock = std::fs::read(project.path("portcullis.lock")).unwrap();
    project.file("portcullis.lock", b"approvals = 1\n");
    for args in [&["denials"][..], &["denials", "--allow", "1"]] {
        let ran = project.run(args);
        assert!(ran.exits(3).stderr.contains("portcullis.lock"), "{}", ran.stderr);
    }
    project.file("portcullis.lock", &lock);

    // What config can't allow is said, and the exit code says that something is left.
    let author = project.run(&["denials", "--allow", "3"]);
    author.exits(1);
    assert!(author.stderr.contains("the connector has to request it"), "{}", author.stderr);
    project.run(&["denials", "--allow", "99"]).exits(2);
    project.run(&["denials", "--since", "yesterday"]).exits(2);

    // Pasted: these pass, and nothing else does. No approval is needed.
    let pasted: toml::Table = proposed.stdout.parse().unwrap();
    let allow = pasted["connections"]["probe"]["allow"].as_array().unwrap();
    let allow = allow.iter().map(|rule| rule.as_str().unwrap().to_owned()).collect();
    project.config(&Case { allow: Some(allow), ..case }.config());
    assert_eq!(denied(&project.send_each(&ask)), [false, false, false, false, false, true, true, false]);
    let other = order("DELETE", "https://api.vendor.test/v1/things/2");
    assert!(is_denied(&project.send(&other)));
    let after = project.run(&["denials"]);
    assert!(after.stdout.contains("passes by the rules of today"), "{}", after.stdout);
}
