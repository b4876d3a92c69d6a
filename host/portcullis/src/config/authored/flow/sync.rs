//! `source` and `destination` of a step: which streams go where. Two steps may not move one position, nor remove each other's records.

use super::refuse_unknown;
use crate::config::Connection;
use portcullis_engine::{Flows, Mode, SyncStep, Work, is_operation};
use portcullis_manifest::diagnose::{Spanned, Table, nearest, shown};
use std::collections::{BTreeMap, BTreeSet};

/// Of one step.
const STREAMS_MAX: usize = 100;
const MODES: [Mode; 3] = [Mode::Append, Mode::Upsert, Mode::Replace];

/// Both ends, without a `map`; none where one of them is absent or wrong, which is told.
pub(super) fn ends(table: &mut Table<'_>, connections: &BTreeMap<String, Connection>) -> Option<SyncStep> {
    let (has_source, has_destination) = (table.has("source"), table.has("destination"));
    let from = table.table("source").map(|inner| source(inner, connections));
    let to = table.table("destination").map(|inner| destination(inner, connections));
    if has_source != has_destination {
        let (there, absent) = if has_source {
            ("source", "destination = { connection = \"…\" }")
        } else {
            ("destination", "source = { connection = \"…\", streams = [\"…\"] }")
        };
        let message = "`source` and `destination` belong together";
        table.fault(table.key_span(there), message, Some(format!("add `{absent}`")));
    }
    let ((source, streams), (destination, mode, stream_prefix)) = (from??, to??);
    for stream in &streams {
        let target = format!("{stream_prefix}{stream}");
        if !is_operation(&target) {
            let help =
                Some("letters, digits, `-`, `_` and `.`, a letter or digit first, at most 128".to_owned());
            let message = format!("`{}` is no name of a stream", shown(&target));
            table.fault(table.key_span("destination"), message, help);
        }
    }
    Some(SyncStep { source, streams, destination, mode, stream_prefix, map: None })
}

fn source(mut table: Table<'_>, connections: &BTreeMap<String, Connection>) -> Option<(String, Vec<String>)> {
    table.such_as(&[("streams", "[\"…\"]")]);
    let connection = table.required_string("connection");
    let streams = table.required_strings("streams");
    if let Some(connection) = &connection {
        refuse_unknown(&table, "connection", connection, connections.keys());
    }
    if table.lists_nothing("streams") {
        let help = Some("`portcullis discover CONNECTION` lists those that there are".to_owned());
        table.fault(table.key_span("streams"), "`streams` lists nothing", help);
    }
    let streams = streams?;
    if streams.len() > STREAMS_MAX {
        let message = format!("{} streams, more than {STREAMS_MAX}", streams.len());
        table.fault(table.key_span("streams"), message, None);
    }
    let mut seen = BTreeSet::new();
    for stream in &streams {
        if !is_operation(&stream.value) {
            let help =
                Some("letters, digits, `-`, `_` and `.`, a letter or digit first, at most 128".to_owned());
            table.fault(
                stream.span.clone(),
                format!("`{}` is no name of a stream", shown(&stream.value)),
                help,
            );
        }
        if !seen.insert(&stream.value) {
            table.fault(stream.span.clone(), format!("`{}` is listed twice", shown(&stream.value)), None);
        }
    }
    Some((connection?.value, streams.into_iter().map(|stream| stream.value).collect()))
}

fn destination(
    mut table: Table<'_>,
    connections: &BTreeMap<String, Connection>,
) -> Option<(String, Mode, String)> {
    let (connection, mode) = (table.required_string("connection"), table.string("mode"));
    let prefix = table.string("stream-prefix").map(|prefix| prefix.value).unwrap_or_default();
    if let Some(connection) = &connection {
        refuse_unknown(&table, "connection", connection, connections.keys());
    }
    let mode = match mode {
        None => Mode::default(),
        Some(word) => mode_of(&table, &word),
    };
    Some((connection?.value, mode, prefix))
}

fn mode_of(table: &Table<'_>, word: &Spanned<String>) -> Mode {
    let found = MODES.into_iter().find(|mode| mode.as_str() == word.value);
    found.unwrap_or_else(|| {
        let words = MODES.map(Mode::as_str);
        let help = nearest(&word.value, words)
            .map_or(format!("one of `{}`", words.join("`, `")), |near| format!("did you mean `{near}`?"));
        table.fault(word.span.clone(), format!("`mode` is `{}`", shown(&word.value)), Some(help));
        Mode::default()
    })
}

/// A flow reads a stream once, since it has one position in it; and what a read removes must not be what another step wrote.
pub(super) fn refuse_shared(root: &Table<'_>, flows: &Flows) {
    let mut written = BTreeMap::new();
    for (name, flow) in flows {
        let mut read = BTreeSet::new();
        for step in &flow.steps {
            let Work::Sync(sync) = &step.work else { continue };
            let streams: BTreeSet<&String> = sync.streams.iter().collect();
            for stream in streams {
                if !read.insert((&sync.source, stream)) {
                    let message = format!(
                        "the flow `{}` reads `{}` of `{}` twice",
                        shown(name),
                        shown(stream),
                        shown(&sync.source)
                    );
                    let help = Some(
                        "a flow has one position in a stream: the other step goes into a flow of its own"
                            .to_owned(),
                    );
                    root.fault(root.key_span("flows"), message, help);
                }
                let place = (&sync.destination, sync.target(stream));
                let is_replaced = sync.mode == Mode::Replace;
                let Some((other, was_replaced)) = written.insert(place, (name, is_replaced)) else {
                    continue;
                };
                if is_replaced || was_replaced {
                    let message = format!(
                        "the flows `{}` and `{}` both write `{}` of `{}`, and one of them replaces it",
                        shown(other),
                        shown(name),
                        shown(&sync.target(stream)),
                        shown(&sync.destination)
                    );
                    let help = Some(
                        "it would remove what the other one writes: give one of them a `stream-prefix`"
                            .to_owned(),
                    );
                    root.fault(root.key_span("flows"), message, help);
                }
            }
        }
    }
}
