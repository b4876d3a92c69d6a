//! Promise: a secret reaches the place that the operator approved and no sink: a canary is looked for in plain, base64 (three
//! offsets), percent and hex in guest memory, trace logs, errors, databases with their WAL files, `--json` output.

use base64::{Engine, engine::general_purpose::STANDARD};
pub(crate) use portcullis_tests::canary::{CANARY, clean, needles};
use portcullis_tests::{
    Project, Ran, Vendor,
    case::{BEARER, Case, SLOT, http, order},
    vendor::{Next, contains, reply},
};
use serde_json::{Value, json};
use std::fmt::Write as _;

#[track_caller]
pub(crate) fn clean_run(what: &str, ran: &Ran) {
    clean(&format!("stdout of {what}"), ran.stdout.as_bytes());
    clean(&format!("stderr of {what}"), ran.stderr.as_bytes());
}

/// Every way that vendors give a key back.
pub(crate) fn echoing(needles: &[(String, Vec<u8>)]) -> Vendor {
    let needles = needles.to_vec();
    Vendor::tls(&["api.vendor.test"], move |asked, wire| {
        let place = asked.path().trim_start_matches("/v1/");
        let text = |needle: &[u8]| String::from_utf8_lossy(needle).into_owned();
        match place {
            "body" => {
                let all: Vec<String> = needles.iter().map(|(_, needle)| text(needle)).collect();
                reply(
                    wire,
                    200,
                    &[("Content-Type", "application/json")],
                    json!({"echo": all}).to_string().as_bytes(),
                )
            }
            "raw" => {
                let all: Vec<String> = needles.iter().map(|(_, needle)| text(needle)).collect();
                reply(wire, 200, &[("Content-Type", "text/html")], all.join(" and ").as_bytes())
            }
            "error" => reply(
                wire,
                400,
                &[("Content-Type", "application/json")],
                json!({"error": {"message": format!("bad key {CANARY}")}}).to_string().as_bytes(),
            ),
            "header" => reply(
                wire,
                200,
                &[
                    ("X-Echo", CANARY),
                    ("Location", &format!("https://x.test/?k={CANARY}")),
                    ("X-Echo-64", &STANDARD.encode(CANARY)),
                ],
                b"ok",
            ),
            "split" => {
                // Over chunk borders, a few bytes each.
                let _left = wire.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for piece in CANARY.as_bytes().chunks(3) {
                    let _left = write!(wire, "{:x}\r\n", piece.len())
                        .and_then(|()| wire.write_all(piece))
                        .and_then(|()| wire.write_all(b"\r\n"))
                        .and_then(|()| wire.flush());
                }
                let _left = wire.write_all(b"0\r\n\r\n");
                Next::Keep
            }
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                std::io::Write::write_all(&mut encoder, format!("it was {CANARY}!").as_bytes()).unwrap();
                reply(wire, 200, &[("Content-Encoding", "gzip")], &encoder.finish().unwrap())
            }
            "escaped" => {
                let escaped: String = CANARY.chars().fold(String::new(), |mut text, char| {
                    write!(text, "\\u{:04x}", u32::from(char)).unwrap();
                    text
                });
                reply(
                    wire,
                    200,
                    &[("Content-Type", "application/json")],
                    format!("{{\"echo\":\"{escaped}\"}}").as_bytes(),
                )
            }
            "control" => reply(wire, 200, &[], b"an ordinary word of the vendor"),
            "cut" => Next::Close,
            _ => reply(wire, 200, &[], b"fine"),
        }
    })
}

const PLACES: [&str; 9] = ["body", "raw", "error", "header", "split", "gzip", "escaped", "cut", "plain"];

fn project(vendor: &Vendor, credential: &str, trace: bool) -> Project {
    let manifest =
        format!("{SLOT}{}", http(&["GET,POST https://api.vendor.test/v1/**"], "credential = \"key\""));
    let more = "capture = \"all\"".to_owned();
    let case = Case {
        manifest,
        credentials: credential.to_owned(),
        slots: "key = \"live\"".to_owned(),
        more,
        ..Case::default()
    };
    let case = case.to(vendor, &["api.vendor.test"]);
    let project = if trace { Project::new().always(&["--log-level", "trace"]) } else { Project::new() };
    project.config(&case.config()).install(&case.component()).secret("vendor.key", CANARY);
    clean_run("approve", &project.run(&["approve", "probe", "--yes", "--digest", &case.component().digest]));
    project
}

