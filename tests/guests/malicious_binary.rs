//! Promise: a file in the registry that is no well-formed connector of this world is refused by name before anything of it is
//! compiled, and the process lives.

use portcullis_tests::{
    Project,
    case::Case,
    guests::{self, Installed},
};
use wasm_encoder::{
    CodeSection, Component, ComponentImportSection, ComponentSection, ComponentTypeRef, ComponentTypeSection,
    CustomSection, ExportKind, ExportSection, Function, FunctionSection, InstanceType, Instruction, Module,
    ModuleSection, TypeSection,
};

const MANIFEST: &str = r#"
[connector]
name = "test/probe"
version = "1.0.0"
position-version = 1
config-version = 1
roles = ["actions"]
summary = "Hostile"
[actions.echo]
input = "any.json"
output = "any.json"
"#;

/// A component with these imports (empty instances) and a manifest.
fn importing(names: &[&str]) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    let mut imports = ComponentImportSection::new();
    for name in names {
        imports.import(*name, ComponentTypeRef::Instance(0));
    }
    let mut component = Component::new();
    component.section(&types).section(&imports);
    with_manifest(&component.finish())
}

/// A component around one core module.
fn holding(module: &Module) -> Vec<u8> {
    let mut component = Component::new();
    component.section(&ModuleSection(module));
    with_manifest(&component.finish())
}

/// Past `embed`, which looks at what it is given.
fn with_manifest(component: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("connector.toml"), MANIFEST).unwrap();
    std::fs::write(folder.path().join("any.json"), "{}").unwrap();
    let manifest = portcullis_manifest::Connector::read_folder(folder.path()).expect("a manifest");
    with_section(component, "portcullis:manifest", &manifest.to_json())
}

fn with_section(component: &[u8], name: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let section = CustomSection { name: name.into(), data: data.into() };
    ComponentSection::append_to_component(&section, &mut bytes);
    bytes
}

/// Puts the bytes where the connection looks and tries to approve and to call; what was said.
#[track_caller]
fn refused(what: &str, bytes: Vec<u8>) -> String {
    let project = Project::new();
    project.config(&Case::default().config());
    let folder = project.path("registry/test/probe");
    std::fs::create_dir_all(&folder).unwrap();
    let digest = sha256(&bytes);
    std::fs::write(folder.join("1.0.0.wasm"), bytes).unwrap();
    let mut said = String::new();
    for args in [
        &["approve", "probe", "--yes", "--digest", &digest][..],
        &["call", "probe", "echo", "{}"],
        &["inspect", "test/probe"],
        &["connectors"],
    ] {
        let ran = project.run(args);
        assert!(
            ran.status.is_some_and(|status| status < 100),
            "{what}: {args:?} ended {:?}\n{}",
            ran.status,
            ran.stderr
        );
        if args[0] == "approve" || args[0] == "call" {
            assert_ne!(ran.status, Some(0), "{what}: {args:?} went through");
        }
        assert!(ran.resident_kib_max < 256 * 1024, "{what}: {} KiB", ran.resident_kib_max);
        said.push_str(&ran.stderr);
    }
    said
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(bytes);
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[test]
fn the_twin_is_taken() {
    let component = guests::probe("");
    let project = Case::default().project();
    assert_eq!(component.digest, sha256(&component.bytes));
    project.approve("probe", &component);
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
}

#[test]
fn an_import_outside_the_world_is_refused_by_name() {
    for name in [
        "evil:host/door",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:keyvalue/store@0.2.0",
        "portcullis:connector/files@0.1.0",
        "portcullis:connector/http@0.1.1",
        "portcullis:connector/http@0.2.0",
        "portcullis:connector/http",
        "portcullis:connector/secrets@0.1.0",
        "portcullis:other/http@0.1.0",
        "wasi:cli/environment@0.3.0",
        "wasi:cli/environment@1.0.0",
    ] {
        let said = refused(name, importing(&[name]));
        assert!(said.contains(name), "{name} is not named:\n{said}");
    }
}

#[test]
fn what_is_no_component_is_refused() {
    let probe = guests::probe("").bytes;
    let mut overlong = b"\0asm\x0d\0\x01\0".to_vec();
    overlong.extend([0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("text", b"#!/bin/sh\nrm -rf /\n".to_vec()),
        ("a core module", Module::new().finish()),
        ("magic alone", b"\0asm".to_vec()),
        ("truncated", probe[..probe.len() / 2].to_vec()),
        ("cut by one", probe[..probe.len() - 1].to_vec()),
        ("an overlong section length", overlong),
        ("nothing but a manifest", with_manifest(&Component::new().finish())),
        ("no manifest", portcullis_manifest::Component::code(&probe).unwrap()),
        ("two manifests", with_section(&probe, "portcullis:manifest", b"{}")),
        (
            "a manifest that is no JSON",
            with_section(&Component::new().finish(), "portcullis:manifest", b"\xff\xfe"),
        ),
        (
            "a manifest of 9 MB",
            with_section(&Component::new().finish(), "portcullis:manifest", &vec![b' '; 9 << 20]),
        ),
        (
            "a deep manifest",
            with_section(&Component::new().finish(), "portcullis:manifest", "[".repeat(100_000).as_bytes()),
        ),
        ("an empty component", Component::new().finish()),
    ] {
        refused(what, bytes);
    }
}

#[test]
fn a_byte_that_changed_is_another_digest() {
    let component = guests::probe("");
    let mut bytes = component.bytes.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let project = Case::default().project();
    project.approve("probe", &component);
    std::fs::write(project.path("registry/test/probe/1.0.0.wasm"), &bytes).unwrap();
    // The approved bytes are kept, and are what runs.
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
    std::fs::remove_dir_all(project.path("data/components")).unwrap();
    let ran = project.run(&["call", "probe", "echo", "{}"]);
    assert!(matches!(ran.status, Some(3 | 4)), "{ran:?}");
    let wrong = project.run(&["approve", "probe", "--yes", "--digest", &component.digest]);
    assert_ne!(wrong.status, Some(0), "the same version with other bytes: {wrong:?}");
}

#[test]
fn compile_bombs_are_refused_or_bounded() {
    let functions = 200_000_u32;
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    for _ in 0..functions {
        declared.function(0);
        let mut body = Function::new([]);
        body.instruction(&Instruction::End);
        code.function(&body);
    }
    let mut many = Module::new();
    many.section(&types).section(&declared).section(&code);
    refused("200,000 functions", holding(&many));

    let (mut declared, mut code, mut exports) =
        (FunctionSection::new(), CodeSection::new(), ExportSection::new());
    declared.function(0);
    exports.export("f", ExportKind::Func, 0);
    let mut body = Function::new([(50_000, wasm_encoder::ValType::I64)]);
    for _ in 0..600_000 {
        body.instruction(&Instruction::LocalGet(7)).instruction(&Instruction::Drop);
    }
    body.instruction(&Instruction::End);
    code.function(&body);
    let mut long = Module::new();
    long.section(&types).section(&declared).section(&exports).section(&code);
    refused("one very long function", holding(&long));
}

#[test]
fn a_large_custom_section_changes_nothing() {
    let component = guests::probe("");
    let padded = Installed::of(with_section(&component.bytes, "padding", &vec![7; 1 << 20]));
    assert_ne!(padded.digest, component.digest);
    let project = Project::new();
    project.config(&Case::default().config()).install(&padded).approve("probe", &padded);
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
}
