//! What `new` writes, as texts: for every set of roles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]
use super::*;
use portcullis_manifest::Connector;
use std::process::Command;

const NAME: &str = "acme/weather";

fn text(files: &Files, path: &str) -> String {
    String::from_utf8(files[path].clone()).unwrap()
}

fn files(roles: &BTreeSet<Role>, sdk: Option<(&str, Option<String>)>) -> Files {
    New { name: &NAME.parse().unwrap(), roles, sdk }.files()
}

/// Every set of roles that can be asked for.
fn sets() -> impl Iterator<Item = BTreeSet<Role>> {
    (1..1 << roles::ALL.len()).map(|set: usize| {
        let chosen = roles::ALL.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
        chosen.map(|(_, part)| part.role).collect()
    })
}

fn written(files: &Files) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    folder
}

#[test]
fn each_set_of_roles_has_a_manifest_without_fault_and_code_as_rustfmt_writes_it() {
    for set in sets() {
        let files = files(&set, None);
        let folder = written(&files);
        let manifest =
            Connector::read_folder(folder.path()).unwrap_or_else(|faults| panic!("{set:?}: {faults:?}"));
        assert_eq!((manifest.name.to_string().as_str(), &manifest.roles), (NAME, &set));
        let mut rustfmt = Command::new("rustfmt");
        rustfmt.arg("--check").current_dir(folder.path()).arg("src/lib.rs");
        let checked = rustfmt.output().unwrap();
        assert!(checked.status.success(), "{set:?}\n{}", String::from_utf8_lossy(&checked.stdout));
    }
}

#[test]
fn a_source_with_one_stream_is_short() {
    let files = files(&BTreeSet::from([Role::Source]), None);
    let lines = text(&files, "src/lib.rs").lines().count();
    assert!(lines < 60, "{lines} lines");
}

#[test]
fn the_lock_is_sorted_and_names_the_package_once() {
    let files = files(&BTreeSet::from([Role::Source]), None);
    let lock: toml::Table = text(&files, "Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let names: Vec<_> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let own = packages.iter().find(|package| package["name"].as_str() == Some("connector-weather")).unwrap();
    assert_eq!(own["dependencies"].as_array().unwrap().len(), 2);
    assert!(names.contains(&"portcullis-sdk"));
}

#[test]
fn the_sdk_travels_whole_and_another_is_named_instead() {
    let set = BTreeSet::from([Role::Actions]);
    let carried = files(&set, None);
    for path in ["Cargo.toml", "Cargo.lock", "LICENSE-MIT", "src/harness/storage.rs", "wit/0.1.0/world.wit"] {
        assert!(carried.contains_key(&format!("sdk/{path}")), "{path}");
    }
    let other = files(&set, Some(("/a \"b\"", None)));
    assert!(!other.keys().any(|path| path.starts_with("sdk/") || path == "Cargo.lock"));
    let cargo: toml::Table = text(&other, "Cargo.toml").parse().unwrap();
    assert_eq!(cargo["dependencies"]["portcullis-sdk"]["path"].as_str(), Some("/a \"b\""));
}
