//! Promise: a guest of 64 MiB moves bodies of any size. A download whose connection is cut again and again arrives
//! whole; its bytes go up in slices of which some are cut, each sent again, and once more as one multipart body; every
//! byte is compared. The short form runs with the suite; `just large` runs the same code over 2 GiB.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod server;

use portcullis_tests::{
    Project,
    case::{Case, http},
};
use serde_json::{Value, json};
use server::{Scale, Server};
use std::time::Instant;

const MIB: u64 = 1 << 20;

fn project(server: &Server, limits: &str) -> Project {
    let case = Case {
        manifest: http(&["GET,PUT,POST http://api.vendor.test/**"], ""),
        connect_to: vec![("api.vendor.test:80".to_owned(), format!("127.0.0.1:{}", server.port))],
        addresses: vec!["127.0.0.1/32".to_owned()],
        limits: format!("memory = \"64MiB\"\ntimeout = \"600s\"\n{limits}"),
        ..Case::default()
    };
    case.approved()
}

fn output(project: &Project, action: &str, order: &Value) -> Value {
    let (ran, report) = project.call("probe", action, order);
    assert_eq!(report["outcome"], "succeeded", "{report:#}\n{}", ran.stderr);
    report["output"].clone()
}

/// Down, up in slices, up in one: with a fault each so many bytes.
fn moves(scale: Scale) {
    let (total, slices) = (scale.total, scale.slices.clone());
    let server = Server::start(scale);
    let project = project(&server, "bytes-out = \"1024GiB\"\nspool = \"4GiB\"");
    let order = json!({ "url": "http://api.vendor.test", "slices": slices });
    let began = Instant::now();
    let (ran, report) = project.call("probe", "large", &order);
    assert_eq!(report["outcome"], "succeeded", "{report:#}\n{}", ran.stderr);
    let output = &report["output"];
    let seen = server.seen();
    assert_eq!(output["size"], json!(total), "{output}");
    assert_eq!(output["sha256"], json!(server::sha256(total)), "{output}");
    assert_eq!(output["failed"], json!([]), "every slice was sent again until it arrived");
    assert_eq!(seen.wrong, 0, "bytes that differ");
    assert_eq!(seen.uploaded(), Some(total), "the slices are the whole, each once");
    assert_eq!((output["form"].as_u64(), seen.form), (Some(200), Some(total)), "{output}");
    println!(
        "{} MiB down with {} faults, up in {} slices with {} faults, up in one: {:?}, {} KiB resident",
        total / MIB,
        seen.downs - 1,
        seen.parts.len(),
        seen.up_faults,
        began.elapsed(),
        ran.resident_kib_max
    );
    assert!(seen.downs > 15 && seen.up_faults > 10, "{seen:?}");
    assert!(ran.resident_kib_max < 512 * 1024, "{} KiB", ran.resident_kib_max);
    assert!(project.bytes_below("data/spool").is_empty(), "the run is over, and so are its blobs");
}

/// `just large` says how many MiB instead, and takes minutes and that much disk.
#[test]
fn a_body_larger_than_the_guest_may_be_is_moved_in_spite_of_faults() {
    let large = std::env::var("LARGE_MIB").ok().map(|mib| mib.parse::<u64>().expect("a number of MiB"));
    moves(match large {
        Some(mib) => {
            Scale { total: mib * MIB, fault: 100 * MIB, slices: vec![8 * MIB, 16 * MIB, 32 * MIB, 64 * MIB] }
        }
        None => Scale {
            total: 80 * MIB + 12_345,
            fault: 5 * MIB - 77,
            slices: vec![MIB / 4, MIB / 2, MIB, 2 * MIB],
        },
    });
}

#[test]
fn a_blob_is_of_one_run() {
    let server = Server::start(Scale { total: MIB, fault: 5 * MIB, slices: Vec::new() });
    let project = project(&server, "");
    let kept = output(&project, "download", &json!({ "url": "http://api.vendor.test/file" }));
    assert_eq!(kept["status"], 200);
    let blob = kept["blob"].as_str().unwrap();
    let missing = json!({ "error": "not-found", "detail": null });
    for action in ["blob-stat", "blob-read"] {
        assert_eq!(output(&project, action, &json!({ "blob": blob })), missing, "{action}");
    }
    let order = json!({ "url": "http://api.vendor.test/part?offset=0", "method": "PUT", "blob": blob });
    assert_eq!(output(&project, "send", &order)["error"], "malformed");
    assert!(server.seen().parts.is_empty());
}

#[test]
fn too_much_is_an_error_and_leaves_nothing() {
    let server = Server::start(Scale { total: 8 * MIB, fault: 16 * MIB, slices: Vec::new() });
    let project = project(&server, "spool = \"1MiB\"");
    let order = json!({ "url": "http://api.vendor.test/file" });
    let over = json!({ "error": "too-large", "detail": MIB });
    assert_eq!(output(&project, "download", &order), over);
    let quota = output(&project, "blob-write", &json!({ "body-bytes": 600_000, "n": 2 }));
    assert_eq!(quota, json!({ "error": "quota", "detail": MIB }));
    assert!(project.bytes_below("data/spool").is_empty());
}

#[test]
fn what_a_killed_run_left_is_gone_after_the_next_start() {
    let server = Server::start(Scale { total: MIB, fault: 5 * MIB, slices: Vec::new() });
    let project = project(&server, "");
    output(&project, "echo", &json!({}));
    std::fs::create_dir_all(project.path("data/spool/run_killed/conn_1")).unwrap();
    project.file("data/spool/run_killed/conn_1/blob", b"left");
    output(&project, "echo", &json!({}));
    assert!(!project.path("data/spool/run_killed").exists());
}
