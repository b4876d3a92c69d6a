//! Promise: components that nobody wrote end as a connector that works or in words, within the bounds of `compile_bombs`, and
//! the host runs the next connector. wasm-smith makes modules and components, wasm-mutate changes what a good connector
//! compiles to, and bytes are damaged; each is told by its number. `just hostile-binaries N` makes N of them.

use crate::{
    compile_bombs::{ALL, bounded},
    malicious_binary::{MODULE, instantiated_in, sections, sha256},
};
use arbitrary::Unstructured;
use portcullis_tests::{
    Project, Ran, binary,
    case::Case,
    guests::{self, Installed},
    project::finish,
};
use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
};
use wasm_encoder::{ComponentSection, RawSection};

/// Made in the suite.
const COUNT: u64 = 100;
/// The id of a section that holds a component.
const COMPONENT: u8 = 4;

const MANIFEST: &str = r#"
[connector]
name = "test/probe"
version = "1.0.0"
position-version = 1
config-version = 1
roles = ["actions"]
capabilities = ["wasi-http"]
summary = "Hostile"
config-schema = "any.json"
[actions.fetch]
input = "any.json"
output = "any.json"
"#;

/// Neighbour of what is hostile.
pub(crate) fn good() -> Installed {
    guests::fetch("")
}

/// `probe` for what is hostile, `good` approved.
pub(crate) fn project(good: &Installed) -> Project {
    let case = Case { limits: "timeout = \"10s\"\ncpu = \"1s\"".to_owned(), ..Case::default() };
    let hostile = case.config();
    let beside =
        hostile.replace("connections.probe", "connections.good").replace("test/probe@^1", "test/fetch@^1");
    let project = Project::new();
    project.config(&format!("{hostile}\n{beside}")).install(good).approve("good", good);
    project
}

#[track_caller]
pub(crate) fn good_runs(project: &Project) {
    project.run(&["call", "good", "fetch", r#"{"requests": []}"#]).exits(0);
}

/// xorshift64*
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap() % bound
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 56) as u8).collect()
    }
}

/// What the engine has on; references are refused where they need more than functions.
fn shape(imports: usize, references: bool) -> wasm_smith::Config {
    wasm_smith::Config {
        max_imports: imports,
        max_funcs: 200,
        max_instructions: 2_000,
        max_memories: 1,
        max_tables: 1,
        multi_value_enabled: true,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        reference_types_enabled: references,
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        ..wasm_smith::Config::default()
    }
}

