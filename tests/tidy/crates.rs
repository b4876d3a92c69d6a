//! Crate edges: who may build on whom, and which library has which one home.
use crate::{files, none, read};
use toml::Table;

/// Own crates that a crate may use. A new edge is a line here, in a commit of its own that says why.
const EDGES: [(&str, &[&str]); 12] = [
    ("grants", &[]),
    ("clock", &[]),
    ("manifest", &["grants"]),
    // A webhook is verified by the scheme that a manifest declares: one type, of the crate that parses it.
    ("secrets", &["grants", "manifest", "clock"]),
    ("egress", &["grants", "secrets", "clock"]),
    ("runtime", &["grants", "manifest", "egress", "clock"]),
    ("store", &["clock"]),
    // JSON of strangers is read by one reader, and it is the manifest's.
    ("contract", &["manifest"]),
    ("engine", &["contract", "store", "grants", "manifest", "clock"]),
    // It stores and verifies; what a delivery means is the engine's affair, later.
    ("ingress", &["secrets", "store", "clock"]),
    // It tells what it is told.
    ("server", &[]),
    (
        "portcullis",
        &[
            "grants", "clock", "manifest", "contract", "secrets", "egress", "runtime", "store", "engine",
            "ingress", "server",
        ],
    ),
];

/// Own crates that only a crate's tests use: its real callee in place of a mock.
const TEST_EDGES: [(&str, &str); 2] = [("runtime", "secrets"), ("ingress", "manifest")];

/// Libraries that give a crate a power, and the only crates that may hold them.
const HOMES: [(&str, &[&str]); 20] = [
    ("reqwest", &["egress"]),
    ("hickory-resolver", &["egress"]),
    ("webpki-roots", &["egress"]),
    // The demo's double is a server too.
    ("hyper-util", &["ingress", "server", "portcullis"]),
    // A handshake without a request, what comes in, and the double's side of it.
    ("tokio-rustls", &["egress", "ingress", "portcullis"]),
    ("rcgen", &["portcullis"]),
    // `egress` holds the type that reqwest takes; it parses none (see clippy.toml).
    ("url", &["grants", "egress"]),
    ("psl", &["grants"]),
    ("ring", &["portcullis", "secrets"]),
    ("rusqlite", &["store"]),
    ("wasmtime", &["runtime"]),
    ("wasmtime-wasi", &["runtime"]),
    ("wasmtime-wasi-http", &["runtime"]),
    ("toml", &["manifest", "portcullis"]),
    ("clap", &["portcullis"]),
    ("clap_complete", &["portcullis"]),
    ("clap_mangen", &["portcullis"]),
    ("miette", &["portcullis"]),
    ("indicatif", &["portcullis"]),
    ("anyhow", &["portcullis"]),
];

/// What the pure crate may not even be able to name.
const NEVER_IN_GRANTS: [&str; 6] = ["tokio", "futures-util", "async-trait", "tracing", "serde_json", "toml"];

struct Package {
    name: String,
    manifest: Table,
}

impl Package {
    /// The names in a dependency table, tables of one platform included.
    fn dependencies(&self, kinds: &[&str]) -> Vec<String> {
        let platforms = self.manifest.get("target").and_then(|target| target.as_table());
        let tables = platforms.into_iter().flat_map(Table::values).filter_map(|platform| platform.as_table());
        tables
            .chain([&self.manifest])
            .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()))
            .flat_map(Table::keys)
            .cloned()
            .collect()
    }
}

/// The folder in `host/` that a dependency means, if it is one of ours.
fn own(dependency: &str) -> Option<&str> {
    dependency.strip_prefix("portcullis-").or((dependency == "portcullis").then_some(dependency))
}

fn host_packages() -> Vec<Package> {
    let manifests = files("host", &["Cargo.toml"]);
    let packages = manifests.iter().map(|path| Package {
        name: path.split('/').nth(1).expect("host/NAME/Cargo.toml").to_owned(),
        manifest: read(path).parse().expect("a Cargo.toml that cargo read before"),
    });
    packages.collect()
}

