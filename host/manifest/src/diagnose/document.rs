//! One parsed TOML text with the faults found in it. They are collected; a value is handed out only when there are none.
//! Bounded in size and depth before anything recursive sees the text.
use super::{Diagnostic, Location, depth, parts, private, shown, table::Table};
use crate::limits::{FAULTS_MAX, TOML_BYTES_MAX, TOML_DEPTH_MAX};
use std::{
    cell::RefCell,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use toml::de::{DeTable, DeValue};

/// A value and where it stands, for checks that come later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Byte range in the text.
    pub span: Range<usize>,
}

/// The type of a value, for keys that may hold one of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `"…"`
    String,
    /// `1`
    Integer,
    /// `1.5`
    Float,
    /// `true`
    Boolean,
    /// `1979-05-27`
    Datetime,
    /// `[…]`
    Array,
    /// `{…}` or `[name]`
    Table,
}

impl Kind {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Integer => "an integer",
            Self::Float => "a float",
            Self::Boolean => "a boolean",
            Self::Datetime => "a date",
            Self::Array => "an array",
            Self::Table => "a table",
        }
    }
}

/// One parsed text with the faults found so far.
#[derive(Debug)]
pub struct Document {
    file: PathBuf,
    pub(super) text: Arc<str>,
    root: Node,
    faults: RefCell<Vec<Fault>>,
    masked: RefCell<Vec<Range<usize>>>,
}

#[derive(Debug, PartialEq)]
struct Fault {
    span: Range<usize>,
    message: String,
    help: Option<String>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Value {
    String(String),
    Integer(Option<i64>),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Spanned<String>,
    pub(super) node: Node,
}

/// What to do about a name that is there already. A list's tables have two brackets, each of them.
fn twice(text: &str, span: &Range<usize>) -> String {
    let name = text.get(span.clone()).unwrap_or_default();
    let headers = [format!("[{name}]"), format!("[[{name}]]")];
    let stands = |header: &String| text.lines().any(|line| line.trim() == header.as_str());
    if headers.iter().all(stands) {
        return format!("write `[[{}]]` each time: a list has two brackets", shown(name));
    }
    "one of the two has to go: rename it, or put what both say into one".to_owned()
}

impl Document {
    /// Parses a text; every syntax error and duplicate key is a fault with its place.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let text: Arc<str> = Arc::from(text);
        let at = |span: Range<usize>, message: String| Diagnostic {
            file: file.to_owned(),
            location: Some(located(&text, &beside(&text, &span), span)),
            message,
            help: None,
        };
        if text.len() > TOML_BYTES_MAX {
            return Err(vec![Diagnostic::of_file(file, format!("larger than {TOML_BYTES_MAX} bytes"))]);
        }
        let deep = |span| vec![at(span, format!("nested deeper than {TOML_DEPTH_MAX} levels"))];
        if let Some(span) = depth::too_deep(&text) {
            return Err(deep(span));
        }
        let (table, errors) = DeTable::parse_recoverable(&text);
        if !errors.is_empty() {
            let is_twice = |error: &&toml::de::Error| error.message().starts_with("duplicate key");
            let fault = |error: &toml::de::Error| {
                let span = error.span().unwrap_or(0..0);
                let help = is_twice(&error).then(|| twice(&text, &span));
                Diagnostic { help, ..at(span, shown(error.message())) }
            };
            // What a reader that lost its place says next is about its guesses.
            return Err(match errors.iter().find(|error| !is_twice(error)) {
                Some(first) => vec![fault(first)],
                None => errors.iter().take(FAULTS_MAX).map(fault).collect(),
            });
        }
        let root = table_node(table.get_ref(), 0..0, 0).map_err(deep)?;
        Ok(Self {
            file: file.to_owned(),
            text: text.clone(),
            root,
            faults: RefCell::default(),
            masked: RefCell::default(),
        })
    }

