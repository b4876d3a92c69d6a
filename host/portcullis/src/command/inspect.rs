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
        lines.extend(
            webhook
                .handshake
                .map(|asked| format!("  the host answers the handshake of `{}`", asked.as_str())),
        );
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
            let key = output::shown_line(&stream.primary_key.join(", "));
            let cursor = output::shown_line(stream.cursor_field.as_deref().unwrap_or("none"));
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
        let names: Vec<_> = sensitive.iter().map(|name| short(name, SHOWN_TEXT_CHARS_MAX)).collect();
        lines.push(format!("    masked   {}", names.join(", ")));
    }
}

/// What a schema says at its top, in one line; `--json` has it whole.
fn shape(schema: &Value) -> String {
    let mut saying = Saying { root: schema, left: SHOWN_SCHEMAS_MAX };
    short(&saying.of(schema, SHOWN_DEPTH_MAX), SHOWN_CHARS_MAX)
}

/// Schemas in words, as many as fit into a line: references make many of few.
struct Saying<'s> {
    root: &'s Value,
    left: usize,
}

impl<'s> Saying<'s> {
    fn of(&mut self, schema: &'s Value, depth: usize) -> String {
        let Some(left) = self.left.checked_sub(1).filter(|_| depth > 0) else { return "…".to_owned() };
        self.left = left;
        let keywords = match schema {
            Value::Bool(false) => return "nothing".to_owned(),
            Value::Object(keywords) => keywords,
            _ => return "anything".to_owned(),
        };
        let mut parts = vec![self.kind(schema, depth)];
        for (keyword, value) in keywords {
            match (keyword.as_str(), value) {
                ("$ref", Value::String(target)) => {
                    let target = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
                    parts.push(
                        target.map_or_else(
                            || "a part of itself".to_owned(),
                            |target| self.of(target, depth - 1),
                        ),
                    );
                }
                ("const", value) => {
                    parts.push(format!("always {}", short(&value.to_string(), SHOWN_TEXT_CHARS_MAX)))
                }
                ("enum", Value::Array(values)) => parts.push(output::count(values.len(), "value")),
                ("allOf", Value::Array(schemas)) => parts.push(self.each("all of", schemas, depth)),
                ("anyOf" | "oneOf", Value::Array(schemas)) => parts.push(self.each("one of", schemas, depth)),
                (
                    "not" | "if" | "prefixItems" | "contains" | "$dynamicRef" | "propertyNames"
                    | "patternProperties" | "dependentSchemas" | "dependentRequired" | "dependencies",
                    _,
                ) => parts.push(format!("and its `{keyword}`")),
                _ => {}
            }
        }
        parts.retain(|part| !part.is_empty());
        if parts.is_empty() { "anything".to_owned() } else { parts.join(", ") }
    }

    fn each(&mut self, word: &str, schemas: &'s [Value], depth: usize) -> String {
        let mut parts: Vec<_> =
            schemas.iter().take(SHOWN_PARTS_MAX).map(|schema| self.of(schema, depth - 1)).collect();
        if schemas.len() > SHOWN_PARTS_MAX {
            parts.push(format!("{} more", schemas.len() - SHOWN_PARTS_MAX));
        }
        format!("{word} ({})", parts.join("; "))
    }

    /// Its `type`, with what an array holds and the properties of an object.
    fn kind(&mut self, schema: &'s Value, depth: usize) -> String {
        let mut kind = match &schema["type"] {
            Value::String(kind) => short(kind, SHOWN_TEXT_CHARS_MAX),
            Value::Array(kinds) => kinds
                .iter()
                .filter_map(Value::as_str)
                .take(SHOWN_PARTS_MAX * 2)
                .collect::<Vec<_>>()
                .join(" or "),
            _ => String::new(),
        };
        if let Some(items) = schema.get("items") {
            let items = self.of(items, depth - 1);
            kind = match kind.as_str() {
                "" | "array" => format!("array of {items}"),
                kinds => format!("{kinds}, items {items}"),
            };
        }
        match (kind.as_str(), members(schema)) {
            (_, members) if members.is_empty() => kind,
            ("", members) => format!("object: {members}"),
            (kind, members) => format!("{kind}: {members}"),
        }
    }
}

/// The properties, and which names have to be there.
fn members(schema: &Value) -> String {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object();
    let is_known = |name: &str| properties.is_some_and(|known| known.contains_key(name));
    let own = properties.into_iter().flat_map(|known| known.keys().map(String::as_str));
    let all: Vec<&str> = own.chain(required.iter().copied().filter(|name| !is_known(name))).collect();
    let name = |name: &&str| {
        let shown = short(name, SHOWN_TEXT_CHARS_MAX);
        let never = properties.and_then(|known| known.get(*name)) == Some(&Value::Bool(false));
        match (required.contains(name), never) {
            (true, _) => format!("{shown} (required)"),
            (false, true) => format!("{shown} (never)"),
            (false, false) => shown,
        }
    };
    let mut names: Vec<_> = all.iter().take(SHOWN_PROPERTIES_MAX).map(name).collect();
    if all.len() > SHOWN_PROPERTIES_MAX {
        names.push(format!("{} more", all.len() - SHOWN_PROPERTIES_MAX));
    }
    names.join(", ")
}

/// So many characters of it, in one line.
fn short(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", output::shown_line(&text[..end])),
        None => output::shown_line(text),
    }
}

/// Schemas in each other, in the text.
const SHOWN_DEPTH_MAX: usize = 4;
/// Schemas in one line.
const SHOWN_SCHEMAS_MAX: usize = 32;
/// Of one `allOf` and its like.
const SHOWN_PARTS_MAX: usize = 4;
/// Characters of a line, and of one name or value in it.
const SHOWN_CHARS_MAX: usize = 1000;
const SHOWN_TEXT_CHARS_MAX: usize = 40;
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
            (json!({ "required": ["id"] }), "object: id (required)"),
            (json!({ "type": ["array", "null"], "items": {} }), "array or null, items anything"),
            (json!({ "properties": { "a": false } }), "object: a (never)"),
            (json!({ "not": {} }), "and its `not`"),
            (json!({ "items": { "type": "null" } }), "array of null"),
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
        // References make much of little.
        let four = |target: &str| json!({ "allOf": vec![json!({ "$ref": target }); 4], "anyOf": vec![json!({ "$ref": target }); 4] });
        let much = json!({ "$ref": "#/$defs/a", "$defs": { "a": four("#/$defs/b"), "b": four("#/$defs/c"), "c": { "const": "z".repeat(1_000_000) } } });
        assert!(shape(&much).chars().count() <= SHOWN_CHARS_MAX + 1);
    }
}
