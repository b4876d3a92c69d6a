//! Reads `portcullis.toml` as an operator wrote it. What a later version brings is refused with its line, never ignored.
use super::{Config, Connection, History, Serve, plain};
use crate::publisher::PublicKey;
use portcullis_grants::{Boundary, BoundaryRule};
use portcullis_manifest::{
    ConnectorName, Diagnostic,
    diagnose::{Document, Spanned, Table},
};
use portcullis_secrets::{
    Credential, DirectoryProvider, EnvProvider, FileProvider, Provider, Providers, Reference, Scheme,
    UserName,
};
use portcullis_store::Retention;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

mod connection;
mod flow;
mod serve;

pub use connection::is_name as is_connection_name;

/// Of history.
const AGE_MIN: Duration = Duration::from_secs(3600);
/// Tables of later versions.
const LATER: [&str; 1] = ["keys"];

/// Parses a config text.
pub fn parse(file: &Path, text: &str) -> Result<Config, Vec<Diagnostic>> {
    let document = Document::parse(file, text)?;
    let config = read(&document, file, text);
    document.finish(config)
}

fn read(document: &Document, file: &Path, text: &str) -> Option<Config> {
    let folder = super::folder_of(file).to_owned();
    let mut root = document.root();
    let registry = root.string("registry").map_or("registry".to_owned(), |path| path.value);
    let data = root.string("data").map_or("data".to_owned(), |path| path.value);
    for table in LATER {
        root.reject_later(table);
    }
    let (named, secret_folders) = secrets(&mut root, &folder);
    let providers = Providers::new(folder.clone(), named);
    let credentials = credentials(&mut root, &providers);
    let boundary = root.table("boundary").map_or_else(Boundary::default, boundary);
    let publishers = publishers(&mut root);
    let default =
        History { exchanges: Retention::EXCHANGES, runs: Retention::RUNS, deliveries: Retention::DELIVERIES };
    let retention = root.table("retention").map_or(default, |table| retention(table, default));
    let connections = connections(&mut root, &folder, &credentials);
    let serve =
        root.table("serve").map_or_else(Serve::default, |table| serve::read(table, &folder, &providers));
    let webhooks = serve::webhooks(&mut root, &connections, &providers, &serve);
    let flows = flow::read(&mut root, &connections, &webhooks);
    Some(Config {
        file: file.to_owned(),
        text: Arc::from(text),
        registry: plain(&folder.join(registry)),
        data: plain(&folder.join(data)),
        credentials,
        secret_folders,
        providers,
        boundary,
        publishers,
        retention,
        connections,
        serve,
        webhooks,
        flows,
    })
}

fn boundary(mut table: Table<'_>) -> Boundary {
    let mut rules = |key: &str| {
        let rules = table.parse_all::<BoundaryRule>(key).unwrap_or_default();
        if table.lists_nothing(key) {
            let help = Some("remove the key, or list rules".to_owned());
            table.fault(table.key_span(key), format!("`{key}` lists nothing"), help);
        }
        rules.into_iter().map(|rule| rule.value).collect()
    };
    Boundary { allow: rules("allow"), deny: rules("deny") }
}

fn publishers(root: &mut Table<'_>) -> BTreeMap<String, PublicKey> {
    let mut read = BTreeMap::new();
    for (name, mut table) in root.entries("publishers") {
        if format!("{}/any", name.value).parse::<ConnectorName>().is_err() {
            let message = format!("`{}` is no publisher", portcullis_manifest::diagnose::shown(&name.value));
            let help = Some("what stands before the `/` of a connector's name".to_owned());
            table.fault(name.span.clone(), message, help);
        }
        if let Some(key) = table.required_parse::<PublicKey>("key") {
            read.insert(name.value, key.value);
        }
    }
    read
}

fn retention(mut table: Table<'_>, default: History) -> History {
    let mut read = |name: &str, default: Retention| Retention {
        age: age(&mut table, &format!("{name}-age"), default.age),
        bytes: size(&mut table, &format!("{name}-size"), default.bytes),
    };
    History {
        exchanges: read("exchanges", default.exchanges),
        runs: read("runs", default.runs),
        deliveries: read("deliveries", default.deliveries),
    }
}

