//! `inspect`: what a component says of itself. It is checked as it would be before a run; nothing is compiled or run.
use crate::{
    cli::{Arguments, CONFIG_FILE, Inspect},
    config::Config,
    exit::{Exit, Failure, Result},
    output,
    publisher::Signature,
    registry::{self, Package},
};
use portcullis_grants::{FromResponse, ManifestRule, Redirect, RequestedRule};
use portcullis_manifest::{Component, Connector, ConnectorName};
use serde_json::{Value, json};
use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

/// Shows one component.
pub fn run(arguments: &Arguments, options: &Inspect) -> Result<Exit> {
    let package = find(arguments, &options.reference)?.judged()?;
    let keys = config(arguments)?.map(|config| config.publishers).unwrap_or_default();
    let signature = Signature::of(&keys, &package)?;
    if arguments.json {
        output::json_line(&as_json(&package, signature));
    } else {
        output::line(&as_text(&package, signature));
    }
    Ok(Exit::Success)
}

/// A file is looked at without a config too. One that is there and can't be read is no absent one: nothing would be held against
/// the keys in it, and nobody would know.
fn config(arguments: &Arguments) -> Result<Option<Config>> {
    let absent = arguments.config == Path::new(CONFIG_FILE) && !arguments.config.exists();
    if absent { Ok(None) } else { Config::read(&arguments.config).map(Some) }
}

fn find(arguments: &Arguments, reference: &str) -> Result<Package> {
    let (name, version) = reference.split_once('@').unwrap_or((reference, "*"));
    match (name.parse::<ConnectorName>(), version.parse::<semver::VersionReq>()) {
        _ if Path::new(reference).is_file() => registry::open(Path::new(reference)),
        (Ok(name), Ok(version)) => {
            let folder =
                config(arguments)?.map_or_else(|| PathBuf::from("registry"), |config| config.registry);
            registry::read(&registry::newest(&folder, &name, &version)?)
        }
        _ => Err(Failure::new(
            Exit::Usage,
            format!("`{}` is neither a file nor PUBLISHER/NAME[@VERSION]", output::shown_line(reference)),
        )),
    }
}

fn as_json(package: &Package, signature: Signature) -> Value {
    let Component { manifest, digest, size, imports, roles, assets, .. } = &package.component;
    // The embedded document itself: canonical, parsed by the same reader that printed it.
    let document: Value = serde_json::from_slice(&manifest.to_json()).unwrap_or(Value::Null);
    json!({
        "file": package.file.display().to_string(),
        "digest": digest,
        "signature": signature.as_str(),
        "size": size,
        "position_version": manifest.position_version,
        "config_version": manifest.config_version,
        "roles": roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "imports": imports,
        "assets": assets.iter().map(|(name, bytes)| json!({ "name": name, "size": bytes.len() })).collect::<Vec<_>>(),
        "manifest": document,
    })
}

