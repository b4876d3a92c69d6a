//! The shape of `connector.toml`. What belongs to a later version is refused with its line.
use super::{
    Action, Connector, Delivery, RequestedFolder, Role, Slot, Stream, folder::Files, from_response, webhook,
};
use crate::{
    diagnose::{Document, Kind, Spanned, Table},
    json,
    limits::{ASSET_BYTES_MAX, ASSETS_MAX, SCHEMA_BYTES_MAX},
};
use portcullis_grants::{
    Attributes, FromResponse, Idempotency, ManifestRule, QueryRule, Redirect, RequestedRule, ValuePattern,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Which `allow` line each rule came from, (table, line), and which table each `from-response`.
#[derive(Default)]
pub(super) struct Places {
    allow: Vec<(usize, usize)>,
    from_response: Vec<usize>,
}

impl Places {
    /// A path of `check` as a path of this document.
    pub(super) fn resolve(&self, path: &[String]) -> Vec<String> {
        let index = path.get(1).and_then(|i| i.parse::<usize>().ok());
        if path.first().is_some_and(|list| list == "from-response") {
            let table = index.and_then(|i| self.from_response.get(i)).map(ToString::to_string);
            let mut resolved = vec!["http".to_owned()];
            resolved.extend(table);
            if let Some(key) = path.get(2) {
                let inner = ["allow", "of", "at"].contains(&key.as_str()).then(|| "from-response".to_owned());
                resolved.extend(inner.into_iter().chain([key.clone()]));
            }
            return resolved;
        }
        let rule = index.and_then(|i| self.allow.get(i));
        match (path.first().map(String::as_str), rule, path.get(2).map(String::as_str)) {
            (Some("http"), Some((table, line)), Some("allow")) => {
                vec!["http".into(), table.to_string(), "allow".into(), line.to_string()]
            }
            (Some("http"), Some((table, _)), Some(key)) => vec!["http".into(), table.to_string(), key.into()],
            _ => path.to_vec(),
        }
    }
}

type Read = (Connector, BTreeMap<String, Vec<u8>>, Places);

/// Reads the shape; faults go to the document.
pub(super) fn read(document: &Document, files: &mut Files) -> Option<Read> {
    let mut root = document.root();
    root.reject_later("subscriptions");
    let slots = slots(&mut root);
    let (rules, from_response, places) = rules(&mut root);
    let folders = folders(&mut root);
    let actions = root
        .entries("actions")
        .into_iter()
        .filter_map(|(name, mut table)| Some((name.value, action(&mut table, files)?)))
        .collect();
    let streams = root
        .entries("streams")
        .into_iter()
        .filter_map(|(name, mut table)| Some((name.value, stream(&mut table, files)?)))
        .collect();
    let requests_per_second =
        root.table("limits").and_then(|mut table| table.float("requests-per-second")).map(|rate| rate.value);
    let webhook = webhook::authored(&mut root);
    let assets = assets(&mut root, files);
    let mut table = root.required_table("connector")?;
    let name = table.required_parse("name");
    let version = version(&mut table);
    let position_version = table.required_integer("position-version", 1..=i64::from(u32::MAX));
    let config_version = table.required_integer("config-version", 1..=i64::from(u32::MAX));
    let roles = table.parse_all::<Role>("roles");
    if roles.is_none() && !table.has("roles") {
        table.fault(
            table.span(),
            "`roles` is missing in `connector`",
            Some("add `roles = [\"source\"]`, `[\"actions\"]` or both".to_owned()),
        );
    }
    let capabilities = table.strings("capabilities").unwrap_or_default();
    let summary = table.required_string("summary");
    let config_schema = table.has("config-schema").then(|| schema(&mut table, "config-schema", files));
    let connector = Connector {
        name: name?.value,
        version: version?.value,
        position_version: u32::try_from(position_version?.value).ok()?,
        config_version: u32::try_from(config_version?.value).ok()?,
        roles: roles?.into_iter().map(|role| role.value).collect(),
        capabilities: values(capabilities).into_iter().collect(),
        summary: summary?.value,
        config_schema: match config_schema {
            Some(schema) => Some(schema?),
            None => None,
        },
        slots,
        rules,
        from_response,
        folders,
        actions,
        streams,
        webhook,
        requests_per_second,
    };
    Some((connector, assets, places))
}

fn values(list: Vec<Spanned<String>>) -> Vec<String> {
    list.into_iter().map(|item| item.value).collect()
}

fn slots(root: &mut Table<'_>) -> BTreeMap<String, Slot> {
    let mut slots = BTreeMap::new();
    for (name, mut table) in root.entries("credentials") {
        for later in ["token-url", "authorize-url", "device-url", "revoke-url", "token-urls", "scopes"] {
            table.reject_later_unless_empty(later);
        }
        let schemes = table.required_strings("schemes");
        let place = table.string("place");
        let why = table.required_string("why");
        if let (Some(schemes), Some(why)) = (schemes, why) {
            let slot =
                Slot { schemes: values(schemes), place: place.map(|place| place.value), why: why.value };
            slots.insert(name.value, slot);
        }
    }
    slots
}

fn folders(root: &mut Table<'_>) -> BTreeMap<String, RequestedFolder> {
    let mut folders = BTreeMap::new();
    for (name, mut table) in root.entries("folders") {
        let (access, why) = (table.required_parse("access"), table.required_string("why"));
        if let (Some(access), Some(why)) = (access, why) {
            folders.insert(name.value, RequestedFolder { access: access.value, why: why.value });
        }
    }
    folders
}

type Rules = (Vec<ManifestRule<RequestedRule>>, Vec<FromResponse<RequestedRule>>, Places);

/// Three numbers, where people write two.
fn version(table: &mut Table<'_>) -> Option<Spanned<semver::Version>> {
    let text = table.required_string("version")?;
    match text.value.parse() {
        Ok(value) => Some(Spanned { value, span: text.span }),
        Err(error) => {
            let message = format!("`version` is `{}`: {error}", crate::diagnose::shown(&text.value));
            let help = "three numbers, as in `1.0.0`; a fourth part is `1.0.0-beta.1` (https://semver.org)";
            table.fault(text.span, message, Some(help.to_owned()));
            None
        }
    }
}

fn rules(root: &mut Table<'_>) -> Rules {
    let (mut rules, mut from_responses, mut places) = (Vec::new(), Vec::new(), Places::default());
    if root.has("http") && root.kind("http") != Some(Kind::Array) {
        root.fault(root.key_span("http"), "`http` is a list of tables", Some("write `[[http]]`".to_owned()));
        let _ = root.json("http");
        return (rules, from_responses, places);
    }
    for (i, mut table) in root.tables("http").into_iter().enumerate() {
        table.such_as(&[
            ("allow", "[\"GET https://api.example.com/v1/items\"]"),
            ("why", "\"read the items\""),
        ]);
        let attributes = attributes(&mut table);
        let why = table.required_string("why");
        if table.has("from-response") {
            let why = why.map(|why| why.value);
            if let Some(read) = from_response::authored(&mut table, i, attributes, why) {
                from_responses.push(read);
                places.from_response.push(i);
            }
            continue;
        }
        let allow = table.required_strings("allow").unwrap_or_default();
        if table.lists_nothing("allow") {
            let help = "list what the connector sends, as in `allow = [\"GET https://api.example.com/v1/items\"]`, or remove the table";
            table.fault(table.key_span("allow"), "`allow` is empty", Some(help.to_owned()));
        }
        for (j, line) in allow.iter().enumerate() {
            let Some(rule) = rule(&table, &format!("allow[{j}]"), line) else { continue };
            rules.push(ManifestRule {
                place: format!("http[{i}].allow[{j}]"),
                rule,
                attributes: attributes.clone(),
                why: why.as_ref().map(|why| why.value.clone()).unwrap_or_default(),
            });
            places.allow.push((i, j));
        }
    }
    (rules, from_responses, places)
}

fn rule(table: &Table<'_>, key: &str, line: &Spanned<String>) -> Option<RequestedRule> {
    let text = crate::diagnose::shown(&line.value);
    match line.value.parse::<RequestedRule>() {
        Ok(rule) => Some(rule),
        Err(error) => {
            let error = error.to_string();
            let message = if error.contains(&format!("`{}`", line.value)) {
                format!("`{key}`: {error}")
            } else {
                format!("`{key}` is `{text}`: {error}")
            };
            table.fault(line.span.clone(), message, None);
            None
        }
    }
}

/// What stands beside `allow`: the same in a manifest and in a lock.
pub(crate) fn attributes(table: &mut Table<'_>) -> Attributes {
    for later in ["graphql", "soap"] {
        table.reject_later(later);
    }
    table.such_as(&[
        ("credential", "\"NAME-OF-A-SLOT\""),
        ("idempotency", "{ header = \"Idempotency-Key\", window = \"24h\" }"),
        ("query", "{ api-version = \"2026-01-31\", page = \"*\" }"),
        ("guest-headers", "[\"x-custom\"]"),
    ]);
    let credentials = values(table.string_or_strings("credential").unwrap_or_default());
    let idempotency = table.table("idempotency").and_then(|mut idempotency| {
        idempotency.such_as(&[("header", "\"Idempotency-Key\""), ("window", "\"24h\"")]);
        let header = idempotency.required_string("header");
        let window = idempotency.duration("window", Duration::from_secs(24 * 60 * 60));
        if window.is_none() && !idempotency.has("window") {
            let help =
                Some("write how long the vendor remembers a key, for example `window = \"24h\"`".to_owned());
            idempotency.fault(idempotency.span(), "`window` is missing in `idempotency`", help);
        }
        Some(Idempotency { header: header?.value, window: window?.value })
    });
    let safe = table.boolean("safe").is_some_and(|safe| safe.value);
    let redirect =
        table.string("redirect").map_or(Redirect::Guest, |redirect| match redirect.value.as_str() {
            "guest" => Redirect::Guest,
            "follow" => Redirect::Follow,
            other => {
                let shown = crate::diagnose::shown(other);
                table.fault(
                    redirect.span,
                    format!("`redirect` is `{shown}`: expected `guest` or `follow`"),
                    Some(
                        "`redirect = \"follow\"`: the host follows; without the key, a redirect is an answer"
                            .to_owned(),
                    ),
                );
                Redirect::Guest
            }
        });
    let guest_headers = values(table.strings("guest-headers").unwrap_or_default());
    let guest_headers: BTreeSet<String> =
        guest_headers.iter().map(|name| name.to_ascii_lowercase()).collect();
    Attributes {
        credentials,
        idempotency,
        safe,
        redirect,
        guest_headers: guest_headers.into_iter().collect(),
        query: query(table),
    }
}

fn query(table: &mut Table<'_>) -> Option<QueryRule> {
    let (listed, span) = (table.string_map("query"), table.key_span("query"));
    if !table.has("query") {
        return None;
    }
    let mut pairs = Vec::new();
    for (name, value) in listed {
        match value.value.parse::<ValuePattern>() {
            Ok(pattern) => pairs.push((name.value, pattern)),
            Err(error) => table.fault(value.span, format!("`query`: {error}"), None),
        }
    }
    match QueryRule::new(pairs) {
        Ok(rule) => Some(rule),
        Err(error) => {
            table.fault(span, format!("`query`: {error}"), None);
            None
        }
    }
}

fn narrowed(table: &mut Table<'_>) -> Vec<RequestedRule> {
    let lines = table.strings("http").unwrap_or_default();
    if table.lists_nothing("http") {
        let help = Some("remove the key: without it, all rules of the connector hold".to_owned());
        table.fault(table.key_span("http"), "`http` is empty", help);
    }
    lines.iter().enumerate().filter_map(|(i, line)| rule(table, &format!("http[{i}]"), line)).collect()
}

fn action(table: &mut Table<'_>, files: &mut Files) -> Option<Action> {
    table.reject_later_unless_empty("scopes");
    table.such_as(&[("delivery", "\"at-least-once\"")]);
    let summary = table.string("summary").map(|summary| summary.value);
    let http = narrowed(table);
    let delivery =
        table.parse::<Delivery>("delivery").map_or(Delivery::AtMostOnce, |delivery| delivery.value);
    let sensitive = values(table.strings("sensitive").unwrap_or_default());
    let input = schema(table, "input", files);
    let output = schema(table, "output", files);
    Some(Action { summary, input: input?, output: output?, http, delivery, sensitive })
}

fn stream(table: &mut Table<'_>, files: &mut Files) -> Option<Stream> {
    table.reject_later_unless_empty("scopes");
    let summary = table.string("summary").map(|summary| summary.value);
    let http = narrowed(table);
    let primary_key = values(table.strings("primary-key").unwrap_or_default());
    let cursor_field = table.string("cursor-field").map(|field| field.value);
    let sensitive = values(table.strings("sensitive").unwrap_or_default());
    let schema = schema(table, "schema", files)?;
    Some(Stream { summary, schema, primary_key, cursor_field, http, sensitive })
}

fn schema(table: &mut Table<'_>, key: &str, files: &mut Files) -> Option<Value> {
    let name = table.required_string(key)?;
    let bytes = match files.read(&name.value, SCHEMA_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            let help = "a file of the connector's folder, such as `schemas/NAME.json`; the path starts there";
            table.fault(name.span, format!("`{key}`: {error}"), Some(help.to_owned()));
            return None;
        }
    };
    match json::parse(&bytes, SCHEMA_BYTES_MAX) {
        Ok(value) => Some(value),
        Err(error) => {
            table.fault(
                name.span,
                format!("`{key}`: `{}`: {error}", crate::diagnose::shown(&name.value)),
                None,
            );
            None
        }
    }
}

fn assets(root: &mut Table<'_>, files: &mut Files) -> BTreeMap<String, Vec<u8>> {
    let mut assets = BTreeMap::new();
    for (name, path) in root.string_map("assets") {
        if !crate::embed::is_asset_name(&name.value) || assets.len() == ASSETS_MAX {
            let message = format!(
                "asset `{}`: at most {ASSETS_MAX}, named by lower-case letters, digits, `.`, `_`, `-` and `/`",
                crate::diagnose::shown(&name.value)
            );
            root.fault(name.span, message, None);
            continue;
        }
        match files.read(&path.value, ASSET_BYTES_MAX) {
            Ok(bytes) => drop(assets.insert(name.value, bytes)),
            Err(error) => root.fault(path.span, error.to_string(), None),
        }
    }
    assets
}
