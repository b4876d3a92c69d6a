//! Every field of the lock is held against the component and the config: one that was edited lets nothing run.

use portcullis_tests::{
    Project, Vendor,
    case::{BEARER, Case, SLOT, http, order},
    vendor::reply,
};
use std::{collections::BTreeSet, fs};

const OTHER_DIGEST: &str = "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"";

/// Where the field stands in the lock, what it is edited to, and what the refusal says.
const ROWS: &[(&str, &str, &str)] = &[
    ("connector", "\"test/other\"", "connector: the lock says test/other"),
    ("version", "\"1.9.9\"", "version: the lock says 1.9.9"),
    ("digest", OTHER_DIGEST, "digest"),
    ("position-version", "2", "position-version: the lock says 2"),
    ("config-version", "2", "config-version: the lock says 2"),
    ("roles", "[\"actions\"]", "roles: approved"),
    ("imports", "[]", "imports: approved"),
    ("origins.search", "\"https://other.test\"", "origin `search`: approved `https://other.test`"),
    ("http.place", "\"http[7].allow[7]\"", "`place` is not what was approved"),
    ("http.allow", "\"GET https://other.test/**\"", "`allow` is not what was approved"),
    ("http.credential", "[]", "`credential` is not what was approved"),
    ("http.idempotency", "{ header = \"Idempotency-Key\", window = \"1h\" }", "`idempotency` is not"),
    ("http.safe", "false", "`safe` is not what was approved"),
    ("http.redirect", "\"guest\"", "`redirect` is not what was approved"),
    ("http.guest-headers", "[\"forwarded\"]", "`guest-headers` is not what was approved"),
    ("http.query", "{ page = \"*\", more = \"*\" }", "`query` is not what was approved"),
    ("http.why", "\"another reason\"", "`why` is not what was approved"),
    ("credentials.credential", "\"other\"", "credential of slot `key`: approved `other`"),
    ("credentials.scheme", "\"basic\"", "credential of slot `key`: approved `live` (basic"),
    (
        "credentials.place",
        "\"header x-key\"",
        "credential of slot `key`: approved `live` (bearer, header x-key)",
    ),
    ("folders.path", "\"./other\"", "folder `out`: approved `./other` (write), now `./out` (write)"),
    ("folders.access", "\"read\"", "folder `out`: approved `./out` (read), now `./out` (write)"),
    ("network.roots", "\"system\"", "roots: approved system"),
    ("network.ca-file", OTHER_DIGEST, "ca-file: approved sha256:0000"),
    ("network.addresses", "[\"10.0.0.0/8\"]", "addresses: approved"),
    ("network.connect-to", "\"127.0.0.1:1\"", "connect-to `api.vendor.test:443`: approved `127.0.0.1:1`"),
];

const FOLDER: &str = "[folders.out]\naccess = \"write\"\nwhy = \"a test\"\n\n";

/// What says nothing of the component or the config: who approved, and when.
const OWN: [&str; 2] = ["approval-id", "approved-at"];

/// Each value of a printed lock: its field, and the lines that it takes.
fn fields(lock: &str) -> Vec<(String, std::ops::Range<usize>)> {
    let lines: Vec<&str> = lock.lines().collect();
    let mut section = "";
    let mut found: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(header) = line.strip_prefix("[") {
            let header = header.trim_matches(['[', ']']);
            // Slots and endpoints are names, the rest are fields.
            let (_, inside) = header.split_once("approvals.probe").unwrap();
            section = inside.trim_start_matches('.');
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with(['#', ' '])) {
            let key = match section {
                "" => key.to_owned(),
                "network.connect-to" => section.to_owned(),
                _ => format!("{}.{key}", section.split('.').next().unwrap()),
            };
            let long = line.ends_with(" = [");
            let end = if long { at + lines[at..].iter().position(|line| *line == "]").unwrap() } else { at };
            found.push((key, at..end + 1));
        }
    }
    found.retain(|(key, _)| key != "format");
    found
}

/// The lock with the first value of this field replaced.
fn edited(lock: &str, field: &str, value: &str) -> String {
    let (_, range) =
        fields(lock).into_iter().find(|(key, _)| key == field).unwrap_or_else(|| panic!("{field}"));
    let mut lines: Vec<String> = lock.lines().map(str::to_owned).collect();
    let (key, _) = lines[range.start].split_once(" = ").unwrap();
    let line = format!("{key} = {value}");
    assert_ne!(lines[range.clone()].join("\n"), line, "{field} is edited");
    lines.splice(range, [line]);
    lines.join("\n") + "\n"
}

