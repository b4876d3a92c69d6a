//! The strict TOML reader. A `Table` remembers which keys were asked for, and reports the others when it is dropped, so
//! no reader can forget to refuse an unknown key.
use super::{
    UnitError,
    document::{Document, Entry, Kind, Node, Spanned, Value},
    nearest, parse_bytes, parse_duration, print_bytes, print_duration, shown,
};
use std::{cell::RefCell, fmt::Display, ops::Range, str::FromStr, time::Duration};
/// One table being read. Dropping it reports every key that nothing asked for.
#[derive(Debug)]
pub struct Table<'d> {
    document: &'d Document,
    name: String,
    entries: &'d [Entry],
    span: Range<usize>,
    asked: Vec<String>,
    /// Keys that a reader only looked for: an unknown one may be meant as one of them.
    looked_for: RefCell<Vec<String>>,
    /// How a key's value may be written, for who wrote it otherwise.
    examples: Vec<(&'static str, &'static str)>,
    open: bool,
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        for entry in self.entries {
            if self.asked.contains(&entry.key.value) {
                continue;
            }
            // A misspelt key may hold a pasted secret, and the excerpt would show it; so may one that nobody looked at.
            self.document.mask(&entry.node);
            if self.open {
                continue;
            }
            let looked_for = self.looked_for.borrow();
            let known = self.asked.iter().chain(looked_for.iter()).map(String::as_str);
            let near = nearest(&entry.key.value, known.filter(|known| *known != entry.key.value));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            self.document.fault(
                entry.key.span.clone(),
                format!("unknown key `{}`{}", shown(&entry.key.value), self.within()),
                help,
            );
        }
    }
}

impl<'d> Table<'d> {
    pub(super) fn new(document: &'d Document, name: String, node: &'d Node, span: Range<usize>) -> Self {
        let entries = if let Value::Table(entries) = &node.value { entries.as_slice() } else { &[] };
        Self {
            document,
            name,
            entries,
            span,
            asked: Vec::new(),
            looked_for: RefCell::default(),
            examples: Vec::new(),
            open: false,
        }
    }

    /// What to show to who gave these keys a value of another type.
    pub fn such_as(&mut self, examples: &[(&'static str, &'static str)]) {
        self.examples.extend(examples);
    }

