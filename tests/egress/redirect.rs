//! Promise: a redirect is never a way around the rules: the guest gets the 3xx, and where a rule has the host follow, every hop
//! is a new request through the whole pipeline, without what the hop before carried.

use portcullis_tests::{
    Vendor,
    case::{BEARER, Case, SLOT, http, is_denied, order},
    vendor::reply,
};
use std::sync::{Arc, Mutex};

const SECRET: &str = "sk_live_redirect_93kd02m";

/// Answers `/go` with the status and `Location` that are set, everything else with 200.
fn moving(name: &'static str) -> (Vendor, Arc<Mutex<(u16, String)>>) {
    let target = Arc::new(Mutex::new((302, String::new())));
    let set = Arc::clone(&target);
    let vendor = Vendor::tls(&[name], move |asked, wire| {
        let (status, location) = set.lock().unwrap().clone();
        if asked.path().starts_with("/go") { reply(wire, status, &[("Location", &location)], b"moved") } else { reply(wire, 200, &[], b"here") }
    });
    (vendor, target)
}

fn trap() -> Vendor {
    Vendor::plain(|_, wire| reply(wire, 200, &[], b"trapped"))
}

#[test]
fn the_guest_gets_the_3xx() {
    let (vendor, target) = moving("a.vendor.test");
    let (other, trap) = (Vendor::tls(&["b.vendor.test"], |_, wire| reply(wire, 200, &[], b"other")), trap());
    let manifest = format!("{SLOT}{}", http(&["GET,POST https://a.vendor.test/**"], "credential = \"key\""));
    let case = Case { manifest, ..Case::default() }.bearer();
    let project = case.to(&vendor, &["a.vendor.test"]).to(&other, &["b.vendor.test"]).approved_with(SECRET);
    let locations = [
        format!("http://127.0.0.1:{}/", trap.port()),
        format!("http://localhost:{}/", trap.port()),
        "https://b.vendor.test/".to_owned(),
        "//b.vendor.test/".to_owned(),
        "https://a.vendor.test:8443/".to_owned(),
        "http://a.vendor.test/".to_owned(),
        "https://a.vendor.test@b.vendor.test/".to_owned(),
        "\\\\b.vendor.test/".to_owned(),
        "/here".to_owned(),
        "javascript:alert(1)".to_owned(),
    ];
    for (n, location) in locations.iter().enumerate() {
        let status = [301, 302, 303, 307, 308][n % 5];
        *target.lock().unwrap() = (status, location.clone());
        let answer = project.send(&order("GET", "https://a.vendor.test/go"));
        assert_eq!(answer["status"], status, "{answer}");
    }
    assert_eq!((vendor.count(), other.connects(), trap.connects()), (locations.len(), 0, 0));
}

#[test]
fn a_guest_that_follows_is_judged_again() {
    let (vendor, target) = moving("a.vendor.test");
    let trap = trap();
    *target.lock().unwrap() = (302, format!("http://127.0.0.1:{}/", trap.port()));
    let case = Case { manifest: http(&["GET https://a.vendor.test/**"], ""), ..Case::default() };
    let project = case.to(&vendor, &["a.vendor.test"]).approved();
    let moved = project.send(&order("GET", "https://a.vendor.test/go"));
    let headers = moved["headers"].as_array().unwrap();
    let location = headers.iter().find(|pair| pair[0] == "location").unwrap()[1].as_str().unwrap().to_owned();
    let followed = project.send_each(&[order("GET", &location), order("GET", "https://a.vendor.test/here")]);
    assert!(is_denied(&followed[0]), "{}", followed[0]);
    assert_eq!(followed[1]["status"], 200);
    assert_eq!(trap.connects(), 0);
}

/// Rules for `a` with `redirect = "follow"` and the credential, and for `b` with nothing but itself.
fn following(b_rule: &str) -> Case {
    let a = http(&["GET,POST https://a.vendor.test/**"], "credential = \"key\"\nredirect = \"follow\"");
    let b = if b_rule.is_empty() { String::new() } else { http(&[b_rule], "") };
    Case { manifest: format!("{SLOT}{a}{b}"), credentials: BEARER.to_owned(), slots: "key = \"live\"".to_owned(), ..Case::default() }
}