/// An approval that uses every field.
fn approved(vendor: &Vendor) -> Project {
    let rules = [
        http(
            &["GET https://api.vendor.test/**"],
            "credential = \"key\"\nredirect = \"follow\"\nguest-headers = [\"cookie\"]\nquery = { page = \"*\" }",
        ),
        http(&["POST {origin.search}/search"], "safe = true"),
        http(
            &["POST https://api.vendor.test/things"],
            "idempotency = { header = \"Idempotency-Key\", window = \"24h\" }",
        ),
    ];
    let case = Case {
        manifest: format!("capabilities = [\"files\"]\n\n{SLOT}{FOLDER}{}", rules.concat()),
        credentials: BEARER.to_owned(),
        slots: "key = \"live\"".to_owned(),
        more: "origins = { search = \"https://api.vendor.test\" }\nfolders = { out = \"./out\" }".to_owned(),
        ..Case::default()
    };
    let case = case.to(vendor, &["api.vendor.test"]);
    let project = case.project();
    fs::create_dir(project.path("out")).unwrap();
    fs::create_dir(project.path("other")).unwrap();
    project.secret("vendor.key", "sk_live_51Hq0ZkE9canary7Yw").approve("probe", &case.component());
    project
}

#[test]
fn every_field_of_the_lock_is_compared() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b"{}"));
    let project = approved(&vendor);
    let lock = fs::read_to_string(project.path("portcullis.lock")).unwrap();
    let printed: BTreeSet<String> = fields(&lock).into_iter().map(|(key, _)| key).collect();
    let covered = ROWS.iter().map(|(field, ..)| *field).chain(OWN).map(str::to_owned).collect();
    assert_eq!(printed, covered, "each field of a lock has a row here");

    let order = order("GET", "https://api.vendor.test/").to_string();
    let call = || project.run(&["call", "probe", "send", &order]);
    call().exits(0);
    assert!(vendor.connects() > 0, "the twin reaches the vendor");
    let mut faults = Vec::new();
    for (field, value, says) in ROWS {
        let before = vendor.connects();
        project.file("portcullis.lock", edited(&lock, field, value).as_bytes());
        let ran = call();
        if ran.status != Some(4) || !ran.stderr.contains(says) || vendor.connects() != before {
            faults.push(format!("{field}: exit {:?}, {says}\n{}", ran.status, ran.stderr));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // None of them left anything behind.
    project.file("portcullis.lock", lock.as_bytes());
    call().exits(0);
}

#[test]
fn what_the_config_says_now_is_compared() {
    let vendor = Vendor::tls(&["api.vendor.test"], |_, wire| reply(wire, 200, &[], b"{}"));
    let project = approved(&vendor);
    let config = fs::read_to_string(project.path("portcullis.toml")).unwrap();
    let pem = fs::read(project.path("ca.pem")).unwrap();
    let order = order("GET", "https://api.vendor.test/").to_string();
    let call = || project.run(&["call", "probe", "send", &order]);
    let network = "[connections.probe.network]\n";
    for (from, to, says) in [
        ("test/probe@^1", "test/probe@^2", "version: approved 1.0.0"),
        (
            "search = \"https://api",
            "search = \"https://www",
            "origin `search`: approved `https://api.vendor.test`",
        ),
        ("\"./out\"", "\"./other\"", "folder `out`: approved `./out` (write), now `./other` (write)"),
        ("[\"127.0.0.1/32\"]", "[\"127.0.0.0/8\"]", "addresses: approved"),
        (network, &format!("{network}roots = \"system\"\n"), "roots: approved bundled, now system"),
        ("scheme = \"bearer\"\n", "scheme = \"api-key\"\nheader = \"X-Key\"\n", "credential of slot `key`"),
        (&format!(":{}", vendor.port()), ":1", "connect-to `api.vendor.test:443`"),
    ] {
        let now = config.replace(from, to);
        assert_ne!(now, config, "{from}");
        project.file("portcullis.toml", now.as_bytes());
        let ran = call();
        assert_eq!(ran.status, Some(4), "{from}\n{}", ran.stderr);
        assert!(ran.stderr.contains(says), "{says}\n{}", ran.stderr);
    }
    project.file("portcullis.toml", config.as_bytes()).file("ca.pem", &[&pem[..], b"\n"].concat());
    let ran = call();
    ran.exits(4);
    assert!(ran.stderr.contains("ca-file: approved"), "{}", ran.stderr);
    assert_eq!(vendor.connects(), 0);
    project.file("ca.pem", &pem);
    call().exits(0);
}
