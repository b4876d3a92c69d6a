//! The part of a cassette that is about what a connector is handed: a delivery, a batch, the end of a complete read. With the
//! keys of `deliver` and `write`.
use super::{Called, Expected, bytes, json};
use crate::{batch::Records, delivery};
use portcullis_engine::{Batch, Delivery, Mode, StreamDescriptor};
use portcullis_manifest::diagnose::{Spanned, Table, shown};
use portcullis_runtime::Reply;
use serde_json::{Value, json as value};
use std::{collections::BTreeMap, path::Path};

/// Said once, whatever is wrong with the number of calls.
pub fn one_call(root: &Table<'_>) {
    let help = "add `action = \"NAME\"`, `stream = \"NAME\"`, `check = true`, `discover = true`, a table `[delivery]`, `write = \"STREAM\"` or \
                `complete = \"STREAM\"`";
    root.fault(0..0, "a cassette is of one call", Some(help.to_owned()));
}

/// One of the three, which is there.
pub fn called(root: &mut Table<'_>, file: &Path) -> Option<Called> {
    let delivery = root.table("delivery");
    let (write, complete) = (root.string("write"), root.string("complete"));
    match (delivery, write, complete) {
        (Some(delivery), None, None) => delivered(delivery, file).map(Called::Delivery),
        (None, Some(stream), None) => batch(root, stream.value, file).map(Called::Batch),
        (None, None, Some(stream)) => {
            let generation = generation(root);
            let removed_max = root.integer("removed-max", 0..=i64::MAX);
            let removed_max = removed_max.and_then(|max| u64::try_from(max.value).ok());
            Some(Called::Complete { stream: stream.value, generation, removed_max })
        }
        _ => {
            one_call(root);
            None
        }
    }
}

fn delivered(mut table: Table<'_>, file: &Path) -> Option<Delivery> {
    let (id, method, path) =
        (table.required_string("id"), table.required_string("method"), table.required_string("path"));
    let query = table.string("query").map(|query| query.value).unwrap_or_default();
    let headers = pairs(&mut table);
    let body = bytes(&mut table, "body", file).unwrap_or_default();
    let (id, method, path) = (id?.value, method?.value, path?.value);
    match delivery::checked(Delivery { id, method, path, query, headers, body }) {
        Ok(delivery) => Some(delivery),
        Err(error) => {
            let help = error.help().map(str::to_owned);
            table.fault(table.span(), error.to_string(), help);
            None
        }
    }
}

fn pairs(table: &mut Table<'_>) -> Vec<(String, Vec<u8>)> {
    let pairs = table.string_map("headers").into_iter();
    pairs.map(|(name, value)| (name.value, value.value.into_bytes())).collect()
}

fn generation(root: &mut Table<'_>) -> u64 {
    let generation = root.integer("generation", 0..=i64::MAX);
    generation.and_then(|generation| u64::try_from(generation.value).ok()).unwrap_or(1)
}

fn batch(root: &mut Table<'_>, stream: String, file: &Path) -> Option<Batch> {
    let modes = [Mode::Append, Mode::Upsert, Mode::Replace];
    let mode = match root.string("mode") {
        None => Mode::Append,
        Some(named) => match modes.into_iter().find(|mode| mode.as_str() == named.value) {
            Some(mode) => mode,
            None => {
                let message = format!("`mode` is `{}`", shown(&named.value));
                root.fault(named.span, message, Some("`append`, `upsert` or `replace`".to_owned()));
                return None;
            }
        },
    };
    let primary_key = root.strings("primary-key").unwrap_or_default();
    let generation = generation(root);
    let records = bytes(root, "batch", file);
    let place = if root.has("batch-file") { "batch-file" } else { "batch" };
    let records = match Records::parse(records.unwrap_or_default()) {
        Ok(records) => records.into_bytes(),
        Err(error) => {
            let help = Some("`batch = '''…'''`: one JSON object a line".to_owned());
            root.fault(root.key_span(place), error.to_string(), help);
            return None;
        }
    };
    let stream = StreamDescriptor {
        name: stream,
        schema: "{}".to_owned(),
        primary_key: primary_key.into_iter().map(|name| name.value).collect(),
        cursor_field: None,
        deleted_field: None,
        complete_reads: false,
    };
    Some(Batch { id: "batch_test".to_owned(), stream, mode, generation, records })
}

