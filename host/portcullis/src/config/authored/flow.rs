//! The `[flows.NAME]` tables: what begins a flow's runs, and what each does. Which actions a connection has says its manifest, which
//! is not read here: the engine refuses one that is not there.
mod forms;
mod schedule;
mod sync;

use super::connection::is_name;
use crate::config::{Connection, Webhook};
use portcullis_engine::{
    AfterTrigger, Flow, FlowStep, Flows, Outcome, SyncStep, Triggers, WebhookTrigger, Work,
    limits::{FLOW_CONCURRENCY, FLOW_RUNS_AT_ONCE_MAX},
};
use portcullis_manifest::diagnose::{Spanned, Table, nearest, shown};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Of one flow.
const STEPS_MAX: usize = 100;
/// Of one jq program.
const PROGRAM_BYTES_MAX: usize = 64 * 1024;
/// How a run of a flow can end.
const OUTCOMES: [Outcome; 3] = [Outcome::Succeeded, Outcome::DeadLettered, Outcome::Unknown];

/// Reads every `[flows.NAME]`; faults are reported on their document.
pub fn read(
    root: &mut Table<'_>,
    connections: &BTreeMap<String, Connection>,
    webhooks: &BTreeMap<String, Webhook>,
) -> Flows {
    let tables = root.entries("flows");
    let names: BTreeSet<String> = tables.iter().map(|(name, _)| name.value.clone()).collect();
    let known = Known { connections, webhooks, names: &names };
    let (mut flows, mut follows) = (Flows::new(), BTreeMap::new());
    for (name, mut table) in tables {
        if !is_name(&name.value) {
            let message = format!("`{}` is not the name of a flow", shown(&name.value));
            let help = Some("lower-case letters, digits and `-`, at most 63".to_owned());
            table.fault(name.span.clone(), message, help);
        }
        let after = after(&mut table, &known);
        if let Some((after, span)) = &after {
            follows.insert(name.value.clone(), (after.flow.clone(), span.clone()));
        }
        let flow = flow(&name.value, &mut table, after.map(|(after, _)| after), &known);
        flows.insert(name.value, flow);
    }
    sync::refuse_shared(root, &flows);
    for (span, circle) in circles(&follows) {
        let help = Some("each would begin the next for ever: remove one `after`".to_owned());
        root.fault(span, format!("the flows follow each other in a circle: {circle}"), help);
    }
    flows
}

/// What a flow may name.
struct Known<'k> {
    connections: &'k BTreeMap<String, Connection>,
    webhooks: &'k BTreeMap<String, Webhook>,
    names: &'k BTreeSet<String>,
}

fn flow(name: &str, table: &mut Table<'_>, after: Option<AfterTrigger>, known: &Known<'_>) -> Flow {
    let triggers =
        Triggers { schedule: schedule::read(table), webhook: webhook(table, known.webhooks), after };
    let order_by = order_by(table);
    let most = i64::try_from(FLOW_RUNS_AT_ONCE_MAX).unwrap_or(i64::MAX);
    let concurrency = table.integer("concurrency", 1..=most);
    let keys = [order_by.is_some().then_some("order-by"), concurrency.is_some().then_some("concurrency")];
    let concurrency = concurrency.and_then(|count| u32::try_from(count.value).ok());
    let steps = steps(name, table, known.connections);
    let flow = Flow {
        name: name.to_owned(),
        triggers,
        order_by,
        concurrency: concurrency.unwrap_or(FLOW_CONCURRENCY),
        steps,
    };
    for key in keys.into_iter().flatten().filter(|_| flow.syncs()) {
        let help = Some("remove it: two runs would read the same streams".to_owned());
        let message =
            format!("`{key}` does not belong to a flow with a `source`: its runs go one behind the other");
        table.fault(table.key_span(key), message, help);
    }
    flow
}

fn webhook(table: &mut Table<'_>, webhooks: &BTreeMap<String, Webhook>) -> Option<WebhookTrigger> {
    let mut table = table.table("webhook")?;
    table.such_as(&[("events", "[\"invoice.paid\"]")]);
    let route = table.required_string("route");
    let events = table.strings("events").unwrap_or_default();
    let route = route?;
    refuse_unknown(&table, "route", &route, webhooks.keys());
    Some(WebhookTrigger { route: route.value, events: events.into_iter().map(|event| event.value).collect() })
}

