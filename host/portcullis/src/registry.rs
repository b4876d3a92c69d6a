//! The registry folder: `PUBLISHER/NAME/VERSION.wasm`, one self-contained file each. What lies there is hostile.
use crate::{
    carried::{self, Carried},
    exit::{Failure, Result, at_file},
    files,
};
use portcullis_contract::{Schema, SchemaError};
use portcullis_manifest::{Component, Connector, ConnectorName, EmbeddedError, diagnose::nearest};
use portcullis_runtime::CompileError;
use semver::{Version, VersionReq};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Largest component file.
pub const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A component file that was read once: the bytes that were hashed are the bytes that are used.
pub struct Package {
    /// Where it lay.
    pub file: PathBuf,
    /// The file.
    pub bytes: Vec<u8>,
    /// What it says of itself.
    pub component: Component,
    /// Nothing lies there yet: the binary carries it.
    pub carried: bool,
}

/// Reads a component file.
pub fn open(file: &Path) -> Result<Package> {
    opened(file, "a connector is made by `portcullis build DIR`")
}

/// `foreign` = what to do about what is none.
fn opened(file: &Path, foreign: &str) -> Result<Package> {
    let bytes = files::read_like(file, COMPONENT_BYTES_MAX, &Component::MAGIC)?;
    let component = Component::read(&bytes).map_err(|error| match &error {
        EmbeddedError::Manifest { .. } => not_as_it_should_be(file, &error),
        _ => not_a_connector(file, &error).with_help(foreign),
    })?;
    Ok(Package { file: file.to_owned(), bytes, component, carried: false })
}

impl Package {
    /// Refuses schemas that can't be compiled within bounds, code that is not valid, or whose roles have other functions than the WIT
    /// says: in children, before anybody is asked to approve it. What runs is checked again where it is compiled.
    pub fn judged(self) -> Result<Self> {
        if let Some((path, error)) = schema_fault(&self.component.manifest) {
            if let SchemaError::Here(_) = error {
                return Err(not_looked_at("the schemas", &self.file, &error));
            }
            let pointer = path.iter().map(|step| format!("/{step}")).collect();
            let fault = EmbeddedError::Manifest { pointer, problem: error.to_string() };
            return Err(not_as_it_should_be(&self.file, &fault));
        }
        let child = (PathBuf::from(crate::OURSELVES), vec![crate::CHECK_CHILD.to_owned()]);
        let code = Component::code(&self.bytes).map_err(|error| not_a_connector(&self.file, &error))?;
        portcullis_runtime::check_component(&child, &code).map_err(|error| match error {
            CompileError::Child { .. } | CompileError::Engine(_) => {
                not_looked_at("the code", &self.file, &error)
            }
            _ => not_a_connector(&self.file, &error),
        })?;
        Ok(self)
    }
}

/// The first schema of a manifest that can't be compiled, and where it stands.
pub fn schema_fault(manifest: &Connector) -> Option<(Vec<&str>, SchemaError)> {
    let all = manifest.schemas().map(|(_, schema)| Schema::new(schema.to_string()));
    let (at, error) = Schema::compile_all_in_time(all).err()?;
    manifest.schemas().nth(at).map(|(path, _)| (path, error))
}

/// It is one, made by another version or by hand.
fn not_as_it_should_be(file: &Path, error: &EmbeddedError) -> Failure {
    let help = match error {
        EmbeddedError::Manifest { pointer, .. } if pointer == "/format" => {
            "another version of portcullis made it: run that one, or take a version of the connector that this one reads"
        }
        _ => "its author has to correct it, and `portcullis build DIR` says where",
    };
    Failure { help: Some(help.to_owned()), ..not_a_connector(file, error) }
}

/// This machine's affair, and no fault of the file.
fn not_looked_at(what: &str, file: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::fault(format!("{what} of `{}` can't be looked at", file.display()))
        .because(error)
        .with_help(OF_THIS_MACHINE)
}

/// Where nothing is wrong with a file.
pub const OF_THIS_MACHINE: &str =
    "`ulimit -a` shows the limits of this machine, within which it could not be looked at";

