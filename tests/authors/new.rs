//! `new`, and what becomes of it: tests, build, approval, a call, a read.

use crate::{Author, both};
use portcullis_tests::{
    Asked, Project, Vendor, checkout,
    guests::{self, Installed},
    vendor::{reply, reply_json},
};
use serde_json::json;
use std::{fs, io::Write};

const TOKEN: &str = "tok_author_41fa9c02";
const HOST: &str = "api.example.com";

/// Two pages of items, and what makes one.
fn vendor() -> Vendor {
    let answer = |asked: &Asked, wire: &mut dyn Write| match (&*asked.method, asked.path()) {
        ("GET", "/v1/items") if asked.query().contains("cursor=p2") => {
            reply_json(wire, &json!({"items": [{"id": "b", "updated_at": "2026-03-01"}], "next": null}))
        }
        ("GET", "/v1/items") => {
            reply_json(wire, &json!({"items": [{"id": "a", "updated_at": "2026-03-02"}], "next": "p2"}))
        }
        ("POST", "/v1/items") => reply_json(wire, &json!({"id": "c", "updated_at": "2026-03-03"})),
        ("PUT", "/v1/items/a") => reply_json(wire, &json!({})),
        ("PUT", "/v1/items/b") => {
            reply(wire, 422, &[("Content-Type", "application/json")], br#"{"message": "name is empty"}"#)
        }
        _ => reply(wire, 404, &[], b"{}"),
    };
    Vendor::tls(&[HOST], answer)
}

/// An operator's project with this component and a vendor.
fn project(component: &Installed, port: u16) -> Project {
    let project = Project::new();
    let name = format!("{}/{}", component.publisher, component.name);
    project.secret("example.key", TOKEN).install(component).config(&format!(
        r#"
[credentials.example]
scheme = "bearer"
secret = "file:example.key"

[connections.example]
connector = "{name}@^0.1"
credentials = {{ api-key = "example" }}
allow = "requested"
[connections.example.network]
connect-to = {{ "{HOST}:443" = "127.0.0.1:{port}" }}
ca-file = "ca.pem"
addresses = ["127.0.0.1/32"]
"#
    ));
    project
}

/// `new` with these roles, `cargo test`, `test`, `build`; what was built.
#[track_caller]
fn built(author: &Author, name: &str, roles: &[&str]) -> Installed {
    let roles: Vec<&str> = roles.iter().flat_map(|role| ["--role", role]).collect();
    let folder = "weather";
    author.json("", &[&["new", name, "--dir", folder][..], &roles[..]].concat());
    author.tests_pass(folder);
    let _alone = guests::alone();
    let played = author.portcullis("", &["test", folder]);
    assert!(played.status.success(), "{}", both(&played));
    let told = author.json("", &["build", folder]);
    assert!(told["milliseconds"].as_u64().unwrap() > 0 && told["size"].as_u64().unwrap() > 10_000, "{told}");
    assert!(
        told["imports"].as_array().unwrap().iter().any(|import| import == "portcullis:connector/types@0.1.0")
    );
    let file = author.path("").join(told["file"].as_str().unwrap());
    let component = Installed::of(fs::read(file).unwrap());
    assert_eq!(told["digest"], json!(component.digest));
    component
}

#[test]
fn a_source_is_read_at_once_and_its_digest_does_not_depend_on_its_folder() {
    let author = Author::shipping();
    let component = built(&author, "acme/weather", &["source"]);
    let vendor = vendor();
    let project = project(&component, vendor.port());
    project.run(&["read", "example", "items"]).exits(4);
    assert_eq!(vendor.count(), 0, "nothing is asked before it is approved");
    project.approve("example", &component);
    project.run(&["check", "example"]).exits(0);
    let ran = project.run(&["read", "example", "items", "--validate"]);
    ran.exits(0);
    let ids: Vec<_> = ran.lines().iter().map(|record| record["id"].clone()).collect();
    assert_eq!(ids, ["a", "b"]);
    let bearer = format!("Bearer {TOKEN}");
    assert!(vendor.asked().iter().all(|asked| asked.header("authorization") == Some(bearer.as_str())));

    let elsewhere = Author::elsewhere();
    fs::create_dir(elsewhere.path("an other")).unwrap();
    elsewhere.json("an other", &["new", "acme/weather", "--dir", "deeper/w"]);
    let _alone = guests::alone();
    let again = elsewhere.json("an other/deeper", &["build", "w"]);
    assert_eq!(again["digest"], json!(component.digest));
}

#[test]
fn an_action_is_called_at_once() {
    let author = Author::new();
    let component = built(&author, "acme/orders", &["action"]);
    let vendor = vendor();
    let project = project(&component, vendor.port());
    project.run(&["call", "example", "create-item", r#"{"name": "Ada"}"#]).exits(4);
    project.approve("example", &component);
    project.run(&["call", "example", "create-item", r#"{"nmae": "Ada"}"#]).exits(2);
    assert_eq!(vendor.count(), 0, "neither before the approval nor with another input");
    let (ran, told) = project.call("example", "create-item", &json!({"name": "Ada"}));
    ran.exits(0);
    assert_eq!(told["output"]["id"], "c", "{told}");
    let asked = vendor.asked();
    assert_eq!((asked.len(), &asked[0].body[..]), (1, &br#"{"name":"Ada"}"#[..]));
    assert_eq!(asked[0].count("idempotency-key"), 1);
}

#[test]
fn both_are_one_connector() {
    let author = Author::new();
    let component = built(&author, "acme/both", &["source", "action"]);
    let vendor = vendor();
    let project = project(&component, vendor.port());
    project.approve("example", &component);
    project.run(&["read", "example", "items", "--validate"]).exits(0);
    project.call("example", "create-item", &json!({"name": "Ada"})).0.exits(0);
    assert_eq!(vendor.count(), 3);
}

#[test]
fn a_batch_is_written_at_once() {
    let author = Author::new();
    let component = built(&author, "acme/lake", &["destination"]);
    let vendor = vendor();
    let project = project(&component, vendor.port());
    let batch = author.path("weather/tests/batch.ndjson");
    let command =
        ["write", "example", "items", batch.to_str().unwrap(), "--mode", "upsert", "--primary-key", "id"];
    project.run(&command).exits(4);
    project.approve("example", &component);
    project.run(&[&command[..], &["--dry-run"]].concat()).exits(0);
    assert_eq!(vendor.count(), 0, "neither before the approval nor in a dry run");
    let (ran, told) = project.run_json(&command);
    ran.exits(9);
    let rejected = json!([{"line": 2, "error": {"kind": "invalid-input", "message": "vendor answered 422: name is empty"}}]);
    assert_eq!((&told["output"]["lines"], &told["output"]["rejected"]), (&json!(2), &rejected), "{told}");
    let asked = vendor.asked();
    let sent: Vec<_> = asked.iter().map(|asked| (&*asked.method, asked.path(), &asked.body[..])).collect();
    let (a, b) = (&br#"{"id": "a", "name": "Ada"}"#[..], &br#"{"id": "b", "name": ""}"#[..]);
    assert_eq!(sent, [("PUT", "/v1/items/a", a), ("PUT", "/v1/items/b", b)]);
}

#[test]
fn a_delivery_is_handled_at_once() {
    let author = Author::new();
    let component = built(&author, "acme/bell", &["webhook"]);
    let project = Project::new();
    project
        .install(&component)
        .config("[connections.example]\nconnector = \"acme/bell@^0.1\"\nallow = \"requested\"\n");
    let delivery = author.path("weather/tests/delivery.json");
    let command = ["deliver", "example", delivery.to_str().unwrap()];
    project.run(&command).exits(4);
    project.approve("example", &component);
    let (ran, told) = project.run_json(&command);
    ran.exits(0);
    let event = &told["output"]["events"][0];
    assert_eq!((&event["name"], &event["id"]), (&json!("item.created"), &json!("e1")), "{told}");
}

#[test]
fn all_roles_are_one_connector() {
    let author = Author::new();
    built(&author, "acme/all", &["webhook", "destination", "source", "action"]);
}

#[test]
fn nothing_is_overwritten() {
    let author = Author::new();
    author.json("", &["new", "acme/weather"]);
    let code = author.path("weather/src/lib.rs");
    fs::write(&code, "mine").unwrap();
    fs::create_dir(author.path("empty")).unwrap();
    fs::write(author.path("file"), "mine").unwrap();
    std::os::unix::fs::symlink("nowhere", author.path("link")).unwrap();
    for dir in ["weather", "empty", "file", "link", "."] {
        let ran = author.portcullis("", &["new", "acme/weather", "--dir", dir]);
        assert_eq!(ran.status.code(), Some(3), "{dir}\n{}", both(&ran));
        assert!(
            both(&ran).contains("nothing is overwritten") && both(&ran).contains("--dir"),
            "{}",
            both(&ran)
        );
    }
    assert_eq!(fs::read(&code).unwrap(), b"mine");
    assert_eq!(fs::read_dir(author.path("empty")).unwrap().count(), 0);
    let mut left: Vec<_> =
        fs::read_dir(author.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["empty", "file", "link", "weather"], "and nothing half-made is left");
}

#[test]
fn names_are_those_of_manifests() {
    let author = Author::new();
    for name in ["weather", "Acme/weather", "acme/", "acme/we ather", "acme/../up", "a/b/c", ""] {
        let ran = author.portcullis("", &["new", name]);
        assert_eq!(ran.status.code(), Some(2), "{name}\n{}", both(&ran));
        assert!(both(&ran).contains("publisher/name"), "{}", both(&ran));
    }
    let ran = author.portcullis("", &["new", "acme/weather", "--role", "migration"]);
    assert_eq!(ran.status.code(), Some(2));
    assert!(both(&ran).contains("source, action, destination, webhook"), "{}", both(&ran));
    assert_eq!(fs::read_dir(author.path("")).unwrap().count(), 0);
    // The longest, and what no crate may be called.
    for name in [&*format!("{0}/{0}", "9".repeat(63)), "acme/2captcha", "acme/serde", "acme/self"] {
        author.json("", &["new", name]);
        let folder = name.split_once('/').unwrap().1;
        let read = author
            .command("cargo", folder)
            .args(["metadata", "--format-version=1", "--locked"])
            .output()
            .unwrap();
        assert!(read.status.success(), "{name}\n{}", String::from_utf8_lossy(&read.stderr));
    }
}

#[test]
fn another_sdk_is_named_and_none_is_written() {
    let author = Author::new();
    let sdk = checkout().join("sdk/rust");
    author.json("", &["new", "acme/weather", "--sdk-path", sdk.to_str().unwrap()]);
    assert!(!author.path("weather/sdk").exists());
    let cargo = fs::read_to_string(author.path("weather/Cargo.toml")).unwrap();
    assert!(cargo.contains(&format!("portcullis-sdk = {{ path = \"{}\" }}", sdk.display())), "{cargo}");
    author.tests_pass("weather");
    for wrong in ["weather", "nowhere"] {
        let ran = author.portcullis("", &["new", "acme/other", "--sdk-path", wrong]);
        assert_eq!(ran.status.code(), Some(3), "{}", both(&ran));
        assert!(both(&ran).contains("--sdk-path"), "{}", both(&ran));
    }
    assert!(!author.path("other").exists());
}
