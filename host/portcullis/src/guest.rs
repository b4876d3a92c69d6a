//! How a guest in Rust is built: by cargo, so that the same source is the same bytes in whatever folder it lies. The build script
//! includes this file too.
use std::{
    env,
    ffi::OsString,
    path::{self, Path, PathBuf},
    process::Command,
};

/// What connectors are compiled for.
pub const TARGET: &str = "wasm32-wasip2";

/// `cargo build --release` of the crate in this folder, for the target of guests. `cargo`: the program, by name or path; `target`: not
/// the workspace's own target folder. It runs in the crate's folder: which toolchain and config hold depends on nobody's shell.
///
/// Paths end up in what panics say. Those of the workspace, of cargo's registry and of the target folder are replaced, which leaves
/// nothing of this machine, as long as every path dependency lies within the workspace's folder: cargo names the symbols of one
/// that lies elsewhere by its absolute path. Flags of the environment come first.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that starts a compiler, with cargo's own variables"
)]
pub fn build(cargo: &str, folder: &Path, target: Option<&Path>) -> Command {
    let folder = &folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    // Relative ones start where the command was typed.
    let target = target.map(Path::to_owned).or_else(|| env::var_os("CARGO_TARGET_DIR").map(PathBuf::from));
    let target = target.map(|target| path::absolute(&target).unwrap_or(target));
    let replaced = [
        (workspace(cargo, folder), "/connector"),
        (target.clone().map(PathBuf::into_os_string), "/target"),
        (cargo_home(), "/cargo"),
    ];
    let flags = replaced.iter().filter_map(|(path, by)| {
        let path = path.as_ref()?.to_str()?;
        Some(format!("--remap-path-prefix={path}={by}"))
    });
    let flags: Vec<_> = flags.collect();
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--target", TARGET, "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .current_dir(folder);
    add_flags(&mut command, |name| env::var(name).ok(), &flags);
    if let Some(target) = target {
        command.arg("--target-dir").arg(target);
    }
    command
}

/// Beside the flags that are there, in cargo's own order (The Cargo Book, `build.rustflags`): those of the environment, where there
/// are any, alone; else those of the target, in the config and in its variable, which cargo joins; else those of `build`, which it
/// does not join with them, so that they are said again. Those of `[build]` in a config file are not seen here and get lost; the
/// page on publishing says where to put them.
fn add_flags(command: &mut Command, variable: impl Fn(&str) -> Option<String>, flags: &[String]) {
    let words = |name| Some(variable(name)?.replace(char::is_whitespace, "\x1f"));
    if let Some(given) = variable("CARGO_ENCODED_RUSTFLAGS").or_else(|| words("RUSTFLAGS")) {
        command.env("CARGO_ENCODED_RUSTFLAGS", encoded(&given, flags));
    }
    let of_target = variable("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS").is_some();
    let of_build = words("CARGO_BUILD_RUSTFLAGS").filter(|_| !of_target).unwrap_or_default();
    let all = encoded(&of_build, flags);
    let quoted: Vec<_> = all.split('\x1f').filter(|flag| !flag.is_empty()).map(toml_string).collect();
    command.arg("--config").arg(format!("target.{TARGET}.rustflags=[{}]", quoted.join(",")));
}

/// What was given, and these.
fn encoded(given: &str, flags: &[String]) -> String {
    let given = given.split('\x1f').filter(|flag| !flag.is_empty());
    given.chain(flags.iter().map(String::as_str)).collect::<Vec<_>>().join("\x1f")
}

