//! `portcullis.lock`: what an operator approved. TOML, stable order, written by fsync and rename (by the caller: this
//! crate prints and parses). Refuses a newer format before it looks at anything else.
use crate::{
    Diagnostic,
    connector::{Access, ConnectorName, Role},
    diagnose::{Document, Spanned, Table, shown},
    world::split,
};
use portcullis_grants::{FromResponse, ManifestRule, Origin, origin::is_origin_name};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    str::FromStr,
};

mod print;

/// The number of this shape; a lock with a higher one was written by a newer portcullis.
pub const FORMAT: i64 = 1;

/// The whole lock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lock {
    /// By connection name.
    pub approvals: BTreeMap<String, Approval>,
}

/// One approval.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// `apr_…`, random.
    pub approval_id: String,
    /// Who may not be named anywhere else: set by `revoke`, only a new approve (new id) ends it.
    pub revoked: bool,
    /// RFC 3339.
    pub approved_at: String,
    /// The connector.
    pub connector: ConnectorName,
    /// Its version.
    pub version: semver::Version,
    /// `sha256:HEX` of the component file.
    pub digest: String,
    /// Its `position-version`; 1 in a lock that does not say.
    pub position_version: u32,
    /// Its `config-version`; 1 in a lock that does not say.
    pub config_version: u32,
    /// Imports of the component, sorted.
    pub imports: Vec<String>,
    /// Exported roles.
    pub roles: BTreeSet<Role>,
    /// Bound origins by name; the rules are expanded with them.
    pub origins: BTreeMap<String, Origin>,
    /// Expanded rules with attributes and reasons.
    pub rules: Vec<ManifestRule>,
    /// The same over URLs that answers name.
    pub from_response: Vec<FromResponse>,
    /// Per slot: what is bound.
    pub credentials: BTreeMap<String, PinnedCredential>,
    /// Granted folders by name.
    pub folders: BTreeMap<String, PinnedFolder>,
    /// Network settings.
    pub network: PinnedNetwork,
}

/// What is pinned of a credential: never its reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedCredential {
    /// Name in `[credentials.*]`.
    pub credential: String,
    /// Scheme as in the config.
    pub scheme: String,
    /// Where it goes: `header Authorization`, `query api_key`.
    pub place: String,
}

/// What is pinned of a granted folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedFolder {
    /// As the config has it, from the config's own folder on.
    pub path: String,
    /// What may be done in it.
    pub access: Access,
}

/// What is pinned of `[connections.X.network]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinnedNetwork {
    /// `host:port` → `host:port`.
    pub connect_to: BTreeMap<String, String>,
    /// `sha256:HEX` of the `ca-file`'s bytes.
    pub ca_file: Option<String>,
    /// Listed ranges, canonical text.
    pub addresses: Vec<String>,
    /// `bundled` or `system`.
    pub roots: String,
}

impl Lock {
    /// Parses; a newer format, an unknown key, a bad rule is a diagnostic with its line.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Diagnostic> {
        Self::parse_all(file, text).map_err(|faults| {
            faults.into_iter().next().unwrap_or_else(|| Diagnostic::of_file(file, "unreadable"))
        })
    }

    /// `parse`, with every fault that can be found at once.
    pub fn parse_all(file: &Path, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let document = Document::parse(file, text)?;
        let mut root = document.root();
        let format = root.required_integer("format", 1..=i64::MAX);
        if let Some(newer) = format.filter(|format| format.value > FORMAT) {
            root.fault(
                newer.span,
                format!("written by a newer portcullis: format {}, and this one reads {FORMAT}", newer.value),
                Some("update portcullis, or check out the lock that this version wrote".to_owned()),
            );
            root.ignore_rest();
            drop(root);
            return document.finish(None);
        }
        let mut approvals = BTreeMap::new();
        for (name, mut table) in root.entries("approvals") {
            if let Some(approval) = approval(&mut table) {
                approvals.insert(name.value, approval);
            }
        }
        drop(root);
        document.finish(Some(Self { approvals }))
    }

    /// Prints; parse(print(x)) == x.
    pub fn print(&self) -> String {
        print::lock(self)
    }
}

