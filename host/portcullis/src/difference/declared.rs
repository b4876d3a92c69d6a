//! What the lock does not pin and an approver still relied on: how fast the author means to ask, what each operation was
//! narrowed to and takes, which properties the exchange log masks, and how deliveries are verified.
use super::{Found, Kind};
use portcullis_grants::{RequestedRule, cover};
use portcullis_manifest::{Connector, Delivery, connector::Webhook};
use std::collections::{BTreeMap, BTreeSet};

/// Compares two manifests; one that is not there can't be shown to declare anything.
pub(super) fn compare(former: Option<&Connector>, now: Option<&Connector>, found: &mut Found) {
    let (Some(former), Some(now)) = (former, now) else {
        if former.is_some() || now.is_some() {
            let lost = || Some("the approved component".to_owned());
            let change = found.push(Kind::Changed, "operation", None, lost(), None);
            change.note = Some("it is not there any more, and what it declared can't be compared");
        }
        return;
    };
    rate(former.requests_per_second, now.requests_per_second, found);
    if former.config_schema != now.config_schema {
        let change = found.push(Kind::Interface, "config schema", None, None, None);
        change.note = Some("`config` may hold, or has to hold, other things");
    }
    signing(former, now, found);
    let (before, after) = (operations(former), operations(now));
    for (name, operation) in &after {
        match before.get(name) {
            Some(former) => operation.compare(former, name, found),
            None => {
                let change = found.push(Kind::Interface, "operation", Some(name), None, None);
                change.note = Some("it is new, and has the rules of this approval");
            }
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        let change = found.push(Kind::Interface, "operation", Some(name), None, None);
        change.note = Some("it is gone, and whoever calls it gets an error");
    }
    // The log masks whatever the case of ASCII letters.
    let masked = |connector: &Connector| -> BTreeSet<String> {
        let actions = connector.actions.values().flat_map(|action| &action.sensitive);
        let names = actions.chain(connector.streams.values().flat_map(|stream| &stream.sensitive));
        names.map(|name| name.to_ascii_lowercase()).collect()
    };
    let (before, after) = (masked(former), masked(now));
    for name in before.difference(&after) {
        let change = found.push(Kind::Changed, "masked property", Some(name), None, None);
        change.note = Some("the exchange log would keep what stands there");
    }
    for name in after.difference(&before) {
        let change = found.push(Kind::Narrowed, "masked property", Some(name), None, None);
        change.note = Some("the exchange log would mask it from now on");
    }
}

/// Of two schemes neither can be shown to let pass less than the other.
fn signing(former: &Connector, now: &Connector, found: &mut Found) {
    let (from, to) = (former.webhook.as_ref(), now.webhook.as_ref());
    let compared = |webhook: Option<&Webhook>| {
        webhook.map(|webhook| (webhook.signing.scheme().clone(), webhook.handshake))
    };
    if compared(from) == compared(to) {
        return;
    }
    let shown = |webhook: Option<&Webhook>| {
        let Some(Webhook { signing, handshake }) = webhook else { return "not said".to_owned() };
        match handshake {
            Some(handshake) => format!("{signing}, handshake of {}", handshake.as_str()),
            None => signing.to_string(),
        }
    };
    let (from, to) = (shown(from), shown(to));
    let note = match from == to {
        true => {
            "in how the secret, its key, several signatures or the time are written: other deliveries pass than before"
        }
        false => "other deliveries pass than before",
    };
    found.push(Kind::Changed, "webhook signing", None, Some(from), Some(to)).note = Some(note);
}

/// Of a credential that has no limit of its own.
fn rate(former: Option<f64>, now: Option<f64>, found: &mut Found) {
    let rank = |rate: Option<f64>| rate.unwrap_or(f64::INFINITY);
    let kind = match rank(now).partial_cmp(&rank(former)) {
        Some(std::cmp::Ordering::Equal) => return,
        Some(std::cmp::Ordering::Less) => Kind::Narrowed,
        _ => Kind::Widened,
    };
    let shown = |rate: Option<f64>| Some(rate.map_or("no limit".to_owned(), |rate| rate.to_string()));
    found.push(kind, "requests-per-second", None, shown(former), shown(now));
}

/// One action or stream.
struct Operation<'a> {
    http: &'a [RequestedRule],
    repeated: bool,
    /// `input`, `output`, `record`, and the primary key and the cursor of a stream.
    schemas: Vec<(&'static str, serde_json::Value)>,
}

fn operations(connector: &Connector) -> BTreeMap<String, Operation<'_>> {
    let actions = connector.actions.iter().map(|(name, action)| {
        let repeated = action.delivery == Delivery::AtLeastOnce;
        let schemas = vec![("input", action.input.clone()), ("output", action.output.clone())];
        (format!("action {name}"), Operation { http: &action.http, repeated, schemas })
    });
    let streams = connector.streams.iter().map(|(name, stream)| {
        let schemas = vec![
            ("record", stream.schema.clone()),
            ("primary key", stream.primary_key.clone().into()),
            ("cursor", stream.cursor_field.clone().into()),
        ];
        (format!("stream {name}"), Operation { http: &stream.http, repeated: false, schemas })
    });
    actions.chain(streams).collect()
}

impl Operation<'_> {
    fn compare(&self, former: &Self, name: &str, found: &mut Found) {
        for ((what, now), (_, before)) in self.schemas.iter().zip(&former.schemas) {
            if now != before {
                let change =
                    found.push(Kind::Interface, "schema", Some(&format!("{name} {what}")), None, None);
                change.note = Some("it is another one");
            }
        }
        if self.repeated && !former.repeated {
            let change = found.push(Kind::Widened, "operation", Some(name), None, None);
            change.note = Some("it is repeated after a crash (`at-least-once`), and was not");
        }
        let covered = |outer: &[RequestedRule], inner: &[RequestedRule]| {
            let by_one = |inner: &RequestedRule| {
                outer.iter().any(|outer| {
                    outer.origin() == inner.origin() && cover::cover(outer.as_ref(), inner.as_ref())
                })
            };
            // Without a list of its own an operation may use every rule of the connector.
            outer.is_empty() || (!inner.is_empty() && inner.iter().all(by_one))
        };
        let kind = match (covered(former.http, self.http), covered(self.http, former.http)) {
            (true, true) => return,
            (true, false) => Kind::Narrowed,
            (false, _) => Kind::Widened,
        };
        let shown = |rules: &[RequestedRule]| match rules {
            [] => "every rule of the connector".to_owned(),
            rules => rules.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        };
        found.push(kind, "operation", Some(name), Some(shown(former.http)), Some(shown(self.http)));
    }
}
