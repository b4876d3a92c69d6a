//! Commands in what a person may paste: with the `--config` that this process was called with.
use crate::{cli::CONFIG_FILE, config::folder_of};
use portcullis_manifest::diagnose::without_secrets;
use std::{path::Path, sync::OnceLock};

/// What such a command has.
pub const OPTION: &str = "--config ";

static CONFIG: OnceLock<String> = OnceLock::new();

/// The folder of the config file, whole and as it was named, where it looks like a secret: who called this program said it, and
/// paths of remedies begin with it.
static FOLDERS: OnceLock<Vec<String>> = OnceLock::new();

/// Commands that read the config file.
const READ_IT: [&str; 30] = [
    "--json",
    "approve",
    "build",
    "call",
    "check",
    "config",
    "connections",
    "connectors",
    "deliver",
    "deliveries",
    "denials",
    "dev",
    "discover",
    "doctor",
    "explain",
    "flows",
    "inspect",
    "logs",
    "positions",
    "read",
    "reload",
    "review",
    "revoke",
    "run",
    "runs",
    "serve",
    "status",
    "store",
    "update",
    "write",
];

/// Says which config file this process reads; once, before anything is printed.
pub fn reads(config: &Path) {
    if config != Path::new(CONFIG_FILE) {
        let _was_said = CONFIG.set(quoted(config));
    }
    let folder = folder_of(config);
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let named = [whole.as_path(), folder].map(|folder| folder.display().to_string());
    let _was_said =
        FOLDERS.set(named.into_iter().filter(|folder| without_secrets(folder) != *folder).collect());
}

/// A remedy as it is printed: with that config, and without what may be a pasted secret.
pub fn pasteable(text: &str) -> String {
    here(&unsecret(text))
}

/// A text without what may be a pasted secret; the folder of the config is none.
pub fn unsecret(text: &str) -> String {
    around(text, FOLDERS.get().map_or(&[], Vec::as_slice))
}

fn around(text: &str, folders: &[String]) -> String {
    match folders.split_first() {
        None => without_secrets(text),
        Some((folder, others)) => {
            let parts = text.split(folder.as_str()).map(|part| around(part, others));
            parts.collect::<Vec<_>>().join(folder)
        }
    }
}

/// The same text, each command in it with that config.
pub fn here(text: &str) -> String {
    match CONFIG.get() {
        Some(config) => with_config(text, config),
        None => text.to_owned(),
    }
}

fn with_config(text: &str, config: &str) -> String {
    const PROGRAM: &str = "portcullis ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(PROGRAM) {
        let (before, after) = (&rest[..at], &rest[at + PROGRAM.len()..]);
        let word_end = after.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(after.len());
        let is_program =
            before.chars().next_back().is_none_or(|c| c.is_whitespace() || matches!(c, '`' | '(' | '"'));
        out.push_str(before);
        out.push_str(PROGRAM);
        if is_program && READ_IT.contains(&&after[..word_end]) {
            out.push_str(&format!("{OPTION}{config} "));
        }
        rest = after;
    }
    out + rest
}

/// A path as a shell reads it.
pub fn quoted(path: &Path) -> String {
    shell_words::quote(&path.display().to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_get_the_config_and_words_do_not() {
        for (text, expected) in [
            ("portcullis approve w", "portcullis --config a/b.toml approve w"),
            ("`portcullis --json runs show x`", "`portcullis --config a/b.toml --json runs show x`"),
            (
                "see `portcullis logs`, then portcullis runs",
                "see `portcullis --config a/b.toml logs`, then portcullis --config a/b.toml runs",
            ),
            ("portcullis new acme/x", "portcullis new acme/x"),
            ("a newer `portcullis` that wrote it", "a newer `portcullis` that wrote it"),
            ("chmod 600 /etc/portcullis approve", "chmod 600 /etc/portcullis approve"),
            ("portcullis --config a/b.toml approve w", "portcullis --config a/b.toml approve w"),
            ("portcullis ", "portcullis "),
        ] {
            assert_eq!(with_config(text, "a/b.toml"), expected);
        }
        assert_eq!(quoted(Path::new("/srv/it's here.toml")), "'/srv/it'\\''s here.toml'");
        assert_eq!(quoted(Path::new("/srv/x.toml")), "/srv/x.toml");
    }

    #[test]
    fn the_folder_of_the_config_is_no_secret() {
        let folder = "0123456789abcdef0123456789abcdef01234567".to_owned();
        let text = format!("chmod go-w {folder}/data; x {folder}/ghp_0123456789abcdef");
        let shown = format!("chmod go-w {folder}/data; x {folder}/{}", "*".repeat(20));
        assert_eq!(around(&text, &[format!("/srv/{folder}"), folder.clone()]), shown);
        assert!(!around(&text, &[]).contains(&folder));
    }
}