fn not_a_connector(file: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::fault(format!("`{}` is not a connector", file.display()))
        .because(error)
        .with_help("a connector is made by `portcullis build DIR`")
}

/// What to do about what lies at the place of a version and is not that version.
const FOREIGN: &str = "remove it from the registry, or put that version there: a file of `portcullis build` lies at \
                       PUBLISHER/NAME/VERSION.wasm, as its manifest says";

/// One entry of the registry, by its path alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// From the folders.
    pub name: ConnectorName,
    /// From the file's name.
    pub version: Version,
    /// The file.
    pub file: PathBuf,
    /// Nothing lies there: the binary carries it, and who approves it puts it there.
    pub carried: bool,
}

impl Entry {
    fn of(registry: &Path, carried: &Carried) -> Self {
        let Connector { name, version, .. } = &carried.component.manifest;
        let file = file(registry, name, version);
        Self { name: name.clone(), version: version.clone(), file, carried: true }
    }
}

/// What lies in a registry.
#[derive(Default)]
pub struct Listed {
    /// Everything that has the form of an entry, sorted.
    pub entries: Vec<Entry>,
    /// Folders that can't be read.
    pub unread: Vec<Failure>,
    /// Components at places where no version is looked for.
    pub misplaced: Vec<Failure>,
}

/// Looks into every folder; files that are no components are none of the registry's business.
pub fn list(registry: &Path) -> Result<Listed> {
    let mut listed = Listed::default();
    let (publishers, files) = folders_and_files(registry)?;
    listed.misplace(registry, files);
    for publisher in publishers {
        let folder = registry.join(&publisher);
        let (connectors, files) = listed.read(folders_and_files(&folder));
        listed.misplace(&folder, files);
        for name in connectors {
            let folder = folder.join(&name);
            let name = format!("{publisher}/{name}").parse::<ConnectorName>();
            let files = listed.read(names(&folder));
            let is_a_version = |file: &String| name.is_ok() && version_of(file).is_some();
            let (versions, others): (Vec<_>, Vec<_>) = files.into_iter().partition(is_a_version);
            listed.misplace(&folder, others);
            if let Ok(name) = &name {
                listed.entries.extend(versions.iter().filter_map(|file| entry(&folder, name, file)));
            }
        }
    }
    let carried = carried::all().iter().map(|carried| Entry::of(registry, carried));
    let carried: Vec<_> = carried.filter(|entry| !is_there(&listed.entries, entry)).collect();
    listed.entries.extend(carried);
    listed.entries.sort();
    Ok(listed)
}

/// What lies in the registry goes first.
fn is_there(entries: &[Entry], wanted: &Entry) -> bool {
    entries.iter().any(|entry| (&entry.name, &entry.version) == (&wanted.name, &wanted.version))
}

impl Listed {
    fn read<T: Default>(&mut self, found: Result<T>) -> T {
        found.unwrap_or_else(|failure| {
            self.unread.push(failure.with_help(READABLE));
            T::default()
        })
    }

    fn misplace(&mut self, folder: &Path, files: Vec<String>) {
        for file in files.iter().filter(|file| file.ends_with(".wasm")) {
            let message = format!("`{}` is at no place of a version", folder.join(file).display());
            self.misplaced.push(Failure::fault(message).with_help(PLACE));
        }
    }
}

const PLACE: &str = "a file of `portcullis build` lies at PUBLISHER/NAME/VERSION.wasm, as its manifest says: lower-case names, and a \
                     version of three numbers, as in `acme/stripe/1.4.0.wasm`";

/// `1.4.0.wasm`
fn version_of(file: &str) -> Option<Version> {
    file.strip_suffix(".wasm")?.parse().ok()
}

fn entry(folder: &Path, name: &ConnectorName, file: &str) -> Option<Entry> {
    Some(Entry { name: name.clone(), version: version_of(file)?, file: folder.join(file), carried: false })
}

const READABLE: &str = "make it readable for the user who runs portcullis";

