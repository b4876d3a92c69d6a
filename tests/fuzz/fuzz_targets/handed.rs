//! What people hand over: deliveries, batches, cassettes. Read or refused, with inert words, and the same a second time.
#![no_main]
use libfuzzer_sys::fuzz_target;
use portcullis::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    inert(&fuzzing::delivery(bytes), &fuzzing::delivery(bytes));
    inert(&fuzzing::batch(bytes), &fuzzing::batch(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        inert(&fuzzing::cassette(text), &fuzzing::cassette(text));
    }
});

fn inert(said: &Result<(), Vec<String>>, again: &Result<(), Vec<String>>) {
    assert_eq!(said, again);
    for words in said.as_ref().err().into_iter().flatten() {
        assert!(!words.trim().is_empty() && !words.chars().any(char::is_control), "{words:?}");
    }
}
