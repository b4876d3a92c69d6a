//! `build`: cargo builds the guest, the manifest goes into it, the result into the registry.
use crate::{
    cli::{Arguments, Build},
    config::Config,
    exit::{Exit, Failure, Result, at_file},
    guest::{self, TARGET},
    output, registry,
    registry::Package,
};
use portcullis_clock::{Clock as _, RealClock};
use portcullis_contract::SchemaError;
use portcullis_manifest::{
    Component, Connector, EmbeddedError, Folder,
    diagnose::{nearest, shown},
    embed, world,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};
use tokio::sync::watch;

/// Builds the connector in a folder and puts it into the registry.
pub fn run(arguments: &Arguments, options: &Build) -> Result<Exit> {
    let began = RealClock.monotonic();
    put(arguments, options, &package(&options.dir)?, began)?;
    Ok(Exit::Success)
}

/// Puts it into the registry, and shows it.
pub fn put(arguments: &Arguments, options: &Build, package: &Package, began: Duration) -> Result<()> {
    let Package { bytes, component, .. } = package;
    let file = registry::put(&registry_folder(arguments, options)?, bytes, component)?;
    let (name, version) = (&component.manifest.name, &component.manifest.version);
    let took = RealClock.monotonic().saturating_sub(began);
    let roles: Vec<&str> = component.roles.iter().map(|role| role.as_str()).collect();
    if arguments.json {
        output::json_line(&json!({
            "connector": name.to_string(),
            "version": version.to_string(),
            "digest": component.digest,
            "size": component.size,
            "roles": roles,
            "imports": component.imports,
            "file": file.display().to_string(),
            "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }));
    } else {
        output::line(&format!("{name} {version}"));
        output::line(&format!("digest   {}", component.digest));
        output::line(&format!("size     {} bytes", component.size));
        output::line(&format!("roles    {}", roles.join(", ")));
        output::line(&format!("imports  {}", component.imports.join("\n         ")));
        output::line(&format!("file     {}", file.display()));
        output::line(&format!("time     {}.{} s", took.as_secs(), took.subsec_millis() / 100));
    }
    slips(&component.manifest).iter().for_each(|slip| output::note(slip));
    Ok(())
}

/// Names of `sensitive` that an operation's schemas do not have, where they have nearly the same. No fault: a vendor's answer may
/// have more than a record; but a slip of the hand masks nothing, and no log shows it.
fn slips(manifest: &Connector) -> Vec<String> {
    let mut slips = Vec::new();
    let mut look = |place: String, sensitive: &[String], schemas: &[&Value]| {
        let mut known = BTreeSet::new();
        schemas.iter().for_each(|schema| properties(schema, &mut known));
        for name in sensitive.iter().filter(|name| !known.contains(*name)) {
            if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
                let (name, near) = (shown(name), shown(near));
                slips.push(format!(
                    "{place}.sensitive: `{name}` is in none of its schemas and masks no `{near}`; did you mean that?"
                ));
            }
        }
    };
    for (name, action) in &manifest.actions {
        look(format!("actions.{name}"), &action.sensitive, &[&action.input, &action.output]);
    }
    for (name, stream) in &manifest.streams {
        look(format!("streams.{name}"), &stream.sensitive, &[&stream.schema]);
    }
    slips
}

/// Every property that a schema names, at any depth.
fn properties(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(keywords) => {
            for (keyword, inner) in keywords {
                if let ("properties", Value::Object(named)) = (keyword.as_str(), inner) {
                    found.extend(named.keys().cloned());
                }
                properties(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, found)),
        _ => {}
    }
}

/// The connector in a folder, built and judged.
pub fn package(dir: &Path) -> Result<Package> {
    let folder = folder(dir)?;
    let output = cargo(dir).output().map_err(not_started)?;
    Built { code: code(dir, &output)?, folder }.package(dir)
}

/// The same, its code built and nothing judged yet. None where it was stopped: the compiler is stopped too.
pub async fn built_until(dir: &Path, stop: &mut watch::Receiver<bool>) -> Result<Option<Built>> {
    let folder = folder(dir)?;
    let mut cargo = cargo(dir);
    // A group of its own, so that all of it can be ended, and only by this process.
    cargo.process_group(0).stdout(Stdio::piped());
    let child = tokio::process::Command::from(cargo).kill_on_drop(true).spawn().map_err(not_started)?;
    let group = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    let mut ended = std::pin::pin!(child.wait_with_output());
    let output = tokio::select! {
        output = &mut ended => output.map_err(not_started)?,
        _ = stop.wait_for(|stopped| *stopped) => {
            if let Some(group) = group {
                // Gone already is as good.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::INT);
            }
            let _ = ended.await;
            return Ok(None);
        }
    };
    // Both may have come at once.
    if *stop.borrow() {
        return Ok(None);
    }
    Ok(Some(Built { code: code(dir, &output)?, folder }))
}

/// What the compiler made, and what the folder says of it.
pub struct Built {
    /// The component, without its manifest.
    pub code: Vec<u8>,
    /// Manifest and assets.
    pub folder: Folder,
}

impl Built {
    /// The connector.
    pub fn package(&self, dir: &Path) -> Result<Package> {
        let Folder { connector: manifest, assets, .. } = &self.folder;
        let whole = embed::embed(&self.code, manifest, assets).map_err(|error| disagrees(dir, &error))?;
        // What was built is read as anybody's file would be: roles, imports and limits are judged in one place.
        let component = Component::read(&whole).map_err(|error| disagrees(dir, &error))?;
        let package = Package { file: dir.to_owned(), bytes: whole, component, carried: false }.judged();
        package.map_err(|failure| match failure.help.as_deref() {
            // Nothing is wrong with what was built.
            Some(registry::OF_THIS_MACHINE) => failure,
            _ => Failure {
                message: "the build is not a connector".to_owned(),
                help: Some(
                    "its roles have the functions of the WIT of this portcullis, and it imports no others"
                        .to_owned(),
                ),
                ..failure
            },
        })
    }
}

fn folder(dir: &Path) -> Result<Folder> {
    if !dir.join("connector.toml").exists() {
        return Err(Failure::fault(format!("`{}` has no `connector.toml`", dir.display()))
            .with_help("name a connector's folder; `portcullis new PUBLISHER/NAME` writes one"));
    }
    let folder = Folder::read(dir).map_err(Failure::documents)?;
    // Before the compiler is asked, and at its line.
    match registry::schema_fault(&folder.connector) {
        None => Ok(folder),
        Some((_, error @ SchemaError::Here(_))) => {
            let message = format!("the schemas of `{}` can't be looked at", dir.display());
            let help = "no fault of them: `ulimit -a` shows the limits of this machine";
            Err(Failure::fault(message).because(&error).with_help(help))
        }
        Some((path, error)) => {
            let key = path.last().copied().unwrap_or_default();
            let message = format!("`{key}`: {}", error.words());
            Err(Failure::documents(vec![Folder::schema_fault(dir, &path, message)]))
        }
    }
}

/// What manifest and code say differently, at the line of the manifest that says it.
fn disagrees(dir: &Path, error: &EmbeddedError) -> Failure {
    let exports = "`connector!(TYPE: ROLE, …);` in `src/lib.rs` exports the roles that it names";
    let (key, message, help) = match error {
        EmbeddedError::Roles { declared, exported } => (
            "roles",
            format!("`roles` are {declared}, but the code exports {exported}"),
            format!("make both the same: {exports}"),
        ),
        EmbeddedError::NoLifecycle => (
            "roles",
            "the code exports no connector".to_owned(),
            format!("{exports}, and what every connector has"),
        ),
        EmbeddedError::Import { name, .. } if world::check_import(name, &world::capabilities()).is_ok() => (
            "capabilities",
            format!("the code {error}"),
            "add it to `capabilities`, or use nothing that needs it".to_owned(),
        ),
        EmbeddedError::Import { .. } => (
            "capabilities",
            format!("the code {error}"),
            "a connector has no sockets, files or processes: remove the crate that asks for it".to_owned(),
        ),
        other => return Failure::fault("the build is not a connector").because(other),
    };
    Failure::documents(vec![Folder::fault(dir, &["connector", key], message, help)])
}

/// `--registry`, else the config's where there is a config, else `./registry`.
pub fn registry_folder(arguments: &Arguments, options: &Build) -> Result<PathBuf> {
    match &options.registry {
        Some(folder) => Ok(folder.clone()),
        None if arguments.config.exists() => Ok(Config::read(&arguments.config)?.registry),
        None => Ok(PathBuf::from("registry")),
    }
}

fn cargo(dir: &Path) -> Command {
    let mut cargo = guest::build("cargo", dir, None);
    cargo.args(["--message-format", "json-render-diagnostics"]).stdin(Stdio::null()).stderr(Stdio::inherit());
    cargo
}

fn not_started(error: std::io::Error) -> Failure {
    Failure::fault("cannot start cargo")
        .because(&error)
        .with_help("a Rust connector is built by cargo: https://rustup.rs")
}

/// The component that cargo says it made.
fn code(dir: &Path, output: &Output) -> Result<Vec<u8>> {
    if !output.status.success() {
        return Err(Failure::fault(format!("cargo could not build `{}`", dir.display())).with_help(format!(
            "cargo says above what is wrong; where the target is missing: rustup target add {TARGET}"
        )));
    }
    let component = built_file(&output.stdout, dir).ok_or_else(|| {
        Failure::fault(format!("cargo built no component in `{}`", dir.display()))
            .with_help("the crate needs `[lib] crate-type = [\"cdylib\"]`")
    })?;
    std::fs::read(&component).map_err(at_file("read", &component))
}

/// The `.wasm` that cargo made of the crate in this folder, from its messages.
fn built_file(messages: &[u8], dir: &Path) -> Option<PathBuf> {
    let manifest = dir.join("Cargo.toml").canonicalize().ok()?;
    let messages = String::from_utf8_lossy(messages);
    let artifacts =
        messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|message| {
            message["reason"] == "compiler-artifact" && message["manifest_path"].as_str() == manifest.to_str()
        });
    let mut files =
        artifacts.flat_map(|artifact| artifact["filenames"].as_array().cloned().unwrap_or_default());
    files.find_map(|file| file.as_str().filter(|file| file.ends_with(".wasm")).map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_of_a_schema_are_those_at_any_depth() {
        let schema = json!({
            "properties": { "a": { "items": { "properties": { "b": {} } } }, "properties": {} },
            "anyOf": [{ "properties": { "c": {} } }],
            "$defs": { "not-a-property": { "type": "string" } }
        });
        let mut found = BTreeSet::new();
        properties(&schema, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b", "c", "properties"]);
    }
}
