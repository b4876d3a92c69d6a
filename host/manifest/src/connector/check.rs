//! What must hold in a manifest beyond its shape, wherever it was read from. A fault names a path that is the same in both
//! forms, so that TOML underlines a line and JSON names a pointer.
use super::{Action, Connector, Delivery, Role, Slot, Stream, from_response, is_label, webhook};
use crate::{
    diagnose::{is_hidden, nearest, shown},
    limits::*,
    schema, world,
};
use portcullis_grants::{
    Attributes, ManifestRule, RequestedRule, cover::cover, grant::check_overlaps, limits::FROM_RESPONSE_MAX,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// One fault.
#[derive(Debug)]
pub(super) struct Fault {
    /// Keys and indices from the root; `http` is followed by the index in `Connector::rules`, `from-response` by that in
    /// `Connector::from_response`.
    pub(super) path: Vec<String>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// Schemes that this version attaches.
const SCHEMES: [&str; 4] = ["bearer", "basic", "api-key-header", "api-key-query"];
/// Schemes of later versions.
const SCHEMES_LATER: [&str; 5] = ["oauth2", "jwt", "hmac", "sigv4", "mtls"];

/// Headers that no rule may hand to a guest: the host computes them, or they belong to one hop (RFC 9110 section 7.6.1).
const GUEST_HEADERS_NEVER: [&str; 13] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "accept-encoding",
    "proxy-authorization",
    "proxy-authenticate",
];

/// All faults of a manifest whose shape is right.
pub(super) fn check(connector: &Connector) -> Vec<Fault> {
    let mut faults = Faults::default();
    identity(connector, &mut faults);
    roles(connector, &mut faults);
    for (name, slot) in &connector.slots {
        check_slot(name, slot, connector, &mut faults);
    }
    check_folders(connector, &mut faults);
    webhook::check(connector, &mut faults);
    counts(connector, &mut faults);
    if !faults.found.is_empty() {
        // Bounds come before work that grows with the square of them.
        return faults.found;
    }
    if let Some(schema) = &connector.config_schema {
        faults.schema(&["connector", "config-schema"], schema);
    }
    let mut places = BTreeSet::new();
    for (i, rule) in connector.rules.iter().enumerate() {
        if !places.insert(&rule.place) {
            faults.add(
                &["http", &i.to_string(), "place"],
                format!("two rules stand at `{}`", shown(&rule.place)),
            );
        }
        check_rule("http", i, rule, connector, &mut faults);
    }
    for (i, from) in connector.from_response.iter().enumerate() {
        if !places.insert(&from.rule.place) {
            let message = format!("two rules stand at `{}`", shown(&from.rule.place));
            faults.add(&["from-response", &i.to_string(), "place"], message);
        }
        check_rule("from-response", i, &from.rule, connector, &mut faults);
        from_response::check(i, from, connector, &mut faults);
    }
    overlaps(connector, &mut faults);
    for (name, action) in &connector.actions {
        check_action(name, action, connector, &mut faults);
    }
    for (name, stream) in &connector.streams {
        check_stream(name, stream, connector, &mut faults);
    }
    faults.found
}

#[derive(Default)]
pub(super) struct Faults {
    found: Vec<Fault>,
}

impl Faults {
    pub(super) fn add(&mut self, path: &[&str], message: impl Into<String>) {
        self.with_help(path, message, None);
    }

    pub(super) fn with_help(&mut self, path: &[&str], message: impl Into<String>, help: Option<String>) {
        if self.found.len() < FAULTS_MAX {
            let path = path.iter().map(|step| (*step).to_owned()).collect();
            self.found.push(Fault { path, message: message.into(), help });
        }
    }

    fn schema(&mut self, path: &[&str], value: &Value) {
        if let Err(error) = schema::check(value) {
            self.add(path, format!("`{}`: {error}", path.last().copied().unwrap_or_default()));
        }
    }
}

fn identity(connector: &Connector, faults: &mut Faults) {
    if !connector.version.build.is_empty() {
        faults.add(
            &["connector", "version"],
            format!("version `{}` has build metadata, which orders nothing", connector.version),
        );
    }
    if connector.version.to_string().len() > NAME_BYTES_MAX {
        faults.add(&["connector", "version"], format!("`version` is longer than {NAME_BYTES_MAX} bytes"));
    }
    for (key, number) in
        [("position-version", connector.position_version), ("config-version", connector.config_version)]
    {
        if number == 0 {
            faults.add(&["connector", key], format!("`{key}` starts at 1"));
        }
    }
    people(&["connector", "summary"], &connector.summary, faults);
    let known = world::capabilities();
    for capability in connector.capabilities.iter().filter(|capability| !known.contains(*capability)) {
        let all: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
        let help = Some(format!("a manifest may ask for {}", all.join(", ")));
        let message = format!("unknown capability `{}`", shown(capability));
        faults.with_help(&["connector", "capabilities"], message, help);
    }
    if let Some(rate) = connector.requests_per_second
        && let Err(message) = requests_per_second(rate)
    {
        faults.add(&["limits", "requests-per-second"], message.to_string());
    }
}

/// Whether this may be a `requests-per-second`, in a manifest or in a config.
pub fn requests_per_second(rate: f64) -> Result<(), RateError> {
    // Not a number is in no range.
    let possible = (REQUESTS_PER_SECOND_MIN..=REQUESTS_PER_SECOND_MAX).contains(&rate);
    if possible { Ok(()) } else { Err(RateError(rate)) }
}

/// A rate that no host can keep.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "`requests-per-second` is {0:?}: expected at least 1/3600 (one request an hour, `0.00028`), at most {REQUESTS_PER_SECOND_MAX}"
)]
pub struct RateError(f64);

