//! Promise: a rule's host matches itself and nothing that resembles it. Every name leads to the same vendor, so that the rule
//! alone decides.

use crate::willing;
use portcullis_tests::case::{Case, http, is_denied, order};

const NAMES: [&str; 8] = [
    "api.vendor.test",
    "www.vendor.test",
    "vendor.test",
    "a.b.vendor.test",
    "evil-vendor.test",
    "api.vendor.test.evil.test",
    "evil.test",
    "xn--pi-6kc.vendor.test",
];

/// Asks for each URL under this rule; `allowed` have to pass, `denied` must not.
#[track_caller]
fn check(rule: &str, allowed: &[&str], denied: &[&str]) {
    let vendor = willing(&NAMES);
    let case = Case { manifest: http(&[rule], ""), allow: Some(vec![rule.to_owned()]), ..Case::default() }
        .to(&vendor, &NAMES);
    let project = case.approved();
    let orders: Vec<_> = allowed.iter().chain(denied).map(|url| order("GET", url)).collect();
    let answers = project.send_each(&orders);
    let (passed, refused) = answers.split_at(allowed.len());
    for (url, answer) in allowed.iter().zip(passed) {
        assert_eq!(answer["status"], 200, "{url} under {rule}: {answer}");
    }
    for (url, answer) in denied.iter().zip(refused) {
        assert!(is_denied(answer) || answer["error"] == "malformed", "{url} under {rule}: {answer}");
    }
    assert_eq!(vendor.count(), allowed.len(), "the vendor saw what passed and no more");
}

#[test]
fn an_exact_host_is_exact() {
    check(
        "GET https://api.vendor.test/**",
        &["https://api.vendor.test/", "https://API.Vendor.Test/", "https://api.vendor.test:443/x"],
        &[
            "https://www.vendor.test/",
            "https://vendor.test/",
            "https://evil-vendor.test/",
            "https://api.vendor.test.evil.test/",
            "https://a.b.vendor.test/",
            "https://api.vendor.test./",
            "https://api.vendor.test../",
            "https://.api.vendor.test/",
            "https://api..vendor.test/",
            "https://user@api.vendor.test/",
            "https://user:word@api.vendor.test/",
            "https://api.vendor.test@evil.test/",
            "https://api.vendor.test\\@evil.test/",
            "https://evil.test\\@api.vendor.test/",
            "https://evil.test#@api.vendor.test/",
            "https://evil.test?@api.vendor.test/",
            "https://\u{430}pi.vendor.test/",
            "https://api.ven\u{ad}dor.test/",
            "https://api.vendor\u{3002}test/",
            "https:///api.vendor.test/",
            "https:api.vendor.test/",
            "https://:443/",
            "https://api.vendor.test:8443/",
            "https://api.vendor.test:80/",
            "http://api.vendor.test/",
            "http://api.vendor.test:443/",
            "ftp://api.vendor.test/",
            "file:///etc/passwd",
            "data:text/plain,x",
            "unix:/var/run/docker.sock",
            "",
        ],
    );
}

#[test]
fn a_star_is_exactly_one_label() {
    check(
        "GET https://*.vendor.test/**",
        &["https://api.vendor.test/", "https://www.vendor.test/"],
        &[
            "https://vendor.test/",
            "https://.vendor.test/",
            "https://a.b.vendor.test/",
            "https://evil-vendor.test/",
            "https://api.vendor.test.evil.test/",
            "https://*.vendor.test/",
        ],
    );
}

#[test]
fn a_port_is_part_of_the_rule() {
    let vendor = willing(&["api.vendor.test"]);
    let port = vendor.port();
    let rule = format!("GET https://api.vendor.test:{port}/**");
    let mut case = Case { manifest: http(&[&rule], ""), allow: Some(vec![rule]), ..Case::default() };
    case.connect_to = vec![(format!("api.vendor.test:{port}"), format!("127.0.0.1:{port}"))];
    case.addresses = vec!["127.0.0.1/32".to_owned()];
    let project = case.approved();
    let urls = [
        format!("https://api.vendor.test:{port}/"),
        "https://api.vendor.test/".to_owned(),
        "https://api.vendor.test:444/".to_owned(),
    ];
    let answers = project.send_each(&urls.map(|url| order("GET", &url)));
    assert_eq!(answers[0]["status"], 200, "{}", answers[0]);
    assert!(is_denied(&answers[1]) && is_denied(&answers[2]), "{answers:#?}");
    assert_eq!(vendor.asked()[0].header("host"), Some(format!("api.vendor.test:{port}").as_str()));
}

#[test]
fn both_the_manifest_and_the_operator_have_to_allow() {
    let names = ["api.vendor.test", "www.vendor.test"];
    let vendor = willing(&names);
    let manifest = http(&["GET https://api.vendor.test/both", "GET https://api.vendor.test/manifest"], "");
    let allow = vec!["GET https://api.vendor.test/both".to_owned()];
    let project = Case { manifest, allow: Some(allow), ..Case::default() }.to(&vendor, &names).approved();
    let urls =
        ["https://api.vendor.test/both", "https://api.vendor.test/manifest", "https://www.vendor.test/both"];
    let answers = project.send_each(&urls.map(|url| order("GET", url)));
    assert_eq!(answers[0]["status"], 200, "{}", answers[0]);
    assert!(is_denied(&answers[1]) && is_denied(&answers[2]), "{answers:#?}");
    assert_eq!(vendor.count(), 1);
    // The operator learns which line is missing; the guest did not.
    let denied = project.logs(&["--status", "denied"]);
    assert_eq!(denied.len(), 2, "{denied:#?}");
    assert!(
        denied[0]["remedy"].as_str().unwrap().contains("GET https://api.vendor.test/manifest"),
        "{:#}",
        denied[0]
    );
}

#[test]
fn a_star_at_a_public_suffix_is_no_rule() {
    let case = Case { manifest: http(&["GET https://api.vendor.test/**"], ""), ..Case::default() };
    for rule in [
        "GET https://*.co.uk/**",
        "GET https://*.com/**",
        "GET https://*/**",
        "GET https://*.*.vendor.test/**",
    ] {
        let project = Case { allow: Some(vec![rule.to_owned()]), ..case.clone() }.project();
        let ran = project.run(&["approve", "probe", "--yes", "--digest", &case.component().digest]);
        ran.exits(3);
        assert!(ran.stderr.contains("portcullis.toml"), "{}", ran.stderr);
    }
}
