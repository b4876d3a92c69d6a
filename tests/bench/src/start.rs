//! Row 6: from the start of the release binary to the end of a first `call` that needs no network, with a warm compile
//! cache, where the registry, the config and the lock hold one connector, and 400.

use crate::{checkout, measure};
use anyhow::{Context, ensure};
use portcullis_manifest::{Component, Connector, embed};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

const STARTS: usize = 21;

/// The binary, built as it is released.
pub fn binary() -> anyhow::Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "portcullis"])
        .current_dir(checkout())
        .status()
        .context("cargo does not start")?;
    ensure!(built.success(), "the binary can't be built");
    Ok(checkout().join("target/release/portcullis"))
}

/// Measures, prints, and returns what is kept.
pub fn measure(folder: &Path, code: &[u8]) -> anyhow::Result<Value> {
    println!("Start of the binary to the end of its first call; median of {STARTS}");
    let binary = binary()?;
    let mut kept = Vec::new();
    for (connectors, aim) in [(1, "< 50 ms"), (400, "< 300 ms")] {
        let project = folder.join(format!("start-{connectors}"));
        prepare(&project, &binary, code, connectors)?;
        // The one that is called was approved first and used once: its code is in the cache.
        call(&project, &binary)?;
        let times = (0..STARTS).map(|_| call(&project, &binary)).collect::<anyhow::Result<Vec<_>>>()?;
        let bare = (0..STARTS).map(|_| version(&binary)).collect::<anyhow::Result<Vec<_>>>()?;
        let (all, bare) = (measure::median(times.clone()), measure::median(bare));
        println!("{connectors:>40} connectors {all:8.1} ms, of which `--version` {bare:.1} ms   aim {aim}");
        kept.push(json!({ "connectors": connectors, "ms": times, "version_ms": bare }));
    }
    println!();
    Ok(Value::Array(kept))
}

/// A folder as an operator has it: so many connectors, each approved.
fn prepare(project: &Path, binary: &Path, code: &[u8], connectors: usize) -> anyhow::Result<()> {
    fs::create_dir_all(project)?;
    let mut config = String::new();
    for n in 0..connectors {
        let name = format!("c{n}");
        let registry = project.join("registry/bench").join(&name);
        fs::create_dir_all(&registry)?;
        fs::write(registry.join("1.0.0.wasm"), with_manifest(project, code, &name)?)?;
        config.push_str(&format!(
            "[connections.{name}]\nconnector = \"bench/{name}@1.0.0\"\nallow = \"requested\"\n\n"
        ));
    }
    fs::write(project.join("portcullis.toml"), config)?;
    for n in 0..connectors {
        let file = project.join(format!("registry/bench/c{n}/1.0.0.wasm"));
        let digest = Component::read(&fs::read(file)?)?.digest;
        run(project, binary, &["approve", &format!("c{n}"), "--yes", "--digest", &digest])?;
    }
    Ok(())
}

fn with_manifest(folder: &Path, code: &[u8], name: &str) -> anyhow::Result<Vec<u8>> {
    let source = folder.join("source");
    fs::create_dir_all(&source)?;
    fs::write(source.join("any.json"), r#"{"$schema": "https://json-schema.org/draft/2020-12/schema"}"#)?;
    fs::write(
        source.join("connector.toml"),
        format!(
            "[connector]\nname = \"bench/{name}\"\nversion = \"1.0.0\"\nposition-version = 1\nconfig-version = 1\n\
             roles = [{ROLES}]\nsummary = \"For the bench\"\nconfig-schema = \"any.json\"\n\n\
             [actions.echo]\ninput = \"any.json\"\noutput = \"any.json\"\n\n\
             [streams.rows]\nschema = \"any.json\"\nprimary-key = [\"id\"]\n"
        ),
    )?;
    let manifest = Connector::read_folder(&source)
        .map_err(|faults| anyhow::anyhow!("the bench's manifest is refused: {faults:?}"))?;
    Ok(embed::embed(&Component::code(code)?, &manifest, &BTreeMap::new())?)
}

/// Those of the probe.
const ROLES: &str = r#""actions", "source", "destination", "webhook", "subscriptions", "migration""#;

fn call(project: &Path, binary: &Path) -> anyhow::Result<f64> {
    let began = Instant::now();
    run(project, binary, &["call", "c0", "echo", "{}"])?;
    Ok(measure::micros(began.elapsed()) / 1e3)
}

fn version(binary: &Path) -> anyhow::Result<f64> {
    let began = Instant::now();
    run(Path::new("/"), binary, &["--version"])?;
    Ok(measure::micros(began.elapsed()) / 1e3)
}

fn run(folder: &Path, binary: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let ran = Command::new(binary)
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .context("the binary does not start")?;
    ensure!(ran.status.success(), "`{}`: {}", arguments.join(" "), String::from_utf8_lossy(&ran.stderr));
    Ok(())
}
