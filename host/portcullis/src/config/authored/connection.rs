//! One `[connections.NAME]` table.
use crate::config::{Connection, GrantedFolder, Limits, Network, Updates, plain};
use portcullis_egress::{Capture, Roots};
use portcullis_engine::{Deletes, limits::REMOVED_SHARE_MAX};
use portcullis_grants::{AddressPolicy, OperatorRules, Origin, Rule, origin::is_origin_name};
use portcullis_manifest::{
    ConnectorName,
    diagnose::{Kind, Spanned, Table, escaped, nearest, shown, without_secrets},
};
use portcullis_secrets::Credential;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

const MIB: u64 = 1024 * 1024;
/// Every root that browsers trust takes a quarter of it.
const CA_FILE_BYTES_MAX: u64 = MIB;

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 64 * MIB,
            timeout: Duration::from_secs(30),
            cpu: Duration::from_secs(5),
            requests_max: 100_000,
            bytes_out_max: 64 * MIB,
            spool_bytes_max: 1024 * MIB,
            response_bytes_max: 8 * MIB,
            concurrency_max: 16,
            log_bytes_max: 64 * 1024,
        }
    }
}

/// Reads the table; faults are reported on its document.
pub fn read(
    name: &Spanned<String>,
    mut table: Table<'_>,
    folder: &Path,
    credentials: &BTreeMap<String, Credential>,
) -> Option<Connection> {
    if !is_name(&name.value) {
        let message = format!("`{}` is not a connection name", shown(&name.value));
        table.fault(
            name.span.clone(),
            message,
            Some("lower-case letters, digits and `-`, at most 63".to_owned()),
        );
    } else if without_secrets(&name.value) != name.value {
        let message = "this name looks like a token: every message would hide it";
        let help = Some("give the connection another name; a token goes into a file of `secrets`".to_owned());
        table.fault(name.span.clone(), message, help);
    }
    for later in ["proxy", "propagate-trace", "drift", "sla"] {
        table.reject_later(later);
    }
    let connector = connector(&mut table);
    let credentials = slots(&mut table, credentials);
    let origins = origins(&mut table);
    let folders = folders(&mut table, folder);
    let allow = allow(&name.value, &mut table);
    let config = config(&mut table);
    let capture = capture(&mut table);
    let sensitive =
        table.strings("sensitive").unwrap_or_default().into_iter().map(|name| name.value).collect();
    // They are shown at many places, and a pasted secret is none of what they are for.
    let owner = table.string("owner").map(|owner| without_secrets(&owner.value));
    let runbook = table.string("runbook").map(|runbook| without_secrets(&runbook.value));
    let updates = updates(&mut table);
    let (deletes, removed_share_max, restarts) = as_an_end(&mut table);
    let limits = table.table("limits").map_or_else(Limits::default, limits);
    let network = table.table("network").map_or_else(Network::default, |table| network(table, folder));
    let (connector, version) = connector?;
    let name = name.value.clone();
    Some(Connection {
        name,
        connector,
        version,
        credentials,
        origins,
        folders,
        allow,
        config,
        limits,
        network,
        capture,
        sensitive,
        updates,
        deletes,
        removed_share_max,
        restarts,
        owner,
        runbook,
    })
}

/// What holds where a flow reads it or writes to it: `deletes`, `removed-share-max`, `on-expired`.
fn as_an_end(table: &mut Table<'_>) -> (Deletes, u32, bool) {
    let words = || Deletes::ALL.map(Deletes::as_str);
    let mut deletes = Deletes::default();
    if let Some(word) = table.string("deletes") {
        match Deletes::ALL.into_iter().find(|known| known.as_str() == word.value) {
            Some(found) => deletes = found,
            None => not_one_of(table, "deletes", &word, &words()),
        }
    }
    let mut share_max = REMOVED_SHARE_MAX;
    if let Some(share) = table.float("removed-share-max") {
        match (0.0..=1.0).contains(&share.value) {
            // A share of one is a million: it fits.
            true => share_max = (share.value * 1_000_000.0).round() as u32,
            false => {
                let help = Some("`0.1` is a tenth, `1` all of it".to_owned());
                table.fault(share.span, "`removed-share-max` is a share, from 0 to 1", help);
            }
        }
    }
    let mut restarts = false;
    if let Some(word) = table.string("on-expired") {
        match word.value.as_str() {
            "stop" => {}
            "restart" => restarts = true,
            _ => not_one_of(table, "on-expired", &word, &["stop", "restart"]),
        }
    }
    (deletes, share_max, restarts)
}

