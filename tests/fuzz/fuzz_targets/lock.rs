//! `portcullis.lock`: what is read prints to what reads alike, and a second time to the same bytes.
#![no_main]
use libfuzzer_sys::fuzz_target;
use portcullis_manifest::Lock;
use std::path::Path;

fuzz_target!(|text: &str| {
    match Lock::parse_all(Path::new("portcullis.lock"), text) {
        Ok(lock) => {
            let printed = lock.print();
            let again =
                Lock::parse(Path::new("portcullis.lock"), &printed).expect("a printed lock can be read");
            assert_eq!(again, lock);
            assert_eq!(again.print(), printed);
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                let text = fault.to_string();
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
        }
    }
});
