//! Promise: what a language's own `fetch` sends by `wasi:http` goes the way of every request: the same rules, headers, credentials,
//! keys and bounds; and nobody has it who did not ask for it.

use crate::malicious_binary::with_section;
use portcullis_manifest::{Component, embed::embed};
use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http},
    guests,
    vendor::{Next, contains, reply},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

const NAME: &str = "api.vendor.test";
const SECRET: &str = "sk_live_0123456789abcdef";

/// A project whose guest may GET anything, and POST to `/v1/things` with a key, to `/v1/plain` without.
fn project(vendor: &Vendor) -> Project {
    let key = "credential = \"key\"\nidempotency = { header = \"Idempotency-Key\", window = \"24h\" }";
    let manifest = [
        SLOT.to_owned(),
        http(&["GET,HEAD https://api.vendor.test/**"], "credential = \"key\""),
        http(&["POST https://api.vendor.test/v1/things"], key),
        http(&["POST https://api.vendor.test/v1/plain"], "credential = \"key\""),
    ];
    let case = Case { manifest: manifest.concat(), ..Case::default() };
    case.bearer().to(vendor, &[NAME]).fetching(SECRET)
}

fn vendor() -> Vendor {
    let held = AtomicUsize::new(0);
    Vendor::tls(&[NAME], move |asked, wire| {
        let authorization = asked.header("authorization").unwrap_or_default().to_owned();
        match asked.path() {
            "/v1/moved" => reply(wire, 302, &[("Location", "https://evil.test/?token=x")], b""),
            "/v1/echo" => reply(wire, 200, &[("X-Echo", &authorization)], authorization.as_bytes()),
            "/v1/large" => reply(wire, 200, &[], &vec![b'y'; 7 << 20]),
            // Those that can be on the wire at once stay there until the guest has surely handed over the others.
            "/v1/held" => {
                if held.fetch_add(1, Relaxed) < 8 {
                    std::thread::park_timeout(Duration::from_secs(3));
                }
                reply(wire, 200, &[], b"{}")
            }
            "/v1/gzip" => {
                use std::io::Write;
                let mut coded = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                coded.write_all(b"unpacked").unwrap();
                reply(wire, 200, &[("Content-Encoding", "gzip"), ("X-Kept", "1")], &coded.finish().unwrap())
            }
            "/v1/broken" => {
                let _ = wire.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
                Next::Close
            }
            _ => reply(wire, 200, &[("Content-Type", "application/json")], b"{}"),
        }
    })
}

fn get(path: &str) -> Value {
    json!({"method": "GET", "authority": NAME, "path": path})
}

fn post(path: &str, body: &str) -> Value {
    json!({"method": "POST", "authority": NAME, "path": path, "body": body})
}

fn with(mut order: Value, headers: &[(&str, &str)]) -> Value {
    order["headers"] = json!(headers);
    order
}

#[track_caller]
fn all(project: &Project, action: &str, requests: &[Value]) -> Vec<Value> {
    let (ran, report) = project.call("probe", action, &json!({"requests": requests}));
    assert_eq!(report["outcome"], "succeeded", "{report:#}\n{}", ran.stderr);
    report["output"].as_array().unwrap().clone()
}

#[track_caller]
fn fetch(project: &Project, request: Value) -> Value {
    all(project, "fetch", &[request]).remove(0)
}

