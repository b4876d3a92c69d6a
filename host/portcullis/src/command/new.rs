//! `new`: the folder of a connector that builds and passes its tests at once, with this binary and cargo alone. It never writes
//! into a folder that is there: all files come in one step, or none.
use crate::{
    cli::{self, Arguments},
    exit::{Exit, Failure, Result, at_file},
    output,
};
use portcullis_manifest::{ConnectorName, Role};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

mod folder;
mod roles;

use folder::{Files, New};

/// Writes a new connector.
pub fn run(arguments: &Arguments, options: &cli::New) -> Result<Exit> {
    let name: ConnectorName = options.name.parse().map_err(|error| {
        let given = output::shown_line(&options.name);
        Failure::new(Exit::Usage, format!("`{given}` is no name of a connector"))
            .because(&error)
            .with_help("portcullis new acme/weather")
    })?;
    let roles: BTreeSet<Role> = options.roles.iter().map(|role| (*role).into()).collect();
    let dir = options.dir.clone().unwrap_or_else(|| PathBuf::from(&name.name));
    let sdk = options.sdk_path.as_deref().map(sdk).transpose()?;
    let new = New {
        name: &name,
        roles: &roles,
        sdk: sdk.as_ref().map(|(path, lock)| (path.as_str(), lock.clone())),
    };
    let files = new.files();
    place(&dir, &files)?;
    let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    if arguments.json {
        output::json_line(&json!({
            "connector": name.to_string(),
            "roles": roles,
            "folder": dir.display().to_string(),
            "files": files.keys().collect::<Vec<_>>(),
        }));
        return Ok(Exit::Success);
    }
    output::line(&format!("{name}  {}  in `{}`", roles.join(", "), dir.display()));
    for file in files.keys().filter(|file| !file.starts_with("sdk/")) {
        output::line(&format!("  {file}"));
    }
    let sdk = files.keys().filter(|file| file.starts_with("sdk/")).count();
    if sdk > 0 {
        output::line(&format!("  sdk/  the SDK and the WIT, {sdk} files"));
    }
    output::note(&next(&dir, &new));
    Ok(Exit::Success)
}

/// What to type now.
fn next(dir: &Path, new: &New<'_>) -> String {
    let mut text = format!(
        "\nnext:\n  cd {}\n  cargo test            # the first build fetches what `Cargo.lock` names; later ones need no network\n  portcullis test .     # plays its cassettes in the sandbox\n  portcullis build .\n",
        quoted(&dir.display().to_string())
    );
    if new.sdk.is_some() {
        text.push_str(
            "\nnote: the SDK lies outside the folder, so the component's digest depends on where it lies\n",
        );
    }
    text.trim_end().to_owned()
}

/// As a shell reads it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.chars().all(plain) && !path.starts_with('-') {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', "'\\''"))
}

/// The SDK of this folder: its absolute path, and its lock where it has one.
fn sdk(folder: &Path) -> Result<(String, Option<String>)> {
    let file = folder.join("Cargo.toml");
    let remedy = "`--sdk-path` takes the folder of the crate `portcullis-sdk`; without it, the SDK that this portcullis carries is written";
    let text = fs::read_to_string(&file).map_err(|error| at_file("read", &file)(error).with_help(remedy))?;
    let manifest: Option<toml::Table> = text.parse().ok();
    let name = manifest.as_ref().and_then(|manifest| manifest.get("package")?.get("name")?.as_str());
    if name != Some("portcullis-sdk") {
        return Err(Failure::fault(format!("`{}` is not the SDK's", file.display())).with_help(remedy));
    }
    let real = folder.canonicalize().map_err(at_file("read", folder))?;
    let path = real.to_str().ok_or_else(|| {
        Failure::fault(format!("`{}` is not UTF-8, and cargo reads no other path", real.display()))
    })?;
    Ok((path.to_owned(), fs::read_to_string(real.join("Cargo.lock")).ok()))
}

/// Writes the files beside their folder and names it last.
fn place(dir: &Path, files: &Files) -> Result<()> {
    let taken = || {
        Failure::fault(format!("`{}` exists, and nothing is overwritten", dir.display()))
            .with_help("name a folder that does not exist: `--dir DIR`")
    };
    if fs::symlink_metadata(dir).is_ok() {
        return Err(taken());
    }
    let parent = crate::config::folder_of(dir);
    fs::create_dir_all(parent).map_err(at_file("create", parent))?;
    let begun = tempfile::Builder::new()
        .prefix(".portcullis-new-")
        .tempdir_in(parent)
        .map_err(at_file("write into", parent))?;
    for (name, bytes) in files {
        let file = begun.path().join(name);
        let folder = crate::config::folder_of(&file);
        fs::create_dir_all(folder).map_err(at_file("create", folder))?;
        fs::write(&file, bytes).map_err(at_file("write", &file))?;
    }
    let readable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(begun.path(), readable).map_err(at_file("write", begun.path()))?;
    fs::rename(begun.path(), dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists => taken(),
        _ => at_file("write", dir)(error),
    })?;
    // Its folder has another name now, and stays.
    drop(begun.keep());
    Ok(())
}
