//! `init`: a folder to begin in. Writes over nothing: where anything of it is there already, all is left as it is.
use crate::{
    cli::{Arguments, Init},
    config::folder_of,
    exit::{Exit, Failure, Result, at_file},
    files, output,
    remedy::quoted,
};
use serde_json::json;
use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The starting config. Its examples are commented out, and parse where they are not.
const CONFIG: &str = include_str!("init/portcullis.toml");

const GITIGNORE: &str = "\
# Databases, approved components, what was approved and what has ended: of this machine alone.
/data/
# Secrets: one file each, mode 0600.
/secrets/
*.key
.env
# `portcullis.toml` and `portcullis.lock` belong into version control.
";

/// Name and mode.
const FOLDERS: [(&str, u32); 3] = [("data", 0o700), ("registry", 0o755), ("secrets", 0o700)];

/// Makes the folder.
pub fn run(arguments: &Arguments, options: &Init) -> Result<Exit> {
    let config = config_file(arguments, options)?;
    let folder = folder_of(&config);
    refuse_existing(&config)?;
    fs::create_dir_all(folder).map_err(at_file("create", folder))?;
    let mut created = Vec::new();
    for (name, mode) in FOLDERS {
        let path = folder.join(name);
        fs::DirBuilder::new().mode(mode).create(&path).map_err(at_file("create", &path))?;
        created.push((path, mode));
    }
    // The config last: where it stands, all stands.
    for (path, text) in [(folder.join(".gitignore"), GITIGNORE), (config.clone(), CONFIG)] {
        files::write_new(&path, text.as_bytes(), 0o644)?;
        created.push((path, 0o644));
    }
    let next = next(&config);
    if arguments.json {
        let created: Vec<_> = created
            .iter()
            .map(|(path, mode)| json!({ "path": path.display().to_string(), "mode": format!("{mode:04o}") }))
            .collect();
        output::json_line(&json!({ "created": created, "next": next }));
    } else {
        let created = created.iter().map(|(path, mode)| format!("created {} ({mode:04o})", path.display()));
        output::line(&created.collect::<Vec<_>>().join("\n"));
        let steps = next.iter().zip(1..).map(|(step, number)| format!("  {number}. {step}"));
        output::line(&format!("\nnext:\n{}", steps.collect::<Vec<_>>().join("\n")));
    }
    Ok(Exit::Success)
}

/// `DIR/portcullis.toml`, else what `--config` names.
fn config_file(arguments: &Arguments, options: &Init) -> Result<PathBuf> {
    let named = arguments.config.as_path();
    match &options.dir {
        None => Ok(named.to_owned()),
        Some(dir) if named == Path::new("portcullis.toml") => Ok(dir.join(named)),
        Some(_) => Err(Failure::new(Exit::Usage, "`--dir` and `--config` both say where the config goes")
            .with_help("leave one of them away: `--dir DIR` is `--config DIR/portcullis.toml`")),
    }
}

/// A lock counts too: somebody's approvals would come back to life under another config.
fn refuse_existing(config: &Path) -> Result<()> {
    let folder = folder_of(config);
    let beside = ["portcullis.lock", ".gitignore"].into_iter().chain(FOLDERS.map(|(name, _)| name));
    let paths = [config.to_owned()].into_iter().chain(beside.map(|name| folder.join(name)));
    let there: Vec<String> = paths
        // A link that leads nowhere is there.
        .filter(|path| fs::symlink_metadata(path).is_ok())
        .map(|path| format!("`{}`", path.display()))
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    let message = format!("`init` writes over nothing, and there is already {}", there.join(", "));
    Err(Failure::new(Exit::Usage, message).with_help(
        "nothing was changed: name a new folder, `portcullis init --dir DIR`, or move away what is there",
    ))
}

/// What to type next, for this config.
fn next(config: &Path) -> Vec<String> {
    let shown = config.display();
    let portcullis = match config == Path::new("portcullis.toml") {
        true => "portcullis".to_owned(),
        false => format!("portcullis --config {}", quoted(config)),
    };
    let folder = folder_of(config);
    let inside = |path: &str| if folder == Path::new(".") { path.into() } else { folder.join(path) };
    vec![
        format!(
            "put a connector into the registry: `{portcullis} build FOLDER`, or copy a built one to `{}`",
            inside("registry/PUBLISHER/NAME/VERSION.wasm").display()
        ),
        format!("see what it asks for: `{portcullis} inspect PUBLISHER/NAME`"),
        format!(
            "write its key into a file of mode 0600: `(umask 077; cat > {})`, paste, Enter, Ctrl-D",
            quoted(&inside("secrets/NAME.key"))
        ),
        format!("fill in a credential and a connection: `{shown}` has an example of each"),
        format!("see that the config holds: `{portcullis} config check`"),
        format!("approve what it may do: `{portcullis} approve CONNECTION`"),
        format!("have it check its config and key: `{portcullis} check CONNECTION`"),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::config::authored;

    #[test]
    fn the_starting_config_parses_with_its_examples_and_without() {
        let parse = |text: &str| {
            authored::parse(Path::new("portcullis.toml"), text)
                .unwrap_or_else(|faults| panic!("{faults:?}\n{text}"))
        };
        let bare = parse(CONFIG);
        assert!(bare.connections.is_empty() && bare.credentials.is_empty());
        let example = |line: &str| match line.strip_prefix('#') {
            Some(example) if !example.starts_with(' ') => example.to_owned(),
            _ => line.to_owned(),
        };
        let filled: String = CONFIG.lines().map(|line| example(line) + "\n").collect();
        let filled = parse(&filled);
        let connection = &filled.connections["example"];
        assert_eq!(connection.credentials["api-key"], "example-live");
        let defaults = format!("{:?}", crate::config::Limits::default());
        assert_eq!(format!("{:?}", connection.limits), defaults, "it says that these are the defaults");
        assert_eq!(filled.boundary.deny.len(), 1);
    }
}