/// A text that `approve` prints on a terminal.
fn people(path: &[&str], text: &str, faults: &mut Faults) {
    let key = path.last().copied().unwrap_or_default();
    if text.trim().is_empty() {
        faults.add(path, format!("`{key}` is empty"));
    } else if text.len() > TEXT_BYTES_MAX {
        faults.add(path, format!("`{key}` is longer than {TEXT_BYTES_MAX} bytes"));
    } else if text.chars().any(is_hidden) {
        faults.add(path, format!("`{key}` has control characters or more than one line"));
    }
}

fn roles(connector: &Connector, faults: &mut Faults) {
    if connector.roles.is_empty() {
        let help = Some("name what its code exports: `roles = [\"source\"]`".to_owned());
        faults.with_help(&["connector", "roles"], "`roles` is empty: a connector has at least one", help);
    }
    let pairs = [
        (Role::Actions, connector.actions.is_empty(), "actions"),
        (Role::Source, connector.streams.is_empty(), "streams"),
    ];
    for (role, none, table) in pairs {
        match (connector.roles.contains(&role), none) {
            (true, true) => faults.with_help(
                &["connector", "roles"],
                format!("role `{role}` is declared, but there is no `[{table}.*]`"),
                Some(format!("add a table `[{table}.NAME]`, or remove the role")),
            ),
            (false, false) => faults.with_help(
                &[table],
                format!("`[{table}.*]` needs the role `{role}`"),
                Some(format!("add `{role}` to `roles`")),
            ),
            _ => {}
        }
    }
}

fn counts(connector: &Connector, faults: &mut Faults) {
    let lists =
        connector.actions.values().map(|a| &a.http).chain(connector.streams.values().map(|s| &s.http));
    let (mut longest, mut total) = (0, 0usize);
    for list in lists {
        longest = longest.max(list.len());
        total += list.len();
    }
    let bounds = [
        ("http", "rules", connector.rules.len(), RULES_MAX),
        ("from-response", "`from-response` rules", connector.from_response.len(), FROM_RESPONSE_MAX),
        ("credentials", "credential slots", connector.slots.len(), SLOTS_MAX),
        ("folders", "folders", connector.folders.len(), SLOTS_MAX),
        ("actions", "actions", connector.actions.len(), OPERATIONS_MAX),
        ("streams", "streams", connector.streams.len(), OPERATIONS_MAX),
        ("actions", "entries in one `http` list", longest, NARROWED_MAX),
        ("actions", "entries in all `http` lists", total, NARROWED_TOTAL_MAX),
    ];
    for (key, what, count, max) in bounds {
        if count > max {
            faults.add(&[key], format!("{count} {what}: at most {max}"));
        }
    }
}