/// With where the other flow is named.
fn after(table: &mut Table<'_>, known: &Known<'_>) -> Option<(AfterTrigger, Range<usize>)> {
    let mut table = table.table("after")?;
    table.such_as(&[("outcomes", "[\"succeeded\"]")]);
    let flow = table.required_string("flow");
    let words = || OUTCOMES.map(Outcome::as_str);
    let mut outcomes = Vec::new();
    let written = table.strings("outcomes");
    if table.lists_nothing("outcomes") {
        let help = Some("remove the key, or list outcomes".to_owned());
        table.fault(table.key_span("outcomes"), "`outcomes` lists nothing", help);
    }
    for word in written.iter().flatten() {
        match OUTCOMES.into_iter().find(|outcome| outcome.as_str() == word.value) {
            Some(outcome) => outcomes.push(outcome),
            None => {
                let near = nearest(&word.value, words());
                let help = near.map_or(format!("one of `{}`", words().join("`, `")), |near| {
                    format!("did you mean `{near}`?")
                });
                let message = format!("no run of a flow ends as `{}`", shown(&word.value));
                table.fault(word.span.clone(), message, Some(help));
            }
        }
    }
    if written.is_none() {
        outcomes.push(Outcome::Succeeded);
    }
    let flow = flow?;
    refuse_unknown(&table, "flow", &flow, known.names);
    Some((AfterTrigger { flow: flow.value, outcomes }, flow.span))
}

/// A pointer of RFC 6901.
fn order_by(table: &mut Table<'_>) -> Option<String> {
    let pointer = table.string("order-by")?;
    let escapes = pointer.value.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !pointer.value.starts_with('/') || !escapes {
        let help =
            Some("as in `/customer/id`: where in the input that stands which is kept in order".to_owned());
        let message = format!("`{}` is no pointer into the input", shown(&pointer.value));
        table.fault(pointer.span, message, help);
        return None;
    }
    Some(pointer.value)
}

fn steps(name: &str, table: &mut Table<'_>, connections: &BTreeMap<String, Connection>) -> Vec<FlowStep> {
    let tables = table.tables("steps");
    let (is_missing, is_empty) = (!table.has("steps"), table.lists_nothing("steps"));
    if is_missing || is_empty {
        let message = if is_missing { "`steps` is missing" } else { "`steps` lists nothing" };
        let example =
            format!("[[flows.{}.steps]]\naction = {{ connection = \"…\", name = \"…\" }}", shown(name));
        let span = if is_missing { table.span() } else { table.key_span("steps") };
        table.fault(span, message, Some(example));
    }
    if tables.len() > STEPS_MAX {
        let message = format!("{} steps, more than {STEPS_MAX}", tables.len());
        table.fault(table.key_span("steps"), message, None);
    }
    let mut read: Vec<FlowStep> = Vec::new();
    for (index, mut inner) in tables.into_iter().enumerate() {
        let written = inner.string("name");
        let span = written.as_ref().map_or_else(|| inner.span(), |name| name.span.clone());
        if let Some(name) = written.as_ref().filter(|name| !is_name(&name.value)) {
            let message = format!("`{}` is not the name of a step", shown(&name.value));
            let help = Some("lower-case letters, digits and `-`, at most 63".to_owned());
            inner.fault(name.span.clone(), message, help);
        }
        let name = written.map_or_else(|| format!("step-{}", index + 1), |name| name.value);
        if read.iter().any(|earlier| earlier.name == name) {
            let help = Some("`$steps` has each by its name".to_owned());
            inner.fault(span, format!("an earlier step is `{}` already", shown(&name)), help);
        }
        read.extend(step(name, inner, connections));
    }
    read
}

