//! Promise: an answer, however hostile, ends in a typed error within bounds: the rows of `corpora/bombs` as their manifest says,
//! and the process stays under 256 MiB.

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use portcullis_tests::{
    Project, Ran, Vendor,
    case::{Case, http, order},
    corpora,
    vendor::{Next, reply},
};
use serde_json::{Value, json};
use std::{fs, io::Write, path::Path};

const RESIDENT_KIB_MAX: u64 = 256 * 1024;
const URL: &str = "https://api.vendor.test/answer";

fn project(vendor: &Vendor) -> Project {
    let case = Case {
        manifest: http(&["GET https://api.vendor.test/**"], ""),
        more: "capture = \"all\"".to_owned(),
        ..Case::default()
    };
    let project = case.to(vendor, &["api.vendor.test"]).approved();
    // Compiled once, so that what is measured below is the answer and not the compiler.
    project.call("probe", "echo", &json!({}));
    project
}

/// What the guest got, and what the process took.
fn ask(project: &Project, order: &Value) -> (Value, Ran) {
    let (ran, report) = project.call("probe", "send", order);
    assert_eq!(report["outcome"], "succeeded", "the guest lived on: {report:#}");
    assert!(ran.resident_kib_max < RESIDENT_KIB_MAX, "{} KiB", ran.resident_kib_max);
    (report["output"].clone(), ran)
}

fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).unwrap()
}

/// What a body sent with this `Content-Encoding` comes to.
fn body(content_encoding: &str, body: Vec<u8>) -> Value {
    let coding = content_encoding.to_owned();
    let vendor = Vendor::tls(&["api.vendor.test"], move |_, wire| {
        let mut headers = vec![("Content-Type", "application/json"), ("Connection", "close")];
        if !coding.is_empty() {
            headers.push(("Content-Encoding", &coding));
        }
        reply(wire, 200, &headers, &body);
        Next::Close
    });
    ask(&project(&vendor), &order("GET", URL)).0
}

#[test]
fn a_gzip_bomb_stops_at_the_limit() {
    let Some(bombs) = corpora("bombs") else { return };
    for name in ["zeros-100MiB.gz", "many-members-1MiBeach.gz"] {
        let answer = body("gzip", bytes(&bombs, name));
        over_the_ratio(&answer, name);
    }
}

#[track_caller]
fn over_the_ratio(answer: &Value, name: &str) {
    assert_eq!(
        (&answer["error"], &answer["detail"]),
        (&"malformed".into(), &"compressed more than 200 to 1".into()),
        "{name}: {answer}"
    );
}

/// A gzip body in chunks of this size, each flushed.
fn in_chunks(wire: Vec<u8>, size: usize) -> Value {
    let vendor = Vendor::tls(&["api.vendor.test"], move |_, out| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut open = out.write_all(head).is_ok();
        for part in wire.chunks(size) {
            let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
            // Who has seen enough hangs up.
            open = open && out.write_all(&chunk).and_then(|()| out.flush()).is_ok();
        }
        let _left = out.write_all(b"0\r\n\r\n");
        Next::Close
    });
    ask(&project(&vendor), &order("GET", URL)).0
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn how_a_body_arrives_decides_nothing() {
    // Below the limit of a body, and far above the ratio.
    let bomb = gzip(&vec![0; 4 << 20]);
    // As a whole below the ratio as well: what makes it so comes after what had to be refused.
    let mut seed = 1_u64;
    let rest = (0..64 << 10).map(|_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    });
    let dense = gzip(&[0].repeat(4 << 20).into_iter().chain(rest).collect::<Vec<u8>>());
    assert!(bomb.len() < 8 << 10 && dense.len() > 64 << 10);
    for size in [7, 1000, usize::MAX] {
        over_the_ratio(&in_chunks(bomb.clone(), size), &format!("4 MiB of zeros by {size}"));
    }
    for size in [1000, usize::MAX] {
        over_the_ratio(&in_chunks(dense.clone(), size), &format!("a dense start by {size}"));
    }
    let free = gzip(&vec![0; 1 << 20]);
    assert_eq!(in_chunks(free, usize::MAX)["status"], 200, "the twin: a small body may compress as it likes");
}