#[test]
fn what_is_allowed_is_sent_and_answered() {
    let vendor = vendor();
    let project = project(&vendor);
    let answer =
        fetch(&project, with(get("/v1/things?limit=1"), &[("X-Mine", "7"), ("Expect", "100-continue")]));
    assert_eq!((&answer["status"], &answer["body"]), (&json!(200), &json!("{}")), "{answer}");
    let asked = &vendor.asked()[0];
    assert_eq!((asked.target.as_str(), asked.header("x-mine")), ("/v1/things?limit=1", Some("7")));
    assert_eq!((asked.count("host"), asked.header("host")), (1, Some(NAME)));
    assert_eq!(asked.header("expect"), None, "never sent");
    assert_eq!(
        asked.header("authorization"),
        Some(format!("Bearer {SECRET}").as_str()),
        "the host attached it"
    );
    let row = &project.logs(&[])[0];
    assert_eq!((&row["credential"], &row["outcome"]), (&json!("live"), &json!("answered")));

    vendor.clear();
    let mut order =
        with(post("/v1/things", "{\"a\":1}"), &[("Content-Length", "7"), ("Idempotency-Key", "mine-1")]);
    order["trailer"] = json!("dropped");
    assert_eq!(fetch(&project, order)["status"], 200);
    let asked = &vendor.asked()[0];
    assert_eq!((asked.body.as_slice(), asked.header("content-length")), (&b"{\"a\":1}"[..], Some("7")));
    assert_eq!((asked.count("idempotency-key"), asked.header("idempotency-key")), (1, Some("mine-1")));
    assert!(!contains(&vendor.bytes(), b"dropped"), "no trailer leaves");
    let run = &project.runs(&[])[0];
    let shown = project.run(&["--json", "runs", "show", run["run_id"].as_str().unwrap()]).json();
    assert_eq!(shown["intents"][0]["idempotency_key"], "mine-1", "stored before it left: {shown:#}");
}

#[test]
fn what_is_not_allowed_never_leaves() {
    let vendor = vendor();
    let other = Vendor::tls(&["evil.test"], |_, wire| reply(wire, 200, &[], b"reached"));
    let project = project(&vendor);
    let at = |authority: &str| json!({"method": "GET", "authority": authority, "path": "/v1/things"});
    let plain = json!({"method": "GET", "scheme": "http", "authority": format!("127.0.0.1:{}", other.port()), "path": "/"});
    for order in [
        at("evil.test"),
        at(&format!("api.vendor.test:{}", vendor.port())),
        at("api.vendor.test@evil.test"),
        at("user:pass@api.vendor.test"),
        plain,
        json!({"method": "DELETE", "authority": NAME, "path": "/v1/things"}),
        json!({"method": "TRACE", "authority": NAME, "path": "/v1/things"}),
        post("/v1/other", "x"),
        get("/v1/../admin"),
        get("/v1/%2e%2e/admin"),
        with(get("/v1/things"), &[("Authorization", "Bearer mine")]),
        with(get("/v1/things"), &[("X-Forwarded-Host", "evil.test")]),
        with(get("/v1/things"), &[("X-HTTP-Method-Override", "DELETE")]),
        with(get("/v1/things"), &[("Cookie", "a=b")]),
        with(get("/v1/things"), &[("Accept-Encoding", "identity")]),
        with(post("/v1/plain", "x"), &[("Idempotency-Key", "k")]),
        with(post("/v1/things", "x"), &[("Idempotency-Key", "k"), ("Idempotency-Key", "l")]),
    ] {
        let answer = fetch(&project, order.clone());
        assert_eq!(answer, json!({"error": "HttpRequestDenied"}), "{order}");
    }
    // What the interface itself refuses.
    for (order, error) in [
        (with(get("/v1/things"), &[("Host", "evil.test")]), "header"),
        (with(get("/v1/things"), &[("Transfer-Encoding", "chunked")]), "header"),
        (with(get("/v1/things"), &[("X-A", "a\r\nX-B: b")]), "header"),
        (json!({"method": "GET", "authority": NAME, "path": "//evil.test@/ x"}), "path"),
        (json!({"method": "G T", "authority": NAME, "path": "/"}), "method"),
    ] {
        let answer = fetch(&project, order.clone());
        assert!(answer["error"].as_str().unwrap().starts_with(error), "{order}: {answer}");
    }
    assert_eq!((vendor.connects(), other.connects()), (0, 0));
    let rows = project.logs(&["--status", "denied"]);
    assert!(rows.iter().any(|row| row["remedy"].as_str().is_some_and(|remedy| remedy.contains("evil.test"))));
}

#[test]
fn a_body_is_not_read_before_its_request_is_authorised() {
    let vendor = vendor();
    let project = project(&vendor);
    // Never finished: only who reads no byte of it can answer.
    let mut order = post("/v1/other", "x");
    order["abandon"] = json!(true);
    assert_eq!(fetch(&project, order), json!({"error": "HttpRequestDenied"}));
    // The twin is read to the end that never comes well, and does not leave.
    let mut order = post("/v1/things", "x");
    order["abandon"] = json!(true);
    assert!(fetch(&project, order)["error"].is_string());
    assert_eq!(vendor.connects(), 0);
}

