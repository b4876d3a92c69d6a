//! Promise: a redirect is never a way around the rules: the guest gets the 3xx, and what it makes of it is a new request that is
//! judged like any other.

use portcullis_tests::{
    Project, Vendor,
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

#[test]
fn following_by_the_host_is_refused_as_unsupported() {
    let folder = tempfile::tempdir().unwrap();
    let rule = http(&["GET https://a.vendor.test/**"], "redirect = \"follow\"");
    let head = "[connector]\nname = \"test/probe\"\nversion = \"1.0.0\"\nposition-version = 1\nconfig-version = 1\nroles = [\"actions\"]\nsummary = \"x\"\n";
    std::fs::write(folder.path().join("connector.toml"), format!("{head}{rule}")).unwrap();
    let ran = Project::new().run(&["build", folder.path().to_str().unwrap()]);
    ran.exits(3);
    assert!(
        ran.stderr.contains("not supported yet") && ran.stderr.contains("connector.toml"),
        "{}",
        ran.stderr
    );
}