/// Words with a fixed shape; what is refused here could become a path or a terminal's command elsewhere.
#[derive(Debug, thiserror::Error)]
enum ShapeError {
    #[error("expected `apr_` and letters and digits")]
    ApprovalId,
    #[error("expected `sha256:` and 64 hexadecimal digits in lower case")]
    Digest,
    #[error("expected a time such as `2026-01-31T12:00:00Z`")]
    Time,
    #[error("expected an address range such as `10.0.0.0/8`, without bits below its prefix")]
    Range,
    #[error("expected `bundled` or `system`")]
    Roots,
    #[error("expected `HOST:PORT`")]
    Endpoint,
    #[error("expected the name of an origin: lower-case letters, digits and `-`")]
    OriginName,
}

struct ApprovalId(String);
impl FromStr for ApprovalId {
    type Err = ShapeError;
    /// It names the file `data/revoked/APPROVAL-ID`, so it can hold nothing that a path means something by.
    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let rest = text.strip_prefix("apr_").ok_or(ShapeError::ApprovalId)?;
        let plain = !rest.is_empty() && rest.len() <= 64 && rest.bytes().all(|b| b.is_ascii_alphanumeric());
        if plain { Ok(Self(text.to_owned())) } else { Err(ShapeError::ApprovalId) }
    }
}

/// Whether this is the id of an approval, and so a plain file name.
pub fn is_approval_id(text: &str) -> bool {
    text.parse::<ApprovalId>().is_ok()
}

/// Whether this is `sha256:HEX` as every document writes it.
pub fn is_digest(text: &str) -> bool {
    text.parse::<Digest>().is_ok()
}

struct Digest(String);
impl FromStr for Digest {
    type Err = ShapeError;
    /// It names the file `data/components/DIGEST`.
    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let hex = text.strip_prefix("sha256:").ok_or(ShapeError::Digest)?;
        let plain = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if plain { Ok(Self(text.to_owned())) } else { Err(ShapeError::Digest) }
    }
}

struct Time(String);
impl FromStr for Time {
    type Err = ShapeError;
    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let shape = text.len() <= 40 && text.len() >= 20 && text.as_bytes().get(10) == Some(&b'T');
        if shape && text.bytes().all(|b| b.is_ascii_digit() || b"-:TZ.+".contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ShapeError::Time)
        }
    }
}

struct Range(String);
impl FromStr for Range {
    type Err = ShapeError;
    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let net: ipnet::IpNet = text.parse().map_err(|_| ShapeError::Range)?;
        if net.trunc().to_string() == text { Ok(Self(text.to_owned())) } else { Err(ShapeError::Range) }
    }
}

struct Roots(String);
impl FromStr for Roots {
    type Err = ShapeError;
    fn from_str(text: &str) -> Result<Self, ShapeError> {
        if matches!(text, "bundled" | "system") { Ok(Self(text.to_owned())) } else { Err(ShapeError::Roots) }
    }
}

fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    !host.is_empty() && host.bytes().all(host_byte) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn approval(table: &mut Table<'_>) -> Option<Approval> {
    table.reject_later("proxy");
    let approval_id = table.required_parse::<ApprovalId>("approval-id");
    let revoked = table.boolean("revoked").is_some_and(|revoked| revoked.value);
    let approved_at = table.required_parse::<Time>("approved-at");
    let connector = table.required_parse("connector");
    let version = table.required_parse("version");
    let digest = table.required_parse::<Digest>("digest");
    let position_version = number(table, "position-version");
    let config_version = number(table, "config-version");
    let imports = table.required_strings("imports");
    for import in imports.iter().flatten().filter(|import| split(&import.value).is_none()) {
        let help = Some("`PACKAGE/INTERFACE@VERSION`".to_owned());
        table.fault_masked(import.span.clone(), "that is no interface", help);
    }
    let roles = table.parse_all::<Role>("roles");
    if roles.is_none() && !table.has("roles") {
        table.fault(table.span(), format!("`roles` is missing in `{}`", shown(table.name())), None);
    }
    let origins = origins(table);
    let rules = table.tables("http").into_iter().filter_map(|mut rule| rule_of(&mut rule)).collect();
    let mut named = table.tables("from-response");
    let from_response = named.iter_mut().filter_map(from_response_of).collect();
    drop(named);
    let credentials = table
        .entries("credentials")
        .into_iter()
        .filter_map(|(slot, mut pinned)| Some((slot.value, credential(&mut pinned)?)))
        .collect();
    let folders = table
        .entries("folders")
        .into_iter()
        .filter_map(|(name, mut pinned)| Some((name.value, folder(&mut pinned)?)))
        .collect();
    let network = table.required_table("network").and_then(|mut network| network_of(&mut network));
    Some(Approval {
        approval_id: approval_id?.value.0,
        revoked,
        approved_at: approved_at?.value.0,
        connector: connector?.value,
        version: version?.value,
        digest: digest?.value.0,
        position_version,
        config_version,
        imports: imports?.into_iter().map(|import| import.value).collect(),
        roles: roles?.into_iter().map(|role| role.value).collect(),
        origins,
        rules,
        from_response,
        credentials,
        folders,
        network: network?,
    })
}