fn as_text(package: &Package, signature: Signature) -> String {
    let Component { manifest, digest, size, imports, roles, .. } = &package.component;
    let mut lines = vec![
        format!("{}/{} {}", manifest.name.publisher, manifest.name.name, manifest.version),
        output::shown_line(&manifest.summary),
        String::new(),
        format!("digest   {digest}"),
        format!("signed   {}", signature.words(&manifest.name.publisher)),
        format!("size     {size} bytes"),
        format!(
            "numbers  position-version {}, config-version {}",
            manifest.position_version, manifest.config_version
        ),
        format!("roles    {}", roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")),
        format!("imports  {}", imports.join("\n         ")),
    ];
    if let Some(rate) = manifest.requests_per_second {
        lines.push(format!("pace     {rate} requests a second, proposed"));
    }
    if !package.component.assets.is_empty() {
        let asset = |(name, bytes): (&String, &Vec<u8>)| {
            format!("{} ({} bytes)", output::shown_line(name), bytes.len())
        };
        let assets: Vec<_> = package.component.assets.iter().map(asset).collect();
        lines.push(format!("assets   {}", assets.join(", ")));
    }
    if !manifest.capabilities.is_empty() {
        let asked: Vec<&str> = manifest.capabilities.iter().map(String::as_str).collect();
        lines.push(format!("asks for {}", asked.join(", ")));
    }
    lines.push("\nrequests".to_owned());
    lines.extend(manifest.rules.iter().map(|rule| format!("  {}", rule_line(rule, RequestedRule::flags))));
    let named = manifest.from_response.iter();
    lines.extend(named.map(|from| format!("  {}", named_line(from, RequestedRule::flags))));
    lines.push("\ncredential slots".to_owned());
    for (name, slot) in &manifest.slots {
        let place = slot.place.as_ref().map_or(String::new(), |place| format!(", proposed place {place}"));
        lines.push(format!(
            "  {name} ({}{place})  {}",
            slot.schemes.join(", "),
            output::shown_line(&slot.why)
        ));
    }
    if !manifest.folders.is_empty() {
        lines.push("\nfolders".to_owned());
        for (name, folder) in &manifest.folders {
            lines.push(format!("  {name} ({})  {}", folder.access.as_str(), output::shown_line(&folder.why)));
        }
    }
    operations(&mut lines, manifest);
    lines.join("\n")
}

/// What it takes, does and reads.
fn operations(lines: &mut Vec<String>, manifest: &Connector) {
    if let Some(webhook) = &manifest.webhook {
        lines.push("\ndeliveries".to_owned());
        lines.push(format!("  signed as {}", output::shown_line(&webhook.signing.to_string())));
    }
    if !manifest.actions.is_empty() {
        lines.push("\nactions".to_owned());
        for (name, action) in &manifest.actions {
            let summary = output::shown_line(action.summary.as_deref().unwrap_or_default());
            lines.push(format!("  {name} ({})  {summary}", action.delivery.as_str()).trim_end().to_owned());
            lines.push(format!("    input    {}", shape(&action.input)));
            lines.push(format!("    output   {}", shape(&action.output)));
            narrowed(lines, &action.http, &action.sensitive);
        }
    }
    if !manifest.streams.is_empty() {
        lines.push("\nstreams".to_owned());
        for (name, stream) in &manifest.streams {
            let key = stream.primary_key.join(", ");
            let cursor = stream.cursor_field.as_deref().unwrap_or("none");
            let summary = output::shown_line(stream.summary.as_deref().unwrap_or_default());
            lines.push(format!("  {name}  key {key}, cursor {cursor}  {summary}").trim_end().to_owned());
            lines.push(format!("    records  {}", shape(&stream.schema)));
            narrowed(lines, &stream.http, &stream.sensitive);
        }
    }
}

/// Rules of an operation's own, and what is masked of it.
fn narrowed(lines: &mut Vec<String>, http: &[RequestedRule], sensitive: &[String]) {
    lines.extend(http.iter().map(|rule| format!("    only     {rule}")));
    if !sensitive.is_empty() {
        let names: Vec<_> = sensitive.iter().map(|name| output::shown_line(name)).collect();
        lines.push(format!("    masked   {}", names.join(", ")));
    }
}

/// What a schema says at its top, in one line; `--json` has it whole.
fn shape(schema: &Value) -> String {
    output::shown_line(&said(schema, schema, SHOWN_DEPTH_MAX))
}

fn said(root: &Value, schema: &Value, depth: usize) -> String {
    if depth == 0 {
        return "…".to_owned();
    }
    let inner = |schema: &Value| said(root, schema, depth - 1);
    let all = |word: &str, schemas: &[Value]| {
        let mut parts: Vec<_> = schemas.iter().take(SHOWN_PARTS_MAX).map(inner).collect();
        if schemas.len() > SHOWN_PARTS_MAX {
            parts.push(format!("{} more", schemas.len() - SHOWN_PARTS_MAX));
        }
        format!("{word} ({})", parts.join("; "))
    };
    let mut parts = Vec::new();
    match schema {
        Value::Bool(false) => return "nothing".to_owned(),
        Value::Object(keywords) => {
            for (keyword, value) in keywords {
                match (keyword.as_str(), value) {
                    ("$ref", Value::String(target)) => {
                        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                        parts.push(target.map_or_else(|| "a part of itself".to_owned(), inner));
                    }
                    ("const", value) => parts.push(format!("always {value}")),
                    ("enum", Value::Array(values)) => parts.push(output::count(values.len(), "value")),
                    ("allOf", Value::Array(schemas)) => parts.push(all("all of", schemas)),
                    ("anyOf" | "oneOf", Value::Array(schemas)) => parts.push(all("one of", schemas)),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    let kind = match &schema["type"] {
        Value::String(kind) => Some(kind.clone()),
        Value::Array(kinds) => Some(kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")),
        _ => None,
    };
    let members = members(schema);
    match (kind, schema.get("items")) {
        (Some(kind), Some(items)) if kind == "array" => parts.insert(0, format!("array of {}", inner(items))),
        (Some(kind), _) if members.is_empty() => parts.insert(0, kind),
        (kind, _) if !members.is_empty() => {
            parts.insert(0, format!("{}: {members}", kind.unwrap_or_else(|| "object".to_owned())));
        }
        _ => {}
    }
    if parts.is_empty() { "anything".to_owned() } else { parts.join(", ") }
}

/// The properties, and which of them have to be there.
fn members(schema: &Value) -> String {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return String::new() };
    let name = |name: &String| {
        if required.contains(&name.as_str()) { format!("{name} (required)") } else { name.clone() }
    };
    let mut names: Vec<_> = properties.keys().take(SHOWN_PROPERTIES_MAX).map(name).collect();
    if properties.len() > SHOWN_PROPERTIES_MAX {
        names.push(format!("{} more", properties.len() - SHOWN_PROPERTIES_MAX));
    }
    names.join(", ")
}

/// Schemas in each other, in the text.
const SHOWN_DEPTH_MAX: usize = 4;
/// Of one `allOf` and its like.
const SHOWN_PARTS_MAX: usize = 4;
/// Of one schema in the text.
const SHOWN_PROPERTIES_MAX: usize = 16;

/// One rule over URLs that answers name. Whoever answers says where the connector's requests go.
pub fn named_line<R: Display>(from: &FromResponse<R>, flags: impl Fn(&R) -> Vec<String>) -> String {
    let at: Vec<_> = from.at.iter().map(|at| output::shown_line(&format!("`{at}`"))).collect();
    let named = format!(
        "EXFILTRATION CHANNEL: only URLs that answers to `{}` name at {}; without credential",
        from.of,
        at.join(" or ")
    );
    rule_line(&from.rule, |rule| [vec![named.clone()], flags(rule)].concat())
}

/// One requested rule with what holds for it and the author's reason.
pub fn rule_line<R: Display>(rule: &ManifestRule<R>, flags: impl Fn(&R) -> Vec<String>) -> String {
    let attributes = &rule.attributes;
    let mut notes = Vec::new();
    if !attributes.credentials.is_empty() {
        notes.push(format!("with {}", attributes.credentials.join(" or ")));
    }
    if attributes.safe {
        notes.push("only reads".to_owned());
    }
    if let Some(idempotency) = &attributes.idempotency {
        let window = portcullis_manifest::diagnose::print_duration(idempotency.window);
        notes.push(format!("repeatable by {} for {window}", idempotency.header));
    }
    if attributes.redirect == Redirect::Follow {
        notes.push("redirects are followed, each hop by its own rule".to_owned());
    }
    if !attributes.guest_headers.is_empty() {
        notes.push(format!(
            "EXFILTRATION CHANNEL: the connector sets {}",
            attributes.guest_headers.join(", ")
        ));
    }
    if let Some(query) = &attributes.query {
        let pairs: Vec<_> =
            query.pairs().map(|(name, value)| output::shown_line(&format!("{name}={value}"))).collect();
        notes.push(if pairs.is_empty() {
            "no query".to_owned()
        } else {
            format!("query {}", pairs.join("&"))
        });
    }
    notes.extend(flags(&rule.rule));
    let notes = if notes.is_empty() { String::new() } else { format!("  [{}]", notes.join("; ")) };
    format!("{}{notes}  {}", rule.rule, output::shown_line(&rule.why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_in_one_line() {
        for (schema, line) in [
            (json!({}), "anything"),
            (json!(false), "nothing"),
            (json!({ "type": ["string", "null"] }), "string or null"),
            (json!({ "const": "a\u{1b}b" }), "always \"a\\u001bb\""),
            (json!({ "enum": ["a", "b"] }), "2 values"),
            (json!({ "type": "array", "items": { "type": "string" } }), "array of string"),
            (
                json!({ "type": "object", "properties": { "id": {}, "name": {} }, "required": ["id"] }),
                "object: id (required), name",
            ),
            (json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "integer" } } }), "integer"),
            (json!({ "$ref": "#anchor" }), "a part of itself"),
            (
                json!({ "allOf": [{ "type": "object" }, { "properties": { "id": {} } }] }),
                "all of (object; object: id)",
            ),
            (
                json!({ "anyOf": vec![json!({ "type": "null" }); 6] }),
                "one of (null; null; null; null; 2 more)",
            ),
            (json!({ "items": { "$ref": "#" }, "type": "array" }), "array of array of …"),
        ] {
            assert_eq!(shape(&schema), line);
        }
        let many: serde_json::Map<_, _> = (0..20).map(|at| (format!("p{at}"), json!({}))).collect();
        assert!(shape(&json!({ "properties": many })).ends_with("p15, 4 more"));
    }
}
