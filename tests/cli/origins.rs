//! Origins that only the operator knows: what is bound is what is shown, pinned and reached, and nothing else runs.

use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http, is_denied, order},
    vendor::reply,
};
use std::fs;

/// A connector that asks for two operations on a host of the operator's.
fn case(origin: &str) -> Case {
    let rule = http(&["GET {origin.instance}/api/**"], "credential = \"key\"");
    Case {
        manifest: format!("{SLOT}{rule}"),
        more: format!("origins = {{ {origin} }}"),
        ..Case::default().bearer()
    }
}

const ACME: &str = "instance = \"https://acme.vendor.test/t/7\"";
const SECRET: &str = "sk_live_51Hq0ZkE9canary7Yw";

#[test]
fn a_rule_over_an_origin_reaches_what_was_bound_and_pinned() {
    let vendor =
        Vendor::tls(&["acme.vendor.test", "evil.vendor.test"], |_, wire| reply(wire, 200, &[], b"{}"));
    let case = case(ACME).to(&vendor, &["acme.vendor.test", "evil.vendor.test"]);
    let project = case.project();
    project.secret("vendor.key", SECRET);
    let asked = project.run(&["approve", "probe", "--yes", "--digest", &case.component().digest]);
    asked.exits(0);
    for shown in [
        "instance = https://acme.vendor.test/t/7",
        "GET https://acme.vendor.test/t/7/api/**",
        "as header authorization to https://acme.vendor.test:443",
    ] {
        assert!(asked.stdout.contains(shown), "{shown}\n{}", asked.stdout);
    }
    let inspected = project.run(&["inspect", "test/probe"]);
    let shown =
        "GET {origin.instance}/api/**  [with key; on the host that you bind to the origin `instance`]";
    assert!(inspected.exits(0).stdout.contains(shown), "{}", inspected.stdout);
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    assert!(
        lock.contains("[approvals.probe.origins]\ninstance = \"https://acme.vendor.test/t/7\"\n"),
        "{lock}"
    );
    assert!(lock.contains("allow = \"GET https://acme.vendor.test/t/7/api/**\"\n"), "{lock}");
    assert!(!lock.contains('{'), "no template: {lock}");

    let answers = project.send_each(&[
        order("GET", "https://acme.vendor.test/t/7/api/x"),
        order("GET", "https://acme.vendor.test/api/x"),
        order("GET", "https://acme.vendor.test/t/8/api/x"),
        order("GET", "https://evil.vendor.test/t/7/api/x"),
        order("GET", "https://{origin.instance}/api/x"),
    ]);
    assert_eq!(answers[0]["status"], 200);
    assert!(answers[1..].iter().all(is_denied), "{answers:#?}");
    assert_eq!(vendor.count(), 1);

    // Another origin than the pinned one runs nothing, whatever it is.
    for (other, says) in [
        (
            "https://evil.vendor.test/t/7",
            "origin `instance`: approved `https://acme.vendor.test/t/7`, now `https://evil",
        ),
        ("https://acme.vendor.test/t/8", "now `https://acme.vendor.test/t/8`"),
        ("https://acme.vendor.test:8443/t/7", "now `https://acme.vendor.test:8443/t/7`"),
    ] {
        let more = format!("origins = {{ instance = \"{other}\" }}");
        project.config(&Case { more, ..case.clone() }.config());
        let ran =
            project.run(&["call", "probe", "send", &order("GET", &format!("{other}/api/x")).to_string()]);
        ran.exits(4);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
        assert!(project.plain(&ran.stderr).contains("portcullis approve probe"), "{}", ran.stderr);
    }
    assert_eq!(vendor.count(), 1);
    project.config(&case.config());
    assert_eq!(project.send(&order("GET", "https://acme.vendor.test/t/7/api/x"))["status"], 200);
}

#[test]
fn an_operation_over_an_origin_is_narrowed_to_it() {
    let vendor = Vendor::tls(&["acme.vendor.test"], |_, wire| reply(wire, 200, &[], b"{}"));
    let narrowed = "[actions.send]\ninput = \"any.json\"\noutput = \"any.json\"\nhttp = [\"GET {origin.instance}/api/x\"]\n";
    let base = case(ACME);
    let manifest = format!("{}\n{narrowed}", base.manifest);
    let case = Case { manifest, ..base }.to(&vendor, &["acme.vendor.test"]);
    let project = case.approved_with(SECRET);
    let status = |url: &str| {
        let (_, report) = project.call("probe", "send", &order("GET", url));
        report["output"]["status"].clone()
    };
    assert_eq!(status("https://acme.vendor.test/t/7/api/x"), 200);
    assert_ne!(status("https://acme.vendor.test/t/7/api/y"), 200);
    assert_eq!(vendor.count(), 1);
}