fn not_one_of(table: &Table<'_>, key: &str, word: &Spanned<String>, words: &[&'static str]) {
    let near = nearest(&word.value, words.iter().copied());
    let help =
        near.map_or(format!("one of `{}`", words.join("`, `")), |near| format!("did you mean `{near}`?"));
    table.fault(word.span.clone(), format!("`{key}` is `{}`", shown(&word.value)), Some(help));
}

/// Whether this can be the name of a connection.
pub fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-')
}

/// `acme/stripe@^1`; without a version, any.
fn connector(table: &mut Table<'_>) -> Option<(ConnectorName, semver::VersionReq)> {
    let text = table.required_string("connector")?;
    let (name, version) = text.value.split_once('@').unwrap_or((&text.value, "*"));
    let name = name.parse::<ConnectorName>().map_err(|error| error.to_string());
    let version = version.parse::<semver::VersionReq>().map_err(|error| error.to_string());
    match (name, version) {
        (Ok(name), Ok(version)) => Some((name, version)),
        (Err(error), _) | (_, Err(error)) => {
            let help = Some("`PUBLISHER/NAME@VERSION`, for example `acme/stripe@^1`".to_owned());
            table.fault(
                text.span,
                format!("`connector` is `{}`: {}", shown(&text.value), shown(&error)),
                help,
            );
            None
        }
    }
}

fn slots(table: &mut Table<'_>, credentials: &BTreeMap<String, Credential>) -> BTreeMap<String, String> {
    let mut bound = BTreeMap::new();
    for (slot, credential) in table.string_map("credentials") {
        if !credentials.contains_key(&credential.value) {
            let near = nearest(&credential.value, credentials.keys().map(String::as_str));
            // Where nothing is called so, and the slot's name is that of a secret, somebody may have pasted it there.
            let pair = format!("{}={}", slot.value, credential.value);
            let named = match (near, is_name(&credential.value) && without_secrets(&pair) == pair) {
                (None, false) => "of the name that stands here".to_owned(),
                _ => format!("`{}`", shown(&credential.value)),
            };
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if named.starts_with('`') => {
                    format!("add a table `[credentials.{}]`", shown(&credential.value))
                }
                None => "write the name of a `[credentials.NAME]` table, never the secret itself".to_owned(),
            };
            table.fault(credential.span, format!("no credential {named}"), Some(help));
        }
        bound.insert(slot.value, credential.value);
    }
    bound
}

/// `{ instance = "https://acme.service-now.com" }`
fn origins(table: &mut Table<'_>) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    for (name, value) in table.string_map("origins") {
        if !is_origin_name(&name.value) {
            let help = Some("lower-case letters, digits and `-`, at most 63".to_owned());
            table.fault(name.span, format!("`{}` is not the name of an origin", shown(&name.value)), help);
            continue;
        }
        match value.value.parse::<Origin>() {
            Ok(origin) => drop(origins.insert(name.value, origin)),
            Err(error) => {
                let message = format!("`origins.{}`: {error}", name.value);
                let help = match error.meant(&value.value) {
                    Some(meant) => format!("{} = \"{meant}\"", name.value),
                    None => format!("{} = \"https://HOST\"", name.value),
                };
                if error.is_private() {
                    table.fault_masked(value.span, message, Some(help));
                } else {
                    table.fault(value.span, message, Some(help));
                }
            }
        }
    }
    origins
}

/// `{ out = "./out" }`
fn folders(table: &mut Table<'_>, folder: &Path) -> BTreeMap<String, GrantedFolder> {
    let mut folders = BTreeMap::new();
    for (name, written) in table.string_map("folders") {
        if written.value.is_empty() || written.value.contains('\0') {
            table.fault(written.span, format!("`folders.{}` is no path", shown(&name.value)), None);
            continue;
        }
        let path = plain(&folder.join(&written.value));
        folders.insert(name.value, GrantedFolder { written: written.value, path });
    }
    folders
}

