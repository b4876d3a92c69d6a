//! The guests: connectors and hostile test guests, built once by the product's own `build`, and given other manifests where a
//! test needs other rules for the same code.

use crate::{binary, built, checkout, netns};
use portcullis_manifest::{Component, Connector};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
};

/// A component that can be put into a registry.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Before the slash of its name.
    pub publisher: String,
    /// After it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `sha256:HEX`
    pub digest: String,
    /// Of what is compiled: the file without its manifest.
    pub code_digest: String,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Installed {
    /// Reads what a component says of itself.
    pub fn of(bytes: Vec<u8>) -> Self {
        let component = Component::read(&bytes).expect("a connector with its manifest");
        Self {
            publisher: component.manifest.name.publisher.clone(),
            name: component.manifest.name.name.clone(),
            version: component.manifest.version.to_string(),
            digest: component.digest,
            code_digest: component.code_digest,
            bytes,
        }
    }
}

/// A guest of `tests/guests` with the manifest beside it.
pub fn guest(name: &str) -> Installed {
    Installed::of(build(&checkout().join("tests/guests").join(name)))
}

/// A connector of `connectors`.
pub fn connector(name: &str) -> Installed {
    Installed::of(build(&checkout().join("connectors").join(name)))
}

/// The code of the guest `probe` under another manifest: `rest` is what follows `[connector]` in `connector.toml`.
pub fn probe(rest: &str) -> Installed {
    probe_as("test/probe", "1.0.0", rest)
}

/// The same under a name and version of choice.
pub fn probe_as(name: &str, version: &str, rest: &str) -> Installed {
    let bytes = build(&checkout().join("tests/guests/probe"));
    let shipped = Component::read(&bytes).expect("the probe reads").manifest;
    let roles: Vec<String> = shipped.roles.iter().map(|role| format!("\"{role}\"")).collect();
    let mut manifest = format!(
        "[connector]\nname = \"{name}\"\nversion = \"{version}\"\nposition-version = 1\nconfig-version = 1\nroles = [{}]\n\
         summary = \"Does what a test asks\"\nconfig-schema = \"any.json\"\n\n{rest}\n",
        roles.join(", ")
    );
    for action in shipped.actions.keys() {
        if !rest.contains(&format!("[actions.{action}]")) {
            manifest
                .push_str(&format!("\n[actions.{action}]\ninput = \"any.json\"\noutput = \"any.json\"\n"));
        }
    }
    if !rest.contains("[streams.") {
        manifest.push_str(
            "\n[streams.rows]\nschema = \"any.json\"\nprimary-key = [\"id\"]\ncursor-field = \"id\"\n",
        );
    }
    Installed::of(with_manifest(&bytes, &manifest))
}

/// The code of the guest `fetch`, which sends by `wasi:http`, under another manifest: `rest` is what follows `[connector]`.
pub fn fetch(rest: &str) -> Installed {
    let bytes = build(&checkout().join("tests/guests/fetch"));
    let shipped = Component::read(&bytes).expect("the guest reads").manifest;
    let mut manifest = format!(
        "[connector]\nname = \"test/fetch\"\nversion = \"1.0.0\"\nposition-version = 1\nconfig-version = 1\n\
         roles = [\"actions\"]\ncapabilities = [\"wasi-http\"]\nsummary = \"Sends by wasi:http\"\nconfig-schema = \"any.json\"\n\n{rest}\n"
    );
    for action in shipped.actions.keys() {
        manifest.push_str(&format!("\n[actions.{action}]\ninput = \"any.json\"\noutput = \"any.json\"\n"));
    }
    Installed::of(with_manifest(&bytes, &manifest))
}

/// The same component as another version, with another `position-version`.
pub fn as_version(installed: &Installed, version: &str, position_version: u32) -> Installed {
    let component = Component::read(&installed.bytes).expect("a connector with its manifest");
    let mut manifest = component.manifest;
    manifest.version = version.parse().expect("a version");
    manifest.position_version = position_version;
    let code = Component::code(&installed.bytes).expect("the component's code");
    let bytes = portcullis_manifest::embed::embed(&code, &manifest, &component.assets);
    Installed::of(bytes.expect("the manifest embeds"))
}

/// Any component's code under another `connector.toml`. The schemas `any.json` and `id-is-text.json` lie beside it.
pub fn with_manifest(bytes: &[u8], manifest: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("connector.toml"), manifest).unwrap();
    for (file, keywords) in
        [("any.json", ""), ("id-is-text.json", r#","properties":{"id":{"type":"string"}}"#)]
    {
        let schema = format!(r#"{{"$schema":"https://json-schema.org/draft/2020-12/schema"{keywords}}}"#);
        fs::write(folder.path().join(file), schema).unwrap();
    }
    let manifest = Connector::read_folder(folder.path()).unwrap_or_else(|faults| {
        panic!("{faults:#?}\n{}", manifest.split("\n[actions.").next().unwrap_or_default())
    });
    let code = Component::code(bytes).expect("the component's code");
    portcullis_manifest::embed::embed(&code, &manifest, &BTreeMap::new()).expect("the manifest embeds")
}

/// Builds a connector's folder once a process; other processes wait, since cargo's target folder is shared.
fn build(folder: &Path) -> Vec<u8> {
    static BUILT: OnceLock<Mutex<HashMap<PathBuf, Vec<u8>>>> = OnceLock::new();
    let mut known =
        BUILT.get_or_init(Mutex::default).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    known.entry(folder.to_owned()).or_insert_with(|| build_now(folder)).clone()
}

/// Where cargo builds guests: below the tests' own target folder, for all of them.
pub fn target() -> PathBuf {
    built().parent().expect("`debug` lies in the target folder").join("guests")
}

/// How tests build what does not ship: whole-program optimisation takes half a minute a connector.
pub const QUICK: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
];

/// Held while something is built there and read: two crates of one name have one file.
pub fn alone() -> fs::File {
    fs::create_dir_all(target()).unwrap();
    let lock = fs::File::create(target().join("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

fn build_now(folder: &Path) -> Vec<u8> {
    let target = target();
    fs::create_dir_all(target.join("components")).unwrap();
    let kept =
        target.join("components").join(format!("{}.wasm", folder.file_name().unwrap().to_string_lossy()));
    if netns::inside() {
        // The process outside built it a moment ago; here is no network for cargo to ask.
        return fs::read(&kept).expect("the guest was built before the network was left");
    }
    let _alone = alone();
    let registry = tempfile::tempdir_in(&target).unwrap();
    let ran = Command::new(binary())
        .arg("build")
        .arg(folder)
        .arg("--registry")
        .arg(registry.path())
        .env("CARGO_TARGET_DIR", &target)
        .envs(QUICK)
        .current_dir(checkout())
        .output()
        .expect("portcullis starts");
    assert!(
        ran.status.success(),
        "`portcullis build {}` failed\n{}\n{}",
        folder.display(),
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    let bytes = fs::read(only_component(registry.path())).unwrap();
    let fresh = kept.with_extension("new");
    fs::write(&fresh, &bytes).unwrap();
    fs::rename(&fresh, &kept).unwrap();
    bytes
}

/// `PUBLISHER/NAME/VERSION.wasm`
fn only_component(registry: &Path) -> PathBuf {
    let mut path = registry.to_owned();
    loop {
        let mut entries: Vec<PathBuf> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|entry| entry.is_dir() || entry.extension().is_some_and(|extension| extension == "wasm"))
            .collect();
        assert_eq!(entries.len(), 1, "one component below {}: {entries:?}", path.display());
        path = entries.remove(0);
        if path.is_file() {
            return path;
        }
    }
}
