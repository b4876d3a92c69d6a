//! Joins a connection's folders with those that a connector requests. Refuses a folder through which a guest could reach what
//! decides over it: config, lock, `data`, registry, secrets.
use crate::{
    config::{Config, Connection, GrantedFolder},
    exit::{Failure, Result, at_file},
    remedy::quoted,
};
use portcullis_manifest::{
    Connector, Diagnostic,
    diagnose::{nearest, shown},
    lock::PinnedFolder,
};
use portcullis_runtime::Folder;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is pinned of the bound folders.
pub fn pinned(connection: &Connection, manifest: &Connector) -> BTreeMap<String, PinnedFolder> {
    let pin = |(name, granted): (&String, &GrantedFolder)| {
        let access = manifest.folders.get(name)?.access;
        Some((name.clone(), PinnedFolder { path: granted.written.clone(), access }))
    };
    connection.folders.iter().filter_map(pin).collect()
}

/// What is wrong with the bound folders, each with its line.
pub fn faults(config: &Config, connection: &Connection, manifest: &Connector) -> Vec<Diagnostic> {
    let here = connection.name.as_str();
    let mut faults = Vec::new();
    let missing = manifest.folders.keys().filter(|name| !connection.folders.contains_key(*name));
    let missing: Vec<_> = missing.map(|name| format!("{name} = \"./PATH\"")).collect();
    for (name, requested) in &manifest.folders {
        let at = ["connections", here, "folders", name];
        let Some(granted) = connection.folders.get(name) else {
            let message = format!("no folder is granted as `{name}` ({})", shown(&requested.why));
            let help = config.to_bind(here, "folders", &missing.join(", "));
            faults.push(config.fault(&at, message, Some(help)));
            continue;
        };
        if let Some((why, help)) = ungrantable(config, granted) {
            let message = format!("`folders.{name}` is `{}`: {why}", shown(&granted.written));
            faults.push(config.fault(&at, message, Some(help)));
        }
    }
    for name in connection.folders.keys().filter(|name| !manifest.folders.contains_key(*name)) {
        let help = match nearest(name, manifest.folders.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "remove it".to_owned(),
        };
        let message = format!("the connector requests no folder `{}`", shown(name));
        faults.push(config.fault_key(&["connections", here, "folders", name], message, Some(help)));
    }
    faults
}

/// Why a folder can't be granted, and what to do.
fn ungrantable(config: &Config, granted: &GrantedFolder) -> Option<(String, String)> {
    let folder = match fs::canonicalize(&granted.path) {
        Ok(folder) if folder.is_dir() => folder,
        Ok(_) => return Some(("it is no folder".to_owned(), "name a folder".to_owned())),
        Err(error) => {
            let help = format!("mkdir -p {}", quoted(&granted.path));
            return Some((format!("it can't be opened: {error}"), help));
        }
    };
    for (what, place) in protected(config) {
        // Where it stands and where it leads: a link to it could be replaced.
        for place in [parent_resolved(&place), resolved(&place)] {
            if place.starts_with(&folder) {
                let why = format!("{what} lies in it (`{}`)", place.display());
                return Some((why, "grant a folder that holds nothing of the kind".to_owned()));
            }
            if folder.starts_with(&place) {
                let why = format!("it lies in {what} (`{}`)", place.display());
                return Some((why, "grant a folder outside".to_owned()));
            }
        }
    }
    None
}

/// What no guest may reach: files, and folders with all that is in them.
fn protected(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut places = vec![
        ("`data`", config.data.clone()),
        ("the registry", config.registry.clone()),
        ("the config", config.file.clone()),
        ("the lock", config.lock_file()),
    ];
    let references = config.credentials.values().flat_map(|credential| credential.references());
    let delivered =
        config.webhooks.values().flat_map(|webhook| webhook.secrets.iter().chain(&webhook.verify_token));
    let private = config.serve.certificate.iter().map(|certificate| &certificate.private_key);
    let files = config.secret_files(references.chain(delivered).chain(private));
    places.extend(files.into_iter().map(|file| ("a secret", file)));
    places.extend(config.secret_folders.values().map(|folder| ("a folder of secrets", folder.clone())));
    for connection in config.connections.values() {
        places.extend(connection.network.ca_file.iter().map(|(file, _)| ("a `ca-file`", file.clone())));
    }
    places
}

/// Where a path leads, also one whose end is not there yet.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in path.ancestors() {
        if let Ok(found) = fs::canonicalize(there) {
            return match path.strip_prefix(there) {
                Ok(rest) if rest.as_os_str().is_empty() => found,
                Ok(rest) => found.join(rest),
                Err(_) => path,
            };
        }
    }
    path
}

/// Where a path stands, whatever it leads to.
fn parent_resolved(path: &Path) -> PathBuf {
    match (path.parent().filter(|parent| !parent.as_os_str().is_empty()), path.file_name()) {
        (Some(parent), Some(name)) => resolved(parent).join(name),
        _ => resolved(path),
    }
}

/// Where a folder really lies, for people.
pub fn shown_path(granted: &GrantedFolder) -> String {
    resolved(&granted.path).display().to_string()
}

/// Opens the folders of an approved connection, once.
pub fn open(connection: &Connection, manifest: &Connector) -> Result<BTreeMap<String, Arc<Folder>>> {
    let mut open = BTreeMap::new();
    for (name, requested) in &manifest.folders {
        let Some(granted) = connection.folders.get(name) else {
            return Err(Failure::fault(format!("no folder is granted as `{name}`")));
        };
        let opened: io::Result<Folder> =
            fs::canonicalize(&granted.path).and_then(|path| Folder::open(&path, requested.access));
        let opened = opened.map_err(at_file("open folder", &granted.path))?;
        open.insert(name.clone(), Arc::new(opened));
    }
    Ok(open)
}