    /// The table of the whole document.
    pub fn root(&self) -> Table<'_> {
        Table::new(self, String::new(), &self.root, 0..0)
    }

    /// Reports a fault that a later check found.
    pub fn fault(&self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < FAULTS_MAX {
            faults.push(Fault { span, message: message.into(), help });
        }
    }

    /// Hides a place in excerpts.
    pub(super) fn mask_span(&self, span: Range<usize>) {
        self.masked.borrow_mut().push(span);
    }

    /// Hides every string below `node` in excerpts.
    pub(super) fn mask(&self, node: &Node) {
        node.strings(&mut self.masked.borrow_mut());
    }

    /// Whether a fault was reported yet.
    pub fn has_faults(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    /// The file it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Where the value at this path stands; numbers are indices of arrays. The longest part of the path that exists.
    pub fn span_of(&self, path: &[&str]) -> Range<usize> {
        let (node, key) = self.at(path);
        if matches!(node.value, Value::Table(_)) { key } else { node.span.clone() }
    }

    /// Whether there is something at this path.
    pub fn has(&self, path: &[&str]) -> bool {
        self.walk(path).2 == path.len()
    }

    /// The string at this path.
    pub fn string_at(&self, path: &[&str]) -> Option<&str> {
        let (node, _, steps) = self.walk(path);
        match &node.value {
            Value::String(text) if steps == path.len() => Some(text),
            _ => None,
        }
    }

    /// Where the key at this path stands; an item of an array has none but itself. The longest part of the path that exists.
    pub fn key_span_of(&self, path: &[&str]) -> Range<usize> {
        self.at(path).1
    }

    /// Hides what stands at this path in excerpts, and every string below it. Of what is not there, nothing.
    pub fn mask_at(&self, path: &[&str]) {
        let (node, _, steps) = self.walk(path);
        match &node.value {
            _ if steps < path.len() => {}
            Value::Table(_) | Value::Array(_) => self.mask(node),
            _ => self.mask_span(node.span.clone()),
        }
    }

    /// A fault with its excerpt, outside those that `finish` collects.
    pub fn diagnostic(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        let location = Some(self.location(span));
        Diagnostic { file: self.file.clone(), location, message: message.into(), help }
    }

    /// A place, with the text in which of all values that one alone is shown: what stands beside it may be anything.
    fn location(&self, span: Range<usize>) -> Location {
        let mut hidden = self.masked.borrow().clone();
        hidden.extend(parts::of(&self.text).comments);
        // Of a list at that place, its items are.
        let is_list = self.text.get(span.clone()).is_some_and(|text| text.starts_with('['));
        self.root.leaves(&mut |leaf| {
            let is_there = leaf.start <= span.start && span.end <= leaf.end;
            let is_item = is_list && span.start < leaf.start && leaf.end < span.end;
            if !(is_there || is_item) {
                hidden.push(leaf.clone());
            }
        });
        located(&self.text, &hidden, span)
    }

    fn at(&self, path: &[&str]) -> (&Node, Range<usize>) {
        let (node, span, _) = self.walk(path);
        (node, span)
    }

    /// The deepest node on the path, its key, and how many steps led there.
    fn walk(&self, path: &[&str]) -> (&Node, Range<usize>, usize) {
        let mut node = &self.root;
        let mut span = 0..0;
        let mut steps = 0;
        for step in path {
            let next = match &node.value {
                Value::Table(entries) => {
                    entries.iter().find(|e| e.key.value == *step).map(|e| (&e.node, e.key.span.clone()))
                }
                Value::Array(items) => {
                    step.parse().ok().and_then(|i: usize| items.get(i)).map(|n| (n, n.span.clone()))
                }
                _ => None,
            };
            let Some((next, key_span)) = next else { break };
            (node, span, steps) = (next, key_span, steps + 1);
        }
        (node, span, steps)
    }

    /// The value, where no fault was found; else all faults, in the order of the text.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Diagnostic>> {
        let mut faults = self.faults.take();
        faults.sort_by_key(|fault| fault.span.start);
        // One table of several lines is checked line by line.
        faults.dedup();
        match value {
            Some(value) if faults.is_empty() => return Ok(value),
            None if faults.is_empty() => {
                faults.push(Fault { span: 0..0, message: "incomplete document".to_owned(), help: None })
            }
            _ => {}
        }
        let diagnostic = |Fault { span, message, help }: Fault| self.diagnostic(span, message, help);
        Err(faults.into_iter().map(diagnostic).collect())
    }
}

/// A place in a text of which these ranges are hidden.
fn located(text: &Arc<str>, hidden: &[Range<usize>], span: Range<usize>) -> Location {
    // Its column is that of the text as it was: what is hidden has a `*` for each byte.
    Location { text: mask(text, hidden), ..Location::new(text.clone(), span) }
}