/// All versions of one connector, oldest first; one that the binary carries too.
pub fn versions(registry: &Path, name: &ConnectorName) -> Result<Vec<Entry>> {
    let folder = registry.join(&name.publisher).join(&name.name);
    let mut found: Vec<Entry> =
        names(&folder)?.iter().filter_map(|file| entry(&folder, name, file)).collect();
    let carried = carried::named(name).map(|carried| Entry::of(registry, carried));
    found.extend(carried.filter(|entry| !is_there(&found, entry)));
    found.sort();
    Ok(found)
}

/// The newest version that `request` accepts.
pub fn newest(registry: &Path, name: &ConnectorName, request: &VersionReq) -> Result<Entry> {
    let all = versions(registry, name)?;
    let matching = all.iter().rev().find(|entry| request.matches(&entry.version));
    matching.cloned().ok_or_else(|| {
        let shown = format!("{}/{}", name.publisher, name.name);
        let failure = Failure::fault(format!(
            "no version of `{shown}` in `{}` matches `{request}`",
            registry.display()
        ));
        let names: BTreeSet<String> = list(registry)
            .unwrap_or_default()
            .entries
            .iter()
            .map(|entry| format!("{}/{}", entry.name.publisher, entry.name.name))
            .collect();
        let near = nearest(&shown, names.iter().map(String::as_str)).filter(|near| *near != shown);
        if let (true, Some(near)) = (all.is_empty(), near) {
            failure.with_help(format!("did you mean `{near}`?"))
        } else if all.is_empty() {
            failure.with_help(
                "`portcullis connectors` lists what the registry holds; `portcullis build DIR` adds to it",
            )
        } else {
            let versions: Vec<_> = all.iter().map(|entry| entry.version.to_string()).collect();
            failure.with_help(format!("it holds {}", versions.join(", ")))
        }
    })
}

/// The entry's file, and that it is what its path says.
pub fn read(entry: &Entry) -> Result<Package> {
    if let Some(Carried { component, bytes }) = carried::named(&entry.name).filter(|_| entry.carried) {
        let (file, component) = (entry.file.clone(), component.clone());
        return Ok(Package { file, bytes: bytes.to_vec(), component, carried: true });
    }
    let unreadable = || {
        let opened = fs::File::open(&entry.file);
        opened.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
    };
    let package = opened(&entry.file, FOREIGN).map_err(|failure| match &failure.help {
        // A link may lead elsewhere tomorrow.
        _ if entry.file.is_symlink() => failure.with_help(FOREIGN),
        None if unreadable() => failure.with_help(READABLE),
        Some(_) => failure,
        None => failure.with_help(FOREIGN),
    })?;
    let manifest = &package.component.manifest;
    if manifest.name != entry.name || manifest.version != entry.version {
        return Err(Failure::fault(format!(
            "`{}` holds `{}/{}` {}",
            entry.file.display(),
            manifest.name.publisher,
            manifest.name.name,
            manifest.version
        ))
        .with_help(FOREIGN));
    }
    Ok(package)
}

/// Where a component lies, as its manifest says.
pub fn place(registry: &Path, component: &Component) -> PathBuf {
    file(registry, &component.manifest.name, &component.manifest.version)
}

/// Where a version lies.
pub fn file(registry: &Path, name: &ConnectorName, version: &Version) -> PathBuf {
    registry.join(&name.publisher).join(&name.name).join(format!("{version}.wasm"))
}

/// Puts a component to where its manifest says.
pub fn put(registry: &Path, bytes: &[u8], component: &Component) -> Result<PathBuf> {
    let file = place(registry, component);
    let folder = crate::config::folder_of(&file);
    fs::create_dir_all(folder).map_err(at_file("create", folder))?;
    files::write_whole(&file, bytes, 0o644)?;
    Ok(file)
}

fn folders_and_files(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    Ok(names(folder)?.into_iter().partition(|name| folder.join(name).is_dir()))
}

/// Names in a folder; none where it does not exist.
fn names(folder: &Path) -> Result<Vec<String>> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(at_file("read", folder)(error)),
    }
}