#[test]
fn a_broken_gzip_body_is_no_short_success() {
    let Some(bombs) = corpora("bombs") else { return };
    for name in ["truncated.gz", "bad-crc.gz", "trailing-garbage.gz", "not-gzip.bin"] {
        let answer = body("gzip", bytes(&bombs, name));
        assert_eq!(answer["error"], "malformed", "{name}: {answer}");
    }
}

#[test]
fn one_layer_is_all_there_is() {
    let Some(bombs) = corpora("bombs") else { return };
    let answer = body("gzip, gzip, gzip, gzip, gzip", bytes(&bombs, "nested-gz-x5.gz"));
    assert_eq!(answer["error"], "malformed", "{answer}");
    let answer = body("compress", bytes(&bombs, "not-gzip.bin"));
    assert_eq!(answer["error"], "malformed", "a coding that was not asked for: {answer}");
}

#[test]
fn bombs_in_other_codings_stop_at_the_limit() {
    let Some(bombs) = corpora("bombs") else { return };
    for (name, coding) in
        [("zeros-100MiB.zlib", "deflate"), ("zeros-1GiB.br", "br"), ("zeros-1GiB.zst", "zstd")]
    {
        let answer = body(coding, bytes(&bombs, name));
        over_the_ratio(&answer, name);
    }
    for (name, coding) in [("deflate-raw.bin", "deflate"), ("window-128MiB.zst", "zstd")] {
        let answer = body(coding, bytes(&bombs, name));
        assert_eq!(answer["error"], "malformed", "{name}: {answer}");
    }
}

#[test]
fn an_honest_gzip_body_passes() {
    let Some(bombs) = corpora("bombs") else { return };
    let answer = body("gzip", bytes(&bombs, "slow-ratio-text.gz"));
    assert_eq!(answer["status"], 200, "{}", answer["error"]);
    assert_eq!(STANDARD.decode(answer["body-base64"].as_str().unwrap()).unwrap().len(), 64_000);
}

#[test]
fn many_empty_members_cost_little() {
    let Some(bombs) = corpora("bombs") else { return };
    let answer = body("gzip", bytes(&bombs, "many-members-10k.gz"));
    assert_eq!(
        (&answer["error"], &answer["detail"]),
        (&"malformed".into(), &"more than 1000 gzip members".into()),
        "{answer}"
    );
}

#[test]
fn headers_are_bounded() {
    let Some(bombs) = corpora("bombs") else { return };
    for name in ["headers-100k.txt", "header-1MiB-line.txt"] {
        let block = bytes(&bombs, name);
        let vendor = Vendor::tls(&["api.vendor.test"], move |_, wire| {
            let head = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".as_slice(), &block, b"\r\n"].concat();
            // A client that hangs up in the middle is what is wanted.
            let _left = wire.write_all(&head);
            Next::Close
        });
        let answer = ask(&project(&vendor), &order("GET", URL)).0;
        assert!(answer["error"].is_string() && answer["error"] != "denied", "{name}: {answer}");
    }
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| {
        let headers: Vec<(String, String)> = (0..100).map(|n| (format!("X-H{n}"), "v".to_owned())).collect();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        reply(wire, 200, &headers, b"")
    });
    assert_eq!(ask(&project(&vendor), &order("GET", URL)).0["status"], 200);
}

#[test]
fn hostile_json_passes_through_as_bytes() {
    let Some(bombs) = corpora("bombs") else { return };
    for name in [
        "json-depth-100k.json",
        "json-depth-obj-20k.json",
        "json-dup-keys.json",
        "json-number-huge.json",
        "json-exp.json",
        "json-keys-100k.json",
    ] {
        let sent = bytes(&bombs, name);
        let length = sent.len();
        // `capture = "all"`: the log's tokenizer reads it too.
        let answer = body("", sent);
        assert_eq!(
            (&answer["status"], answer["body"].as_str().map(str::len)),
            (&200.into(), Some(length)),
            "{name}: {}",
            answer["error"]
        );
    }
}

#[test]
fn hostile_json_as_input_is_refused_or_echoed() {
    let Some(bombs) = corpora("bombs") else { return };
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b""));
    let project = project(&vendor);
    for (name, code, said) in [
        ("json-depth-100k.json", 2, "nested deeper than 127 levels"),
        ("json-depth-obj-20k.json", 2, "nested deeper than 127 levels"),
        ("json-dup-keys.json", 2, "one key twice"),
        ("json-number-huge.json", 1, "number out of range"),
        ("json-exp.json", 1, "number out of range"),
        ("json-keys-100k.json", 2, "more than 1048576"),
    ] {
        let ran = project.run_with(&["call", "probe", "echo", "-"], &bytes(&bombs, name));
        assert_eq!(ran.status, Some(code), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{name}: {}", ran.stderr);
        assert!(ran.resident_kib_max < RESIDENT_KIB_MAX, "{name}: {} KiB", ran.resident_kib_max);
    }
}

