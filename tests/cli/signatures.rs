//! Whose work a component is: shown by `approve`, `review` and `inspect`; what is signed wrongly is refused, and what a publisher
//! with a key did not sign is taken by nobody but a person.

use crate::snapshot;
use base64::{Engine, prelude::BASE64_STANDARD};
use portcullis_tests::{
    Project,
    case::{Case, SLOT, http},
    checkout,
    guests::{Installed, probe_as},
    skip,
};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use std::{fs, path::PathBuf, process::Command};

const READ: &str = "GET https://api.vendor.test/v1/things/*";

fn manifest() -> String {
    format!("{SLOT}{}", http(&[READ], "credential = \"key\""))
}

fn version(version: &str) -> Installed {
    probe_as("test/probe", version, &manifest())
}

fn pair() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

/// As openssl prints it.
fn key(pair: &Ed25519KeyPair) -> String {
    let info = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    BASE64_STANDARD.encode([&info, pair.public_key().as_ref()].concat())
}

/// 1.0.0 is approved, unsigned, and `update` may take what asks for nothing more.
fn project(pair: Option<&Ed25519KeyPair>) -> Project {
    let more = "updates = \"same-grants\"".to_owned();
    let mut case = Case { manifest: manifest(), more, ..Case::default().bearer() };
    if let Some(pair) = pair {
        case.credentials.push_str(&format!("[publishers.test]\nkey = \"{}\"\n", key(pair)));
    }
    case.approved_with("sk_live_0123456789abcdef")
}

fn signature(project: &Project, version: &str) -> PathBuf {
    project.path(&format!("registry/test/probe/{version}.wasm.sig"))
}

fn sign(project: &Project, component: &Installed, pair: &Ed25519KeyPair) {
    fs::write(signature(project, &component.version), pair.sign(&component.bytes)).unwrap();
}

#[test]
fn what_a_publisher_with_a_key_did_not_sign_waits_for_a_person() {
    let pair = pair();
    let project = project(Some(&pair));
    project.install(&version("1.1.0"));
    let review = project.run(&["review", "probe"]);
    review.exits(4);
    snapshot!("review-unsigned", project, review);
    assert_eq!(project.run_json(&["review", "probe"]).1["verdict"], "unsigned");
    let update = project.run(&["update", "probe"]);
    update.exits(4);
    assert!(update.stdout.contains("`test` did not sign it"), "{}", update.stdout);
    let approve = project.run(&["approve", "probe"]);
    assert!(approve.stdout.contains("\n  signature UNSIGNED\n"), "{}", approve.stdout);

    // Signed, it is taken.
    sign(&project, &version("1.1.0"), &pair);
    let inspect = project.run(&["inspect", "test/probe"]);
    assert!(inspect.stdout.contains("signed   by `test`: verified"), "{}", inspect.stdout);
    assert_eq!(project.run_json(&["inspect", "test/probe"]).1["signature"], "verified");
    project.run(&["update", "probe"]).exits(0);
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    // A person may take what is unsigned.
    let unsigned = version("1.2.0");
    project.install(&unsigned).approve("probe", &unsigned);
}

#[test]
fn a_wrong_signature_is_refused_by_whoever_would_approve() {
    let (pair, other) = (pair(), pair());
    let project = project(Some(&pair));
    let (component, before) = (version("1.1.0"), version("1.0.0"));
    project.install(&component);
    let file = signature(&project, "1.1.0");
    let right = pair.sign(&component.bytes);
    let wrong: [(&str, Vec<u8>); 5] = [
        ("by another key", other.sign(&component.bytes).as_ref().to_vec()),
        ("of another version", pair.sign(&before.bytes).as_ref().to_vec()),
        ("shortened", right.as_ref()[..63].to_vec()),
        ("with more behind it", [right.as_ref(), b"\n"].concat()),
        ("empty", Vec::new()),
    ];
    for (what, bytes) in wrong {
        fs::write(&file, bytes).unwrap();
        let approve = &["approve", "probe", "--yes", "--digest", &component.digest][..];
        let all = [approve, &["review", "probe"], &["update", "probe"], &["update"]];
        for args in if what == "of another version" { &all[..] } else { &all[..1] } {
            let ran = project.run(args);
            ran.exits(4);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains("is no signature of"), "{what}: {args:?}\n{said}");
        }
        let shown = project.run(&["inspect", "test/probe"]);
        assert!(shown.exits(0).stdout.contains("signed   WRONG"), "{what}: {}", shown.stdout);
    }
    // What is no file is no signature either.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    project.run(&["approve", "probe", "--yes", "--digest", &component.digest]).exits(4);
    fs::remove_dir(&file).unwrap();
    fs::write(project.path("elsewhere.sig"), right.as_ref()).unwrap();
    std::os::unix::fs::symlink(project.path("elsewhere.sig"), &file).unwrap();
    project.run(&["approve", "probe", "--yes", "--digest", &component.digest]).exits(4);
    fs::remove_file(&file).unwrap();
    fs::write(&file, right.as_ref()).unwrap();
    project.run(&["approve", "probe", "--yes", "--digest", &component.digest]).exits(0);
}