/// A number of the manifest that older locks do not pin.
fn number(table: &mut Table<'_>, key: &str) -> u32 {
    let read = table.integer(key, 1..=i64::from(u32::MAX));
    read.and_then(|read| u32::try_from(read.value).ok()).unwrap_or(1)
}

fn origins(table: &mut Table<'_>) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    for (name, value) in table.string_map("origins") {
        if !is_origin_name(&name.value) {
            table.fault(name.span, format!("`{}`: {}", shown(&name.value), ShapeError::OriginName), None);
            continue;
        }
        match value.value.parse::<Origin>() {
            Ok(origin) => drop(origins.insert(name.value, origin)),
            Err(error) => table.fault_masked(value.span, format!("origin `{}`: {error}", name.value), None),
        }
    }
    origins
}

fn rule_of(table: &mut Table<'_>) -> Option<ManifestRule> {
    let place = table.required_string("place");
    let rule = table.required_parse("allow");
    let attributes = crate::connector::read_attributes(table);
    let why = table.required_string("why");
    Some(ManifestRule { place: place?.value, rule: rule?.value, attributes, why: why?.value })
}

fn from_response_of(table: &mut Table<'_>) -> Option<FromResponse> {
    let (place, why) = (table.required_string("place"), table.required_string("why"));
    let attributes = crate::connector::read_attributes(table);
    crate::connector::read_from_response(table, place?.value, attributes, Some(why?.value))
}

fn credential(table: &mut Table<'_>) -> Option<PinnedCredential> {
    let credential = table.required_string("credential");
    let scheme = table.required_string("scheme");
    let place = table.required_string("place");
    Some(PinnedCredential { credential: credential?.value, scheme: scheme?.value, place: place?.value })
}

fn folder(table: &mut Table<'_>) -> Option<PinnedFolder> {
    let (path, access) = (table.required_string("path"), table.required_parse("access"));
    Some(PinnedFolder { path: path?.value, access: access?.value })
}

fn network_of(table: &mut Table<'_>) -> Option<PinnedNetwork> {
    table.reject_later("proxy");
    let roots = table.required_parse::<Roots>("roots");
    let ca_file = table.parse::<Digest>("ca-file").map(|digest| digest.value.0);
    let addresses = table.parse_all::<Range>("addresses").unwrap_or_default();
    let mut connect_to = BTreeMap::new();
    for (from, to) in table.string_map("connect-to") {
        for end in [&from, &to] {
            endpoint(table, end);
        }
        connect_to.insert(from.value, to.value);
    }
    let addresses = addresses.into_iter().map(|range| range.value.0).collect();
    Some(PinnedNetwork { connect_to, ca_file, addresses, roots: roots?.value.0 })
}

fn endpoint(table: &Table<'_>, end: &Spanned<String>) {
    if !is_endpoint(&end.value) {
        table.fault(end.span.clone(), format!("`{}`: {}", shown(&end.value), ShapeError::Endpoint), None);
    }
}

#[cfg(test)]
mod tests;