#[test]
fn a_followed_hop_carries_nothing_over() {
    let (a, target) = moving("a.vendor.test");
    let b = Vendor::tls(&["b.vendor.test"], |_, wire| reply(wire, 200, &[], b"at b"));
    *target.lock().unwrap() = (302, "https://b.vendor.test/landed".to_owned());
    let case = following("GET https://b.vendor.test/**").to(&a, &["a.vendor.test"]).to(&b, &["b.vendor.test"]);
    let answer = case.approved_with(SECRET).send(&order("GET", "https://a.vendor.test/go"));
    assert_eq!((&answer["status"], &answer["body"]), (&200.into(), &"at b".into()), "{answer}");
    let (at_a, at_b) = (&a.asked()[0], &b.asked()[0]);
    assert_eq!(at_a.header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!((at_b.count("authorization"), at_b.count("referer"), at_b.count("cookie")), (0, 0, 0));
    assert_eq!((at_b.header("host"), at_b.sni.as_deref()), (Some("b.vendor.test"), Some("b.vendor.test")));
    assert!(!b.saw(SECRET.as_bytes()));
}

#[test]
fn a_followed_hop_needs_its_own_rule() {
    let (a, target) = moving("a.vendor.test");
    let (b, trap) = (Vendor::tls(&["b.vendor.test"], |_, wire| reply(wire, 200, &[], b"at b")), trap());
    let case = following("").to(&a, &["a.vendor.test"]).to(&b, &["b.vendor.test"]);
    let project = case.approved_with(SECRET);
    let locations = [
        "https://b.vendor.test/".to_owned(),
        "//b.vendor.test/".to_owned(),
        format!("http://127.0.0.1:{}/", trap.port()),
        "http://169.254.169.254/".to_owned(),
        "http://a.vendor.test/".to_owned(),
        "https://a.vendor.test:8443/".to_owned(),
        "https://x@a.vendor.test/here".to_owned(),
        "/here/../x".to_owned(),
    ];
    for (n, location) in locations.iter().enumerate() {
        *target.lock().unwrap() = ([302, 307, 308, 301][n % 4], location.clone());
        let answer = project.send(&order("GET", "https://a.vendor.test/go"));
        assert!(is_denied(&answer) || answer["status"].as_u64().is_some_and(|status| (300..400).contains(&status)), "{location}: {answer}");
    }
    assert_eq!((b.connects(), trap.connects()), (0, 0));
    assert_eq!(a.count(), locations.len(), "each was asked once, and none led on");
    // The twin: the same host under the same rule.
    *target.lock().unwrap() = (302, "/here".to_owned());
    let answer = project.send(&order("GET", "https://a.vendor.test/go"));
    assert_eq!(answer["body"], "here", "{answer}");
}

#[test]
fn a_method_and_its_body_change_as_they_should() {
    let (a, target) = moving("a.vendor.test");
    let case = following("").to(&a, &["a.vendor.test"]);
    let project = case.approved_with(SECRET);
    let post = serde_json::json!({"method": "POST", "url": "https://a.vendor.test/go", "body": "the-body"});
    *target.lock().unwrap() = (303, "/here".to_owned());
    assert_eq!(project.send(&post)["status"], 200);
    let hop = a.asked().pop().unwrap();
    assert_eq!((hop.method.as_str(), hop.body.len(), hop.target.as_str()), ("GET", 0, "/here"));
}

#[test]
fn a_circle_ends() {
    let (a, target) = moving("a.vendor.test");
    *target.lock().unwrap() = (302, "/go".to_owned());
    let case = following("").to(&a, &["a.vendor.test"]);
    let answer = case.approved_with(SECRET).send(&order("GET", "https://a.vendor.test/go"));
    assert_ne!(answer["status"], 200, "{answer}");
    assert!(a.count() <= 25, "{} hops", a.count());
}