#[test]
fn bodies_are_bounded() {
    let vendor = vendor();
    let project = project(&vendor);
    let sized =
        |bytes: u64| json!({"method": "POST", "authority": NAME, "path": "/v1/things", "body-bytes": bytes});
    let answer = fetch(&project, sized(8 << 20));
    assert_eq!((&answer["status"], vendor.asked()[0].body.len()), (&json!(200), 8 << 20), "{answer}");
    vendor.clear();
    let answer = fetch(&project, sized((8 << 20) + 1));
    assert!(answer["error"].as_str().unwrap().starts_with("HttpRequestBodySize"), "{answer}");
    assert_eq!(vendor.count(), 0);
    // Answers that nobody reads are held, and no more of them than that.
    let answers = all(&project, "fetch-all", &vec![get("/v1/large"); 6]);
    let whole = answers.iter().filter(|answer| answer["body-bytes"] == 7 << 20).count();
    let refused =
        answers.iter().filter(|answer| answer["error"].to_string().contains("HttpResponseBodySize"));
    assert_eq!((whole, refused.count()), (4, 2));
    let many = all(&project, "fetch-all", &vec![get("/v1/held"); 80]);
    let refused = many.iter().filter(|answer| answer["error"] == "ConnectionLimitReached").count();
    assert_eq!(refused, 16, "of 80 that were handed over, all but the 64 that may be under way");
}

#[test]
fn what_is_never_handed_over_takes_little() {
    let vendor = vendor();
    let project = project(&vendor);
    let (ran, report) = project.call("probe", "hoard", &json!({}));
    // The table of handles ends it: a limit, and no memory of the host's.
    assert_eq!(report["error"]["kind"], "limit", "{report:#}");
    assert!(ran.resident_kib_max < 400 * 1024, "{} KiB", ran.resident_kib_max);
}

#[test]
fn a_redirect_goes_to_the_guest() {
    let vendor = vendor();
    let project = project(&vendor);
    let answer = fetch(&project, get("/v1/moved"));
    assert_eq!(answer["status"], 302, "{answer}");
    assert!(
        answer["headers"].as_array().unwrap().contains(&json!(["location", "https://evil.test/?token=x"]))
    );
    assert_eq!(vendor.count(), 1);
}

#[test]
fn no_guest_sees_the_credential() {
    let vendor = vendor();
    let project = project(&vendor);
    let (ran, report) = project.call("probe", "fetch", &json!({"requests": [get("/v1/echo")]}));
    let answer = &report["output"][0];
    let masked = "*".repeat(SECRET.len());
    assert_eq!(answer["body"], format!("Bearer {masked}"), "{answer}");
    assert!(vendor.saw(SECRET.as_bytes()), "it was sent");
    assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET));
    for (path, bytes) in project.bytes_below("data") {
        assert!(!contains(&bytes, SECRET.as_bytes()), "{}", path.display());
    }
}

#[test]
fn an_answer_is_as_the_guest_reads_it() {
    let vendor = vendor();
    let project = project(&vendor);
    let answer = fetch(&project, get("/v1/gzip"));
    assert_eq!((&answer["body"], &answer["body-bytes"]), (&json!("unpacked"), &json!(8)), "{answer}");
    let names: Vec<&str> =
        answer["headers"].as_array().unwrap().iter().map(|header| header[0].as_str().unwrap()).collect();
    assert!(
        names.contains(&"x-kept")
            && !names.contains(&"content-encoding")
            && !names.contains(&"content-length")
    );
}

