//! `[serve]` and the `[webhooks.NAME]` tables: where `serve` listens, and which paths lead to which connection.
use super::reference;
use crate::config::{Certificate, Connection, Serve, Webhook};
use ipnet::IpNet;
use portcullis_grants::Origin;
use portcullis_ingress::limits::{BODY_BYTES_DEFAULT, BODY_BYTES_MAX};
use portcullis_manifest::diagnose::{Table, nearest, shown};
use portcullis_secrets::Providers;
use portcullis_store::Backlog;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

/// Of a path.
const PATH_BYTES_MAX: usize = 256;
/// Deliveries that may wait, at most.
const BACKLOG_MAX: i64 = 10_000_000;

impl Default for Serve {
    fn default() -> Self {
        Self {
            ingress: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            operator: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            public_url: None,
            certificate: None,
            trusted_proxies: Vec::new(),
            backlog: Backlog { deliveries_max: 1_000_000, bytes_max: 4 << 30 },
        }
    }
}

/// Reads `[serve]`; faults are reported on its document.
pub fn read(mut table: Table<'_>, folder: &Path, providers: &Providers) -> Serve {
    let default = Serve::default();
    table.such_as(&[
        ("ingress", "\"127.0.0.1:8080\""),
        ("operator", "\"127.0.0.1:8081\""),
        ("trusted-proxies", "[\"10.1.0.0/16\"]"),
    ]);
    let ingress = table.parse::<SocketAddr>("ingress").map_or(default.ingress, |address| address.value);
    let operator = table.parse::<SocketAddr>("operator").map_or(default.operator, |address| address.value);
    let public_url = table.parse::<Origin>("public-url").map(|origin| origin.value.to_string());
    let trusted_proxies = table.parse_all::<IpNet>("trusted-proxies").unwrap_or_default();
    let certificate = certificate(&mut table, folder, providers);
    let deliveries_max = table.integer("backlog", 1..=BACKLOG_MAX);
    let deliveries_max = deliveries_max.and_then(|count| u64::try_from(count.value).ok());
    let bytes_max = table.bytes("backlog-size", default.backlog.bytes_max).map(|size| size.value);
    Serve {
        ingress,
        operator,
        public_url,
        certificate,
        trusted_proxies: trusted_proxies.into_iter().map(|net| net.value).collect(),
        backlog: Backlog {
            deliveries_max: deliveries_max.unwrap_or(default.backlog.deliveries_max),
            bytes_max: bytes_max.unwrap_or(default.backlog.bytes_max),
        },
    }
}

/// Both of them, or none.
fn certificate(table: &mut Table<'_>, folder: &Path, providers: &Providers) -> Option<Certificate> {
    let chain = table.string("certificate");
    let has_key = table.has("private-key");
    match (chain, has_key) {
        (None, false) => None,
        (Some(chain), true) => {
            let private_key = reference(table, "private-key", providers)?;
            Some(Certificate { chain: folder.join(chain.value), private_key })
        }
        (chain, _) => {
            let missing = if chain.is_some() { "private-key" } else { "certificate" };
            if has_key {
                reference(table, "private-key", providers);
            }
            let help = Some("without both, `serve` speaks plain HTTP, for a proxy in front of it".to_owned());
            table.fault(table.span(), format!("`{missing}` is missing"), help);
            None
        }
    }
}

/// Reads every `[webhooks.NAME]`; faults are reported on their document.
pub fn webhooks(
    root: &mut Table<'_>,
    connections: &BTreeMap<String, Connection>,
    providers: &Providers,
    serve: &Serve,
) -> BTreeMap<String, Webhook> {
    let mut read: BTreeMap<String, Webhook> = BTreeMap::new();
    let public_url = "public-url = \"https://hooks.example.com\"";
    let public_url = match root.has("serve") {
        true => format!("below `[serve]`: {public_url}"),
        false => format!("[serve]\n{public_url}"),
    };
    for (name, mut table) in root.entries("webhooks") {
        if !super::connection::is_name(&name.value) {
            let message = format!("`{}` is not the name of a route", shown(&name.value));
            let help = Some("lower-case letters, digits and `-`, at most 63".to_owned());
            table.fault(name.span.clone(), message, help);
        }
        if serve.public_url.is_none() {
            let help = Some(public_url.clone());
            let message =
                "`[serve]` has no `public-url`: where vendors deliver to is never read from a request";
            table.fault(name.span.clone(), message, help);
        }
        let Some(webhook) = webhook(&mut table, connections, providers) else { continue };
        if let Some(other) = read.values().find(|other| other.path == webhook.path) {
            let message = format!("`{}` is the path of `{}` already", webhook.path, other.name);
            table.fault(table.key_span("path"), message, None);
        }
        read.insert(name.value.clone(), Webhook { name: name.value, ..webhook });
    }
    read
}