/// Without the line breaks that a terminal's width makes, which may fall within a word.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '│').collect()
}

/// The refusal of `approve`, which must name the config and its line.
#[track_caller]
fn refusal(project: &Project, digest: &str) -> String {
    let ran = project.run(&["approve", "probe", "--yes", "--digest", digest]);
    ran.exits(3);
    assert!(ran.stderr.contains("portcullis.toml:"), "{}", ran.stderr);
    assert!(!project.path("portcullis.lock").exists());
    ran.stderr
}

#[test]
fn origins_that_do_not_fit_are_refused_with_line_and_suggestion() {
    for (origins, says, help) in [
        ("", "no origin is bound to `instance`", "add `instance = \"https://HOST\"` to its `origins`"),
        (
            "instnace = \"https://acme.test\"",
            "no rule of the connector is over an origin `instnace`",
            "did you mean `instance`?",
        ),
        (
            "instance = \"https://acme.test\", other = \"https://b.test\"",
            "no rule of the connector is over an origin `other`",
            "remove it",
        ),
        ("instance = \"https://Acme.test\"", "`https://acme.test`", "instance = \"https://acme.test\""),
        ("instance = \"https://acme.test:443\"", "`https://acme.test`", "instance = \"https://acme.test\""),
        ("instance = \"acme.test\"", "no scheme", "instance = \"https://acme.test\""),
        ("instance = \"https://*.acme.test\"", "no wildcard", "instance = \"https://HOST\""),
        ("instance = \"https://co.uk\"", "anyone can register", "instance = \"https://HOST\""),
        ("instance = \"http://169.254.169.254\"", "never dialled", "instance = \"https://HOST\""),
        (
            "instance = \"https://user:hunter2@acme.test\"",
            "user name or password",
            "instance = \"https://HOST\"",
        ),
        (
            "instance = \"https://acme.test/?key=hunter2\"",
            "neither query nor fragment",
            "instance = \"https://acme.test\"",
        ),
        ("Instance = \"https://acme.test\"", "is not the name of an origin", "lower-case letters"),
        ("instance = 7", "`instance`: expected a string", "found an integer"),
    ] {
        let case = case(origins);
        let project = case.project();
        let shown = refusal(&project, &case.component().digest);
        let has = |words: &str| plain(&shown).contains(&plain(words));
        assert!(has(says) && has(help), "{origins}\n{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn expanded_rules_are_held_to_boundary_operator_list_and_each_other() {
    let outside = "[boundary]\nallow = [\"GET https://*.corp.test/**\"]\n";
    let bound = case(ACME);
    let project = bound.project();
    project.config(&format!("{}{outside}", bound.config()));
    let shown = refusal(&project, &bound.component().digest);
    let says = "`GET https://acme.vendor.test/t/7/api/**` is outside the boundary";
    assert!(plain(&shown).contains(&plain(says)), "{shown}");
    let inside =
        Case { more: "origins = { instance = \"https://acme.corp.test\" }".to_owned(), ..bound.clone() };
    project.secret("vendor.key", SECRET).config(&format!("{}{outside}", inside.config()));
    project.approve("probe", &inside.component());

    // The operator's list is literal, and judged by what the origin was bound to.
    for (allow, says) in [
        ("GET {origin.instance}/api/x", "stands in a manifest's rules alone"),
        ("GET https://acme.corp.test/api/x", "can match nothing that the connector requests"),
    ] {
        let case = Case { allow: Some(vec![allow.to_owned()]), ..bound.clone() };
        let shown = refusal(&case.project(), &case.component().digest);
        assert!(plain(&shown).contains(&plain(says)), "{shown}");
    }

    // Two names on one host: the rules meet now, and must agree.
    let rules = [
        http(&["POST {origin.a}/x"], "safe = true"),
        http(&["POST {origin.b}/*"], "idempotency = { header = \"Key\", window = \"1h\" }"),
    ];
    let both = |a: &str, b: &str| Case {
        manifest: rules.concat(),
        more: format!("origins = {{ a = \"{a}\", b = \"{b}\" }}"),
        ..Case::default()
    };
    let case = both("https://acme.test", "https://acme.test");
    let shown = refusal(&case.project(), &case.component().digest);
    assert!(plain(&shown).contains(&plain("can match one request but differ in")), "{shown}");
    both("https://acme.test", "https://b.test").approved();
}