#[test]
fn errors_are_codes_without_an_address() {
    let vendor = vendor();
    let project = project(&vendor);
    assert_eq!(fetch(&project, get("/v1/broken")), json!({"error": "DestinationUnavailable"}));
    let manifest = http(&["GET https://api.vendor.test/**"], "");
    let closed = Vendor::tls(&[NAME], |_, wire| reply(wire, 200, &[], b""));
    let unlisted = Case { manifest: manifest.clone(), ..Case::default() }.to(&closed, &[NAME]);
    let unlisted = Case { addresses: Vec::new(), ..unlisted }.fetching(SECRET);
    assert_eq!(fetch(&unlisted, get("/v1/things")), json!({"error": "HttpRequestDenied"}), "the guard");
    assert_eq!(closed.connects(), 0);
    let nowhere = Case {
        manifest,
        connect_to: vec![(format!("{NAME}:443"), "127.0.0.1:1".to_owned())],
        addresses: vec!["127.0.0.1/32".to_owned()],
        ..Case::default()
    };
    let answer = fetch(&nowhere.fetching(SECRET), get("/v1/things"));
    assert_eq!(answer, json!({"error": "DestinationUnavailable"}));
}

#[test]
fn who_asks_on_over_its_limit_is_ended() {
    let vendor = vendor();
    let case = Case { limits: String::new(), ..Case::default() };
    let config = case.config().replace("requests = 2000", "requests = 5");
    let component = guests::fetch(&http(&["GET https://other.vendor.test/**"], ""));
    let project = Project::new();
    project.config(&config.replace("test/probe@^1", "test/fetch@^1")).install(&component);
    project.approve("probe", &component);
    let (_, report) = project.call("probe", "ask-on", &json!({"requests": [get("/v1/things")]}));
    assert_eq!(report["error"]["kind"], "requests", "{report:#}");
    assert_eq!(vendor.connects(), 0);
}

#[test]
fn what_was_under_way_when_the_call_ended_is_in_doubt() {
    let vendor = vendor();
    let project = project(&vendor);
    let (_, report) =
        project.call("probe", "forget", &json!({"requests": vec![post("/v1/things", "x"); 20]}));
    assert_eq!(report["output"], json!({"handed": 20}));
    let shown = project.run(&["--json", "runs", "show", report["run_id"].as_str().unwrap()]).json();
    let intents = shown["intents"].as_array().unwrap();
    let unproven = intents.iter().filter(|intent| intent["proven"] == false).count();
    let outcome = if unproven > 0 { "unknown" } else { "succeeded" };
    assert_eq!(report["outcome"], outcome, "{unproven} of {}", intents.len());
    assert!(vendor.count() <= intents.len(), "{} left, {} were stored before", vendor.count(), intents.len());
}

#[test]
fn a_dry_run_holds_it_back_too() {
    let vendor = vendor();
    let project = project(&vendor);
    let input = json!({"requests": [get("/v1/things"), post("/v1/things", "{}")]}).to_string();
    let (_, report) = project.run_json(&["call", "--dry-run", "probe", "fetch", &input]);
    assert_eq!((&report["outcome"], &report["withheld_total"]), (&json!("dry-run"), &json!(1)), "{report:#}");
    assert_eq!(report["output"][1], json!({"error": "ConnectionTerminated"}));
    assert_eq!(vendor.count(), 1);
}

#[test]
fn who_did_not_ask_for_it_is_refused_by_name() {
    let asks = guests::fetch("").bytes;
    let mut manifest = Component::read(&asks).unwrap().manifest;
    manifest.capabilities.clear();
    let code = Component::code(&asks).unwrap();
    let refused = embed(&code, &manifest, &BTreeMap::new()).unwrap_err().to_string();
    assert!(refused.contains("capability `wasi-http`"), "{refused}");
    let bytes = with_section(&code, "portcullis:manifest", &manifest.to_json());
    let project = Project::new();
    project.config("");
    fs::write(project.path("fetch.wasm"), bytes).unwrap();
    let ran = project.run(&["inspect", "fetch.wasm"]);
    assert_ne!(ran.status, Some(0));
    assert!(
        ran.stderr.contains("imports `wasi:http/") && ran.stderr.contains("capability `wasi-http`"),
        "{}",
        ran.stderr
    );
    fs::write(project.path("asks.wasm"), &asks).unwrap();
    let ran = project.run(&["inspect", "asks.wasm"]);
    ran.exits(0);
    assert!(ran.stdout.contains("asks for wasi-http"), "{}", ran.stdout);
}
