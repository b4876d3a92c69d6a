//! What a document's tables hold, as data: keys, types, defaults, words for people. The documents' own tables of keys are of these
//! types; schemas for editors and references are made of them. Reads nothing itself.

/// One table of a document, or one form that it can have.
pub struct Section {
    /// What it is for.
    pub words: &'static str,
    /// Its keys, in the order in which people write them.
    pub keys: &'static [Key],
}

/// One key.
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What may stand behind it.
    pub is: Is,
    /// What holds where it is absent, as text.
    pub default: Option<&'static str>,
    /// Whether the table can't do without.
    pub required: bool,
    /// For people.
    pub words: &'static str,
}

/// What may stand behind a key.
#[derive(Clone, Copy)]
pub enum Is {
    /// A string.
    Text,
    /// A path, from the config's folder on.
    Path,
    /// A reference to a secret.
    Reference,
    /// A string that may be a person's, or a table with a reference.
    NameOrReference,
    /// `PUBLISHER/NAME`
    Name,
    /// `PUBLISHER/NAME@VERSION`
    Connector,
    /// A semantic version.
    Version,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// A list of these strings.
    Choices(&'static [&'static str]),
    /// `64MiB`
    Bytes,
    /// `30s`
    Time,
    /// A whole number from 1 on.
    Count(i64),
    /// Requests a second.
    Rate,
    /// A part of a whole, from 0 to 1.
    Share,
    /// `true` or `false`.
    Flag,
    /// A list of strings.
    Texts,
    /// A string, or a list of them.
    TextOrTexts,
    /// A list of rules, or `"requested"`.
    RulesOrRequested,
    /// A list of rules that is not empty.
    Rules,
    /// A rule as a connector requests it: its host may be an origin.
    Requested,
    /// A list of them that is not empty.
    AllRequested,
    /// Names to strings.
    Map,
    /// Names of origins to origins.
    Origins,
    /// Names to paths.
    Paths,
    /// The connector's own: a table of anything.
    Foreign,
    /// A table.
    Table(&'static Section),
    /// One of these strings, or a table of one of these forms.
    WordOrTable(&'static [&'static str], &'static [Section]),
    /// A table of one of these forms.
    OneOf(&'static [Section]),
    /// A list of tables.
    Tables(&'static [Section]),
    /// Tables by name.
    Named(Names, &'static [Section]),
}

/// What names tables may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Any.
    Any,
    /// Those of connections and slots.
    Label,
    /// Those of actions and streams.
    Operation,
    /// Any that no built-in provider has.
    NotBuiltIn,
}

impl Key {
    /// One that may be absent.
    pub const fn new(name: &'static str, is: Is, words: &'static str) -> Self {
        Self { name, is, default: None, required: false, words }
    }

    /// What holds where it is absent.
    pub const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The table can't do without.
    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

impl Section {
    /// The form that a table of these has: whose fixed words it has, and whose keys.
    pub fn of<'s>(forms: &'s [Self], table: &serde_json::Value) -> Option<&'s Self> {
        let fits = |form: &&Self| {
            let fixed = |key: &Key| match key.is {
                Is::Choice([only]) if key.required => table.get(key.name).is_some_and(|value| value == only),
                _ => true,
            };
            let known = |name: &String| form.keys.iter().any(|key| key.name == name);
            form.keys.iter().all(fixed) && table.as_object().is_some_and(|table| table.keys().all(known))
        };
        forms.iter().find(fits)
    }
}