/// Strings and comments of a text that does not parse, but for what of them stands at a place.
fn beside(text: &str, place: &Range<usize>) -> Vec<Range<usize>> {
    let parts::Parts { strings, comments } = parts::of(text);
    let around = |part: Range<usize>| {
        let before = part.start..part.end.min(place.start);
        let after = part.start.max(place.end)..part.end;
        [before, after].into_iter().filter(|range| range.start < range.end)
    };
    strings.into_iter().chain(comments).flat_map(around).collect()
}

/// The same text with `*` in the ranges: excerpts never show what may be a pasted secret, neither there nor beside it.
fn mask(text: &Arc<str>, ranges: &[Range<usize>]) -> Arc<str> {
    let mut bytes = text.as_bytes().to_vec();
    for range in ranges.iter().chain(&private::in_document(text)) {
        for byte in bytes.get_mut(range.clone()).unwrap_or_default() {
            if *byte != b'\n' {
                *byte = b'*';
            }
        }
    }
    // The ranges end at character borders, so this is UTF-8; if it ever were not, nothing is shown.
    Arc::from(String::from_utf8(bytes).unwrap_or_default())
}

fn table_node(table: &DeTable<'_>, span: Range<usize>, level: usize) -> Result<Node, Range<usize>> {
    if level > TOML_DEPTH_MAX {
        return Err(span);
    }
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table.iter() {
        let key = Spanned { value: key.get_ref().clone().into_owned(), span: key.span() };
        entries.push(Entry { key, node: node(value.get_ref(), value.span(), level + 1)? });
    }
    entries.sort_by_key(|entry| entry.key.span.start);
    Ok(Node { value: Value::Table(entries), span })
}

fn node(value: &DeValue<'_>, span: Range<usize>, level: usize) -> Result<Node, Range<usize>> {
    if level > TOML_DEPTH_MAX {
        return Err(span);
    }
    let value = match value {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Integer(number) => Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(value) => Value::Datetime(value.to_string()),
        DeValue::Array(items) => {
            let item = |item: &toml::Spanned<DeValue<'_>>| node(item.get_ref(), item.span(), level + 1);
            Value::Array(items.iter().map(item).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => return table_node(table, span, level),
    };
    Ok(Node { value, span })
}

impl Node {
    pub(super) fn kind(&self) -> Kind {
        match &self.value {
            Value::String(_) => Kind::String,
            Value::Integer(_) => Kind::Integer,
            Value::Float(_) => Kind::Float,
            Value::Boolean(_) => Kind::Boolean,
            Value::Datetime(_) => Kind::Datetime,
            Value::Array(_) => Kind::Array,
            Value::Table(_) => Kind::Table,
        }
    }

    /// JSON of the value; dates become strings. `None` for a number JSON can't hold.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        Some(match &self.value {
            Value::String(text) | Value::Datetime(text) => text.clone().into(),
            Value::Integer(number) => (*number)?.into(),
            Value::Float(number) => serde_json::Number::from_f64(*number)?.into(),
            Value::Boolean(value) => (*value).into(),
            Value::Array(items) => {
                serde_json::Value::Array(items.iter().map(Self::json).collect::<Option<_>>()?)
            }
            Value::Table(entries) => {
                let pair = |entry: &Entry| Some((entry.key.value.clone(), entry.node.json()?));
                serde_json::Value::Object(entries.iter().map(pair).collect::<Option<_>>()?)
            }
        })
    }

    /// Everything that is neither a list nor a table.
    fn leaves(&self, found: &mut impl FnMut(&Range<usize>)) {
        match &self.value {
            Value::Array(items) => items.iter().for_each(|item| item.leaves(found)),
            Value::Table(entries) => entries.iter().for_each(|entry| entry.node.leaves(found)),
            _ => found(&self.span),
        }
    }

    pub(super) fn strings(&self, found: &mut Vec<Range<usize>>) {
        match &self.value {
            Value::String(_) => found.push(self.span.clone()),
            Value::Array(items) => items.iter().for_each(|item| item.strings(found)),
            Value::Table(entries) => entries.iter().for_each(|entry| entry.node.strings(found)),
            _ => {}
        }
    }
}
