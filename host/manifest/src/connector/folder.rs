//! Reads `connector.toml` and the files it names. A name stays inside the folder: not absolute, no `..`, no symbolic link out.
use super::{Connector, check, toml};
use crate::{
    Diagnostic,
    diagnose::{Document, shown},
    limits::TOML_BYTES_MAX,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    path::{Component, Path, PathBuf},
};

/// A connector's folder, read whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Folder {
    /// The manifest.
    pub connector: Connector,
    /// The bytes of the files in `[assets]`, by name.
    pub assets: BTreeMap<String, Vec<u8>>,
    /// Every file that was read, `connector.toml` first: what a build depends on.
    pub files: Vec<PathBuf>,
}

impl Folder {
    /// Reads `DIR/connector.toml` and every schema and asset it names; all faults that can be found at once.
    pub fn read(dir: &Path) -> Result<Self, Vec<Diagnostic>> {
        let file = dir.join("connector.toml");
        let whole = |error: FileError| vec![Diagnostic::of_file(&file, error.to_string())];
        let mut files = Files::new(dir).map_err(whole)?;
        let bytes = files.read("connector.toml", TOML_BYTES_MAX).map_err(whole)?;
        let text = String::from_utf8(bytes).map_err(|_| whole(FileError::Utf8))?;
        let document = Document::parse(&file, &text)?;
        let read = toml::read(&document, &mut files);
        if let Some((connector, _, places)) = &read
            && !document.has_faults()
        {
            for fault in check::check(connector) {
                let path = places.resolve(&fault.path);
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                // The rest of what can be wrong at such a key is wrong in the file that it names.
                let help = fault.help.or_else(|| correct(&document, &path));
                document.fault(document.span_of(&path), fault.message, help);
            }
        }
        let (connector, assets, _) = document.finish(read)?;
        Ok(Self { connector, assets, files: files.seen })
    }

    /// A fault that something else showed, at a key of `DIR/connector.toml`; of the table, where it has no such key.
    pub fn fault(dir: &Path, path: &[&str], message: String, help: String) -> Diagnostic {
        let file = dir.join("connector.toml");
        let whole = || Diagnostic::of_file(&file, message.clone()).with_help(help.clone());
        let read = Files::new(dir).and_then(|mut files| files.read("connector.toml", TOML_BYTES_MAX));
        let Some(text) = read.ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { return whole() };
        let Ok(document) = Document::parse(&file, &text) else { return whole() };
        document.diagnostic(document.span_of(path), message, Some(help))
    }

    /// One of a schema, at the key of `DIR/connector.toml` that names its file.
    pub fn schema_fault(dir: &Path, path: &[&str], message: String) -> Diagnostic {
        let text = fs::read_to_string(dir.join("connector.toml")).unwrap_or_default();
        let document = Document::parse(&dir.join("connector.toml"), &text);
        let help = document.ok().and_then(|document| correct(&document, path));
        Self::fault(dir, path, message, help.unwrap_or_else(|| "correct the schema".to_owned()))
    }
}

fn correct(document: &Document, path: &[&str]) -> Option<String> {
    let file = SCHEMA_KEYS.contains(path.last()?).then(|| document.string_at(path))??;
    Some(format!("correct `{}`: JSON Schema 2020-12, complete in this one file", shown(file)))
}

/// Keys whose value is the name of a schema's file.
const SCHEMA_KEYS: [&str; 4] = ["config-schema", "input", "output", "schema"];

/// Why a file of the folder could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("`{0}` is outside the connector's folder")]
    Outside(String),
    #[error("`{0}` is not a file")]
    NotAFile(String),
    #[error("`{0}` is larger than {1} bytes")]
    TooLarge(String, usize),
    #[error("cannot read `{0}`: {kind}", kind = .1.kind())]
    Io(String, #[source] std::io::Error),
    #[error("not UTF-8")]
    Utf8,
}

/// The folder, and what was read from it.
pub(super) struct Files {
    dir: PathBuf,
    real: PathBuf,
    seen: Vec<PathBuf>,
}

impl Files {
    fn new(dir: &Path) -> Result<Self, FileError> {
        let real = dir.canonicalize().map_err(|error| FileError::Io(shown(&dir.to_string_lossy()), error))?;
        Ok(Self { dir: dir.to_owned(), real, seen: Vec::new() })
    }

    pub(super) fn read(&mut self, name: &str, bytes_max: usize) -> Result<Vec<u8>, FileError> {
        let relative = Path::new(name);
        let inside =
            relative.components().all(|step| matches!(step, Component::Normal(_) | Component::CurDir));
        if name.is_empty() || !inside || name.contains('\\') {
            return Err(FileError::Outside(shown(name)));
        }
        let io = |error| FileError::Io(shown(name), error);
        let real = self.real.join(relative).canonicalize().map_err(io)?;
        if !real.starts_with(&self.real) {
            return Err(FileError::Outside(shown(name)));
        }
        // Asked before it is opened: opening a pipe would wait for a writer.
        if !real.metadata().map_err(io)?.is_file() {
            return Err(FileError::NotAFile(shown(name)));
        }
        let mut bytes = Vec::new();
        File::open(&real).map_err(io)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() > bytes_max {
            return Err(FileError::TooLarge(shown(name), bytes_max));
        }
        self.seen.push(self.dir.join(relative));
        Ok(bytes)
    }
}
