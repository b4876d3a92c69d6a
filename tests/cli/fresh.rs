//! The binary under test is of the sources as they are. A test against an older one would show nothing.

use std::{fs, path::PathBuf};

#[test]
fn no_source_is_younger_than_the_binary() {
    // What somebody edits from here on is not this test's business.
    let began = tempfile::tempfile().unwrap().metadata().unwrap().modified().unwrap();
    let binary = portcullis_tests::binary();
    let built = binary.metadata().unwrap().modified().unwrap();
    // What cargo says it was made of: `TARGET: SOURCE SOURCE …`, a space within a path as `\ `.
    let list = fs::read_to_string(binary.with_extension("d")).unwrap().replace("\\ ", "\0");
    let sources: Vec<PathBuf> = list
        .split_once(": ")
        .expect("a target and its sources")
        .1
        .split_whitespace()
        .map(|path| PathBuf::from(path.replace('\0', " ")))
        .filter(|path| path.is_file())
        .collect();
    assert!(sources.iter().any(|path| path.ends_with("host/portcullis/src/main.rs")), "{list}");
    let changed = |path: &&PathBuf| path.metadata().unwrap().modified().unwrap();
    let younger: Vec<_> =
        sources.iter().filter(|path| changed(path) > built && changed(path) < began).collect();
    assert!(younger.is_empty(), "`{}` is older than {younger:?}", binary.display());
}
