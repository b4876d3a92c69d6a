//! Promise: a redirect is never a way around the rules: the guest gets the 3xx, and what it makes of it is a new request that is
//! judged like any other.

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis_tests::{
    Asked, Vendor,
    case::{Case, SLOT, http, is_denied, order},
    vendor::{Next, contains, reply},
};
use sha2::{Digest, Sha256};
use std::{
    io::Write,
    sync::{Arc, Mutex},
};

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

/// Places of a credential: the keys of its config.
const PLACES: [&str; 4] = [
    "scheme = \"bearer\"\nsecret",
    "scheme = \"api-key\"\nheader = \"X-Vendor-Key\"\nsecret",
    "scheme = \"api-key\"\nquery = \"api_key\"\nsecret",
    "scheme = \"basic\"\nusername = \"someone\"\npassword",
];

/// What leads elsewhere: `/go?STATUS&HOPS&LOCATION`, and the credential's pair may stand behind it.
fn moved(asked: &Asked, wire: &mut dyn Write) -> Next {
    let mut parts = asked.query().splitn(3, '&').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let (status, hops, location) = (part(), part(), part());
    let location = location.split("&api_key").next().unwrap_or_default();
    let moved = |wire, to: &str| reply(wire, status.parse().unwrap(), &[("Location", to)], b"moved");
    match hops.as_str() {
        "1" => moved(wire, location),
        "2" => moved(wire, &format!("/again?{status}&1&{location}")),
        _ => reply(wire, 200, &[], b"here"),
    }
}

/// The full product, host × port × scheme × status and method × one hop and two × the place of the credential, where every target
/// is granted: the hop is made, and of the secret no byte arrives but in the first request and in the twin, a target of the same
/// origin whose own rule names the credential. From what each vendor captured.
#[test]
fn of_a_secret_no_byte_goes_along() {
    for place in PLACES {
        let vendor = Vendor::tls(&["a.vendor.test"], moved);
        let other =
            Vendor::tls(&["a.vendor.test", "b.vendor.test"], |_, wire| reply(wire, 200, &[], b"other"));
        let plain = trap();
        let free = [
            "https://a.vendor.test/free/x".to_owned(),
            format!("https://a.vendor.test:{}/x", other.port()),
            "https://b.vendor.test/x".to_owned(),
            format!("https://b.vendor.test:{}/x", other.port()),
            format!("http://127.0.0.1:{}/x", plain.port()),
        ];
        let twin = "https://a.vendor.test/own/x".to_owned();
        let any = |url: &String| format!("GET,POST,PUT {url}");
        let manifest = [
            SLOT.to_owned(),
            http(
                &[any(&"https://a.vendor.test/go".to_owned())],
                "credential = \"key\"\nredirect = \"follow\"",
            ),
            http(&[any(&"https://a.vendor.test/again".to_owned())], "redirect = \"follow\""),
            http(&free.iter().map(any).collect::<Vec<_>>(), ""),
            http(&[any(&twin)], "credential = \"key\""),
        ];
        let mut case = Case {
            manifest: manifest.concat(),
            credentials: format!("[credentials.live]\n{place} = \"file:vendor.key\"\n"),
            slots: "key = \"live\"".to_owned(),
            ..Case::default()
        }
        .to(&vendor, &["a.vendor.test"])
        .to(&other, &["b.vendor.test"]);
        for name in ["a.vendor.test", "b.vendor.test"] {
            case.connect_to.push((format!("{name}:{}", other.port()), format!("127.0.0.1:{}", other.port())));
        }
        let project = case.approved_with(SECRET);
        let mut orders = Vec::new();
        for target in free.iter().chain([&twin]) {
            for (status, method) in
                [(301, "POST"), (302, "GET"), (303, "PUT"), (307, "POST"), (308, "PUT"), (307, "GET")]
            {
                for hops in [1, 2] {
                    let url = format!("https://a.vendor.test/go?{status}&{hops}&{target}");
                    let mut order = order(method, &url);
                    order["headers"] = serde_json::json!([["x-mine", "of-the-guest"]]);
                    if method != "GET" {
                        order["body"] = "{}".into();
                    }
                    orders.push(order);
                }
            }
        }
        for (order, answer) in orders.iter().zip(project.send_each(&orders)) {
            assert_eq!(answer["status"], 200, "{place}: {order}: {answer}");
        }
        // In every form in which it is sent.
        let forms = [SECRET.to_owned(), STANDARD.encode(format!("someone:{SECRET}"))];
        let holds = |bytes: &[u8]| forms.iter().any(|form| contains(bytes, form.as_bytes()));
        let (own, hops): (Vec<_>, Vec<_>) =
            vendor.asked().into_iter().partition(|asked| ["/go", "/own/x"].contains(&asked.path()));
        assert_eq!(own.len(), orders.len() + orders.len() / 6);
        assert!(own.iter().all(|asked| holds(&asked.head)), "{place}: its own rules name it");
        assert_eq!(hops.len(), orders.len() / 2 + orders.len() / 6);
        for asked in hops.iter().chain(&other.asked()).chain(&plain.asked()) {
            let head = String::from_utf8_lossy(&asked.head).to_lowercase();
            assert!(!holds(&asked.head), "{place}: {head}");
            for absent in ["authorization", "x-vendor-key", "api_key=", "cookie", "referer"] {
                assert!(!head.contains(absent), "{place}: {absent}: {head}");
            }
        }
        let away = [other.bytes(), plain.bytes()];
        assert_eq!(other.count() + plain.count(), orders.len() * 4 / 6);
        for captured in away {
            assert!(!holds(&captured) && !contains(&captured, b"of-the-guest"), "{place}");
        }
    }
}

