//! A file in the registry: roles, imports and manifest are read before anything is compiled, and what is accepted imports nothing
//! beyond the connector world. Sections are put together here, so that more than the header is reached.
#![no_main]
use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use portcullis_manifest::{Component, embedded::digest_of, world};

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Manifest { roles: u8, files: bool },
    ForeignManifest(&'a [u8]),
    Asset(&'a str, &'a [u8]),
    Custom(&'a str, &'a [u8]),
    Import(u8),
    ForeignImport(&'a str, u8),
    Export(u8),
    ForeignExport(&'a str, u8),
    Section(u8, &'a [u8]),
    Bytes(&'a [u8]),
}

const IMPORTS: [&str; 8] = [
    "portcullis:connector/http@0.1.0",
    "portcullis:connector/files@0.1.0",
    "portcullis:connector/types@0.1.0",
    "wasi:io/streams@0.2.6",
    "wasi:http/types@0.2.12",
    "wasi:cli/environment@0.2.13",
    "wasi:sockets/tcp@0.2.0",
    "portcullis:connector/http@0.1.1",
];
const ROLES: [&str; 6] = ["actions", "source", "destination", "webhook", "subscriptions", "migration"];

fn number(mut value: usize, out: &mut Vec<u8>) {
    while value > 127 {
        out.push((value & 127) as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(text: &[u8], out: &mut Vec<u8>) {
    number(text.len(), out);
    out.extend_from_slice(text);
}

fn section(id: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(id);
    text(body, out);
}

/// A vector of one: an extern name, and what follows it.
fn named(id: u8, name: &str, rest: &[u8], out: &mut Vec<u8>) {
    let mut body = vec![1, 0];
    text(name.as_bytes(), &mut body);
    body.extend_from_slice(rest);
    section(id, &body, out);
}

fn custom(name: &str, data: &[u8], out: &mut Vec<u8>) {
    let mut body = Vec::new();
    text(name.as_bytes(), &mut body);
    body.extend_from_slice(data);
    section(0, &body, out);
}

fn manifest(roles: u8, files: bool) -> Vec<u8> {
    let listed: Vec<&str> = (0..6).filter(|bit| roles >> bit & 1 == 1).map(|bit| ROLES[bit]).collect();
    let capabilities: &[&str] = if files { &["files"] } else { &[] };
    let action = serde_json::json!({ "input": {}, "output": {}, "delivery": "at-most-once" });
    let some = |there: bool, value: serde_json::Value| if there { value } else { serde_json::json!({}) };
    let document = serde_json::json!({
        "format": 1,
        "connector": {
            "name": "acme/vendor", "version": "1.0.0", "position-version": 1, "config-version": 1,
            "roles": listed, "capabilities": capabilities, "summary": "s",
        },
        "credentials": {}, "http": [],
        "actions": some(roles & 1 == 1, serde_json::json!({ "make": action })),
        "streams": some(roles & 2 == 2, serde_json::json!({ "all": { "schema": {} } })),
    });
    serde_json::to_vec(&document).expect("JSON")
}

fn file(parts: &[Part<'_>]) -> Vec<u8> {
    let mut out = b"\0asm\x0d\0\x01\0".to_vec();
    for part in parts {
        match part {
            Part::Manifest { roles, files } => {
                custom("portcullis:manifest", &manifest(*roles, *files), &mut out);
            }
            Part::ForeignManifest(bytes) => custom("portcullis:manifest", bytes, &mut out),
            Part::Asset(name, bytes) => custom(&format!("portcullis:asset:{name}"), bytes, &mut out),
            Part::Custom(name, bytes) => custom(name, bytes, &mut out),
            Part::Import(which) => named(10, IMPORTS[usize::from(which % 8)], &[5, 0], &mut out),
            Part::ForeignImport(name, kind) => named(10, name, &[kind % 8, 0], &mut out),
            Part::Export(which) => {
                let name = ROLES.get(usize::from(which % 7)).unwrap_or(&"lifecycle");
                named(11, &format!("portcullis:connector/{name}@0.1.0"), &[5, 0, 0], &mut out);
            }
            Part::ForeignExport(name, kind) => named(11, name, &[kind % 8, 0, 0], &mut out),
            Part::Section(id, bytes) => section(id % 14, bytes, &mut out),
            Part::Bytes(bytes) => out.extend_from_slice(bytes),
        }
    }
    out
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if let Ok(parts) = Vec::<Part<'_>>::arbitrary_take_rest(Unstructured::new(bytes)) {
        check(&file(&parts));
    }
});

fn check(bytes: &[u8]) {
    let code = Component::code(bytes);
    match Component::read(bytes) {
        Ok(component) => {
            let code = code.expect("what was read can be stripped");
            assert_eq!(component.digest, digest_of(bytes));
            assert_eq!(component.code_digest, digest_of(&code));
            assert_eq!(component.size, bytes.len() as u64);
            let granted = &component.manifest.capabilities;
            assert!(component.imports.iter().all(|name| world::check_import(name, granted).is_ok()));
            assert_eq!(component.roles, component.manifest.roles);
            // Its sections alone make it a connector.
            assert!(Component::read(&code).is_err());
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}