fn webhook(
    table: &mut Table<'_>,
    connections: &BTreeMap<String, Connection>,
    providers: &Providers,
) -> Option<Webhook> {
    for later in ["respond", "choose"] {
        table.reject_later(later);
    }
    let connection = table.required_string("connection");
    if let Some(connection) = connection.as_ref().filter(|named| !connections.contains_key(&named.value)) {
        let near = nearest(&connection.value, connections.keys().map(String::as_str));
        let help = near.map(|near| format!("did you mean `{near}`?"));
        table.fault(connection.span.clone(), format!("no connection `{}`", shown(&connection.value)), help);
    }
    let path = path(table);
    let secrets = secrets(table, providers);
    let verify_token = table.has("verify-token").then(|| reference(table, "verify-token", providers));
    let body_bytes_max = table.bytes("body", BODY_BYTES_DEFAULT);
    if let Some(size) = body_bytes_max.as_ref().filter(|size| size.value > BODY_BYTES_MAX) {
        table.fault(size.span.clone(), "`body` must be at most 8MiB: no connector is handed more", None);
    }
    let rate = table.float("requests-per-second");
    if let Some(rate) = &rate
        && let Err(error) = portcullis_manifest::connector::requests_per_second(rate.value)
    {
        table.fault(rate.span.clone(), error.to_string(), None);
    }
    Some(Webhook {
        name: String::new(),
        connection: connection?.value,
        path: path?,
        secrets: secrets?,
        verify_token: match verify_token {
            Some(read) => Some(read?),
            None => None,
        },
        body_bytes_max: body_bytes_max.map_or(BODY_BYTES_DEFAULT, |size| size.value),
        requests_per_second: rate.map(|rate| rate.value),
    })
}

/// Literal segments: what is compared is what was sent.
fn path(table: &mut Table<'_>) -> Option<String> {
    let path = table.required_string("path")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let segment = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain);
    let fits = path.value.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
    if fits && path.value.len() <= PATH_BYTES_MAX {
        return Some(path.value);
    }
    let help = Some("as in `/hooks/stripe`: letters, digits and `-_.~` between slashes".to_owned());
    table.fault(path.span, format!("`{}` is no path of a route", shown(&path.value)), help);
    None
}

/// One, or two during a rotation; none where the operator says so.
fn secrets(table: &mut Table<'_>, providers: &Providers) -> Option<Vec<portcullis_secrets::Reference>> {
    let unsigned = table.boolean("unsigned").is_some_and(|unsigned| unsigned.value);
    let keys = ["secret", "previous-secret"];
    let has = keys.map(|key| table.has(key));
    let read = keys.map(|key| table.has(key).then(|| reference(table, key, providers)));
    let read: Vec<_> = read.into_iter().flatten().collect::<Option<_>>()?;
    match (unsigned, has) {
        (true, [false, false]) => Some(Vec::new()),
        (true, _) => {
            let help = Some("remove the secret, or `unsigned`".to_owned());
            table.fault(table.key_span("unsigned"), "what has a secret is signed", help);
            None
        }
        (false, [true, _]) => Some(read),
        (false, [false, _]) => {
            let help = "`secret = \"file:…\"`: what the vendor shows where the webhook is set up; or `unsigned = true`, and \
                        anybody who knows the address delivers";
            table.fault(table.span(), "`secret` is missing", Some(help.to_owned()));
            None
        }
    }
}