fn check_slot(name: &str, slot: &Slot, connector: &Connector, faults: &mut Faults) {
    if !is_label(name) {
        faults.add(
            &["credentials", name],
            format!("slot name `{}`: expected lower-case letters, digits and `-`", shown(name)),
        );
    }
    if slot.schemes.is_empty() {
        faults.add(&["credentials", name, "schemes"], "`schemes` is empty: nothing could be bound");
    }
    for (i, scheme) in slot.schemes.iter().enumerate() {
        let path = ["credentials", name, "schemes", &i.to_string()];
        if SCHEMES_LATER.contains(&scheme.as_str()) {
            let help = Some(format!("this version attaches {}", SCHEMES.join(", ")));
            faults.with_help(&path, format!("scheme `{scheme}` is not supported yet"), help);
        } else if !SCHEMES.contains(&scheme.as_str()) {
            let plain = scheme.to_lowercase().replace(['-', '_'], "");
            let help = match nearest(scheme, SCHEMES) {
                // What a config calls it.
                _ if ["apikey", "apikeys"].contains(&plain.as_str()) => {
                    "`api-key-header` or `api-key-query`, or both".to_owned()
                }
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("this version attaches {}", SCHEMES.join(", ")),
            };
            faults.with_help(&path, format!("unknown scheme `{}`", shown(scheme)), Some(help));
        }
    }
    if let Some(place) = &slot.place
        && !is_token(place)
    {
        faults.add(
            &["credentials", name, "place"],
            format!("`place` is `{}`: expected the name of a header or of a query pair", shown(place)),
        );
    }
    people(&["credentials", name, "why"], &slot.why, faults);
    if !connector.rules.iter().any(|rule| rule.attributes.credentials.iter().any(|used| used == name)) {
        let help = Some(format!(
            "write `credential = \"{}\"` in the `[[http]]` table that needs it, or remove the slot",
            shown(name)
        ));
        faults.with_help(
            &["credentials", name],
            format!("credential slot `{}` is used by no rule", shown(name)),
            help,
        );
    }
}

fn check_folders(connector: &Connector, faults: &mut Faults) {
    match (connector.capabilities.contains("files"), connector.folders.is_empty()) {
        (true, true) => faults.with_help(
            &["connector", "capabilities"],
            "capability `files` without a folder: nothing could be granted",
            Some("add a table `[folders.NAME]`, or remove it".to_owned()),
        ),
        (false, false) => faults.with_help(
            &["folders"],
            "`[folders.*]` needs the capability `files`",
            Some("capabilities = [\"files\"]".to_owned()),
        ),
        _ => {}
    }
    for (name, folder) in &connector.folders {
        if !is_label(name) {
            faults.add(
                &["folders", name],
                format!("folder name `{}`: expected lower-case letters, digits and `-`", shown(name)),
            );
        }
        people(&["folders", name, "why"], &folder.why, faults);
    }
}

fn check_rule(
    list: &str,
    i: usize,
    rule: &ManifestRule<RequestedRule>,
    connector: &Connector,
    faults: &mut Faults,
) {
    let at = i.to_string();
    people(&[list, &at, "why"], &rule.why, faults);
    let Attributes { credentials, idempotency, guest_headers, .. } = &rule.attributes;
    let mut seen = BTreeSet::new();
    for name in credentials {
        if !seen.insert(name) {
            faults.add(
                &[list, &at, "credential"],
                format!("credential slot `{}` is listed twice", shown(name)),
            );
        }
        if !connector.slots.contains_key(name) {
            let near = nearest(name, connector.slots.keys().map(String::as_str));
            let help = near.map_or_else(
                || format!("add a table `[credentials.{}]`", shown(name)),
                |near| format!("did you mean `{near}`?"),
            );
            faults.with_help(
                &[list, &at, "credential"],
                format!("there is no credential slot `{}`", shown(name)),
                Some(help),
            );
        }
    }
    if let Some(idempotency) = idempotency {
        let header = idempotency.header.to_ascii_lowercase();
        if !is_token(&header) || GUEST_HEADERS_NEVER.contains(&header.as_str()) {
            faults.add(
                &[list, &at, "idempotency"],
                format!("`header` is `{}`: no key can be sent in it", shown(&idempotency.header)),
            );
        }
        if idempotency.window.is_zero() {
            faults.add(&[list, &at, "idempotency"], "`window` is 0: the vendor would remember nothing");
        }
    }
    for header in guest_headers {
        if !is_token(header) || GUEST_HEADERS_NEVER.contains(&header.as_str()) {
            faults.add(
                &[list, &at, "guest-headers"],
                format!("`{}` can never be set by a guest", shown(header)),
            );
        }
    }
}

fn overlaps(connector: &Connector, faults: &mut Faults) {
    let named = connector.from_response.iter().map(|from| &from.rule);
    if let Err(error) = check_overlaps(connector.rules.iter().chain(named.clone())) {
        let (list, second) = match connector.rules.iter().position(|rule| rule.place == error.second) {
            Some(second) => ("http", second),
            None => {
                ("from-response", named.clone().position(|r| r.place == error.second).unwrap_or_default())
            }
        };
        let help = Some("give both the same attributes, or narrow one".to_owned());
        faults.with_help(&[list, &second.to_string(), "allow"], error.to_string(), help);
    }
}