    /// Where the table stands: its name in a header or the key that holds it.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The dotted name, for messages; empty for the whole document.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The document that it belongs to.
    pub fn document(&self) -> &'d Document {
        self.document
    }

    /// Reports a fault at a span of this document.
    pub fn fault(&self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.document.fault(span, message, help);
    }

    /// Reports a fault of a value that may be a pasted secret: neither message nor excerpt may repeat it.
    pub fn fault_masked(&self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.document.mask_span(span.clone());
        self.document.fault(span, message, help);
    }

    /// Asks for keys that may belong there, after a fault left open which of them do.
    pub fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            if let Some(entry) = self.take(key) {
                self.document.mask(&entry.node);
            }
        }
    }

    /// Stops caring about unknown keys, after a fault made the rest meaningless.
    pub fn ignore_rest(&mut self) {
        self.open = true;
    }

    /// Whether the key is there. Does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// The type of a key's value, for keys that may hold one of several. Does not count as asking for it.
    pub fn kind(&self, key: &str) -> Option<Kind> {
        self.find(key).map(|entry| entry.node.kind())
    }

    /// Whether it is a list of nothing, which rarely means what its writer thinks. Does not count as asking for it.
    pub fn lists_nothing(&self, key: &str) -> bool {
        self.find(key)
            .is_some_and(|entry| matches!(&entry.node.value, Value::Array(items) if items.is_empty()))
    }

    /// Where a key stands; the table where it is absent.
    pub fn key_span(&self, key: &str) -> Range<usize> {
        self.entries
            .iter()
            .find(|entry| entry.key.value == key)
            .map_or(self.span.clone(), |entry| entry.key.span.clone())
    }

    fn within(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!(" in `{}`", shown(&self.name)) }
    }

    fn find(&self, key: &str) -> Option<&'d Entry> {
        self.looked_for.borrow_mut().push(key.to_owned());
        self.entries.iter().find(|entry| entry.key.value == key)
    }

    fn take(&mut self, key: &str) -> Option<&'d Entry> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
        }
        self.entries.iter().find(|entry| entry.key.value == key)
    }

    fn wrong_type(&self, key: &str, expected: &str, node: &Node) {
        let message = format!("`{}`: expected {expected}, found {}", shown(key), node.kind().in_words());
        let written = self.document.text.get(node.span.clone()).unwrap_or_default();
        let help = meant(key, expected, node, written)
            .or_else(|| self.example(key))
            .or_else(|| of_type(key, expected, node));
        // What is in a list or table of the wrong place is not what is wrong.
        if matches!(node.value, Value::Array(_) | Value::Table(_)) {
            self.document.mask(node);
        }
        self.fault(node.span.clone(), message, help);
    }

    fn example(&self, key: &str) -> Option<String> {
        let example = self.examples.iter().find(|(known, _)| *known == key);
        example.map(|(key, example)| format!("`{key} = {example}`"))
    }

    fn missing(&self, key: &str, form: &str) {
        let line = self.example(key).unwrap_or_else(|| format!("`{key} = {form}`"));
        let help = match self.in_words() {
            place if place.is_empty() => format!("add {line}"),
            place => format!("add {line} to {place}"),
        };
        self.fault(self.span.clone(), format!("`{key}` is missing{}", self.within()), Some(help));
    }

    /// Where a line is added, as TOML writes it; empty for the whole document.
    fn in_words(&self) -> String {
        match self.name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
            _ if self.name.is_empty() => String::new(),
            Some((list, _)) => format!("that `[[{}]]`", shown(list)),
            // No header names a table within one of a list.
            None if self.name.contains('[') => {
                format!("that `{}`", shown(self.name.rsplit('.').next().unwrap_or_default()))
            }
            None => format!("`[{}]`", shown(&self.name)),
        }
    }

    fn required<T>(&self, key: &str, form: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.has(key) {
            self.missing(key, form);
        }
        value
    }

    /// A string.
    pub fn string(&mut self, key: &str) -> Option<Spanned<String>> {
        let node = &self.take(key)?.node;
        self.text(key, node)
    }

    /// A string that must be there.
    pub fn required_string(&mut self, key: &str) -> Option<Spanned<String>> {
        let value = self.string(key);
        self.required(key, "\"…\"", value)
    }

    fn text(&self, key: &str, node: &Node) -> Option<Spanned<String>> {
        let Value::String(text) = &node.value else {
            self.wrong_type(key, "a string", node);
            return None;
        };
        Some(Spanned { value: text.clone(), span: node.span.clone() })
    }

    /// A string that parses.
    pub fn parse<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<Spanned<T>> {
        let text = self.string(key)?;
        self.parsed(key, &text)
    }

    /// A string that parses and must be there.
    pub fn required_parse<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<Spanned<T>> {
        let value = self.parse(key);
        self.required(key, "\"…\"", value)
    }

    fn parsed<T: FromStr<Err: Display>>(&self, key: &str, text: &Spanned<String>) -> Option<Spanned<T>> {
        match text.value.parse() {
            Ok(value) => Some(Spanned { value, span: text.span.clone() }),
            Err(error) => {
                self.not_parsed(key, text, &error);
                None
            }
        }
    }

    fn not_parsed(&self, key: &str, text: &Spanned<String>, error: &dyn Display) {
        let error = error.to_string();
        let message = if error.contains(&format!("`{}`", text.value)) {
            format!("`{key}`: {}", shown(&error))
        } else {
            format!("`{key}` is `{}`: {}", shown(&text.value), shown(&error))
        };
        // An item of a list has the example of the list.
        let listed = key.split('[').next().unwrap_or(key);
        self.fault(text.span.clone(), message, self.example(listed));
    }

    /// A string that parses, and that nobody may see where it does not: neither message nor excerpt repeat it.
    pub fn parse_masked<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<Spanned<T>> {
        let node = &self.take(key)?.node;
        if !matches!(node.value, Value::String(_)) {
            self.document.mask(node);
            let message = format!("`{key}`: expected a string, found {}", node.kind().in_words());
            self.fault(node.span.clone(), message, self.example(key));
            return None;
        }
        let text = self.text(key, node)?;
        match text.value.parse() {
            Ok(value) => Some(Spanned { value, span: text.span }),
            Err(error) => {
                self.document.mask(node);
                self.fault(text.span, format!("`{key}`: {error}"), None);
                None
            }
        }
    }

    /// `parse_masked` for a key that must be there.
    pub fn required_parse_masked<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<Spanned<T>> {
        let value = self.parse_masked(key);
        self.required(key, "\"…\"", value)
    }

    /// An integer in a range.
    pub fn integer(&mut self, key: &str, range: std::ops::RangeInclusive<i64>) -> Option<Spanned<i64>> {
        let node = &self.take(key)?.node;
        let Value::Integer(number) = &node.value else {
            self.wrong_type(key, "an integer", node);
            return None;
        };
        match number.filter(|number| range.contains(number)) {
            Some(value) => Some(Spanned { value, span: node.span.clone() }),
            None => {
                let written = self.document.text.get(node.span.clone()).unwrap_or_default();
                let message =
                    format!("`{key}` is `{}`: expected {} to {}", shown(written), range.start(), range.end());
                self.fault(node.span.clone(), message, None);
                None
            }
        }
    }

    /// An integer in a range that must be there.
    pub fn required_integer(
        &mut self,
        key: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<Spanned<i64>> {
        let value = self.integer(key, range);
        self.required(key, "1", value)
    }

    /// A finite number; `25` and `25.0` are both read.
    pub fn float(&mut self, key: &str) -> Option<Spanned<f64>> {
        let node = &self.take(key)?.node;
        let value = match &node.value {
            Value::Float(number) if number.is_finite() => *number,
            Value::Integer(Some(number)) => *number as f64,
            Value::Float(_) | Value::Integer(None) => {
                self.fault(node.span.clone(), format!("`{key}`: expected a finite number"), None);
                return None;
            }
            _ => {
                self.wrong_type(key, "a number", node);
                return None;
            }
        };
        Some(Spanned { value, span: node.span.clone() })
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &str) -> Option<Spanned<bool>> {
        let node = &self.take(key)?.node;
        let Value::Boolean(value) = &node.value else {
            self.wrong_type(key, "a boolean", node);
            return None;
        };
        Some(Spanned { value: *value, span: node.span.clone() })
    }

    /// A duration such as `24h`; `usual` is one that fits.
    pub fn duration(&mut self, key: &str, usual: Duration) -> Option<Spanned<Duration>> {
        self.unit(key, &print_duration(usual), parse_duration)
    }

    /// A size such as `64MiB`; `usual` is one that fits.
    pub fn bytes(&mut self, key: &str, usual: u64) -> Option<Spanned<u64>> {
        self.unit(key, &print_bytes(usual), parse_bytes)
    }

    fn unit<T>(
        &mut self,
        key: &str,
        usual: &str,
        read: impl FnOnce(&str) -> Result<T, UnitError>,
    ) -> Option<Spanned<T>> {
        let node = &self.take(key)?.node;
        if matches!(node.value, Value::Integer(_) | Value::Float(_)) {
            let message = format!("`{key}`: expected a string, found a number without its unit");
            let help = format!("a whole number and its unit, in quotes: `{key} = \"{usual}\"`");
            self.fault(node.span.clone(), message, Some(help));
            return None;
        }
        let text = self.text(key, node)?;
        match read(&text.value) {
            Ok(value) => Some(Spanned { value, span: text.span }),
            Err(error) => {
                let message = format!("`{key}` is `{}`: {error}", shown(&text.value));
                self.fault(text.span, message, Some(format!("`{key} = \"{usual}\"`")));
                None
            }
        }
    }

    /// A list of strings.
    pub fn strings(&mut self, key: &str) -> Option<Vec<Spanned<String>>> {
        let items = self.items(key)?;
        Some(
            items
                .iter()
                .enumerate()
                .filter_map(|(i, item)| self.text(&format!("{key}[{i}]"), item))
                .collect(),
        )
    }

    /// A list of strings that must be there.
    pub fn required_strings(&mut self, key: &str) -> Option<Vec<Spanned<String>>> {
        let value = self.strings(key);
        self.required(key, "[\"…\"]", value)
    }

    /// A list of strings that parse; those that do not are reported and left out.
    pub fn parse_all<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<Vec<Spanned<T>>> {
        let texts = self.strings(key)?;
        let parsed = |(i, text): (usize, &Spanned<String>)| self.parsed(&format!("{key}[{i}]"), text);
        Some(texts.iter().enumerate().filter_map(parsed).collect())
    }

    /// One string, or a list of them.
    pub fn string_or_strings(&mut self, key: &str) -> Option<Vec<Spanned<String>>> {
        match self.take(key)?.node.kind() {
            Kind::Array => self.strings(key),
            Kind::String => self.string(key).map(|one| vec![one]),
            _ => {
                let node = &self.take(key)?.node;
                self.wrong_type(key, "a string or a list of strings", node);
                None
            }
        }
    }

    fn items(&mut self, key: &str) -> Option<&'d [Node]> {
        let node = &self.take(key)?.node;
        let Value::Array(items) = &node.value else {
            self.wrong_type(key, "an array", node);
            return None;
        };
        Some(items)
    }

    fn child(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_owned() } else { format!("{}.{name}", self.name) }
    }

    /// A table.
    pub fn table(&mut self, key: &str) -> Option<Table<'d>> {
        let entry = self.take(key)?;
        if !matches!(entry.node.value, Value::Table(_)) {
            self.wrong_type(key, "a table", &entry.node);
            return None;
        }
        Some(Table::new(self.document, self.child(key), &entry.node, entry.key.span.clone()))
    }

    /// A table that must be there.
    pub fn required_table(&mut self, key: &str) -> Option<Table<'d>> {
        let value = self.table(key);
        if value.is_none() && !self.has(key) {
            let help = Some(format!("add a table `[{}]`", shown(&self.child(key))));
            self.fault(self.span.clone(), format!("`{key}` is missing{}", self.within()), help);
        }
        value
    }

    /// A list of tables (`[[name]]`).
    pub fn tables(&mut self, key: &str) -> Vec<Table<'d>> {
        let mut tables = Vec::new();
        let key_span = self.key_span(key);
        for (i, node) in self.items(key).unwrap_or_default().iter().enumerate() {
            if matches!(node.value, Value::Table(_)) {
                // A `[[name]]` table's own span is its header.
                let span = if node.span.is_empty() { key_span.clone() } else { node.span.clone() };
                tables.push(Table::new(self.document, self.child(&format!("{key}[{i}]")), node, span));
            } else {
                self.wrong_type(&format!("{key}[{i}]"), "a table", node);
            }
        }
        tables
    }

    /// The tables below a table, by name: `[key.NAME]`.
    pub fn entries(&mut self, key: &str) -> Vec<(Spanned<String>, Table<'d>)> {
        let Some(mut parent) = self.table(key) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in parent.entries {
            if let Some(table) = parent.table(&entry.key.value) {
                found.push((entry.key.clone(), table));
            }
        }
        found
    }

    /// A table of strings: `{ NAME = "…" }`.
    pub fn string_map(&mut self, key: &str) -> Vec<(Spanned<String>, Spanned<String>)> {
        let Some(mut parent) = self.table(key) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in parent.entries {
            if let Some(value) = parent.string(&entry.key.value) {
                found.push((entry.key.clone(), value));
            }
        }
        found
    }

    /// Any value, as JSON.
    pub fn json(&mut self, key: &str) -> Option<Spanned<serde_json::Value>> {
        let node = &self.take(key)?.node;
        let Some(value) = node.json() else {
            self.fault(node.span.clone(), format!("`{key}`: a number that JSON can't hold"), None);
            return None;
        };
        Some(Spanned { value, span: node.span.clone() })
    }

    /// Refuses a key of a later version, rather than to ignore it.
    pub fn reject_later(&mut self, key: &str) {
        if let Some(entry) = self.take(key) {
            self.document.mask(&entry.node);
            let help = Some("remove it: what it asks for would not happen".to_owned());
            self.fault(entry.key.span.clone(), format!("`{}` is not supported yet", shown(key)), help);
        }
    }

    /// `reject_later`, but an empty list or table asks for nothing and passes.
    pub fn reject_later_unless_empty(&mut self, key: &str) {
        let empty = match self.take(key).map(|entry| &entry.node.value) {
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Table(entries)) => entries.is_empty(),
            _ => false,
        };
        if !empty {
            self.reject_later(key);
        }
    }
}