/// A vendor's API that leads to a store by a presigned URL. The store refuses a request that comes with a second way of
/// authentication, as S3 does: so the bearer has to be gone, and with it the answer succeeds.
#[test]
fn a_presigned_store_is_met_without_the_bearer() {
    const SIGNED: &str = "https://store.test/bucket/file?X-Amz-Signature=5f2b&X-Amz-Expires=60";
    let vendor = Vendor::tls(&["api.vendor.test"], |asked, wire| {
        if asked.header("authorization") == Some(&format!("Bearer {SECRET}")) {
            reply(wire, 302, &[("Location", SIGNED)], b"")
        } else {
            reply(wire, 401, &[], b"who are you?")
        }
    });
    let store = Vendor::tls(&["store.test"], |asked, wire| match asked.header("authorization") {
        Some(_) => reply(wire, 400, &[], b"only one auth mechanism allowed"),
        None if asked.query().contains("X-Amz-Signature=5f2b") => reply(wire, 200, &[], b"the file"),
        None => reply(wire, 403, &[], b"no signature"),
    });
    let manifest = format!(
        "{SLOT}{}{}",
        http(&["GET https://api.vendor.test/files/*"], "credential = \"key\"\nredirect = \"follow\""),
        http(&["GET https://store.test/bucket/*"], "")
    );
    let case = Case { manifest, ..Case::default() }.bearer();
    let project = case.to(&vendor, &["api.vendor.test"]).to(&store, &["store.test"]).approved_with(SECRET);
    let by = |way: &str| {
        let mut order = order("GET", "https://api.vendor.test/files/1");
        order["by"] = way.into();
        project.send(&order)
    };
    let sent = by("send");
    assert_eq!((&sent["status"], &sent["body"]), (&200.into(), &"the file".into()), "{sent}");
    let kept = by("download");
    let hash: String = Sha256::digest("the file").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((&kept["status"], &kept["sha256"]), (&200.into(), &hash.into()), "{kept}");
    let read = by("open");
    assert_eq!((&read["bytes"], &read["ended"]), (&8.into(), &serde_json::Value::Null), "{read}");
    assert_eq!(store.count(), 3);
    assert!(!contains(&store.bytes(), SECRET.as_bytes()));
}