fn toml_string(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The folder of the workspace that the crate belongs to; its own where cargo does not say.
#[expect(clippy::disallowed_methods, reason = "cargo knows it")]
fn workspace(cargo: &str, folder: &Path) -> Option<OsString> {
    let mut locate = Command::new(cargo);
    locate.current_dir(folder);
    locate.args(["locate-project", "--workspace", "--message-format", "plain", "--manifest-path"]);
    let located =
        locate.arg(folder.join("Cargo.toml")).output().ok().filter(|located| located.status.success());
    let manifest = located.and_then(|located| String::from_utf8(located.stdout).ok());
    let root = manifest.as_deref().and_then(|manifest| Path::new(manifest.trim()).parent());
    Some(root.map_or_else(|| folder.as_os_str().to_owned(), |root| root.as_os_str().to_owned()))
}

#[expect(clippy::disallowed_methods, reason = "cargo's own variables")]
fn cargo_home() -> Option<OsString> {
    env::var_os("CARGO_HOME")
        .or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo").into_os_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_added_to_those_of_the_environment() {
        let flags = ["--a=/x y".to_owned(), "--b".to_owned()];
        assert_eq!(encoded("", &flags), "--a=/x y\x1f--b");
        assert_eq!(encoded("-C\x1fdebuginfo=1\x1f\x1f", &flags), "-C\x1fdebuginfo=1\x1f--a=/x y\x1f--b");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "it is not started")]
    fn whatever_the_environment_says_the_paths_are_replaced() {
        let flags = ["--remap-path-prefix=/a=/b".to_owned()];
        let given = |variables: &[(&str, &str)]| {
            let mut command = Command::new("cargo");
            let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
            add_flags(&mut command, |name| find(name).map(|(_, value)| (*value).to_owned()), &flags);
            let set = command.get_envs().next();
            let set = set.map(|(_, value)| value.unwrap_or_default().display().to_string());
            let config = command.get_args().last().unwrap_or_default().display().to_string();
            (set, config.replace("target.wasm32-wasip2.rustflags=", ""))
        };
        let (paths, own) = ("--remap-path-prefix=/a=/b", "[\"--remap-path-prefix=/a=/b\"]".to_owned());
        let set = |flags: &str| (Some(format!("{flags}{paths}")), own.clone());
        assert_eq!(given(&[]), (None, own.clone()));
        assert_eq!(
            given(&[("CARGO_ENCODED_RUSTFLAGS", "-C\x1fa b"), ("RUSTFLAGS", "-D")]),
            set("-C\x1fa b\x1f")
        );
        assert_eq!(given(&[("RUSTFLAGS", "-C x")]), set("-C\x1fx\x1f"));
        assert_eq!(given(&[("RUSTFLAGS", "")]), set(""));
        // Weaker than the target's own, which cargo joins with what stands here.
        assert_eq!(
            given(&[("CARGO_BUILD_RUSTFLAGS", "-C x")]),
            (None, format!("[\"-C\",\"x\",\"{paths}\"]"))
        );
        let both = [("CARGO_BUILD_RUSTFLAGS", "-D"), ("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", "-C x")];
        assert_eq!(given(&both), (None, own.clone()));
    }

    /// The command that is built has them, whatever this process's environment is.
    #[test]
    fn a_build_replaces_its_paths() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let command = build("cargo", folder.path(), None);
        let said = command.get_args().chain(command.get_envs().filter_map(|(_, value)| value));
        let said: Vec<_> = said.map(|text| text.display().to_string()).collect();
        assert!(
            said.iter().any(|text| text.contains("--remap-path-prefix=") && text.contains("=/connector")),
            "{said:?}"
        );
    }

    #[test]
    fn flags_are_toml_whatever_the_folder_is_called() {
        let written = toml_string("/a \"b\"\\jose\u{301}\u{a0}\u{200b}\u{7f}\n");
        assert_eq!(written, "\"/a \\\"b\\\"\\\\jose\u{301}\u{a0}\u{200b}\\u007F\\u000A\"");
        let read: toml::Table = format!("flags = [{written}]").parse().unwrap();
        assert_eq!(read["flags"][0].as_str(), Some("/a \"b\"\\jose\u{301}\u{a0}\u{200b}\u{7f}\n"));
    }
}
