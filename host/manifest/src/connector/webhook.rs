//! `[webhook]`: how it is written in a manifest and its embedded form, and what must hold of it.
use super::{Connector, Role, check::Faults};
use crate::{
    EmbeddedError,
    diagnose::{Kind, Table, nearest, parse_duration, print_duration, shown},
    json::{Object, fault},
    signing::{
        Algorithm, Encoding, Handshake, Key, NAMES, Place, Proof, SECRET, Scheme, Signature, Signing,
        TOLERANCE_DEFAULT, Timestamp, Unit, WordError, separator,
    },
};
use serde_json::{Map, Value, json};

/// What the role `webhook` is declared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// How the vendor signs.
    pub signing: Signing,
    /// What it asks before it delivers.
    pub handshake: Option<Handshake>,
}

impl Webhook {
    /// `handshake` as written; else the one of the vendor by whose name it signs.
    fn new(signing: Signing, handshake: Option<Handshake>) -> Self {
        let handshake = handshake.or_else(|| signing.handshake());
        Self { signing, handshake }
    }
}

const JWT: &str = "jwt";

/// The table of `connector.toml`.
pub(super) fn authored(root: &mut Table<'_>) -> Option<Webhook> {
    let mut table = root.table("webhook")?;
    let handshake = table.parse::<Handshake>("handshake").map(|handshake| handshake.value);
    if table.kind("signing") == Some(Kind::Table) {
        return Some(Webhook::new(described(table.table("signing")?)?, handshake));
    }
    let written = table.required_string("signing")?;
    let signing = Signing::named(&written.value);
    if signing.is_none() {
        let (message, help) = unknown(&written.value);
        table.fault(written.span, message, Some(help));
    }
    Some(Webhook::new(signing?, handshake))
}

/// What is said of a name that is none.
fn unknown(name: &str) -> (String, String) {
    if name == JWT {
        return (format!("scheme `{JWT}` is not supported yet"), format!("these are: {}", NAMES.join(", ")));
    }
    let help = match nearest(name, NAMES) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("one of {}; or a table that describes another one", NAMES.join(", ")),
    };
    (format!("unknown scheme `{}`", shown(name)), help)
}

/// Keys that may stand beside `algorithm`.
const DESCRIBED: [&str; 7] = ["header", "prefix", "encoding", "separator", "signed", "timestamp", "key"];

fn described(mut table: Table<'_>) -> Option<Signing> {
    let algorithm = match table.required_string("algorithm") {
        Some(word) if word.value == SECRET => None,
        Some(word) if word.value != JWT => match table.parse::<Algorithm>("algorithm") {
            Some(algorithm) => Some(algorithm.value),
            None => {
                table.ignore(&DESCRIBED);
                return None;
            }
        },
        later => {
            if let Some(later) = later {
                let help = Some("remove it: what it asks for would not happen".to_owned());
                table.fault(later.span, format!("`{JWT}` is not supported yet"), help);
            }
            // Which keys belong there depends on it.
            table.ignore(&DESCRIBED);
            return None;
        }
    };
    let header = table.required_string("header").map(|header| header.value.to_ascii_lowercase());
    let prefix = text(&mut table, "prefix");
    let proof = match algorithm {
        Some(algorithm) => signature(&mut table, algorithm).map(Proof::Signature),
        None => {
            Some(Proof::Secret(table.parse("encoding").map_or(Encoding::Text, |encoding| encoding.value)))
        }
    };
    Some(Signing::described(Scheme { header: header?, prefix, proof: proof? }))
}

fn signature(table: &mut Table<'_>, algorithm: Algorithm) -> Option<Signature> {
    let (encoding, signed) = (table.required_parse("encoding"), table.required_parse("signed"));
    let timestamp = table.table("timestamp").map(|mut timestamp| time(&mut timestamp));
    let key = table.table("key").map(|mut key| key_form(&mut key));
    let between = match table.string("separator").map(|text| (separator(&text.value), text)) {
        Some((Err(error), text)) => {
            table.fault(text.span, format!("`separator` is `{}`: {error}", shown(&text.value)), None);
            return None;
        }
        Some((Ok(between), _)) => Some(between),
        None => None,
    };
    Some(Signature {
        algorithm,
        encoding: encoding?.value,
        separator: between,
        signed: signed?.value,
        timestamp: match timestamp {
            Some(timestamp) => Some(timestamp?),
            None => None,
        },
        key: key.unwrap_or(Key { encoding: Encoding::Text, prefix: String::new() }),
    })
}

fn text(table: &mut Table<'_>, key: &str) -> String {
    table.string(key).map(|text| text.value).unwrap_or_default()
}

fn key_form(table: &mut Table<'_>) -> Key {
    let encoding = table.parse("encoding").map_or(Encoding::Text, |encoding| encoding.value);
    Key { encoding, prefix: text(table, "prefix") }
}

fn time(table: &mut Table<'_>) -> Option<Timestamp> {
    let unit = table.parse("unit").map_or(Unit::Seconds, |unit| unit.value);
    let tolerance =
        table.duration("tolerance", TOLERANCE_DEFAULT).map_or(TOLERANCE_DEFAULT, |tolerance| tolerance.value);
    let place = match table.has("body") {
        true => Place::Body(table.string("body")?.value),
        false => {
            let (name, prefix) = (table.required_string("header"), text(table, "prefix"));
            Place::Header { name: name?.value.to_ascii_lowercase(), prefix }
        }
    };
    Some(Timestamp { place, unit, tolerance })
}

