//! The house rules that no compiler holds: crate edges, sizes, names, one way out. Each test lists every place that breaks its
//! rule, with the line. It reads the checkout and runs nothing.

mod crates;
mod promises;
mod references;
mod source;
mod text;

use source::Source;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The checkout: every rule speaks of paths below it.
fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("`tests` lies in the checkout").to_owned()
}

/// Every file below `folder` with one of these endings, as a path from the root. Build products are not looked at.
fn files(folder: &str, endings: &[&str]) -> Vec<String> {
    let root = workspace_root();
    let (mut found, mut open) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a folder that can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", ".tools", "registry", "node_modules"].contains(&name.as_str()) {
                    open.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace_root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The host's own sources. A build script runs on the developer's machine and ships nothing: it is held to no rule but size.
fn host() -> Vec<Source> {
    source::all(files("host", &[".rs"]))
}

/// Everything that a person or a compiler reads.
fn texts() -> Vec<String> {
    files("", &[".rs", ".toml", ".md", ".wit", ".json", ".mjs", ".py", ".txt", "justfile", "/run", "run"])
}

#[track_caller]
fn none(rule: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{rule}:\n  {}\n", faults.join("\n  "));
}
