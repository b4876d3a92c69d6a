//! `portcullis.toml`: read or refused with places and inert words, and the same a second time.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = portcullis::fuzzing::config(text);
    assert_eq!(portcullis::fuzzing::config(text), read);
    if let Err(faults) = read {
        assert!(!faults.is_empty());
        for (rendered, message) in faults {
            assert!(!rendered.is_empty());
            assert!(!message.chars().any(char::is_control), "{message:?}");
        }
    }
});
