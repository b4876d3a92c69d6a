//! What a connector gives, looked at by itself: the same thing twice, more than it may, another line than the one that is meant.
use super::{Came, Fault, Page, Stage, values};
use crate::{cassette::Called, command::test::mistakes};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

impl Stage<'_> {
    /// What no cassette makes right, since its host would drop it or do harm by it.
    pub(super) fn amiss(&self, came: &Came) -> Fault {
        match (came, &self.cassette.call) {
            (Came::Pages(pages), Called::Stream(name)) => self.twice(name, pages),
            (Came::Handled(events, _), _) => same_id(events),
            (Came::Removed(removed), Called::Complete { removed_max, .. }) => {
                too_many(*removed, *removed_max)
            }
            _ => None,
        }
    }

    /// The same record again in one read, more often than the vendor's answers have its key.
    fn twice(&self, stream: &str, pages: &[Page]) -> Fault {
        let key = &self.sandbox.component.manifest.streams.get(stream)?.primary_key;
        let records = values(pages);
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (at, record) in records.iter().enumerate() {
            let parts: Vec<&Value> = key.iter().filter_map(|property| record.get(property)).collect();
            if parts.is_empty() || parts.len() < key.len() {
                continue;
            }
            let again = seen.insert(record.to_string(), at);
            let given = || records.iter().filter(|other| *other == record).count();
            if let Some(first) = again
                && parts
                    .iter()
                    .filter_map(|part| self.answers_with(part))
                    .min()
                    .is_some_and(|there| given() > there)
            {
                return Some(format!(
                    "record {} is record {} again, and the vendor gave it once: {}",
                    at + 1,
                    first + 1,
                    mistakes::shortened(&record.to_string())
                ));
            }
        }
        None
    }

    /// How often the answers of the whole read have this value: as a value of their JSON, or anywhere in what is none. None where the
    /// connector writes it otherwise than its vendor.
    fn answers_with(&self, value: &Value) -> Option<usize> {
        let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let answers = self.cassette.exchanges.iter().filter(|exchange| !exchange.resumed);
        let count = answers.map(|exchange| match serde_json::from_slice::<Value>(&exchange.body) {
            Ok(body) => leaves_like(&body, &plain),
            Err(_) => String::from_utf8_lossy(&exchange.body).matches(&plain).count(),
        });
        Some(count.sum()).filter(|count| *count > 0)
    }

    /// A newly rejected line that is none of those in the request that was refused, where at least one is: from 1, with that one.
    pub(super) fn rejected_beside(&self, new: &[(u32, &str)]) -> Option<(u32, u32)> {
        let Called::Batch(batch) = &self.cassette.call else { return None };
        let asked = self.player.asked();
        let mut request = String::new();
        for asked in asked.iter().filter(|asked| asked.refused) {
            request.push_str(&format!("{} {} ", asked.url, String::from_utf8_lossy(&asked.body)));
        }
        let request = request.to_ascii_lowercase();
        let tokens: BTreeSet<&str> = request.split(|c: char| !is_of_a_key(c)).collect();
        let keys = line_keys(&batch.records, self.described(batch).stream.primary_key.first()?)?;
        let is_there = |line: u32| keys.get(&line).is_some_and(|key| tokens.contains(key.as_str()));
        let meant = keys.keys().copied().find(|line| is_there(*line))?;
        let beside = new.iter().map(|(line, _)| *line).find(|line| !is_there(*line))?;
        Some((beside, meant))
    }
}

/// The key of each line, where all can be told apart in a request: letters and digits, which no encoding changes.
fn line_keys(records: &[u8], property: &str) -> Option<BTreeMap<u32, String>> {
    let text = String::from_utf8_lossy(records);
    let lines = (1..).zip(text.lines().filter(|line| !line.trim().is_empty()));
    let key = |(number, line): (u32, &str)| {
        let record: Value = serde_json::from_str(line).ok()?;
        let key = match record.get(property)? {
            Value::String(text) => text.to_ascii_lowercase(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!key.is_empty() && key.chars().all(is_of_a_key)).then_some((number, key))
    };
    lines.map(key).collect()
}

fn is_of_a_key(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// Texts and numbers of a document that are written so.
fn leaves_like(value: &Value, text: &str) -> usize {
    match value {
        Value::String(found) => usize::from(found == text),
        Value::Number(found) => usize::from(found.to_string() == text),
        Value::Array(items) => items.iter().map(|item| leaves_like(item, text)).sum(),
        Value::Object(map) => map.values().map(|item| leaves_like(item, text)).sum(),
        Value::Null | Value::Bool(_) => 0,
    }
}

/// Two events of one delivery under one id: the host takes the second for the first again.
fn same_id(events: &[Value]) -> Fault {
    events.iter().enumerate().find_map(|(at, event)| {
        let id = event.get("id").filter(|id| !id.is_null())?;
        let first = events[..at].iter().position(|before| before.get("id") == Some(id))?;
        Some(format!(
            "event {} has the id of event {}, {}: one of the two would be dropped as the other once more; add to the id what tells them apart",
            at + 1,
            first + 1,
            mistakes::shortened(&id.to_string())
        ))
    })
}

/// Whoever set a bound wants an error, and everything left where it is.
fn too_many(removed: u64, max: Option<u64>) -> Fault {
    let max = max.filter(|max| removed > *max)?;
    Some(format!(
        "{removed} records were removed, and `removed-max` is {max}: count what would go first; where that is more, remove nothing and \
         return an error"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn two_events_have_two_ids() {
        let event = |id: Value| json!({ "name": "item.changed", "id": id, "payload": {} });
        assert_eq!(
            same_id(&[event(json!("a")), event(json!("b")), event(Value::Null), event(Value::Null)]),
            None
        );
        let fault = same_id(&[event(json!("a")), event(json!("b")), event(json!("a"))]).unwrap_or_default();
        assert!(fault.starts_with("event 3 has the id of event 1, \"a\""), "{fault}");
    }

    #[test]
    fn a_bound_on_what_is_removed_holds() {
        assert_eq!(too_many(2, Some(2)), None);
        assert_eq!(too_many(2, None), None);
        assert!(too_many(2, Some(1)).is_some());
    }
}