/// The embedded form: the name, or the description.
pub(super) fn print(webhook: &Webhook) -> Value {
    let signing = match webhook.signing.name() {
        Some(name) => json!(name),
        None => print_scheme(webhook.signing.scheme()),
    };
    match webhook.handshake {
        Some(handshake) => json!({ "signing": signing, "handshake": handshake.as_str() }),
        None => json!({ "signing": signing }),
    }
}

fn print_scheme(scheme: &Scheme) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));
    put("header", json!(scheme.header));
    if !scheme.prefix.is_empty() {
        put("prefix", json!(scheme.prefix));
    }
    match &scheme.proof {
        Proof::Secret(encoding) => {
            put("algorithm", json!(SECRET));
            put("encoding", json!(encoding.as_str()));
        }
        Proof::Signature(signature) => {
            let Signature { algorithm, encoding, separator, signed, timestamp, key } = signature;
            put("algorithm", json!(algorithm.as_str()));
            put("encoding", json!(encoding.as_str()));
            put("signed", json!(signed.to_string()));
            put("key", json!({ "encoding": key.encoding.as_str(), "prefix": key.prefix }));
            if let Some(separator) = separator {
                put("separator", json!(separator));
            }
            if let Some(Timestamp { place, unit, tolerance }) = timestamp {
                let mut value = json!({ "unit": unit.as_str(), "tolerance": print_duration(*tolerance) });
                match place {
                    Place::Header { name, prefix } => {
                        value["header"] = json!(name);
                        value["prefix"] = json!(prefix);
                    }
                    Place::Body(pointer) => value["body"] = json!(pointer),
                }
                put("timestamp", value);
            }
        }
    }
    Value::Object(map)
}

/// Reads the embedded form.
pub(super) fn embedded(mut object: Object<'_>) -> Result<Webhook, EmbeddedError> {
    let signing = match object.required("signing")? {
        Value::String(name) => {
            Signing::named(name).ok_or_else(|| fault(&object.at("signing"), unknown(name).0))?
        }
        described => Signing::described(scheme(Object::new(object.at("signing"), described)?)?),
    };
    let handshake = match object.string("handshake")? {
        Some(word) => {
            let parsed =
                word.parse().map_err(|error: WordError| fault(&object.at("handshake"), error.to_string()));
            Some(parsed?)
        }
        None => None,
    };
    object.finish()?;
    Ok(Webhook::new(signing, handshake))
}

fn scheme(mut object: Object<'_>) -> Result<Scheme, EmbeddedError> {
    let header = object.required_string("header")?.to_owned();
    let prefix = object.string("prefix")?.unwrap_or_default().to_owned();
    let proof = if object.required_string("algorithm")? == SECRET {
        Proof::Secret(object.parsed("encoding")?)
    } else {
        let key = object.object("key")?.ok_or_else(|| fault(&object.pointer, "`key` is missing"))?;
        let between = object.string("separator")?.map(separator).transpose();
        Proof::Signature(Signature {
            algorithm: object.parsed("algorithm")?,
            encoding: object.parsed("encoding")?,
            separator: between.map_err(|error| fault(&object.at("separator"), error.to_string()))?,
            signed: object.parsed("signed")?,
            timestamp: object.object("timestamp")?.map(embedded_time).transpose()?,
            key: embedded_key(key)?,
        })
    };
    object.finish()?;
    Ok(Scheme { header, prefix, proof })
}

fn embedded_key(mut object: Object<'_>) -> Result<Key, EmbeddedError> {
    let key = Key {
        encoding: object.parsed("encoding")?,
        prefix: object.string("prefix")?.unwrap_or_default().to_owned(),
    };
    object.finish()?;
    Ok(key)
}

fn embedded_time(mut object: Object<'_>) -> Result<Timestamp, EmbeddedError> {
    let unit = object.parsed("unit")?;
    let tolerance = parse_duration(object.required_string("tolerance")?)
        .map_err(|error| fault(&object.at("tolerance"), error.to_string()))?;
    let place = match object.string("body")? {
        Some(pointer) => Place::Body(pointer.to_owned()),
        None => Place::Header {
            name: object.required_string("header")?.to_owned(),
            prefix: object.string("prefix")?.unwrap_or_default().to_owned(),
        },
    };
    object.finish()?;
    Ok(Timestamp { place, unit, tolerance })
}

/// What must hold, wherever it was read from.
pub(super) fn check(connector: &Connector, faults: &mut Faults) {
    let Some(webhook) = &connector.webhook else { return };
    if !connector.roles.contains(&Role::Webhook) {
        let help = Some("add `webhook` to `roles`".to_owned());
        faults.with_help(&["webhook"], "`[webhook]` needs the role `webhook`", help);
    }
    let is_hmac = |signature: &Signature| signature.algorithm != Algorithm::Ed25519;
    let signs = matches!(&webhook.signing.scheme().proof, Proof::Signature(signature) if is_hmac(signature));
    if webhook.handshake == Some(Handshake::Zoom) && !signs {
        let help =
            Some("it is answered by the secret of an HMAC: another `signing`, or no `handshake`".to_owned());
        faults.with_help(&["webhook", "handshake"], "`zoom` needs a secret that signs", help);
    }
    // A name stands for what was checked when it was written down.
    if webhook.signing.name().is_some() {
        return;
    }
    for found in webhook.signing.scheme().faults() {
        let path: Vec<&str> = ["webhook", "signing"].into_iter().chain(found.path).collect();
        faults.with_help(&path, found.message, found.help);
    }
}

#[cfg(test)]
mod tests;