fn check_action(name: &str, action: &Action, connector: &Connector, faults: &mut Faults) {
    let at = |key: &'static str| ["actions", name, key];
    operation(&["actions", name], action.summary.as_deref(), &action.sensitive, faults);
    faults.schema(&at("input"), &action.input);
    faults.schema(&at("output"), &action.output);
    narrowed(&["actions", name], &action.http, connector, faults);
    if action.delivery == Delivery::AtMostOnce {
        return;
    }
    let lacking = if action.http.is_empty() {
        all_rules(connector)
            .find(|rule| needs_idempotency(&rule.rule, &rule.attributes))
            .map(|rule| &rule.rule)
    } else {
        action.http.iter().find(|entry| {
            let covering = all_rules(connector).find(|rule| cover(rule.rule.as_ref(), entry.as_ref()));
            covering.is_some_and(|rule| needs_idempotency(entry, &rule.attributes))
        })
    };
    if let Some(rule) = lacking {
        let help = "add `idempotency = { header = \"Idempotency-Key\", window = \"24h\" }` to its `[[http]]` table, narrow the action's `http`, or write `delivery = \"at-most-once\"`";
        faults.with_help(
            &at("delivery"),
            format!("`at-least-once` needs `idempotency` on every unsafe rule, and `{rule}` has none"),
            Some(help.to_owned()),
        );
    }
}

/// Those that let pass by themselves, and those over URLs that answers name.
fn all_rules(connector: &Connector) -> impl Iterator<Item = &ManifestRule<RequestedRule>> {
    connector.rules.iter().chain(connector.from_response.iter().map(|from| &from.rule))
}

/// Whether a request under this rule could only be repeated with a key.
fn needs_idempotency(rule: &RequestedRule, attributes: &Attributes) -> bool {
    if attributes.safe || attributes.idempotency.is_some() {
        return false;
    }
    rule.methods().iter().any(|method| !method.is_idempotent())
}

fn check_stream(name: &str, stream: &Stream, connector: &Connector, faults: &mut Faults) {
    operation(&["streams", name], stream.summary.as_deref(), &stream.sensitive, faults);
    faults.schema(&["streams", name, "schema"], &stream.schema);
    narrowed(&["streams", name], &stream.http, connector, faults);
    let mut seen = BTreeSet::new();
    for property in &stream.primary_key {
        if !seen.insert(property) {
            faults.add(
                &["streams", name, "primary-key"],
                format!("`primary-key` has `{}` twice", shown(property)),
            );
        }
        has_property(&["streams", name, "primary-key"], &stream.schema, property, faults);
    }
    if let Some(property) = &stream.cursor_field {
        has_property(&["streams", name, "cursor-field"], &stream.schema, property, faults);
    }
}

/// Where the schema lists its properties plainly, a name that is not among them is a typing error.
fn has_property(path: &[&str], schema: &Value, property: &str, faults: &mut Faults) {
    let composed = ["$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "patternProperties"];
    if composed.iter().any(|key| schema.get(key).is_some()) {
        return;
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if !properties.contains_key(property) {
        let help = nearest(property, properties.keys().map(String::as_str)).map_or_else(
            || "name one of the schema's `properties`, or add it there".to_owned(),
            |near| format!("did you mean `{}`?", shown(near)),
        );
        faults.with_help(path, format!("the schema has no property `{}`", shown(property)), Some(help));
    }
}

/// Stands for the operations that an operator names in the config.
const ANY_NAME: &str = "*";

fn operation(path: &[&str; 2], summary: Option<&str>, sensitive: &[String], faults: &mut Faults) {
    if !is_name(path[1]) && path[1] != ANY_NAME {
        faults.add(
            path,
            format!(
                "name `{}`: expected letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX} long, or `*` for the names that the connection's config has",
                shown(path[1])
            ),
        );
    }
    if let Some(summary) = summary {
        people(&[path[0], path[1], "summary"], summary, faults);
    }
    if sensitive.iter().any(String::is_empty) {
        faults.add(&[path[0], path[1], "sensitive"], "`sensitive` has an empty name");
    }
}

fn narrowed(path: &[&str; 2], http: &[RequestedRule], connector: &Connector, faults: &mut Faults) {
    for (i, entry) in http.iter().enumerate() {
        if !all_rules(connector).any(|rule| cover(rule.rule.as_ref(), entry.as_ref())) {
            let help = Some(
                "add it to the `allow` of an `[[http]]` table, or narrow it to what one allows".to_owned(),
            );
            faults.with_help(
                &[path[0], path[1], "http", &i.to_string()],
                format!("no single `[[http]]` rule covers `{entry}`"),
                help,
            );
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