/// What was meant by a string in place of another type.
fn meant(key: &str, expected: &str, node: &Node, written: &str) -> Option<String> {
    let Value::String(text) = &node.value else { return None };
    match expected {
        expected if expected.starts_with("an array") => {
            let items: Vec<_> = match text.contains("://") {
                true => vec![shown(written)],
                false => text.split(',').map(|item| format!("\"{}\"", shown(item.trim()))).collect(),
            };
            Some(format!("`{key} = [{}]`", items.join(", ")))
        }
        "an integer" | "a number" if text.parse::<i64>().is_ok_and(|number| number.to_string() == *text) => {
            Some(format!("`{key} = {}`, without quotes", shown(text)))
        }
        "a boolean" if ["true", "false"].contains(&text.as_str()) => {
            Some(format!("`{key} = {text}`, without quotes"))
        }
        _ => None,
    }
}

/// How a value of that type is written.
fn of_type(key: &str, expected: &str, node: &Node) -> Option<String> {
    match (expected, &node.value) {
        ("a boolean", _) => Some(format!("`{key} = true` or `{key} = false`")),
        ("an integer", _) => Some("a whole number, without quotes".to_owned()),
        // An item of a list has no key of its own.
        ("a string", Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) if key.ends_with(']') => {
            Some("text in quotes".to_owned())
        }
        _ if key.ends_with(']') => None,
        ("a string", Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) => {
            Some(format!("text in quotes: `{key} = \"…\"`"))
        }
        ("a string", Value::Array(items)) if items.len() == 1 => {
            Some("one value, without `[` and `]`".to_owned())
        }
        ("a table", _) => Some(format!("`{key} = {{ … }}`")),
        _ => None,
    }
}
