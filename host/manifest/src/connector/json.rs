//! The embedded form: one canonical JSON document of the shape of `connector.toml`, schemas inlined, one entry an `allow`
//! line. Hostile until parsed.
use super::{Action, Connector, Delivery, RequestedFolder, Slot, Stream, check, from_response, webhook};
use crate::{
    EmbeddedError,
    diagnose::{parse_duration, print_duration},
    json::{Object, fault, parse, step},
    limits::MANIFEST_BYTES_MAX,
};
use portcullis_grants::{
    Attributes, FromResponse, Idempotency, ManifestRule, QueryRule, Redirect, RequestedRule, ValuePattern,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The number of this shape.
const FORMAT: u32 = 1;

pub(super) fn print(connector: &Connector) -> Value {
    let mut identity = json!({
        "name": connector.name.to_string(),
        "version": connector.version.to_string(),
        "position-version": connector.position_version,
        "config-version": connector.config_version,
        "roles": connector.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "capabilities": connector.capabilities,
        "summary": connector.summary,
    });
    if let Some(schema) = &connector.config_schema {
        identity["config-schema"] = schema.clone();
    }
    let mut document = json!({ "format": FORMAT, "connector": identity });
    document["credentials"] = named(&connector.slots, print_slot);
    document["http"] = connector.rules.iter().map(print_rule).collect();
    if !connector.from_response.is_empty() {
        let print = |from| from_response::print(from, print_rule(&from.rule));
        document["from-response"] = connector.from_response.iter().map(print).collect();
    }
    if !connector.folders.is_empty() {
        document["folders"] = named(&connector.folders, print_folder);
    }
    document["actions"] = named(&connector.actions, print_action);
    document["streams"] = named(&connector.streams, print_stream);
    if let Some(webhook) = &connector.webhook {
        document["webhook"] = webhook::print(webhook);
    }
    if let Some(rate) = connector.requests_per_second {
        document["limits"] = json!({ "requests-per-second": rate });
    }
    document
}

fn named<T>(map: &BTreeMap<String, T>, print: impl Fn(&T) -> Value) -> Value {
    Value::Object(map.iter().map(|(name, value)| (name.clone(), print(value))).collect::<Map<_, _>>())
}

/// The pairs whose value says something.
fn object<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    Value::Object(
        pairs
            .into_iter()
            .filter(|(_, value)| says(value))
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

fn texts(rules: &[RequestedRule]) -> Value {
    rules.iter().map(ToString::to_string).collect()
}

fn print_slot(slot: &Slot) -> Value {
    object([("schemes", json!(slot.schemes)), ("place", json!(slot.place)), ("why", json!(slot.why))])
}

fn print_folder(folder: &RequestedFolder) -> Value {
    json!({ "access": folder.access.as_str(), "why": folder.why })
}

fn print_query(query: &QueryRule) -> Value {
    query.pairs().map(|(name, value)| (name.to_owned(), json!(value.to_string()))).collect()
}

fn print_rule(rule: &ManifestRule<RequestedRule>) -> Value {
    let Attributes { credentials, idempotency, safe, redirect, guest_headers, query } = &rule.attributes;
    let idempotency =
        idempotency.as_ref().map(|i| json!({ "header": i.header, "window": print_duration(i.window) }));
    object([
        ("place", json!(rule.place)),
        ("allow", json!(rule.rule.to_string())),
        ("credential", json!(credentials)),
        ("idempotency", json!(idempotency)),
        ("safe", json!(safe)),
        ("redirect", json!((*redirect == Redirect::Follow).then_some("follow"))),
        ("guest-headers", json!(guest_headers)),
        ("query", json!(query.as_ref().map(print_query))),
        ("why", json!(rule.why)),
    ])
}

fn print_action(action: &Action) -> Value {
    let mut value = object([
        ("summary", json!(action.summary)),
        ("http", texts(&action.http)),
        ("delivery", json!(action.delivery.as_str())),
        ("sensitive", json!(action.sensitive)),
    ]);
    value["input"] = action.input.clone();
    value["output"] = action.output.clone();
    value
}

fn print_stream(stream: &Stream) -> Value {
    let mut value = object([
        ("summary", json!(stream.summary)),
        ("primary-key", json!(stream.primary_key)),
        ("cursor-field", json!(stream.cursor_field)),
        ("http", texts(&stream.http)),
        ("sensitive", json!(stream.sensitive)),
    ]);
    value["schema"] = stream.schema.clone();
    value
}

pub(super) fn read(json: &[u8]) -> Result<Connector, EmbeddedError> {
    let value = parse(json, MANIFEST_BYTES_MAX).map_err(|error| fault("", error.to_string()))?;
    let mut root = Object::new(String::new(), &value)?;
    let format = root.whole("format")?;
    if format != FORMAT {
        return Err(fault("/format", format!("format {format}: this portcullis reads {FORMAT}")));
    }
    let mut identity = root.object("connector")?.ok_or_else(|| fault("", "`connector` is missing"))?;
    let connector = Connector {
        name: identity.parsed("name")?,
        version: identity.parsed("version")?,
        position_version: identity.whole("position-version")?,
        config_version: identity.whole("config-version")?,
        roles: identity.parsed_all("roles")?.into_iter().collect(),
        capabilities: identity.strings("capabilities")?.into_iter().collect(),
        summary: identity.required_string("summary")?.to_owned(),
        config_schema: identity.value("config-schema").cloned(),
        slots: each(root.entries("credentials")?, slot)?,
        rules: root
            .items("http")?
            .into_iter()
            .map(|(at, value)| rule(Object::new(at, value)?))
            .collect::<Result<_, _>>()?,
        from_response: root
            .items("from-response")?
            .into_iter()
            .map(|(at, value)| from_response(Object::new(at, value)?))
            .collect::<Result<_, _>>()?,
        folders: each(root.entries("folders")?, folder)?,
        actions: each(root.entries("actions")?, action)?,
        streams: each(root.entries("streams")?, stream)?,
        webhook: root.object("webhook")?.map(webhook::embedded).transpose()?,
        requests_per_second: root.object("limits")?.map(limits).transpose()?.flatten(),
    };
    identity.finish()?;
    root.finish()?;
    match check::check(&connector).into_iter().next() {
        Some(first) => {
            Err(fault(&first.path.iter().fold(String::new(), |at, key| step(&at, key)), first.message))
        }
        None => Ok(connector),
    }
}

fn each<'a, T>(
    entries: Vec<(String, Object<'a>)>,
    read: impl Fn(&mut Object<'a>) -> Result<T, EmbeddedError>,
) -> Result<BTreeMap<String, T>, EmbeddedError> {
    let mut map = BTreeMap::new();
    for (name, mut object) in entries {
        map.insert(name, read(&mut object)?);
        object.finish()?;
    }
    Ok(map)
}

fn limits(mut object: Object<'_>) -> Result<Option<f64>, EmbeddedError> {
    let rate = object.number("requests-per-second")?;
    object.finish()?;
    Ok(rate)
}

fn slot(object: &mut Object<'_>) -> Result<Slot, EmbeddedError> {
    Ok(Slot {
        schemes: object.strings("schemes")?,
        place: object.string("place")?.map(str::to_owned),
        why: object.required_string("why")?.to_owned(),
    })
}

fn folder(object: &mut Object<'_>) -> Result<RequestedFolder, EmbeddedError> {
    let access = object.parsed("access")?;
    Ok(RequestedFolder { access, why: object.required_string("why")?.to_owned() })
}

fn rule(mut object: Object<'_>) -> Result<ManifestRule<RequestedRule>, EmbeddedError> {
    let rule = rule_of(&mut object)?;
    if !is_place(&rule.place) {
        return Err(fault(&object.at("place"), "expected a place such as `http[0].allow[1]`"));
    }
    object.finish()?;
    Ok(rule)
}

fn from_response(mut object: Object<'_>) -> Result<FromResponse<RequestedRule>, EmbeddedError> {
    let rule = rule_of(&mut object)?;
    from_response::check_place(&object, &rule.place)?;
    let (of, at) = from_response::parsed(&mut object)?;
    object.finish()?;
    Ok(FromResponse { rule, of, at })
}

fn rule_of(object: &mut Object<'_>) -> Result<ManifestRule<RequestedRule>, EmbeddedError> {
    let place = object.required_string("place")?.to_owned();
    let rule = object.parsed("allow")?;
    let idempotency = object.object("idempotency")?.map(idempotency).transpose()?;
    let guest_headers: BTreeSet<String> = object.strings("guest-headers")?.into_iter().collect();
    if guest_headers.iter().any(|name| name.bytes().any(|b| b.is_ascii_uppercase())) {
        return Err(fault(&object.at("guest-headers"), "expected lower case"));
    }
    let redirect = match object.string("redirect")? {
        None | Some("guest") => Redirect::Guest,
        Some("follow") => Redirect::Follow,
        Some(_) => return Err(fault(&object.at("redirect"), "expected `guest` or `follow`")),
    };
    let attributes = Attributes {
        credentials: object.strings("credential")?,
        idempotency,
        safe: object.boolean("safe")?,
        redirect,
        guest_headers: guest_headers.into_iter().collect(),
        query: object.object("query")?.map(query).transpose()?,
    };
    let why = object.required_string("why")?.to_owned();
    Ok(ManifestRule { place, rule, attributes, why })
}

/// `http[I].allow[J]`: it is shown to people and compared, so it can be nothing else.
fn is_place(text: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
    let parts = text
        .strip_prefix("http[")
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|rest| rest.split_once("].allow["));
    parts.is_some_and(|(table, line)| number(table) && number(line))
}

fn idempotency(mut object: Object<'_>) -> Result<Idempotency, EmbeddedError> {
    let header = object.required_string("header")?.to_owned();
    let window = object.required_string("window")?;
    let window = parse_duration(window).map_err(|error| fault(&object.at("window"), error.to_string()))?;
    object.finish()?;
    Ok(Idempotency { header, window })
}

fn query(object: Object<'_>) -> Result<QueryRule, EmbeddedError> {
    let mut pairs = Vec::new();
    for (name, value) in object.string_map()? {
        let value = value.parse::<ValuePattern>();
        pairs.push((name.to_owned(), value.map_err(|error| fault(&object.at(name), error.to_string()))?));
    }
    QueryRule::new(pairs).map_err(|error| fault(&object.pointer, error.to_string()))
}

fn action(object: &mut Object<'_>) -> Result<Action, EmbeddedError> {
    Ok(Action {
        summary: object.string("summary")?.map(str::to_owned),
        input: object.required("input")?.clone(),
        output: object.required("output")?.clone(),
        http: object.parsed_all("http")?,
        delivery: object.parsed::<Delivery>("delivery")?,
        sensitive: object.strings("sensitive")?,
    })
}

fn stream(object: &mut Object<'_>) -> Result<Stream, EmbeddedError> {
    Ok(Stream {
        summary: object.string("summary")?.map(str::to_owned),
        schema: object.required("schema")?.clone(),
        primary_key: object.strings("primary-key")?,
        cursor_field: object.string("cursor-field")?.map(str::to_owned),
        http: object.parsed_all("http")?,
        sensitive: object.strings("sensitive")?,
    })
}
