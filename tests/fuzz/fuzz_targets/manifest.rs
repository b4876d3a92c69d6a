//! The manifest inside a component, and `connector.toml`: what is read is written and read again without a change, and what is
//! refused is refused in words that no terminal obeys.
#![no_main]
use libfuzzer_sys::fuzz_target;
use portcullis_manifest::Connector;
use std::fs;

/// A folder with one schema, in which the text becomes `connector.toml`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    fs::write(folder.path().join("any.json"), r#"{"type":"object"}"#).expect("a file");
    folder
}

fuzz_target!(|bytes: &[u8]| {
    thread_local!(static FOLDER: tempfile::TempDir = folder());
    match Connector::from_json(bytes) {
        Ok(connector) => returns(&connector),
        Err(error) => inert(&error.to_string()),
    }
    // What begins as JSON is no TOML.
    if bytes.first() == Some(&b'{') {
        return;
    }
    FOLDER.with(|folder| {
        fs::write(folder.path().join("connector.toml"), bytes).expect("a file");
        match Connector::read_folder(folder.path()) {
            Ok(connector) => returns(&connector),
            Err(faults) => {
                assert!(!faults.is_empty());
                faults.iter().for_each(|fault| inert(&fault.to_string()));
            }
        }
    });
});

fn returns(connector: &Connector) {
    let written = connector.to_json();
    let again = Connector::from_json(&written).expect("what was written can be read");
    assert_eq!(&again, connector);
    assert_eq!(again.to_json(), written);
}

fn inert(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