#[test]
fn crate_edges_are_those_of_the_table() {
    let mut faults = Vec::new();
    for package in host_packages() {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            faults.push(format!("host/{}: no row in the table of edges", package.name));
            continue;
        };
        let shipped = package.dependencies(&["dependencies", "build-dependencies"]);
        let tests = package.dependencies(&["dev-dependencies"]);
        for own in shipped.iter().filter_map(|dependency| own(dependency)) {
            if !allowed.contains(&own) {
                faults.push(format!("host/{} uses {own}", package.name));
            }
        }
        for own in tests.iter().filter_map(|dependency| own(dependency)) {
            if !allowed.contains(&own) && !TEST_EDGES.contains(&(package.name.as_str(), own)) {
                faults.push(format!("the tests of host/{} use {own}", package.name));
            }
        }
    }
    none("crate edges outside the table", faults);
}

#[test]
fn each_power_has_its_home() {
    let mut faults = Vec::new();
    for package in host_packages() {
        for dependency in package.dependencies(&["dependencies"]) {
            let home = HOMES.iter().find(|(library, _)| *library == dependency);
            if home.is_some_and(|(_, homes)| !homes.contains(&package.name.as_str())) {
                faults.push(format!("host/{} depends on `{dependency}`", package.name));
            }
            if package.name == "grants" && NEVER_IN_GRANTS.contains(&dependency.as_str()) {
                faults.push(format!("host/grants is pure, and depends on `{dependency}`"));
            }
        }
    }
    none("libraries outside their home", faults);
}

/// With its default features `wasmtime-wasi-http` brings a client of its own, past every rule.
#[test]
fn wasi_http_brings_no_client() {
    let root: Table = read("Cargo.toml").parse().expect("the workspace's Cargo.toml");
    let written = &root["workspace"]["dependencies"]["wasmtime-wasi-http"];
    assert_eq!(written["default-features"].as_bool(), Some(false));
    let features: Vec<&str> =
        written["features"].as_array().expect("a list").iter().filter_map(|name| name.as_str()).collect();
    assert_eq!(features, ["p2"]);
    let lock: Table = read("Cargo.lock").parse().expect("the lock");
    let packages = lock["package"].as_array().expect("packages");
    let found = packages.iter().find(|package| package["name"].as_str() == Some("wasmtime-wasi-http"));
    let needs = found.expect("it is locked")["dependencies"].as_array().expect("a list");
    let clients = needs.iter().filter_map(|name| name.as_str()).filter(|name| name.contains("rustls"));
    none("clients of `wasmtime-wasi-http`", clients.map(str::to_owned).collect());
}

#[test]
fn packages_are_named_after_their_folders() {
    let mut faults = Vec::new();
    for package in host_packages() {
        let expected = if package.name == "portcullis" {
            package.name.clone()
        } else {
            format!("portcullis-{}", package.name)
        };
        if package.manifest["package"]["name"].as_str() != Some(&expected) {
            faults.push(format!("host/{} is not the package `{expected}`", package.name));
        }
    }
    none("names of packages", faults);
}

#[test]
fn host_crates_have_no_features() {
    let features = host_packages().into_iter().filter(|package| package.manifest.contains_key("features"));
    none("Cargo features in host crates", features.map(|package| format!("host/{}", package.name)).collect());
}

/// A panic in a host function ends one call; with `abort` it would end the process.
#[test]
fn panics_unwind() {
    let root: Table = read("Cargo.toml").parse().expect("the workspace's Cargo.toml");
    let profiles = root.get("profile").and_then(|profile| profile.as_table()).into_iter().flatten();
    let aborting = profiles.filter(|(_, profile)| profile.get("panic").is_some());
    none("profiles that set `panic`", aborting.map(|(name, _)| name.clone()).collect());
}