/// Once it is unclear what is called, none of these is a fault of its own.
pub fn ignore(root: &mut Table<'_>) {
    for key in ["delivery", "reply"] {
        if let Some(mut table) = root.table(key) {
            table.ignore_rest();
        }
    }
    for key in ["write", "complete", "mode", "batch", "batch-file", "events"] {
        drop(root.string(key));
    }
    for key in ["generation", "removed-max", "removed"] {
        let _ = root.integer(key, i64::MIN..=i64::MAX);
    }
    drop((root.strings("primary-key"), root.string_map("rejected")));
}

/// What has to come of it, where that is no error.
pub fn expected(root: &mut Table<'_>, call: &Called, file: &Path) -> Option<Expected> {
    match call {
        Called::Delivery(_) => {
            let (events, reply) = (root.string("events"), root.table("reply"));
            if events.is_none() && reply.is_none() {
                let help =
                    Some("`events = '''…'''`, a JSON object a line; none where it is empty".to_owned());
                root.fault(0..0, "a delivery has events, or a reply", help);
                return None;
            }
            let events = events.map_or(Some(Vec::new()), |events| events_of(root, &events))?;
            let reply = match reply {
                Some(table) => Some(reply_of(table, file)?),
                None => None,
            };
            Some(Expected::Handled { events, reply })
        }
        Called::Batch(_) => rejected(root).map(Expected::Rejected),
        _ => {
            let removed = root.required_integer("removed", 0..=i64::MAX)?;
            u64::try_from(removed.value).ok().map(Expected::Removed)
        }
    }
}

fn events_of(root: &Table<'_>, events: &Spanned<String>) -> Option<Vec<Value>> {
    let event = |line: &str| {
        let line = Spanned { value: line.to_owned(), span: events.span.clone() };
        let event = json(&line, root, "events")?;
        let known = |event: &Value| event.as_object()?.keys().all(|key| is_key(key)).then_some(());
        if known(&event).is_none() || !event["name"].is_string() || event.get("payload").is_none() {
            let help =
                Some("`{\"name\": \"…\", \"id\": \"…\", \"payload\": …}`; `id` may be left out".to_owned());
            root.fault(line.span, "a line of `events` is no event", help);
            return None;
        }
        Some(value!({ "name": event["name"], "id": event["id"], "payload": event["payload"] }))
    };
    let lines = events.value.lines().filter(|line| !line.trim().is_empty());
    lines.map(event).collect()
}

fn is_key(key: &str) -> bool {
    ["name", "id", "payload"].contains(&key)
}

fn reply_of(mut table: Table<'_>, file: &Path) -> Option<Reply> {
    let status = table.required_integer("status", 200..=599);
    let headers = pairs(&mut table);
    let body = bytes(&mut table, "body", file).unwrap_or_default();
    Some((u16::try_from(status?.value).ok()?, headers, body))
}

fn rejected(root: &mut Table<'_>) -> Option<BTreeMap<u32, String>> {
    let mut found = BTreeMap::new();
    for (line, kind) in root.string_map("rejected") {
        match line.value.parse::<u32>() {
            Ok(number) if number > 0 => drop(found.insert(number, kind.value)),
            _ => {
                let help =
                    Some("`rejected = { 2 = \"invalid-input\" }`: lines are counted from 1".to_owned());
                root.fault(line.span, format!("`{}` is no line", shown(&line.value)), help);
                return None;
            }
        }
    }
    Some(found)
}
