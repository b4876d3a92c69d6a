//! Promise: a component that is made to keep a compiler busy or to fill its memory ends as a connector that works or in words,
//! within 30 s of CPU time in all and 1 GiB each, and the host runs the next connector. `just hostile-binaries` runs those too that take
//! their 30 s.

use crate::{
    generated,
    malicious_binary::{MODULE, appended},
};
use portcullis_tests::{Ran, guests::Installed};
use std::time::Duration;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, ElementSection, Elements, ExportKind, ExportSection,
    Function, FunctionSection, GlobalSection, GlobalType, Instruction, MemorySection, MemoryType, Module,
    RawSection, RefType, TableSection, TableType, TypeSection, ValType,
};

/// The child's and the host's together.
pub(crate) const CPU_MAX: Duration = Duration::from_secs(30);
/// Of the larger of the two.
pub(crate) const RESIDENT_KIB_MAX: u64 = 1 << 20;
/// The most that a function's body may take, but for its head.
const BODY_BYTES: usize = (1 << 20) - 64;

/// A module of one function type and these bodies.
fn module(params: &[ValType], results: &[ValType], bodies: &[Function]) -> Vec<u8> {
    let (mut types, mut declared, mut code) =
        (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function(params.iter().copied(), results.iter().copied());
    for body in bodies {
        declared.function(0);
        code.function(body);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    module.finish()
}

/// One body of these instructions over so many locals.
fn body(locals: u32, instructions: impl IntoIterator<Item = Instruction<'static>>) -> Function {
    let mut body = Function::new([(locals, ValType::I32)]);
    for instruction in instructions {
        body.instruction(&instruction);
    }
    body.instruction(&Instruction::End);
    body
}

fn repeated(unit: &[Instruction<'static>], times: usize) -> impl Iterator<Item = Instruction<'static>> {
    unit.iter().cycle().take(unit.len() * times).cloned()
}

/// So many bodies without an instruction.
fn empty(functions: usize) -> Vec<u8> {
    module(&[], &[], &vec![body(0, []); functions])
}

/// `block block … end end`
fn nested(opening: Instruction<'static>, depth: usize) -> Vec<u8> {
    let unit = match opening {
        Instruction::If(_) => vec![Instruction::I32Const(1), opening],
        _ => vec![opening],
    };
    module(&[], &[], &[body(0, repeated(&unit, depth).chain(repeated(&[Instruction::End], depth)))])
}

/// Arithmetic without a branch: so many bodies of so many bytes.
fn straight(bodies: usize, bytes: usize) -> Vec<u8> {
    use Instruction::{I32Add, I32Mul, LocalGet, LocalSet};
    let unit = [LocalGet(0), LocalGet(1), I32Mul, LocalGet(2), I32Add, LocalSet(3), LocalGet(3), LocalSet(0)];
    // Of parameters: what follows from constants alone is computed away.
    module(&[ValType::I32; 4], &[], &vec![body(0, repeated(&unit, bytes / 14)); bodies])
}

/// Every loop of a chain may change every local: phi nodes by the product.
fn phis(locals: u32, loops: u32) -> Vec<u8> {
    use Instruction::{BrIf, End, I32Add, LocalGet, LocalTee, Loop};
    let opened = (0..loops).flat_map(|n| {
        [
            Loop(BlockType::Empty),
            LocalGet(n % locals),
            LocalGet((n * 7 + 1) % locals),
            I32Add,
            LocalTee((n * 3 + 2) % locals),
            BrIf(0),
        ]
    });
    module(&[], &[], &[body(locals, opened.chain(repeated(&[End], loops as usize)))])
}

/// `br_table` with so many targets, each of which takes so many values.
fn tables(targets: usize, values: usize, times: usize) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([], vec![ValType::I32; values]);
    let mut function = Function::new([]);
    for _ in 0..times {
        function.instruction(&Instruction::Block(BlockType::FunctionType(1)));
        for _ in 0..=values {
            function.instruction(&Instruction::I32Const(0));
        }
        function
            .instruction(&Instruction::BrTable(vec![0; targets].into(), 0))
            .instruction(&Instruction::End);
        for _ in 0..values {
            function.instruction(&Instruction::Drop);
        }
    }
    function.instruction(&Instruction::End);
    let (mut declared, mut code) = (FunctionSection::new(), CodeSection::new());
    declared.function(0);
    code.function(&function);
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    module.finish()
}

/// Calls of a function that takes and gives as much as any may.
fn calls(bodies: usize) -> Vec<u8> {
    let many = vec![ValType::I64; 1_000];
    let gets = (0..1_000).map(Instruction::LocalGet);
    let unit: Vec<_> = gets.chain(repeated(&[Instruction::Call(0)], 300_000)).collect();
    module(&many, &many, &vec![body(0, unit); bodies])
}

/// 256 MiB of memory with a byte at each end of each page, and one of so many places for functions.
fn scattered(segments: u32, elements: usize) -> Vec<u8> {
    let (mut memories, mut data, mut listed) =
        (MemorySection::new(), DataSection::new(), ElementSection::new());
    memories.memory(MemoryType {
        minimum: 4_096,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    for segment in 0..segments {
        let address = (256 << 20) / segments * segment;
        data.active(0, &ConstExpr::i32_const(i32::try_from(address).unwrap()), [7]);
    }
    let (mut types, mut declared, mut code, mut tables) =
        (TypeSection::new(), FunctionSection::new(), CodeSection::new(), TableSection::new());
    types.ty().function([], []);
    declared.function(0);
    code.function(&body(0, []));
    let minimum = elements as u64;
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        minimum,
        maximum: None,
        table64: false,
        shared: false,
    });
    listed.active(None, &ConstExpr::i32_const(0), Elements::Functions(vec![0; elements].into()));
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&tables).section(&memories);
    module.section(&listed).section(&code).section(&data);
    module.finish()
}

/// So many globals, each of them exported.
fn exports(count: u32) -> Vec<u8> {
    let (mut globals, mut exports) = (GlobalSection::new(), ExportSection::new());
    for n in 0..count {
        let kind = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
        globals.global(kind, &ConstExpr::i64_const(n.into()));
        exports.export(&format!("{n}-{}", "long".repeat(20)), ExportKind::Global, n);
    }
    let mut module = Module::new();
    module.section(&globals).section(&exports);
    module.finish()
}

/// What has to come of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// These words, before a compiler sees it.
    Refused(&'static str),
    /// It works.
    Works,
    /// It works, or words: it may take all it is given.
    Bounded,
}

/// Made when it is its turn: what a test holds, its children begin with.
type Bomb = (&'static str, fn() -> Vec<u8>, End);

const BOMBS: [Bomb; 19] = [
    ("200,000 functions", || empty(200_000), End::Refused("limit `functions` of 100000")),
    (
        "a straight line of 2 MB",
        || straight(1, 2 << 20),
        End::Refused("limit `function-body-bytes` of 1048576"),
    ),
    ("a table of 65,000 branches", || tables(65_000, 0, 1), End::Works),
    ("a table of 1,000,000 branches", || tables(1_000_000, 0, 1), End::Bounded),
    ("100,000 bytes over 256 MiB, 100,000 places", || scattered(100_000, 100_000), End::Bounded),
    ("20,000 functions", || empty(20_000), End::Works),
    ("95,000 functions", || empty(95_000), End::Bounded),
    ("a straight line of 1 MiB", || straight(1, BODY_BYTES), End::Bounded),
    ("60 straight lines of 1 MiB", || straight(60, BODY_BYTES), End::Bounded),
    ("200,000 blocks", || nested(Instruction::Block(BlockType::Empty), 200_000), End::Bounded),
    ("200,000 loops", || nested(Instruction::Loop(BlockType::Empty), 200_000), End::Bounded),
    ("200,000 ifs", || nested(Instruction::If(BlockType::Empty), 200_000), End::Bounded),
    ("8,000 loops over 4,000 locals", || phis(4_000, 8_000), End::Bounded),
    ("50,000 loops over 40,000 locals", || phis(40_000, 50_000), End::Bounded),
    ("a table of 10,000 branches that take 1,000 values", || tables(10_000, 1_000, 1), End::Bounded),
    ("80 of them", || tables(10_000, 1_000, 80), End::Bounded),
    ("300,000 calls that take and give 1,000 values", || calls(1), End::Bounded),
    ("50 times as many", || calls(50), End::Bounded),
    ("500,000 exports", || exports(500_000), End::Bounded),
];

/// Where it lies in a component: nobody instantiates it, everybody compiles it.
fn component(module: &[u8]) -> Installed {
    Installed::of(appended(&RawSection { id: MODULE, data: module }))
}

#[track_caller]
pub(crate) fn bounded(what: &str, ran: &Ran) {
    let words = format!(
        "{what}: {:?} after {:?} and {} KiB\n{}",
        ran.status, ran.cpu, ran.resident_kib_max, ran.stderr
    );
    assert!(ran.status.is_some_and(|status| status < 100), "{words}");
    assert!(ran.cpu <= CPU_MAX, "{words}");
    assert!(ran.resident_kib_max <= RESIDENT_KIB_MAX, "{words}");
}

/// Approved, called beside a good one, and the good one after it.
fn goes_off(what: &str, module: &[u8], end: End) {
    let (bomb, good) = (component(module), generated::good());
    let project = generated::project(&good);
    project.install(&bomb);
    let mut ran = project.run(&["approve", "probe", "--yes", "--digest", &bomb.digest]);
    bounded(what, &ran);
    let taken = ran.status == Some(0);
    if taken {
        ran = project.run(&["call", "probe", "echo", "{}"]);
        bounded(what, &ran);
    }
    println!(
        "{what}: {} KB, {} after {:.1} s of CPU time and {} MiB: {}",
        module.len() >> 10,
        ran.status.unwrap_or_default(),
        ran.cpu.as_secs_f64(),
        ran.resident_kib_max >> 10,
        ran.stderr.lines().nth(1).unwrap_or_default().trim()
    );
    match end {
        End::Refused(words) => assert!(!taken && ran.stderr.contains(words), "{what}: {}", ran.stderr),
        End::Works => drop(ran.exits(0)),
        End::Bounded if ran.status == Some(0) => {}
        End::Bounded => {
            ran.exits(3);
            let word = if taken { "can't be compiled" } else { "is not a connector" };
            assert!(ran.stderr.contains(word), "{what}: {}", ran.stderr);
            assert!(project.runs(&[]).is_empty(), "{what}: a run began");
        }
    }
    generated::good_runs(&project);
}

/// `just hostile-binaries` sets it.
pub(crate) const ALL: &str = "HOSTILE_BINARIES";
/// Of those that take what they are given, one is enough for the suite.
const SUITE: &str = "200,000 blocks";

#[test]
fn a_compile_bomb_ends_within_its_bounds() {
    let all = std::env::var_os(ALL).is_some();
    for (what, made, end) in BOMBS {
        if all || end != End::Bounded || what == SUITE {
            goes_off(what, &made(), end);
        }
    }
}
