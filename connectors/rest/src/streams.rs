//! The streams of a config: a list of the API's, page by page.
//!
//! An incremental read asks for what is at or after the greatest value of the cursor field that a read really saw, that value
//! included. So a record that shares it and came a moment later is not lost; those that were read come again, under the same
//! key. Where a list comes in any order, only the last page carries that checkpoint: below the greatest value there may be
//! records that no page had yet.
use crate::config::{Settings, fault, written};
use portcullis_sdk::{
    Error, ErrorKind, Page, ReadRequest, Result, StreamDescriptor,
    http::RequestBuilder,
    json,
    paging::{Paging, Read},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{cmp::Ordering, collections::BTreeMap};

/// Of a record where the config has none.
const SCHEMA_ANY: &str = r#"{"type":"object"}"#;

/// One stream.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Stream {
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    #[serde(default)]
    records: String,
    #[serde(default = "no_paging")]
    paging: Paging,
    page_size: Option<PageSize>,
    #[serde(default)]
    primary_key: Vec<String>,
    cursor: Option<Cursor>,
    deleted_field: Option<String>,
    #[serde(default)]
    complete_reads: bool,
    schema: Option<Value>,
}

fn no_paging() -> Paging {
    Paging::None
}

/// How many records a request asks for.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PageSize {
    parameter: String,
    records: u32,
}

/// What the stream is ordered by, and how it is asked for.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Cursor {
    field: String,
    parameter: Option<String>,
    #[serde(default = "since_itself")]
    value: String,
    #[serde(default)]
    order: Order,
    #[serde(default)]
    exclusive: bool,
}

const SINCE: &str = "{since}";

fn since_itself() -> String {
    SINCE.to_owned()
}

#[derive(Deserialize, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Order {
    Ascending,
    #[default]
    Any,
}

/// A value of the cursor field: whole numbers by size, texts by their bytes.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
enum Mark {
    Number(i64),
    Text(String),
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: serde::Deserializer<'de>>(value: D) -> std::result::Result<Self, D::Error> {
        match Value::deserialize(value)? {
            Value::String(text) => Some(Self::Text(text)),
            Value::Number(number) => number.as_i64().map(Self::Number),
            _ => None,
        }
        .ok_or_else(|| serde::de::Error::custom("expected a whole number or a text"))
    }
}

impl PartialOrd for Mark {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            _ => None,
        }
    }
}

impl Stream {
    /// What no schema of the config can say.
    pub(crate) fn verify(&self, name: &str) -> Result<()> {
        let Some(cursor) = &self.cursor else { return Ok(()) };
        let at = |key: &str| format!("streams.{name}.cursor.{key}");
        if !cursor.value.contains(SINCE) {
            return Err(fault(&at("value"), "`{since}` is missing: where a read begins would not be asked"));
        }
        if cursor.parameter.is_none() && (cursor.exclusive || cursor.value != SINCE) {
            return Err(fault(&at("parameter"), "is missing: nothing would be asked"));
        }
        Ok(())
    }

    pub(crate) fn descriptor(&self, name: &str) -> Result<StreamDescriptor> {
        let schema = match &self.schema {
            Some(schema) => json::to_string(schema)?,
            None => SCHEMA_ANY.to_owned(),
        };
        let mut stream = StreamDescriptor::new(name, schema)
            .primary_key(&self.primary_key)
            .complete_reads(self.complete_reads);
        if let Some(cursor) = &self.cursor {
            stream = stream.cursor_field(&cursor.field);
        }
        if let Some(field) = &self.deleted_field {
            stream = stream.deleted_field(field);
        }
        Ok(stream)
    }

    /// Its list from the beginning.
    pub(crate) fn first(&self, settings: &Settings) -> RequestBuilder {
        self.paging.ask(self.list(settings, None), None)
    }

    fn list(&self, settings: &Settings, records_max: Option<u32>) -> RequestBuilder {
        let request = settings.request("GET", &self.path, &self.headers);
        let request = request.query_pairs(self.query.iter().map(|(name, value)| (name, written(value))));
        let Some(size) = &self.page_size else { return request };
        let wanted = match self.paging {
            // A number counts pages of one size; another size would leave records out.
            Paging::Page { .. } => size.records,
            _ => size.records.min(records_max.unwrap_or(size.records)).max(1),
        };
        request.query(&size.parameter, wanted)
    }

    /// Reads the page at the request's position.
    pub(crate) fn read(&self, settings: &Settings, request: &ReadRequest) -> Result<Page> {
        let mut read = Read::<Mark>::of(request)?;
        let mut first = self.list(settings, request.max_records);
        if let (Some(cursor), Some(since)) = (&self.cursor, read.since())
            && let Some(parameter) = &cursor.parameter
        {
            first = first.query(parameter, cursor.asked(since)?);
        }
        let asked = self.paging.ask(first, read.token());
        let url = asked.url();
        let answer = asked.send()?.error_for_status()?;
        let mut page = Page::new();
        page.push_records(answer.text()?, &self.records)?;
        if let Some(cursor) = &self.cursor {
            for record in page.lines() {
                if let Some(mark) = cursor.mark(record)? {
                    see(&mut read, mark)?;
                }
            }
        }
        let token = self.paging.next(&url, read.token(), &answer, &page)?;
        match &self.cursor {
            Some(Cursor { order: Order::Ascending, .. }) => read.finish_ascending(page, token),
            _ => read.finish(page, token),
        }
    }
}

impl Cursor {
    /// What the vendor is asked: everything at or after `since`.
    fn asked(&self, since: &Mark) -> Result<String> {
        let since = match since {
            Mark::Number(number) if self.exclusive => number.saturating_sub(1).to_string(),
            Mark::Number(number) => number.to_string(),
            Mark::Text(_) if self.exclusive => {
                return Err(Error::invalid_config(
                    "`exclusive` needs a cursor field of whole numbers: a text has no one before it",
                ));
            }
            Mark::Text(text) => text.clone(),
        };
        Ok(self.value.replace(SINCE, &since))
    }

    /// The value of a record; none = it is null there.
    fn mark(&self, record: &str) -> Result<Option<Mark>> {
        let drift = |why: &str| {
            Error::new(ErrorKind::ContractDrift, format!("a record's cursor field `{}` {why}", self.field))
        };
        let pointer = format!("/{}", self.field.replace('~', "~0").replace('/', "~1"));
        let raw = json::at(record, &pointer)?.ok_or_else(|| drift("is missing"))?;
        json::parse::<Option<Mark>>(raw.get()).map_err(|_| drift("is neither a whole number nor a text"))
    }
}

/// Two values of different types have no order, and the greater one would be whichever came first.
fn see(read: &mut Read<Mark>, mark: Mark) -> Result<()> {
    let known = read.high().or(read.since());
    if known.is_some_and(|known| known.partial_cmp(&mark).is_none()) {
        let why = "the cursor field is a number in one record and a text in another";
        return Err(Error::new(ErrorKind::ContractDrift, why));
    }
    read.see(mark);
    Ok(())
}

#[cfg(test)]
mod tests;