#[test]
fn a_deep_config_is_a_fault_with_its_place() {
    let Some(bombs) = corpora("bombs") else { return };
    for name in [
        "toml-depth-20k.toml",
        "toml-dotted-20k.toml",
        "billion-laughs.yaml",
        "yaml-self-alias.yaml",
        "yaml-merge.yaml",
        "yaml-norway.yaml",
    ] {
        let project = Project::new();
        project.file("portcullis.toml", &bytes(&bombs, name));
        let ran = project.run(&["connectors"]);
        ran.exits(3);
        assert!(ran.stderr.contains("portcullis.toml"), "{name}: {}", ran.stderr);
        assert!(ran.resident_kib_max < RESIDENT_KIB_MAX, "{name}: {} KiB", ran.resident_kib_max);
    }
}

/// What is wanted of each: above what a body may compress to, far below what the bombs hold.
const PIECEWISE_BYTES_MAX: u64 = 32 << 20;

/// What becomes of a file of `bombs` that is read in pieces or kept.
#[derive(Clone, Copy)]
enum Piecewise {
    /// An error whose detail says this.
    Ends(&'static str),
    /// An error, whichever.
    Fails,
    /// So many bytes.
    Passes(u64),
}

/// Name, coding and what is to come of it.
fn piecewise_rows(folder: &Path) -> Vec<(String, &'static str, Piecewise)> {
    use Piecewise::{Ends, Fails, Passes};
    const RATIO: &str = "compressed more than 200 to 1";
    const LAYERS: &str = "more than one content coding";
    let mut rows = vec![
        ("zeros-100MiB.gz", "gzip", Ends(RATIO)),
        ("many-members-1MiBeach.gz", "gzip", Ends(RATIO)),
        ("many-members-10k.gz", "gzip", Ends("more than 1000 gzip members")),
        ("zeros-100MiB.zlib", "deflate", Ends(RATIO)),
        ("zeros-1GiB.br", "br", Ends(RATIO)),
        ("zeros-1GiB.zst", "zstd", Ends(RATIO)),
        ("nested-gz-x5.gz", "gzip, gzip, gzip, gzip, gzip", Ends(LAYERS)),
        ("window-128MiB.zst", "zstd", Ends("")),
        ("truncated.gz", "gzip", Ends("")),
        ("bad-crc.gz", "gzip", Ends("")),
        ("trailing-garbage.gz", "gzip", Ends("")),
        ("not-gzip.bin", "gzip", Ends("")),
        ("deflate-raw.bin", "deflate", Ends("")),
        ("headers-100k.txt", "", Fails),
        ("header-1MiB-line.txt", "", Fails),
        ("slow-ratio-text.gz", "gzip", Passes(64_000)),
    ];
    let manifest = fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let names: Vec<&str> = manifest.lines().skip(1).filter_map(|line| line.split('\t').next()).collect();
    let mut all: Vec<_> =
        rows.drain(..).map(|(name, coding, came)| (name.to_owned(), coding, came)).collect();
    for name in names {
        // What has no coding is bytes like any other here.
        if all.iter().all(|(known, ..)| known != name) {
            all.push((name.to_owned(), "", Passes(fs::metadata(folder.join(name)).unwrap().len())));
        }
    }
    all
}

#[test]
fn bombs_in_pieces_stop_at_the_limit() {
    let Some(bombs) = corpora("bombs") else { return };
    let rows = piecewise_rows(&bombs);
    assert_eq!(rows.len(), 29, "the vectors changed: look at them");
    let files: Vec<(String, &'static str, Vec<u8>)> =
        rows.iter().map(|(name, coding, _)| (name.clone(), *coding, bytes(&bombs, name))).collect();
    let vendor = Vendor::tls(&["api.vendor.test"], move |asked, wire| {
        let found = files.iter().find(|(name, ..)| asked.path() == format!("/{name}"));
        let Some((name, coding, bytes)) = found else {
            return endless(wire);
        };
        if name.starts_with("header") {
            let head = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n".as_slice(), bytes, b"\r\n"].concat();
            // A client that hangs up in the middle is what is wanted.
            let _left = wire.write_all(&head);
            return Next::Close;
        }
        let coding = [("Content-Encoding", *coding)];
        reply(wire, 200, if coding[0].1.is_empty() { &[] } else { &coding }, bytes);
        Next::Close
    });
    let project = project(&vendor);
    for by in ["open", "download"] {
        let order = |name: &str| json!({"url": format!("https://api.vendor.test/{name}"), "by": by, "max-response": PIECEWISE_BYTES_MAX});
        let mut orders: Vec<Value> = rows.iter().map(|(name, ..)| order(name)).collect();
        orders.push(order("endless"));
        let (ran, report) = project.call("probe", "send-each", &json!({"requests": orders}));
        assert_eq!(report["outcome"], "succeeded", "{by}: the guest lived on: {report:#}");
        assert!(ran.resident_kib_max < RESIDENT_KIB_MAX, "{by}: {} KiB", ran.resident_kib_max);
        let answers = report["output"].as_array().unwrap();
        for ((name, _, came), answer) in rows.iter().zip(answers) {
            // A body that is read in pieces ends with its error; a kept one never was.
            let ended = if answer["ended"].is_null() { answer } else { &answer["ended"] };
            let size = if by == "open" { &answer["bytes"] } else { &answer["size"] };
            match came {
                Piecewise::Passes(bytes) => {
                    assert_eq!(
                        (&ended["error"], size),
                        (&Value::Null, &json!(bytes)),
                        "{by} {name}: {answer}"
                    );
                }
                Piecewise::Ends(why) => {
                    assert_eq!(ended["error"], "malformed", "{by} {name}: {answer}");
                    assert!(ended["detail"].as_str().unwrap().contains(why), "{by} {name}: {answer}");
                }
                Piecewise::Fails => {
                    let why = ended["error"].as_str();
                    assert!(why.is_some_and(|why| why != "denied"), "{by} {name}: {answer}");
                }
            }
            assert!(size.as_u64().unwrap_or(0) <= PIECEWISE_BYTES_MAX, "{by} {name}: {answer}");
        }
        let endless = &answers[rows.len()];
        let ended = if by == "open" { &endless["ended"] } else { endless };
        assert_eq!(
            (&ended["error"], &ended["detail"]),
            (&"too-large".into(), &json!(PIECEWISE_BYTES_MAX)),
            "{by}: {endless}"
        );
        assert!(endless["bytes"].as_u64().unwrap_or(0) <= PIECEWISE_BYTES_MAX, "{by}: {endless}");
    }
    assert!(project.bytes_below("data/spool").is_empty(), "nothing of it is kept");
}

/// Chunks until nobody takes them.
fn endless(wire: &mut dyn Write) -> Next {
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x1_0000], b"\r\n"].concat();
    let mut open = wire.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_ok();
    while open {
        open = wire.write_all(&chunk).and_then(|()| wire.flush()).is_ok();
    }
    Next::Close
}