fn age(table: &mut Table<'_>, key: &str, or: Duration) -> Duration {
    let Some(read) = table.duration(key, or) else { return or };
    if read.value < AGE_MIN {
        table.fault(
            read.span,
            format!("`{key}` must be at least 1h: less is gone before a person looks"),
            None,
        );
    }
    read.value
}

fn size(table: &mut Table<'_>, key: &str, or: u64) -> u64 {
    let Some(read) = table.bytes(key, or) else { return or };
    if !Retention::BYTES.contains(&read.value) {
        table.fault(read.span, format!("`{key}` must be from 16MiB to 1TiB"), None);
    }
    read.value
}

type Secrets = (BTreeMap<String, Arc<dyn Provider>>, BTreeMap<String, PathBuf>);

fn secrets(root: &mut Table<'_>, folder: &Path) -> Secrets {
    let mut places = BTreeMap::new();
    let mut named: BTreeMap<String, Arc<dyn Provider>> = BTreeMap::new();
    for (name, mut table) in root.entries("secrets") {
        if Providers::BUILT_IN.contains(&name.value.as_str()) {
            let help = Some(format!("`{}:…` works without a block; give this one another name", name.value));
            table.fault(name.span.clone(), format!("`{}` is a built-in provider", name.value), help);
        }
        let Some(kind) = table.required_string("type") else {
            table.ignore(&["path", "prefix"]);
            continue;
        };
        let provider: Arc<dyn Provider> = match kind.value.as_str() {
            "env" => Arc::new(EnvProvider::prefixed(
                table.string("prefix").map_or(String::new(), |prefix| prefix.value),
            )),
            "file" | "directory" => {
                let Some(path) = table.required_string("path") else { continue };
                let path = folder.join(path.value);
                places.insert(name.value.clone(), path.clone());
                if kind.value == "file" {
                    Arc::new(FileProvider::confined(path))
                } else {
                    Arc::new(DirectoryProvider::rooted(path))
                }
            }
            later @ ("vault" | "aws" | "azure" | "gcp") => {
                table.fault(
                    kind.span.clone(),
                    format!("secrets of type `{later}` are not supported yet"),
                    None,
                );
                table.ignore(&["path", "prefix"]);
                continue;
            }
            other => {
                let help = Some("one of `file`, `directory`, `env`".to_owned());
                let shown = portcullis_manifest::diagnose::shown(other);
                table.fault(kind.span.clone(), format!("unknown type of secrets `{shown}`"), help);
                table.ignore(&["path", "prefix"]);
                continue;
            }
        };
        named.insert(name.value, provider);
    }
    (named, places)
}

fn credentials(root: &mut Table<'_>, providers: &Providers) -> BTreeMap<String, Credential> {
    let mut read = BTreeMap::new();
    for (name, mut table) in root.entries("credentials") {
        let scheme = scheme(&mut table, providers);
        let requests_per_second = table.float("requests-per-second");
        if let Some(rate) = &requests_per_second
            && let Err(error) = portcullis_manifest::connector::requests_per_second(rate.value)
        {
            table.fault(rate.span.clone(), error.to_string(), None);
        }
        let short = table.boolean("short").is_some_and(|short| short.value);
        table.reject_later("rotate-every");
        let Some(scheme) = scheme else { continue };
        let credential = Credential {
            name: name.value.clone(),
            scheme,
            short,
            requests_per_second: requests_per_second.map(|rate| rate.value),
        };
        read.insert(name.value, credential);
    }
    read
}

/// Keys that may stand beside `scheme`.
const OF_SCHEMES: [&str; 6] = ["secret", "username", "password", "header", "query", "prefix"];

