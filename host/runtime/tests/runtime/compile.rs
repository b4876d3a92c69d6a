//! Hostile and broken components end as an error of their own kind, within the child's limits.

use crate::support::{child, digest, probe_bytes, settings};
use portcullis_runtime::{
    CompileError, Runtime, RuntimeSettings,
    limits::{COMPILE_ADDRESS_SPACE_BYTES_MAX, COMPILE_FILES_MAX},
};
use std::{
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use wasm_encoder::{
    BlockType, CodeSection, Function, FunctionSection, Instruction, Module, TypeSection, ValType,
};

async fn refused_by(compile_child: (PathBuf, Vec<String>), component: &[u8]) -> CompileError {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        RuntimeSettings { instances_max: 1, compile_child, ..settings(&folder.path().join("cache")) };
    let runtime = Runtime::new(settings).unwrap();
    runtime.prepare(&digest(component), component).await.err().expect("is refused")
}

async fn refused(component: &[u8]) -> CompileError {
    refused_by(child(&[]), component).await
}

/// The probe with a core module more.
fn with_module(module: &Module) -> Vec<u8> {
    let mut bytes = probe_bytes().to_vec();
    bytes.push(1);
    let module = module.as_slice();
    let mut size = module.len();
    loop {
        let low = u8::try_from(size & 0x7f).unwrap();
        size >>= 7;
        bytes.push(if size == 0 { low } else { low | 0x80 });
        if size == 0 {
            break;
        }
    }
    bytes.extend_from_slice(module);
    bytes
}

/// `functions` of type `() -> ()`, or what `locals` are; their bodies are made by `body`.
fn module(functions: u32, locals: u32, body: impl Fn(&mut Function)) -> Module {
    let (mut types, mut signatures, mut code) =
        (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..functions {
        signatures.function(0);
        let mut function = Function::new([(locals, ValType::I32)]);
        body(&mut function);
        function.instruction(&Instruction::End);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&signatures).section(&code);
    module
}

fn replaced(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = probe_bytes().to_vec();
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if &bytes[at..at + from.len()] == from.as_bytes() {
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from}");
    bytes
}

#[tokio::test]
async fn look_alikes_are_refused_by_name() {
    for (from, to, message) in [
        (
            "portcullis:connector/http@0.1.0",
            "portcullis:connector/http@0.1.1",
            "the component imports `portcullis:connector/http@0.1.1`: this portcullis has version 0.1.0 alone",
        ),
        (
            "portcullis:connector/blobs@0.1.0",
            "portcullis:connector/files@0.1.0",
            "the component imports `portcullis:connector/files@0.1.0`: the manifest does not list the capability `files`",
        ),
        (
            "portcullis:connector/actions@0.1.0",
            "portcullis:connector/actions@0.1.2",
            "the component exports `portcullis:connector/actions@0.1.2`: this portcullis has version 0.1.0 alone",
        ),
        (
            "wasi:random/insecure-seed@0.2.12",
            "wasi:random/insecure-seed@0.2.99",
            "the component imports `wasi:random/insecure-seed@0.2.99`: this portcullis has 0.2.0 to 0.2.12",
        ),
    ] {
        assert_eq!(refused(&replaced(from, to)).await.to_string(), message);
    }
}

#[tokio::test]
async fn truncated_and_foreign_files_are_invalid() {
    let probe = probe_bytes();
    for bytes in [&probe[..probe.len() - 1], &probe[..probe.len() / 2], &probe[..9], b"", b"PK\x03\x04....."]
    {
        let error = refused(bytes).await;
        assert!(matches!(error, CompileError::Invalid(_)), "{error:?}");
    }
    let error = refused(module(1, 0, |_| {}).as_slice()).await;
    assert_eq!(error.to_string(), "the component is invalid: this is a core module, not a component");
    let mut broken = probe.to_vec();
    let middle = broken.len() / 2;
    broken[middle..middle + 64].fill(0xff);
    assert!(matches!(refused(&broken).await, CompileError::Invalid(_)));
}

#[tokio::test]
async fn a_digest_of_other_bytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(settings(&folder.path().join("cache"))).unwrap();
    let error = runtime.prepare(&digest(b"other"), probe_bytes()).await.err().unwrap();
    assert!(matches!(error, CompileError::Digest(_)), "{error:?}");
}

/// The probe's `pending.after-ms` is a `u64` (0x77, `w`); as an `s64` (0x78, `x`) the component is valid, and another one.
#[tokio::test]
async fn a_role_has_the_functions_of_the_wit() {
    for (from, to, message) in [
        (
            "after-msw",
            "after-msx",
            "the component is invalid: the component exports `portcullis:connector/actions@0.1.0`: its function `invoke` has \
             another type: `…ding(record { resume: string, after-ms: s64 }) }, record { kind: enum { invalid-input, inv…`, \
             expected `…ding(record { resume: string, after-ms: u64 }) }, record { kind: enum { invalid-input, inv…`",
        ),
        (
            "invoke",
            "evokes",
            "the component is invalid: the component exports `portcullis:connector/actions@0.1.0`: it lacks the function \
             `invoke` of `actions`",
        ),
        (
            "again-after-ms",
            "hence-after-ms",
            "the component is invalid: the component exports `portcullis:connector/source@0.1.0`: its function `read` has \
             another type: `…on<string>, checkpoint: option<string>, hence-after-ms: option<u64> }, record { kind: enum…`, \
             expected `…on<string>, checkpoint: option<string>, again-after-ms: option<u64> }, record { kind: enum…`",
        ),
    ] {
        let component = replaced(from, to);
        assert_eq!(refused(&component).await.to_string(), message);
        let check = portcullis_runtime::check_component(&child(&["check"]), &component);
        assert_eq!(check.unwrap_err().to_string(), message);
    }
    portcullis_runtime::check_component(&child(&["check"]), probe_bytes()).unwrap();
}

/// What it imports is compared by the link step, which is before any call.
#[tokio::test]
async fn an_import_has_the_functions_of_the_host() {
    for (from, to, why) in [
        ("list-keys", "list-kids", "`list-kids` has the wrong type: function implementation is missing"),
        ("versionw", "versionx", "expected `u64` found `s64`"),
    ] {
        let error = refused(&replaced(from, to)).await.to_string();
        assert!(
            error.starts_with(
                "the component is invalid: component imports instance `portcullis:connector/state@0.1.0`"
            ),
            "{error}"
        );
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn too_many_or_too_large_functions_are_refused() {
    let error = refused(&with_module(&module(200_000, 0, |_| {}))).await;
    assert_eq!(
        error.to_string(),
        "the component is invalid: the component goes over the limit `functions` of 100000"
    );
    let line = |function: &mut Function| {
        for _ in 0..700_000 {
            function.instruction(&Instruction::I32Const(1)).instruction(&Instruction::Drop);
        }
    };
    let error = refused(&with_module(&module(1, 0, line))).await;
    assert!(error.to_string().contains("`function-body-bytes` of 1048576"), "{error}");
}

/// Before it reads a byte: nobody has given it one here.
#[test]
fn the_child_limits_itself_first() {
    let (program, arguments) = child(&["2", "100000000"]);
    let mut waiting =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let file = format!("/proc/{}/limits", waiting.id());
    let begun = Instant::now();
    let limits = loop {
        let limits = std::fs::read_to_string(&file).unwrap();
        // The last that it sets and that nobody else does.
        if limits.lines().any(|line| line.starts_with("Max file size             0                    0 ")) {
            break limits;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{limits}");
        std::thread::yield_now();
    };
    drop(waiting.stdin.take());
    waiting.wait().unwrap();
    for (name, soft, hard) in [
        ("Max cpu time", 2, 3),
        ("Max data size", 100_000_000, 100_000_000),
        ("Max address space", COMPILE_ADDRESS_SPACE_BYTES_MAX, COMPILE_ADDRESS_SPACE_BYTES_MAX),
        ("Max open files", COMPILE_FILES_MAX, COMPILE_FILES_MAX),
        ("Max file size", 0, 0),
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let found: Vec<_> = line.split_whitespace().take(2).collect();
        assert_eq!(found, [soft.to_string(), hard.to_string()], "{name}");
    }
}

#[tokio::test]
async fn deep_nesting_ends() {
    let nested = |function: &mut Function| {
        for _ in 0..200_000 {
            function.instruction(&Instruction::Block(BlockType::Empty));
        }
        for _ in 0..200_000 {
            function.instruction(&Instruction::End);
        }
    };
    // Quadratic somewhere, so only the limit on CPU time ends it; here the limit is lower.
    let error = refused_by(child(&["2"]), &with_module(&module(1, 0, nested))).await;
    assert!(matches!(&error, CompileError::Stopped(why) if why.contains("CPU time")), "{error:?}");
}

/// Every block of a long chain of loops may change every local: phi nodes by the product.
fn phis() -> Vec<u8> {
    const LOCALS: u32 = 4_000;
    with_module(&module(1, LOCALS, |function| {
        for n in 0..8_000_u32 {
            function
                .instruction(&Instruction::Loop(BlockType::Empty))
                .instruction(&Instruction::LocalGet(n % LOCALS))
                .instruction(&Instruction::LocalGet((n * 7 + 1) % LOCALS))
                .instruction(&Instruction::I32Add)
                .instruction(&Instruction::LocalTee((n * 3 + 2) % LOCALS))
                .instruction(&Instruction::BrIf(0));
        }
        for _ in 0..8_000 {
            function.instruction(&Instruction::End);
        }
    }))
}

#[tokio::test]
async fn a_compile_bomb_runs_into_the_limits() {
    let component = phis();
    let error = refused_by(child(&["2"]), &component).await;
    assert!(
        matches!(&error, CompileError::Stopped(why) if why.contains("CPU time") || why.contains("memory")),
        "{error:?}"
    );
    let error = refused_by(child(&["30", "100000000"]), &component).await;
    assert!(matches!(&error, CompileError::Stopped(why) if why.contains("memory")), "{error:?}");
}

#[tokio::test]
async fn the_cache_is_used_and_never_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let (bytes, digest) = (probe_bytes(), digest(probe_bytes()));
    Runtime::new(settings(&cache)).unwrap().prepare(&digest, bytes).await.unwrap();
    let files = |cache: &std::path::Path| -> Vec<PathBuf> {
        let mut files: Vec<_> =
            std::fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    assert_eq!(files(&cache).len(), 2, "{:?}", files(&cache));
    // A warm cache needs no child.
    let without_child =
        || RuntimeSettings { compile_child: ("/nonexistent".into(), vec![]), ..settings(&cache) };
    Runtime::new(without_child()).unwrap().prepare(&digest, bytes).await.unwrap();
    // A truncated file is compiled anew.
    let code = &files(&cache)[0];
    let whole = std::fs::read(code).unwrap();
    std::fs::write(code, &whole[..whole.len() / 2]).unwrap();
    let error = Runtime::new(without_child()).unwrap().prepare(&digest, bytes).await.err().unwrap();
    assert!(matches!(error, CompileError::Child { .. }), "{error:?}");
    Runtime::new(settings(&cache)).unwrap().prepare(&digest, bytes).await.unwrap();
    assert_eq!(std::fs::read(code).unwrap().len(), whole.len());
    // A folder that others can read is refused.
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = Runtime::new(settings(&cache)).err().unwrap();
    assert!(matches!(error, CompileError::Cache { .. }), "{error:?}");
}