fn allow(name: &str, table: &mut Table<'_>) -> OperatorRules {
    match table.kind("allow") {
        Some(Kind::Array) => {
            let rules = table.parse_all::<Rule>("allow").unwrap_or_default();
            let place =
                |(i, rule): (usize, Spanned<Rule>)| (format!("connections.{name}.allow[{i}]"), rule.value);
            OperatorRules::Listed(rules.into_iter().enumerate().map(place).collect())
        }
        Some(_) => {
            if let Some(text) = table.string("allow").filter(|text| text.value != "requested") {
                let help = Some("`allow = \"requested\"`, or a list of rules".to_owned());
                table.fault(text.span, format!("`allow` is `{}`", shown(&text.value)), help);
            }
            OperatorRules::Requested
        }
        None => {
            // Asked for, so that a misspelt key learns the right one.
            let _ = table.string("allow");
            let help = Some("`allow = \"requested\"`, or a list of rules".to_owned());
            table.fault(table.span(), format!("`allow` is missing in `{}`", table.name()), help);
            OperatorRules::Listed(Vec::new())
        }
    }
}

fn config(table: &mut Table<'_>) -> serde_json::Value {
    let empty = serde_json::Value::Object(serde_json::Map::new());
    match table.json("config") {
        None => empty,
        Some(value) if value.value.is_object() => value.value,
        Some(value) => {
            table.fault(value.span, "`config`: expected a table", None);
            empty
        }
    }
}

fn capture(table: &mut Table<'_>) -> Capture {
    let Some(text) = table.string("capture") else { return Capture::default() };
    match text.value.as_str() {
        "none" => Capture::None,
        "errors" => Capture::Errors,
        "all" => Capture::All,
        other => {
            let help = Some("one of `errors`, `all`, `none`".to_owned());
            table.fault(text.span, format!("`capture` is `{}`", shown(other)), help);
            Capture::default()
        }
    }
}

fn updates(table: &mut Table<'_>) -> Updates {
    let Some(text) = table.string("updates") else { return Updates::default() };
    match text.value.as_str() {
        "ask" => Updates::Ask,
        "same-grants" => Updates::SameGrants,
        other => {
            let help = Some("one of `ask`, `same-grants`".to_owned());
            table.fault(text.span, format!("`updates` is `{}`", shown(other)), help);
            Updates::default()
        }
    }
}

fn limits(mut table: Table<'_>) -> Limits {
    let default = Limits::default();
    let mut bytes = |key: &str, or: u64, most: u64| -> u64 {
        let Some(read) = table.bytes(key, or) else { return or };
        if read.value == 0 || read.value > most {
            table.fault(read.span, format!("`{key}` must be at least 1 and at most {most} bytes"), None);
        }
        read.value
    };
    let memory_bytes_max =
        bytes("memory", default.memory_bytes_max, portcullis_runtime::limits::MEMORY_BYTES_CEILING);
    let bytes_out_max = bytes("bytes-out", default.bytes_out_max, 1024 * 1024 * MIB);
    let spool_bytes_max = bytes("spool", default.spool_bytes_max, 1024 * 1024 * MIB);
    let response_bytes_max =
        bytes("response", default.response_bytes_max, portcullis_runtime::limits::BODY_BYTES_MAX);
    let log_bytes_max = bytes("log", default.log_bytes_max, MIB);
    let mut time = |key: &str, or: Duration, most: Duration| -> Duration {
        let Some(read) = table.duration(key, or) else { return or };
        if read.value.is_zero() || read.value > most {
            table.fault(
                read.span,
                format!("`{key}` must be more than 0 and at most {} s", most.as_secs()),
                None,
            );
        }
        read.value
    };
    let timeout = time("timeout", default.timeout, Duration::from_secs(600));
    let cpu = time("cpu", default.cpu, Duration::from_secs(60));
    let mut count =
        |key: &str, or: i64, most: i64| table.integer(key, 1..=most).map_or(or, |read| read.value);
    let requests_max = count("requests", 100_000, 10_000_000);
    let concurrency = count("concurrency", 16, 1_000);
    Limits {
        memory_bytes_max,
        timeout,
        cpu,
        requests_max: u64::try_from(requests_max).unwrap_or(default.requests_max),
        bytes_out_max,
        spool_bytes_max,
        response_bytes_max,
        concurrency_max: u32::try_from(concurrency).unwrap_or(default.concurrency_max),
        log_bytes_max,
    }
}

