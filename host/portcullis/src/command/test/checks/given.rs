//! What a connector gives, looked at by itself: the same thing twice, more than it may, another line than the one that is meant.
use super::{Came, Fault, Page, Stage, values};
use crate::{cassette::Called, command::test::mistakes};
use serde_json::Value;
use std::collections::BTreeMap;

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
                && given() > parts.iter().map(|part| self.answers_with(part)).min().unwrap_or_default()
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

    /// How often the answers of the whole read have this value: as JSON has it, or in any other way.
    fn answers_with(&self, value: &Value) -> usize {
        let answers = || self.cassette.exchanges.iter().filter(|exchange| !exchange.resumed);
        let count = |text: &str| -> usize {
            answers().map(|exchange| String::from_utf8_lossy(&exchange.body).matches(text).count()).sum()
        };
        match count(&value.to_string()) {
            0 => value.as_str().map_or(0, count),
            found => found,
        }
    }

    /// The line whose values alone are all in the request that was refused, where there is one such line; from 1.
    pub(super) fn line_asked_for(&self, at: usize) -> Option<u32> {
        let (Called::Batch(batch), Some(exchange)) = (&self.cassette.call, self.cassette.exchanges.get(at))
        else {
            return None;
        };
        let asked = self.player.asked();
        let bodies = asked.iter().filter(|asked| asked.refused).map(|asked| &asked.body);
        let mut request = exchange.url.clone();
        bodies.for_each(|body| request.push_str(&String::from_utf8_lossy(body)));
        let lines = String::from_utf8_lossy(&batch.records).into_owned();
        let all_there = |line: &&str| {
            let record: Value = serde_json::from_str(line).unwrap_or(Value::Null);
            let values: Vec<_> = record.as_object().into_iter().flat_map(|record| record.values()).collect();
            let texts = values.iter().filter_map(|value| match value {
                Value::String(text) if !text.is_empty() => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            });
            let texts: Vec<_> = texts.collect();
            !texts.is_empty() && texts.iter().all(|text| request.contains(text.as_str()))
        };
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        let mut there = (1..).zip(lines).filter(|(_, line)| all_there(line)).map(|(number, _)| number);
        there.next().filter(|_| there.next().is_none())
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