fn credentials() -> [(&'static str, String); 4] {
    let key = |place: &str| {
        format!("[credentials.live]\nscheme = \"api-key\"\n{place}\nsecret = \"file:vendor.key\"\n")
    };
    [
        ("bearer", BEARER.to_owned()),
        ("basic", "[credentials.live]\nscheme = \"basic\"\nusername = \"someone\"\npassword = \"file:vendor.key\"\n".to_owned()),
        ("header", key("header = \"X-Api-Key\"")),
        ("query", key("query = \"api_key\"")),
    ]
}

#[test]
fn no_sink_holds_it() {
    let needles = needles();
    for (scheme, credential) in credentials() {
        let vendor = echoing(&needles);
        let project = project(&vendor, &credential, true);
        let orders: Vec<Value> =
            PLACES.iter().map(|place| order("GET", &format!("https://api.vendor.test/v1/{place}"))).collect();
        let ran = project.run_with(
            &["--json", "call", "probe", "send-each", "-"],
            json!({"requests": orders}).to_string().as_bytes(),
        );
        assert_eq!(ran.status, Some(0), "{scheme}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.lines().count() > 10, "trace logs were written: {}", ran.stderr);
        clean_run(&format!("a traced call, {scheme}"), &ran);
        // The positive control: it did arrive where it was meant to.
        let sent: Vec<u8> = vendor.asked()[0].head.clone();
        let arrived = needles.iter().any(|(_, needle)| contains(&sent, needle));
        assert!(arrived, "{scheme}: {}", String::from_utf8_lossy(&sent));

        for args in [
            &["--json", "runs"][..],
            &["--json", "logs"],
            &["logs", "--har"],
            &["runs"],
            &["logs"],
            &["--json", "connectors"],
            &["--json", "inspect", "test/probe"],
            &["--json", "check", "probe"],
            &["--json", "discover", "probe"],
            &["--json", "read", "probe", "rows"],
        ] {
            clean_run(&args.join(" "), &project.run(args));
        }
        let run = project.runs(&[])[0]["run_id"].as_str().unwrap().to_owned();
        clean_run("one run", &project.run(&["--json", "runs", "show", &run]));
        let files = project.bytes_below("data");
        assert!(
            files.iter().any(|(path, _)| path.ends_with("state.db"))
                && files.iter().any(|(path, _)| path.ends_with("exchanges.db"))
        );
        for (path, bytes) in files {
            clean(&path.display().to_string(), &bytes);
        }
        clean("the lock", &std::fs::read(project.path("portcullis.lock")).unwrap());
    }
}

#[test]
fn databases_and_their_wal_hold_nothing_after_a_kill() {
    let needles = needles();
    let vendor = echoing(&needles);
    let project = project(&vendor, BEARER, true);
    let running = project.spawn(&[
        "call",
        "probe",
        "send-many",
        r#"{"n": 1000, "method": "GET", "url": "https://api.vendor.test/v1/body"}"#,
    ]);
    portcullis_tests::wait_for("some requests", || (vendor.count() > 20).then_some(()));
    let ran = running.kill();
    clean_run("a killed call", &ran);
    let files = project.bytes_below("data");
    assert!(
        files.iter().any(|(path, _)| path.to_string_lossy().ends_with("-wal")),
        "a killed process leaves its WAL"
    );
    for (path, bytes) in files {
        clean(&path.display().to_string(), &bytes);
    }
}

#[test]
fn the_guests_memory_never_holds_it() {
    let needles = needles();
    let vendor = echoing(&needles);
    let project = project(&vendor, BEARER, false);
    // What a guest gets it can keep: so each answer is looked at as the guest got it, and its memory is searched after a call
    // to the vendor in the same instance would have left something there.
    for place in PLACES {
        let (_, report) =
            project.call("probe", "send", &order("GET", &format!("https://api.vendor.test/v1/{place}")));
        let output = &report["output"];
        clean(place, output.to_string().as_bytes());
        if let Some(body) = output["body-base64"].as_str() {
            clean(place, &STANDARD.decode(body).unwrap());
        }
    }
    let scan = |needle: &str, path: &str| {
        let (first, second) = needle.split_at(needle.len() / 2);
        let before = order("GET", &format!("https://api.vendor.test/v1/{path}"));
        let (_, report) = project.call(
            "probe",
            "memory-scan",
            &json!({"first": first, "second": second, "before": before}),
        );
        assert_eq!(report["output"]["before"], 200, "{report:#}");
        report["output"]["found"].as_u64().unwrap()
    };
    assert!(
        scan("an ordinary word of the vendor", "control") > 0,
        "what is no secret is found, so the search works"
    );
    for (encoding, needle) in &needles {
        let needle = String::from_utf8_lossy(needle).into_owned();
        assert_eq!((scan(&needle, "body"), scan(&needle, "header")), (0, 0), "in {encoding}");
    }
}

#[test]
fn an_echo_is_masked_with_its_length_and_counted() {
    let vendor = echoing(&needles());
    let project = project(&vendor, BEARER, false);
    let answer = project.send(&order("GET", "https://api.vendor.test/v1/split"));
    assert_eq!(answer["body"].as_str(), Some("*".repeat(CANARY.len()).as_str()), "{answer}");
    assert!(project.logs(&[]).iter().any(|row| row["echoes"].as_u64() > Some(0)));
}

#[test]
fn errors_name_the_reference_and_not_the_value() {
    let vendor = echoing(&needles());
    let project = project(&vendor, BEARER, false);
    // World-readable, then gone, then too short.
    project.file("vendor.key", CANARY.as_bytes());
    std::fs::set_permissions(project.path("vendor.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();
    let ask = || {
        project.run(&[
            "call",
            "probe",
            "send",
            r#"{"method": "GET", "url": "https://api.vendor.test/v1/plain"}"#,
        ])
    };
    let open = ask();
    assert!(
        !open.stdout.contains("\"status\":200"),
        "a secret that everybody may read is not used: {open:?}"
    );
    clean_run("a readable secret", &open);
    std::fs::remove_file(project.path("vendor.key")).unwrap();
    clean_run("a missing secret", &ask());
    project.secret("vendor.key", "short");
    let short = ask();
    assert!(!short.stdout.contains("\"status\":200"), "{short:?}");
    assert_eq!(vendor.count(), 0, "nothing was asked without a proper key");
}
