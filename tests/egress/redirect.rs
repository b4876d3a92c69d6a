//! Promise: a redirect is never a way around the rules: the guest gets the 3xx, and what it makes of it is a new request that is
//! judged like any other.

use portcullis_tests::{
    Vendor,
    case::{Case, SLOT, http, is_denied, order},
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
        if asked.path().starts_with("/go") {
            reply(wire, status, &[("Location", &location)], b"moved")
        } else {
            reply(wire, 200, &[], b"here")
        }
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

/// Every way of leading elsewhere, under a rule that follows: what no rule grants gets no connection, and the secret goes
/// to the one place that it is for.
#[test]
fn followed_by_the_host_each_hop_is_judged() {
    // `/go?STATUS&LOCATION`
    let vendor = Vendor::tls(&["a.vendor.test"], |asked, wire| {
        let (_, query) = asked.target.split_once('?').unwrap();
        let (status, location) = query.split_once('&').unwrap();
        reply(wire, status.parse().unwrap(), &[("Location", location)], b"moved")
    });
    let (other, trap) = (Vendor::tls(&["b.vendor.test"], |_, wire| reply(wire, 200, &[], b"other")), trap());
    let rules = format!(
        "{SLOT}{}{}",
        http(
            &["GET,POST,PUT,DELETE https://a.vendor.test/go"],
            "credential = \"key\"\nredirect = \"follow\""
        ),
        http(&["GET https://b.vendor.test/granted/**"], "redirect = \"follow\"")
    );
    let case = Case { manifest: rules, ..Case::default() }.bearer();
    let project = case.to(&vendor, &["a.vendor.test"]).to(&other, &["b.vendor.test"]).approved_with(SECRET);
    let mut orders = Vec::new();
    for host in
        ["a.vendor.test", "b.vendor.test", "c.vendor.test", "127.0.0.1", "169.254.169.254", "localhost"]
    {
        for (scheme, port) in [("https", 443), ("https", 8443), ("http", 80), ("http", trap.port())] {
            for (status, method) in
                [(301, "POST"), (302, "GET"), (303, "DELETE"), (307, "PUT"), (308, "POST")]
            {
                let to = format!("{status}&{scheme}://{host}:{port}/elsewhere");
                let mut order = order(method, &format!("https://a.vendor.test/go?{to}"));
                order["body"] = serde_json::json!("{}");
                orders.push(order);
            }
        }
    }
    for (order, answer) in orders.iter().zip(project.send_each(&orders)) {
        assert!(is_denied(&answer), "{order}: {answer}");
    }
    assert_eq!((vendor.count(), other.connects(), trap.connects()), (orders.len(), 0, 0));
    assert!(
        vendor
            .asked()
            .iter()
            .all(|asked| asked.header("authorization").is_some_and(|value| value.contains(SECRET)))
    );

    // The twin: a granted hop is followed, as a bare request.
    let to = "302&https://b.vendor.test/granted/file?signature=1";
    let mut go = order("POST", &format!("https://a.vendor.test/go?{to}"));
    go["headers"] = serde_json::json!([["x-mine", "1"], ["accept", "text/plain"]]);
    let answer = project.send(&go);
    assert_eq!((&answer["status"], &answer["body"]), (&200.into(), &"other".into()), "{answer}");
    let arrived = other.asked();
    assert_eq!(
        (arrived.len(), arrived[0].method.as_str(), arrived[0].target.as_str()),
        (1, "GET", "/granted/file?signature=1")
    );
    let head = String::from_utf8_lossy(&arrived[0].head).to_lowercase();
    for absent in [&SECRET.to_lowercase(), "authorization", "referer", "x-mine", "cookie"] {
        assert!(!head.contains(absent), "{absent}: {head}");
    }
    assert!(head.contains("accept: text/plain"), "{head}");
}
