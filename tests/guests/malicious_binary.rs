//! Promise: a file in the registry that is no well-formed connector of this world is refused by name before anything of it is
//! compiled, and the process lives.

use portcullis_tests::{
    Project,
    case::Case,
    guests::{self, Installed},
};
use wasm_encoder::{
    Component, ComponentImportSection, ComponentSection, ComponentTypeRef, ComponentTypeSection,
    ComponentValType, CustomSection, InstanceSection, InstanceType, MemorySection, MemoryType, Module,
    ModuleArg, NestedComponentSection, PrimitiveValType, RawSection, RefType, TableSection, TableType,
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

/// Past `embed`, which looks at what it is given.
fn with_manifest(component: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("connector.toml"), MANIFEST).unwrap();
    std::fs::write(folder.path().join("any.json"), "{}").unwrap();
    let manifest = portcullis_manifest::Connector::read_folder(folder.path()).expect("a manifest");
    with_section(component, "portcullis:manifest", &manifest.to_json())
}

pub(crate) fn with_section(component: &[u8], name: &str, data: &[u8]) -> Vec<u8> {
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
        // The kernel counts what this process had when it started the other one too.
        assert!(ran.resident_kib_max < 256 * 1024, "{what}: {} KiB", ran.resident_kib_max);
        if args[0] == "inspect" && ran.status != Some(0) {
            assert!(ran.stderr.starts_with("error: "), "{what}: {}", ran.stderr);
            let resident = resident_kib(&project, args);
            // The least of three: other processes cost this one caches.
            let again = (0..2).map(|_| project.run(args).cpu);
            let cpu = again.fold(ran.cpu, std::cmp::min);
            println!("inspect, {what}: {cpu:?} of CPU time, {resident} KiB");
            assert!(resident <= 64 * 1024, "{what}: {resident} KiB");
            assert!(cpu <= std::time::Duration::from_millis(100), "{what}: {cpu:?}");
        }
        said.push_str(&ran.stderr);
    }
    said
}