fn scheme(table: &mut Table<'_>, providers: &Providers) -> Option<Scheme> {
    let Some(kind) = table.required_string("scheme") else {
        table.ignore(&OF_SCHEMES);
        return None;
    };
    match kind.value.as_str() {
        "bearer" => Some(Scheme::Bearer { secret: reference(table, "secret", providers)? }),
        "basic" => basic(table, providers),
        "api-key" => api_key(table, providers),
        later @ ("oauth2" | "jwt" | "hmac" | "sigv4" | "mtls") => {
            table.fault(kind.span.clone(), format!("scheme `{later}` is not supported yet"), None);
            table.ignore(&OF_SCHEMES);
            None
        }
        other => {
            let near = portcullis_manifest::diagnose::nearest(other, ["bearer", "basic", "api-key"]);
            let help = near.map_or("one of `bearer`, `basic`, `api-key`".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
            table.fault(
                kind.span.clone(),
                format!("unknown scheme `{}`", portcullis_manifest::diagnose::shown(other)),
                Some(help),
            );
            table.ignore(&OF_SCHEMES);
            None
        }
    }
}

fn basic(table: &mut Table<'_>, providers: &Providers) -> Option<Scheme> {
    let username = match table.kind("username") {
        Some(portcullis_manifest::diagnose::Kind::Table) => table
            .table("username")
            .and_then(|mut inner| reference(&mut inner, "secret", providers))
            .map(UserName::Secret),
        _ => table.required_string("username").map(|name| UserName::Plain(name.value)),
    };
    let password = table.has("password").then(|| reference(table, "password", providers));
    let password = match password {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Scheme::Basic { username: username?, password })
}

fn api_key(table: &mut Table<'_>, providers: &Providers) -> Option<Scheme> {
    let secret = reference(table, "secret", providers);
    let (header, query, prefix) = (table.string("header"), table.string("query"), table.string("prefix"));
    match (header, query, prefix) {
        (Some(header), None, prefix) => {
            let prefix = prefix.map(|prefix| prefix.value);
            Some(Scheme::ApiKeyHeader { name: header_name(table, &header)?, prefix, secret: secret? })
        }
        (None, Some(query), None) => {
            Some(Scheme::ApiKeyQuery { name: query_name(table, &query)?, secret: secret? })
        }
        (None, Some(_), Some(prefix)) => {
            table.fault(prefix.span, "`prefix` belongs to a header", Some("remove it".to_owned()));
            None
        }
        _ => {
            let help = Some("`header = \"X-Api-Key\"` or `query = \"api_key\"`".to_owned());
            table.fault(table.span(), "an API key goes into one place", help);
            None
        }
    }
}

fn header_name(table: &Table<'_>, name: &Spanned<String>) -> Option<String> {
    let parsed = http::HeaderName::from_bytes(name.value.as_bytes()).ok();
    let framing =
        ["host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"];
    match parsed {
        Some(parsed) if !framing.contains(&parsed.as_str()) => Some(parsed.as_str().to_owned()),
        _ => {
            let shown = portcullis_manifest::diagnose::shown(&name.value);
            table.fault(name.span.clone(), format!("`{shown}` can't carry a credential"), None);
            None
        }
    }
}

fn query_name(table: &Table<'_>, name: &Spanned<String>) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    if !name.value.is_empty() && name.value.bytes().all(plain) {
        return Some(name.value.clone());
    }
    let shown = portcullis_manifest::diagnose::shown(&name.value);
    table.fault(name.span.clone(), format!("`{shown}` is not a plain query name"), None);
    None
}

/// A reference whose provider exists. The text is never repeated: it may be a pasted secret.
fn reference(table: &mut Table<'_>, key: &str, providers: &Providers) -> Option<Reference> {
    let reference = table.required_parse_masked::<Reference>(key)?;
    if !providers.knows(&reference.value) {
        let help = Some("use `file:`, `directory:`, `env:`, or name a block `[secrets.NAME]`".to_owned());
        table.fault_masked(reference.span, format!("`{key}` names a provider that does not exist"), help);
        return None;
    }
    Some(reference.value)
}

fn connections(
    root: &mut Table<'_>,
    folder: &Path,
    credentials: &BTreeMap<String, Credential>,
) -> BTreeMap<String, Connection> {
    let mut read = BTreeMap::new();
    for (name, table) in root.entries("connections") {
        if let Some(connection) = connection::read(&name, table, folder, credentials) {
            read.insert(name.value, connection);
        }
    }
    read
}