fn step(name: String, mut table: Table<'_>, connections: &BTreeMap<String, Connection>) -> Option<FlowStep> {
    table.reject_later("wait");
    table.such_as(&[("action", "{ connection = \"…\", name = \"…\" }"), ("map", "\".\"")]);
    let ends = sync::ends(&mut table, connections);
    let mut program = |key: &str| {
        let text = table.string(key)?;
        if text.value.trim().is_empty() || text.value.len() > PROGRAM_BYTES_MAX {
            let message = format!("`{key}` is a jq program of 1 to {PROGRAM_BYTES_MAX} bytes");
            table.fault(text.span, message, None);
            return None;
        }
        Some(text)
    };
    let (when, for_each, map, input) =
        (program("when"), program("for-each"), program("map"), program("input"));
    let called = table.table("action").and_then(|inner| action(inner, connections));
    let has_forms = forms::are_there(&table);
    let formed = forms::program(&mut table);
    let is_sync = table.has("source") || table.has("destination");
    let work = match (table.has("map"), table.has("action"), has_forms) {
        (_, false, false) if is_sync => {
            for (key, other) in [("for-each", &for_each), ("input", &input)] {
                if let Some(other) = other {
                    let help = Some("its records are what it begins with".to_owned());
                    let message = format!("`{key}` does not belong to a step with a `source`");
                    table.fault(other.span.clone(), message, help);
                }
            }
            ends.map(|ends| Work::Sync(SyncStep { map: map.map(|map| map.value), ..ends }))
        }
        (false, true, false) if !is_sync => called.map(|(connection, action)| Work::Action {
            connection,
            action,
            input: input.map(|input| input.value),
        }),
        (has_map @ true, false, false) | (has_map @ false, false, true) if !is_sync => {
            if let Some(input) = &input {
                let help =
                    Some("a program has what the step before left, and `$input` and `$steps`".to_owned());
                table.fault(input.span.clone(), "`input` belongs to an action", help);
            }
            if has_map { map.map(|map| map.value) } else { formed }.map(|program| Work::Map { program })
        }
        (false, false, false) => {
            let help = "`action = { connection = \"…\", name = \"…\" }`, `map = \".\"`, `source` and `destination`, or one of `";
            let help = format!("{help}{}`", forms::FORMS.join("`, `"));
            table.fault(table.span(), "the step does nothing", Some(help));
            None
        }
        _ => {
            let help = Some("make a step of its own of each".to_owned());
            table.fault(table.span(), "a step does one thing", help);
            None
        }
    };
    let (when, for_each) = (when.map(|when| when.value), for_each.map(|for_each| for_each.value));
    Some(FlowStep { name, when, for_each, work: work? })
}

/// Connection and name.
fn action(mut table: Table<'_>, connections: &BTreeMap<String, Connection>) -> Option<(String, String)> {
    let (connection, name) = (table.required_string("connection"), table.required_string("name"));
    if let Some(connection) = &connection {
        refuse_unknown(&table, "connection", connection, connections.keys());
    }
    Some((connection?.value, name?.value))
}

fn refuse_unknown<'n>(
    table: &Table<'_>,
    what: &str,
    named: &Spanned<String>,
    known: impl IntoIterator<Item = &'n String>,
) {
    let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
    if !known.contains(&named.value.as_str()) {
        let help = nearest(&named.value, known).map(|near| format!("did you mean `{near}`?"));
        table.fault(named.span.clone(), format!("no {what} `{}`", shown(&named.value)), help);
    }
}

/// Flows that begin each other: each circle once, by the first of its names, with the place to show.
fn circles(follows: &BTreeMap<String, (String, Range<usize>)>) -> Vec<(Range<usize>, String)> {
    let mut found = Vec::new();
    for (name, (_, span)) in follows {
        let mut way = vec![name.as_str()];
        let mut at = name;
        while let Some((before, _)) = follows.get(at) {
            if before == name {
                // Whoever comes later in it finds the same one.
                if way.iter().all(|other| *other >= name.as_str()) {
                    way.push(name);
                    way.reverse();
                    let circle = way.iter().map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>();
                    found.push((span.clone(), circle.join(" → ")));
                }
                break;
            }
            // It leads into a circle, and is no part of it.
            if way.contains(&before.as_str()) {
                break;
            }
            way.push(before);
            at = before;
        }
    }
    found
}

#[cfg(test)]
mod tests;
