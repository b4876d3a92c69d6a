//! The types of the `source` role: streams, positions, pages.

use crate::{Config, Result, json, json::Json};
use serde::Serialize;
use serde_json::value::RawValue;

/// Streams of records, read page by page. No instance lives between two pages: what a read has to remember goes into
/// `next`; see [`crate::paging`].
pub trait Source {
    /// The streams of this connection.
    fn discover(config: Config) -> Result<Vec<StreamDescriptor>>;

    /// The page at `request.position`.
    fn read(config: Config, request: ReadRequest) -> Result<Page>;
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescriptor {
    /// As in the manifest's `[streams.NAME]`.
    pub name: String,
    /// JSON Schema of one record.
    pub schema: String,
    /// Properties that identify a record; empty = none do.
    pub primary_key: Vec<String>,
    /// The property that grows with each change.
    pub cursor_field: Option<String>,
    /// A boolean property: true = this record was deleted.
    pub deleted_field: Option<String>,
    /// A read from the start yields every living record.
    pub complete_reads: bool,
}

impl StreamDescriptor {
    /// A stream without key, order or deletions.
    pub fn new(name: impl Into<String>, schema: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            schema: schema.into(),
            primary_key: Vec::new(),
            cursor_field: None,
            deleted_field: None,
            complete_reads: false,
        }
    }

    /// Properties that identify a record.
    #[must_use]
    pub fn primary_key<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.primary_key = names.into_iter().map(Into::into).collect();
        self
    }

    /// The property that grows with each change.
    #[must_use]
    pub fn cursor_field(mut self, name: impl Into<String>) -> Self {
        self.cursor_field = Some(name.into());
        self
    }

    /// A boolean property: true = this record was deleted.
    #[must_use]
    pub fn deleted_field(mut self, name: impl Into<String>) -> Self {
        self.deleted_field = Some(name.into());
        self
    }

    /// Whether a read from the start yields every living record, so that what is absent was deleted.
    #[must_use]
    pub fn complete_reads(mut self, complete: bool) -> Self {
        self.complete_reads = complete;
        self
    }
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// At the beginning of the stream.
    Start,
    /// A new read, from an earlier read's checkpoint.
    Checkpoint(Json),
    /// The same read, after its last page.
    Next(Json),
}

/// One page is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Of which stream.
    pub stream_name: String,
    /// From where.
    pub position: Position,
    /// A wish.
    pub max_records: Option<u32>,
}

/// One page of records, and where the read goes on. At most 8 MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub(crate) records: Vec<u8>,
    count: usize,
    pub(crate) next: Option<Json>,
    pub(crate) checkpoint: Option<Json>,
    pub(crate) again_after_ms: Option<u64>,
}

impl Page {
    /// A page without records, and the last of its read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record as the vendor wrote it: it is not parsed or printed again, and keeps every digit. Must be an object.
    pub fn push_raw(&mut self, record: &RawValue) {
        let text = record.get().as_bytes();
        if text.contains(&b'\n') || text.contains(&b'\r') {
            // Inside a JSON string a line break is always escaped, so each of these is white space.
            self.records.extend(text.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
        } else {
            self.records.extend_from_slice(text);
        }
        self.end_record();
    }

    /// Adds a record of the connector's own making.
    pub fn push(&mut self, record: &impl Serialize) -> Result<()> {
        let text = json::to_string(record)?;
        self.records.extend_from_slice(text.as_bytes());
        self.end_record();
        Ok(())
    }

    /// Adds a record as text; what is no JSON is `ContractDrift`.
    pub fn push_line(&mut self, record: &str) -> Result<()> {
        self.push_raw(json::parse(record)?);
        Ok(())
    }

    /// Adds every record of the array at a JSON pointer (RFC 6901) of a vendor's answer, as [`Self::push_raw`] does: from the
    /// answer's bytes to the page's, read once. How many there were; nothing there, no array, or a record that is no object is
    /// `ContractDrift`.
    pub fn push_records(&mut self, answer: &str, pointer: &str) -> Result<usize> {
        let before = self.count;
        json::raw::each(answer, pointer, |record| self.push_raw(record))?;
        Ok(self.count - before)
    }

    fn end_record(&mut self) {
        self.records.push(b'\n');
        self.count += 1;
    }

    /// Where this read goes on; never called = it is complete.
    pub fn next(&mut self, position: &impl Serialize) -> Result<&mut Self> {
        self.next = Some(Json::of(position)?);
        Ok(self)
    }

    /// Everything up to here may be resumed from this value by a later read.
    pub fn checkpoint(&mut self, position: &impl Serialize) -> Result<&mut Self> {
        self.checkpoint = Some(Json::of(position)?);
        Ok(self)
    }

    /// Ask for the next page only after this time.
    pub fn again_after_ms(&mut self, milliseconds: u64) -> &mut Self {
        self.again_after_ms = Some(milliseconds);
        self
    }

    /// Records on it.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Without records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its records, each without its line's end.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.records
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .filter_map(|line| str::from_utf8(line).ok())
    }

    /// The last of them.
    pub fn last_line(&self) -> Option<&str> {
        let records = self.records.strip_suffix(b"\n")?;
        let start = records.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        str::from_utf8(&records[start..]).ok()
    }

    /// What `next` set.
    pub fn next_position(&self) -> Option<&Json> {
        self.next.as_ref()
    }

    /// What `checkpoint` set.
    pub fn checkpoint_position(&self) -> Option<&Json> {
        self.checkpoint.as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_are_lines() {
        let list = "[{\"a\": \"x\\n\",\r\n  \"n\": 1.10}, {}]";
        let mut page = Page::new();
        for record in json::parse::<Vec<&RawValue>>(list).unwrap() {
            page.push_raw(record);
        }
        page.push(&serde_json::json!({ "b": 1 })).unwrap();
        page.push_line("{\"c\":\n2}").unwrap();
        assert!(page.push_line("{").is_err());
        assert_eq!(page.records, b"{\"a\": \"x\\n\",  \"n\": 1.10}\n{}\n{\"b\":1}\n{\"c\":2}\n");
        assert_eq!((page.len(), page.lines().count(), page.is_empty()), (4, 4, false));
    }
}