/// The largest resident size of a command, counted by a small process that starts it: one that starts from here begins with
/// what this one has.
fn resident_kib(project: &Project, args: &[&str]) -> u64 {
    const COUNT: &str = "import resource, subprocess, sys\n\
        subprocess.run(sys.argv[1:], env={}, capture_output=True)\n\
        print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
    let command = project.command(args);
    let mut counting = std::process::Command::new("python3");
    counting.args(["-c", COUNT]).arg(command.get_program()).args(command.get_args());
    let counted = counting.current_dir(project.path(".")).output().unwrap();
    String::from_utf8(counted.stdout).unwrap().trim().parse().unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(bytes);
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// What it is can be told from its first bytes and its size.
#[test]
fn what_is_too_large_or_something_else_is_not_read() {
    let large = |head: &[u8], bytes: u64| {
        let project = Project::new();
        project.config("");
        let file = project.file("it.wasm", head).path("it.wasm");
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(bytes).unwrap();
        project
    };
    let cases: [(&[u8], u64, &str); 4] = [
        (b"", 0, "the file is empty"),
        (b"", 60_000_000, "not a WebAssembly component"),
        (b"\0asm\x01\0\0\0", 60_000_000, "a core WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", 300_000_000, "is larger than 67108864 bytes"),
    ];
    for (head, bytes, said) in cases {
        let project = large(head, bytes);
        let ran = project.run(&["inspect", "it.wasm"]);
        assert!(ran.exits(3).stderr.contains(said), "{}", ran.stderr);
        let resident = resident_kib(&project, &["inspect", "it.wasm"]);
        assert!(resident <= 40 * 1024, "{said}: {resident} KiB");
    }
    let project = large(b"", 0);
    std::os::unix::fs::symlink("it.wasm", project.path("link.wasm")).unwrap();
    let ran = project.run(&["inspect", "link.wasm"]);
    assert!(ran.exits(3).stderr.contains("`link.wasm` is a symbolic link, to `it.wasm`"), "{}", ran.stderr);
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
fn a_large_custom_section_changes_nothing() {
    let component = guests::probe("");
    let padded = Installed::of(with_section(&component.bytes, "padding", &vec![7; 1 << 20]));
    assert_ne!(padded.digest, component.digest);
    let project = Project::new();
    project.config(&Case::default().config()).install(&padded).approve("probe", &padded);
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
}

/// The probe with a text replaced by one of the same length, wherever it stands.
fn replaced(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = guests::probe("").bytes;
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "{from}");
    for at in places {
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

/// A role of the right name with other functions: nothing of it runs before that is seen.
#[test]
fn a_role_with_other_functions_is_refused_by_name() {
    for (from, to, interface, said) in [
        // `after-ms: u64` (0x77) of `pending` becomes an `s64` (0x78).
        ("after-msw", "after-msx", "actions", "its function `invoke` has another type"),
        ("invoke", "evokes", "actions", "it lacks the function `invoke`"),
        ("again-after-ms", "hence-after-ms", "source", "its function `read` has another type"),
        ("\u{5}check", "\u{5}czech", "lifecycle", "it lacks the function `check`"),
    ] {
        let bytes = replaced(from, to);
        let digest = sha256(&bytes);
        let project = Project::new();
        project.config(&Case::default().config());
        let folder = project.path("registry/test/probe");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("1.0.0.wasm"), bytes).unwrap();
        for args in [&["inspect", "test/probe"][..], &["approve", "probe", "--yes", "--digest", &digest]] {
            let ran = project.run(args);
            ran.exits(3);
            let export = format!("exports `portcullis:connector/{interface}@0.1.0`");
            assert!(ran.stderr.contains(&export) && ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
        }
        // Past `approve`: a lock that somebody wrote elsewhere is not believed either.
        let component = guests::probe("");
        let other = Case::default().project();
        other.approve("probe", &component);
        let lock = std::fs::read_to_string(other.path("portcullis.lock")).unwrap();
        project.file("portcullis.lock", lock.replace(&component.digest, &digest).as_bytes());
        let ran = project.run(&["call", "probe", "echo", "{}"]);
        ran.exits(3);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(project.runs(&[]).is_empty(), "a run began");
    }
}

/// Imports are compared by the link step, before a run begins.
#[test]
fn an_import_with_other_functions_is_refused_by_name() {
    for (from, to) in [("list-keys", "list-kids"), ("versionw", "versionx")] {
        let said = fails_before_a_run(from, replaced(from, to));
        assert!(said.contains("component imports instance `portcullis:connector/state@0.1.0`"), "{said}");
    }
}

/// A valid component that `approve` takes and that does not come to a run: what was said.
#[track_caller]
fn fails_before_a_run(what: &str, bytes: Vec<u8>) -> String {
    let component = Installed::of(bytes);
    let project = Project::new();
    project.config(&Case::default().config()).install(&component).approve("probe", &component);
    let ran = project.run(&["call", "probe", "echo", "{}"]);
    assert_eq!(ran.status, Some(3), "{what}: {}", ran.stderr);
    assert!(project.runs(&[]).is_empty(), "{what}: a run began");
    ran.stderr
}

/// The probe with a section more.
pub(crate) fn appended(section: &impl ComponentSection) -> Vec<u8> {
    let mut bytes = guests::probe("").bytes;
    ComponentSection::append_to_component(section, &mut bytes);
    bytes
}

/// The probe with a core module more, which is instantiated so often.
fn instantiated(module: &Module, times: usize) -> Vec<u8> {
    instantiated_in(guests::probe("").bytes, module.as_slice(), times)
}

/// A component with a core module more, which is instantiated so often.
pub(crate) fn instantiated_in(mut bytes: Vec<u8>, module: &[u8], times: usize) -> Vec<u8> {
    ComponentSection::append_to_component(&RawSection { id: MODULE, data: module }, &mut bytes);
    let ordinal = modules(&bytes) - 1;
    let mut instances = InstanceSection::new();
    for _ in 0..times {
        instances.instantiate(ordinal, [] as [(&str, ModuleArg); 0]);
    }
    ComponentSection::append_to_component(&instances, &mut bytes);
    bytes
}

/// The id of a section that holds a core module.
pub(crate) const MODULE: u8 = 1;

/// Core modules at the top of a component.
fn modules(bytes: &[u8]) -> u32 {
    u32::try_from(sections(bytes).iter().filter(|section| section.id == MODULE).count()).unwrap()
}

/// The sections at the top of a component.
pub(crate) fn sections(bytes: &[u8]) -> Vec<RawSection<'_>> {
    let (mut at, mut found) = (8, Vec::new());
    while at < bytes.len() {
        let id = bytes[at];
        let (mut size, mut shift) = (0_usize, 0);
        loop {
            at += 1;
            size |= usize::from(bytes[at] & 0x7f) << shift;
            shift += 7;
            if bytes[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1;
        found.push(RawSection { id, data: &bytes[at..at + size] });
        at += size;
    }
    found
}

#[test]
fn instances_tables_and_memories_have_limits() {
    let tables = |count: usize, minimum: u64| {
        let mut tables = TableSection::new();
        for _ in 0..count {
            let element_type = RefType::FUNCREF;
            tables.table(TableType { element_type, minimum, maximum: None, table64: false, shared: false });
        }
        let mut module = Module::new();
        module.section(&tables);
        module
    };
    let memory = |minimum: u64| {
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut module = Module::new();
        module.section(&memories);
        module
    };
    for (what, bytes, said) in [
        ("100 core instances", instantiated(&Module::new(), 100), "64"),
        ("40 tables of one module", instantiated(&tables(40, 1), 1), "limit of 1"),
        ("40 tables", instantiated(&tables(1, 1), 40), "32"),
        ("a table of a million", instantiated(&tables(1, 1_000_000), 1), "100000"),
        ("6 memories", instantiated(&memory(1), 6), "4"),
        ("a memory of 300 MiB", instantiated(&memory(4_800), 1), "0x10000000"),
    ] {
        let stderr = fails_before_a_run(what, bytes);
        assert!(stderr.contains("can't be compiled") && stderr.contains(said), "{what}: {stderr}");
    }
    // The twin.
    let component = Installed::of(instantiated(&tables(1, 1), 1));
    let project = Project::new();
    project.config(&Case::default().config()).install(&component).approve("probe", &component);
    project.run(&["call", "probe", "echo", "{}"]).exits(0);
}

#[test]
fn type_bombs_end_in_words() {
    // `(type (instance (type (instance …))))`: one stack frame of a reader each.
    let nested = |opcode: u8, depth: usize| {
        let mut data = vec![1];
        data.extend([opcode, 1, 1].repeat(depth));
        data.extend([opcode, 0]);
        appended(&RawSection { id: 7, data: &data })
    };
    let doubling = || {
        let mut types = ComponentTypeSection::new();
        let primitive = ComponentValType::Primitive(PrimitiveValType::U8);
        types.defined_type().tuple([primitive, primitive]);
        for i in 0..40 {
            types.defined_type().tuple([ComponentValType::Type(i), ComponentValType::Type(i)]);
        }
        let mut inner = Component::new();
        inner.section(&types);
        appended(&NestedComponentSection(&inner))
    };
    let many = || {
        let mut types = ComponentTypeSection::new();
        for _ in 0..30_000 {
            types.defined_type().primitive(PrimitiveValType::U8);
        }
        appended(&types)
    };
    let components = || {
        let mut inner = Component::new();
        for _ in 0..2_000 {
            let mut outer = Component::new();
            outer.section(&NestedComponentSection(&inner));
            inner = outer;
        }
        appended(&NestedComponentSection(&inner))
    };
    for (what, bytes, said) in [
        ("a million nested instance types", nested(0x42, 1_000_000), "nests too deep"),
        ("a million nested component types", nested(0x41, 1_000_000), "nests too deep"),
        ("a type that doubles", doubling(), "the component is invalid"),
        ("30,000 types", many(), "limit `types`"),
        ("2,000 nested components", components(), "limit `modules`"),
    ] {
        let stderr = refused(what, bytes);
        assert!(stderr.contains(said), "{what}: {stderr}");
    }
}