/// The good one's code under the manifest of the hostile one, changed as its number says.
fn made(number: u64, base: &[u8]) -> (&'static str, Vec<u8>) {
    let mut seeded = Seeded(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let size = 1_000 + seeded.below(30_000);
    let noise = seeded.bytes(size);
    let mut noise = Unstructured::new(&noise);
    match number % 4 {
        0 => {
            let module = wasm_smith::Module::new(shape(0, number.is_multiple_of(16)), &mut noise)
                .expect("a module")
                .to_bytes();
            ("a module of wasm-smith, instantiated", instantiated_in(base.to_vec(), &module, 1))
        }
        1 => {
            let component = wasm_smith::Component::new(shape(20, number % 16 == 1), &mut noise)
                .expect("a component")
                .to_bytes();
            let mut bytes = base.to_vec();
            RawSection { id: COMPONENT, data: &component }.append_to_component(&mut bytes);
            ("a component of wasm-smith inside", bytes)
        }
        2 => ("changed by wasm-mutate", mutated(base, &mut seeded)),
        _ => ("damaged", damaged(base.to_vec(), &mut seeded)),
    }
}

/// One of its core modules after some changes.
fn mutated(base: &[u8], seeded: &mut Seeded) -> Vec<u8> {
    let found = sections(base);
    let modules: Vec<usize> = (0..found.len()).filter(|at| found[*at].id == MODULE).collect();
    let changed = modules[seeded.below(modules.len())];
    let mut module = found[changed].data.to_vec();
    for _ in 0..=seeded.below(4) {
        let mut mutate = wasm_mutate::WasmMutate::default();
        mutate.seed(seeded.next()).fuel(500);
        // Not every change fits every module.
        let next = mutate.run(&module).ok().and_then(|mut made| made.next()?.ok());
        module = next.unwrap_or(module);
    }
    let mut bytes = base[..8].to_vec();
    for (at, section) in found.iter().enumerate() {
        let data = if at == changed { &module } else { section.data };
        RawSection { id: section.id, data }.append_to_component(&mut bytes);
    }
    bytes
}

fn damaged(mut bytes: Vec<u8>, seeded: &mut Seeded) -> Vec<u8> {
    for _ in 0..=seeded.below(4) {
        let at = seeded.below(bytes.len());
        match seeded.below(4) {
            0 => bytes.truncate(at.max(8)),
            1 => bytes[at] = seeded.bytes(1)[0],
            2 => bytes[at] ^= 1 << seeded.below(8),
            _ => {
                let piece = bytes[at..bytes.len().min(at + 64)].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// The product's own compile child, with what it took.
fn compiled(component: &[u8]) -> Ran {
    let mut child = Command::new(binary())
        .arg("compile-child")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("portcullis starts");
    let (mut pipe, bytes) = (child.stdin.take().unwrap(), component.to_vec());
    // Who refuses early reads no further.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&bytes)));
    let ran = finish(child);
    writer.join().unwrap();
    ran
}

#[test]
fn generated_components_are_refused_or_contained() {
    let count = std::env::var(ALL).map_or(COUNT, |count| count.parse().expect("a number"));
    let good = good();
    let base = guests::with_manifest(&good.bytes, MANIFEST);
    assert_eq!(compiled(&base).status, Some(0), "the twin");
    let (mut ends, mut cpu, mut resident) = (BTreeMap::new(), Default::default(), 0);
    for number in 0..count {
        let (kind, bytes) = made(number, &base);
        let what = format!("{number}, {kind}");
        let ran = compiled(&bytes);
        bounded(&what, &ran);
        let end = match ran.status {
            Some(0) => "compiled",
            Some(3) => "refused",
            _ => "failed",
        };
        *ends.entry((kind, end)).or_insert(0_u64) += 1;
        (cpu, resident) = (ran.cpu.max(cpu), ran.resident_kib_max.max(resident));
        // Starting the host for each would take most of the time.
        if number / 4 % 5 == 0 || end == "failed" {
            through_the_host(&what, &good, &base, bytes);
        }
    }
    println!("{ends:#?}, at most {:.1} s of CPU time and {} MiB each", cpu.as_secs_f64(), resident >> 10);
    let reached =
        |kind: &str, end: &str| ends.iter().any(|(known, _)| known.0.contains(kind) && known.1 == end);
    for kind in ["a module of wasm-smith", "wasm-mutate"] {
        assert!(reached(kind, "compiled"), "nothing of {kind} came to the compiler: {ends:?}");
    }
    assert!(reached("damaged", "refused"), "{ends:?}");
}

/// Another digest than the good one's in any case; approved under its own, it runs as any connector does.
fn through_the_host(what: &str, good: &Installed, base: &[u8], bytes: Vec<u8>) {
    let project = project(good);
    let place = project.path("registry/test/probe");
    std::fs::create_dir_all(&place).unwrap();
    let own = sha256(&bytes);
    let other = sha256(base);
    std::fs::write(place.join("1.0.0.wasm"), &bytes).unwrap();
    if own != other {
        let taken = project.run(&["approve", "probe", "--yes", "--digest", &other]);
        assert_ne!(taken.status, Some(0), "{what}: under another digest");
    }
    let approved = project.run(&["approve", "probe", "--yes", "--digest", &own]);
    bounded(what, &approved);
    let called = project.run(&["call", "probe", "fetch", r#"{"requests": []}"#]);
    bounded(what, &called);
    assert!(approved.status == Some(0) || called.status != Some(0), "{what}: it ran without an approval");
    good_runs(&project);
}