/// What is approved and kept runs all the same: whoever looks after it learns.
#[test]
fn a_wrong_signature_beside_what_is_approved_is_found() {
    let (pair, other) = (pair(), pair());
    let project = project(Some(&pair));
    let component = version("1.0.0");
    let found = |exit: i32| {
        let ran = project.run(&["--json", "doctor"]);
        let lines = ran.exits(exit).lines();
        let about = lines.iter().find(|line| line["what"].as_str().unwrap().contains("sign")).cloned();
        about.map(|line| {
            (line["severity"].as_str().unwrap().to_owned(), line["what"].as_str().unwrap().to_owned())
        })
    };
    let (severity, what) = found(0).unwrap();
    assert_eq!(severity, "warning");
    assert!(what.contains("test/probe 1.0.0 runs unsigned"), "{what}");
    sign(&project, &component, &other);
    let (severity, what) = found(3).unwrap();
    assert_eq!(severity, "error");
    assert!(what.contains("is not of its file by the key of [publishers.test]"), "{what}");
    sign(&project, &component, &pair);
    assert_eq!(found(0).unwrap().0, "ok");
    // Nobody to ask.
    fs::remove_file(project.path("registry/test/probe/1.0.0.wasm")).unwrap();
    assert_eq!(found(0), None);
}

/// A version means one file for ever: doctor looks at the one that lies there, whoever its publisher is.
#[test]
fn a_file_that_was_exchanged_is_found() {
    let project = project(None);
    let said = |project: &Project| project.run(&["doctor"]).stdout;
    assert!(!said(&project).contains("is not what was approved"), "{}", said(&project));
    let other = probe_as(
        "test/probe",
        "1.0.0",
        &format!("{}\n[[http]]\nallow = [\"GET https://api.vendor.test/x\"]\nwhy = \"a test\"\n", manifest()),
    );
    project.install(&other);
    let told = said(&project);
    // Nor is what can't be read.
    let file = project.path("registry/test/probe/1.0.0.wasm");
    let bytes = fs::read(&file).unwrap();
    for broken in [&b""[..], b"nothing of the sort", &bytes[..bytes.len() - 1]] {
        fs::write(&file, broken).unwrap();
        assert!(said(&project).contains("is not what was approved"), "{}", said(&project));
    }
    assert!(told.contains("is not what was approved") && told.contains(&other.digest), "{told}");
    assert!(told.contains("a version means one file for ever"), "{told}");
    project.run(&["check", "probe"]).exits(0);
}

/// With a config that can't be read, nobody knows of a key: that is said, not passed over.
#[test]
fn a_file_is_looked_at_with_the_keys_or_without_a_config() {
    let pair = pair();
    let project = project(Some(&pair));
    let file = "registry/test/probe/1.0.0.wasm";
    let inspect = |config: &str| {
        let mut command = Command::new(portcullis_tests::binary());
        command.env_clear().current_dir(project.path("")).args(["--config", config, "inspect", file]);
        command.output().unwrap()
    };
    assert!(inspect("portcullis.toml").status.success());
    for broken in ["elsewhere.toml", "broken.toml"] {
        project.file("broken.toml", b"[publishers.test]\nkey = \"x\"\n");
        let ran = inspect(broken);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(3), "{said}");
        assert!(said.contains(broken) && ran.stdout.is_empty(), "{said}");
    }
    // The one that nobody named may be absent; as it lies there, it is read.
    fs::rename(project.path("portcullis.toml"), project.path("kept.toml")).unwrap();
    assert!(inspect("portcullis.toml").status.success());
    fs::rename(project.path("broken.toml"), project.path("portcullis.toml")).unwrap();
    assert_eq!(inspect("portcullis.toml").status.code(), Some(3));
}

/// The commands of docs/authors/publishing.md, as they stand there.
#[test]
fn what_openssl_makes_is_a_signature() {
    if Command::new("openssl").arg("version").output().is_err() {
        return skip("`openssl` is not installed");
    }
    let component = probe_as("acme/weather", "0.1.0", &manifest());
    let project = Project::new();
    project.config("").install(&component);
    let document = fs::read_to_string(checkout().join("docs/authors/publishing.md")).unwrap();
    let mut said = String::new();
    for command in document.lines().filter_map(|line| line.strip_prefix("$ openssl ")) {
        let mut openssl = Command::new("openssl");
        let ran = openssl.args(command.split(' ')).current_dir(project.path("")).output().unwrap();
        assert!(ran.status.success(), "{command}\n{}", String::from_utf8_lossy(&ran.stderr));
        said.push_str(&String::from_utf8(ran.stdout).unwrap());
    }
    let key = said.lines().skip_while(|line| !line.contains("BEGIN PUBLIC KEY")).nth(1).unwrap();
    project.config(&format!("[publishers.acme]\nkey = \"{key}\""));
    assert_eq!(project.run_json(&["inspect", "acme/weather"]).1["signature"], "verified");
}

#[test]
fn without_a_key_a_signature_is_shown_as_unchecked() {
    let project = project(None);
    project.install(&version("1.1.0"));
    sign(&project, &version("1.1.0"), &pair());
    let shown = project.run(&["review", "probe"]);
    assert!(shown.exits(0).stdout.contains("nobody checked"), "{}", shown.stdout);
    project.run(&["update", "probe"]).exits(0);
    let config = fs::read_to_string(project.path("portcullis.toml")).unwrap();
    for (wrong, says) in [
        (
            "[publishers.Test]\nkey = \"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\"",
            "`Test` is no publisher",
        ),
        ("[publishers.test]\nkey = \"ssh-ed25519 AAAA\"", "openssl pkey"),
        ("[publishers.test]", "`key` is missing"),
    ] {
        fs::write(project.path("portcullis.toml"), format!("{config}\n{wrong}\n")).unwrap();
        let ran = project.run(&["config", "check"]);
        ran.exits(3);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}
