//! Builds the connectors that the demo runs, the one that evaluates programs of flows and the destination of files, and embeds them,
//! so that the binary alone can show the product; and lists the SDK's source, which `new` writes.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::expect_used,
    reason = "a build script: cargo speaks to it by variables, it speaks by printing, builds the guests, and fails by panicking"
)]
use portcullis_manifest::{Connector, embed};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

#[path = "src/guest.rs"]
mod guest;

use guest::TARGET;

/// Folder of a connector (from the root of the repository), the workspace it belongs to, its crate's file name.
const EMBEDDED: [(&str, &str, &str); 4] = [
    ("connectors/files", "connectors", "files"),
    ("connectors/stripe", "connectors", "stripe"),
    ("connectors/transform", "connectors", "transform"),
    ("tests/guests/hostile", "tests/guests", "hostile"),
];

/// What of `sdk/rust` a connector is built with.
const SDK: [&str; 7] =
    ["Cargo.toml", "Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "src", "wit/0.1.0"];

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    require_target();
    for watched in ["connectors", "sdk", "wit", "tests/guests/hostile", "tests/guests/Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    fs::write(out.join("sdk.rs"), sdk(&root.join("sdk/rust"))).expect("OUT_DIR is writable");
    // `target/PROFILE/build/PACKAGE/out`: beside the profiles, where the tests build guests too, each once.
    let target = out.ancestors().nth(4).expect("OUT_DIR lies below the target folder").join("guests");
    for (folder, workspace, name) in EMBEDDED {
        build(&root.join(folder), &target);
        let component = target.join(TARGET).join("release").join(format!("{name}.wasm"));
        let bytes = fs::read(&component).unwrap_or_else(|error| panic!("{}: {error}", component.display()));
        let folder = root.join(folder);
        let manifest = Connector::read_folder(&folder).unwrap_or_else(|faults| panic!("{faults:?}"));
        let assets = Connector::read_assets(&folder).unwrap_or_else(|faults| panic!("{faults:?}"));
        let whole =
            embed::embed(&bytes, &manifest, &assets).unwrap_or_else(|error| panic!("{workspace}: {error}"));
        fs::write(out.join(format!("{name}.wasm")), whole).expect("OUT_DIR is writable");
    }
}

/// `&[(PATH, BYTES), …]`, sorted: an expression that the binary includes.
fn sdk(folder: &Path) -> String {
    let (mut open, mut files) = (SDK.map(PathBuf::from).to_vec(), Vec::new());
    while let Some(path) = open.pop() {
        let whole = folder.join(&path);
        if whole.is_dir() {
            let entries = fs::read_dir(&whole).expect("a folder of the SDK can be listed");
            open.extend(entries.map(|entry| path.join(entry.expect("and each of its entries").file_name())));
        } else {
            files.push((path, whole));
        }
    }
    files.sort();
    let entry = |(path, whole): &(PathBuf, PathBuf)| {
        format!(
            "    ({:?}, include_bytes!({:?})),\n",
            path.display().to_string(),
            whole.display().to_string()
        )
    };
    format!("&[\n{}]\n", files.iter().map(entry).collect::<String>())
}

/// The guests' target comes with `rust-toolchain.toml` where rustup may install by itself; elsewhere it is added here.
fn require_target() {
    let rustc = env::var("RUSTC").expect("cargo sets it");
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let present =
        output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if !present {
        let added = Command::new("rustup").args(["target", "add", TARGET]).status();
        assert!(
            added.is_ok_and(|status| status.success()),
            "`rustup target add {TARGET}` failed; the connectors need it"
        );
    }
}

fn build(folder: &Path, target: &Path) {
    let mut cargo = guest::build(&env::var("CARGO").expect("cargo sets it"), folder, Some(target));
    cargo.arg("--locked");
    // What cargo set for this build must not reach the guests' build.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(name);
    }
    // Whole-program optimisation takes half a minute each: for what ships. Tests build with the same, and share it.
    if env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        cargo.env("CARGO_PROFILE_RELEASE_LTO", "false");
        cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    }
    let status = cargo.status().unwrap_or_else(|error| panic!("cargo: {error}"));
    assert!(status.success(), "building {} failed", folder.display());
}