/// A vendor that writes these bytes and does what comes next.
fn raw(answer: &'static [u8], next: Next) -> Vendor {
    Vendor::tls(&["api.vendor.test"], move |_, wire| {
        let _left = wire.write_all(answer);
        next
    })
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 99999 No\r\n\r\n",
        b"",
    ] {
        let vendor = raw(answer, Next::Close);
        let got = ask(&project(&vendor), &order("GET", URL)).0;
        assert!(
            got["error"].is_string() && got["error"] != "denied",
            "{:?}: {got}",
            String::from_utf8_lossy(answer)
        );
    }
}

#[test]
fn a_body_without_end_stops_at_the_limit() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| endless(wire));
    let answer = ask(&project(&vendor), &order("GET", URL)).0;
    assert_eq!(answer["error"], "too-large", "{answer}");
    let small = ask(&project(&vendor), &json!({"method": "GET", "url": URL, "max-response": 1000})).0;
    assert_eq!((&small["error"], &small["detail"]), (&"too-large".into(), &1000.into()), "{small}");
}

#[test]
fn a_silent_vendor_is_not_waited_for() {
    let vendor = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", Next::Keep);
    let answer = ask(&project(&vendor), &json!({"method": "GET", "url": URL, "timeout-ms": 500})).0;
    assert_eq!(answer["error"], "timeout", "{answer}");
}