fn network(mut table: Table<'_>, folder: &Path) -> Network {
    let mut read = Network::default();
    table.such_as(&[("addresses", "[\"10.1.0.0/16\", \"192.0.2.7/32\"]")]);
    table.reject_later("proxy");
    for (from, to) in table.string_map("connect-to") {
        match (host_port(&from.value), host_port(&to.value)) {
            (Some((_, port)), Some((_, other))) if !matches!(port, 443 | 80) && port != other => {
                let message =
                    format!("a URL with the port {port} is dialled at that port, and never at {other}");
                table.fault(to.span, message, Some(format!("`HOST:{port}`")));
            }
            (Some(from), Some(to)) => {
                read.connect_to.insert(from, to);
            }
            (None, _) => table.fault(from.span, format!("`{}` is not `HOST:PORT`", shown(&from.value)), None),
            (_, None) => table.fault(to.span, format!("`{}` is not `HOST:PORT`", shown(&to.value)), None),
        }
    }
    if let Some(path) = table.string("ca-file") {
        let file = folder.join(&path.value);
        match read_bounded(&file) {
            Ok(bytes) if !holds_certificate(&bytes) => {
                let help = "a PEM file with `-----BEGIN CERTIFICATE-----`".to_owned();
                let message =
                    format!("`ca-file` is `{}`: it holds no usable certificate", shown(&path.value));
                table.fault(path.span, message, Some(help));
            }
            Ok(bytes) => read.ca_file = Some((file, bytes)),
            Err(error) => {
                let file = escaped(&file.to_string_lossy());
                table.fault(path.span, format!("`ca-file`: cannot read `{file}`: {error}"), None)
            }
        }
    }
    let addresses = table.parse_all::<ipnet::IpNet>("addresses").unwrap_or_default();
    for entry in addresses {
        if let Err(error) = AddressPolicy::new(vec![entry.value]) {
            table.fault(entry.span, error.to_string(), Some("remove the entry".to_owned()));
        }
        read.addresses.push(entry.value.trunc());
    }
    if let Some(roots) = table.string("roots") {
        read.roots = match roots.value.as_str() {
            "bundled" => Roots::Bundled,
            "system" => Roots::System,
            other => {
                let help = Some("`bundled` or `system`".to_owned());
                table.fault(roots.span.clone(), format!("`roots` is `{}`", shown(other)), help);
                Roots::Bundled
            }
        };
    }
    read
}

/// A regular file of a bounded size: a device has no end, and a pipe would wait for a writer.
fn read_bounded(file: &Path) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(CA_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > CA_FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {} MiB", CA_FILE_BYTES_MAX / MIB)));
    }
    Ok(bytes)
}

/// Whether anything could be trusted by it; that every part can be read is judged where it is used.
fn holds_certificate(pem: &[u8]) -> bool {
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_slice_iter(pem).flatten().any(|certificate| roots.add(certificate).is_ok())
}

/// `api.stripe.com:443`, `[::1]:8443`.
fn host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:".contains(&b);
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    (!bare.is_empty() && bare.bytes().all(plain)).then(|| (bare.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use crate::config::{authored, diagnose};

    #[test]
    fn a_ca_file_is_a_file_of_a_bounded_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("large.pem"), vec![b'-'; super::CA_FILE_BYTES_MAX as usize + 1]).unwrap();
        std::fs::create_dir(path("folder.pem")).unwrap();
        // The device has an end, unlike others: the test is red without the check, and does not eat the machine.
        for (name, expected) in [
            ("large.pem", "larger than 1 MiB"),
            ("folder.pem", "it is not a file"),
            ("/dev/null", "it is not a file"),
            ("a\\u001b[2J.pem", "cannot read"),
        ] {
            let text = format!(
                "[connections.a]\nconnector = \"a/b\"\nallow = []\n[connections.a.network]\nca-file = \"{name}\"\n"
            );
            let faults = authored::parse(&path("portcullis.toml"), &text).err().expect("it is refused");
            let shown: Vec<String> = faults.iter().map(|fault| fault.message.clone()).collect();
            assert!(shown.iter().any(|shown| shown.contains(expected)), "{name}: {shown:?}");
            let rendered: String = faults.iter().map(diagnose::render).collect();
            assert!(!rendered.chars().any(|c| c.is_control() && c != '\n'), "{rendered:?}");
        }
    }
}
